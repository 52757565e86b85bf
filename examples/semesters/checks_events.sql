-- Checks of the academy's own: what its system_events say. To be run once, by the tables' owner or
-- a superuser.
\set ON_ERROR_STOP on
\o /dev/null
BEGIN;

SELECT enroll_add_check('events_critical', 'error', $$
  SELECT id AS event, event_type, created_at FROM system_events
  WHERE level = 'CRITICAL' AND NOT resolved
    AND created_at >= now() AT TIME ZONE 'UTC' - interval '24 hours'
  ORDER BY id$$,
  'no critical event of the last 24 hours is unresolved');

SELECT enroll_add_check('events_security', 'warning', $$
  SELECT count(*) AS events, count(DISTINCT user_id) AS users, max(created_at) AS latest
  FROM system_events
  WHERE event_type IN ('LOGIN_FAILED', 'PERMISSION_DENIED', 'TOKEN_REJECTED')
    AND created_at >= :since AT TIME ZONE 'UTC'
  HAVING count(*) > 100$$,
  'there were at most 100 security events');

SELECT enroll_add_check('events_backlog', 'info', $$
  SELECT level, event_type, count(*) AS open, min(created_at) AS oldest FROM system_events
  WHERE NOT resolved
  GROUP BY level, event_type ORDER BY open DESC, level, event_type$$,
  'every event is resolved');

SELECT enroll_add_check('events_indexes', 'error', $$
  SELECT wanted.name AS index
  FROM unnest(ARRAY['system_events_pkey', 'ix_system_events_created_at']) AS wanted (name)
  WHERE NOT EXISTS (
    SELECT FROM pg_index AS i JOIN pg_class AS c ON c.oid = i.indexrelid
    WHERE i.indrelid = 'system_events'::regclass AND i.indisvalid AND c.relname = wanted.name)$$,
  'the indexes of system_events are in place');

COMMIT;
