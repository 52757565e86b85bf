-- enroll_waived: a free place, for which every rule but the price holds.
\set SHOW_CONTEXT never
SET client_min_messages = error;
DROP EXTENSION IF EXISTS pg_enroll CASCADE;
DROP SCHEMA IF EXISTS shop CASCADE;
CREATE SCHEMA shop;
SET search_path = shop;
CREATE EXTENSION pg_enroll;
SELECT enroll_create_tables();
RESET client_min_messages;

INSERT INTO users (id, credit_balance) VALUES (1, 100), (2, 0), (3, 0);
INSERT INTO tournaments (id, name, status, capacity, cost) VALUES
  (10, 'Cup', 'ENROLLMENT_OPEN', 2, 10), (11, 'Closed', 'ENROLLMENT_CLOSED', 2, 10),
  (12, 'Free', 'ENROLLMENT_OPEN', NULL, 0);

\x on
SELECT * FROM enroll_waived(2, 10, 'helps at the gate');
\x off
SELECT id, credit_balance FROM users ORDER BY id;
SELECT user_id, tournament_id, status, is_active FROM enrollments ORDER BY id;
SELECT user_id, tournament_id, enrollment_id, type, amount, balance_after, description,
       idempotency_key
FROM credit_transactions ORDER BY id;
SELECT taken, allotted FROM enroll_seat WHERE tournament = '10';

-- The rules.
SELECT * FROM enroll_waived(2, 99, 'why');
SELECT * FROM enroll_waived(99, 10, 'why');
SELECT * FROM enroll_waived(1, 11, 'why');
SELECT * FROM enroll_waived(2, 10, 'why');
SELECT code, amount, balance_after, seats_left FROM enroll_waived(1, 10, 'why');
SELECT * FROM enroll_waived(3, 10, 'why');
SELECT count(*) AS ledger_rows FROM credit_transactions;

-- A free place refunds nothing; one paid for afterwards refunds its half.
SELECT code, amount, balance_after FROM quote_unenroll(1, 10);
SELECT code, amount, balance_after FROM unenroll(1, 10);
SELECT code, amount FROM enroll(1, 10);
SELECT code, amount FROM unenroll(1, 10);
SELECT code, amount FROM enroll_waived(1, 10, 'second time');
SELECT code, amount, balance_after FROM unenroll(1, 10);
SELECT type, amount, balance_after, description FROM credit_transactions WHERE user_id = 1
ORDER BY id;

-- A key, by position and by name, and a reason in any language or of any length.
SELECT code, replayed FROM enroll_waived(3, 12, 'why', 'w');
SELECT code, replayed FROM enroll_waived(user_id => 3, tournament_id => 12, reason => 'again',
                                         idempotency_key => 'w');
SELECT code FROM enroll_waived(1, 12, $$it's "quoted" \ $1$$);
SELECT code FROM enroll_waived(2, 12, repeat('long ', 1000));
SELECT user_id, left(description, 20) AS reason, length(description) FROM credit_transactions
WHERE tournament_id = 12 ORDER BY id;

-- There is always a reason.
SELECT * FROM enroll_waived(3, 10, NULL);
SELECT * FROM enroll_waived(3, 10, '');
SELECT * FROM enroll_waived(3, 10, E' \t\n');
SELECT * FROM enroll_waived(3, 10);
SELECT count(*) AS active FROM enrollments WHERE tournament_id = 10 AND is_active;
