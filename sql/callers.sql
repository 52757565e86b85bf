-- Two applications in one database, each with its policy, its roles and its callers: neither
-- reaches the other's, though both may execute every function.
\set SHOW_CONTEXT never
SET client_min_messages = error;
DROP EXTENSION IF EXISTS pg_enroll CASCADE;
DROP SCHEMA IF EXISTS shop, shop_a, shop_b CASCADE;
CREATE SCHEMA shop;
SET search_path = shop;
CREATE EXTENSION pg_enroll;
DROP ROLE IF EXISTS regress_enroll_a, regress_enroll_b, regress_enroll_a_app, regress_enroll_b_app,
  regress_enroll_member, regress_enroll_stranger, "regress_enroll_Odd ""role""";
RESET client_min_messages;
CREATE ROLE regress_enroll_a;
CREATE ROLE regress_enroll_b;
CREATE ROLE regress_enroll_a_app;
CREATE ROLE regress_enroll_b_app;
CREATE ROLE "regress_enroll_Odd ""role""";
CREATE ROLE regress_enroll_member IN ROLE regress_enroll_b_app;
CREATE ROLE regress_enroll_stranger;
GRANT USAGE ON SCHEMA shop TO PUBLIC;
SET ROLE regress_enroll_stranger;
SELECT enroll_attach('{}');
SELECT * FROM enroll_precheck('{}');
RESET ROLE;
GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA shop TO PUBLIC;
CREATE SCHEMA shop_a AUTHORIZATION regress_enroll_a;
CREATE SCHEMA shop_b AUTHORIZATION regress_enroll_b;
CREATE TABLE documents AS SELECT ''::text AS policy, '{}'::jsonb AS document WHERE false;
GRANT SELECT ON documents TO PUBLIC;

SET ROLE regress_enroll_a;
SELECT enroll_create_tables('shop_a', 'a');
INSERT INTO shop_a.users (id, credit_balance) VALUES (1, 100), (2, 7);
INSERT INTO shop_a.tournaments (id, name, cost) VALUES (10, 'Cup', 10);
SET ROLE regress_enroll_b;
SELECT enroll_create_tables('shop_b', 'b');
INSERT INTO shop_b.users (id, credit_balance) VALUES (1, 1234567), (2, 7654321);
INSERT INTO shop_b.tournaments (id, name, cost) VALUES (10, 'Cup', 10);
RESET ROLE;
-- The stored documents name the tables without a schema, and so anew on whoever's path.
INSERT INTO documents SELECT policy, document || jsonb_build_object('callers',
  jsonb_build_array('regress_enroll_' || policy || '_app', 'regress_enroll_Odd "role"'))
FROM enroll_policies;
SET ROLE regress_enroll_a;
SET search_path = shop_a, shop;
SELECT enroll_attach(document, 'a') FROM documents WHERE policy = 'a';
SET ROLE regress_enroll_b;
SET search_path = shop_b, shop;
SELECT enroll_attach(document, 'b') FROM documents WHERE policy = 'b';
SET search_path = shop;

-- What each call answers to the current role.
RESET ROLE;
CREATE FUNCTION answer(call text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE answer text;
BEGIN
  EXECUTE 'SELECT string_agg(code, '', '') FROM ' || call INTO answer;
  RAISE EXCEPTION USING ERRCODE = 'UNDO1';
EXCEPTION
  WHEN SQLSTATE 'UNDO1' THEN RETURN answer;
  WHEN OTHERS THEN RETURN SQLSTATE;
END $$;
CREATE FUNCTION answers() RETURNS TABLE (call text, to_a text, to_b text)
LANGUAGE sql AS $$
  SELECT c, answer(replace(c, ')', ', policy => ''a'')')),
    answer(replace(c, ')', ', policy => ''b'')'))
  FROM unnest(ARRAY['enroll(1, 10)', 'try_enroll(1, 10)', 'unenroll(1, 10)', 'try_unenroll(1, 10)',
    'can_enroll(1, 10)', 'quote_unenroll(1, 10)', 'enroll_many(''{1,2}''::int[], 10)',
    'try_enroll_many(''{1,2}''::int[], 10)', 'enroll_waived(1, 10, ''why'')',
    'can_enroll(''1'', ''10'')', 'enroll(''1'', ''10'')']) c
$$;
GRANT EXECUTE ON FUNCTION answer, answers TO PUBLIC;
SET ROLE regress_enroll_a_app;
SELECT * FROM answers();
SET ROLE regress_enroll_b_app;
SELECT * FROM answers();
SET ROLE regress_enroll_member;
SELECT * FROM answers() LIMIT 2;
SET ROLE "regress_enroll_Odd ""role""";
SELECT * FROM answers() LIMIT 2;
SET ROLE regress_enroll_stranger;
SELECT * FROM answers();
-- The tables' owner is no caller of the other's, and needs no mention to be one of its own.
SET ROLE regress_enroll_a;
SELECT * FROM answers();
RESET ROLE;
SELECT * FROM answers() LIMIT 2;
-- Nor does an answer differ by who or what is there, or by a key that was used.
SELECT code, replayed FROM enroll(1, 10, 'key', policy => 'b');
SET ROLE regress_enroll_a_app;
SELECT try_enroll(1, 10, 'key', policy => 'b');
SELECT can_enroll(99, 99, 'b');
SELECT quote_unenroll(1, 10, 'b');
-- Told after an unknown policy, before a key of another family and a missing guard.
SELECT enroll(1, 10, policy => 'c');
SELECT can_enroll('00000000-0000-0000-0000-000000000000'::uuid,
                  '00000000-0000-0000-0000-000000000000'::uuid, 'b');
SELECT can_enroll('00000000-0000-0000-0000-000000000000'::uuid,
                  '00000000-0000-0000-0000-000000000000'::uuid, 'a');
SELECT can_enroll('one', '10', 'b');
SELECT try_enroll(1, 10, '', policy => 'b');
SELECT enroll(NULL, 10, policy => 'b');
RESET ROLE;
ALTER TABLE shop_b.enrollments DISABLE TRIGGER enroll_door_insert;
SET ROLE regress_enroll_a_app;
SELECT enroll(1, 10, policy => 'b');
RESET ROLE;
ALTER TABLE shop_b.enrollments ENABLE TRIGGER enroll_door_insert;

-- The other's policy: neither detached, nor recounted, nor taken over, nor its tables attached.
SET ROLE regress_enroll_a_app;
SELECT enroll_detach('b');
SELECT * FROM enroll_reconcile('b');
SET ROLE regress_enroll_a;
SELECT enroll_detach('b');
SELECT * FROM enroll_reconcile('b');
SET search_path = shop_a, shop;
SELECT enroll_attach(document, 'b') FROM documents WHERE policy = 'a';
SELECT enroll_create_tables('shop_a', 'b');
SET search_path = shop_b, shop;
SELECT enroll_attach(document, 'a') FROM documents WHERE policy = 'b';
SELECT enroll_attach(document, 'mine') FROM documents WHERE policy = 'b';
SET search_path = shop;
SELECT enroll_attach(jsonb_set(document, '{users,table}', '"shop_b.users"'), 'a')
FROM documents WHERE policy = 'b';
GRANT USAGE ON SCHEMA shop_a TO PUBLIC;
SET ROLE regress_enroll_b;
GRANT USAGE ON SCHEMA shop_b TO PUBLIC;
SET search_path = shop_b, shop;
SET ROLE regress_enroll_a;
SELECT enroll_attach(document, 'a') FROM documents WHERE policy = 'b';
SELECT enroll_attach(document, 'mine') FROM documents WHERE policy = 'b';
-- A dry run tells that much, and nothing of the rows: not a balance, nor how many there are.
RESET ROLE;
ALTER TABLE shop_b.users DROP CONSTRAINT chk_credit_balance_non_negative;
UPDATE shop_b.users SET credit_balance = -7654321 WHERE id = 2;
SET ROLE regress_enroll_a;
SELECT object, action, obstacle, violations, sample FROM documents d,
  LATERAL enroll_precheck(d.document, 'mine') WHERE d.policy = 'b' AND action IN ('refuse', 'warn');
SELECT count(*) AS seen FROM documents d, LATERAL enroll_precheck(d.document, 'b') c
WHERE d.policy = 'b' AND c::text ~ '7654321';
-- Nor does what the caller writes into a document run with the rights of the tables' owner.
CREATE FUNCTION shop_a.peek() RETURNS bigint LANGUAGE plpgsql AS $$
BEGIN
  RAISE NOTICE 'peeks as %', current_user;
  RETURN (SELECT sum(credit_balance) FROM shop_b.users);
END $$;
SELECT count(*) AS told FROM documents d, LATERAL enroll_precheck(jsonb_set(jsonb_set(jsonb_set(
  d.document, '{tournaments,cost}', '"shop_a.peek()"'), '{tournaments,capacity}',
  '"shop_a.peek()"'), '{enrollments,active}', '"shop_a.peek() > 0"'), 'mine') c
WHERE d.policy = 'b' AND c.action = 'refuse';
SET ROLE regress_enroll_a_app;
SELECT count(*) AS told FROM documents d, LATERAL enroll_precheck(jsonb_set(jsonb_set(
  d.document, '{tournaments,cost}', '"shop_a.peek()"'), '{tournaments,capacity}',
  '"shop_a.peek()"'), 'mine') c
WHERE d.policy = 'b' AND c.action = 'refuse';
RESET ROLE;
UPDATE shop_b.users SET credit_balance = 0 WHERE id = 2;
SET ROLE regress_enroll_b;
SELECT enroll_attach(document, 'b') FROM documents WHERE policy = 'b';
-- Each reconciles and detaches its own.
SELECT * FROM enroll_reconcile('b');
SELECT enroll_detach('b');
SET ROLE regress_enroll_a_app;
SELECT code FROM enroll(1, 10, policy => 'a');
SELECT * FROM enroll_reconcile('a');
SET ROLE regress_enroll_a;
SELECT enroll_detach('a');
RESET ROLE;

-- A caller that does not exist is told at once; one that is dropped later lets nobody else in.
SET search_path = shop_a, shop;
SELECT object, obstacle, remedy FROM documents d, LATERAL enroll_precheck(
  jsonb_set(d.document, '{callers}', '["regress_enroll_a_app", "regress_enroll_nobody"]'))
WHERE d.policy = 'a' AND action = 'refuse';
SET ROLE regress_enroll_a;
SELECT enroll_attach(jsonb_set(document, '{callers}', '["regress_enroll_stranger"]'), 'a')
FROM documents WHERE policy = 'a';
RESET ROLE;
SET search_path = shop;
DROP ROLE regress_enroll_stranger;
SET ROLE regress_enroll_a_app;
SELECT * FROM answers() LIMIT 1;
RESET ROLE;
CREATE ROLE regress_enroll_stranger;
ALTER ROLE regress_enroll_a_app RENAME TO regress_enroll_renamed;
SET ROLE regress_enroll_renamed;
SELECT * FROM answers() LIMIT 1;
RESET ROLE;
ALTER ROLE regress_enroll_renamed RENAME TO regress_enroll_a_app;

SET client_min_messages = error;
SELECT enroll_detach('a');
DROP SCHEMA shop_a, shop_b, shop CASCADE;
DROP ROLE regress_enroll_a, regress_enroll_b, regress_enroll_a_app, regress_enroll_b_app,
  regress_enroll_member, regress_enroll_stranger, "regress_enroll_Odd ""role""";
