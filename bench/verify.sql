-- The end state of a run as one JSON object. Variables: schema; enrollment and ledger, the greatest
-- ids before the run; counter, the query that says what is counted as taken.
WITH active AS (
  SELECT tournament_id, count(*) AS n FROM :"schema".enrollments WHERE is_active GROUP BY 1
), counter (tournament_id, taken) AS (
  :counter
), fresh AS (
  SELECT * FROM :"schema".enrollments WHERE id > :enrollment
), ledger AS (
  SELECT id, user_id, enrollment_id, amount, balance_after, lag(balance_after) OVER own AS before,
    lead(id) OVER own IS NULL AS last
  FROM :"schema".credit_transactions WHERE id > :ledger
  WINDOW own AS (PARTITION BY user_id ORDER BY id)
)
SELECT json_build_object(
  'rows', (SELECT count(*) FROM fresh),
  'withdrawn', (SELECT count(*) FROM fresh WHERE NOT is_active),
  'balances', (SELECT sum(credit_balance) FROM :"schema".users),
  'ledger', (SELECT coalesce(sum(amount), 0) FROM ledger),
  'moves', (SELECT count(*) FROM ledger),
  'oversold', (SELECT count(*) FROM active JOIN :"schema".tournaments t ON t.id = tournament_id
               WHERE n > t.capacity),
  'twice', (SELECT count(*) FROM (SELECT FROM :"schema".enrollments WHERE is_active
            GROUP BY user_id, tournament_id HAVING count(*) > 1) AS double),
  'miscounted', (SELECT count(*) FROM counter LEFT JOIN active USING (tournament_id)
                 WHERE taken <> coalesce(n, 0)),
  'unledgered', (SELECT count(*) FROM fresh
                 WHERE NOT EXISTS (SELECT FROM ledger WHERE enrollment_id = fresh.id)),
  'broken', (SELECT count(*) FROM ledger JOIN :"schema".users u ON u.id = ledger.user_id
             WHERE balance_after <> before + amount OR last AND balance_after <> credit_balance));
