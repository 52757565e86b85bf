-- The academy's withdrawal endpoint as it was. Called as endpoint_enroll.sql is.
\set ON_ERROR_STOP on
\pset tuples_only on
BEGIN;

-- 1. Who is it, 2. from which tournament, 3. by which enrollment?
SELECT count(*) = 1 AS found, max(credit_balance) AS balance FROM users WHERE id = :user \gset user_
SELECT count(*) = 1 AS found, max(name || ' (' || code || ')') AS title
FROM semesters WHERE id = :tournament \gset semester_
SELECT count(*) > 0 AS active, COALESCE(max(id), 0) AS id FROM semester_enrollments
WHERE user_id = :user AND semester_id = :tournament AND is_active \gset enrollment_
\if :semester_found \else
  \echo '404 tournament does not exist'
  \quit
\endif
\if :user_found \else
  \echo '404 user does not exist'
  \quit
\endif
\if :enrollment_active \else
  \echo '404 user is not enrolled in this tournament'
  \quit
\endif

-- 4. What did it cost? Enrollments of the older helper have no ledger row: they cost nothing.
SELECT COALESCE((SELECT -amount FROM credit_transactions
                 WHERE enrollment_id = :enrollment_id AND transaction_type = 'TOURNAMENT_ENROLLMENT'
                 ORDER BY id DESC LIMIT 1), 0) / 2 AS refund \gset
SELECT :refund > 0 AS refunds, :user_balance + :refund AS balance_after \gset

-- 5. Withdraw. 6. Give half the price back. Two of these at once give it back twice.
UPDATE semester_enrollments
SET request_status = 'WITHDRAWN', is_active = false, updated_at = now() AT TIME ZONE 'UTC'
WHERE id = :enrollment_id;
\if :refunds
  UPDATE users SET credit_balance = :balance_after WHERE id = :user;
\endif

-- 7. The ledger. The refund row refers to the user.
INSERT INTO credit_transactions (user_id, transaction_type, amount, balance_after, description,
                                 idempotency_key, semester_id, enrollment_id, created_at)
VALUES (:user, 'TOURNAMENT_UNENROLL_REFUND', :refund, :balance_after,
        'Tournament withdrawal, half the price back: ' || :'semester_title', gen_random_uuid(),
        :tournament, :enrollment_id, now() AT TIME ZONE 'UTC');

-- 8. The bookings.
DELETE FROM bookings WHERE enrollment_id = :enrollment_id;

COMMIT;
\echo '200 withdrawn'
