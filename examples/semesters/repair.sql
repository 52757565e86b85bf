-- Repairs what enroll_precheck found. Its remedies say what would do; who keeps a place, who gets
-- credits back and whether five may play a final of four was for the academy to decide.
\set ON_ERROR_STOP on
BEGIN;

-- Twice active in one tournament: the first enrollment stays, the later one is withdrawn and its
-- whole price given back.
CREATE TEMP TABLE later ON COMMIT DROP AS
SELECT e.id, e.user_id, e.semester_id, -c.amount AS paid
FROM semester_enrollments AS e
JOIN credit_transactions AS c
  ON c.enrollment_id = e.id AND c.transaction_type = 'TOURNAMENT_ENROLLMENT'
WHERE e.is_active AND EXISTS (
  SELECT FROM semester_enrollments AS first
  WHERE first.is_active AND first.user_id = e.user_id AND first.semester_id = e.semester_id
    AND first.id < e.id);

UPDATE semester_enrollments AS e
SET request_status = 'WITHDRAWN', is_active = false, updated_at = now() AT TIME ZONE 'UTC'
FROM later WHERE later.id = e.id;

UPDATE users AS u SET credit_balance = u.credit_balance + later.paid
FROM later WHERE later.user_id = u.id;

INSERT INTO credit_transactions (user_id, transaction_type, amount, balance_after, description,
                                 idempotency_key, semester_id, enrollment_id, created_at)
SELECT later.user_id, 'TOURNAMENT_UNENROLL_REFUND', later.paid, u.credit_balance,
       'Enrolled twice: price given back', gen_random_uuid(), later.semester_id, later.id,
       now() AT TIME ZONE 'UTC'
FROM later JOIN users AS u ON u.id = later.user_id;

-- A balance below 0: the academy bears what was spent twice, and the ledger says so.
INSERT INTO credit_transactions (user_id, transaction_type, amount, balance_after, description,
                                 idempotency_key, created_at)
SELECT id, 'ADMIN_ADJUSTMENT', -credit_balance, 0, 'Spent twice: written off', gen_random_uuid(),
       now() AT TIME ZONE 'UTC'
FROM users WHERE credit_balance < 0;
UPDATE users SET credit_balance = 0 WHERE credit_balance < 0;

-- Over capacity: whoever has paid may play, so the final grows to the players that it has.
UPDATE tournament_configurations AS c
SET max_players = e.taken, updated_at = now() AT TIME ZONE 'UTC'
FROM (SELECT semester_id, count(*) AS taken FROM semester_enrollments WHERE is_active
      GROUP BY semester_id) AS e
WHERE e.semester_id = c.semester_id AND e.taken > c.max_players;

-- Enrollments in a tournament that is gone.
DELETE FROM semester_enrollments AS e
WHERE NOT EXISTS (SELECT FROM semesters AS s WHERE s.id = e.semester_id);

COMMIT;

-- The foreign key that let them be. NOT VALID takes its strong lock for a moment only; VALIDATE
-- reads the rows while everybody goes on writing.
SET lock_timeout = '2s';
ALTER TABLE semester_enrollments ADD CONSTRAINT semester_enrollments_semester_id_fkey
  FOREIGN KEY (semester_id) REFERENCES semesters (id) NOT VALID;
ALTER TABLE semester_enrollments VALIDATE CONSTRAINT semester_enrollments_semester_id_fkey;
RESET lock_timeout;

-- Each refund looks for its enrollment's ledger rows.
CREATE INDEX CONCURRENTLY ix_credit_transactions_enrollment_id
  ON credit_transactions (enrollment_id);
