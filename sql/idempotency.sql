-- Idempotency keys: a success is answered again, a mismatch is an error, a rejection burns nothing.
\set SHOW_CONTEXT never
SET client_min_messages = error;
DROP EXTENSION IF EXISTS pg_enroll CASCADE;
DROP SCHEMA IF EXISTS shop CASCADE;
CREATE SCHEMA shop;
SET search_path = shop;
CREATE EXTENSION pg_enroll;
SELECT enroll_create_tables();
RESET client_min_messages;

INSERT INTO users (id, credit_balance) VALUES (1, 100), (2, 100), (3, 5);
INSERT INTO tournaments (id, name, capacity, cost) VALUES
  (10, 'Cup', 5, 10), (11, 'Open', NULL, 7), (12, 'Small', 1, 1);

-- The same receipt, but for replayed and seats_left, whatever has happened in between.
\x on
SELECT * FROM enroll(1, 10, 'k1');
SELECT * FROM enroll(1, 10, 'k1');
\x off
UPDATE users SET credit_balance = 1 WHERE id = 1;
UPDATE tournaments SET cost = 99, capacity = 0, status = 'ENROLLMENT_CLOSED' WHERE id = 10;
SELECT ok, code, enrollment_id, amount, balance_after, seats_left, replayed
FROM enroll(1, 10, 'k1');
SELECT ok, code, enrollment_id, amount, balance_after, seats_left, replayed
FROM try_enroll(1, 10, 'k1');
SELECT code, enrollment_id, replayed FROM enroll('1', '10', 'k1');
UPDATE tournaments SET cost = 10, capacity = 5, status = 'ENROLLMENT_OPEN' WHERE id = 10;
UPDATE users SET credit_balance = 90 WHERE id = 1;
-- max_price was held against the price then, and is not asked again.
SELECT code, amount, replayed FROM enroll(1, 10, 'k1', 1);
SELECT count(*) AS enrollments FROM enrollments;
SELECT id, type, amount, idempotency_key FROM credit_transactions ORDER BY id;
SELECT taken FROM enroll_seat WHERE tournament = '10';

-- A mismatch: another user, another tournament, another operation.
SELECT * FROM enroll(2, 10, 'k1');
SELECT * FROM enroll(1, 11, 'k1');
SELECT * FROM unenroll(1, 10, 'k1');
SELECT * FROM enroll_waived(1, 10, 'a friend', 'k1');
SELECT ok, code, enrollment_id, sqlstate, http_status, message, details
FROM try_enroll(2, 10, 'k1');
SELECT ok, code, sqlstate, details FROM try_unenroll(1, 10, 'k1');
SELECT id, credit_balance FROM users ORDER BY id;

-- Withdrawing has keys of its own.
SELECT code, amount, balance_after, seats_left, replayed FROM unenroll(1, 10, 'k2');
SELECT code, enrollment_id, amount, balance_after, seats_left, replayed
FROM unenroll(1, 10, 'k2');
SELECT code, replayed FROM try_unenroll(1, 10, 'k2');
SELECT * FROM unenroll(1, 11, 'k2');
SELECT * FROM enroll(1, 10, 'k2');

-- After the withdrawal the first key still answers what it did, and a new one does anew.
SELECT code, enrollment_id, amount, balance_after, replayed FROM enroll(1, 10, 'k1');
SELECT is_active FROM enrollments WHERE id = 1;
SELECT code, enrollment_id, amount, balance_after, replayed FROM enroll(1, 10, 'k3');
SELECT code, enrollment_id, replayed FROM enroll(1, 10, 'k1');
SELECT code, enrollment_id, replayed FROM unenroll(1, 10, 'k2');
SELECT id, is_active FROM enrollments WHERE user_id = 1 ORDER BY id;
SELECT * FROM enroll(1, 10, 'k4');

-- A free place's key.
SELECT code, amount, replayed FROM enroll_waived(2, 10, 'a friend', 'w1');
SELECT code, amount, balance_after, replayed FROM enroll_waived(2, 10, 'another word', 'w1');
SELECT * FROM enroll(2, 10, 'w1');
SELECT type, description, idempotency_key FROM credit_transactions WHERE type = 'WAIVED';

-- A rejection does not burn the key: top up, try again.
SELECT code FROM try_enroll(3, 10, 'r1');
SELECT * FROM enroll(3, 10, 'r1');
SELECT code FROM try_enroll(3, 99, 'r1');
SELECT code FROM try_unenroll(3, 10, 'r1');
UPDATE users SET credit_balance = 15 WHERE id = 3;
SELECT code, balance_after, replayed FROM enroll(3, 10, 'r1', 9.99);
SELECT code, balance_after, replayed FROM enroll(3, 10, 'r1', 10);
SELECT code, balance_after, replayed FROM enroll(3, 10, 'r1', 9.99);
-- Neither does a transaction that is rolled back.
BEGIN;
SELECT code, replayed FROM enroll(3, 12, 'r2');
SELECT code, replayed FROM enroll(3, 12, 'r2');
ROLLBACK;
SELECT code, replayed FROM enroll(2, 12, 'r2');

-- Twice in one statement: the second is the replay.
UPDATE users SET credit_balance = 20 WHERE id = 3;
SELECT n, r.code, r.amount, r.replayed
FROM generate_series(1, 3) n CROSS JOIN LATERAL enroll(3, 11 + 0 * n, 'twice') r ORDER BY n;
SELECT credit_balance FROM users WHERE id = 3;
SELECT (enroll(1, 11, 'more')).replayed AS first, (enroll(1, 11, 'more')).replayed AS second;
SELECT user_id, count(*) FROM enrollments WHERE tournament_id = 11 GROUP BY user_id
ORDER BY user_id;

-- A key that a row of the application's own holds is none of ours.
INSERT INTO credit_transactions (user_id, type, amount, balance_after, idempotency_key)
VALUES (1, 'TOP_UP', 0, 100, 'topup');
SELECT * FROM enroll(1, 12, 'topup');
SELECT code FROM try_unenroll(1, 10, 'topup');
INSERT INTO credit_transactions (user_id, tournament_id, type, amount, balance_after,
                                 idempotency_key)
VALUES (1, 10, 'ENROLLMENT', 0, 100, 'no enrollment');
SELECT code FROM try_enroll(1, 10, 'no enrollment');

-- An enrollment that is gone is a mismatch: deleted, with its user, with its tournament.
DELETE FROM enrollments WHERE id = 1;
SELECT * FROM enroll(1, 10, 'k1');
SELECT code FROM try_unenroll(1, 10, 'k2');
DELETE FROM users WHERE id = 3;
SELECT * FROM enroll(3, 10, 'r1');
DELETE FROM tournaments WHERE id = 12;
SELECT code FROM try_enroll(2, 12, 'r2');
-- Moved by hand to another user, it is that user's.
UPDATE enrollments SET user_id = 2 WHERE user_id = 1 AND tournament_id = 11;
SELECT code FROM try_enroll(1, 11, 'more');
SELECT code, replayed FROM try_enroll(2, 11, 'more');

-- From 1 to 255 characters, however many bytes.
SELECT code FROM enroll(2, 11, '');
SELECT code FROM enroll(2, 11, repeat('x', 256));
SELECT code FROM try_enroll(2, 11, repeat('x', 10000));
SELECT code FROM unenroll(2, 10, '');
SELECT code FROM try_unenroll(2, 10, repeat('x', 256));
SELECT code FROM enroll_waived(1, 11, 'a friend', '');
SELECT code, replayed FROM unenroll(2, 11, repeat(chr(233), 255));
SELECT code, replayed FROM unenroll(2, 11, repeat(chr(233), 255));
SELECT code, replayed FROM enroll(2, 11, ' ');
SELECT code, replayed FROM enroll(2, 11, ' ');
SELECT code FROM enroll(2, 11, NULL);

-- Every credit is accounted for.
SELECT user_id, sum(amount) FROM credit_transactions WHERE user_id IS NOT NULL
GROUP BY user_id ORDER BY user_id;
SELECT id, credit_balance FROM users ORDER BY id;
