-- The way back: psql -f migration_down.sql. The data stay as they are; what pg_enroll brought goes,
-- and then what migration_prepare.sql built.
\set ON_ERROR_STOP on
BEGIN;
SET LOCAL lock_timeout = '5s';
SELECT FROM enroll_detach() \g /dev/null
DROP EXTENSION pg_enroll;
ALTER TABLE users DROP CONSTRAINT ck_users_credit_balance_non_negative;
COMMIT;

DROP INDEX CONCURRENTLY uq_semester_enrollments_active;
