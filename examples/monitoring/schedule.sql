-- The weekly run by pg_cron, Mondays at 08:00 UTC: pg_cron reckons in UTC. In the database that
-- cron.database_name names; for another one, cron.schedule_in_database takes its name.
CREATE EXTENSION IF NOT EXISTS pg_cron;
SELECT cron.schedule('pg_enroll weekly checks', '0 8 * * 1', 'CALL monitoring.run_checks()');
