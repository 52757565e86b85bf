-- The dry run: what attaching would do, and every row that stands in its way, with the remedy.
\set SHOW_CONTEXT never
SET client_min_messages = error;
DROP EXTENSION IF EXISTS pg_enroll CASCADE;
DROP SCHEMA IF EXISTS shop, lair CASCADE;
CREATE SCHEMA shop;
SET search_path = shop;
CREATE EXTENSION pg_enroll;
DROP ROLE IF EXISTS regress_enroll_reader, regress_enroll_owner;
RESET client_min_messages;
CREATE ROLE regress_enroll_reader;
CREATE ROLE regress_enroll_owner;

CREATE TABLE people (id integer PRIMARY KEY, credits numeric);
CREATE TABLE cups (id integer PRIMARY KEY, seats integer, price numeric);
CREATE TABLE places (id integer PRIMARY KEY, person integer, cup integer, state text NOT NULL);
CREATE TABLE moves (id integer PRIMARY KEY, place integer, kind text, amount numeric,
  balance numeric, key text UNIQUE);
INSERT INTO people VALUES (1, 10), (2, -5), (3, 'NaN'), (4, 'Infinity'), (5, NULL), (6, 0),
  (7, -0.01);
INSERT INTO cups VALUES (10, 2, 5), (11, 0, NULL), (12, -3, -1), (13, NULL, 'NaN'),
  (14, 9, 'Infinity'),
  (15, 1, 0.125);
INSERT INTO places VALUES
  (1, 1, 10, 'in'), (2, 1, 10, 'in'), (3, 1, 10, 'in'), (4, 1, 10, 'out'), (5, 6, 10, 'in'),
  (6, 6, 13, 'in'), (7, 6, 13, 'in'), (8, 99, 13, 'in'), (9, 6, 98, 'in'), (10, NULL, 13, 'in'),
  (11, 6, NULL, 'in'), (12, 1, 11, 'in'), (13, 1, 14, 'in'), (14, 97, 96, 'out'), (15, 6, 12, 'in');
INSERT INTO moves VALUES (1, 1, 'in', -5, 5), (2, 13, 'in', -5, 5), (3, 2, 'bonus', 1, 1);
CREATE TABLE documents (document jsonb);
INSERT INTO documents VALUES ('{
  "users": {"table": "people", "key": "id", "balance": "credits"},
  "tournaments": {"table": "cups", "key": "id", "capacity": "t.seats", "cost": "t.price"},
  "enrollments": {"table": "places", "key": "id", "user": "person", "tournament": "cup",
    "active": "state = ''in''", "insert": {"state": "''in''", "id": "u.id + 1000 * t.id"},
    "withdraw": {"state": "''out''"}},
  "ledger": {"table": "moves", "amount": "amount", "balance_after": "balance",
    "enrollment": "place", "idempotency_key": "key", "order": "id", "insert": {"id": "e.id"},
    "type": {"column": "kind", "enroll": "in", "unenroll": "back", "waive": "free"}},
  "refund": "paid"}');

-- The whole of it: first what stands in the way, then what would be done.
\pset format unaligned
\x on
SELECT c.* FROM documents, LATERAL enroll_precheck(document) c WHERE obstacle IS NOT NULL;
\x off
\pset format aligned
SELECT object, action, lock FROM documents, LATERAL enroll_precheck(document)
WHERE obstacle IS NULL;
-- The remedies, pasted as they stand, in the order in which they come. Words are
-- left out.
CREATE TABLE remedies AS
  SELECT row_number() OVER () AS nr, c.* FROM documents, LATERAL enroll_precheck(document) c
  WHERE action IN ('refuse', 'warn') AND remedy ~ '^(UPDATE|DELETE|CREATE|ALTER)';
SELECT replace(remedy, ' CONCURRENTLY', '') FROM remedies ORDER BY nr \gexec
SELECT object, action, obstacle, violations, sample
FROM documents, LATERAL enroll_precheck(document)
WHERE action IN ('refuse', 'warn');
SELECT * FROM places ORDER BY id;
SELECT * FROM people ORDER BY id;
DELETE FROM places WHERE person IS NULL OR cup IS NULL OR person > 90 OR cup > 90;
UPDATE cups SET price = 1 WHERE price IS NULL OR price < 0 OR price >= 'Infinity';
INSERT INTO moves SELECT 100 + id, id, 'free', 0, 0
  FROM places WHERE state = 'in' AND id NOT IN (1, 13);
SELECT object, action, obstacle, violations FROM documents, LATERAL enroll_precheck(document);
SELECT enroll_attach(document) FROM documents;
SELECT tournament, taken, allotted FROM enroll_seat ORDER BY tournament;
SELECT object, action, obstacle FROM documents, LATERAL enroll_precheck(document);
SELECT enroll_detach();

-- It writes nothing and takes no lock that anybody would notice; a read-only transaction will do.
BEGIN READ ONLY;
SELECT count(*) > 10 AS many FROM documents, LATERAL enroll_precheck(document);
SELECT relation::regclass, mode FROM pg_locks WHERE pid = pg_backend_pid() AND locktype = 'relation'
  AND relation::regclass::text IN ('people', 'cups', 'places', 'moves') ORDER BY 1, 2;
SELECT pg_current_xact_id_if_assigned();
COMMIT;
BEGIN ISOLATION LEVEL REPEATABLE READ;
SELECT count(*) > 10 AS many FROM documents, LATERAL enroll_precheck(document);
ROLLBACK;
SELECT count(*) AS triggers FROM pg_trigger
WHERE NOT tgisinternal AND tgname <> 'append_only';
SELECT count(*) AS policies FROM enroll_policy;

-- Many violations: all are counted, twenty are shown.
INSERT INTO people SELECT n, -n FROM generate_series(100, 149) n;
SELECT violations, jsonb_array_length(sample) AS shown, sample -> 0 AS first FROM documents,
  LATERAL enroll_precheck(document) WHERE action = 'refuse';
SELECT enroll_attach(document) FROM documents;
DELETE FROM people WHERE id >= 100;

-- A role that may read sees what an owner sees, and that it is none; one that may not is told so.
GRANT USAGE ON SCHEMA shop TO PUBLIC;
GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA shop TO regress_enroll_reader;
GRANT SELECT ON documents TO PUBLIC;
INSERT INTO people VALUES (100, -100);
SET ROLE regress_enroll_reader;
SELECT object, replace(obstacle, session_user, 'the superuser') AS obstacle, violations, sample
FROM documents, LATERAL enroll_precheck(document)
WHERE action = 'refuse';
RESET ROLE;
GRANT SELECT ON people, cups, places, moves TO regress_enroll_reader;
SET ROLE regress_enroll_reader;
BEGIN READ ONLY;
SELECT object, replace(obstacle, session_user, 'the superuser') AS obstacle, violations, sample
FROM documents, LATERAL enroll_precheck(document)
WHERE action = 'refuse';
COMMIT;
\set VERBOSITY terse
SELECT enroll_attach(document) FROM documents;
\set VERBOSITY default
RESET ROLE;
DELETE FROM people WHERE id = 100;

-- Tables that cannot be guarded.
CREATE FUNCTION refused(change text, spelling text DEFAULT NULL)
RETURNS TABLE (object text, obstacle text, remedy text) LANGUAGE plpgsql AS $$
BEGIN
  EXECUTE change;
  RETURN QUERY SELECT c.object, regexp_replace(c.obstacle, 'pg_temp_[0-9]+', 'pg_temp_n'),
    replace(c.remedy, session_user, 'the superuser') FROM documents d,
    LATERAL enroll_precheck(CASE WHEN spelling IS NULL THEN d.document
      ELSE jsonb_set(d.document, '{enrollments,table}', to_jsonb(spelling)) END) c
    WHERE c.action = 'refuse';
  RAISE EXCEPTION USING ERRCODE = 'UNDO1';
EXCEPTION
  WHEN SQLSTATE 'UNDO1' THEN NULL;
END $$;
SELECT r.* FROM (VALUES
  (1, 'CREATE VIEW v AS SELECT * FROM places', 'v'),
  (2, 'CREATE MATERIALIZED VIEW v AS SELECT * FROM places', 'v'),
  (3, 'CREATE TEMP TABLE v (LIKE places INCLUDING ALL)', 'v'),
  (4, 'CREATE UNLOGGED TABLE v (LIKE places INCLUDING ALL)', 'v'),
  (5, 'CREATE TABLE v () INHERITS (places)', NULL),
  (6, 'CREATE TABLE w (LIKE places INCLUDING ALL);
  CREATE TABLE v (PRIMARY KEY (id)) INHERITS (w)', 'v'),
  (7, 'CREATE TABLE w (LIKE places) PARTITION BY LIST (cup);
       CREATE TABLE v PARTITION OF w DEFAULT; ALTER TABLE v ADD PRIMARY KEY (id)', 'v'),
  (8, 'CREATE TABLE v (LIKE places) PARTITION BY LIST (state);
  ALTER TABLE v ADD PRIMARY KEY (id, state)', 'v'),
  (9, 'CREATE SEQUENCE v', 'v'), (10, 'CREATE TYPE v AS (id integer)', 'v'),
  (11, 'ALTER TABLE moves OWNER TO regress_enroll_owner', NULL),
  (12, 'CREATE FOREIGN DATA WRAPPER f; CREATE SERVER s FOREIGN DATA WRAPPER f;
        CREATE FOREIGN TABLE v (id integer, person integer, cup integer, state text)
        SERVER s', 'v'),
  (13, 'CREATE TABLE v (LIKE places) PARTITION BY LIST (cup);
  ALTER TABLE v ADD PRIMARY KEY (id, cup);
        CREATE UNLOGGED TABLE w PARTITION OF v DEFAULT', 'v'))
  c(nr, change, spelling), LATERAL refused(change, spelling) r ORDER BY nr;
-- Keys and columns of types that do not do, and keys that do not keep rows apart.
SELECT nr, r.* FROM (VALUES
  (1, 'ALTER TABLE people ALTER id TYPE numeric'), (2, 'ALTER TABLE people ALTER id TYPE char(5)'),
  (3, 'ALTER TABLE places ALTER person TYPE bigint'),
  (4, 'ALTER TABLE places ALTER person TYPE smallint'),
  (5, 'ALTER TABLE places ALTER cup TYPE text'), (6, 'ALTER TABLE moves ALTER place TYPE text'),
  (7, 'ALTER TABLE people DROP CONSTRAINT people_pkey'),
  (8, 'ALTER TABLE people DROP CONSTRAINT people_pkey, ADD UNIQUE (id)'),
  (9, 'ALTER TABLE people DROP CONSTRAINT people_pkey, ADD PRIMARY KEY (id) DEFERRABLE'),
  (10, 'ALTER TABLE cups DROP CONSTRAINT cups_pkey; CREATE UNIQUE INDEX ON cups (id) WHERE id > 0'),
  (11, 'ALTER TABLE cups DROP CONSTRAINT cups_pkey, ADD UNIQUE (id, seats)'),
  (12, 'ALTER TABLE places DROP CONSTRAINT places_pkey; CREATE INDEX ON places (id)'),
  (13, 'ALTER TABLE moves DROP CONSTRAINT moves_pkey'),
  (14, 'ALTER TABLE moves DROP CONSTRAINT moves_key_key'),
  (15, 'ALTER TABLE moves DROP CONSTRAINT moves_key_key, ADD UNIQUE (key) DEFERRABLE'),
  (16, 'ALTER TABLE moves DROP CONSTRAINT moves_key_key;
  CREATE UNIQUE INDEX ON moves (lower(key))'),
  (17, 'UPDATE moves SET key = id;
  ALTER TABLE moves ALTER key TYPE varchar(35), ALTER key SET NOT NULL'),
  (18, 'ALTER TABLE moves ALTER key TYPE varchar(36)'),
  (19, 'ALTER TABLE moves ALTER key TYPE integer USING NULL'),
  (20, 'ALTER TABLE moves ALTER kind TYPE integer USING NULL'),
  (21, 'CREATE TYPE word AS ENUM (''in'', ''out'');
  ALTER TABLE moves ALTER kind TYPE word USING NULL'),
  (22, 'ALTER TABLE moves ALTER kind TYPE varchar(3) USING NULL'),
  (23, 'ALTER TABLE moves ALTER id TYPE timestamptz USING now() + id * interval ''1 s'''),
  (24, 'ALTER TABLE people ALTER credits TYPE float8'),
  (25, 'ALTER TABLE moves DROP COLUMN amount,
  ADD COLUMN amount numeric GENERATED ALWAYS AS (balance) STORED'),
  (26, 'ALTER TABLE cups ALTER id TYPE date USING ''2001-01-01''::date + id'),
  (27, 'ALTER TABLE places ADD COLUMN must integer NOT NULL GENERATED ALWAYS AS (1) STORED'),
  (28, 'ALTER TABLE places ADD COLUMN must serial'),
  (29, 'CREATE DOMAIN given AS integer NOT NULL; ALTER TABLE places ADD COLUMN must given DEFAULT 1;
  ALTER TABLE places ALTER must DROP DEFAULT'),
  (30, 'CREATE DOMAIN given AS integer NOT NULL; CREATE DOMAIN more AS given;
  ALTER TABLE places ADD COLUMN must more DEFAULT 1; ALTER TABLE places ALTER must DROP DEFAULT'),
  (31, 'CREATE DOMAIN given AS integer NOT NULL DEFAULT 1; CREATE DOMAIN more AS given;
  ALTER TABLE places ADD COLUMN must more'),
  (32, 'ALTER TABLE places ALTER id ADD GENERATED ALWAYS AS IDENTITY'),
  -- rules, of which some would rewrite what a call writes
  (33, 'CREATE RULE r AS ON INSERT TO places DO ALSO NOTIFY placed'),
  (34, 'CREATE RULE r AS ON UPDATE TO places WHERE old.id = 1 DO INSTEAD NOTHING'),
  (35, 'CREATE RULE r AS ON UPDATE TO people DO INSTEAD NOTHING'),
  (36, 'CREATE RULE r AS ON INSERT TO moves DO ALSO NOTIFY moved'),
  (37, 'CREATE RULE r AS ON DELETE TO moves DO ALSO NOTIFY moved'),
  (38, 'CREATE RULE "R" AS ON UPDATE TO moves DO ALSO NOTIFY moved;
  CREATE RULE s AS ON INSERT TO cups DO INSTEAD NOTHING'),
  (39, 'CREATE RULE r AS ON UPDATE TO people WHERE old.id = 1
  DO ALSO UPDATE cups SET seats = 1'),
  (40, 'CREATE RULE r AS ON INSERT TO places DO INSTEAD NOTHING;
  ALTER TABLE places DISABLE RULE r'))
  c(nr, change), LATERAL refused(change) r ORDER BY nr;
-- The ledger's order, by sequences that do not follow it.
SELECT nr, r.* FROM (VALUES
  (1, 'ALTER TABLE moves ALTER id ADD GENERATED BY DEFAULT AS IDENTITY (CACHE 20)'),
  (2, 'CREATE SEQUENCE "N" CACHE 2 CYCLE;
  ALTER TABLE moves ALTER id SET DEFAULT nextval(''"N"'')'),
  (3, 'CREATE SEQUENCE n INCREMENT -1 OWNED BY moves.id'),
  (4, 'ALTER TABLE moves ALTER id ADD GENERATED BY DEFAULT AS IDENTITY (CYCLE)'),
  (5, 'ALTER TABLE moves ALTER id ADD GENERATED BY DEFAULT AS IDENTITY;
  CREATE SEQUENCE n CACHE 2 OWNED BY moves.place'))
  c(nr, change), LATERAL refused(change) r ORDER BY nr;

CREATE SEQUENCE numbers CACHE 9 OWNED BY moves.id;
SELECT remedy FROM documents, LATERAL enroll_precheck(document) WHERE action = 'refuse' \gexec
SELECT count(*) FROM documents, LATERAL enroll_precheck(document) WHERE action = 'refuse';

-- What others may have put in place of something is not run, be it to learn which locks to take.
CREATE SCHEMA lair AUTHORIZATION regress_enroll_reader;
CREATE FUNCTION lair.tidy(text) RETURNS text IMMUTABLE LANGUAGE plpgsql AS $$
BEGIN
  RAISE WARNING 'code of others runs';
  RETURN $1;
END $$;
SET search_path = shop, lair;
SELECT object FROM documents, LATERAL enroll_precheck(
  jsonb_set(document, '{enrollments,active}', '"state = tidy(''in'')"')) WHERE action = 'refuse';
SELECT enroll_attach(jsonb_set(document, '{enrollments,active}', '"state = tidy(''in'')"'))
FROM documents;

SET client_min_messages = error;
DROP SCHEMA shop, lair CASCADE;
DROP ROLE regress_enroll_reader, regress_enroll_owner;
