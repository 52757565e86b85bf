-- The policy document: whatever is wrong with it is told at once, with its place, what was found,
-- what is allowed and the nearest known name.
\set SHOW_CONTEXT never
SET client_min_messages = error;
DROP EXTENSION IF EXISTS pg_enroll CASCADE;
DROP SCHEMA IF EXISTS shop CASCADE;
CREATE SCHEMA shop;
SET search_path = shop;
CREATE EXTENSION pg_enroll;
SELECT enroll_create_tables();
RESET client_min_messages;

CREATE TABLE documents AS SELECT document FROM enroll_policies;
SELECT enroll_detach();
CREATE VIEW objects AS
  SELECT (SELECT count(*) FROM pg_index WHERE indrelid IN
            ('users'::regclass, 'enrollments'::regclass)) AS indexes,
         (SELECT count(*) FROM pg_constraint WHERE conrelid IN
            ('users'::regclass, 'enrollments'::regclass)) AS constraints,
         (SELECT count(*) FROM pg_trigger
          WHERE NOT tgisinternal AND tgname <> 'append_only') AS triggers,
         (SELECT count(*) FROM enroll_policy) AS policies,
         (SELECT count(*) FROM enroll_seat) AS seats;
SELECT * FROM objects;

-- What attach and the dry run say of a document that is none. Both say the same.
CREATE FUNCTION attach_error(document jsonb) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
  hint text;
BEGIN
  PERFORM enroll_attach(document);
  RAISE EXCEPTION USING ERRCODE = 'UNDO1';
EXCEPTION
  WHEN SQLSTATE 'UNDO1' THEN RETURN 'attached';
  WHEN OTHERS THEN
    GET STACKED DIAGNOSTICS hint = PG_EXCEPTION_HINT;
    RETURN concat_ws(' ', SQLSTATE, SQLERRM, '/ ' || nullif(hint, ''));
END $$;
CREATE FUNCTION precheck_error(document jsonb) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
  hint text;
BEGIN
  RETURN (SELECT string_agg(concat_ws(' ', object, obstacle, '/ ' || remedy), E'\n')
          FROM enroll_precheck(document) WHERE action = 'refuse');
EXCEPTION WHEN OTHERS THEN
  GET STACKED DIAGNOSTICS hint = PG_EXCEPTION_HINT;
  RETURN concat_ws(' ', SQLSTATE, SQLERRM, '/ ' || nullif(hint, ''));
END $$;

\set VERBOSITY terse
\pset format unaligned
\pset tuples_only on
-- Not even an object; keys unknown, missing and of the wrong kind; two jobs for one column.
CREATE TABLE errors (nr integer GENERATED ALWAYS AS IDENTITY, path text[], value jsonb, error text);
INSERT INTO errors (path, value) VALUES
  ('{}', 'null'), ('{}', '[]'), ('{}', '{}'), ('{}', '"policy"'),
  ('{user}', '{}'), ('{Refund}', '"0"'), ('{something}', '1'), ('{users,balanc}', '"x"'),
  ('{users}', '[]'), ('{users,table}', '7'), ('{users,table}', '""'), ('{users,key}', 'null'),
  ('{tournaments,cost}', '5'), ('{tournaments,open}', 'true'), ('{tournaments,capacity}', 'null'),
  ('{tournaments,open}', '""'), ('{tournaments,open}', '"/* nothing */"'),
  ('{enrollments,insert}', '[]'), ('{enrollments,insert}', '{"status": 1}'),
  ('{enrollments,insert}', '{"": "1"}'), ('{enrollments,withdraw}', '{}'),
  ('{enrollments,insert}', '{"user_id": "1"}'), ('{enrollments,withdraw}', '{"id": "1"}'),
  ('{enrollments,tournament}', '"user_id"'), ('{enrollments,reenroll}', '"reactivated"'),
  ('{enrollments,reenroll}', 'true'), ('{users,balance}', '"id"'),
  ('{ledger,type}', '"type"'), ('{ledger,type,waive}', '"REFUND"'), ('{ledger,type,enroll}', '""'),
  ('{ledger,insert}', '{"amount": "1"}'), ('{ledger,enroll}', '{"type": "1"}'),
  ('{ledger,strict}', '1'), ('{ledger,strict}', '"no"'), ('{ledger,order}', '["id"]'),
  ('{rules}', '{}'), ('{rules}', '[1]'), ('{rules}', '[{"name": "a"}]'),
  ('{rules}', '[{"name": "a", "require": "true", "http_status": 200}]'),
  ('{rules}', '[{"name": "a", "require": "true", "http_status": "404"}]'),
  ('{rules}', '[{"name": "a", "require": "true", "http_status": 404.5}]'),
  ('{rules}', '[{"name": "a", "require": "true"}, {"name": "a", "require": "true"}]'),
  ('{rules}', '[{"name": "a", "require": "true", "on": "enrol"}]'),
  ('{rules}', '[{"name": "a", "require": "true", "message": ""}]'),
  ('{rules}', '[{"name": "", "require": "true"}]'), ('{rules}', '[{"nam": "a"}]'),
  ('{watch}', '{"table": "rooms"}'), ('{watch}', '[{"table": "rooms"}]'),
  ('{watch}', '[{"table": "a", "tournament": "b"}, {"table": "a", "tournament": "c"}]'),
  ('{callers}', '[]'), ('{callers}', '"app"'), ('{callers}', '["app", "app"]'),
  ('{run_as}', '"superuser"'), ('{run_as}', '"Owner"'), ('{stripes}', '"4"'), ('{notify}', '"all"'),
  ('{wait}', '3'), ('{wait}', '"3"'), ('{wait}', '"3 s"'), ('{wait}', '"0s"'), ('{wait}', '"-1s"'),
  ('{wait}', '"1.5s"'), ('{wait}', '"36000min"'), ('{wait}', '"999999999999999999999ms"');
UPDATE errors SET error = attach_error(CASE WHEN path = '{}' THEN value
  ELSE jsonb_set(document, path, value) END) FROM documents;
SELECT nr || ' ' || error FROM errors ORDER BY nr;
SELECT count(*) FROM errors CROSS JOIN documents WHERE error IS DISTINCT FROM
  precheck_error(CASE WHEN path = '{}' THEN value ELSE jsonb_set(document, path, value) END);
SELECT attach_error(document #- '{ledger,order}'), attach_error(document - 'users') FROM documents;
-- A row that is written anew by nothing stays withdrawn.
SELECT attach_error(jsonb_set(document #- '{enrollments,insert}', '{enrollments,reenroll}',
  '"reactivate"')) FROM documents;
SELECT enroll_attach(NULL);
SELECT count(*) FROM enroll_precheck(NULL);
SELECT enroll_attach(document, '') FROM documents;
SELECT count(*) FROM documents, LATERAL enroll_precheck(document, NULL);

-- What the tables, columns and expressions turn out to be.
\pset tuples_only off
\pset format aligned
TRUNCATE errors RESTART IDENTITY;
CREATE TABLE rooms (cup bigint);
INSERT INTO errors (path, value) VALUES
  ('{users,table}', '"user"'), ('{users,table}', '"Users"'), ('{users,table}', '"shop.USERS"'),
  ('{users,table}', '"nowhere.users"'), ('{users,table}', '"enroll_policies"'),
  ('{users,table}', '"tournaments"'), ('{users,key}', '"ID"'), ('{users,balance}', '"name"'),
  ('{enrollments,time}', '"enroled_at"'), ('{ledger,user}', '"usr_id"'),
  ('{enrollments,insert}', '{"is_activ": "TRUE"}'), ('{ledger,waive}', '{"descr": "reason"}'),
  -- cost and capacity must be numbers, exact ones, and whole ones
  ('{tournaments,cost}', '"t.name"'), ('{tournaments,cost}', '"t.cost::float8"'),
  ('{tournaments,cost}', '"''10''"'), ('{tournaments,cost}', '"''ten''"'),
  ('{tournaments,cost}', '"u.id"'),
  ('{tournaments,cost}', '"t.cost, 1"'), ('{tournaments,cost}', '"(t.cost, 1)"'),
  ('{tournaments,cost}', '"sum(t.cost)"'), ('{tournaments,cost}', '"row_number() OVER ()"'),
  ('{tournaments,cost}', '"generate_series(1, 3)"'), ('{tournaments,cost}', '"t.price"'),
  ('{tournaments,cost}', '"(SELECT 1 FROM nowhere)"'), ('{tournaments,cost}', '"nothing(t.id)"'),
  ('{tournaments,cost}', '"t.cost FROM tournaments t"'), ('{tournaments,cost}', '"1 +"'),
  ('{tournaments,cost}', '"*"'), ('{tournaments,cost}', '"t.*"'), ('{tournaments,cost}', '"t"'),
  ('{tournaments,capacity}', '"t.capacity / 2.0"'),
  ('{tournaments,capacity}', '"t.capacity::float4"'),
  ('{tournaments,capacity}', '"''12''"'), ('{tournaments,capacity}', '"u.id"'),
  ('{tournaments,capacity}', '"count(*)"'), ('{tournaments,capacity}', '"t.capasity"'),
  -- conditions must be conditions
  ('{tournaments,open}', '"t.capacity"'), ('{tournaments,open}', '"u.id = 1"'),
  ('{tournaments,open}', '"t.status = 1"'), ('{tournaments,open}', '"bool_or(true)"'),
  ('{enrollments,active}', '"1"'), ('{enrollments,active}', '"status"'),
  ('{enrollments,active}', '"e.is_active"'), ('{enrollments,active}', '"is_actve"'),
  ('{enrollments,active}', '"(SELECT is_active)"'),
  ('{enrollments,active}', '"enrolled_at < now()"'),
  ('{enrollments,active}', '"count(*) > 0"'), ('{enrollments,active}', '"random() < 0.5"'),
  ('{enrollments,active}', '"enrolled_at::text > ''2001''"'),
  ('{enrollments,active}', '"ctid IS NULL"'),
  ('{enrollments,active}', '"tableoid > 0"'),
  ('{enrollments,withdrawn}', '"status"'), ('{enrollments,withdrawn}', '"t.id = 1"'),
  ('{rules}', '[{"name": "a", "require": "u.id"}]'),
  ('{rules}', '[{"name": "a", "require": "e.id = 1"}]'),
  ('{rules}', '[{"name": "a", "require": "true"}, {"name": "b", "on": "unenroll",
  "require": "f.id = 1"}]'),
  -- assignments must fit their columns, the refund be a number
  ('{enrollments,insert}', '{"status": "now()", "enrolled_at": "42"}'),
  ('{enrollments,insert}', '{"status": "e.status"}'),
  ('{enrollments,insert}', '{"is_active": "1"}'),
  ('{enrollments,insert}', '{"status": "DEFAULT"}'),
  ('{enrollments,withdraw}', '{"status": "paid"}'), ('{enrollments,withdraw}', '{"tableoid": "1"}'),
  ('{ledger,insert}', '{"created_at": "cost"}'), ('{ledger,enroll}', '{"tournament_id": "t.name"}'),
  ('{ledger,unenroll}', '{"description": "paid"}'),
  ('{ledger,waive}', '{"tournament_id": "reason"}'),
  ('{refund}', '"reason"'), ('{refund}', '"paid::float8"'), ('{refund}', '"t.name"'),
  ('{refund}', '"paid > 0"'), ('{refund}', '"sum(paid)"'),
  ('{callers}', '["regress_enroll_nobody"]'), ('{callers}', '["PUBLIC"]'),
  -- a row is no value
  ('{enrollments,insert}', '{"status": "t.*"}'), ('{enrollments,insert}', '{"status": "(u).*"}'),
  ('{enrollments,withdraw}', '{"is_active": "t.*"}'), ('{ledger,insert}', '{"description": "e.*"}'),
  ('{ledger,enroll}', '{"tournament_id": "ROW(1, 2)"}'), ('{refund}', '"t.*"'),
  -- a table serves once, however it is spelled
  ('{watch}', '[{"table": "tournaments", "tournament": "id"}]'),
  ('{watch}', '[{"table": "enrollments", "tournament": "tournament_id"}]'),
  ('{watch}', '[{"table": "rooms", "tournament": "cup"},
    {"table": "shop.rooms", "tournament": "cup"}]'),
  -- columns without their alias, which another table of a statement may have too
  ('{tournaments,cost}', '"cost"'), ('{tournaments,capacity}', '"CAPACITY + 1"'),
  ('{tournaments,open}', '"''é'' < \"status\""'), ('{refund}', '"least(paid, credit_balance)"'),
  ('{refund}', '"(SELECT count(*) FROM users x WHERE x.id = user_id)"'),
  ('{rules}', '[{"name": "a", "require": "credit_balance > 1"}]'),
  ('{rules}', '[{"name": "a", "require": "enrolled_at > ''2001-01-01''"}]'),
  ('{enrollments,insert}', '{"status": "name"}'),
  ('{enrollments,withdraw}', '{"is_active": "FALSE", "status": "status"}'),
  ('{ledger,insert}', '{"description": "status || operation"}'),
  ('{ledger,insert}', '{"description": "cost || operation || reason"}'),
  ('{refund}', '"(SELECT max(id) FROM users x, users y)"'),
  ('{refund}', '"(SELECT max(nothing) FROM (SELECT 1 AS nothing) x, (SELECT 2 AS nothing) y)"'),
  ('{refund}', '"(SELECT max(credit_balance) FROM users)"'),
  -- which rows are active is not said by what is the same for all
  ('{enrollments,active}', '"NULL"'), ('{enrollments,active}', '"TRUE"'),
  ('{enrollments,active}', '"1 = 2"'), ('{enrollments,active}', '"is_active OR TRUE"'),
  ('{enrollments,active}', '"is_active = TRUE"'),
  -- what one session alone sees
  ('{rules}', '[{"name": "a", "require": "EXISTS (SELECT FROM only_here)"}]'),
  ('{rules}', '[{"name": "a", "require": "pg_temp.here(u.id)"}]'),
  ('{on_enroll}', '["SELECT 1", "INSERT INTO only_here VALUES (:user)"]'),
  ('{on_unenroll}', '["SELECT NULL::only_here"]'),
  ('{enrollments,active}', '"is_active AND pg_temp.here(user_id)"');
CREATE TEMP TABLE only_here (id bigint);
CREATE FUNCTION pg_temp.here(bigint) RETURNS boolean IMMUTABLE LANGUAGE plpgsql
AS 'BEGIN RETURN true; END';
UPDATE errors SET error = precheck_error(jsonb_set(document, path, value)) FROM documents;
\pset format unaligned
SELECT nr, coalesce(error, 'accepted ' || (value #>> '{}')) FROM errors ORDER BY nr;
\pset format aligned
-- Attach refuses just these, and says where to look.
SELECT nr, attach FROM errors, documents,
  LATERAL attach_error(jsonb_set(document, path, value)) attach
WHERE (error IS NULL) <> (attach = 'attached') OR (error IS NOT NULL) <> (attach ~ '^55000')
ORDER BY nr;
SELECT count(*) > 0 AS refused FROM documents, LATERAL enroll_precheck(
  jsonb_set(document, '{enrollments,insert}', '{"status": "t.*"}')) WHERE action = 'refuse';
\set VERBOSITY default
SELECT enroll_attach(jsonb_set(jsonb_set(document, '{users,balance}', '"credits"'),
  '{refund}', '"t.name"')) FROM documents;
SELECT * FROM objects;

-- These are fine: nested sub-selects, every alias in its place, quoted strings of all kinds.
INSERT INTO tournaments (id, name, cost) VALUES (10, 'Cup', 10);
INSERT INTO users (id, credit_balance) VALUES (1, 100), (2, 100);
SELECT enroll_attach(document || '{
  "refund": "CASE WHEN e.status = $$ENROLLED$$ AND u.id > 0 AND t.id > 0 THEN paid END",
  "rules": [{"name": "all",
    "require": "(SELECT true FROM users x WHERE x.id = u.id /* ) */) AND E''\\n)'' <> $a$)$a$"}]}')
FROM documents;
SELECT code FROM enroll(1, 10);
SELECT code, amount FROM unenroll(1, 10);
-- An expression that answers two rows is the policy's own error, whoever meets it.
SELECT enroll_attach(document || '{"refund": "(SELECT x.id FROM users x)"}') FROM documents;
SELECT code FROM enroll(1, 10);
SELECT try_unenroll(1, 10);
\echo :LAST_ERROR_SQLSTATE
SELECT enroll_attach(jsonb_set(document, '{tournaments,open}',
  '"(SELECT x.id > 0 FROM users x)"')) FROM documents;
SELECT try_enroll(2, 10);
\echo :LAST_ERROR_SQLSTATE
SELECT can_enroll(2, 10);
-- Also when a counter has to be filled: then attach meets it, and leaves the policy as it was.
SELECT enroll_attach(jsonb_set(document, '{tournaments,capacity}',
  '"(SELECT x.id FROM users x)"')) FROM documents;
\echo :LAST_ERROR_SQLSTATE
SELECT document #>> '{tournaments,capacity}' AS capacity FROM enroll_policies;
-- Columns that must be filled, and are not.
ALTER TABLE enrollments ADD COLUMN paper text NOT NULL DEFAULT 'A4', ADD COLUMN ink text;
ALTER TABLE enrollments ALTER paper DROP DEFAULT;
ALTER TABLE credit_transactions ADD COLUMN why text NOT NULL DEFAULT 'x',
  ADD COLUMN made date NOT NULL DEFAULT now();
ALTER TABLE credit_transactions ALTER why DROP DEFAULT;
SELECT object, obstacle, remedy FROM documents, LATERAL enroll_precheck(
  jsonb_set(document, '{ledger,enroll}', '{"why": "''because''"}')) WHERE action = 'refuse';
SELECT object, obstacle FROM documents, LATERAL enroll_precheck(jsonb_set(jsonb_set(
  document, '{ledger,insert,why}', '"operation"'), '{enrollments,insert}', '{"paper": "''A3''"}'))
WHERE action = 'refuse';

SET client_min_messages = error;
SELECT enroll_detach();
DROP SCHEMA shop CASCADE;
