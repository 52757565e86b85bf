-- Who may do what: an application role needs EXECUTE and nothing else, and has nothing else.
\set SHOW_CONTEXT never
SET client_min_messages = error;
DROP EXTENSION IF EXISTS pg_enroll CASCADE;
DROP SCHEMA IF EXISTS shop, shop_data, shop_evil CASCADE;
CREATE SCHEMA shop;
SET search_path = shop;
CREATE EXTENSION pg_enroll;
DROP ROLE IF EXISTS regress_enroll_owner, regress_enroll_app, regress_enroll_writer;
RESET client_min_messages;
CREATE ROLE regress_enroll_owner;
CREATE ROLE regress_enroll_app;
CREATE ROLE regress_enroll_writer;
CREATE SCHEMA shop_data AUTHORIZATION regress_enroll_owner;
GRANT USAGE ON SCHEMA shop TO regress_enroll_owner, regress_enroll_app, regress_enroll_writer;

-- The owner makes the tables; that too is granted, and needs no more than a schema of one's own.
SET ROLE regress_enroll_owner;
SELECT enroll_create_tables('shop_data');
RESET ROLE;
GRANT EXECUTE ON FUNCTION enroll_create_tables, enroll_detach, enroll_reconcile TO
  regress_enroll_owner;
SET ROLE regress_enroll_owner;
SELECT enroll_create_tables('shop');
SELECT enroll_create_tables('shop_data');
SELECT relname, relowner::regrole AS owner FROM pg_class
WHERE relnamespace = 'shop_data'::regnamespace AND relkind = 'r' ORDER BY relname;
INSERT INTO shop_data.users (id, credit_balance) SELECT i, 100 FROM generate_series(1, 9) i;
INSERT INTO shop_data.tournaments (id, name, capacity, cost) VALUES
  (10, 'Cup', 3, 10), (11, 'Open', NULL, 5);
-- The owner of the tables is not the owner of the seats.
SELECT * FROM enroll_seat;
UPDATE enroll_seat SET taken = 0;
SELECT * FROM enroll_policy;
SELECT * FROM enroll_policies;
SELECT enroll(1, 10);
RESET ROLE;

-- The application: not a function until it is granted.
SET ROLE regress_enroll_app;
SELECT enroll(1, 10);
SELECT try_enroll('1', '10');
SELECT can_enroll(1, 10);
SELECT quote_unenroll(1, 10);
SELECT enroll_many(ARRAY[1], 10);
SELECT enroll_waived(1, 10, 'why');
SELECT enroll_reconcile();
SELECT enroll_detach();
SELECT * FROM enroll_guards('default');
SELECT count(*) > 0 AS may_read_codes FROM enroll_error_codes;
RESET ROLE;
GRANT EXECUTE ON FUNCTION enroll(bigint, bigint, text, numeric, text),
  try_enroll(bigint, bigint, text, numeric, text), unenroll(bigint, bigint, text, text),
  can_enroll(bigint, bigint, text), enroll_many(bigint[], bigint, text[], numeric, text),
  try_enroll_many(bigint[], bigint, text[], numeric, text) TO regress_enroll_app;
SET ROLE regress_enroll_app;
SELECT code, balance_after, seats_left FROM can_enroll(1, 10);
SELECT code, balance_after, seats_left FROM enroll(1, 10, 'key');
SELECT code, replayed FROM enroll(1, 10, 'key');
SELECT code, balance_after FROM try_enroll(1, 11);
SELECT user_id, code FROM enroll_many(ARRAY[2, 3], 10);
SELECT code FROM try_enroll(4, 10);
SELECT code FROM enroll(4, 10);
SELECT code, amount FROM unenroll(1, 11);
-- It can touch neither balance nor seat nor ledger, nor look at them.
SELECT * FROM shop_data.users;
RESET ROLE;
GRANT USAGE ON SCHEMA shop_data TO regress_enroll_app, regress_enroll_writer;
SET ROLE regress_enroll_app;
SELECT * FROM shop_data.users;
UPDATE shop_data.users SET credit_balance = 1000000;
INSERT INTO shop_data.enrollments (user_id, tournament_id) VALUES (4, 10);
DELETE FROM shop_data.credit_transactions;
TRUNCATE shop_data.enrollments;
ALTER TABLE shop_data.enrollments DISABLE TRIGGER ALL;
SELECT * FROM enroll_seat;
UPDATE enroll_seat SET allotted = 100;
DELETE FROM enroll_policy;
-- Neither a call nor its failure leaves it with another's rights or path.
SELECT current_user, code FROM try_enroll(5, 11);
DO $$
BEGIN
  PERFORM enroll(5, 11);
EXCEPTION WHEN unique_violation THEN
  RAISE NOTICE '% %', current_user, current_setting('search_path');
END $$;
SELECT current_user, current_setting('search_path') AS search_path;
RESET ROLE;

-- A writer with INSERT on enrollments and nothing else takes seats, and no more than there are.
GRANT INSERT ON shop_data.enrollments TO regress_enroll_writer;
SET ROLE regress_enroll_writer;
INSERT INTO shop_data.enrollments (user_id, tournament_id) VALUES (6, 11);
INSERT INTO shop_data.enrollments (user_id, tournament_id) VALUES (6, 10);
INSERT INTO shop_data.enrollments (user_id, tournament_id) VALUES (6, 99);
SELECT * FROM shop_data.enrollments;
RESET ROLE;
ALTER TABLE shop_data.enrollments
  ALTER CONSTRAINT enrollments_user_id_fkey DEFERRABLE INITIALLY DEFERRED,
  ALTER CONSTRAINT enrollments_tournament_id_fkey DEFERRABLE INITIALLY DEFERRED;
SET ROLE regress_enroll_writer;
INSERT INTO shop_data.enrollments (user_id, tournament_id) VALUES (7, 11);
RESET ROLE;
-- One who may delete, or change a tournament, and no more.
GRANT SELECT, DELETE ON shop_data.enrollments TO regress_enroll_writer;
GRANT SELECT, UPDATE (capacity) ON shop_data.tournaments TO regress_enroll_writer;
SET ROLE regress_enroll_writer;
DELETE FROM shop_data.enrollments WHERE user_id = 2;
UPDATE shop_data.tournaments SET capacity = 2 WHERE id = 10;
RESET ROLE;
SELECT tournament, taken, allotted FROM enroll_seat ORDER BY tournament;
SELECT tournament, taken_before, taken_after FROM enroll_reconcile();

-- Shadows: objects of the caller's own, in a path that shows them first.
CREATE SCHEMA shop_evil AUTHORIZATION regress_enroll_app;
SET ROLE regress_enroll_app;
SET search_path = shop_evil;
CREATE FUNCTION trap(bigint, bigint) RETURNS boolean LANGUAGE plpgsql AS
  'BEGIN RAISE EXCEPTION ''trapped as %'', current_user; END';
CREATE OPERATOR = (LEFTARG = bigint, RIGHTARG = bigint, FUNCTION = trap);
CREATE OPERATOR >= (LEFTARG = bigint, RIGHTARG = bigint, FUNCTION = trap);
CREATE FUNCTION trap(text, text) RETURNS boolean LANGUAGE plpgsql AS
  'BEGIN RAISE EXCEPTION ''trapped as %'', current_user; END';
CREATE OPERATOR = (LEFTARG = text, RIGHTARG = text, FUNCTION = trap);
CREATE FUNCTION now() RETURNS timestamptz LANGUAGE plpgsql AS
  'BEGIN RAISE EXCEPTION ''trapped as %'', current_user; END';
CREATE FUNCTION unnest(bigint[]) RETURNS SETOF bigint LANGUAGE plpgsql AS
  'BEGIN RAISE EXCEPTION ''trapped as %'', current_user; END';
CREATE FUNCTION trunc(numeric, integer) RETURNS numeric LANGUAGE plpgsql AS
  'BEGIN RAISE EXCEPTION ''trapped as %'', current_user; END';
CREATE TABLE users (id bigint, credit_balance bigint);
CREATE TABLE enroll_seat (policy text, tournament text, taken bigint);
CREATE TABLE enroll_policy (name text, document jsonb);
SET search_path = shop_evil, pg_catalog, shop;
SELECT code, balance_after, seats_left FROM shop.can_enroll(1, 11);
SELECT code, balance_after, seats_left FROM shop.enroll(1, 11, 'other key');
SELECT code, replayed FROM shop.try_enroll(1, 11, 'other key');
SELECT code, amount FROM shop.unenroll(1, 11);
SELECT user_id, code FROM shop.enroll_many(ARRAY[8, 9]::bigint[], 11);
RESET ROLE;
SET ROLE regress_enroll_writer;
INSERT INTO shop_data.enrollments (user_id, tournament_id) VALUES (2, 11);
RESET ROLE;
-- Temporary ones hide even better.
SET search_path = shop;
SET ROLE regress_enroll_app;
CREATE TEMP TABLE users (id bigint, credit_balance bigint);
CREATE TEMP TABLE tournaments (id bigint, capacity integer, cost bigint, status text);
CREATE TEMP TABLE enrollments (id bigint, user_id bigint, tournament_id bigint);
CREATE TEMP TABLE credit_transactions (id bigint);
CREATE TEMP TABLE enroll_seat (policy text, tournament text, taken bigint);
CREATE TEMP TABLE enroll_policy (name text, document jsonb);
CREATE TEMP TABLE pg_class (oid oid);
SELECT code, amount FROM enroll(1, 11);
SELECT code, amount FROM unenroll(1, 11);
DISCARD TEMP;
RESET ROLE;
SET client_min_messages = warning;
DROP SCHEMA shop_evil CASCADE;
RESET client_min_messages;

-- Row-level security of the tables binds neither the engine nor its door, forced or not.
ALTER TABLE shop_data.users ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
ALTER TABLE shop_data.tournaments ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
ALTER TABLE shop_data.enrollments ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
ALTER TABLE shop_data.credit_transactions ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
SET ROLE regress_enroll_app;
SELECT code, amount FROM enroll(1, 11, 'third key');
SELECT code, replayed FROM enroll(1, 11, 'third key');
SELECT code, amount FROM unenroll(1, 11);
RESET ROLE;
ALTER TABLE shop_data.users DISABLE ROW LEVEL SECURITY;
ALTER TABLE shop_data.tournaments DISABLE ROW LEVEL SECURITY;
ALTER TABLE shop_data.enrollments DISABLE ROW LEVEL SECURITY;
ALTER TABLE shop_data.credit_transactions DISABLE ROW LEVEL SECURITY;

-- The trigger functions are anybody's, and of use on attached tables alone.
SELECT enroll_door();
SELECT enroll_gate();
CREATE TABLE shop_data.stray (id bigint);
CREATE TRIGGER stray AFTER INSERT ON shop_data.stray REFERENCING NEW TABLE AS n
FOR EACH STATEMENT EXECUTE FUNCTION enroll_door();
INSERT INTO shop_data.stray VALUES (1);
DROP TRIGGER stray ON shop_data.stray;
CREATE TRIGGER stray AFTER INSERT ON shop_data.stray REFERENCING NEW TABLE AS n
FOR EACH STATEMENT EXECUTE FUNCTION enroll_gate();
INSERT INTO shop_data.stray VALUES (1);
CREATE TRIGGER wrong BEFORE INSERT ON shop_data.enrollments
FOR EACH ROW EXECUTE FUNCTION enroll_door();
INSERT INTO shop_data.enrollments (user_id, tournament_id) VALUES (1, 11);
DROP TRIGGER wrong ON shop_data.enrollments;
CREATE TRIGGER wrong AFTER DELETE ON shop_data.enrollments
FOR EACH STATEMENT EXECUTE FUNCTION enroll_gate();
DELETE FROM shop_data.enrollments WHERE user_id = 5;
DROP TRIGGER wrong ON shop_data.enrollments;

-- Detaching is the owner's; so is everything when the tables change hands.
GRANT EXECUTE ON FUNCTION enroll_detach TO regress_enroll_app;
SET ROLE regress_enroll_app;
SELECT enroll_detach();
RESET ROLE;
ALTER TABLE shop_data.users OWNER TO regress_enroll_writer;
ALTER TABLE shop_data.tournaments OWNER TO regress_enroll_writer;
ALTER TABLE shop_data.enrollments OWNER TO regress_enroll_writer;
ALTER TABLE shop_data.credit_transactions OWNER TO regress_enroll_writer;
SET ROLE regress_enroll_app;
SELECT code, amount FROM enroll(1, 11);
RESET ROLE;
ALTER SCHEMA shop_data OWNER TO regress_enroll_writer;
SET ROLE regress_enroll_app;
SELECT code, amount FROM enroll(1, 11);
SELECT code, amount FROM unenroll(1, 11);
RESET ROLE;
SET ROLE regress_enroll_owner;
SELECT enroll_detach();
RESET ROLE;
SELECT count(*) AS policies FROM enroll_policies;
ALTER SCHEMA shop_data OWNER TO regress_enroll_owner;
ALTER TABLE shop_data.users OWNER TO regress_enroll_owner;
ALTER TABLE shop_data.tournaments OWNER TO regress_enroll_owner;
ALTER TABLE shop_data.enrollments OWNER TO regress_enroll_owner;
ALTER TABLE shop_data.credit_transactions OWNER TO regress_enroll_owner;
SET ROLE regress_enroll_owner;
SELECT enroll_detach();
RESET ROLE;
SELECT count(*) AS policies FROM enroll_policies;

SET client_min_messages = error;
DROP SCHEMA shop_data CASCADE;
DROP SCHEMA shop CASCADE;
DROP ROLE regress_enroll_owner, regress_enroll_app, regress_enroll_writer;
