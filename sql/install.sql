-- What CREATE EXTENSION brings: the objects, who may use them, and what each says of itself.
\set SHOW_CONTEXT never
SET client_min_messages = error;
DROP EXTENSION IF EXISTS pg_enroll CASCADE;
DROP SCHEMA IF EXISTS shop, shop_elsewhere CASCADE;
CREATE SCHEMA shop;
SET search_path = shop;
CREATE EXTENSION pg_enroll;
RESET client_min_messages;

-- It lives in the current schema, in the version that the control file names.
SELECT e.extnamespace::regnamespace AS schema, e.extrelocatable,
       e.extversion = a.default_version AS newest, v.superuser, v.trusted, v.relocatable
FROM pg_extension e
JOIN pg_available_extensions a ON a.name = e.extname
JOIN pg_available_extension_versions v ON v.name = e.extname AND v.version = e.extversion
WHERE e.extname = 'pg_enroll';
CREATE SCHEMA shop_elsewhere;
ALTER EXTENSION pg_enroll SET SCHEMA shop_elsewhere;

CREATE TEMP VIEW members AS
  SELECT d.classid, d.objid
  FROM pg_depend d JOIN pg_extension e ON d.refobjid = e.oid
  WHERE d.refclassid = 'pg_extension'::regclass AND d.deptype = 'e'
    AND e.extname = 'pg_enroll';

-- Every function, as a caller sees it.
SELECT p.proname || '(' || pg_get_function_arguments(p.oid) || ') '
       || pg_get_function_result(p.oid) AS function
FROM members m JOIN pg_proc p ON m.classid = 'pg_proc'::regclass AND p.oid = m.objid
ORDER BY p.proname COLLATE "C", pg_get_function_arguments(p.oid) COLLATE "C";

-- Those that only read are STABLE, all are PARALLEL UNSAFE and run as their caller.
SELECT p.proname AS function, p.provolatile AS volatility, p.proparallel AS parallel,
       p.prosecdef AS definer, p.proisstrict AS strict, count(*) AS overloads
FROM members m JOIN pg_proc p ON m.classid = 'pg_proc'::regclass AND p.oid = m.objid
GROUP BY p.proname, p.provolatile, p.proparallel, p.prosecdef, p.proisstrict
ORDER BY p.proname COLLATE "C";

-- Tables, views and receipts with their columns.
SELECT c.relname AS relation, c.relkind AS kind,
       string_agg(a.attname || ' ' || format_type(a.atttypid, a.atttypmod), ', '
                  ORDER BY a.attnum) AS columns
FROM members m
LEFT JOIN pg_type t ON m.classid = 'pg_type'::regclass AND t.oid = m.objid
JOIN pg_class c ON c.oid = COALESCE(t.typrelid, m.objid)
               AND (m.classid = 'pg_class'::regclass OR c.relkind = 'c')
JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
GROUP BY c.relname, c.relkind
ORDER BY c.relname COLLATE "C";

-- Policies and seats are dumped with the database.
SELECT c::regclass AS dumped
FROM pg_extension e CROSS JOIN unnest(e.extconfig) AS c
WHERE e.extname = 'pg_enroll'
ORDER BY c::regclass::text COLLATE "C";

-- PUBLIC may run the trigger functions and read the error codes, and nothing else.
SELECT p.oid::regprocedure AS public_may_execute
FROM members m JOIN pg_proc p ON m.classid = 'pg_proc'::regclass AND p.oid = m.objid
CROSS JOIN LATERAL aclexplode(COALESCE(p.proacl, acldefault('f', p.proowner))) x
WHERE x.grantee = 0
ORDER BY p.proname;
SELECT c.oid::regclass AS public_may, x.privilege_type
FROM members m JOIN pg_class c ON m.classid = 'pg_class'::regclass AND c.oid = m.objid
CROSS JOIN LATERAL aclexplode(COALESCE(c.relacl, acldefault('r', c.relowner))) x
WHERE x.grantee = 0
ORDER BY c.relname, x.privilege_type;

-- Every object and every column has its comment.
SELECT pg_describe_object(m.classid, m.objid, 0) AS object_without_comment
FROM members m
LEFT JOIN pg_type t ON m.classid = 'pg_type'::regclass AND t.oid = m.objid
LEFT JOIN pg_class c ON c.oid = t.typrelid
WHERE (m.classid <> 'pg_type'::regclass OR c.relkind = 'c')
  AND NOT EXISTS (SELECT FROM pg_description d
                  WHERE d.classoid = m.classid AND d.objoid = m.objid AND d.objsubid = 0
                    AND d.description <> '')
ORDER BY 1;
SELECT c.relname, a.attname AS column_without_comment
FROM members m
LEFT JOIN pg_type t ON m.classid = 'pg_type'::regclass AND t.oid = m.objid
JOIN pg_class c ON c.oid = COALESCE(t.typrelid, m.objid)
               AND (m.classid = 'pg_class'::regclass OR c.relkind = 'c')
JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
WHERE col_description(c.oid, a.attnum) IS NULL
ORDER BY 1, 2;
SELECT count(*) AS extension_comments
FROM pg_description d JOIN pg_extension e ON d.objoid = e.oid
WHERE d.classoid = 'pg_extension'::regclass AND e.extname = 'pg_enroll';

-- Nothing is attached yet, and the error codes can be read at once.
SELECT count(*) AS policies FROM enroll_policies;
SELECT count(*) AS codes FROM enroll_error_codes;
SELECT * FROM enroll(1, 7);
SELECT * FROM enroll_reconcile();
SELECT enroll_detach();

-- Another schema, named by the DBA; and away again without a trace.
DROP EXTENSION pg_enroll;
CREATE EXTENSION pg_enroll SCHEMA shop_elsewhere;
SELECT extnamespace::regnamespace AS schema FROM pg_extension WHERE extname = 'pg_enroll';
DROP EXTENSION pg_enroll;
SELECT count(*) AS left_behind
FROM pg_class WHERE relnamespace IN ('shop'::regnamespace, 'shop_elsewhere'::regnamespace);

-- It is no extension for every role: it makes functions in C.
CREATE ROLE regress_enroll_nobody;
GRANT CREATE ON SCHEMA shop TO regress_enroll_nobody;
SET ROLE regress_enroll_nobody;
CREATE EXTENSION pg_enroll SCHEMA shop;
RESET ROLE;
DROP OWNED BY regress_enroll_nobody;
DROP ROLE regress_enroll_nobody;
DROP SCHEMA shop_elsewhere;
