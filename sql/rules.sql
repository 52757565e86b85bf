-- Rules: who may enroll, and who may withdraw, in the application's own words.
\set SHOW_CONTEXT never
SET client_min_messages = error;
DROP EXTENSION IF EXISTS pg_enroll CASCADE;
DROP SCHEMA IF EXISTS shop CASCADE;
CREATE SCHEMA shop;
SET search_path = shop;
CREATE EXTENSION pg_enroll;
SELECT enroll_create_tables();
RESET client_min_messages;

ALTER TABLE users ADD COLUMN role text DEFAULT 'STUDENT', ADD COLUMN age integer DEFAULT 20,
  ADD COLUMN share integer DEFAULT 1;
ALTER TABLE tournaments ADD COLUMN from_age integer DEFAULT 0,
  ADD COLUMN begun boolean DEFAULT false;
ALTER TABLE enrollments ADD COLUMN kept boolean DEFAULT false;
CREATE TABLE licenses (user_id bigint PRIMARY KEY, valid boolean);
INSERT INTO users (id, credit_balance) SELECT n, 100 FROM generate_series(1, 20) n;
INSERT INTO licenses SELECT n, true FROM generate_series(1, 20) n WHERE n <> 5;
INSERT INTO tournaments (id, name, capacity, cost) VALUES (10, 'Cup', 9, 10), (11, 'Open', NULL, 5);
SELECT enroll_attach(document || '{"rules": [
  {"name": "students_only", "require": "u.role = ''STUDENT''",
   "message": "Only students can enroll: 100 %, %s and \"you\" – sorry", "http_status": 403},
  {"name": "grown_up", "on": "enroll", "require": "u.age >= t.from_age"},
  {"name": "before_start", "on": "unenroll", "require": "NOT t.begun", "message": "It has begun",
   "http_status": 410},
  {"name": "Licensed & \"valid\"", "http_status": 451, "require":
   "(SELECT l.valid FROM licenses l WHERE l.user_id = u.id)"},
  {"name": "shares", "require": "100 / u.share > 0", "message": "No share"},
  {"name": "not_kept", "on": "unenroll", "require": "e.kept = (u.age IS NULL)"}]}')
FROM enroll_policies;

-- A rule's own message, status and name, or the code's.
UPDATE users SET role = 'ADMIN' WHERE id = 2;
UPDATE tournaments SET from_age = 18;
UPDATE users SET age = 17 WHERE id = 3;
UPDATE users SET age = NULL WHERE id = 4;
UPDATE licenses SET valid = NULL WHERE user_id = 6;
\x on
SELECT * FROM try_enroll(2, 10);
SELECT * FROM try_enroll(3, 10);
\x off
SELECT id, e.code, e.sqlstate, e.http_status, e.message, e.details ->> 'rule' AS rule
FROM users, LATERAL try_enroll(id, 10) e WHERE id BETWEEN 4 AND 6 ORDER BY id;
SELECT enroll(2, 10);
\echo :LAST_ERROR_SQLSTATE
SELECT enroll(5, 10);
\echo :LAST_ERROR_SQLSTATE
-- Every function that enrolls asks them, and none writes a thing.
SELECT code, http_status, message, details ->> 'rule' AS rule FROM can_enroll(2, 10);
SELECT enroll_waived(2, 10, 'a friend');
SELECT enroll_many(ARRAY[1, 3, 2], 10);
SELECT enroll_many(ARRAY[1, 2, 3], 10);
SELECT user_id, code, http_status, message, details ->> 'rule' AS rule
FROM try_enroll_many(ARRAY[7, 2, 3, 8], 10);
SELECT user_id FROM enrollments ORDER BY user_id;
SELECT count(*) AS ledger_rows FROM credit_transactions;

-- The first one that is broken is told, in the document's order.
UPDATE users SET age = 1 WHERE id IN (2, 5);
SELECT id, e.details ->> 'rule' AS rule FROM users, LATERAL try_enroll(id, 10) e
WHERE id IN (2, 5) ORDER BY id;
-- One that raises is not an answer; one that stands behind a broken one is not asked.
UPDATE users SET share = 0 WHERE id IN (9, 2);
SELECT try_enroll(9, 10);
\echo :LAST_ERROR_SQLSTATE
SELECT can_enroll(9, 10);
SELECT try_enroll_many(ARRAY[10, 9], 10);
SELECT code FROM try_enroll(2, 10);
SELECT count(*) AS enrolled FROM enrollments;

-- Their place among the rejections: behind these ...
SELECT code FROM try_enroll(2, 99);
SELECT code FROM try_enroll(99, 10);
UPDATE tournaments SET status = 'CANCELLED' WHERE id = 10;
SELECT code FROM try_enroll(3, 10);
UPDATE tournaments SET status = 'ENROLLMENT_OPEN' WHERE id = 10;
UPDATE users SET age = 1 WHERE id = 7;
SELECT code FROM try_enroll(7, 10);
SELECT code FROM try_enroll(99, 10, 'key');
-- ... and before these.
UPDATE tournaments SET capacity = 2, cost = 1000 WHERE id = 10;
SELECT code FROM try_enroll(3, 10, NULL, 1);
UPDATE users SET age = 20 WHERE id = 3;
SELECT code FROM try_enroll(3, 10, NULL, 1);
UPDATE tournaments SET capacity = 9 WHERE id = 10;
SELECT code FROM try_enroll(3, 10, NULL, 1);
SELECT code FROM try_enroll(3, 10);
UPDATE tournaments SET cost = 10 WHERE id = 10;

-- What a key was used for stands, whatever the rules say now; a rejection does not use it up.
SELECT code FROM try_enroll(2, 11, 'second');
UPDATE users SET role = 'STUDENT', age = 20, share = 1 WHERE id = 2;
SELECT code, replayed FROM try_enroll(2, 11, 'second');
UPDATE users SET role = 'ADMIN' WHERE id = 2;
SELECT code, replayed FROM enroll(2, 11, 'second');
SELECT code FROM try_enroll(2, 10, 'second');
-- Raw writers are not bound by them.
INSERT INTO enrollments (user_id, tournament_id) VALUES (2, 10);

-- Withdrawing.
SELECT code, amount FROM quote_unenroll(8, 10);
UPDATE tournaments SET begun = true WHERE id = 10;
\x on
SELECT * FROM try_unenroll(8, 10);
SELECT * FROM quote_unenroll(8, 10);
\x off
SELECT unenroll(8, 10);
\echo :LAST_ERROR_SQLSTATE
SELECT code FROM try_unenroll(9, 10);
SELECT code FROM try_unenroll(99, 10);
SELECT code FROM try_unenroll(8, 99);
UPDATE tournaments SET begun = NULL WHERE id = 10;
SELECT code, http_status FROM try_unenroll(8, 10, 'out');
UPDATE tournaments SET begun = false WHERE id = 10;
UPDATE enrollments SET kept = true WHERE user_id = 8;
SELECT unenroll(8, 10);
SELECT code, http_status, message, details ->> 'rule' AS rule FROM try_unenroll(8, 10, 'out');
UPDATE enrollments SET kept = false WHERE user_id = 8;
SELECT code, amount FROM unenroll(8, 10, 'out');
UPDATE tournaments SET begun = true WHERE id = 10;
SELECT code, replayed FROM unenroll(8, 10, 'out');
SELECT code FROM try_unenroll(8, 10);
SELECT tournament, taken_before, taken_after FROM enroll_reconcile();

-- Without rules everybody may again.
SELECT enroll_attach(document - 'rules') FROM enroll_policies;
SELECT code FROM enroll(5, 10);
SELECT code FROM unenroll(7, 10);

-- What a date is does not depend on who calls: the time zone is that of the attach, and dates and
-- intervals are read in one way.
SET TimeZone = 'Europe/Berlin';
SELECT enroll_attach(jsonb_set(document, '{enrollments,active}',
  '"is_active AND enrolled_at > ''2001-02-03 00:00''::timestamptz"') || '{"rules": [
  {"name": "zone", "require": "current_setting(''TimeZone'') = ''Europe/Berlin''"},
  {"name": "date", "require": "''01/02/2026''::date = make_date(2026, 1, 2)"},
  {"name": "deadline", "require": "timestamptz ''2026-07-01 00:00'' = date ''2026-07-01''"},
  {"name": "text", "require":
   "(date ''2026-07-01'')::text || interval ''-1 day 2 hours'' = ''2026-07-01-1 days +02:00:00''"}]}')
FROM enroll_policies;
SET TimeZone = 'Pacific/Kiritimati';
SET DateStyle = 'German, DMY';
SET IntervalStyle = 'iso_8601';
SELECT code, details ->> 'rule' AS rule FROM try_enroll(7, 10);
SHOW TimeZone;
SHOW DateStyle;
SHOW IntervalStyle;
SELECT guarded FROM enroll_policies;
\c -
SET search_path = shop;
SET DateStyle = 'SQL, DMY';
SELECT code, details ->> 'rule' AS rule FROM try_enroll(3, 10);
SELECT code FROM unenroll(7, 10);
SELECT guarded FROM enroll_policies;

SET client_min_messages = error;
SELECT enroll_detach();
DROP SCHEMA shop CASCADE;
