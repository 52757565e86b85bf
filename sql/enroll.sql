-- enroll: what a success does, and each rejection as the error it is.
\set SHOW_CONTEXT never
SET client_min_messages = error;
DROP EXTENSION IF EXISTS pg_enroll CASCADE;
DROP SCHEMA IF EXISTS shop CASCADE;
CREATE SCHEMA shop;
SET search_path = shop;
CREATE EXTENSION pg_enroll;
SELECT enroll_create_tables();
RESET client_min_messages;

INSERT INTO users (id, name, credit_balance) VALUES
  (1, 'Ann', 100), (2, 'Ben', 25), (3, 'Cem', 10), (4, 'Dot', 9), (5, 'Eve', 0);
INSERT INTO tournaments (id, name, status, capacity, cost) VALUES
  (10, 'Cup', 'ENROLLMENT_OPEN', 3, 10), (11, 'Club night', 'IN_PROGRESS', NULL, 0),
  (12, 'Draft', 'DRAFT', 3, 10), (13, 'Closed', 'ENROLLMENT_CLOSED', 3, 10),
  (14, 'Over', 'COMPLETED', 3, 10), (15, 'Off', 'CANCELLED', 3, 10),
  (16, 'No seats', 'ENROLLMENT_OPEN', 0, 10), (17, 'Two days', 'ENROLLMENT_OPEN', NULL, 25);

-- A success: the whole receipt.
\x on
SELECT * FROM enroll(1, 10);
\x off
SELECT id, credit_balance FROM users ORDER BY id;
SELECT id, user_id, tournament_id, status, is_active, withdrawn_at FROM enrollments ORDER BY id;
SELECT id, user_id, tournament_id, enrollment_id, type, amount, balance_after, description,
       idempotency_key
FROM credit_transactions ORDER BY id;
SELECT policy, tournament, stripe, taken, allotted, capacity FROM enroll_seat
WHERE tournament = '10';

-- Arguments by name, a balance spent to 0, a price equal to the maximum.
SELECT code, enrollment_id, amount, balance_after, seats_left
FROM enroll(tournament_id => 10, user_id => 3, max_price => 10);
-- As a scalar, and its parts.
SELECT (r).code, (r).balance_after, (r).seats_left FROM (SELECT enroll(2, 10, NULL, 10.5)) AS x(r);

-- Each rejection, in order of precedence (IDEMPOTENCY_MISMATCH has a file of its own).
SELECT * FROM enroll(1, 99);
SELECT * FROM enroll(99, 10);
SELECT * FROM enroll(1, 12);
SELECT * FROM enroll(1, 13);
SELECT * FROM enroll(1, 14);
SELECT * FROM enroll(1, 15);
SELECT * FROM enroll(1, 10);
SELECT * FROM enroll(4, 10);
SELECT * FROM enroll(1, 16);
SELECT * FROM enroll(1, 17, max_price => 24.99);
SELECT * FROM enroll(4, 17);

-- Nothing of all that was left behind.
SELECT id, credit_balance FROM users ORDER BY id;
SELECT id, user_id, tournament_id, is_active FROM enrollments ORDER BY id;
SELECT id, user_id, tournament_id, enrollment_id, type, amount, balance_after
FROM credit_transactions ORDER BY id;
SELECT tournament, taken, allotted, capacity FROM enroll_seat ORDER BY tournament;

-- Free and unlimited, in progress, with no credits at all; a max_price of 0 allows it.
SELECT code, amount, balance_after, seats_left, replayed FROM enroll(5, 11, max_price => 0);
SELECT user_id, tournament_id, type, amount, balance_after FROM credit_transactions
WHERE tournament_id = 11;

-- A maximum below 0 is below every price, 0 too.
SELECT * FROM enroll(1, 11, max_price => -1);

-- The price that rules is today's.
UPDATE tournaments SET cost = 30 WHERE id = 17;
SELECT code, amount, balance_after FROM enroll(1, 17);
UPDATE tournaments SET cost = 60 WHERE id = 17;
SELECT code FROM try_enroll(2, 17);
UPDATE users SET credit_balance = 60 WHERE id = 2;
SELECT code, amount, balance_after FROM enroll(2, 17);

-- One user in several tournaments; each has its own seats.
SELECT tournament_id, count(*) AS active FROM enrollments WHERE is_active
GROUP BY tournament_id ORDER BY tournament_id;
SELECT tournament, taken FROM enroll_seat WHERE taken <> 0 ORDER BY tournament;

-- A row of one's own that is withdrawn already does not stand in the way.
INSERT INTO enrollments (user_id, tournament_id, status, is_active)
VALUES (3, 11, 'WITHDRAWN', false);
SELECT code FROM enroll(3, 11);
SELECT status, is_active FROM enrollments WHERE user_id = 3 AND tournament_id = 11 ORDER BY id;
