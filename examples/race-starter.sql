-- Holds the line until 32 callers stand at it, then lets all of them go at once.
SET statement_timeout = '60s';
SELECT pg_advisory_lock(1);
DO $$
BEGIN
  WHILE (SELECT count(*) < 32 FROM pg_locks WHERE locktype = 'advisory' AND NOT granted) LOOP
    PERFORM pg_sleep(0.02);
  END LOOP;
END
$$;
SELECT pg_advisory_unlock(1);
