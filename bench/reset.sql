-- The same rows in both schemas before each round: 20,000 enrollments over the tournaments of
-- "spread", so that no plan is made for empty tables, and a sold-out tournament.
SET synchronous_commit = off;
BEGIN;
TRUNCATE guarded.enrollments, guarded.credit_transactions;
TRUNCATE twin.enrollments, twin.credit_transactions;
INSERT INTO guarded.enrollments (user_id, tournament_id)
  SELECT n, 1 + (n * 7919 + 5050) % 10000 FROM generate_series(1, 20000) AS n;
INSERT INTO guarded.enrollments (user_id, tournament_id)
  SELECT n, 12001 FROM generate_series(1, 500) AS n;
INSERT INTO twin.enrollments (user_id, tournament_id)
  SELECT user_id, tournament_id FROM guarded.enrollments ORDER BY id;
INSERT INTO guarded.credit_transactions
  (user_id, tournament_id, enrollment_id, type, amount, balance_after)
  SELECT user_id, tournament_id, id, 'ENROLLMENT', 0, 0 FROM guarded.enrollments ORDER BY id;
INSERT INTO twin.credit_transactions
  (user_id, tournament_id, enrollment_id, type, amount, balance_after)
  SELECT user_id, tournament_id, id, 'ENROLLMENT', 0, 0 FROM twin.enrollments ORDER BY id;
COMMIT;
VACUUM ANALYZE guarded.users, guarded.tournaments, guarded.enrollments,
  guarded.credit_transactions, twin.users, twin.tournaments, twin.enrollments,
  twin.credit_transactions, enroll_seat;
-- What this has left in the catalogs would be pruned, and logged, by whoever connects next.
VACUUM pg_class;
VACUUM pg_statistic;
VACUUM pg_attribute;
