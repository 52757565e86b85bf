-- Tournaments first to last, each with size active rows, in both schemas, and users enough.
INSERT INTO guarded.users (id, name, credit_balance)
  SELECT n, 'User ' || n, 1000000000
  FROM generate_series((SELECT max(id) + 1 FROM guarded.users), :users) AS n;
INSERT INTO twin.users
  SELECT * FROM guarded.users WHERE id > (SELECT max(id) FROM twin.users);
INSERT INTO guarded.tournaments (id, name, capacity, cost)
  SELECT n, 'Cup ' || n, 10000000, 10 FROM generate_series(:first, :last) AS n;
INSERT INTO twin.tournaments
  SELECT * FROM guarded.tournaments WHERE id BETWEEN :first AND :last;
INSERT INTO guarded.enrollments (user_id, tournament_id)
  SELECT who, cup FROM generate_series(1, :size) AS who, generate_series(:first, :last) AS cup;
INSERT INTO twin.enrollments (user_id, tournament_id)
  SELECT who, cup FROM generate_series(1, :size) AS who, generate_series(:first, :last) AS cup;
