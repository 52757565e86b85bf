-- The role that the exporter connects as. pg_monitor brings enroll_stats; the guards' state is
-- granted beside it. A scrape that cannot have its locks gives up and never queues before others.
CREATE ROLE enroll_monitor LOGIN IN ROLE pg_monitor;
ALTER ROLE enroll_monitor SET lock_timeout = '2s';
ALTER ROLE enroll_monitor SET statement_timeout = '5s';
GRANT SELECT ON enroll_policies TO enroll_monitor;
GRANT EXECUTE ON FUNCTION enroll_guards TO enroll_monitor;
GRANT USAGE ON SCHEMA monitoring TO enroll_monitor;
GRANT SELECT ON monitoring.latest_checks TO enroll_monitor;
