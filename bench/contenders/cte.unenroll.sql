WITH seat AS (
  UPDATE twin.tournaments SET taken = taken - 1 WHERE id = :tournament RETURNING id
), place AS (
  UPDATE twin.enrollments SET status = 'WITHDRAWN', is_active = FALSE, withdrawn_at = now()
  FROM seat WHERE user_id = :user AND tournament_id = seat.id AND is_active
  RETURNING enrollments.id, user_id
), paid AS (
  SELECT -amount / 2 AS refund FROM twin.credit_transactions
  WHERE enrollment_id = (SELECT id FROM place)
  ORDER BY id DESC LIMIT 1
), credit AS (
  UPDATE twin.users SET credit_balance = credit_balance + refund FROM paid, place
  WHERE users.id = place.user_id RETURNING users.id, credit_balance
), entry AS (
  INSERT INTO twin.credit_transactions
    (user_id, tournament_id, enrollment_id, type, amount, balance_after)
  SELECT credit.id, seat.id, place.id, 'REFUND', refund, credit_balance
  FROM credit, seat, place, paid RETURNING id
)
SELECT 1 / (SELECT count(*) FROM entry);
