-- can_enroll and quote_unenroll: what would happen now, without anything happening.
\set SHOW_CONTEXT never
SET client_min_messages = error;
DROP EXTENSION IF EXISTS pg_enroll CASCADE;
DROP SCHEMA IF EXISTS shop CASCADE;
CREATE SCHEMA shop;
SET search_path = shop;
CREATE EXTENSION pg_enroll;
SELECT enroll_create_tables();
RESET client_min_messages;

INSERT INTO users (id, credit_balance) VALUES (1, 100), (2, 15), (3, 5);
INSERT INTO tournaments (id, name, status, capacity, cost) VALUES
  (10, 'Cup', 'ENROLLMENT_OPEN', 2, 15), (11, 'Closed', 'ENROLLMENT_CLOSED', 2, 15),
  (12, 'No seats', 'ENROLLMENT_OPEN', 0, 15), (13, 'Free', 'ENROLLMENT_OPEN', NULL, 0);

-- Amount, balance and seats as they would be, and then as they are.
\x on
SELECT * FROM can_enroll(1, 10);
SELECT * FROM enroll(1, 10);
SELECT * FROM quote_unenroll(1, 10);
SELECT * FROM unenroll(1, 10);
\x off

-- The last seat, the last credit; a free place with no limit.
SELECT code FROM enroll(1, 10);
SELECT code, amount, balance_after, seats_left FROM can_enroll(2, 10);
SELECT code, amount, balance_after, seats_left FROM can_enroll(3, 13);
SELECT code FROM enroll(3, 13);
SELECT code, amount, balance_after, seats_left FROM quote_unenroll(3, 13);

-- Each rejection is a receipt, as try_ would answer it.
SELECT ok, code, enrollment_id, amount, balance_after, seats_left, replayed, sqlstate,
       http_status, details
FROM can_enroll(1, 99)
UNION ALL SELECT ok, code, enrollment_id, amount, balance_after, seats_left, replayed, sqlstate,
       http_status, details FROM can_enroll(99, 10)
UNION ALL SELECT ok, code, enrollment_id, amount, balance_after, seats_left, replayed, sqlstate,
       http_status, details FROM can_enroll(1, 11)
UNION ALL SELECT ok, code, enrollment_id, amount, balance_after, seats_left, replayed, sqlstate,
       http_status, details FROM can_enroll(1, 10)
UNION ALL SELECT ok, code, enrollment_id, amount, balance_after, seats_left, replayed, sqlstate,
       http_status, details FROM can_enroll(1, 12)
UNION ALL SELECT ok, code, enrollment_id, amount, balance_after, seats_left, replayed, sqlstate,
       http_status, details FROM can_enroll(3, 10)
UNION ALL SELECT ok, code, enrollment_id, amount, balance_after, seats_left, replayed, sqlstate,
       http_status, details FROM quote_unenroll(1, 99)
UNION ALL SELECT ok, code, enrollment_id, amount, balance_after, seats_left, replayed, sqlstate,
       http_status, details FROM quote_unenroll(99, 10)
UNION ALL SELECT ok, code, enrollment_id, amount, balance_after, seats_left, replayed, sqlstate,
       http_status, details FROM quote_unenroll(2, 10);

-- Over a whole table; who is in, who could come, who could not.
SELECT u.id, r.code, r.amount, r.balance_after, r.seats_left
FROM users u CROSS JOIN LATERAL can_enroll(u.id, 10) r ORDER BY u.id;
SELECT t.id, r.code, r.amount, r.seats_left
FROM tournaments t CROSS JOIN LATERAL can_enroll(2, t.id) r ORDER BY t.id;

-- They answer in a read-only transaction, and see the transaction's own work.
BEGIN READ ONLY;
SELECT code FROM can_enroll(2, 10);
SELECT code, amount FROM quote_unenroll(1, 10);
COMMIT;
BEGIN;
SELECT code FROM enroll(2, 10);
SELECT code FROM can_enroll(2, 10);
SELECT code, amount, balance_after, seats_left FROM quote_unenroll(2, 10);
UPDATE tournaments SET capacity = 5 WHERE id = 10;
UPDATE users SET credit_balance = 40 WHERE id = 3;
SELECT code, balance_after, seats_left FROM can_enroll(3, 10);
ROLLBACK;

-- They are STABLE: within one statement they answer from its snapshot.
SELECT (can_enroll(2, 10)).code AS before_enroll, (enroll(2, 10)).code AS enrolled,
       (can_enroll(2, 10)).code AS same_statement;
SELECT code FROM can_enroll(2, 10);

-- The quote is of what was paid, whatever the price is now.
UPDATE tournaments SET cost = 99 WHERE id = 10;
SELECT code, amount, balance_after FROM quote_unenroll(2, 10);

-- Errors that are no rejections.
SELECT * FROM can_enroll(NULL, 10);
SELECT * FROM quote_unenroll(1, NULL);
SELECT * FROM can_enroll(1, 10, NULL);
SELECT * FROM quote_unenroll(1, 10, 'nowhere');
