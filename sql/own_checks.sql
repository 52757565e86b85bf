-- Checks of one's own: they run beside the built-in ones, as the tables' owner, and only read.
\set SHOW_CONTEXT never
SET client_min_messages = error;
DROP EXTENSION IF EXISTS pg_enroll CASCADE;
DROP SCHEMA IF EXISTS shop CASCADE;
DROP ROLE IF EXISTS regress_enroll_owner, regress_enroll_operator, regress_enroll_nobody;
CREATE ROLE regress_enroll_owner;
CREATE ROLE regress_enroll_operator;
CREATE ROLE regress_enroll_nobody;
CREATE SCHEMA shop AUTHORIZATION regress_enroll_owner;
SET search_path = shop;
CREATE EXTENSION pg_enroll;
GRANT USAGE ON SCHEMA shop TO regress_enroll_operator, regress_enroll_nobody;
GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA shop TO regress_enroll_owner, regress_enroll_nobody;
GRANT EXECUTE ON FUNCTION enroll_check(interval, text), enroll_report(interval, text),
  enroll_assert(interval, boolean, text) TO regress_enroll_operator;
SET ROLE regress_enroll_owner;
SELECT enroll_create_tables();
RESET client_min_messages;
INSERT INTO users (id, name, credit_balance) SELECT i, 'User ' || i, 100
FROM generate_series(1, 30) i;
INSERT INTO tournaments (id, name, capacity, cost) VALUES (10, 'Cup', 3, 10), (11, 'Open', NULL, 0);
CREATE FUNCTION found(OUT id text, OUT title text, OUT severity text, OUT status text,
                      OUT violations bigint, OUT sample jsonb, OUT detail text)
RETURNS SETOF record LANGUAGE sql AS $$
  SELECT id, title, severity, status, violations, sample, detail FROM enroll_check()
  WHERE id NOT LIKE 'INV-%'
$$;

-- Found or not, of each severity, in the order of their names.
SELECT enroll_add_check('rich', 'warning', 'SELECT id, credit_balance FROM users
  WHERE credit_balance >= 100 AND id > 28 ORDER BY id DESC', 'Nobody is rich');
SELECT enroll_add_check('nameless', 'error', 'SELECT id FROM tournaments WHERE name = '''';',
                        'Every tournament has a name');
SELECT enroll_add_check('names', 'info', $$
  WITH named AS (SELECT name FROM users) SELECT name, name FROM named ORDER BY length(name), name
  -- and a comment at the end$$, 'Users have no names');
SELECT * FROM found();
SELECT line FROM enroll_report() line WHERE line NOT LIKE 'INV-%';
SELECT enroll_assert();
SELECT enroll_assert(strict => true);
-- An operator needs no right on the tables.
RESET ROLE;
SET ROLE regress_enroll_operator;
SELECT id, violations FROM enroll_check() WHERE status = 'failed';
SELECT enroll_assert();
RESET ROLE;
SET ROLE regress_enroll_owner;
SELECT enroll_drop_check('names');
SELECT enroll_drop_check('rich');
SELECT enroll_drop_check('nameless');
SELECT * FROM found();
SELECT enroll_drop_check('names');

-- :since is where the window begins; a cast is no placeholder.
SELECT enroll_add_check('window', 'info',
  'SELECT :since > now() - interval ''8 days'' AS in_it, now()::date - :since::date < 8 AS near',
  'The window is shown');
SELECT sample FROM found();
SELECT enroll_drop_check('window');

-- What is no check.
SELECT enroll_add_check('INV-11', 'info', 'SELECT 1', 'x');
SELECT enroll_add_check('inv-x', 'info', 'SELECT 1', 'x');
SELECT enroll_add_check('', 'info', 'SELECT 1', 'x');
SELECT enroll_add_check('x', 'fatal', 'SELECT 1', 'x');
SELECT enroll_add_check('x', 'info', '', 'x');
SELECT enroll_add_check('x', 'info', NULL, 'x');
SELECT enroll_add_check(NULL, 'info', 'SELECT 1', 'x');
SELECT enroll_add_check('x', NULL, 'SELECT 1', 'x');
SELECT enroll_add_check('x', 'info', 'SELECT 1', NULL);
SELECT enroll_add_check('x', 'info', 'SELECT 1', 'x', NULL);
SELECT enroll_add_check('x', 'info', 'SELECT 1', 'x', 'none');
SELECT enroll_add_check('x', 'info', 'SELECT 1', 'x');
SELECT enroll_add_check('x', 'info', 'SELECT 2', 'x');
SELECT enroll_drop_check('x');
SELECT enroll_drop_check(NULL);
SELECT enroll_add_check('x', 'info', 'SELEKT 1', 'x');
SELECT enroll_add_check('x', 'info', 'SELECT nothing FROM users', 'x');
SELECT enroll_add_check('x', 'info', 'SELECT 1 FROM nowhere', 'x');
SELECT enroll_add_check('x', 'info', 'SELECT :user', 'x');
SELECT enroll_add_check('x', 'info', 'SELECT $1', 'x');

-- What would do more than read, or reach out of its place.
SELECT enroll_add_check('x', 'info', 'DELETE FROM users', 'x');
SELECT enroll_add_check('x', 'info', 'DELETE FROM users RETURNING id', 'x');
SELECT enroll_add_check('x', 'info', 'SELECT 1; DELETE FROM users', 'x');
SELECT enroll_add_check('x', 'info', 'SELECT 1) DELETE FROM users --', 'x');
SELECT enroll_add_check('x', 'info', 'SELECT 1) AS q, LATERAL (SELECT 2', 'x');
SELECT enroll_add_check('x', 'info', 'WITH d AS (DELETE FROM users RETURNING id) TABLE d', 'x');
SELECT enroll_add_check('x', 'info', 'SELECT id FROM users FOR UPDATE', 'x');
SELECT enroll_add_check('x', 'info',
  'SELECT (SELECT id FROM users LIMIT 1 FOR KEY SHARE) FROM tournaments', 'x');
SELECT enroll_add_check('x', 'info', 'SELECT id INTO copied FROM users', 'x');
SELECT enroll_add_check('x', 'info', 'DROP TABLE users', 'x');
SELECT enroll_add_check('x', 'info', 'EXPLAIN SELECT 1', 'x');
CREATE TEMP TABLE seen_by_one (id integer);
CREATE FUNCTION pg_temp.one() RETURNS integer LANGUAGE sql AS 'SELECT 1';
SELECT enroll_add_check('x', 'info', 'SELECT id FROM seen_by_one', 'x');
SELECT enroll_add_check('x', 'info', 'SELECT pg_temp.one()', 'x');
DROP TABLE seen_by_one;
DROP FUNCTION pg_temp.one();
-- Who does not own the tables adds and drops none; what the owner may not read is told at once.
RESET ROLE;
CREATE TABLE secret (id integer);
SET ROLE regress_enroll_owner;
SELECT enroll_add_check('x', 'info', 'SELECT id FROM secret', 'x');
SELECT enroll_add_check('mine', 'info', 'SELECT current_user, session_user = current_user AS same',
                        'I am who I am');
RESET ROLE;
SET ROLE regress_enroll_nobody;
SELECT enroll_add_check('x', 'info', 'SELECT 1', 'x');
SELECT enroll_drop_check('mine');
SELECT enroll_accept_baseline('x');
RESET ROLE;
SET ROLE regress_enroll_operator;
SELECT enroll_add_check('x', 'info', 'SELECT 1', 'x');
RESET ROLE;

-- A superuser who looks lends a check nothing.
SELECT id, sample FROM enroll_check() WHERE id = 'mine';
SET ROLE regress_enroll_owner;
SELECT enroll_drop_check('mine');
CREATE FUNCTION hostile(what text) RETURNS integer LANGUAGE plpgsql AS $$
BEGIN
  EXECUTE what;
  RETURN 1;
END $$;
CREATE TABLE mark (id serial);
SELECT enroll_add_check('h' || n, 'info', format('SELECT hostile(%L)', what), what)
FROM unnest(ARRAY['INSERT INTO mark DEFAULT VALUES', 'SELECT nextval(''mark_id_seq'')',
  'SET ROLE NONE', 'CREATE TEMP TABLE trap (id integer)', 'SET TRANSACTION READ WRITE',
  'RESET ROLE; DELETE FROM users', 'SET SESSION AUTHORIZATION DEFAULT', 'SET shop.trap = 1',
  'SELECT id FROM users FOR UPDATE', 'SELECT 1/0', 'RAISE'])
  WITH ORDINALITY AS h(what, n);
RESET ROLE;
SELECT id, severity, status, violations, title, detail FROM enroll_check()
WHERE id LIKE 'h%' ORDER BY length(id), id;
SELECT count(*) AS inserted FROM mark;
SELECT is_called FROM mark_id_seq;
SELECT count(*) AS users FROM users;
SELECT current_setting('shop.trap', true) AS trap, current_user = session_user AS still_me;
SELECT line FROM enroll_report() line WHERE line LIKE 'ERROR: h10%' OR line LIKE 'INFO%';
SELECT enroll_assert();
-- The built-in checks were not hidden.
SELECT count(*) FROM enroll_check() WHERE id LIKE 'INV-%' AND status = 'ok';
DELETE FROM enroll_own_check;

-- statement_timeout ends a check, as it ends the statement; no check swallows it.
SELECT enroll_add_check('slow', 'info', 'SELECT pg_sleep(60)', 'It is quick');
SET statement_timeout = '200ms';
SELECT count(*) FROM enroll_check();
SELECT enroll_report();
RESET statement_timeout;
SELECT enroll_drop_check('slow');

-- No name, description or message begins a line of the report.
SELECT enroll_add_check(E'a\nERROR: b', 'info', 'SELECT 1', E'c\r\nALL CHECKS PASSED');
SELECT enroll_add_check('d', 'info', $$SELECT hostile(E'RAISE\nERROR: x')$$, 'e');
SELECT line FROM enroll_report() line WHERE line NOT LIKE 'INV-%' AND line NOT LIKE '  %';
DELETE FROM enroll_own_check;

-- Only whom the policy lists, where it lists callers.
SELECT document || '{"callers": ["regress_enroll_operator"]}' AS document FROM enroll_policies \gset
SET client_min_messages = error;
SELECT enroll_attach(:'document');
RESET client_min_messages;
SET ROLE regress_enroll_operator;
SELECT count(*) FROM enroll_check();
RESET ROLE;
SET ROLE regress_enroll_nobody;
SELECT count(*) FROM enroll_check();
SELECT enroll_report();
SELECT enroll_assert();
RESET ROLE;

SET client_min_messages = error;
DROP SCHEMA shop CASCADE;
DROP ROLE regress_enroll_owner, regress_enroll_operator, regress_enroll_nobody;
