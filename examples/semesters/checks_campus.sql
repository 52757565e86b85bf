-- Checks of the academy's own: how its sessions are spread over the campuses. They look at sessions
-- that began in the window of the run or are still to come; a draft has no campus yet, and what is
-- cancelled needs none. To be run once, by the tables' owner or a superuser.
\set ON_ERROR_STOP on
\o /dev/null
BEGIN;

-- A check has one severity, so the number of rows decides between two of them.
SELECT enroll_add_check(name, severity, $$
  SELECT id AS session, semester_id AS semester
  FROM (SELECT s.id, s.semester_id, count(*) OVER () AS missing
        FROM sessions AS s JOIN semesters AS t ON t.id = s.semester_id
        WHERE s.campus_id IS NULL AND s.date_start >= :since AT TIME ZONE 'UTC'
          AND t.tournament_status NOT IN ('DRAFT', 'CANCELLED')) AS m
  WHERE $$ || condition || ' ORDER BY id', description)
FROM (VALUES
  ('campus_missing_few', 'warning', 'missing <= 5', 'every session has its campus'),
  ('campus_missing_many', 'error', 'missing > 5', 'at most five sessions lack their campus'))
  AS c(name, severity, condition, description);

-- Always there, to be read: the sample is the distribution.
SELECT enroll_add_check('campus_distribution', 'info', $$
  SELECT c.name AS campus, count(*) AS sessions,
         round(100.0 * count(*) / sum(count(*)) OVER (), 1) AS percent
  FROM sessions AS s JOIN semesters AS t ON t.id = s.semester_id
  JOIN campuses AS c ON c.id = s.campus_id
  WHERE s.date_start >= :since AT TIME ZONE 'UTC'
    AND t.tournament_status NOT IN ('DRAFT', 'CANCELLED')
  GROUP BY c.id ORDER BY sessions DESC, c.name$$,
  'sessions per campus, to be read');

SELECT enroll_add_check('campus_crowded', 'warning', $$
  SELECT campus, sessions, percent
  FROM (SELECT c.name AS campus, count(*) AS sessions,
               round(100.0 * count(*) / sum(count(*)) OVER (), 1) AS percent,
               count(*) OVER () AS campuses
        FROM sessions AS s JOIN semesters AS t ON t.id = s.semester_id
        JOIN campuses AS c ON c.id = s.campus_id
        WHERE s.date_start >= :since AT TIME ZONE 'UTC'
          AND t.tournament_status NOT IN ('DRAFT', 'CANCELLED')
        GROUP BY c.id) AS d
  WHERE campuses > 1 AND percent > 60$$,
  'no campus has more than 60 % of the sessions where there are several');

SELECT enroll_add_check('campus_errors', 'error', $$
  SELECT id AS event, event_type, created_at FROM system_events
  WHERE event_type ILIKE '%campus%' AND level IN ('ERROR', 'CRITICAL')
    AND created_at >= :since AT TIME ZONE 'UTC'
  ORDER BY id$$,
  'no error that concerns a campus was reported');

COMMIT;
