-- A strict ledger over tables of every make: partitions, numeric balances, uuid and text keys, an
-- enum for the words, amounts and keys of other widths, columns in another order.
\set SHOW_CONTEXT never
SET client_min_messages = error;
DROP SCHEMA IF EXISTS shop CASCADE;
DROP EXTENSION IF EXISTS pg_enroll CASCADE;
CREATE SCHEMA shop;
SET search_path = shop;
CREATE EXTENSION pg_enroll;
CREATE TYPE movement AS ENUM ('in', 'out', 'free', 'gift');
CREATE TABLE people (id uuid, region text, credits numeric(10, 2), PRIMARY KEY (id))
  PARTITION BY RANGE (id);
CREATE TABLE people_low (credits numeric(10, 2), region text, id uuid NOT NULL);
ALTER TABLE people ATTACH PARTITION people_low
  FOR VALUES FROM (MINVALUE) TO ('80000000-0000-0000-0000-000000000000');
CREATE TABLE people_high PARTITION OF people
  FOR VALUES FROM ('80000000-0000-0000-0000-000000000000') TO (MAXVALUE);
CREATE TABLE camps (id uuid PRIMARY KEY, price numeric(8, 2) NOT NULL);
CREATE TABLE places (id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY, person uuid, camp uuid,
  state text NOT NULL DEFAULT 'in');
CREATE TABLE book (
  nr bigint GENERATED ALWAYS AS IDENTITY, place bigint, person uuid, kind movement NOT NULL,
  amount numeric NOT NULL, rest numeric(12, 4), key text, made timestamptz DEFAULT now(),
  UNIQUE (nr), UNIQUE (key));
CREATE TABLE document AS SELECT '{
  "users": {"table": "people", "key": "id", "balance": "credits"},
  "tournaments": {"table": "camps", "key": "id", "cost": "t.price"},
  "enrollments": {"table": "places", "key": "id", "user": "person", "tournament": "camp",
                  "active": "state = ''in''", "withdraw": {"state": "''out''"}},
  "ledger": {"table": "book", "amount": "amount", "balance_after": "rest", "enrollment": "place",
             "user": "person", "idempotency_key": "key", "order": "nr", "strict": true,
             "type": {"column": "kind", "enroll": "in", "unenroll": "out", "waive": "free"}},
  "refund": "paid"}'::jsonb AS document;
INSERT INTO people (id, credits) VALUES
  ('00000000-0000-0000-0000-000000000001', 100.25), ('00000000-0000-0000-0000-000000000002', NULL),
  ('f0000000-0000-0000-0000-000000000001', 50);
INSERT INTO camps VALUES ('c0000000-0000-0000-0000-000000000001', 10.25);
RESET client_min_messages;
SELECT object, obstacle FROM document CROSS JOIN LATERAL enroll_precheck(document)
WHERE action IN ('refuse', 'warn');
SET client_min_messages = error;
SELECT enroll_attach(document) FROM document;
RESET client_min_messages;
SELECT tgrelid::regclass AS on_table, count(*) FROM pg_trigger
WHERE tgname ~ '^enroll_(balance|ledger)' GROUP BY 1 ORDER BY 1;

\set low '''00000000-0000-0000-0000-000000000001'''
\set nil '''00000000-0000-0000-0000-000000000002'''
\set high '''f0000000-0000-0000-0000-000000000001'''
\set camp '''c0000000-0000-0000-0000-000000000001'''
SELECT code, balance_after FROM enroll(:low, :camp);
SELECT code, balance_after FROM unenroll(:low, :camp);
SELECT code, balance_after FROM enroll(:high, :camp, 'key');
SELECT code, balance_after FROM unenroll(:high, :camp);

-- By the root, by a partition, across partitions, with columns in another order.
UPDATE people SET credits = 1 WHERE id = :low;
UPDATE people_low SET credits = 1 WHERE id = :low;
INSERT INTO people_low (id, credits) VALUES ('00000000-0000-0000-0000-000000000009', 1);
COPY people_high (id, credits) FROM stdin;
f0000000-0000-0000-0000-000000000009	1.5
\.
DELETE FROM people_low WHERE id = :low;
TRUNCATE people_low;
UPDATE people SET id = 'f0000000-0000-0000-0000-000000000003' WHERE id = :low;
BEGIN;
UPDATE people SET id = 'f0000000-0000-0000-0000-000000000003' WHERE id = :low;
INSERT INTO book (person, kind, amount, rest) VALUES
  (:low, 'gift', -100.25, 0), ('f0000000-0000-0000-0000-000000000003', 'gift', 100.25, 100.25);
COMMIT;
BEGIN;
UPDATE people SET region = 'x', credits = credits + 0.75
WHERE id = 'f0000000-0000-0000-0000-000000000003';
INSERT INTO book (person, kind, amount, rest)
  VALUES ('f0000000-0000-0000-0000-000000000003', 'gift', 0.750, 101.0000);
COMMIT;
SELECT id, credits FROM people ORDER BY id;

-- NULL is nothing: from NULL to 0 no credit moves. What the ledger says is never NULL.
UPDATE people SET credits = 0 WHERE id = :nil;
UPDATE people SET credits = 5 WHERE id = :nil;
BEGIN;
UPDATE people SET credits = 5 WHERE id = :nil;
INSERT INTO book (person, kind, amount) VALUES (:nil, 'gift', 5);
COMMIT;
BEGIN;
UPDATE people SET credits = 5 WHERE id = :nil;
INSERT INTO book (person, kind, amount, rest) VALUES (:nil, 'gift', 4.99, 4.99);
COMMIT;
BEGIN;
UPDATE people SET credits = 5 WHERE id = :nil;
INSERT INTO book (person, kind, amount, rest) VALUES (:nil, 'gift', 5, 5);
COMMIT;
-- The last row is the one of the greatest order, whatever the order of writing.
BEGIN;
UPDATE people SET credits = 8 WHERE id = :nil;
INSERT INTO book (nr, person, kind, amount, rest) OVERRIDING SYSTEM VALUE
  VALUES (1002, :nil, 'gift', 2, 8), (1001, :nil, 'gift', 1, 6);
COMMIT;
BEGIN;
UPDATE people SET credits = 9 WHERE id = :nil;
INSERT INTO book (nr, person, kind, amount, rest) OVERRIDING SYSTEM VALUE
  VALUES (1004, :nil, 'gift', 0, 8), (1003, :nil, 'gift', 1, 9);
COMMIT;

-- The words of an enum; the place's key is wider in the ledger.
INSERT INTO places (person, camp) VALUES (:nil, :camp);
BEGIN;
WITH place AS (INSERT INTO places (person, camp) VALUES (:nil, :camp) RETURNING id)
  INSERT INTO book (place, person, kind, amount, rest) SELECT id, :nil, 'gift', 0, 8 FROM place;
COMMIT;
BEGIN;
WITH place AS (INSERT INTO places (person, camp) VALUES (:nil, :camp) RETURNING id)
  INSERT INTO book (place, person, kind, amount, rest) SELECT id, :nil, 'free', 0, 8 FROM place;
COMMIT;
SELECT person, state FROM places ORDER BY id;

-- A partition that comes later is bound through the whole table, by itself once attached anew.
ALTER TABLE people DETACH PARTITION people_high;
SELECT guard, table_name, state FROM enroll_guards('default') WHERE state <> 'ok';
ALTER TABLE people ATTACH PARTITION people_high
  FOR VALUES FROM ('80000000-0000-0000-0000-000000000000')
             TO ('ffffffff-0000-0000-0000-000000000000');
CREATE TABLE people_top PARTITION OF people
  FOR VALUES FROM ('ffffffff-0000-0000-0000-000000000000') TO (MAXVALUE);
SELECT guard, table_name, state FROM enroll_guards('default') WHERE state <> 'ok';
INSERT INTO people (id, credits) VALUES ('ffffffff-0000-0000-0000-000000000001', 1);
SET client_min_messages = error;
SELECT enroll_attach(document) FROM document;
RESET client_min_messages;
INSERT INTO people_top (id, credits) VALUES ('ffffffff-0000-0000-0000-000000000001', 1);

-- With session_replication_role = replica no trigger fires; calls notice.
SET session_replication_role = replica;
UPDATE people SET credits = 0 WHERE id = :nil;
SELECT code FROM enroll(:high, :camp);
RESET session_replication_role;

-- Follow-ups are held to it as well.
SET client_min_messages = error;
SELECT enroll_attach(document || jsonb_build_object('on_enroll', ARRAY[
  'UPDATE people SET credits = credits + 1 WHERE id = :user'])) FROM document;
RESET client_min_messages;
SELECT code FROM enroll(:high, :camp);
SET client_min_messages = error;
SELECT enroll_attach(document || jsonb_build_object('on_enroll', ARRAY[
  'UPDATE people SET credits = credits + 1 WHERE id = :user',
  'INSERT INTO book (person, kind, amount, rest) SELECT id, ''gift'', 1, credits FROM people
   WHERE id = :user'])) FROM document;
RESET client_min_messages;
SELECT code FROM enroll(:high, :camp);
SELECT id, credits FROM people ORDER BY id;
SELECT person, kind, amount, rest FROM book ORDER BY nr;
SET client_min_messages = error;
DROP SCHEMA shop CASCADE;
