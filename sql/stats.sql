-- What enroll_stats counts. Nothing is preloaded here, so it counts this session alone.
\set SHOW_CONTEXT never
SET client_min_messages = error;
DROP EXTENSION IF EXISTS pg_enroll CASCADE;
DROP SCHEMA IF EXISTS shop CASCADE;
DROP ROLE IF EXISTS regress_enroll_monitor, regress_enroll_nobody;
CREATE SCHEMA shop;
SET search_path = shop;
CREATE EXTENSION pg_enroll;
RESET client_min_messages;
SELECT * FROM enroll_stats;
SELECT enroll_create_tables();
INSERT INTO users (id, credit_balance) SELECT i, 100 FROM generate_series(1, 30) i;
INSERT INTO tournaments (id, name, capacity, cost) VALUES (1, 'Cup', 3, 10), (2, 'Open', NULL, 5);

-- The counters that are not zero, and whether the attempts are what their outcomes add up to.
CREATE VIEW counted AS
  SELECT s.database = current_database() AS here, s.policy, s.calls, o.codes,
         s.calls = o.answered + s.errors AS adds_up, s.errors, s.replays, s.looks,
         s.guard_rejections AS guards, s.scope
  FROM enroll_stats s, LATERAL (
    SELECT string_agg(key || ' ' || value, ', ' ORDER BY key COLLATE "C")
             FILTER (WHERE value::bigint > 0) AS codes,
           sum(value::bigint) AS answered
    FROM jsonb_each_text(s.outcomes)) o;
SELECT * FROM counted;

-- Attempts by what they were answered, raised or not.
SELECT code FROM enroll(1, 1, 'key');
SELECT code FROM try_enroll(2, 1);
SELECT code, replayed FROM enroll(1, 1, 'key');
SELECT code FROM try_unenroll(3, 1);
SELECT code FROM enroll(1, 2, 'key');
SELECT code FROM unenroll(9, 1);
SELECT code FROM enroll(99, 1);
SELECT code FROM enroll_waived(3, 1, 'a friend');
SELECT code FROM enroll(4, 1);
SELECT code FROM unenroll(2, 1);
SELECT * FROM counted;

-- Looks are no attempts.
SELECT code FROM can_enroll(4, 1);
SELECT code FROM quote_unenroll(1, 1);
SELECT code FROM can_enroll(4, 99);
SELECT code FROM can_enroll(99, 1);
SELECT * FROM counted;

-- Each user of a call that answers is an attempt; a call that raises is one.
SELECT enroll_stats_reset();
SELECT user_id, code FROM try_enroll_many(ARRAY[4, 5, 1, 99], 1);
SELECT user_id, code FROM enroll_many(ARRAY[6, 7, 99, 98], 2);
SELECT user_id, code FROM enroll_many(ARRAY[]::bigint[], 2);
SELECT * FROM counted;

-- Other errors are errors, once it is known whose they are.
SELECT enroll_stats_reset();
SELECT enroll('x', '1');
SELECT enroll(1, 1, '');
SELECT enroll(1, 1, policy => 'nobody''s');
SELECT enroll(NULL, 1);
UPDATE tournaments SET cost = -1 WHERE id = 2;
SELECT try_enroll(8, 2);
SELECT can_enroll(8, 2);
UPDATE tournaments SET cost = 5 WHERE id = 2;
SELECT * FROM counted;

-- What is rolled back was counted; what the counters count is no part of a transaction.
SELECT enroll_stats_reset();
BEGIN;
SELECT code FROM enroll(8, 2);
SAVEPOINT here;
SELECT code FROM enroll(9, 2);
ROLLBACK;
SELECT * FROM counted;

-- Other writers: what the trigger refuses, not what an index or a CHECK does.
SELECT enroll_stats_reset();
INSERT INTO enrollments (user_id, tournament_id) VALUES (20, 2);
INSERT INTO enrollments (user_id, tournament_id) SELECT i, 1 FROM generate_series(20, 25) i;
INSERT INTO enrollments (user_id, tournament_id) VALUES (20, 2);
UPDATE users SET credit_balance = -1 WHERE id = 1;
SELECT * FROM counted;

-- A call that a trigger of a call makes is one of its own: it was told FULL, the outer one came to
-- an error. A trigger's row is another writer's.
SELECT enroll_stats_reset();
CREATE FUNCTION bring_along() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF TG_ARGV[0] = 'call' THEN
    PERFORM enroll(20, 1);
  ELSE
    INSERT INTO enrollments (user_id, tournament_id) VALUES (20, 1);
  END IF;
  RETURN NULL;
END $$;
CREATE TRIGGER bring AFTER INSERT ON enrollments FOR EACH ROW WHEN (NEW.tournament_id = 2)
  EXECUTE FUNCTION bring_along('call');
SELECT code FROM try_enroll(10, 2);
SELECT * FROM counted;
DROP TRIGGER bring ON enrollments;
CREATE TRIGGER bring AFTER INSERT ON enrollments FOR EACH ROW WHEN (NEW.tournament_id = 2)
  EXECUTE FUNCTION bring_along('row');
SELECT code FROM try_enroll(10, 2);
SELECT * FROM counted;
DROP TRIGGER bring ON enrollments;

-- A claim that does not go to the session's own stripe. Which one that is nobody can say, so of two
-- tournaments each one has nothing to give in another stripe.
SELECT enroll_stats_reset();
INSERT INTO tournaments (id, name, capacity) VALUES (4, 'Four', 5), (5, 'Five', 5);
INSERT INTO enroll_seat (policy, tournament, stripe, taken, allotted, capacity, epoch)
  SELECT policy, tournament, 1, 0, CASE tournament WHEN '4' THEN 5 ELSE 0 END, capacity, epoch
  FROM enroll_seat WHERE tournament IN ('4', '5');
UPDATE enroll_seat SET allotted = 0 WHERE tournament = '4' AND stripe = 0;
SELECT code, seats_left FROM can_enroll(12, 4);
SELECT code, seats_left FROM can_enroll(12, 5);
SELECT code, seats_left FROM enroll(12, 4);
SELECT code, seats_left FROM enroll(12, 5);
SELECT stripe_moves, seat_waits, seat_wait_ms, seat_wait_max_ms FROM enroll_stats;

-- A guard that is missing.
SELECT enroll_stats_reset();
ALTER TABLE enrollments DISABLE TRIGGER enroll_door_insert;
SELECT try_enroll(11, 2);
ALTER TABLE enrollments ENABLE TRIGGER enroll_door_insert;
DELETE FROM enroll_seat WHERE tournament = '2';
SELECT try_enroll(11, 2);
INSERT INTO enrollments (user_id, tournament_id) VALUES (11, 2);
SELECT tournament FROM enroll_reconcile();
SELECT * FROM counted;

-- A name that is longer than what is shown of it is counted all the same, and cut where a
-- character ends.
CREATE SCHEMA long;
SELECT enroll_create_tables('long', repeat('ö', 100));
INSERT INTO long.users DEFAULT VALUES;
INSERT INTO long.tournaments (name) VALUES ('Cup');
SELECT code FROM enroll(1, 1, policy => repeat('ö', 100));
SELECT policy = repeat('ö', 63) AS cut, calls FROM enroll_stats WHERE policy <> 'default';

-- A detached policy is forgotten at once; one that went in another way with the next reset.
SET client_min_messages = error;
SELECT enroll_detach(repeat('ö', 100));
SELECT policy, calls > 0 AS called FROM enroll_stats;
DROP SCHEMA long CASCADE;
DELETE FROM enroll_policy;
SELECT count(*) FROM enroll_stats;
SELECT enroll_stats_reset();
SELECT count(*) FROM enroll_stats;
RESET client_min_messages;

-- Who may look, and who may begin anew. A member of pg_monitor sees the statistics without more.
CREATE ROLE regress_enroll_monitor IN ROLE pg_monitor;
CREATE ROLE regress_enroll_nobody;
GRANT USAGE ON SCHEMA shop TO regress_enroll_monitor, regress_enroll_nobody;
SET ROLE regress_enroll_monitor;
SELECT count(*) FROM enroll_stats;
SELECT enroll_stats_reset();
SET ROLE regress_enroll_nobody;
SELECT * FROM enroll_stats;
SELECT * FROM enroll_counters();
SELECT enroll_stats_reset();
RESET ROLE;
SET client_min_messages = error;
DROP EXTENSION pg_enroll CASCADE;
DROP SCHEMA shop CASCADE;
DROP ROLE regress_enroll_monitor, regress_enroll_nobody;
