-- What a hostile role might try: code of its own that runs with somebody else's rights.
\set SHOW_CONTEXT never
SET client_min_messages = warning;
DROP SCHEMA IF EXISTS shop, shop_admin, shop_public, shop_trap, shop_moved, shop_shared CASCADE;
DROP EXTENSION IF EXISTS pg_enroll CASCADE;
CREATE SCHEMA shop_shared;
CREATE EXTENSION pg_enroll SCHEMA shop_shared;
CREATE ROLE regress_enroll_hostile;
CREATE SCHEMA shop AUTHORIZATION regress_enroll_hostile;
CREATE SCHEMA shop_admin;
-- As schema public is: its owner is neither the tables' owner nor a superuser, and is trusted.
CREATE SCHEMA shop_public AUTHORIZATION pg_database_owner;
GRANT USAGE ON SCHEMA shop_public, shop_shared, shop_admin TO PUBLIC;
GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA shop_shared TO regress_enroll_hostile;
RESET client_min_messages;

-- A function keeps its own search_path while the engine runs, whoever fires it.
CREATE FUNCTION shop_admin.helper() RETURNS text LANGUAGE sql RETURN 'the administrator''s helper';
CREATE FUNCTION shop_admin.ask() RETURNS text LANGUAGE plpgsql SECURITY DEFINER
SET search_path = shop_admin, pg_temp AS $$ BEGIN RETURN helper(); END $$;
SET ROLE regress_enroll_hostile;
SET search_path = shop, shop_public, shop_shared;
SELECT enroll_create_tables();
CREATE FUNCTION helper() RETURNS text LANGUAGE plpgsql AS $$
BEGIN
  ALTER ROLE regress_enroll_hostile SUPERUSER;
  RETURN 'the hostile helper';
END $$;
CREATE FUNCTION ask() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  RAISE NOTICE '%', shop_admin.ask();
  RETURN NULL;
END $$;
CREATE TRIGGER ask AFTER INSERT ON enrollments FOR EACH ROW EXECUTE FUNCTION ask();
INSERT INTO users (id, credit_balance) VALUES (1, 100), (2, 100), (3, 100);
INSERT INTO tournaments (id, name, capacity, cost) VALUES (10, 'Cup', 5, 10);
INSERT INTO enrollments (user_id, tournament_id) VALUES (2, 10);
SELECT code FROM enroll(1, 10);
DROP TRIGGER ask ON enrollments;

-- Temporary tables come last on the path, and a trigger may use one.
CREATE FUNCTION remember() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  CREATE TEMP TABLE seen (row_id bigint);
  INSERT INTO seen VALUES (NEW.id);
  RETURN NULL;
END $$;
CREATE TRIGGER remember AFTER UPDATE ON enrollments FOR EACH ROW EXECUTE FUNCTION remember();
SELECT code, amount FROM unenroll(1, 10);
SELECT count(*) AS remembered FROM seen;
DROP TABLE seen;
DROP TRIGGER remember ON enrollments;

-- Looking at a policy runs what its owner wrote with the owner's rights only.
CREATE FUNCTION grab() RETURNS boolean LANGUAGE plpgsql VOLATILE AS $$
BEGIN
  IF (SELECT rolsuper FROM pg_roles WHERE rolname = current_user) THEN
    ALTER ROLE regress_enroll_hostile SUPERUSER;
  END IF;
  RETURN true;
END $$;
CREATE FUNCTION trap(integer) RETURNS boolean LANGUAGE plpgsql IMMUTABLE AS $$
BEGIN RETURN shop.grab(); END $$;
ALTER TABLE users ADD CONSTRAINT trap CHECK (shop.trap(1));
RESET ROLE;
SELECT policy, guarded FROM enroll_policies;
SELECT code FROM can_enroll(1, 10);
SELECT rolsuper FROM pg_roles WHERE rolname = 'regress_enroll_hostile';
ALTER TABLE users DROP CONSTRAINT trap;

-- Nor does it run what a caller's path offers: operators of the same names, for a session that has
-- yet to look, before anything of the policy's own path is set.
CREATE ROLE regress_enroll_caller;
CREATE SCHEMA shop_trap AUTHORIZATION regress_enroll_caller;
GRANT USAGE ON SCHEMA shop_shared TO regress_enroll_caller;
GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA shop_shared TO regress_enroll_caller;
SET ROLE regress_enroll_caller;
CREATE TABLE shop_trap.caught (what text, as_role name);
GRANT INSERT ON shop_trap.caught TO PUBLIC;
GRANT USAGE ON SCHEMA shop_trap TO PUBLIC;
DO $$
DECLARE kind text;
BEGIN
  FOREACH kind IN ARRAY ARRAY['name', 'text', 'oid', 'bigint', 'boolean', '"char"', 'integer'] LOOP
    EXECUTE format('CREATE FUNCTION shop_trap.caught(a %1$s, b %1$s) RETURNS boolean
      LANGUAGE plpgsql AS $f$ BEGIN
        INSERT INTO shop_trap.caught VALUES (%1$L, current_user);
        RETURN a OPERATOR(pg_catalog.=) b; END $f$', kind);
    EXECUTE format('CREATE OPERATOR shop_trap.= (LEFTARG = %1$s, RIGHTARG = %1$s,
      FUNCTION = shop_trap.caught)', kind);
  END LOOP;
END $$;
\c -
\set SHOW_CONTEXT never
SET ROLE regress_enroll_caller;
SET search_path = shop_trap, pg_catalog, shop_shared;
SELECT code FROM enroll(1, 10);
RESET ROLE;
\c -
\set SHOW_CONTEXT never
SET search_path = shop_trap, pg_catalog, shop_shared;
INSERT INTO shop.enrollments (user_id, tournament_id) VALUES (3, 10);
UPDATE shop.tournaments SET capacity = 6;
SELECT guarded FROM enroll_policies;
SELECT * FROM enroll_reconcile();
DELETE FROM shop.enrollments WHERE user_id OPERATOR(pg_catalog.=) 3;
SELECT as_role, count(*) FROM shop_trap.caught
WHERE as_role OPERATOR(pg_catalog.<>) 'regress_enroll_caller' GROUP BY 1;
SET search_path = shop, shop_shared;
SELECT code FROM unenroll(1, 10);

-- A second door would count every row twice.
SET ROLE regress_enroll_hostile;
CREATE TRIGGER another AFTER INSERT ON enrollments REFERENCING NEW TABLE AS rows_again
FOR EACH STATEMENT EXECUTE FUNCTION enroll_door();
SELECT code FROM enroll(1, 10);
DROP TRIGGER another ON enrollments;
RESET ROLE;
SELECT enroll_detach();

-- A schema of somebody else's on the path, or one that took the name of a schema on it.
CREATE SCHEMA shop_moved;
SET search_path = shop_moved, shop, shop_shared;
SELECT enroll_create_tables();
SET search_path = shop_moved, shop_admin, shop_shared;
SELECT enroll_create_tables();
CREATE FUNCTION shop_admin.note() RETURNS text LANGUAGE sql RETURN 'the administrator''s note';
CREATE FUNCTION shop_moved.note_it() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN RAISE NOTICE '%', note(); RETURN NULL; END $$;
CREATE TRIGGER note_it AFTER INSERT ON enrollments FOR EACH ROW EXECUTE FUNCTION note_it();
INSERT INTO users (id, credit_balance) VALUES (1, 100);
INSERT INTO tournaments (id, name) VALUES (10, 'Cup');
BEGIN;
SELECT code FROM enroll(1, 10);
ROLLBACK;
ALTER SCHEMA shop_moved RENAME TO shop_renamed;
SET search_path = shop_renamed, shop_shared;
BEGIN;
SELECT code FROM enroll(1, 10);
ROLLBACK;
ALTER SCHEMA shop_admin RENAME TO shop_admin_moved;
CREATE SCHEMA shop_admin AUTHORIZATION regress_enroll_hostile;
SELECT code FROM enroll(1, 10);
DROP SCHEMA shop_admin;
ALTER SCHEMA shop_admin_moved RENAME TO shop_admin;

-- Tables of one policy need one owner.
ALTER TABLE credit_transactions OWNER TO regress_enroll_hostile;
SELECT code FROM enroll(1, 10);
ALTER TABLE credit_transactions OWNER TO CURRENT_USER;
SELECT code FROM enroll(1, 10);

SET client_min_messages = error;
SELECT enroll_detach();
DROP SCHEMA shop, shop_admin, shop_public, shop_renamed, shop_trap CASCADE;
DROP EXTENSION pg_enroll;
DROP SCHEMA shop_shared CASCADE;
DROP ROLE regress_enroll_hostile, regress_enroll_caller;
