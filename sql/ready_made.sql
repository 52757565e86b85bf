-- The ready-made tables: what enroll_create_tables makes, attaches and refuses.
\set SHOW_CONTEXT never
SET client_min_messages = error;
DROP EXTENSION IF EXISTS pg_enroll CASCADE;
DROP SCHEMA IF EXISTS shop, "Shop ""2""", shop_taken, shop_open, shop_closed CASCADE;
CREATE SCHEMA shop;
SET search_path = shop;
CREATE EXTENSION pg_enroll;
RESET client_min_messages;
SELECT enroll_create_tables();

CREATE TEMP VIEW made AS
  SELECT oid, relname FROM pg_class
  WHERE relnamespace = 'shop'::regnamespace
    AND relname IN ('users', 'tournaments', 'enrollments', 'credit_transactions');

SELECT m.relname AS table_name, a.attname AS column_name,
       format_type(a.atttypid, a.atttypmod) AS type, a.attnotnull AS required,
       CASE a.attidentity WHEN 'd' THEN 'identity by default' WHEN 'a' THEN 'identity always'
            ELSE pg_get_expr(d.adbin, d.adrelid) END AS default_value
FROM made m JOIN pg_attribute a ON a.attrelid = m.oid AND a.attnum > 0
LEFT JOIN pg_attrdef d ON d.adrelid = m.oid AND d.adnum = a.attnum
ORDER BY m.relname, a.attnum;
SELECT m.relname AS table_name, c.conname AS constraint_name,
       pg_get_constraintdef(c.oid) AS definition
FROM made m JOIN pg_constraint c ON c.conrelid = m.oid AND c.contype <> 'n'
ORDER BY m.relname, c.conname COLLATE "C";
SELECT pg_get_indexdef(i.indexrelid) AS index
FROM made m JOIN pg_index i ON i.indrelid = m.oid
ORDER BY pg_get_indexdef(i.indexrelid) COLLATE "C";
SELECT pg_get_triggerdef(t.oid) AS trigger
FROM made m JOIN pg_trigger t ON t.tgrelid = m.oid AND NOT t.tgisinternal
ORDER BY t.tgname COLLATE "C";

-- Plain tables, the caller's own, and no part of the extension.
SELECT m.relname AS table_name, c.relowner = current_user::regrole AS is_mine,
       c.relkind AS kind, c.relpersistence AS persistence, c.relacl IS NULL AS default_privileges
FROM made m JOIN pg_class c USING (oid)
ORDER BY m.relname;
SELECT count(*) AS members_of_the_extension
FROM made m JOIN pg_depend d ON d.classid = 'pg_class'::regclass AND d.objid = m.oid
WHERE d.deptype = 'e';

-- What is attached, with each guard's state, and the policy to be changed there.
SELECT policy, users, tournaments, enrollments, ledger, guarded FROM enroll_policies;
SELECT guard, table_name, state FROM enroll_guards('default') ORDER BY guard COLLATE "C";
SELECT p.guards = jsonb_object_agg(g.guard, g.state) AS view_agrees
FROM enroll_policies p CROSS JOIN enroll_guards('default') g
GROUP BY p.guards;
SELECT jsonb_pretty(document) AS document FROM enroll_policies;

-- The identity gives keys, the defaults make an open tournament without a limit that is free.
INSERT INTO users (name, credit_balance) VALUES ('Ann', 5) RETURNING id;
INSERT INTO tournaments (name) VALUES ('Club night') RETURNING id, status, capacity, cost;
SELECT code, enrollment_id, amount, balance_after, seats_left FROM enroll(1, 1);
SELECT id, user_id, tournament_id, status, is_active, enrolled_at = now() AS dated_now,
       withdrawn_at
FROM enrollments;
\set VERBOSITY terse
INSERT INTO tournaments (name, status) VALUES ('Wrong', 'OPEN');
INSERT INTO enrollments (user_id, tournament_id, status) VALUES (1, 1, 'GONE');
\set VERBOSITY default

-- Again under the same name: refused, and so are tables that are there under another name.
SELECT enroll_create_tables();
SELECT enroll_create_tables(policy => 'second');
SELECT count(*) AS policies FROM enroll_policies;

-- A second policy in a schema of its own, its name quoted wherever it stands.
CREATE SCHEMA "Shop ""2""";
SELECT enroll_create_tables('Shop "2"', 'it''s "2"');
SELECT policy, users, guarded FROM enroll_policies ORDER BY policy;
INSERT INTO "Shop ""2""".users (id, credit_balance) VALUES (1, 10);
INSERT INTO "Shop ""2""".tournaments (id, name, capacity, cost) VALUES (1, 'Other', 1, 4);
SELECT code, amount, balance_after, seats_left FROM enroll(1, 1, policy => 'it''s "2"');
SELECT code FROM try_enroll(1, 1, policy => 'it''s "2"');
SELECT policy, tournament, stripe, taken, allotted, capacity
FROM enroll_seat ORDER BY policy, tournament;

-- A failure leaves nothing behind: the third table is in the way.
CREATE SCHEMA shop_taken;
CREATE TABLE shop_taken.enrollments (id bigint);
SELECT enroll_create_tables('shop_taken', 'taken');
SELECT relname FROM pg_class WHERE relnamespace = 'shop_taken'::regnamespace;
SELECT count(*) AS stored FROM enroll_policies WHERE policy = 'taken';

-- Where it cannot go.
SELECT enroll_create_tables('shop_nowhere', 'x');
SELECT enroll_create_tables(NULL, NULL);
SET search_path = pg_temp, shop;
SELECT enroll_create_tables(policy => 'x');
SET search_path = shop;
SET search_path = '';
SELECT shop.enroll_create_tables(policy => 'x');
SET search_path = shop;
-- A schema in which others may create could slip theirs under an expression of the policy.
CREATE SCHEMA shop_open;
GRANT CREATE ON SCHEMA shop_open TO PUBLIC;
SELECT enroll_create_tables('shop_open', 'x');
SET search_path = shop, shop_open;
CREATE SCHEMA shop_closed;
SELECT enroll_create_tables('shop_closed', 'x');
SET search_path = shop;
\set VERBOSITY terse
SELECT enroll_create_tables('shop_closed', '');
\set VERBOSITY default
SELECT enroll_create_tables('shop_closed', 'x');

SET client_min_messages = error;
SELECT enroll_detach('it''s "2"');
SELECT enroll_detach('x');
DROP SCHEMA "Shop ""2""", shop_taken, shop_open, shop_closed CASCADE;
