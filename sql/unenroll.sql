-- unenroll: what a success does, and each rejection as the error it is.
\set SHOW_CONTEXT never
SET client_min_messages = error;
DROP EXTENSION IF EXISTS pg_enroll CASCADE;
DROP SCHEMA IF EXISTS shop CASCADE;
CREATE SCHEMA shop;
SET search_path = shop;
CREATE EXTENSION pg_enroll;
SELECT enroll_create_tables();
RESET client_min_messages;

INSERT INTO users (id, credit_balance) VALUES (1, 100), (2, 100), (3, 0);
INSERT INTO tournaments (id, name, capacity, cost) VALUES
  (10, 'Cup', 2, 15), (11, 'Free', NULL, 0), (12, 'Full', 1, 1);

-- A success: the whole receipt. Half of what was paid comes back, rounded down.
SELECT code FROM enroll(1, 10);
\x on
SELECT * FROM unenroll(1, 10);
\x off
SELECT id, credit_balance FROM users ORDER BY id;
BEGIN;
SELECT code FROM enroll(2, 10);
SELECT code, amount, balance_after, seats_left FROM unenroll(2, 10);
SELECT user_id, status, is_active, withdrawn_at = now() AS dated_now FROM enrollments
WHERE user_id = 2;
ROLLBACK;
SELECT id, user_id, tournament_id, status, is_active, withdrawn_at IS NOT NULL AS dated
FROM enrollments ORDER BY id;
SELECT id, user_id, tournament_id, enrollment_id, type, amount, balance_after, description,
       idempotency_key
FROM credit_transactions ORDER BY id;
SELECT tournament, taken, allotted FROM enroll_seat ORDER BY tournament;

-- Each rejection, in order of precedence.
SELECT * FROM unenroll(1, 99);
SELECT * FROM unenroll(99, 10);
SELECT * FROM unenroll(1, 10);
SELECT * FROM unenroll(3, 10);
SELECT id, credit_balance FROM users ORDER BY id;
SELECT count(*) AS ledger_rows FROM credit_transactions;

-- Nothing paid, nothing back; and yet a ledger row. Unlimited: no seats to tell.
SELECT code FROM enroll(3, 11);
SELECT code, amount, balance_after, seats_left, replayed FROM unenroll(3, 11);
SELECT type, amount, balance_after FROM credit_transactions WHERE user_id = 3 ORDER BY id;

-- The seat is there for the next one, the user may come again, and each stay is a row.
SELECT code, seats_left FROM enroll(1, 12);
SELECT code FROM try_enroll(2, 12);
SELECT code, amount, seats_left FROM unenroll(user_id => 1, tournament_id => 12);
SELECT code, seats_left FROM enroll(2, 12);
SELECT code FROM try_enroll(1, 12);
SELECT code, seats_left FROM unenroll(2, 12);
SELECT code, seats_left FROM enroll(1, 12);
SELECT user_id, status, is_active FROM enrollments WHERE tournament_id = 12 ORDER BY id;

-- Withdrawing asks for neither an open tournament nor a seat within the capacity.
UPDATE tournaments SET status = 'CANCELLED', capacity = 0 WHERE id = 12;
SELECT code, amount, seats_left FROM unenroll(1, 12);
SELECT tournament, taken, allotted FROM enroll_seat WHERE tournament = '12';

-- Over capacity a seat given back is not one to give: seats_left is never below 0.
UPDATE tournaments SET capacity = 3, cost = 0 WHERE id = 10;
SELECT u.id, (enroll(u.id, 10)).code FROM users u ORDER BY u.id;
UPDATE tournaments SET capacity = 1 WHERE id = 10;
SELECT code, seats_left FROM unenroll(1, 10);
SELECT code, seats_left FROM unenroll(2, 10);
SELECT code FROM try_enroll(1, 10);
SELECT code, seats_left FROM unenroll(3, 10);
SELECT code, seats_left FROM enroll(1, 10);
SELECT tournament, taken, allotted FROM enroll_seat WHERE tournament = '10';
