-- The users' own triggers: what they may do, and what is an error.
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
INSERT INTO users (id, credit_balance) SELECT i + 100, 100 FROM generate_series(1, 9) i;
INSERT INTO tournaments (id, name, capacity, cost) VALUES
  (10, 'Cup', 3, 10), (11, 'Other', 3, 10), (12, 'Two', 2, 10), (13, 'Open', NULL, 0);
CREATE VIEW state AS
  SELECT (SELECT sum(credit_balance) FROM users) AS credits,
         (SELECT count(*) FROM enrollments WHERE is_active) AS active,
         (SELECT sum(taken) FROM enroll_seat) AS taken,
         (SELECT count(*) FROM credit_transactions) AS ledger_rows;
-- What a call answers or raises; it is undone again.
CREATE FUNCTION answer(call text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
  codes text;
BEGIN
  EXECUTE 'SELECT string_agg(code, '', '') FROM ' || call INTO codes;
  RAISE EXCEPTION USING ERRCODE = 'UNDO1';
EXCEPTION
  WHEN SQLSTATE 'UNDO1' THEN RETURN codes;
  WHEN OTHERS THEN RETURN SQLSTATE || ': ' || SQLERRM;
END $$;
SELECT code FROM enroll(9, 11);
SELECT code FROM enroll(9, 13);
TABLE state;

-- A BEFORE trigger that swallows the enrollment, moves it, gives it away, or leaves it inactive.
CREATE FUNCTION meddle() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  CASE TG_ARGV[0]
    WHEN 'swallow' THEN RETURN NULL;
    WHEN 'move' THEN NEW.tournament_id := 11;
    WHEN 'give away' THEN NEW.user_id := 8;
    WHEN 'deactivate' THEN NEW.is_active := false;
    WHEN 'keep active' THEN NEW.is_active := true;
    WHEN 'date' THEN NEW.enrolled_at := timestamptz '2000-01-01 00:00+00';
    WHEN 'fail' THEN RAISE EXCEPTION 'not today' USING ERRCODE = 'XX123';
  END CASE;
  RETURN NEW;
END $$;
CREATE FUNCTION enrolling() RETURNS SETOF text LANGUAGE sql AS $$
  SELECT call || ' -> ' || answer(call)
  FROM unnest(ARRAY['enroll(1, 10)', 'enroll(1, 10, ''key'')', 'try_enroll(1, 10)',
    'enroll_waived(1, 10, ''why'')', 'enroll_many(ARRAY[1, 2], 10)',
    'try_enroll_many(ARRAY[1, 2], 10, ARRAY[''a'', ''b''])']) call
$$;
CREATE FUNCTION withdrawing() RETURNS SETOF text LANGUAGE sql AS $$
  SELECT call || ' -> ' || answer(call)
  FROM unnest(ARRAY['unenroll(9, 11)', 'unenroll(9, 11, ''key'')', 'try_unenroll(9, 11)']) call
$$;
CREATE FUNCTION put_meddler(event text, on_table regclass, how text) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
  EXECUTE format('CREATE OR REPLACE TRIGGER meddler BEFORE %s ON %s FOR EACH ROW '
                 'EXECUTE FUNCTION meddle(%L)', event, on_table, how);
END $$;
SELECT put_meddler('INSERT', 'enrollments', 'swallow');
SELECT enrolling();
SELECT put_meddler('INSERT', 'enrollments', 'move');
SELECT enrolling();
SELECT put_meddler('INSERT', 'enrollments', 'give away');
SELECT enrolling();
SELECT put_meddler('INSERT', 'enrollments', 'deactivate');
SELECT enrolling();
SELECT put_meddler('UPDATE', 'enrollments', 'swallow');
SELECT withdrawing();
SELECT put_meddler('UPDATE', 'enrollments', 'keep active');
SELECT withdrawing();
UPDATE enrollments SET tournament_id = 12 WHERE user_id = 9 AND tournament_id = 11;
SELECT put_meddler('UPDATE', 'enrollments', 'move');
SELECT answer('unenroll(9, 12)'), answer('try_unenroll(9, 12)');
DROP TRIGGER meddler ON enrollments;
UPDATE enrollments SET tournament_id = 11 WHERE user_id = 9 AND tournament_id = 12;
-- An error of the trigger's own passes through untouched.
SELECT put_meddler('INSERT OR UPDATE', 'enrollments', 'fail');
SELECT enrolling();
SELECT withdrawing();
DROP TRIGGER meddler ON enrollments;
-- The same with the ledger's row and the account's; a free place leaves the account as it is.
SELECT put_meddler('INSERT', 'credit_transactions', 'swallow');
SELECT enrolling();
SELECT withdrawing();
SELECT put_meddler('INSERT', 'credit_transactions', 'fail');
SELECT enrolling();
SELECT withdrawing();
DROP TRIGGER meddler ON credit_transactions;
SELECT put_meddler('UPDATE', 'users', 'swallow');
SELECT enrolling();
SELECT withdrawing();
DROP TRIGGER meddler ON users;
TABLE state;
-- The error in full.
CREATE TRIGGER meddler BEFORE INSERT ON enrollments FOR EACH ROW EXECUTE FUNCTION meddle('swallow');
SELECT * FROM enroll(1, 10);
DROP TRIGGER meddler ON enrollments;
CREATE TRIGGER meddler BEFORE INSERT ON enrollments FOR EACH ROW EXECUTE FUNCTION meddle('move');
SELECT * FROM enroll(1, 10);
DROP TRIGGER meddler ON enrollments;
-- A column that is not the engine's is the trigger's to set.
CREATE TRIGGER meddler BEFORE INSERT ON enrollments FOR EACH ROW EXECUTE FUNCTION meddle('date');
SELECT code, seats_left FROM enroll(1, 10);
SELECT enrolled_at = '2000-01-01 00:00+00' AS as_the_trigger_says FROM enrollments
WHERE user_id = 1;
DROP TRIGGER meddler ON enrollments;

-- An AFTER trigger that brings a companion: no seat for nothing. 10 has two seats left.
CREATE FUNCTION bring_companion() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF pg_trigger_depth() = 1 THEN
    INSERT INTO shop.enrollments (user_id, tournament_id)
    SELECT user_id + 100, tournament_id FROM coming;
  END IF;
  RETURN NULL;
END $$;
CREATE TRIGGER zz_companion AFTER INSERT ON enrollments REFERENCING NEW TABLE AS coming
FOR EACH STATEMENT EXECUTE FUNCTION bring_companion();
SELECT code FROM enroll(2, 10);
SELECT user_id FROM enrollments WHERE tournament_id = 10 ORDER BY user_id;
SELECT taken, allotted FROM enroll_seat WHERE tournament = '10';
UPDATE tournaments SET capacity = 4 WHERE id = 10;
TABLE state;
SELECT * FROM enroll(3, 10);
SELECT * FROM try_enroll(3, 10);
TABLE state;
-- The companion comes first, where its trigger's name does: then the caller finds no seat.
ALTER TRIGGER zz_companion ON enrollments RENAME TO a_companion;
SELECT * FROM enroll(3, 10);
SELECT code, details FROM try_enroll(3, 10);
TABLE state;
UPDATE tournaments SET capacity = 5 WHERE id = 10;
SELECT code FROM try_enroll(3, 10);
SELECT user_id, code FROM try_enroll_many(ARRAY[4, 5], 13);
SELECT user_id FROM enrollments WHERE tournament_id = 13 ORDER BY user_id;
INSERT INTO enrollments (user_id, tournament_id) VALUES (4, 11);
UPDATE tournaments SET capacity = 4 WHERE id = 11;
INSERT INTO enrollments (user_id, tournament_id) VALUES (5, 11);
UPDATE tournaments SET capacity = 3 WHERE id = 11;
SELECT user_id FROM enrollments WHERE tournament_id = 11 ORDER BY user_id;
DROP TRIGGER a_companion ON enrollments;
TABLE state;

-- An AFTER trigger that calls enroll itself: for 13 where the first was for 12.
CREATE FUNCTION enroll_again() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  PERFORM shop.enroll(NEW.user_id, 13);
  RETURN NULL;
END $$;
CREATE TRIGGER again AFTER INSERT ON enrollments FOR EACH ROW WHEN (NEW.tournament_id = 12)
EXECUTE FUNCTION enroll_again();
SELECT code, seats_left, balance_after FROM enroll(1, 12);
SELECT tournament_id FROM enrollments WHERE user_id = 1 ORDER BY tournament_id;
-- Rejected within, rejected without.
SELECT * FROM enroll(9, 12);
SELECT * FROM try_enroll(9, 12);
SELECT user_id, code FROM enroll_many(ARRAY[2], 12);
TABLE state;
DROP TRIGGER again ON enrollments;
-- For the same place: the inner call finds the outer one's row.
CREATE FUNCTION enroll_twice() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  RAISE NOTICE 'within: %', (shop.try_enroll(NEW.user_id, NEW.tournament_id)).code;
  RETURN NULL;
END $$;
CREATE TRIGGER twice AFTER INSERT ON enrollments FOR EACH ROW EXECUTE FUNCTION enroll_twice();
SELECT code FROM enroll(7, 13);
DROP TRIGGER twice ON enrollments;

-- A trigger that closes the tournament with the last seat turns nobody away who got one.
CREATE FUNCTION close_when_full() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  UPDATE shop.tournaments t SET status = 'ENROLLMENT_CLOSED'
  WHERE t.capacity <= (SELECT count(*) FROM shop.enrollments e
                       WHERE e.tournament_id = t.id AND e.is_active);
  RETURN NULL;
END $$;
DELETE FROM enrollments WHERE tournament_id IN (11, 12);
CREATE TRIGGER close_it AFTER INSERT ON enrollments FOR EACH ROW EXECUTE FUNCTION close_when_full();
SELECT code, seats_left FROM enroll(1, 12);
SELECT code, seats_left FROM enroll(2, 12);
SELECT status FROM tournaments WHERE id = 12;
SELECT code FROM try_enroll(3, 12);
SELECT user_id, code, seats_left FROM enroll_many(ARRAY[1, 2, 3], 11);
SELECT status FROM tournaments WHERE id = 11;
DROP TRIGGER close_it ON enrollments;
DELETE FROM enrollments WHERE tournament_id = 12;
UPDATE tournaments SET status = 'ENROLLMENT_OPEN' WHERE id = 12;
CREATE TRIGGER close_it AFTER INSERT ON enrollments FOR EACH STATEMENT
EXECUTE FUNCTION close_when_full();
SELECT user_id, code, seats_left FROM try_enroll_many(ARRAY[1, 2, 3], 12);
SELECT status FROM tournaments WHERE id = 12;
DROP TRIGGER close_it ON enrollments;

-- A waiting list: who withdraws makes room for the next, in the same statement.
CREATE FUNCTION next_in_line() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  PERFORM shop.try_enroll(5, 12);
  RETURN NULL;
END $$;
CREATE TRIGGER waiting_list AFTER UPDATE ON enrollments FOR EACH STATEMENT
EXECUTE FUNCTION next_in_line();
UPDATE tournaments SET status = 'ENROLLMENT_OPEN' WHERE id = 12;
SELECT code FROM unenroll(1, 12);
SELECT user_id FROM enrollments WHERE tournament_id = 12 AND is_active ORDER BY user_id;
SELECT taken, allotted FROM enroll_seat WHERE tournament = '12';
DROP TRIGGER waiting_list ON enrollments;

-- After all of that the counters are right.
SELECT tournament, taken_before, taken_after FROM enroll_reconcile();
