-- try_enroll and try_unenroll: a rejection is a row, never an error, and leaves no trace.
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
INSERT INTO tournaments (id, name, status, capacity, cost) VALUES
  (10, 'Cup', 'ENROLLMENT_OPEN', 2, 10), (11, 'Closed', 'ENROLLMENT_CLOSED', 2, 10),
  (12, 'Full', 'ENROLLMENT_OPEN', 0, 10);

-- A success is enroll's.
\x on
SELECT * FROM try_enroll(1, 10);
\x off

-- Everything that a rejection could have touched.
CREATE VIEW state AS
  SELECT (SELECT sum(credit_balance) FROM users) AS credits,
         (SELECT count(*) FROM enrollments) AS enrollments,
         (SELECT sum(taken) FROM enroll_seat) AS taken,
         (SELECT count(*) FROM credit_transactions) AS ledger_rows,
         (SELECT last_value FROM enrollments_id_seq) AS last_enrollment,
         (SELECT last_value FROM credit_transactions_id_seq) AS last_transaction;
TABLE state;

-- Each rejection is a receipt.
\x on
SELECT * FROM try_enroll(1, 99);
SELECT * FROM try_enroll(99, 10);
SELECT * FROM try_enroll(1, 11);
SELECT * FROM try_enroll(1, 10);
SELECT * FROM try_enroll(1, 12);
SELECT * FROM try_enroll(2, 10, max_price => 9);
SELECT * FROM try_enroll(3, 10);
SELECT * FROM try_unenroll(1, 99);
SELECT * FROM try_unenroll(99, 10);
SELECT * FROM try_unenroll(2, 10);
\x off
TABLE state;

-- Found by the first read, none of them takes a transaction id.
BEGIN;
SELECT code, pg_current_xact_id_if_assigned() IS NULL AS no_xid FROM try_enroll(1, 99);
SELECT code, pg_current_xact_id_if_assigned() IS NULL AS no_xid FROM try_enroll(1, 11);
SELECT code, pg_current_xact_id_if_assigned() IS NULL AS no_xid FROM try_enroll(1, 10);
SELECT code, pg_current_xact_id_if_assigned() IS NULL AS no_xid FROM try_enroll(1, 12);
SELECT code, pg_current_xact_id_if_assigned() IS NULL AS no_xid FROM try_enroll(3, 10);
SELECT code, pg_current_xact_id_if_assigned() IS NULL AS no_xid FROM try_enroll(3, 10, 'key');
SELECT code, pg_current_xact_id_if_assigned() IS NULL AS no_xid
FROM try_enroll(2, 10, max_price => 9);
SELECT code, pg_current_xact_id_if_assigned() IS NULL AS no_xid FROM try_unenroll(2, 10);
SELECT code, pg_current_xact_id_if_assigned() IS NULL AS no_xid FROM try_unenroll(2, 10, 'key');
SELECT user_id, code, pg_current_xact_id_if_assigned() IS NULL AS no_xid
FROM try_enroll_many(ARRAY[1, 2], 11);
SELECT code, pg_current_xact_id_if_assigned() IS NULL AS no_xid FROM can_enroll(2, 10);
SELECT code, pg_current_xact_id_if_assigned() IS NULL AS no_xid FROM quote_unenroll(1, 10);
COMMIT;

-- A rejection met behind the first read is undone whole. A trigger of the user's table plays the
-- rival: it lowers the capacity while the call is under way.
CREATE FUNCTION take_the_rest() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  UPDATE shop.tournaments SET capacity = 0 WHERE id = NEW.tournament_id AND capacity = 2;
  RETURN NEW;
END $$;
CREATE TRIGGER rival BEFORE INSERT ON enrollments FOR EACH ROW EXECUTE FUNCTION take_the_rest();
SELECT code, enrollment_id, amount, balance_after, seats_left, details FROM try_enroll(2, 10);
SELECT code FROM try_enroll(2, 10, 'key');
SELECT credits, enrollments, taken, ledger_rows, last_transaction FROM state;
SELECT capacity FROM tournaments WHERE id = 10;
DROP TRIGGER rival ON enrollments;
SELECT code, seats_left FROM try_enroll(2, 10, 'key');

-- What is no rejection is raised all the same.
SELECT * FROM try_enroll(NULL, 10);
SELECT * FROM try_enroll(1, 10, policy => 'nowhere');
SELECT * FROM try_unenroll(1, NULL);

-- A success of try_unenroll is unenroll's.
\x on
SELECT * FROM try_unenroll(1, 10);
\x off
