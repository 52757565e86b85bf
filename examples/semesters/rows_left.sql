-- Every row of the academy's tables, a line each, in a form that two databases can be compared by:
-- -v began=TIME when the whole comparison began, -v step=TIME when the last call was made.
-- What the database makes up is named instead of shown: a new row's id, a new random key, the
-- moment of the call. A reference to an enrollment is spelled out as user, semester and license.
\set ON_ERROR_STOP on
\pset format unaligned
\pset tuples_only on
SET timezone = 'UTC';

CREATE FUNCTION pg_temp.comparable(line jsonb, began timestamp, step timestamp) RETURNS jsonb
LANGUAGE sql AS $$
  SELECT jsonb_object_agg(key, CASE
    WHEN key = 'id' AND is_new THEN '"(new)"'
    WHEN key = 'idempotency_key' AND is_new AND value #>> '{}' ~ '^[0-9a-f-]{36}$'
      THEN '"(random)"'
    WHEN key = 'enrollment_id' AND value <> 'null' THEN (
      SELECT to_jsonb(format('user %s, semester %s, license %s',
                             e.user_id, e.semester_id, e.user_license_id))
      FROM semester_enrollments AS e WHERE e.id = value::int)
    WHEN key LIKE '%\_at' AND value <> 'null' AND (value #>> '{}')::timestamp >= step
      THEN '"(now)"'
    WHEN key LIKE '%\_at' AND value <> 'null' AND (value #>> '{}')::timestamp >= began
      THEN '"(earlier)"'
    ELSE value END)
  FROM jsonb_each(line)
  CROSS JOIN (SELECT COALESCE((line ->> 'created_at')::timestamp >= began, false)) AS n (is_new)
$$;

SELECT name || ' ' || pg_temp.comparable(line, :'began', :'step')
FROM (
  SELECT 'users', to_jsonb(r) FROM users AS r
  UNION ALL SELECT 'user_licenses', to_jsonb(r) FROM user_licenses AS r
  UNION ALL SELECT 'campuses', to_jsonb(r) FROM campuses AS r
  UNION ALL SELECT 'semesters', to_jsonb(r) FROM semesters AS r
  UNION ALL SELECT 'tournament_configurations', to_jsonb(r) FROM tournament_configurations AS r
  UNION ALL SELECT 'semester_enrollments', to_jsonb(r) FROM semester_enrollments AS r
  UNION ALL SELECT 'credit_transactions', to_jsonb(r) FROM credit_transactions AS r
  UNION ALL SELECT 'sessions', to_jsonb(r) FROM sessions AS r
  UNION ALL SELECT 'bookings', to_jsonb(r) FROM bookings AS r
  UNION ALL SELECT 'system_events', to_jsonb(r) FROM system_events AS r
) AS every_row (name, line)
ORDER BY 1;
