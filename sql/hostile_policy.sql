-- A policy is code of the tables' owner: it runs with the owner's rights, never with those of who
-- looks at it, attaches it or calls; and no string of it is anything but what it stands for.
\set SHOW_CONTEXT never
SET client_min_messages = error;
DROP EXTENSION IF EXISTS pg_enroll CASCADE;
DROP SCHEMA IF EXISTS shop, shop_data, shop_trap, shop_open CASCADE;
CREATE SCHEMA shop;
SET search_path = shop;
CREATE EXTENSION pg_enroll;
DROP ROLE IF EXISTS regress_enroll_owner, regress_enroll_caller;
RESET client_min_messages;
CREATE ROLE regress_enroll_owner;
CREATE ROLE regress_enroll_caller;
GRANT USAGE ON SCHEMA shop TO PUBLIC;
GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA shop TO PUBLIC;
CREATE SCHEMA shop_data AUTHORIZATION regress_enroll_owner;
CREATE TABLE documents (document jsonb);
GRANT SELECT ON documents TO PUBLIC;

-- Strings that would be more than a name, a value or an expression, if they were not quoted.
SET ROLE regress_enroll_owner;
SET search_path = shop_data, shop;
CREATE TABLE "users; DROP TABLE ""x"" --" ("id"" = 1 OR ""1" integer PRIMARY KEY,
  "balance' $1" integer NOT NULL, role text);
CREATE TABLE "it's $$ a /* cup" ("%s" integer PRIMARY KEY, "cost)" integer, "open;" boolean,
  "cap{acity}" integer);
CREATE TABLE "a.b\c" ("key:user" integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  "u" integer NOT NULL,
  "t.id" integer NOT NULL, "e'" boolean NOT NULL, "note" text);
CREATE INDEX ON "a.b\c" ("t.id");
CREATE TABLE "LEDGER" ("ORDER" integer GENERATED ALWAYS AS IDENTITY UNIQUE, "paid" integer,
  "cost" integer,
  "operation" integer, "type" text, "reason" text UNIQUE, "say ""hi""" text);
CREATE INDEX ON "LEDGER" ("operation");
INSERT INTO "users; DROP TABLE ""x"" --" VALUES (1, 100, 'x'), (2, 100, 'y');
INSERT INTO "it's $$ a /* cup" VALUES (10, 7, true, 3);
RESET ROLE;
INSERT INTO documents VALUES ($doc${
  "users": {"table": "\"users; DROP TABLE \"\"x\"\" --\"", "key": "id\" = 1 OR \"1",
    "balance": "balance' $1"},
  "tournaments": {"table": "it's $$ a /* cup", "key": "%s", "cost": "t.\"cost)\"",
    "open": "t.\"open;\" AND ')' <> $$ ; DROP TABLE x; -- $$", "capacity": "t.\"cap{acity}\""},
  "enrollments": {"table": "\"a.b\\c\"", "key": "key:user", "user": "u", "tournament": "t.id",
    "active": "\"e'\" /* ; */", "insert": {"e'": "TRUE", "note": "E'\\') FROM x; --' || u.role"},
    "withdraw": {"e'": "FALSE"}},
  "ledger": {"table": "LEDGER", "amount": "paid", "balance_after": "cost",
    "enrollment": "operation",
    "idempotency_key": "reason", "order": "ORDER",
    "type": {"column": "type", "enroll": "'); DROP TABLE x; --",
      "unenroll": "\\", "waive": "$1 %s"},
    "insert": {"say \"hi\"": "cost || operation || coalesce(reason, '-')"}},
  "refund": "paid - 1",
  "rules": [{"name": "a\"b'c\\d%s\n", "message": "'; DROP TABLE x; -- %n %s \" \\ \t$$",
             "require": "u.role <> '''' || chr(59)"}]
}$doc$);
SET ROLE regress_enroll_owner;
SELECT object, action, obstacle FROM documents, LATERAL enroll_precheck(document)
WHERE action NOT IN ('adopt', 'create');
SELECT enroll_attach(document) FROM documents;
SET ROLE regress_enroll_caller;
SELECT code, amount, balance_after, seats_left FROM enroll(1, 10);
SELECT code, amount, balance_after FROM quote_unenroll(1, 10);
SELECT code, amount, balance_after, seats_left FROM unenroll(1, 10, ''';--');
SELECT code, replayed FROM unenroll(1, 10, ''';--');
SELECT code, amount FROM enroll_waived(1, 10, '''); DROP TABLE x; --');
SELECT user_id, code FROM try_enroll_many(ARRAY[1, 2], 10);
RESET ROLE;
UPDATE shop_data."users; DROP TABLE ""x"" --" SET role = ''';';
SET ROLE regress_enroll_caller;
SELECT code, message, details FROM try_enroll(1, 10);
SELECT code FROM unenroll(2, 10);
SELECT enroll(2, 10);
SET ROLE regress_enroll_owner;
SELECT * FROM "LEDGER" ORDER BY "ORDER";
SELECT * FROM "a.b\c" ORDER BY 1;
SELECT * FROM enroll_reconcile();
SELECT enroll_detach();

-- Expressions that try to leave their parentheses, or to be a statement.
SELECT enroll_create_tables();
RESET ROLE;
DELETE FROM documents;
INSERT INTO documents SELECT document FROM enroll_policies;
CREATE FUNCTION refused(path text[], fragment text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
  RETURN (SELECT coalesce(min(c.obstacle), 'fits') FROM documents d,
    LATERAL enroll_precheck(jsonb_set(d.document, path, to_jsonb(fragment))) c
    WHERE c.action = 'refuse');
EXCEPTION WHEN OTHERS THEN
  RETURN SQLSTATE || ' ' || SQLERRM;
END $$;
GRANT EXECUTE ON FUNCTION refused TO PUBLIC;
SET ROLE regress_enroll_owner;
SELECT fragment, refused('{tournaments,cost}', fragment) FROM unnest(ARRAY[
  '1) FROM tournaments; DROP TABLE users; --', '1) OR (1', '0)', '(0', '0; SELECT 1', '0 -- ',
  '0 /* ', '''', '"', '$$', '$x$ $y$', '$1', E'0\\', 'E''\''', '''\''', '0]', '[0', '(]', ')(',
  E'''a''\n''b''', 'U&''\0041'' UESCAPE ''!''', '/* /* */', '*/', '/**/', ' ']) fragment;
SELECT fragment, refused('{enrollments,active}', fragment) FROM unnest(ARRAY[
  'is_active) WHERE (true', 'is_active)) TO (x', 'is_active; --', '(SELECT true)']) fragment;
SELECT fragment, refused('{enrollments,insert,status}', fragment) FROM unnest(ARRAY[
  '1), (2', '1, 2', 'DEFAULT', '1) ON CONFLICT DO NOTHING --',
    '(INSERT INTO users DEFAULT VALUES RETURNING 1)',
  '(WITH w AS (DELETE FROM users RETURNING 1) SELECT 1 FROM w)', '''x'' FROM users']) fragment;

-- Sub-selects cannot write; functions of the owner's can, with the owner's rights and no more. They
-- tell where they run as anybody else, and so does what the planner calls while it merely looks.
CREATE FUNCTION volatile_note(what text) RETURNS boolean LANGUAGE plpgsql VOLATILE AS $$
BEGIN
  IF current_user <> 'regress_enroll_owner' THEN
    RAISE NOTICE '% runs as somebody else', what;
  END IF;
  RETURN true;
END $$;
CREATE FUNCTION note(what text) RETURNS boolean LANGUAGE plpgsql IMMUTABLE AS
  $$ BEGIN RETURN shop_data.volatile_note(what); END $$;
CREATE FUNCTION note(what bigint) RETURNS bigint LANGUAGE plpgsql IMMUTABLE AS
  $$ BEGIN PERFORM shop_data.volatile_note('an index'); RETURN what; END $$;
INSERT INTO users (id, credit_balance) VALUES (1, 100), (2, 100);
INSERT INTO tournaments (id, name, capacity, cost) VALUES (10, 'Cup', 3, 10);
RESET ROLE;
SELECT note('this');
UPDATE documents SET document = document || '{
  "refund": "CASE WHEN volatile_note(''refund'') THEN paid END",
  "rules": [{"name": "noted", "require": "volatile_note(''rule'') AND note(''rule, planned'')"}],
  "on_enroll": ["SELECT volatile_note(''follow-up'')"]}';
UPDATE documents SET document =
  jsonb_set(jsonb_set(jsonb_set(jsonb_set(jsonb_set(jsonb_set(document,
  '{tournaments,open}', '"volatile_note(''open'')"'),
  '{tournaments,cost}',
    '"CASE WHEN volatile_note(''cost'') AND note(''cost, planned'') THEN 10 END"'),
  '{tournaments,capacity}',
    '"CASE WHEN volatile_note(''room'') AND note(''room, planned'') THEN 3 END"'),
  '{enrollments,active}', '"is_active AND note(''active'')"'),
  '{enrollments,insert}', '{"is_active": "volatile_note(''insert'')", "status": "''ENROLLED''"}'),
  '{ledger,insert,description}', '"CASE WHEN volatile_note(''ledger'') THEN ''noted'' END"');
-- A superuser looks at it, attaches it, calls, writes, recounts, looks again and detaches.
SET client_min_messages = error;
SELECT enroll_detach();
RESET client_min_messages;
SELECT object, action, obstacle FROM documents, LATERAL enroll_precheck(document)
WHERE action IN ('refuse', 'warn');
SELECT enroll_attach(document) FROM documents;
SELECT code FROM enroll(1, 10);
SELECT code FROM can_enroll(2, 10);
SELECT code, amount FROM enroll_waived(2, 10, 'a friend');
SELECT code FROM try_unenroll(2, 10);
SELECT user_id, code FROM try_enroll_many(ARRAY[1, 2], 10);
DELETE FROM enrollments WHERE user_id = 2;
INSERT INTO enrollments (user_id, tournament_id) VALUES (2, 10);
UPDATE tournaments SET capacity = 4;
SELECT code FROM quote_unenroll(1, 10);
SELECT code, amount FROM unenroll(1, 10);
SELECT * FROM enroll_reconcile();
SELECT guarded FROM enroll_policies;
SELECT count(*) > 0 AS looked FROM documents, LATERAL enroll_precheck(document);
SELECT enroll_attach(document) FROM documents;
SELECT enroll_detach();
-- Nor do the tables' own things run as the superuser: checks, index expressions and predicates,
-- generated columns, row-level security.
SET ROLE regress_enroll_owner;
ALTER TABLE users ADD CONSTRAINT noted CHECK (note('check') OR id = 0);
ALTER TABLE users ADD COLUMN noted bigint GENERATED ALWAYS AS (note(id)) STORED;
CREATE INDEX noted_1 ON users (id) WHERE note('predicate of users');
CREATE INDEX noted_2 ON tournaments (id) WHERE note('predicate of tournaments');
CREATE INDEX noted_3 ON credit_transactions (id) WHERE note('predicate of the ledger');
CREATE INDEX noted_4 ON enrollments (note(user_id)) WHERE note('predicate');
CREATE UNIQUE INDEX noted_5 ON enrollments (user_id, tournament_id, note(id)) WHERE note('unique');
CREATE STATISTICS noted ON (note(user_id)), tournament_id FROM enrollments;
ALTER TABLE enrollments ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY noted ON enrollments USING (volatile_note('policy'));
RESET ROLE;
SELECT object, action, obstacle FROM documents, LATERAL enroll_precheck(document)
WHERE action IN ('refuse', 'warn');
SELECT enroll_attach(jsonb_set(document, '{enrollments,reenroll}', '"reactivate"')) FROM documents;
SELECT guarded FROM enroll_policies;
SELECT code FROM try_enroll(1, 10);
SELECT enroll_attach(jsonb_set(document, '{enrollments,reenroll}', '"reactivate"')) FROM documents;
SELECT * FROM enroll_reconcile();
SELECT enroll_detach();
-- Nor what they leave for the transaction's end: a deferred trigger would fire as whoever commits.
SET ROLE regress_enroll_owner;
DROP INDEX noted_1, noted_2, noted_3, noted_4, noted_5;
CREATE TABLE fuse (lit_by name DEFAULT current_user);
CREATE FUNCTION go_off() RETURNS trigger LANGUAGE plpgsql AS
  $$ BEGIN
    RAISE NOTICE 'went off as somebody else: %', current_user <> 'regress_enroll_owner';
    RETURN NULL;
  END $$;
CREATE CONSTRAINT TRIGGER go_off AFTER INSERT ON fuse DEFERRABLE INITIALLY DEFERRED
FOR EACH ROW EXECUTE FUNCTION go_off();
-- Lies low while a mere look forbids it to write.
CREATE FUNCTION light() RETURNS boolean LANGUAGE plpgsql VOLATILE AS $$
BEGIN
  IF current_setting('transaction_read_only') = 'off' THEN
    INSERT INTO shop_data.fuse DEFAULT VALUES;
  END IF;
  RETURN true;
END $$;
ALTER TABLE users ADD CONSTRAINT lit CHECK (credit_balance >= 0 AND light()) NOT VALID;
RESET ROLE;
INSERT INTO shop_data.fuse DEFAULT VALUES;
-- That such a call is refused is as good as that it leaves nothing.
CREATE PROCEDURE attempt(statement text) LANGUAGE plpgsql AS $$
BEGIN
  EXECUTE statement;
EXCEPTION WHEN insufficient_privilege OR undefined_object THEN
  NULL;
END $$;
CREATE TABLE lit AS SELECT document, jsonb_set(document, '{tournaments,capacity}',
  '"CASE WHEN light() THEN 3 END"') AS room, jsonb_set(document, '{tournaments,open}',
  '"light()"') AS open FROM documents;
CALL attempt('SELECT enroll_attach(document) FROM lit');
ALTER TABLE users DROP CONSTRAINT lit;
CALL attempt('SELECT enroll_attach(room) FROM lit');
CALL attempt('SELECT * FROM enroll_reconcile()');
CALL attempt('SELECT enroll_attach(open) FROM lit');
CALL attempt('SELECT can_enroll(1, 10)');
CALL attempt('SELECT quote_unenroll(1, 10)');
SELECT guarded FROM enroll_policies;
SELECT enroll_detach();
DROP TABLE lit;
-- A look writes nothing, whatever it looks at, and keeps no rights: a function that tries is told.
SET ROLE regress_enroll_owner;
CREATE TABLE written (what text);
CREATE OR REPLACE FUNCTION volatile_note(what text) RETURNS boolean LANGUAGE plpgsql VOLATILE AS $$
BEGIN
  INSERT INTO shop_data.written VALUES (what);
  RETURN true;
END $$;
RESET ROLE;
SELECT object, action, obstacle FROM documents, LATERAL enroll_precheck(document)
WHERE action IN ('refuse', 'warn');
SET ROLE regress_enroll_owner;
CREATE OR REPLACE FUNCTION volatile_note(what text) RETURNS boolean LANGUAGE plpgsql VOLATILE AS $$
BEGIN
  SET ROLE NONE;
  RETURN true;
END $$;
RESET ROLE;
SELECT object, action, obstacle FROM documents, LATERAL enroll_precheck(document)
WHERE action IN ('refuse', 'warn');
SELECT current_user = session_user AS still_myself;
SET ROLE regress_enroll_owner;
CREATE OR REPLACE FUNCTION volatile_note(what text) RETURNS boolean LANGUAGE sql VOLATILE AS
  'SELECT true';
SELECT count(*) AS written FROM written;
-- A function that raises, or that is not the owner's to call.
CREATE FUNCTION fails() RETURNS bigint LANGUAGE plpgsql IMMUTABLE AS
  $$ BEGIN RAISE 'on purpose' USING ERRCODE = 'OOPS1'; END $$;
SELECT object, action, obstacle FROM documents, LATERAL enroll_precheck(
  jsonb_set(document, '{tournaments,cost}', '"fails()"')) WHERE action = 'refuse';
SELECT object, action, obstacle FROM documents, LATERAL enroll_precheck(
  jsonb_set(document, '{enrollments,active}', '"fails() > 0"')) WHERE action = 'refuse';
RESET ROLE;
CREATE TABLE shop.hidden (id bigint);
CREATE FUNCTION shop.hidden() RETURNS bigint LANGUAGE sql RETURN 1;
REVOKE EXECUTE ON FUNCTION shop.hidden() FROM PUBLIC;
SELECT object, obstacle, remedy FROM documents, LATERAL enroll_precheck(jsonb_set(jsonb_set(
  document, '{tournaments,cost}', '"(SELECT max(h.id) FROM shop.hidden h)"'), '{on_enroll}',
  '["SELECT shop.hidden()", "INSERT INTO shop.hidden VALUES (:user)", "DELETE FROM shop.hidden"]'))
WHERE action = 'refuse';
SELECT enroll_attach(jsonb_set(document, '{tournaments,cost}',
  '"(SELECT max(h.id) FROM shop.hidden h)"'))
FROM documents;

-- Whoever attaches finds the tables by the search path; nothing else of it counts. A table of the
-- same name in an earlier schema, or a temporary one, is not the owner's.
CREATE SCHEMA shop_trap AUTHORIZATION regress_enroll_caller;
CREATE SCHEMA shop_open;
GRANT CREATE, USAGE ON SCHEMA shop_open TO PUBLIC;
SET ROLE regress_enroll_caller;
CREATE TABLE shop_trap.users (id bigint PRIMARY KEY, credit_balance bigint NOT NULL);
DO $$
DECLARE kind text;
BEGIN
  FOREACH kind IN ARRAY ARRAY['text', 'bigint', 'oid', 'name', '"char"', 'boolean', 'integer'] LOOP
    EXECUTE format('CREATE FUNCTION shop_trap.trap(a %1$s, b %1$s) RETURNS boolean LANGUAGE plpgsql
      AS $f$ BEGIN
        RAISE NOTICE ''operator for %1$s runs as %%'', current_user;
        RETURN a OPERATOR(pg_catalog.=) b;
      END $f$', kind);
    EXECUTE format('CREATE OPERATOR shop_trap.= (LEFTARG = %1$s, RIGHTARG = %1$s,
      FUNCTION = shop_trap.trap)', kind);
  END LOOP;
END $$;
CREATE FUNCTION shop_trap.count() RETURNS bigint LANGUAGE sql RETURN 1;
CREATE FUNCTION shop_trap.volatile_note(text) RETURNS boolean LANGUAGE plpgsql AS
  $$ BEGIN RAISE EXCEPTION 'trapped as %', current_user; END $$;
GRANT USAGE ON SCHEMA shop_trap TO PUBLIC;
SELECT 1 OPERATOR(shop_trap.=) 1 AS is_a_trap;
SET ROLE regress_enroll_owner;
GRANT USAGE ON SCHEMA shop_data TO PUBLIC;
SET search_path = shop_trap, shop_data, shop;
SELECT object, obstacle, remedy FROM documents, LATERAL enroll_precheck(document)
WHERE action OPERATOR(pg_catalog.=) 'refuse';
SET search_path = shop_open, shop_data, shop;
SELECT object, obstacle, remedy FROM documents, LATERAL enroll_precheck(document)
WHERE action = 'refuse';
SELECT enroll_attach(document) FROM documents;
RESET ROLE;
DROP TABLE shop_trap.users;
SET search_path = shop_trap, pg_catalog, shop_data, shop;
SELECT object, obstacle FROM documents, LATERAL enroll_precheck(document)
WHERE action OPERATOR(pg_catalog.=) 'refuse';
SELECT enroll_attach(document) FROM documents;
SET ROLE regress_enroll_owner;
SET search_path = pg_temp, shop_data, shop;
CREATE TEMP TABLE users (id bigint PRIMARY KEY, credit_balance bigint NOT NULL);
SELECT object, regexp_replace(obstacle, '_[0-9]+', '_n') AS obstacle FROM documents,
  LATERAL enroll_precheck(document) WHERE action = 'refuse';
SET search_path = shop_data, shop, pg_temp;
DELETE FROM enrollments;
DELETE FROM credit_transactions;
SELECT enroll_attach(jsonb_set(document, '{enrollments,reenroll}', '"reactivate"')) FROM documents;
SELECT code FROM enroll(1, 10);
SELECT id, credit_balance FROM shop_data.users ORDER BY id;
DROP TABLE pg_temp.users;

-- What a policy names and has lost is not to be had by a temporary object of the caller's.
SET search_path = shop_data, shop;
CREATE TABLE told (who bigint);
CREATE DOMAIN grade AS integer;
SELECT enroll_attach(document || '{"rules": [{"name": "grade", "require": "1::grade = 1"}],
  "on_enroll": ["INSERT INTO told VALUES (:user)"]}') FROM documents;
SELECT code FROM unenroll(1, 10);
SELECT code FROM enroll(1, 10);
ALTER TABLE told RENAME TO told_before;
SET ROLE regress_enroll_caller;
SET search_path = shop;
CREATE TEMP TABLE told (who bigint);
CREATE FUNCTION pg_temp.grab(what text) RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
  RAISE EXCEPTION '% grabs as somebody else: %', what, current_user <> session_user
    AND current_user <> 'regress_enroll_caller';
END $$;
GRANT EXECUTE ON FUNCTION pg_temp.grab TO PUBLIC;
CREATE FUNCTION pg_temp.grab() RETURNS trigger LANGUAGE plpgsql AS
  $$ BEGIN RETURN CASE WHEN pg_temp.grab('the trigger') THEN NEW END; END $$;
CREATE TRIGGER grab BEFORE INSERT ON told FOR EACH ROW EXECUTE FUNCTION pg_temp.grab();
GRANT INSERT ON told TO PUBLIC;
SELECT try_enroll(2, 10);
SET ROLE regress_enroll_owner;
ALTER TABLE shop_data.told_before RENAME TO told;
SELECT code FROM enroll(2, 10);
ALTER DOMAIN shop_data.grade RENAME TO grade_before;
\c -
SET ROLE regress_enroll_caller;
SET search_path = shop;
CREATE FUNCTION pg_temp.grab(what integer) RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
  RAISE EXCEPTION 'grabs as %', current_user;
END $$;
GRANT EXECUTE ON FUNCTION pg_temp.grab TO PUBLIC;
CREATE DOMAIN pg_temp.grade AS integer CHECK (pg_temp.grab(VALUE));
GRANT USAGE ON TYPE pg_temp.grade TO PUBLIC;
SELECT can_enroll(1, 10);
SELECT try_unenroll(1, 10);
SELECT try_enroll(1, 10);
RESET ROLE;
ALTER DOMAIN shop_data.grade_before RENAME TO grade;
SELECT code FROM can_enroll(1, 10);
SELECT who FROM shop_data.told ORDER BY who;
DROP DOMAIN pg_temp.grade;
DROP FUNCTION pg_temp.grab;

-- Who does not own the tables attaches nothing, detaches nothing, and is told so by the dry run.
SET ROLE regress_enroll_caller;
SET search_path = shop_data, shop;
SELECT enroll_attach(document, 'mine') FROM documents;
SELECT enroll_attach(document) FROM documents;
SELECT enroll_detach();
SELECT object, obstacle FROM documents, LATERAL enroll_precheck(document) WHERE action = 'refuse';
SET ROLE regress_enroll_owner;
GRANT SELECT ON ALL TABLES IN SCHEMA shop_data TO regress_enroll_caller;
SET ROLE regress_enroll_caller;
SELECT object, obstacle FROM documents, LATERAL enroll_precheck(document) WHERE action = 'refuse';
-- What the caller writes into a document runs as nobody but the caller.
CREATE FUNCTION shop_trap.grab() RETURNS bigint LANGUAGE plpgsql IMMUTABLE AS $$
BEGIN
  IF current_user <> 'regress_enroll_caller' THEN
    RAISE NOTICE 'grabbed by somebody else';
  END IF;
  RETURN 1;
END $$;
GRANT EXECUTE ON FUNCTION shop_trap.grab TO PUBLIC;
SELECT count(*) > 0 AS looked FROM documents, LATERAL enroll_precheck(jsonb_set(jsonb_set(jsonb_set(
  document, '{tournaments,cost}', '"shop_trap.grab()"'), '{tournaments,capacity}',
  '"shop_trap.grab()"'), '{enrollments,active}', '"is_active AND shop_trap.grab() = 1"'), 'mine');
SELECT enroll_attach(jsonb_set(document, '{tournaments,cost}', '"shop_trap.grab()"'), 'mine')
FROM documents;
SELECT enroll_attach(jsonb_set(document, '{tournaments,cost}', '"shop_trap.grab()"'))
FROM documents;
RESET ROLE;
SELECT shop_trap.grab();
SELECT rolname, rolsuper FROM pg_roles WHERE rolname ~ '^regress_enroll_(owner|caller)' ORDER BY 1;

SET client_min_messages = error;
SELECT enroll_detach();
DROP SCHEMA shop_data, shop_trap, shop_open, shop CASCADE;
DROP ROLE regress_enroll_owner, regress_enroll_caller;
