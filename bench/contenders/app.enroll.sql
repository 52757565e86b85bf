BEGIN;
SELECT id, status = 'ENROLLMENT_OPEN' AS open FROM twin.tournaments WHERE id = :tournament \gset
SELECT capacity, cost FROM twin.tournaments WHERE id = :tournament FOR UPDATE \gset
SELECT count(*) AS mine FROM twin.enrollments
  WHERE user_id = :user AND tournament_id = :tournament AND is_active \gset
SELECT count(*) AS taken FROM twin.enrollments
  WHERE tournament_id = :tournament AND is_active \gset
SELECT credit_balance AS balance FROM twin.users WHERE id = :user \gset
\if not :open or :mine > 0 or :taken >= :capacity or :balance < :cost
ROLLBACK;
\else
UPDATE twin.users SET credit_balance = credit_balance - :cost
  WHERE id = :user AND credit_balance >= :cost;
SELECT credit_balance AS balance FROM twin.users WHERE id = :user \gset
INSERT INTO twin.enrollments (user_id, tournament_id) VALUES (:user, :tournament)
  RETURNING id AS place \gset
INSERT INTO twin.credit_transactions (user_id, tournament_id, type, amount, balance_after)
  VALUES (:user, :tournament, 'ENROLLMENT', -(:cost::bigint), :balance) RETURNING id AS entry \gset
UPDATE twin.credit_transactions SET enrollment_id = :place WHERE id = :entry;
COMMIT;
\endif
