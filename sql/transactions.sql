-- Inside larger transactions and statements: savepoints, blocks, cursors, prepared statements.
\set SHOW_CONTEXT never
SET client_min_messages = error;
DROP EXTENSION IF EXISTS pg_enroll CASCADE;
DROP SCHEMA IF EXISTS shop CASCADE;
CREATE SCHEMA shop;
SET search_path = shop;
CREATE EXTENSION pg_enroll;
SELECT enroll_create_tables();
RESET client_min_messages;

INSERT INTO users (id, credit_balance) SELECT i, 100 FROM generate_series(1, 9) i;
INSERT INTO users (id, credit_balance) VALUES (10, 0);
INSERT INTO tournaments (id, name, status, capacity, cost) VALUES
  (10, 'Cup', 'ENROLLMENT_OPEN', 3, 10), (11, 'Open', 'ENROLLMENT_OPEN', NULL, 1),
  (12, 'Closed', 'ENROLLMENT_CLOSED', 3, 10);
CREATE VIEW state AS
  SELECT (SELECT sum(credit_balance) FROM users) AS credits,
         (SELECT count(*) FROM enrollments WHERE is_active) AS active,
         (SELECT sum(taken) FROM enroll_seat) AS taken,
         (SELECT count(*) FROM credit_transactions) AS ledger_rows;

-- Rolled back, as if it had not been.
BEGIN;
SELECT code, seats_left FROM enroll(1, 10);
SELECT code FROM enroll(2, 10, 'key');
ROLLBACK;
TABLE state;

-- A savepoint rolled back to, then tried again.
BEGIN;
SELECT code, seats_left FROM enroll(1, 10);
SAVEPOINT s;
SELECT code, seats_left FROM enroll(2, 10, 'key');
ROLLBACK TO s;
SELECT code, seats_left, replayed FROM enroll(2, 10, 'key');
SAVEPOINT t;
SELECT code, amount FROM unenroll(1, 10);
SELECT code, seats_left FROM enroll(3, 10);
ROLLBACK TO t;
SELECT code FROM try_enroll(1, 10);
RELEASE s;
COMMIT;
TABLE state;
SELECT user_id FROM enrollments WHERE is_active ORDER BY user_id;

-- An error within a savepoint; the transaction goes on.
BEGIN;
SAVEPOINT s;
SELECT code FROM enroll(1, 10);
ROLLBACK TO s;
SELECT code FROM enroll(10, 10);
ROLLBACK TO s;
SELECT code FROM enroll(10, 11, 'key 2');
ROLLBACK TO s;
SELECT code, seats_left FROM enroll(3, 10);
SAVEPOINT full_now;
SELECT code FROM enroll(4, 10);
ROLLBACK TO full_now;
SELECT code, seats_left FROM unenroll(3, 10);
SELECT code, seats_left FROM enroll(4, 10);
COMMIT;
TABLE state;
-- Without one it is over.
BEGIN;
SELECT code FROM enroll(1, 11);
SELECT code FROM enroll(1, 12);
SELECT code FROM enroll(2, 11);
COMMIT;
TABLE state;

-- PL/pgSQL: a block that catches, by condition name and by SQLSTATE.
CREATE FUNCTION join_in(user_id bigint, tournament_id bigint) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
  RETURN (SELECT code FROM enroll(user_id, tournament_id));
EXCEPTION
  WHEN unique_violation THEN RETURN 'is in already';
  WHEN SQLSTATE 'NR001' THEN RETURN 'is full';
  WHEN SQLSTATE 'NR004' THEN RETURN 'is too dear';
  WHEN SQLSTATE 'NR005' THEN RETURN 'is closed';
END $$;
SELECT join_in(1, 10), join_in(5, 10), join_in(10, 11), join_in(5, 12), join_in(5, 11);
DO $$
DECLARE
  receipt enroll_receipt;
  i bigint;
BEGIN
  FOR i IN 1..3 LOOP
    receipt := enroll(i, 11);
    RAISE NOTICE '% % %', i, receipt.code, receipt.balance_after;
    BEGIN
      PERFORM unenroll(i, 11);
      PERFORM enroll(i, 12);
    EXCEPTION WHEN SQLSTATE 'NR005' THEN
      RAISE NOTICE '% stays: %', i, SQLERRM;
    END;
  END LOOP;
END $$;
TABLE state;
-- A procedure that commits as it goes.
CREATE PROCEDURE enroll_all(first bigint, last bigint, tournament bigint) LANGUAGE plpgsql AS $$
DECLARE
  i bigint;
  answer text;
BEGIN
  FOR i IN first..last LOOP
    SELECT code INTO answer FROM try_enroll(i, tournament);
    RAISE NOTICE '% %', i, answer;
    COMMIT;
  END LOOP;
END $$;
CALL enroll_all(3, 5, 11);

-- Several calls in one statement; each sees what those before have done.
TRUNCATE enrollments, credit_transactions;
SELECT u.id, r.code, r.seats_left
FROM users u CROSS JOIN LATERAL try_enroll(u.id, 10) r WHERE u.id > 1 ORDER BY u.id;
SELECT u.id, (try_enroll(u.id, 11)).code FROM users u ORDER BY u.id;
SELECT (try_enroll(1, 10)).code AS full, (unenroll(2, 10)).code AS out_again,
       (enroll(1, 10)).code AS now_in, (try_enroll(1, 10)).code AS not_twice,
       (unenroll(1, 10)).amount AS refund;
SELECT n, r.code, r.balance_after
FROM generate_series(1, 3) n CROSS JOIN LATERAL try_enroll(9, 10 + n % 2) r ORDER BY n;
-- All or none of the statement.
SELECT u.id, (enroll(u.id, 10)).code FROM users u ORDER BY u.id;
WITH moved AS (SELECT * FROM unenroll(3, 10)), taken AS (SELECT code FROM moved WHERE ok)
SELECT taken.code, r.code, r.seats_left FROM taken CROSS JOIN LATERAL enroll(1, 10) r;
SELECT code FROM unenroll(4, 10);
CREATE TABLE receipts AS SELECT * FROM enroll_many(ARRAY[3], 10);
SELECT user_id, code FROM receipts;
INSERT INTO receipts SELECT 5, r.* FROM try_enroll(5, 10) r;
SELECT user_id, code FROM receipts ORDER BY user_id;
SELECT user_id FROM enrollments WHERE tournament_id = 10 AND is_active ORDER BY user_id;
TABLE state;

-- Cursors: what was fetched has happened.
BEGIN;
DECLARE c CURSOR FOR
SELECT u.id, (unenroll(u.id, 11)).code FROM users u WHERE u.id < 5 ORDER BY u.id;
FETCH 1 FROM c;
SELECT count(*) AS still_active FROM enrollments WHERE tournament_id = 11 AND is_active;
FETCH 2 FROM c;
CLOSE c;
COMMIT;
SELECT user_id FROM enrollments WHERE tournament_id = 11 AND is_active ORDER BY user_id;

-- Prepared statements, through custom and generic plans and the tables' changes.
PREPARE enter(bigint, bigint) AS SELECT code, seats_left FROM enroll($1, $2);
PREPARE leave(bigint, bigint) AS SELECT code, amount FROM unenroll($1, $2);
SET plan_cache_mode = force_generic_plan;
EXECUTE enter(1, 11);
EXECUTE leave(1, 11);
ALTER TABLE enrollments ADD COLUMN note text;
EXECUTE enter(1, 11);
EXECUTE leave(1, 11);
RESET plan_cache_mode;
UPDATE tournaments SET cost = 3 WHERE id = 11;
DO $$
BEGIN
  FOR i IN 1..7 LOOP
    EXECUTE 'EXECUTE enter(1, 11)';
    EXECUTE 'EXECUTE leave(1, 11)';
  END LOOP;
END $$;
SELECT credit_balance FROM users WHERE id = 1;
EXECUTE leave(1, 11);
DEALLOCATE ALL;

-- Higher isolation, one transaction alone.
BEGIN ISOLATION LEVEL REPEATABLE READ;
SELECT code FROM enroll(1, 11, 'rr');
SELECT code, replayed FROM enroll(1, 11, 'rr');
SELECT code FROM unenroll(1, 11);
SELECT code FROM enroll(1, 11);
UPDATE tournaments SET status = 'ENROLLMENT_CLOSED' WHERE id = 11;
SELECT code FROM try_enroll(2, 11);
UPDATE tournaments SET status = 'ENROLLMENT_OPEN', capacity = 1 WHERE id = 11;
SELECT code FROM try_enroll(2, 11);
COMMIT;
BEGIN ISOLATION LEVEL SERIALIZABLE;
SELECT code FROM unenroll(1, 11);
UPDATE tournaments SET capacity = NULL WHERE id = 11;
SELECT user_id, code FROM try_enroll_many(ARRAY[1, 2, 5], 11);
COMMIT;

-- Read-only: an error before any other, of the functions that write.
BEGIN READ ONLY;
SELECT code FROM can_enroll(4, 11);
SELECT code FROM quote_unenroll(1, 11);
SAVEPOINT s;
SELECT * FROM enroll(4, 11);
ROLLBACK TO s;
SELECT * FROM try_enroll(99, 12);
ROLLBACK TO s;
SELECT * FROM unenroll(1, 11);
ROLLBACK TO s;
SELECT * FROM try_unenroll(1, 11);
ROLLBACK TO s;
SELECT * FROM enroll_waived(4, 11, 'why');
ROLLBACK TO s;
SELECT * FROM enroll_many(ARRAY[4], 11);
ROLLBACK TO s;
SELECT * FROM try_enroll_many(ARRAY[4], 11);
ROLLBACK TO s;
SELECT enroll_create_tables();
ROLLBACK TO s;
SELECT enroll_detach();
ROLLBACK TO s;
SELECT * FROM enroll_reconcile();
ROLLBACK TO s;
\set VERBOSITY sqlstate
SELECT * FROM enroll(4, 11);
\set VERBOSITY default
ROLLBACK;

-- A rejected try_ leaves nothing, not even a transaction id; and the counters are the rows.
BEGIN;
SELECT code FROM try_enroll(4, 12);
SELECT code FROM try_enroll(10, 11);
SELECT code FROM try_enroll(4, 10);
SELECT code FROM try_enroll(1, 11);
SELECT pg_current_xact_id_if_assigned() IS NULL AS no_xid;
SELECT code, pg_current_xact_id_if_assigned() IS NULL AS no_xid FROM enroll(3, 11);
ROLLBACK;
SELECT tournament, taken_before, taken_after FROM enroll_reconcile();
