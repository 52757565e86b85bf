-- The academy's enroll endpoint as it was: what its ORM sent, one round trip after the other, with
-- the endpoint's own decisions between them. It leaves the right rows, as long as nobody else is
-- enrolling. Called with -v user=ID -v tournament=ID; says the HTTP status and a message.
\set ON_ERROR_STOP on
\pset tuples_only on
BEGIN;

-- 1. Who is it?
SELECT count(*) = 1 AS found, max(role::text) = 'STUDENT' AS student,
       max(credit_balance) AS balance, COALESCE(max(date_of_birth)::text, '') AS born
FROM users WHERE id = :user \gset user_
\if :user_found \else
  \echo '404 user does not exist'
  \quit
\endif

-- 2. Which tournament?
SELECT count(*) = 1 AS found,
       COALESCE(max(tournament_status) IN ('ENROLLMENT_OPEN', 'IN_PROGRESS'), false) AS open,
       max(enrollment_cost) AS cost, max(start_date) AS start,
       COALESCE(max(age_group), '') AS age_group,
       max(name || ' (' || code || ')') AS title
FROM semesters WHERE id = :tournament \gset semester_
\if :semester_found \else
  \echo '404 tournament does not exist'
  \quit
\endif
\if :semester_open \else
  \echo '409 tournament is not open for enrollment'
  \quit
\endif

-- 3. Enrolled already?
SELECT count(*) > 0 AS active FROM semester_enrollments
WHERE user_id = :user AND semester_id = :tournament AND is_active \gset already_
\if :already_active
  \echo '409 user is already enrolled in this tournament'
  \quit
\endif
\if :user_student \else
  \echo '403 Only students can enroll in tournaments'
  \quit
\endif

-- 4. The license.
SELECT count(*) > 0 AS active, COALESCE(min(id), 0) AS id,
       COALESCE((array_agg(onboarding_completed ORDER BY id))[1], false) AS onboarded
FROM user_licenses
WHERE user_id = :user AND specialization_type = 'LFA_FOOTBALL_PLAYER' AND is_active \gset license_
\if :license_active \else
  \echo '403 An active LFA_FOOTBALL_PLAYER license is required'
  \quit
\endif
\if :license_onboarded \else
  \echo '403 Complete the onboarding of your license first'
  \quit
\endif

-- 5. The age category on the first day. The endpoint reckoned this in Python.
SELECT CASE WHEN born IS NULL THEN ''
            WHEN start < born + interval '7 years' THEN 'PRE'
            WHEN start < born + interval '14 years' THEN 'YOUTH'
            WHEN age_group = 'PRO' AND start >= born + interval '18 years' THEN 'PRO'
            ELSE 'AMATEUR' END AS category
FROM (SELECT NULLIF(:'user_born', '')::date AS born, :'semester_start'::date AS start,
             :'semester_age_group' AS age_group) AS given \gset age_
SELECT :'semester_age_group' IN ('', :'age_category') AS admitted \gset age_
\if :age_admitted \else
  \echo '422 Your age category is not admitted to this tournament'
  \quit
\endif

-- 6. The first session.
SELECT COALESCE(min(date_start) > clock_timestamp() AT TIME ZONE 'UTC' + interval '1 hour', true)
         AS ahead
FROM sessions WHERE semester_id = :tournament \gset session_
\if :session_ahead \else
  \echo '409 Enrollment closes one hour before the first session'
  \quit
\endif

-- 7 and 8. Is there a place left? Between this answer and step 9 anybody may take it.
SELECT COALESCE(max(max_players), 999) AS seats
FROM tournament_configurations WHERE semester_id = :tournament \gset
SELECT count(*) >= :seats AS full
FROM semester_enrollments WHERE semester_id = :tournament AND is_active \gset
\if :full
  \echo '409 tournament is full'
  \quit
\endif
SELECT :user_balance >= :semester_cost AS enough \gset
\if :enough \else
  \echo '402 not enough credits'
  \quit
\endif

-- 9. The enrollment: a new row, or the withdrawn one again.
SELECT COALESCE((SELECT id FROM semester_enrollments
                 WHERE user_id = :user AND semester_id = :tournament AND NOT is_active
                   AND request_status = 'WITHDRAWN'
                 ORDER BY enrolled_at DESC NULLS LAST, id DESC LIMIT 1), 0) AS id \gset withdrawn_
SELECT :withdrawn_id > 0 AS again \gset
\if :again
  UPDATE semester_enrollments
  SET user_license_id = :license_id, request_status = 'APPROVED',
      requested_at = now() AT TIME ZONE 'UTC', approved_at = now() AT TIME ZONE 'UTC',
      approved_by = :user, payment_verified = true, is_active = true,
      enrolled_at = now() AT TIME ZONE 'UTC', age_category = NULLIF(:'age_category', ''),
      age_category_overridden = false, updated_at = now() AT TIME ZONE 'UTC'
  WHERE id = :withdrawn_id RETURNING id \gset enrollment_
\else
  INSERT INTO semester_enrollments (
    user_id, semester_id, user_license_id, request_status, requested_at, approved_at, approved_by,
    payment_verified, is_active, enrolled_at, age_category, age_category_overridden, created_at,
    updated_at)
  VALUES (:user, :tournament, :license_id, 'APPROVED', now() AT TIME ZONE 'UTC',
          now() AT TIME ZONE 'UTC', :user, true, true, now() AT TIME ZONE 'UTC',
          NULLIF(:'age_category', ''), false, now() AT TIME ZONE 'UTC', now() AT TIME ZONE 'UTC')
  RETURNING id \gset enrollment_
\endif

-- 10. The debit. :user_balance was read in step 1, and another debit may have happened since. An
-- ORM sends no UPDATE where nothing changes.
SELECT :semester_cost > 0 AS costs, :user_balance - :semester_cost AS balance_after \gset
\if :costs
  UPDATE users SET credit_balance = :balance_after WHERE id = :user;
\endif

-- 11. The ledger. The enroll row refers to the license.
INSERT INTO credit_transactions (user_license_id, transaction_type, amount, balance_after,
                                 description, idempotency_key, semester_id, enrollment_id,
                                 created_at)
VALUES (:license_id, 'TOURNAMENT_ENROLLMENT', -:semester_cost, :balance_after,
        'Tournament enrollment: ' || :'semester_title', gen_random_uuid(), :tournament,
        :enrollment_id, now() AT TIME ZONE 'UTC');

-- 12. A place in every session.
INSERT INTO bookings (user_id, session_id, enrollment_id, status, created_at)
SELECT :user, id, :enrollment_id, 'CONFIRMED', now() AT TIME ZONE 'UTC'
FROM sessions WHERE semester_id = :tournament ORDER BY id;

COMMIT;
\echo '200 enrolled'
