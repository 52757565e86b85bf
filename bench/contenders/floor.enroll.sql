WITH debit AS (
  UPDATE twin.users SET credit_balance = credit_balance - 10 WHERE id = :user
  RETURNING id, credit_balance
), place AS (
  INSERT INTO twin.enrollments (user_id, tournament_id) SELECT id, :tournament::bigint FROM debit
  RETURNING id
)
INSERT INTO twin.credit_transactions
  (user_id, tournament_id, enrollment_id, type, amount, balance_after)
SELECT debit.id, :tournament::bigint, place.id, 'ENROLLMENT', -10, credit_balance
FROM debit, place RETURNING id;
