-- enroll_detach takes away exactly what attaching built, in whatever state it finds it.
\set SHOW_CONTEXT never
SET client_min_messages = warning;
DROP SCHEMA IF EXISTS shop CASCADE;
DROP EXTENSION IF EXISTS pg_enroll CASCADE;
CREATE SCHEMA shop;
SET search_path = shop;
CREATE EXTENSION pg_enroll;
SELECT enroll_create_tables();
CREATE VIEW left_over AS
  SELECT 'check' AS kind, conname::text AS name FROM pg_constraint
  WHERE conrelid = to_regclass('users') AND contype = 'c'
  UNION ALL
  SELECT 'index', indexrelid::regclass::text FROM pg_index
  WHERE indrelid = to_regclass('enrollments') AND indisunique AND NOT indisprimary
  UNION ALL
  SELECT 'trigger', tgname::text FROM pg_trigger
  WHERE tgname LIKE 'enroll%' AND NOT tgisinternal
  UNION ALL
  SELECT 'policy', name FROM enroll_policy
  UNION ALL
  SELECT 'seat', tournament FROM enroll_seat
  ORDER BY 1, 2;
INSERT INTO tournaments (id, name) VALUES (10, 'Cup');
SELECT * FROM left_over;

-- A check and an index of the users' own stay, even where they say the same or more.
BEGIN;
ALTER TABLE users ADD CONSTRAINT a_sane_balance CHECK (credit_balance BETWEEN 0 AND 1000000);
CREATE UNIQUE INDEX an_index ON enrollments (user_id, tournament_id) WHERE is_active;
SELECT enroll_detach();
SELECT * FROM left_over;
ROLLBACK;

-- What is gone already is no obstacle: a guard, a column's name, a table.
BEGIN;
ALTER TABLE users DROP CONSTRAINT chk_credit_balance_non_negative;
DROP INDEX uq_active_enrollment;
DROP TRIGGER enroll_gate_update ON tournaments;
SELECT enroll_detach();
SELECT * FROM left_over;
ROLLBACK;
BEGIN;
ALTER TABLE users RENAME credit_balance TO balance;
SELECT policy, guarded, guards FROM enroll_policies;
SELECT enroll_detach();
SELECT * FROM left_over;
ROLLBACK;
BEGIN;
DROP TABLE credit_transactions;
SELECT policy, guarded, guards FROM enroll_policies;
SELECT enroll_detach();
SELECT * FROM left_over;
ROLLBACK;

-- Renamed tables are still the policy's.
BEGIN;
ALTER TABLE enrollments RENAME TO places;
ALTER TABLE users RENAME TO people;
SELECT enroll_detach();
SELECT count(*) FROM left_over;
ROLLBACK;
SELECT * FROM left_over;

SELECT enroll_detach();
SELECT * FROM left_over;
SET client_min_messages = error;
DROP SCHEMA shop CASCADE;
