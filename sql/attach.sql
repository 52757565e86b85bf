-- Attached, detached and attached again; and the tables' own changes in between.
\set SHOW_CONTEXT never
SET client_min_messages = error;
DROP EXTENSION IF EXISTS pg_enroll CASCADE;
DROP SCHEMA IF EXISTS shop, shop_b, shop_c, shop_e, shop_f CASCADE;
CREATE SCHEMA shop;
SET search_path = shop;
CREATE EXTENSION pg_enroll;
SELECT enroll_create_tables();
RESET client_min_messages;

-- Other schemas, other policies, side by side.
CREATE SCHEMA shop_b;
SELECT enroll_create_tables('shop_b', 'second');
INSERT INTO users (id, credit_balance) VALUES (1, 100), (2, 100);
INSERT INTO tournaments (id, name, capacity, cost) VALUES (10, 'First', 1, 10);
INSERT INTO shop_b.users (id, credit_balance) VALUES (1, 50);
INSERT INTO shop_b.tournaments (id, name, capacity, cost) VALUES (10, 'Second', 2, 20);
SELECT code, balance_after, seats_left FROM enroll(1, 10);
SELECT code, balance_after, seats_left FROM enroll(1, 10, policy => 'second');
SELECT policy, tournament, taken, allotted FROM enroll_seat ORDER BY policy, tournament;
INSERT INTO shop_b.enrollments (user_id, tournament_id) VALUES (1, 10);
SELECT code FROM try_enroll(2, 10);
SELECT code FROM try_enroll(2, 10, policy => 'second');
SELECT enroll_create_tables('shop_b', 'second');
SELECT enroll_create_tables('shop_b', 'third');

-- DROP EXTENSION is refused while something is attached.
\set VERBOSITY terse
DROP EXTENSION pg_enroll;
\set VERBOSITY default
SELECT code FROM try_enroll(2, 10);

-- Detached: the guards are gone, the data and what was the tables' own stay.
SELECT enroll_detach('second');
SELECT policy FROM enroll_policies ORDER BY policy;
SELECT DISTINCT policy FROM enroll_seat;
SELECT count(*) AS triggers FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid
WHERE c.relnamespace = 'shop_b'::regnamespace AND NOT t.tgisinternal;
SELECT indexrelid::regclass AS index FROM pg_index i JOIN pg_class c ON c.oid = i.indrelid
WHERE c.relnamespace = 'shop_b'::regnamespace ORDER BY indexrelid::regclass::text COLLATE "C";
SELECT conname FROM pg_constraint
WHERE connamespace = 'shop_b'::regnamespace AND contype = 'c' ORDER BY conname;
SELECT id, credit_balance FROM shop_b.users;
SELECT user_id, tournament_id FROM shop_b.enrollments;
SELECT code FROM enroll(1, 10, policy => 'second');
INSERT INTO shop_b.enrollments (user_id, tournament_id) VALUES (1, 10), (1, 10), (1, 10);
UPDATE shop_b.users SET credit_balance = -5;
SELECT enroll_detach('second');
SELECT code FROM unenroll(1, 10);
SET client_min_messages = warning;
DROP SCHEMA shop_b CASCADE;
RESET client_min_messages;

-- Detach, DROP EXTENSION, CREATE EXTENSION, tables in another schema: in one session.
SELECT enroll_detach();
DROP EXTENSION pg_enroll;
CREATE EXTENSION pg_enroll;
CREATE SCHEMA shop_c;
SELECT enroll_create_tables('shop_c');
SET search_path = shop_c, shop;
INSERT INTO users (id, credit_balance) VALUES (7, 70), (8, 80);
INSERT INTO tournaments (id, name, capacity, cost) VALUES (10, 'Third', 1, 7);
SELECT code, balance_after, seats_left FROM enroll(7, 10);
SELECT code FROM try_enroll(8, 10);
SELECT code FROM try_enroll(1, 10);
INSERT INTO enrollments (user_id, tournament_id) VALUES (8, 10);
SELECT enrollments FROM enroll_policies;
-- All that in one transaction, and rolled back.
BEGIN;
SELECT code FROM unenroll(7, 10);
SET LOCAL client_min_messages = error;
SELECT enroll_detach();
DROP EXTENSION pg_enroll;
CREATE EXTENSION pg_enroll SCHEMA shop;
CREATE SCHEMA shop_d;
SELECT enroll_create_tables('shop_d');
SET LOCAL search_path = shop_d, shop;
INSERT INTO users (id, credit_balance) VALUES (7, 70);
INSERT INTO tournaments (id, name, capacity, cost) VALUES (10, 'Fourth', 1, 7);
SELECT code, balance_after, seats_left FROM enroll(7, 10);
ROLLBACK;
SELECT code FROM try_enroll(7, 10);
SELECT code, balance_after FROM unenroll(7, 10);

-- The tables change, the calls go on: columns that come, go and change their type.
ALTER TABLE tournaments ADD COLUMN place text DEFAULT 'here', ADD COLUMN paid boolean;
ALTER TABLE users ADD COLUMN cost bigint DEFAULT -1, ADD COLUMN paid bigint DEFAULT 1000000;
ALTER TABLE enrollments ADD COLUMN paid numeric DEFAULT 999, ADD COLUMN u text, ADD COLUMN t text;
ALTER TABLE credit_transactions ADD COLUMN paid text DEFAULT 'x', ADD COLUMN operation text;
SELECT code, amount, balance_after FROM enroll(7, 10);
SELECT code, amount, balance_after FROM unenroll(7, 10);
ALTER TABLE tournaments DROP COLUMN starts_at;
ALTER TABLE enrollments DROP COLUMN u, ALTER COLUMN status TYPE varchar(20);
ALTER TABLE users DROP COLUMN name, ALTER COLUMN id TYPE integer;
SELECT code, amount, balance_after FROM enroll(7, 10);
SELECT enroll(3000000000, 10);
SELECT code, details FROM try_enroll(8, 10);
ALTER TABLE users ALTER COLUMN credit_balance TYPE numeric(12, 2);
ALTER TABLE tournaments ALTER COLUMN cost TYPE numeric(12, 2);
ALTER TABLE credit_transactions ALTER COLUMN amount TYPE numeric(12, 2),
  ALTER COLUMN balance_after TYPE numeric(12, 2);
SELECT code, amount, balance_after FROM unenroll(7, 10);
UPDATE tournaments SET cost = 2.51;
SELECT code, amount, balance_after FROM enroll(7, 10);
SELECT amount, balance_after FROM quote_unenroll(7, 10);
SELECT code, amount, balance_after FROM unenroll(7, 10);
ALTER TABLE tournaments ALTER COLUMN cost TYPE numeric;
UPDATE tournaments SET cost = 2.515;
SELECT code FROM enroll(7, 10);
UPDATE tournaments SET cost = 2.50;
-- Rewritten, renamed and moved: it is the table that is attached, not its name.
CLUSTER enrollments USING enrollments_pkey;
VACUUM FULL users, tournaments;
ALTER TABLE tournaments RENAME TO "Semester's";
ALTER TABLE enrollments RENAME TO bookings;
CREATE SCHEMA shop_e;
ALTER TABLE users SET SCHEMA shop_e;
SELECT code, amount FROM enroll(7, 10);
SELECT code FROM try_enroll(8, 10);
INSERT INTO bookings (user_id, tournament_id) VALUES (8, 10);
UPDATE "Semester's" SET capacity = 2;
SELECT code, seats_left FROM enroll(8, 10);
SELECT users, tournaments, enrollments, guarded FROM enroll_policies;
ALTER SCHEMA shop_c RENAME TO "Shop C";
ALTER SCHEMA shop_e RENAME TO shop_f;
SET search_path = shop;
SELECT code, amount FROM unenroll(8, 10);
SELECT users, tournaments, guarded FROM enroll_policies;
SELECT tournament, taken, allotted FROM enroll_seat ORDER BY tournament;
ALTER SCHEMA "Shop C" RENAME TO shop_c;
SET search_path = shop_c, shop_f, shop;
ALTER TABLE "Semester's" RENAME TO tournaments;
ALTER TABLE bookings RENAME TO enrollments;
-- A column that the policy names cannot be missed; it can be put back.
ALTER TABLE users RENAME COLUMN credit_balance TO credits;
SELECT code FROM enroll(8, 10);
SELECT code FROM can_enroll(8, 10);
\set VERBOSITY sqlstate
SELECT code FROM enroll(8, 10);
ALTER TABLE users RENAME COLUMN credits TO credit_balance;
ALTER TABLE tournaments RENAME COLUMN cost TO price;
SELECT code FROM try_enroll(8, 10);
ALTER TABLE tournaments RENAME COLUMN price TO cost;
\set VERBOSITY default
SELECT code, amount FROM enroll(8, 10);
SELECT code, amount FROM unenroll(8, 10);

-- Whatever the search_path of the caller.
SET search_path = '';
SELECT code, amount FROM shop.enroll(8, 10);
SET search_path = pg_temp, pg_catalog, shop;
SELECT code, amount FROM unenroll(8, 10);
SET search_path = shop_nowhere, shop;
SELECT code, amount FROM enroll(8, 10);
SHOW search_path;
SET search_path = shop_c, shop_f, shop;
SELECT code, amount FROM unenroll(8, 10);

-- Deferrable foreign keys: checked at the end, their rows locked at once.
ALTER TABLE enrollments ALTER CONSTRAINT enrollments_user_id_fkey DEFERRABLE INITIALLY DEFERRED,
  ALTER CONSTRAINT enrollments_tournament_id_fkey DEFERRABLE INITIALLY DEFERRED;
ALTER TABLE credit_transactions
  ALTER CONSTRAINT credit_transactions_user_id_fkey DEFERRABLE INITIALLY DEFERRED;
UPDATE tournaments SET capacity = 4;
BEGIN;
SELECT code, seats_left FROM enroll(8, 10);
INSERT INTO enrollments (user_id, tournament_id) VALUES (9, 10);
SET CONSTRAINTS ALL IMMEDIATE;
ROLLBACK;
BEGIN;
INSERT INTO enrollments (user_id, tournament_id) VALUES (9, 10);
SELECT code FROM try_enroll(9, 10);
INSERT INTO users (id, credit_balance) VALUES (9, 9);
SELECT code, seats_left FROM enroll(8, 10);
COMMIT;
BEGIN;
INSERT INTO enrollments (user_id, tournament_id) VALUES (10, 10);
COMMIT;
SELECT tournament, taken, allotted FROM enroll_seat;
SELECT user_id FROM enrollments WHERE is_active ORDER BY user_id;
SELECT tournament, taken_before, taken_after FROM enroll_reconcile();

-- Tables that are gone: told, and forgotten by detach.
SET client_min_messages = warning;
DROP TABLE credit_transactions;
SELECT code FROM enroll(8, 10);
SELECT policy, guarded FROM enroll_policies;
DROP TABLE enrollments, tournaments, users CASCADE;
SELECT code FROM enroll(8, 10);
SELECT policy, guarded FROM enroll_policies;
SELECT enroll_detach();
SELECT count(*) AS policies FROM enroll_policies;
SELECT count(*) AS counters FROM enroll_seat;
SELECT code FROM enroll(8, 10);
DROP EXTENSION pg_enroll;
DROP SCHEMA shop_c, shop_f;
