-- The three families of keys: which function a call reaches, and which keys a policy takes.
\set SHOW_CONTEXT never
SET client_min_messages = error;
DROP EXTENSION IF EXISTS pg_enroll CASCADE;
DROP SCHEMA IF EXISTS shop CASCADE;
CREATE SCHEMA shop;
SET search_path = shop;
CREATE EXTENSION pg_enroll;
SELECT enroll_create_tables();
RESET client_min_messages;

INSERT INTO users (id, credit_balance) SELECT i, 100 FROM generate_series(1, 12) i;
INSERT INTO tournaments (id, name, capacity, cost) VALUES (10, 'Cup', 100, 1);

-- Integers of every width reach the bigint functions.
SELECT pg_typeof(r) AS receipt, r.code FROM enroll(1, 10) r;
SELECT pg_typeof(r) AS receipt, r.code FROM enroll(2::smallint, 10::bigint) r;
SELECT pg_typeof(r) AS receipt, r.code FROM enroll(3, '10') r;
SELECT pg_typeof(r.enrollment_id) AS enrollment_id FROM enroll(4, 10) r;

-- Untyped literals and text reach the text functions, which serve every policy.
SELECT pg_typeof(r) AS receipt, r.code, r.enrollment_id, r.details FROM enroll('5', '10') r;
SELECT pg_typeof(r) AS receipt, r.code FROM enroll('6'::varchar, '10'::text) r;
SELECT pg_typeof(r) AS receipt, r.code, r.enrollment_id, r.details FROM try_enroll('5', '10') r;
SELECT pg_typeof(r) AS receipt, r.code, r.enrollment_id FROM quote_unenroll('5', '10') r;
SELECT pg_typeof(r) AS receipt, r.code, r.enrollment_id FROM unenroll('5', '10') r;
SELECT pg_typeof(r) AS receipt, r.code FROM try_unenroll('5', '10') r;
SELECT pg_typeof(r) AS receipt, r.code FROM can_enroll('5', '10') r;
SELECT pg_typeof(r) AS receipt, r.code, r.enrollment_id FROM enroll_waived('5', '10', 'why') r;
SELECT pg_typeof(r) AS receipt, r.user_id, r.code, r.enrollment_id
FROM enroll_many(ARRAY['7', '8'], '10') r;
SELECT pg_typeof(r) AS receipt, r.user_id, r.code, r.enrollment_id, r.details
FROM try_enroll_many('{7,99}', '10') r;
SELECT pg_typeof(r) AS receipt, r.user_id, r.code FROM enroll_many(ARRAY[9], 10) r;
-- As psql's and many drivers' parameters come: without a type.
PREPARE untyped AS SELECT pg_typeof(r) AS receipt, r.code FROM enroll($1, $2) r;
EXECUTE untyped('10', '10');
EXECUTE untyped(11, 10);
PREPARE untyped_key AS SELECT code, replayed FROM enroll($1, $2, $3, $4);
EXECUTE untyped_key('12', '10', 'k', 1);
EXECUTE untyped_key('12', '10', 'k', NULL);
-- A text is what the column's type reads it as.
SELECT code, details FROM try_enroll(' 1 ', '+10');
SELECT code, details FROM try_enroll('0001', '10');

-- What no function takes.
SELECT enroll(1.0, 10);
SELECT enroll(1.5::float8, 10);
SELECT enroll(1, '10'::text);
SELECT enroll('00000000-0000-0000-0000-000000000001'::uuid, 10);

-- Keys of another family than the policy's.
\set uuid '\'00000000-0000-0000-0000-000000000001\'::uuid'
SELECT enroll(:uuid, :uuid);
SELECT try_enroll(:uuid, :uuid);
SELECT unenroll(:uuid, :uuid);
SELECT try_unenroll(:uuid, :uuid);
SELECT can_enroll(:uuid, :uuid);
SELECT quote_unenroll(:uuid, :uuid);
SELECT enroll_waived(:uuid, :uuid, 'why');
SELECT enroll_many(ARRAY[:uuid], :uuid);
SELECT try_enroll_many(ARRAY[]::uuid[], :uuid);
\set VERBOSITY sqlstate
SELECT enroll(:uuid, :uuid);
SELECT try_enroll_many(ARRAY[:uuid], :uuid);
\set VERBOSITY default

-- A text that is no key of this policy.
SELECT enroll('abc', '10');
SELECT try_enroll('1', '');
SELECT try_enroll('1', '10.0');
SELECT can_enroll('1e3', '10');
SELECT enroll('00000000-0000-0000-0000-000000000001', '10');
SELECT enroll_many(ARRAY['1', 'x'], '10');
SELECT enroll('9223372036854775808', '10');
\set VERBOSITY sqlstate
SELECT enroll('abc', '10');
SELECT enroll('9223372036854775808', '10');
\set VERBOSITY default

SELECT count(*) AS enrolled FROM enrollments WHERE is_active;

-- The enrollments' own key may be of another family than the users' and the tournaments': what a
-- receipt names then fits a call by text alone, and any other is refused before it does a thing.
SET client_min_messages = error;
INSERT INTO users (id, credit_balance) VALUES (13, 100);
CREATE TABLE attached AS SELECT document FROM enroll_policies;
SELECT enroll_detach();
ALTER TABLE credit_transactions DROP CONSTRAINT credit_transactions_enrollment_id_fkey;
ALTER TABLE enrollments ALTER COLUMN id DROP IDENTITY;
ALTER TABLE enrollments ALTER COLUMN id TYPE uuid USING gen_random_uuid(),
  ALTER COLUMN id SET DEFAULT gen_random_uuid();
ALTER TABLE credit_transactions ALTER COLUMN enrollment_id TYPE uuid USING NULL;
SELECT enroll_attach(document) FROM attached;
RESET client_min_messages;
\set VERBOSITY terse
SELECT enroll(13, 10);
SELECT try_enroll(13, 10);
SELECT can_enroll(13, 10);
SELECT enroll_waived(13, 10, 'why');
SELECT enroll_many(ARRAY[13], 10);
SELECT try_enroll_many(ARRAY[]::bigint[], 10);
SELECT unenroll(1, 10);
SELECT try_unenroll(1, 10);
SELECT quote_unenroll(1, 10);
\set VERBOSITY default
SELECT code FROM enroll('13', '10', 'mixed');
SELECT id AS enrolled FROM enrollments WHERE user_id = 13 \gset
SELECT code, replayed, enrollment_id = :'enrolled' AS names_it FROM enroll('13', '10', 'mixed');
SELECT code, enrollment_id = :'enrolled' AS names_it FROM quote_unenroll('13', '10');
SELECT code, enrollment_id = :'enrolled' AS names_it FROM unenroll('13', '10');
