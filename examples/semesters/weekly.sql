-- The weekly run: psql -f weekly.sql. The report, and where an invariant is broken psql ends with
-- status 3, which cron reports. Reads only, from one snapshot, also on a standby. It looks back over
-- 7 days, or as many as -v days=N says.
\set ON_ERROR_STOP on
\if :{?days} \else
  \set days 7
\endif
\pset format unaligned
\pset tuples_only on

BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY;
SELECT enroll_report(make_interval(days => :days));
SELECT FROM enroll_assert(make_interval(days => :days)) \g /dev/null
COMMIT;
