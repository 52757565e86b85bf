-- The refund: half of what this enrollment paid, rounded down; what was paid is the ledger's word.
\set SHOW_CONTEXT never
SET client_min_messages = error;
DROP EXTENSION IF EXISTS pg_enroll CASCADE;
DROP SCHEMA IF EXISTS shop CASCADE;
CREATE SCHEMA shop;
SET search_path = shop;
CREATE EXTENSION pg_enroll;
SELECT enroll_create_tables();
RESET client_min_messages;

INSERT INTO users (id, credit_balance) SELECT i, 1000 FROM generate_series(1, 9) i;
INSERT INTO tournaments (id, name, cost) VALUES
  (10, 'Free', 0), (11, 'One', 1), (12, 'Two', 2), (13, 'Three', 3), (14, 'All', 1000),
  (15, 'Cup', 15);

-- Half, rounded down; the quote says the same before.
CREATE FUNCTION in_and_out(user_id bigint, tournament_id bigint,
                           OUT paid numeric, OUT quoted numeric, OUT refunded numeric)
LANGUAGE plpgsql AS $$
BEGIN
  paid := (enroll(user_id, tournament_id)).amount;
  quoted := (quote_unenroll(user_id, tournament_id)).amount;
  refunded := (unenroll(user_id, tournament_id)).amount;
END $$;
SELECT t.cost, r.paid, r.quoted, r.refunded
FROM tournaments t CROSS JOIN LATERAL in_and_out(t.id - 9, t.id) r ORDER BY t.cost;
SELECT id, credit_balance FROM users WHERE id < 7 ORDER BY id;

-- The tournament's price of today plays no part.
SELECT code, amount FROM enroll(7, 15);
UPDATE tournaments SET cost = 400 WHERE id = 15;
SELECT amount FROM quote_unenroll(7, 15);
SELECT code, amount FROM enroll(8, 15);
UPDATE tournaments SET cost = 0 WHERE id = 15;
SELECT amount, balance_after FROM unenroll(7, 15);
SELECT amount, balance_after FROM unenroll(8, 15);

-- Enroll, unenroll, enroll, unenroll: each stay refunds what it paid, at each price.
UPDATE tournaments SET cost = 15 WHERE id = 15;
SELECT r.paid, r.refunded FROM in_and_out(9, 15) r;
UPDATE tournaments SET cost = 40 WHERE id = 15;
SELECT r.paid, r.refunded FROM in_and_out(9, 15) r;
SELECT type, amount, balance_after FROM credit_transactions WHERE user_id = 9 ORDER BY id;
SELECT count(DISTINCT enrollment_id) AS enrollments FROM credit_transactions WHERE user_id = 9;

-- A free place refunds nothing, also after one that was paid for.
SELECT code FROM enroll_waived(9, 15, 'why');
SELECT amount FROM quote_unenroll(9, 15);
SELECT amount, balance_after FROM unenroll(9, 15);

-- A row that was reinstated by hand has had its refund already.
UPDATE enrollments SET is_active = true, status = 'ENROLLED'
WHERE id = (SELECT min(id) FROM enrollments WHERE user_id = 9);
SELECT amount FROM quote_unenroll(9, 15);
SELECT amount, balance_after FROM unenroll(9, 15);
SELECT type, amount FROM credit_transactions WHERE user_id = 9 ORDER BY id DESC LIMIT 1;

-- A row that a raw writer brought has paid nothing that we know of.
INSERT INTO enrollments (user_id, tournament_id) VALUES (9, 15);
SELECT amount FROM quote_unenroll(9, 15);
SELECT amount, balance_after FROM unenroll(9, 15);

-- Rows of other types are not the engine's word, those of others are not this enrollment's.
SELECT code, enrollment_id IS NOT NULL AS has_id FROM enroll(8, 15);
INSERT INTO credit_transactions (user_id, tournament_id, enrollment_id, type, amount, balance_after)
SELECT 8, 15, id, 'BONUS', 500, 0 FROM enrollments WHERE user_id = 8 AND is_active;
INSERT INTO credit_transactions (user_id, tournament_id, enrollment_id, type, amount, balance_after)
VALUES (8, 15, NULL, 'ENROLLMENT', -900, 0);
SELECT amount FROM quote_unenroll(8, 15);
-- An enroll row that paid in, or none at all, is worth nothing.
BEGIN;
UPDATE credit_transactions SET amount = 30
WHERE type = 'ENROLLMENT' AND enrollment_id =
  (SELECT id FROM enrollments WHERE user_id = 8 AND is_active);
SELECT amount FROM quote_unenroll(8, 15);
DELETE FROM credit_transactions WHERE user_id = 8;
SELECT amount FROM quote_unenroll(8, 15);
ROLLBACK;
SELECT amount, balance_after FROM unenroll(8, 15);

-- Every credit that the engine moved is in the ledger: it adds up to each balance.
SELECT u.id, u.credit_balance, 1000 + COALESCE(sum(c.amount), 0) AS by_the_ledger
FROM users u LEFT JOIN credit_transactions c
  ON c.user_id = u.id AND c.type IN ('ENROLLMENT', 'REFUND', 'WAIVED')
  AND c.enrollment_id IS NOT NULL
GROUP BY u.id ORDER BY u.id;
-- And each row says what the balance was after it.
SELECT count(*) AS rows_that_disagree
FROM (SELECT c.balance_after,
             1000 + sum(c.amount) OVER (PARTITION BY c.user_id ORDER BY c.id) AS due
      FROM credit_transactions c
      WHERE c.type IN ('ENROLLMENT', 'REFUND', 'WAIVED') AND c.enrollment_id IS NOT NULL) c
WHERE c.balance_after <> c.due;
