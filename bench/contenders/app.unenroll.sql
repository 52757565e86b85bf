BEGIN;
SELECT id FROM twin.tournaments WHERE id = :tournament FOR UPDATE;
SELECT id AS place FROM twin.enrollments
  WHERE user_id = :user AND tournament_id = :tournament AND is_active \gset
SELECT -amount / 2 AS refund FROM twin.credit_transactions
  WHERE enrollment_id = :place ORDER BY id DESC LIMIT 1 \gset
UPDATE twin.users SET credit_balance = credit_balance + :refund WHERE id = :user;
SELECT credit_balance AS balance FROM twin.users WHERE id = :user \gset
UPDATE twin.enrollments SET status = 'WITHDRAWN', is_active = FALSE, withdrawn_at = now()
  WHERE id = :place;
INSERT INTO twin.credit_transactions
  (user_id, tournament_id, enrollment_id, type, amount, balance_after)
  VALUES (:user, :tournament, :place, 'REFUND', :refund, :balance);
COMMIT;
