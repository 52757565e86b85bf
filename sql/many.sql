-- enroll_many is all or nothing; try_enroll_many answers each user, scarce seats in input order.
\set SHOW_CONTEXT never
SET client_min_messages = error;
DROP EXTENSION IF EXISTS pg_enroll CASCADE;
DROP SCHEMA IF EXISTS shop CASCADE;
CREATE SCHEMA shop;
SET search_path = shop;
CREATE EXTENSION pg_enroll;
SELECT enroll_create_tables();
RESET client_min_messages;

INSERT INTO users (id, credit_balance) VALUES (1, 100), (2, 100), (3, 100), (4, 5), (5, 100);
INSERT INTO tournaments (id, name, status, capacity, cost) VALUES
  (10, 'Cup', 'ENROLLMENT_OPEN', 4, 10), (11, 'Two', 'ENROLLMENT_OPEN', 2, 10),
  (12, 'Closed', 'ENROLLMENT_CLOSED', 9, 10), (13, 'Free', 'ENROLLMENT_OPEN', NULL, 0),
  (14, 'Three', 'ENROLLMENT_OPEN', 3, 1), (15, 'Keys', 'ENROLLMENT_OPEN', 4, 1);
CREATE VIEW state AS
  SELECT (SELECT sum(credit_balance) FROM users) AS credits,
         (SELECT count(*) FROM enrollments) AS enrollments,
         (SELECT sum(taken) FROM enroll_seat) AS taken,
         (SELECT count(*) FROM credit_transactions) AS ledger_rows;

-- A receipt for each, in the order in which they were named.
SELECT * FROM enroll_many(ARRAY[3, 1, 2], 10);
SELECT user_id, tournament_id, is_active FROM enrollments ORDER BY id;
SELECT user_id, enrollment_id, type, amount, balance_after FROM credit_transactions ORDER BY id;
SELECT taken, allotted FROM enroll_seat WHERE tournament = '10';
TABLE state;

-- All or nothing; it is the first error in input order that is raised.
SELECT * FROM enroll_many(ARRAY[5, 4], 10);
SELECT * FROM enroll_many(ARRAY[5, 1, 4], 10);
SELECT * FROM enroll_many(ARRAY[5, 99, 1], 10);
SELECT * FROM enroll_many(ARRAY[4, 99], 11);
SELECT * FROM enroll_many(ARRAY[1, 2, 3], 11);
SELECT * FROM enroll_many(ARRAY[1, 4, 2, 3], 11);
SELECT * FROM enroll_many(ARRAY[1, 2], 12);
SELECT * FROM enroll_many(ARRAY[99, 1], 99);
SELECT * FROM enroll_many(ARRAY[5, 4], 10, max_price => 9);
TABLE state;

-- try_: those who can are in, each of the others gets its answer.
SELECT user_id, ok, code, enrollment_id, amount, balance_after, seats_left, replayed, sqlstate,
       http_status, details
FROM try_enroll_many(ARRAY[4, 99, 3, 5, 2, 3], 11);
SELECT user_id FROM enrollments WHERE tournament_id = 11 ORDER BY id;
SELECT taken, allotted FROM enroll_seat WHERE tournament = '11';
TABLE state;
SELECT user_id, code FROM try_enroll_many(ARRAY[1, 4], 11);
SELECT user_id, code FROM try_enroll_many(ARRAY[1, 99], 12);
SELECT user_id, code FROM try_enroll_many(ARRAY[1, 99], 99);
SELECT user_id, code FROM try_enroll_many(ARRAY[1, 4], 14, max_price => 0.5);
TABLE state;

-- Nobody: nothing to do, and nothing to answer.
SELECT * FROM enroll_many(ARRAY[]::bigint[], 10);
SELECT * FROM try_enroll_many('{}'::bigint[], 99);
SELECT * FROM enroll_many(ARRAY[]::bigint[], 10, ARRAY[]::text[]);

-- The same user twice is enrolled once.
SELECT * FROM enroll_many(ARRAY[1, 2, 1], 14);
SELECT user_id, ok, code, enrollment_id, amount FROM try_enroll_many(ARRAY[1, 1, 2, 1], 14);
SELECT user_id FROM enrollments WHERE tournament_id = 14 ORDER BY id;
-- A rejected one stands in nobody's way, not even in its own second try.
UPDATE users SET credit_balance = 0 WHERE id = 4;
SELECT user_id, code FROM try_enroll_many(ARRAY[4, 4, 3], 14);
UPDATE users SET credit_balance = 5 WHERE id = 4;

-- One key for each: a replay is answered and takes no seat, the new ones are enrolled.
SELECT user_id, code, enrollment_id, seats_left, replayed
FROM enroll_many(ARRAY[1, 2], 15, ARRAY['a', 'b']);
SELECT user_id, code, enrollment_id, seats_left, replayed
FROM enroll_many(ARRAY[1, 2], 15, ARRAY['a', 'b']);
SELECT user_id, code, enrollment_id, amount, balance_after, seats_left, replayed
FROM enroll_many(ARRAY[3, 2, 1], 15, ARRAY['c', 'b', 'a']);
SELECT code, replayed FROM enroll(3, 15, 'c');
SELECT code FROM enroll(5, 15, 'd');
SELECT user_id, code, replayed FROM enroll_many(ARRAY[1, 5], 15, ARRAY['a', 'd']);
-- The tournament is full by now: no matter for a replay.
SELECT user_id, code, replayed FROM try_enroll_many(ARRAY[4, 5], 15, ARRAY['e', 'd']);
-- Another user's key, another tournament's, one that is used twice at once.
SELECT * FROM enroll_many(ARRAY[5, 4], 13, ARRAY['f', 'a']);
SELECT user_id, code, replayed FROM try_enroll_many(ARRAY[5, 1], 13, ARRAY['f', 'a']);
SELECT user_id, code, enrollment_id, replayed
FROM try_enroll_many(ARRAY[1, 2, 1], 13, ARRAY['g', 'g', 'g']);
SELECT user_id, code, enrollment_id, replayed
FROM try_enroll_many(ARRAY[3, 3], 13, ARRAY['h', 'i']);
SELECT * FROM enroll_many(ARRAY[2, 4], 13, ARRAY['j', 'j']);
SELECT user_id, code, enrollment_id, replayed
FROM enroll_many(ARRAY[2, 2], 13, ARRAY['k', 'k']);
SELECT idempotency_key, user_id FROM credit_transactions WHERE idempotency_key IS NOT NULL
ORDER BY id;
-- A rejected one does not burn its key.
SELECT user_id, code FROM try_enroll_many(ARRAY[4], 10, ARRAY['poor']);
UPDATE users SET credit_balance = 10 WHERE id = 4;
SELECT user_id, code, replayed FROM try_enroll_many(ARRAY[4], 10, ARRAY['poor']);

-- A whole school at once, and in the select list.
INSERT INTO users (id, credit_balance) SELECT i, 3 FROM generate_series(1001, 2000) i;
INSERT INTO tournaments (id, name, capacity, cost) VALUES (20, 'School', 700, 2);
SELECT code, count(*), min(user_id), max(user_id)
FROM try_enroll_many((SELECT array_agg(id ORDER BY id) FROM users WHERE id > 1000), 20)
GROUP BY code ORDER BY code;
SELECT count(*) AS rows, count(DISTINCT user_id) AS users FROM enrollments WHERE tournament_id = 20;
SELECT credit_balance, count(*) FROM users WHERE id > 1000 GROUP BY 1 ORDER BY 1;
SELECT taken, allotted FROM enroll_seat WHERE tournament = '20';
SELECT (r).user_id, (r).code FROM (SELECT enroll_many(ARRAY[1001, 1900], 13)) AS x(r);

-- Every counter is the number of active rows.
SELECT s.tournament, s.taken, count(e.id) AS active_rows
FROM enroll_seat s
LEFT JOIN enrollments e ON e.tournament_id::text = s.tournament AND e.is_active
GROUP BY s.tournament, s.taken ORDER BY s.tournament;
