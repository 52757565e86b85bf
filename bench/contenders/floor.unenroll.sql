WITH credit AS (
  UPDATE twin.users SET credit_balance = credit_balance + 5 WHERE id = :user
  RETURNING id, credit_balance
), place AS (
  UPDATE twin.enrollments SET status = 'WITHDRAWN', is_active = FALSE, withdrawn_at = now()
  WHERE user_id = :user AND tournament_id = :tournament AND is_active RETURNING id
)
INSERT INTO twin.credit_transactions
  (user_id, tournament_id, enrollment_id, type, amount, balance_after)
SELECT credit.id, :tournament::bigint, place.id, 'REFUND', 5, credit_balance
FROM credit, place RETURNING id;
