-- Tables whose own unique constraint allows a user one row for ever: who comes back gets the
-- withdrawn row again.
\set SHOW_CONTEXT never
SET client_min_messages = error;
DROP EXTENSION IF EXISTS pg_enroll CASCADE;
DROP SCHEMA IF EXISTS shop CASCADE;
CREATE SCHEMA shop;
SET search_path = shop;
CREATE EXTENSION pg_enroll;
RESET client_min_messages;

CREATE TABLE users (id integer PRIMARY KEY, credits integer NOT NULL DEFAULT 100,
  license integer NOT NULL);
CREATE TABLE tournaments (id integer PRIMARY KEY, seats integer, price integer NOT NULL);
CREATE TABLE enrollments (id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  user_id integer NOT NULL REFERENCES users, tournament_id integer NOT NULL REFERENCES tournaments,
  license integer NOT NULL, status text NOT NULL DEFAULT 'PENDING',
  times integer NOT NULL DEFAULT 1, at timestamp, note text,
  CONSTRAINT one_for_ever UNIQUE (user_id, tournament_id));
CREATE INDEX ON enrollments (tournament_id);
CREATE TABLE moves (id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  enrollment_id integer REFERENCES enrollments, kind text NOT NULL, amount integer NOT NULL,
  balance integer NOT NULL, key text UNIQUE);
CREATE INDEX ON moves (enrollment_id);
INSERT INTO users (id, license) SELECT n, 1000 + n FROM generate_series(1, 12) n;
INSERT INTO tournaments VALUES (10, 4, 10), (11, NULL, 5);
CREATE TABLE documents (document jsonb);
INSERT INTO documents VALUES ('{
  "users": {"table": "users", "key": "id", "balance": "credits"},
  "tournaments": {"table": "tournaments", "key": "id", "capacity": "t.seats", "cost": "t.price"},
  "enrollments": {"table": "enrollments", "key": "id", "user": "user_id",
    "tournament": "tournament_id", "active": "status = ''APPROVED''", "time": "at",
    "withdrawn": "status = ''WITHDRAWN''",
    "insert": {"license": "u.license", "status": "''APPROVED''", "note": "''for '' || t.price"},
    "withdraw": {"status": "''WITHDRAWN''"}, "reenroll": "reactivate"},
  "ledger": {"table": "moves", "amount": "amount", "balance_after": "balance",
    "enrollment": "enrollment_id", "idempotency_key": "key", "order": "id",
    "type": {"column": "kind", "enroll": "in", "unenroll": "out", "waive": "free"}},
  "refund": "paid / 2"}');

-- With a row each time the constraint would turn away who comes back: told, with the remedy.
SELECT c.* FROM documents, LATERAL enroll_precheck(
  jsonb_set(document, '{enrollments,reenroll}', '"insert"')) c WHERE action = 'refuse';
SELECT enroll_attach(document #- '{enrollments,reenroll}') FROM documents;
SELECT enroll_attach(document) FROM documents;

-- In, out and in again, in every way: it is the same row, written anew by `insert` alone.
SELECT code, enrollment_id, amount, balance_after, seats_left FROM enroll(1, 10);
SELECT code, enrollment_id, amount, balance_after, seats_left FROM unenroll(1, 10);
UPDATE tournaments SET price = 7 WHERE id = 10;
UPDATE users SET license = 2001 WHERE id = 1;
UPDATE enrollments SET times = 5, at = '2001-01-01' WHERE user_id = 1;
SELECT code, enrollment_id, amount, balance_after, seats_left FROM enroll(1, 10);
SELECT * FROM enrollments WHERE user_id = 1;
SELECT code, enrollment_id FROM try_enroll(1, 10);
SELECT code, enrollment_id, amount, balance_after FROM unenroll(1, 10, 'out');
SELECT code, enrollment_id, amount, seats_left FROM enroll_waived(1, 10, 'a guest');
SELECT code, enrollment_id, amount FROM unenroll(1, 10);
SELECT code, enrollment_id FROM can_enroll(1, 10);
SELECT code, enrollment_id, replayed FROM enroll(1, 10, 'in');
SELECT code, enrollment_id, replayed FROM enroll(1, 10, 'in');
SELECT code, enrollment_id, replayed FROM try_enroll(1, 10, 'out');
SELECT enrollment_id, kind, amount, balance FROM moves ORDER BY id;
SELECT tournament, taken, allotted FROM enroll_seat ORDER BY tournament;

-- Many: new rows and old ones in one claim; scarce seats in input order.
SELECT code, enrollment_id FROM enroll(3, 10);
SELECT code FROM unenroll(3, 10);
SELECT code, enrollment_id FROM enroll(5, 10);
SELECT code FROM unenroll(5, 10);
SELECT user_id, code, seats_left FROM try_enroll_many(ARRAY[5, 2, 1, 3, 4, 5], 10);
SELECT id, user_id, status FROM enrollments ORDER BY user_id;
SELECT tournament, taken, allotted FROM enroll_seat ORDER BY tournament;
UPDATE tournaments SET seats = 6 WHERE id = 10;
SELECT code FROM unenroll(3, 10);
SELECT code FROM unenroll(5, 10);
SELECT user_id, code, enrollment_id IS NOT NULL AS row, seats_left
FROM enroll_many(ARRAY[6, 5, 3], 10);
SELECT code FROM unenroll(5, 10);
SELECT code FROM unenroll(3, 10);
SELECT user_id, code, seats_left FROM enroll_many(ARRAY[3, 5], 10);
SELECT enroll_many(ARRAY[7, 8], 10);
SELECT user_id, status FROM enrollments ORDER BY user_id;

-- Only a withdrawn row comes back. Any other that is in the way is the table's own to refuse.
INSERT INTO enrollments (user_id, tournament_id, license, status) VALUES
  (8, 11, 1008, 'REJECTED'), (9, 11, 1009, 'WITHDRAWN'), (10, 11, 1010, 'PENDING');
SELECT code, amount FROM enroll(9, 11);
SELECT code FROM can_enroll(8, 11);
SELECT enroll(8, 11);
\echo :LAST_ERROR_SQLSTATE
SELECT try_enroll(10, 11, 'a key');
SELECT try_enroll_many(ARRAY[12, 10], 11);
BEGIN ISOLATION LEVEL REPEATABLE READ;
SELECT enroll(8, 11);
ROLLBACK;
SELECT user_id, status FROM enrollments WHERE tournament_id = 11 ORDER BY user_id;
SELECT id, credits FROM users WHERE id IN (8, 9, 10, 12) ORDER BY id;
-- Without `withdrawn`, any row that is not active does.
SELECT enroll_attach(document #- '{enrollments,withdrawn}') FROM documents;
SELECT code, amount FROM enroll(8, 11);
SELECT user_id, code FROM try_enroll_many(ARRAY[12, 10], 11);
SELECT user_id, status, note FROM enrollments WHERE tournament_id = 11 ORDER BY user_id;

-- One row for each license: the newest by `time` comes back, a new one where it is another's.
ALTER TABLE enrollments DROP CONSTRAINT one_for_ever,
  ADD CONSTRAINT one_a_license UNIQUE (license, tournament_id, user_id);
SELECT enroll_attach(document) FROM documents;
DELETE FROM moves;
DELETE FROM enrollments;
INSERT INTO enrollments (user_id, tournament_id, license, status, at) VALUES
  (2, 10, 1, 'WITHDRAWN', '2001-01-01'), (2, 10, 2, 'WITHDRAWN', '2003-01-01'),
  (2, 10, 3, 'WITHDRAWN', NULL), (2, 10, 4, 'WITHDRAWN', '2002-01-01'),
  (2, 10, 5, 'REJECTED', '2009-01-01'), (4, 10, 1004, 'REJECTED', '2001-01-01');
SELECT code FROM enroll(2, 10);
SELECT license, status FROM enrollments WHERE user_id = 2 ORDER BY license;
SELECT enroll(4, 10);
UPDATE users SET license = 2004 WHERE id = 4;
SELECT code FROM enroll(4, 10);
SELECT license, status FROM enrollments WHERE user_id = 4 ORDER BY license;
-- What would come back may collide with another row of the user's.
SELECT code FROM unenroll(2, 10);
UPDATE users SET license = 5 WHERE id = 2;
SELECT enroll(2, 10);
\echo :LAST_ERROR_SQLSTATE
SELECT license, status FROM enrollments WHERE user_id = 2 ORDER BY license;
SELECT tournament, taken_before, taken_after FROM enroll_reconcile();

-- A deferrable constraint is asked at the end of the statement, or of the transaction.
ALTER TABLE enrollments DROP CONSTRAINT one_a_license,
  ADD CONSTRAINT one_for_ever UNIQUE (license, tournament_id, user_id) DEFERRABLE;
SELECT code FROM enroll(6, 10);
SELECT code FROM unenroll(6, 10);
SELECT code, seats_left FROM enroll(6, 10);
UPDATE enrollments SET status = 'REJECTED' WHERE user_id = 6;
SELECT enroll(6, 10);
SELECT try_enroll_many(ARRAY[7, 6], 10);
ALTER TABLE enrollments DROP CONSTRAINT one_for_ever,
  ADD CONSTRAINT one_for_ever UNIQUE (license, tournament_id, user_id)
  DEFERRABLE INITIALLY DEFERRED;
BEGIN;
SELECT code FROM enroll(6, 10);
COMMIT;
SELECT code FROM enroll(7, 10);
SELECT tournament, taken_before, taken_after FROM enroll_reconcile();

-- A duplicate that a function of the table's makes up is the function's own error.
CREATE FUNCTION pretend() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  RAISE unique_violation USING MESSAGE = 'made up', TABLE = TG_ARGV[0], SCHEMA = TG_ARGV[1];
END $$;
CREATE TRIGGER pretend BEFORE INSERT OR UPDATE ON enrollments
FOR EACH ROW EXECUTE FUNCTION pretend('enrollments', 'nowhere');
SELECT code FROM try_enroll(8, 10);
CREATE OR REPLACE TRIGGER pretend BEFORE INSERT OR UPDATE ON enrollments
FOR EACH ROW EXECUTE FUNCTION pretend('enrollments', 'shop');
SELECT code FROM try_enroll(8, 10);
SELECT code FROM try_enroll_many(ARRAY[8], 10);
CREATE OR REPLACE FUNCTION pretend() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  RAISE unique_violation USING MESSAGE = 'made up', TABLE = TG_ARGV[0];
END $$;
SELECT code FROM try_enroll(8, 10);
DROP TRIGGER pretend ON enrollments;

-- An index by an expression, and one whose predicate leaves the withdrawn rows out.
ALTER TABLE enrollments DROP CONSTRAINT one_for_ever;
DELETE FROM moves;
DELETE FROM enrollments;
CREATE UNIQUE INDEX living ON enrollments (user_id, tournament_id) WHERE status <> 'WITHDRAWN';
SELECT object, obstacle FROM documents, LATERAL enroll_precheck(
  jsonb_set(document, '{enrollments,reenroll}', '"insert"')) WHERE action = 'refuse';
CREATE UNIQUE INDEX by_day ON enrollments (user_id, tournament_id, at);
SELECT object, obstacle FROM documents, LATERAL enroll_precheck(
  jsonb_set(document, '{enrollments,reenroll}', '"insert"')) WHERE action = 'refuse';
DROP INDEX by_day;
-- Others, by what their predicates say of the withdrawn rows: harmless, in the way, or who knows.
CREATE FUNCTION judged(predicate text, change jsonb)
RETURNS TABLE (action text, obstacle text, remedy text) LANGUAGE plpgsql AS $$
BEGIN
  EXECUTE 'CREATE UNIQUE INDEX judged ON enrollments (tournament_id, license, user_id)' || predicate;
  RETURN QUERY SELECT c.action, c.obstacle, c.remedy FROM documents d, LATERAL enroll_precheck(
    jsonb_set(d.document, '{enrollments}', jsonb_strip_nulls(d.document -> 'enrollments' ||
      '{"reenroll": "insert"}' || change))) c WHERE c.object = 'index shop.judged';
  RAISE EXCEPTION USING ERRCODE = 'UNDO1';
EXCEPTION
  WHEN SQLSTATE 'UNDO1' THEN NULL;
END $$;
SELECT nr, j.* FROM (VALUES
  (1, '', '{}'), (2, 'WHERE user_id IS NOT NULL', '{}'), (3, 'WHERE status IS NOT NULL', '{}'),
  (4, $$WHERE status IN ('REJECTED', 'WITHDRAWN')$$, '{}'),
  (5, $$WHERE status IN ('APPROVED', 'PENDING')$$, '{}'),
  (6, $$WHERE status = 'APPROVED' AND times > 1$$, '{}'), (7, 'WHERE times > 1', '{}'),
  (8, $$WHERE NOT (status = 'WITHDRAWN' IS NOT FALSE)$$, '{}'),
  (9, '', '{"withdrawn": null}'), (10, 'WHERE user_id IS NOT NULL', '{"withdrawn": null}'),
  (11, $$WHERE status <> 'WITHDRAWN'$$, '{"withdrawn": null}'),
  (12, $$WHERE status <> 'WITHDRAWN'$$, '{"withdrawn": "e.status = ''WITHDRAWN'' AND times > 0"}'))
  i(nr, predicate, change), LATERAL judged(predicate, change::jsonb) j ORDER BY nr;
SELECT enroll_attach(jsonb_set(document, '{enrollments,reenroll}', '"insert"')) FROM documents;
SELECT code FROM enroll(1, 10);
SELECT code FROM unenroll(1, 10);
SELECT code FROM enroll(1, 10);
SELECT user_id, status FROM enrollments ORDER BY id;

-- `insert` must make the row active, and must not rename it.
\set VERBOSITY terse
SELECT enroll_attach(document #- '{enrollments,insert,status}') FROM documents;
SELECT enroll(2, 10);
\echo :LAST_ERROR_SQLSTATE
\set VERBOSITY default
SELECT enroll_attach(jsonb_set(document, '{enrollments,insert,id}', '"7"')) FROM documents;

SET client_min_messages = error;
SELECT enroll_detach();
DROP SCHEMA shop CASCADE;
