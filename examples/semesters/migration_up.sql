-- The deploy: psql -v policy="$(cat policy.json)" -f migration_up.sql
-- Repeatable, and all or nothing: where something stands in the way, nothing has changed.
\set ON_ERROR_STOP on
BEGIN;

-- Waiting for a lock blocks those who come after: give up early, and try again.
SET LOCAL lock_timeout = '5s';

-- Attaching keeps the session's time zone: the enrollments' times are UTC without a zone.
SET LOCAL timezone = 'UTC';

CREATE EXTENSION IF NOT EXISTS pg_enroll;
SELECT FROM enroll_attach(:'policy') \g /dev/null

-- All that the application needs. Drivers that send parameters untyped reach the text functions.
GRANT EXECUTE ON FUNCTION
  enroll(bigint, bigint, text, numeric, text), enroll(text, text, text, numeric, text),
  try_enroll(bigint, bigint, text, numeric, text), try_enroll(text, text, text, numeric, text),
  unenroll(bigint, bigint, text, text), unenroll(text, text, text, text),
  try_unenroll(bigint, bigint, text, text), try_unenroll(text, text, text, text),
  can_enroll(bigint, bigint, text), can_enroll(text, text, text),
  quote_unenroll(bigint, bigint, text), quote_unenroll(text, text, text)
TO academy_app;

COMMIT;
