-- Attaching to tables that were there before: what fits is adopted, what is missing is built, and
-- detaching takes away exactly that.
\set SHOW_CONTEXT never
SET client_min_messages = error;
DROP EXTENSION IF EXISTS pg_enroll CASCADE;
DROP SCHEMA IF EXISTS shop, shop_b CASCADE;
CREATE SCHEMA shop;
SET search_path = shop;
CREATE EXTENSION pg_enroll;
RESET client_min_messages;

CREATE TABLE people (id integer PRIMARY KEY, credits integer NOT NULL DEFAULT 100);
CREATE TABLE cups (id integer PRIMARY KEY, seats integer, price integer NOT NULL DEFAULT 10);
CREATE TABLE places (id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY, person integer NOT NULL,
  cup integer NOT NULL, taken boolean NOT NULL DEFAULT true);
CREATE INDEX ON places (cup);
CREATE TABLE moves (id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY, place integer,
  kind text NOT NULL, amount integer NOT NULL, balance integer NOT NULL, key text UNIQUE);
CREATE INDEX ON moves (place);
INSERT INTO people SELECT n FROM generate_series(1, 9) n;
INSERT INTO cups VALUES (1, 3), (2, NULL);
INSERT INTO places (person, cup, taken) VALUES (1, 1, true), (1, 2, true), (2, 1, false);
INSERT INTO moves (place, kind, amount, balance) VALUES (1, 'in', -10, 90), (2, 'in', -10, 80);
CREATE TABLE documents (document jsonb);
INSERT INTO documents VALUES ('{
  "users": {"table": "people", "key": "id", "balance": "credits"},
  "tournaments": {"table": "cups", "key": "id", "capacity": "t.seats", "cost": "t.price"},
  "enrollments": {"table": "places", "key": "id", "user": "person", "tournament": "cup",
    "active": "taken = TRUE", "insert": {"taken": "TRUE"}, "withdraw": {"taken": "FALSE"}},
  "ledger": {"table": "moves", "amount": "amount", "balance_after": "balance",
    "enrollment": "place", "idempotency_key": "key", "order": "id",
    "type": {"column": "kind", "enroll": "in", "unenroll": "out", "waive": "free"}},
  "refund": "paid"}');
-- Everything that belongs to the tables, but for the foreign keys' own triggers.
CREATE VIEW catalog AS
  SELECT 'index' AS kind, indrelid::regclass || ': ' || pg_get_indexdef(indexrelid)
         || CASE WHEN indisvalid THEN '' ELSE ' INVALID' END AS definition
  FROM pg_index JOIN pg_class c ON c.oid = indrelid WHERE relnamespace::regnamespace::text ~ '^shop'
    AND relname !~ '^enroll_'
  UNION ALL
  SELECT 'constraint', conrelid::regclass || ': ' || conname || ' ' || pg_get_constraintdef(oid)
  FROM pg_constraint WHERE connamespace::regnamespace::text ~ '^shop'
    AND conrelid::regclass::text !~ 'enroll_'
  UNION ALL
  SELECT 'trigger', pg_get_triggerdef(t.oid) FROM pg_trigger t JOIN pg_class c ON c.oid = tgrelid
  WHERE relnamespace::regnamespace::text ~ '^shop' AND NOT tgisinternal;
CREATE TABLE before AS SELECT * FROM catalog;
CREATE VIEW changes AS
  (SELECT '+' AS change, * FROM (TABLE catalog EXCEPT ALL TABLE before) c
   UNION ALL SELECT '-', * FROM (TABLE before EXCEPT ALL TABLE catalog) c) ORDER BY 1, 2, 3;

-- What a call says, and what to do about it, where it cannot do its work.
CREATE FUNCTION says(statement text, OUT code text, OUT message text, OUT advice text)
LANGUAGE plpgsql AS $$
BEGIN
  EXECUTE statement INTO code;
EXCEPTION WHEN OTHERS THEN
  code := SQLSTATE;
  message := SQLERRM;
  GET STACKED DIAGNOSTICS advice = PG_EXCEPTION_CONTEXT;
  advice := substring(advice FROM '(?n)^policy .*$');
END $$;

-- Built from nothing, and repeatable: the second time there is nothing left to do.
SELECT object, action, lock FROM documents, LATERAL enroll_precheck(document);
SELECT * FROM changes;
SELECT enroll_attach(document) FROM documents;
SELECT * FROM changes;
SELECT tournament, taken, allotted FROM enroll_seat ORDER BY tournament;
SELECT object, action, lock FROM documents, LATERAL enroll_precheck(document);
CREATE TABLE attached AS SELECT * FROM catalog;
SELECT enroll_attach(document) FROM documents;
SELECT count(*) AS differences FROM (TABLE catalog EXCEPT ALL TABLE attached) c;
SELECT code, balance_after, seats_left FROM enroll(2, 1);
SELECT code, amount FROM unenroll(1, 1);
SELECT code, amount FROM unenroll(1, 2);
-- Every attach moves the epochs, so that nobody goes on with what was read before it.
CREATE TABLE epochs AS SELECT tournament, epoch FROM enroll_seat;
SELECT enroll_attach(document) FROM documents;
SELECT count(*) AS moved
FROM epochs o JOIN enroll_seat n USING (tournament) WHERE n.epoch > o.epoch;
-- Detach and attach again are the identity.
SELECT enroll_detach();
SELECT * FROM changes;
SELECT enroll_attach(document) FROM documents;
SELECT count(*) AS differences FROM ((TABLE catalog EXCEPT ALL TABLE attached) UNION ALL
  (TABLE attached EXCEPT ALL TABLE catalog)) c;
SELECT enroll_detach();
SELECT count(*) AS changes FROM changes;
-- All in one transaction, and undone.
BEGIN;
SELECT enroll_attach(document) FROM documents;
SELECT code FROM enroll(3, 1);
SET LOCAL client_min_messages = error;
SELECT enroll_detach();
SELECT enroll_attach(document) FROM documents;
SELECT code FROM try_enroll(3, 1);
ROLLBACK;
SELECT count(*) AS changes FROM changes;
SELECT count(*) AS policies FROM enroll_policies;
-- While the table was on its own, rows came and went; what is there now is what is counted.
INSERT INTO places (person, cup) VALUES (5, 1), (6, 1), (7, 1);
BEGIN ISOLATION LEVEL REPEATABLE READ;
SELECT enroll_attach(document) FROM documents;
SELECT tournament, taken, allotted FROM enroll_seat ORDER BY tournament;
SELECT code FROM try_enroll(8, 1);
ROLLBACK;
DELETE FROM places WHERE person >= 5;

-- Adopted, whatever the name and wording: the index, the check, the triggers' names.
CREATE UNIQUE INDEX CONCURRENTLY "One Place" ON places (cup, person) INCLUDE (id) WHERE taken;
ALTER TABLE people ADD CONSTRAINT "no debts" CHECK (0 <= credits AND credits < 1000000);
TRUNCATE before;
INSERT INTO before SELECT * FROM catalog;
SELECT object, action, lock FROM documents, LATERAL enroll_precheck(document)
WHERE action = 'adopt' OR object !~ 'trigger';
SELECT enroll_attach(document) FROM documents;
SELECT change, kind, count(*) FROM changes GROUP BY 1, 2;
SELECT built_index, built_check FROM enroll_policy;
SELECT enroll(2, 1);
SELECT guards ? 'One Place' AS index, guards ? 'no debts' AS check, guarded FROM enroll_policies;
SELECT enroll_detach();
SELECT count(*) AS changes FROM changes;
-- A check that is not valid yet is validated, and stays.
ALTER TABLE people DROP CONSTRAINT "no debts",
  ADD CONSTRAINT "no debts" CHECK (credits >= 0) NOT VALID;
SELECT object, action, lock FROM documents, LATERAL enroll_precheck(document)
WHERE object ~ 'debts|check';
SELECT enroll_attach(document) FROM documents;
SELECT conname, convalidated
FROM pg_constraint WHERE conrelid = 'people'::regclass AND contype = 'c';
SELECT enroll_detach();
SELECT conname, convalidated
FROM pg_constraint WHERE conrelid = 'people'::regclass AND contype = 'c';
-- An index that is not valid, or that is asked too late, is told and left alone.
UPDATE pg_index SET indisvalid = false WHERE indexrelid = '"One Place"'::regclass;
SELECT object, action, obstacle, remedy FROM documents, LATERAL enroll_precheck(document)
WHERE action = 'refuse';
SELECT enroll_attach(document) FROM documents;
SELECT count(*) AS policies FROM enroll_policies;
REINDEX INDEX CONCURRENTLY "One Place";
SELECT action FROM documents, LATERAL enroll_precheck(document) WHERE object ~ 'One Place';
DROP INDEX "One Place";
DELETE FROM places WHERE NOT taken AND person = 2;
ALTER TABLE places ADD CONSTRAINT late UNIQUE (person, cup) DEFERRABLE;
SELECT object, action, obstacle, remedy FROM documents, LATERAL enroll_precheck(
  jsonb_set(document, '{enrollments,reenroll}', '"reactivate"'))
WHERE action = 'refuse' OR object ~ 'index';
ALTER TABLE places DROP CONSTRAINT late;
-- Near misses: not unique, another predicate, another column, by an expression.
CREATE INDEX m1 ON places (person, cup) WHERE taken;
CREATE UNIQUE INDEX m2 ON places (person, cup) WHERE taken AND cup > 0;
CREATE UNIQUE INDEX m3 ON places (person, cup, id) WHERE taken;
CREATE UNIQUE INDEX m4 ON places (person, (cup + 1)) WHERE taken;
CREATE UNIQUE INDEX m5 ON places (person, id) WHERE taken;
SELECT object, action FROM documents, LATERAL enroll_precheck(document) WHERE object ~ 'index';
DROP INDEX m1, m2, m3, m4, m5;
-- One with a predicate that says the same in other words.
CREATE UNIQUE INDEX m6 ON places (person, cup) WHERE taken = true;
SELECT object, action FROM documents, LATERAL enroll_precheck(document) WHERE object ~ 'index';
DROP INDEX m6;

-- Dirty data leave nothing behind.
UPDATE people SET credits = 0 WHERE credits < 0;
ALTER TABLE people DROP CONSTRAINT "no debts";
TRUNCATE before;
INSERT INTO before SELECT * FROM catalog;
UPDATE people SET credits = -1 WHERE id = 3;
INSERT INTO places (person, cup) VALUES (4, 1), (4, 1), (4, 1), (4, 1), (99, 1), (9, 77);
SELECT enroll_attach(document) FROM documents;
SELECT count(*) AS changes FROM changes;
SELECT count(*) AS seats FROM enroll_seat;
DELETE FROM places WHERE person = 4 AND id > (SELECT min(id) FROM places WHERE person = 4);
UPDATE people SET credits = 1 WHERE id = 3;
SELECT enroll_attach(document) FROM documents;
SELECT tournament, taken, allotted FROM enroll_seat ORDER BY tournament;
SELECT enroll_detach();
DELETE FROM places WHERE person = 99 OR cup = 77;

-- A second policy in one schema gets names of its own, be its users and tournaments shared or not.
CREATE TABLE seats_b (LIKE places INCLUDING ALL);
CREATE INDEX ON seats_b (cup);
CREATE TABLE moves_b (LIKE moves INCLUDING ALL);
CREATE INDEX ON moves_b (place);
CREATE TABLE members (id integer PRIMARY KEY, credits integer NOT NULL DEFAULT 0);
CREATE TABLE seats_c (LIKE places INCLUDING ALL);
CREATE INDEX ON seats_c (cup);
CREATE TABLE moves_c (LIKE moves INCLUDING ALL);
CREATE INDEX ON moves_c (place);
CREATE TABLE uq_active_enrollment_third ();
TRUNCATE before;
INSERT INTO before SELECT * FROM catalog;
SELECT enroll_attach(document) FROM documents;
SELECT enroll_attach(jsonb_set(jsonb_set(document, '{enrollments,table}', '"seats_b"'),
  '{ledger,table}', '"moves_b"'),
  'A second policy, "quoted", with a name that is longer than names may be')
FROM documents;
SELECT enroll_attach(jsonb_set(jsonb_set(jsonb_set(document, '{enrollments,table}', '"seats_c"'),
  '{ledger,table}', '"moves_c"'), '{users,table}', '"members"'), 'third') FROM documents;
SELECT * FROM changes WHERE kind <> 'trigger';
SELECT tgrelid::regclass, count(*) FROM pg_trigger
WHERE NOT tgisinternal AND tgname <> 'append_only' GROUP BY 1 ORDER BY 1;
SELECT left(policy, 15) AS policy, tournament, taken, allotted FROM enroll_seat ORDER BY 1, 2;
SELECT code, balance_after FROM enroll(4, 2);
SELECT code, balance_after FROM enroll(4, 2,
  policy => 'A second policy, "quoted", with a name that is longer than names may be');
SELECT code FROM try_enroll(4, 2, policy => 'third');
UPDATE cups SET seats = 1 WHERE id = 2;
SELECT left(policy, 15) AS policy, tournament, taken, allotted FROM enroll_seat ORDER BY 1, 2;
SELECT enroll_attach(jsonb_set(document, '{ledger,table}', '"moves_b"'), 'fourth') FROM documents;
-- The one that built what both need goes first: the other is guarded all the same.
SELECT enroll_detach();
SELECT left(policy, 15) AS policy, guarded FROM enroll_policies ORDER BY 1;
SELECT code FROM try_enroll(5, 2,
  policy => 'A second policy, "quoted", with a name that is longer than names may be');
UPDATE people SET credits = -1 WHERE id = 5;
UPDATE cups SET seats = 2 WHERE id = 2;
SELECT code, seats_left FROM enroll(5, 2,
  policy => 'A second policy, "quoted", with a name that is longer than names may be');
SELECT enroll_detach('third');
SELECT enroll_detach('A second policy, "quoted", with a name that is longer than names may be');
SELECT * FROM changes;
-- And the other way round.
SELECT enroll_attach(document) FROM documents;
SELECT enroll_attach(jsonb_set(jsonb_set(document, '{enrollments,table}', '"seats_b"'),
  '{ledger,table}', '"moves_b"'), 'second') FROM documents;
SELECT enroll_detach('second');
SELECT guarded FROM enroll_policies;
SELECT code, balance_after FROM try_enroll(6, 2);
-- A ledger that two policies share: what one was paid is not refunded by the other.
SELECT object, obstacle, remedy FROM documents, LATERAL enroll_precheck(
  jsonb_set(document, '{enrollments,table}', '"seats_b"'), 'second') WHERE action = 'refuse';
SELECT enroll_attach(jsonb_set(jsonb_set(document, '{enrollments,table}', '"seats_b"'),
  '{ledger,type}', '{"column": "kind", "enroll": "b in", "unenroll": "in", "waive": "b free"}'),
  'second') FROM documents;
SELECT enroll_attach(jsonb_set(jsonb_set(document, '{enrollments,table}', '"seats_b"'),
  '{ledger,type}', '{"column": "kind", "enroll": "b in", "unenroll": "b out", "waive": "b free"}'),
  'second') FROM documents;
BEGIN;
UPDATE cups SET seats = 9 WHERE id = 2;
SELECT code, amount FROM enroll(7, 2);
INSERT INTO seats_b OVERRIDING SYSTEM VALUE
  SELECT id, 8, 2, true FROM places WHERE person = 7 AND cup = 2;
SELECT code, amount FROM unenroll(8, 2, policy => 'second');
SELECT code, amount FROM unenroll(7, 2);
ROLLBACK;
SELECT enroll_detach('second');
-- Attached anew to other tables and columns under the same name: what it had built goes along.
ALTER TABLE people ADD COLUMN points integer NOT NULL DEFAULT 5;
ALTER TABLE places ADD COLUMN here boolean DEFAULT true;
DELETE FROM places WHERE NOT taken;
SELECT object, action
FROM documents, LATERAL enroll_precheck(jsonb_set(jsonb_set(jsonb_set(jsonb_set(
  document, '{users,balance}', '"points"'), '{enrollments,active}', '"here"'),
  '{enrollments,insert}', '{"here": "TRUE"}'), '{enrollments,withdraw}', '{"here": "FALSE"}'))
WHERE action <> 'adopt';
SELECT enroll_attach(jsonb_set(jsonb_set(jsonb_set(jsonb_set(
  document, '{users,balance}', '"points"'), '{enrollments,active}', '"here"'),
  '{enrollments,insert}', '{"here": "TRUE"}'), '{enrollments,withdraw}', '{"here": "FALSE"}'))
FROM documents;
SELECT * FROM changes WHERE kind <> 'trigger';
SELECT enroll_attach(jsonb_set(jsonb_set(document, '{enrollments,table}', '"seats_b"'),
  '{ledger,table}', '"moves_b"')) FROM documents;
SELECT * FROM changes WHERE kind <> 'trigger';
SELECT tgrelid::regclass, count(*) FROM pg_trigger
WHERE NOT tgisinternal AND tgname <> 'append_only' GROUP BY 1 ORDER BY 1;
SELECT policy, enrollments, ledger FROM enroll_policies;
SELECT tournament, taken FROM enroll_seat ORDER BY 1;
SELECT enroll_detach();
SELECT * FROM changes;
ALTER TABLE people DROP COLUMN points;
ALTER TABLE places DROP COLUMN here;

-- What attaching built is known again, whatever it is called by then.
SELECT enroll_attach(document) FROM documents;
ALTER INDEX uq_active_enrollment RENAME TO "One, renamed";
ALTER TABLE people RENAME CONSTRAINT chk_credit_balance_non_negative TO "Two, renamed";
ALTER TRIGGER enroll_door_insert ON places RENAME TO "Three, renamed";
ALTER TRIGGER enroll_gate_update ON cups RENAME TO "Four, renamed";
SELECT code FROM enroll(8, 1);
SELECT count(*) AS adopted FROM documents, LATERAL enroll_precheck(document)
WHERE action = 'adopt' AND object ~ 'renamed';
SELECT enroll_attach(document) FROM documents;
SELECT enroll_detach();
SELECT * FROM changes;

-- The tables change afterwards: it goes on, or the first call says what to do.
UPDATE cups SET seats = 5 WHERE id = 2;
SELECT enroll_attach(document) FROM documents;
ALTER TABLE places RENAME TO "My places";
ALTER TABLE people RENAME TO persons;
CREATE SCHEMA shop_b;
ALTER TABLE moves SET SCHEMA shop_b;
SELECT code, balance_after FROM enroll(7, 2);
SELECT guarded FROM enroll_policies;
ALTER TABLE shop_b.moves SET SCHEMA shop;
CREATE TABLE renamed AS SELECT jsonb_set(jsonb_set(document, '{enrollments,table}', '"My places"'),
  '{users,table}', '"persons"') AS document FROM documents;
ALTER TABLE "My places" RENAME COLUMN person TO who;
SELECT * FROM says('SELECT code FROM enroll(7, 1)');
SELECT guarded, guards FROM enroll_policies;
SELECT * FROM says('INSERT INTO "My places" (who, cup) VALUES (8, 2)');
SELECT object, action, obstacle, remedy FROM renamed, LATERAL enroll_precheck(document)
WHERE action = 'refuse';
ALTER TABLE "My places" RENAME COLUMN who TO person;
SELECT code, balance_after FROM unenroll(7, 2);
-- A column of an expression's, renamed and dropped.
ALTER TABLE cups RENAME COLUMN price TO cost;
SELECT * FROM says('SELECT code FROM try_enroll(7, 1)');
UPDATE cups SET seats = 3 WHERE id = 2;
ALTER TABLE cups RENAME COLUMN cost TO price;
ALTER TABLE cups ADD COLUMN dropped integer DEFAULT 4;
SELECT enroll_attach(jsonb_set(document, '{tournaments,cost}', '"t.dropped"')) FROM renamed;
SELECT code, amount FROM enroll(7, 2);
ALTER TABLE cups DROP COLUMN dropped;
SELECT * FROM says('SELECT code FROM enroll(7, 1)');
SELECT * FROM says('SELECT code FROM unenroll(7, 2)');
SELECT * FROM says('SELECT code FROM can_enroll(7, 1)');
INSERT INTO "My places" (person, cup) VALUES (9, 2);
SELECT enroll_attach(document) FROM renamed;
SELECT code, amount FROM unenroll(7, 2);
-- The index goes with its column, and the door cannot tell any more who is active.
ALTER TABLE "My places" DROP COLUMN taken;
SELECT * FROM says('SELECT code FROM enroll(7, 1)');
SELECT guarded FROM enroll_policies;
SELECT * FROM says('INSERT INTO "My places" (person, cup) VALUES (8, 2)');
-- Its owner can always be rid of it.
SELECT enroll_detach();
SELECT * FROM changes WHERE kind = 'trigger' OR definition ~ 'uq_active|chk_credit';
INSERT INTO "My places" (person, cup) VALUES (8, 2);

SET client_min_messages = error;
DROP SCHEMA shop, shop_b CASCADE;
