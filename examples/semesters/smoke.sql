-- The smoke test: psql -v user=ID -v tournament=ID -f smoke.sql. As the application would, it
-- enrolls a test account, withdraws it, and then takes everything back.
\set ON_ERROR_STOP on
BEGIN;
SET LOCAL ROLE academy_app;
SELECT code, enrollment_id, amount, balance_after, seats_left FROM enroll(:user, :tournament);
SELECT code, enrollment_id, amount, balance_after, seats_left FROM unenroll(:user, :tournament);
ROLLBACK;
