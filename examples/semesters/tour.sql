-- Each statement as the application would send it, above its answer. Run by run.sh, as academy_app
-- in a database that is attached.
\pset footer off
\pset null -
\set ON_ERROR_STOP on
\set ECHO queries

\echo '== Enroll, and withdraw with half the price back'
\echo
\pset expanded on

SELECT * FROM enroll(42, 4);

\pset expanded off

SELECT code, enrollment_id, amount, balance_after, seats_left FROM unenroll(42, 4);

SELECT id, user_id, user_license_id, transaction_type, amount, balance_after
FROM credit_transactions WHERE semester_id = 4 AND 42 IN (
  user_id, (SELECT l.user_id FROM user_licenses AS l WHERE l.id = user_license_id)) ORDER BY id;

\echo '== Back again: the one row that the table allows becomes active again'
\echo

SELECT code, enrollment_id, amount, balance_after FROM enroll(42, 4, 'order-4-42');

SELECT code, enrollment_id, amount, balance_after, replayed FROM enroll(42, 4, 'order-4-42');

\echo '== Every rejection, with the status and message that a client sees'
\echo

SELECT name, code, http_status AS http, r.message
FROM (VALUES
  (1, 'Otto', 41, 4, 'order-4-42', NULL),
  (2, 'Otto', 41, 4711, NULL, NULL),
  (3, 'nobody', 4711, 4, NULL, NULL),
  (4, 'Otto', 41, 7, NULL, NULL),
  (5, 'Otto', 41, 8, NULL, NULL),
  (6, 'Otto', 41, 9, NULL, NULL),
  (7, 'Piroska', 42, 4, NULL, NULL),
  (8, 'Bence', 2, 4, NULL, NULL),
  (9, 'Noemi', 14, 1, NULL, NULL),
  (10, 'Oliver', 15, 1, NULL, NULL),
  (11, 'Otto', 41, 1, NULL, NULL),
  (12, 'Laura', 38, 2, NULL, NULL),
  (13, 'Otto', 41, 10, NULL, NULL),
  (14, 'Otto', 41, 6, NULL, NULL),
  (15, 'Otto', 41, 4, NULL, 100),
  (16, 'Marton', 13, 1, NULL, NULL)
) AS attempt (n, name, user_id, tournament_id, key, max_price),
try_enroll(user_id, tournament_id, key, max_price) AS r ORDER BY n;

SELECT code, http_status AS http, message FROM try_unenroll(41, 4);

\echo '== The same as an error'
\echo
\set ON_ERROR_STOP off

SELECT * FROM enroll(2, 4);

\echo
\echo '   SQLSTATE' :SQLSTATE
\echo
\echo '== The admin page, a batch job, last year''s endpoint: their own SQL, the same guards'
\echo

INSERT INTO semester_enrollments (
  user_id, semester_id, user_license_id, request_status, requested_at, payment_verified, is_active,
  age_category_overridden, created_at, updated_at)
SELECT 41, 6, id, 'APPROVED', now(), true, true, false, now(), now()
FROM user_licenses WHERE user_id = 41;

\echo
\echo '   SQLSTATE' :SQLSTATE
\echo

INSERT INTO semester_enrollments (
  user_id, semester_id, user_license_id, request_status, requested_at, payment_verified, is_active,
  age_category_overridden, created_at, updated_at)
SELECT 32, 4, id, 'APPROVED', now(), true, true, false, now(), now()
FROM user_licenses WHERE user_id = 32 AND specialization_type = 'LFA_COACH';

\echo
\echo '   SQLSTATE' :SQLSTATE
\echo

UPDATE users SET credit_balance = credit_balance - 5000 WHERE id = 41;

\echo
\echo '   SQLSTATE' :SQLSTATE
\echo
\set ON_ERROR_STOP on
\echo '== The capacity stands in another table, which is watched'
\echo

UPDATE tournament_configurations SET max_players = 6 WHERE semester_id = 6;

SELECT code, balance_after, seats_left FROM try_enroll(41, 6);

SELECT code, message FROM try_enroll(42, 6);
