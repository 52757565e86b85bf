-- Before the deploy, while the application runs: builds the two guards that take long on large
-- tables without keeping a writer waiting for more than a moment. enroll_attach finds and adopts
-- them, whatever their names. Not in a transaction, since CONCURRENTLY allows none.
\set ON_ERROR_STOP on

CREATE UNIQUE INDEX CONCURRENTLY uq_semester_enrollments_active
  ON semester_enrollments (user_id, semester_id) WHERE is_active = TRUE;

SET lock_timeout = '2s';
ALTER TABLE users ADD CONSTRAINT ck_users_credit_balance_non_negative
  CHECK (credit_balance >= 0) NOT VALID;
ALTER TABLE users VALIDATE CONSTRAINT ck_users_credit_balance_non_negative;
