-- Tables besides the tournaments that open and capacity read: whatever changes in them opens,
-- closes and resizes before it commits.
\set SHOW_CONTEXT never
SET client_min_messages = error;
DROP EXTENSION IF EXISTS pg_enroll CASCADE;
DROP SCHEMA IF EXISTS shop CASCADE;
CREATE SCHEMA shop;
SET search_path = shop;
CREATE EXTENSION pg_enroll;
SELECT enroll_create_tables();
RESET client_min_messages;

CREATE TABLE rooms (tournament bigint, name text, chairs integer, note text);
CREATE TABLE hours (id integer GENERATED ALWAYS AS IDENTITY, cup integer, closed boolean NOT NULL);
CREATE INDEX ON rooms (tournament);
CREATE INDEX ON hours (cup);
INSERT INTO users (id, credit_balance) SELECT n, 100 FROM generate_series(1, 20) n;
INSERT INTO tournaments (id, name) VALUES (10, 'Cup'), (11, 'Open');
INSERT INTO rooms VALUES (10, 'Hall', 2), (10, 'Yard', 1);
INSERT INTO hours (cup, closed) VALUES (11, false);
CREATE TABLE documents (document jsonb);
INSERT INTO documents SELECT jsonb_set(jsonb_set(document, '{tournaments,capacity}',
    '"(SELECT sum(r.chairs) FROM rooms r WHERE r.tournament = t.id)"'), '{tournaments,open}',
    '"NOT EXISTS (SELECT FROM hours h WHERE h.cup = t.id AND h.closed)"')
  || '{"watch": [{"table": "rooms", "tournament": "tournament"},
    {"table": "hours", "tournament": "cup"}]}'
FROM enroll_policies;
CREATE VIEW seats AS SELECT tournament, taken, allotted FROM enroll_seat ORDER BY tournament;
-- The tables that are watched, and what they hold.
SELECT object, action, obstacle, remedy FROM documents, LATERAL enroll_precheck(document)
WHERE object ~ 'rooms|hours' OR action IN ('refuse', 'warn');
SELECT enroll_attach(document) FROM documents;
SELECT tgrelid::regclass, tgname FROM pg_trigger
WHERE tgrelid IN ('rooms'::regclass, 'hours'::regclass) ORDER BY 1, 2;
SELECT * FROM seats;

-- INSERT, UPDATE, DELETE, of many rows and of several tournaments at once.
SELECT user_id, code FROM try_enroll_many(ARRAY[1, 2, 3, 4], 10);
INSERT INTO rooms VALUES (10, 'Garden', 2), (11, 'Tent', 5), (NULL, 'Nowhere', 9), (99, 'Later', 7);
SELECT * FROM seats;
INSERT INTO enrollments (user_id, tournament_id) VALUES (4, 10), (5, 10);
INSERT INTO enrollments (user_id, tournament_id) VALUES (6, 10);
UPDATE rooms SET chairs = chairs - 1;
SELECT * FROM seats;
SELECT code, details FROM try_enroll(6, 10);
INSERT INTO enrollments (user_id, tournament_id) VALUES (6, 10);
SELECT code FROM unenroll(4, 10);
SELECT code FROM try_enroll(6, 10);
DELETE FROM rooms WHERE chairs > 3;
SELECT * FROM seats;
-- A row that changes its tournament changes both; columns that are not mentioned change nothing.
UPDATE rooms SET tournament = 11 WHERE name = 'Hall';
SELECT * FROM seats;
SELECT tournament, epoch AS before FROM enroll_seat WHERE tournament = '10' \gset
UPDATE rooms SET note = 'swept', name = upper(name);
SELECT epoch = :before AS same_epoch FROM enroll_seat WHERE tournament = '10';
UPDATE rooms SET chairs = chairs;
SELECT epoch = :before AS same_epoch FROM enroll_seat WHERE tournament = '10';
UPDATE rooms SET chairs = chairs + 1 WHERE tournament = 10;
SELECT epoch > :before AS moved FROM enroll_seat WHERE tournament = '10';
-- A chair more than a seat can count, or less than none.
BEGIN;
UPDATE rooms SET chairs = -5 WHERE tournament = 10;
SELECT * FROM seats;
SELECT code, details ->> 'capacity' AS capacity FROM try_enroll(9, 10);
ROLLBACK;
SELECT * FROM seats;
-- Open and closed.
SELECT code FROM enroll(7, 11);
INSERT INTO hours (cup, closed) VALUES (11, true), (10, false);
SELECT code FROM try_enroll(8, 11);
UPDATE hours SET closed = NOT closed;
SELECT code FROM try_enroll(8, 11);
SELECT code FROM try_enroll(8, 10);
DELETE FROM hours;
SELECT code FROM enroll(8, 11);
INSERT INTO hours (cup, closed) VALUES (NULL, true), (12345, true);
-- TRUNCATE: every tournament is looked at.
TRUNCATE rooms;
SELECT * FROM seats;
SELECT code, seats_left FROM enroll(9, 10);
INSERT INTO hours (cup, closed) VALUES (10, true);
TRUNCATE hours, rooms;
SELECT code FROM enroll(10, 10);
-- COPY, MERGE and an upsert.
COPY rooms (tournament, chairs) FROM stdin;
10	1
11	9
10	8
\.
SELECT * FROM seats;
MERGE INTO rooms r USING (VALUES (10, 2), (11, 3)) v(id, n) ON r.tournament = v.id
  WHEN MATCHED THEN UPDATE SET chairs = v.n;
SELECT * FROM seats;
CREATE UNIQUE INDEX ON rooms (tournament, chairs) WHERE name IS NOT NULL;
INSERT INTO rooms VALUES (10, 'A', 20), (10, 'B', 30) ON CONFLICT DO NOTHING;
INSERT INTO rooms VALUES (10, 'A', 20) ON CONFLICT (tournament, chairs) WHERE name IS NOT NULL
  DO UPDATE SET chairs = 21;
SELECT * FROM seats;
-- In one transaction with calls, and undone.
BEGIN;
UPDATE rooms SET chairs = 100 WHERE name = 'A';
SELECT code, seats_left FROM enroll(11, 10);
SAVEPOINT s;
DELETE FROM rooms WHERE name = 'A';
SELECT code, seats_left FROM enroll(12, 10);
ROLLBACK TO s;
SELECT code, seats_left FROM enroll(12, 10);
ROLLBACK;
SELECT * FROM seats;
SELECT * FROM enroll_reconcile();
-- Nor does a room take the seats from a raw row that came before its tournament.
BEGIN;
ALTER TABLE enrollments DROP CONSTRAINT enrollments_tournament_id_fkey;
INSERT INTO enrollments (user_id, tournament_id) VALUES (1, 77);
INSERT INTO rooms (tournament, chairs) VALUES (77, 2);
INSERT INTO enrollments (user_id, tournament_id) VALUES (2, 77);
SELECT taken, allotted FROM enroll_seat WHERE tournament = '77';
INSERT INTO tournaments (id, name) VALUES (77, 'Late');
SELECT taken, allotted FROM enroll_seat WHERE tournament = '77';
ROLLBACK;
-- A tournament that comes after its room finds it.
INSERT INTO rooms VALUES (12, 'Early', 1);
INSERT INTO tournaments (id, name) VALUES (12, 'Late');
SELECT * FROM seats WHERE tournament = '12';

-- A guard like any other.
ALTER TABLE rooms DISABLE TRIGGER enroll_gate_update;
SELECT enroll(13, 10);
SELECT guarded, guards -> 'enroll_gate_update' AS state FROM enroll_policies;
ALTER TABLE rooms ENABLE TRIGGER enroll_gate_update;
DROP TRIGGER enroll_gate_delete ON hours;
SELECT enroll(13, 10);
SELECT enroll_attach(document) FROM documents;
SELECT code FROM enroll(13, 10);
-- A table that is not watched is warned of, and its changes are as true as the next first read.
SELECT object, action, obstacle, remedy FROM documents,
  LATERAL enroll_precheck(document #- '{watch,0}') WHERE action IN ('refuse', 'warn');
SELECT enroll_attach(document #- '{watch,0}') FROM documents;
SELECT count(*) AS triggers FROM pg_trigger WHERE tgrelid = 'rooms'::regclass;
SELECT * FROM seats WHERE tournament = '12';
SELECT code FROM enroll(14, 12);
UPDATE rooms SET chairs = 2 WHERE tournament = 12;
INSERT INTO enrollments (user_id, tournament_id) VALUES (15, 12);
SELECT code, seats_left FROM enroll(15, 12);
UPDATE rooms SET chairs = 1 WHERE tournament = 12;
SELECT code FROM try_enroll(16, 12);
SELECT * FROM seats WHERE tournament = '12';
SELECT * FROM enroll_reconcile();
-- A view cannot be watched, nor what a function reads; a table that nothing mentions need not be.
CREATE VIEW halls AS SELECT * FROM rooms;
CREATE FUNCTION chairs_of(bigint) RETURNS integer LANGUAGE plpgsql STABLE AS
  $$ BEGIN RETURN (SELECT sum(r.chairs) FROM rooms r WHERE r.tournament = $1); END $$;
CREATE TABLE others (tournament bigint);
SELECT object, action, obstacle, remedy FROM documents, LATERAL enroll_precheck(
  jsonb_set(jsonb_set(document, '{tournaments,capacity}', '"chairs_of(t.id)"'), '{watch,0,table}',
    '"others"')) WHERE action IN ('refuse', 'warn');
SELECT object, action, obstacle FROM documents, LATERAL enroll_precheck(
  jsonb_set(jsonb_set(document, '{tournaments,capacity}',
  '"(SELECT sum(h.chairs) FROM halls h WHERE h.tournament = t.id)"'), '{watch,0,table}', '"halls"'))
WHERE action IN ('refuse', 'warn');
SELECT object, obstacle, remedy FROM documents, LATERAL enroll_precheck(
  jsonb_set(document, '{watch,0,tournament}', '"tournamint"')) WHERE action = 'refuse';
SELECT object, obstacle, remedy FROM documents, LATERAL enroll_precheck(
  jsonb_set(document, '{watch,0,tournament}', '"name"')) WHERE action = 'refuse';
SELECT object, obstacle FROM documents, LATERAL enroll_precheck(
  jsonb_set(document, '{watch,0,table}', '"tournaments"')) WHERE action = 'refuse';

-- Two policies that watch one table: the last one takes the triggers along.
CREATE SCHEMA shop_b;
SELECT enroll_create_tables('shop_b', 'second');
SET client_min_messages = error;
SELECT enroll_attach(document) FROM documents;
RESET client_min_messages;
INSERT INTO documents SELECT jsonb_set(jsonb_set(jsonb_set(jsonb_set(d.document, '{users,table}',
  '"shop_b.users"'), '{tournaments,table}', '"shop_b.tournaments"'), '{enrollments,table}',
  '"shop_b.enrollments"'), '{ledger,table}', '"shop_b.credit_transactions"') FROM documents d;
SELECT enroll_attach(document, 'second') FROM documents WHERE document::text ~ 'shop_b';
INSERT INTO shop_b.tournaments (id, name) VALUES (10, 'Second cup');
SELECT policy, tournament, allotted FROM enroll_seat WHERE tournament = '10' ORDER BY policy;
UPDATE rooms SET chairs = chairs + 10 WHERE tournament = 10 AND name IS NOT NULL;
SELECT policy, tournament, allotted FROM enroll_seat WHERE tournament = '10' ORDER BY policy;
SELECT enroll_detach();
UPDATE rooms SET chairs = 60 WHERE tournament = 10 AND name = 'A';
SELECT policy, tournament, allotted FROM enroll_seat WHERE tournament = '10' ORDER BY policy;
SELECT enroll_detach('second');
SELECT count(*) AS triggers FROM pg_trigger
WHERE tgrelid IN ('rooms'::regclass, 'hours'::regclass) AND NOT tgisinternal;

SET client_min_messages = error;
DROP SCHEMA shop, shop_b CASCADE;
