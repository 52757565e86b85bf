-- The weekly run: psql -f weekly.sql. One line per invariant; where one is broken, psql ends with
-- status 3, which cron reports. Reads only, from one snapshot, also on a standby.
-- INV-04 looks back over 7 days (-v days=N) and only warns: an older helper's enrollments have no
-- ledger row, and are valid all the same.
\set ON_ERROR_STOP on
\if :{?days} \else
  \set days 7
\endif

WITH violation (invariant, line) AS (
  SELECT 1, jsonb_build_object('user', user_id, 'semester', semester_id, 'times', count(*))
  FROM semester_enrollments WHERE is_active
  GROUP BY user_id, semester_id HAVING count(*) > 1
UNION ALL
  SELECT 2, jsonb_build_object('user', id, 'balance', credit_balance)
  FROM users WHERE credit_balance < 0
UNION ALL
  SELECT 3, jsonb_build_object('enrollment', id)
  FROM semester_enrollments WHERE is_active AND request_status = 'WITHDRAWN'
UNION ALL
  SELECT 4, jsonb_build_object('enrollment', e.id)
  FROM semester_enrollments AS e
  WHERE e.is_active AND e.enrolled_at >= now() AT TIME ZONE 'UTC' - :'days'::int * interval '1 day'
    AND NOT EXISTS (SELECT FROM credit_transactions AS c WHERE c.enrollment_id = e.id)
UNION ALL
  SELECT 5, jsonb_build_object('table', table_name, 'guard', guard, 'state', state)
  FROM enroll_guards('default') WHERE state <> 'ok'
UNION ALL
  SELECT 6, jsonb_build_object('semester', e.semester_id, 'players', count(*), 'places', c.places)
  FROM semester_enrollments AS e
  CROSS JOIN LATERAL (
    SELECT COALESCE(max(max_players), 999) AS places
    FROM tournament_configurations AS t WHERE t.semester_id = e.semester_id) AS c
  WHERE e.is_active GROUP BY e.semester_id, c.places HAVING count(*) > c.places
), checked AS (
  SELECT i.number, i.severity, count(v.invariant) AS violations,
         format('INV-%s %-8s %s', to_char(i.number, 'FM00'),
                CASE WHEN count(v.invariant) = 0 THEN 'ok' ELSE i.severity || ':' END, i.title)
         || CASE WHEN count(v.invariant) = 0 THEN '' ELSE format(', but for %s: %s',
              count(v.invariant), btrim(to_jsonb((array_agg(v.line))[1:5])::text, '[]')) END AS line
  FROM (VALUES (1, 'ERROR', 'no user is active twice in one semester'),
               (2, 'ERROR', 'no balance is negative'),
               (3, 'ERROR', 'no enrollment is withdrawn and active at once'),
               (4, 'WARNING', 'every active enrollment has its ledger row'),
               (5, 'ERROR', 'every guard is in place'),
               (6, 'ERROR', 'no semester is over its capacity')) AS i (number, severity, title)
  LEFT JOIN violation AS v ON v.invariant = i.number
  GROUP BY i.number, i.severity, i.title
)
SELECT string_agg(line, E'\n' ORDER BY number) AS report,
       bool_or(severity = 'ERROR' AND violations > 0) AS broken
FROM checked \gset

\echo :report
\if :broken
  DO 'BEGIN RAISE EXCEPTION ''an invariant is broken''; END';
\endif
