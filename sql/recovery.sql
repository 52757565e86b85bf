-- Errors in the middle of a call, caught further out: nothing of the call is left, and the session
-- goes on.
\set SHOW_CONTEXT never
SET client_min_messages = warning;
DROP SCHEMA IF EXISTS shop CASCADE;
DROP EXTENSION IF EXISTS pg_enroll CASCADE;
CREATE SCHEMA shop;
SET search_path = shop;
CREATE EXTENSION pg_enroll;
SELECT enroll_create_tables();
RESET client_min_messages;
INSERT INTO users (id, credit_balance) SELECT n, 100 FROM generate_series(1, 9) n;
INSERT INTO tournaments (id, name, capacity, cost) VALUES (10, 'Cup', 5, 10), (11, 'Open', NULL, 0);
CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN RAISE EXCEPTION 'refused by a trigger of the table'; END $$;

-- By a savepoint, before and after the row was written.
CREATE TRIGGER refuse BEFORE INSERT ON enrollments FOR EACH ROW EXECUTE FUNCTION refuse();
BEGIN;
SAVEPOINT here;
SELECT code FROM enroll(1, 10);
ROLLBACK TO here;
SELECT code FROM try_enroll(1, 10, 'a key');
ROLLBACK TO here;
SELECT code FROM try_enroll_many('{1,2}', 10);
ROLLBACK TO here;
DROP TRIGGER refuse ON enrollments;
CREATE TRIGGER refuse AFTER INSERT ON enrollments FOR EACH ROW EXECUTE FUNCTION refuse();
SELECT code FROM enroll(1, 10);
ROLLBACK TO here;
COMMIT;

-- By an exception block, many times over in one transaction.
CREATE TRIGGER refuse_after AFTER INSERT ON enrollments FOR EACH ROW EXECUTE FUNCTION refuse();
DROP TRIGGER refuse ON enrollments;
DO $$
BEGIN
  FOR n IN 1..200 LOOP
    BEGIN PERFORM enroll(1, 10); EXCEPTION WHEN raise_exception THEN NULL; END;
    BEGIN PERFORM try_enroll(1, 10, 'a key'); EXCEPTION WHEN raise_exception THEN NULL; END;
  END LOOP;
END $$;
DROP TRIGGER refuse_after ON enrollments;

-- While withdrawing.
SELECT code FROM enroll(1, 10);
CREATE TRIGGER refuse BEFORE UPDATE ON enrollments FOR EACH ROW EXECUTE FUNCTION refuse();
BEGIN;
SAVEPOINT here;
SELECT code FROM try_unenroll(1, 10);
ROLLBACK TO here;
SELECT code FROM unenroll(1, 10);
ROLLBACK TO here;
COMMIT;
DROP TRIGGER refuse ON enrollments;

-- In a call that a trigger makes inside a call.
CREATE FUNCTION enroll_too() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF NEW.tournament_id = 11 THEN
    BEGIN
      PERFORM enroll(NEW.user_id, 999);
    EXCEPTION WHEN SQLSTATE 'NR010' THEN
      RAISE NOTICE 'the inner call was refused';
    END;
    PERFORM enroll(NEW.user_id, 10);
  END IF;
  RETURN NULL;
END $$;
CREATE TRIGGER enroll_too AFTER INSERT ON enrollments FOR EACH ROW EXECUTE FUNCTION enroll_too();
SELECT code FROM enroll(2, 11);
DROP TRIGGER enroll_too ON enrollments;

-- A trigger that changes what is debited or credited.
CREATE FUNCTION keep_balance() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN NEW.credit_balance := OLD.credit_balance; RETURN NEW; END $$;
CREATE TRIGGER keep_balance BEFORE UPDATE ON users FOR EACH ROW EXECUTE FUNCTION keep_balance();
SELECT code FROM enroll(3, 10);
SELECT code FROM try_enroll_many('{3,4}', 10);
SELECT code FROM unenroll(1, 10);
DROP TRIGGER keep_balance ON users;

-- A row of no user takes a seat like any other.
ALTER TABLE enrollments ALTER user_id DROP NOT NULL;
INSERT INTO enrollments (user_id, tournament_id) SELECT NULL, 10 FROM generate_series(1, 4);
INSERT INTO enrollments (user_id, tournament_id) SELECT NULL, 10 FROM generate_series(1, 3);

SELECT code, amount, balance_after, seats_left FROM enroll(5, 11);
SELECT tournament, taken FROM enroll_seat ORDER BY 1;
SELECT * FROM enroll_reconcile();
SELECT id, credit_balance FROM users WHERE credit_balance <> 100 ORDER BY 1;

SET client_min_messages = error;
SELECT enroll_detach();
DROP SCHEMA shop CASCADE;
