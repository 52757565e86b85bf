-- A tour of pg_enroll in psql, on the ready-made tables. Run it in an empty database, from this
-- directory: psql -X -q -d DATABASE < quickstart.sql
\set ON_ERROR_STOP on
\pset footer off
\pset null -
SET client_min_messages = warning;
SET timezone = 'UTC';

CREATE EXTENSION pg_enroll;
SELECT FROM enroll_create_tables() \g /dev/null
\copy users (name, credit_balance) FROM 'users.csv' (FORMAT csv, HEADER)
\copy tournaments (name, status, capacity, cost, starts_at) FROM 'tournaments.csv' (FORMAT csv, HEADER)

-- From here on each statement is shown above its answer.
\set ECHO queries

\echo
\echo '== 1. Places for sale, and people with credits'
\echo

SELECT id, name, status, capacity, cost FROM tournaments ORDER BY id;

SELECT id, name, credit_balance FROM users WHERE id <= 9 ORDER BY id;

\echo '== 2. Enroll: one statement, one receipt'
\echo
\pset expanded on

SELECT * FROM enroll(1, 1);

\pset expanded off
\echo '== 3. Unenroll: this policy refunds half of what was paid'
\echo

SELECT code, enrollment_id, amount, balance_after FROM unenroll(1, 1);

SELECT id, type, enrollment_id, amount, balance_after FROM credit_transactions ORDER BY id;

\echo '== 4. The same call twice with one idempotency key: done once, told twice'
\echo

SELECT code, enrollment_id, amount, balance_after, replayed FROM enroll(2, 1, 'order-7001');

SELECT code, enrollment_id, amount, balance_after, replayed FROM enroll(2, 1, 'order-7001');

\echo '== 5. Many at once: three people fill a camp of three, all or nothing'
\echo

SELECT user_id, code, amount, balance_after, seats_left FROM enroll_many(ARRAY[3, 4, 5], 2);

\echo '== 6. Every rejection has a code, a SQLSTATE and one constant message'
\echo

SELECT r.code, r.sqlstate, r.http_status AS http, r.message
FROM (VALUES
  (6, 1, 'order-7001', NULL),     -- a key that was used for another call
  (6, 999, NULL, NULL),           -- no such tournament
  (999, 1, NULL, NULL),           -- no such user
  (6, 6, NULL, NULL),             -- still a draft
  (2, 1, NULL, NULL),             -- in already
  (6, 2, NULL, NULL),             -- the camp is full
  (6, 1, NULL, 200),              -- the price went up meanwhile
  (7, 1, NULL, NULL)              -- 150 credits, and it costs 250
) AS attempt (user_id, tournament_id, key, max_price),
try_enroll(user_id, tournament_id, key, max_price) AS r;

SELECT code, sqlstate, http_status AS http, message FROM try_unenroll(6, 1);

\echo '== 7. The same rejection as an error, for those who prefer exceptions'
\echo
\set ON_ERROR_STOP off

SELECT * FROM enroll(6, 2);

\echo
\echo '   SQLSTATE' :SQLSTATE
\echo
\echo '== 8. A writer who has never heard of enroll() is held to the same rules'
\echo

INSERT INTO enrollments (user_id, tournament_id) VALUES (6, 2);

\echo
\echo '   SQLSTATE' :SQLSTATE
\echo

INSERT INTO enrollments (user_id, tournament_id) VALUES (2, 1);

\echo
\echo '   SQLSTATE' :SQLSTATE
\echo

UPDATE users SET credit_balance = credit_balance - 5000 WHERE id = 6;

\echo
\echo '   SQLSTATE' :SQLSTATE
\echo
\echo '== 9. With a guard switched off it refuses rather than races'
\echo

BEGIN;
ALTER TABLE enrollments DISABLE TRIGGER enroll_door_insert;
SELECT * FROM enroll(6, 1);

\echo
\echo '   SQLSTATE' :SQLSTATE
\echo

ROLLBACK;
