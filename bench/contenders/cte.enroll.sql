WITH seat AS (
  UPDATE twin.tournaments SET taken = taken + 1
  WHERE id = :tournament AND status IN ('ENROLLMENT_OPEN', 'IN_PROGRESS') AND taken < capacity
  RETURNING id, cost
), debit AS (
  UPDATE twin.users SET credit_balance = credit_balance - cost FROM seat
  WHERE users.id = :user AND credit_balance >= cost RETURNING users.id, credit_balance
), place AS (
  INSERT INTO twin.enrollments (user_id, tournament_id) SELECT debit.id, seat.id FROM debit, seat
  RETURNING id
), entry AS (
  INSERT INTO twin.credit_transactions
    (user_id, tournament_id, enrollment_id, type, amount, balance_after)
  SELECT debit.id, seat.id, place.id, 'ENROLLMENT', -cost, credit_balance FROM debit, seat, place
  RETURNING id
)
-- A seat without its ledger row divides by zero, which takes the seat back.
SELECT CASE WHEN EXISTS (SELECT FROM seat) THEN 1 / (SELECT count(*) FROM entry) END;
