-- Changes of a tournament: closed, more seats, fewer, none, no limit, another key, gone.
\set SHOW_CONTEXT never
SET client_min_messages = error;
DROP EXTENSION IF EXISTS pg_enroll CASCADE;
DROP SCHEMA IF EXISTS shop CASCADE;
CREATE SCHEMA shop;
SET search_path = shop;
CREATE EXTENSION pg_enroll;
SELECT enroll_create_tables();
RESET client_min_messages;

INSERT INTO users (id, credit_balance) SELECT i, 100 FROM generate_series(1, 9) i;
INSERT INTO tournaments (id, name, capacity, cost) VALUES (10, 'Cup', 2, 10), (11, 'Open', NULL, 0);
CREATE VIEW counters AS
  SELECT s.tournament, s.stripe, s.taken, s.allotted, s.capacity,
         s.taken = count(e.id) AS agree
  FROM enroll_seat s
  LEFT JOIN enrollments e ON e.tournament_id::text = s.tournament AND e.is_active
  GROUP BY s.tournament, s.stripe, s.taken, s.allotted, s.capacity
  ORDER BY s.tournament;
-- The epochs as they were when last looked at, and which have moved since.
CREATE TABLE seen (tournament text PRIMARY KEY, epoch bigint);
CREATE FUNCTION epochs() RETURNS TABLE (tournament text, epoch text) LANGUAGE sql AS $$
  WITH now_seen AS (
    INSERT INTO seen SELECT s.tournament, s.epoch FROM enroll_seat s
    ON CONFLICT ON CONSTRAINT seen_pkey DO UPDATE SET epoch = EXCLUDED.epoch)
  SELECT s.tournament, CASE WHEN v.epoch IS NULL THEN 'new' WHEN v.epoch = s.epoch THEN 'same'
                            WHEN v.epoch < s.epoch THEN 'moved on' ELSE 'moved back' END
  FROM enroll_seat s LEFT JOIN seen v USING (tournament) ORDER BY 1
$$;

-- A new tournament has its counter from the start.
TABLE counters;
SELECT * FROM epochs();
SELECT code FROM enroll(1, 10);
SELECT * FROM epochs();

-- Close and open; what has nothing to do with places leaves the epoch alone.
UPDATE tournaments SET status = 'ENROLLMENT_CLOSED' WHERE id = 10;
SELECT * FROM epochs();
SELECT code FROM try_enroll(2, 10);
UPDATE tournaments SET status = 'IN_PROGRESS' WHERE id = 10;
SELECT code, seats_left FROM try_enroll(2, 10);
SELECT * FROM epochs();
ALTER TABLE tournaments ALTER status DROP NOT NULL;
UPDATE tournaments SET status = NULL WHERE id = 10;
SELECT code FROM try_enroll(3, 10);
UPDATE tournaments SET status = 'ENROLLMENT_OPEN' WHERE id = 10;
SELECT * FROM epochs();
UPDATE tournaments SET name = 'Summer cup', cost = 11, starts_at = now();
UPDATE tournaments SET status = status, capacity = capacity;
SELECT * FROM epochs();

-- Up, down, below what is taken, to no limit and back, to none.
SELECT code FROM try_enroll(3, 10);
UPDATE tournaments SET capacity = 4 WHERE id = 10;
SELECT code, seats_left FROM try_enroll(3, 10);
UPDATE tournaments SET capacity = 3 WHERE id = 10;
SELECT code FROM try_enroll(4, 10);
UPDATE tournaments SET capacity = 1 WHERE id = 10;
TABLE counters;
SELECT code, details FROM try_enroll(4, 10);
SELECT code, seats_left FROM unenroll(1, 10);
SELECT code FROM try_enroll(4, 10);
UPDATE tournaments SET capacity = NULL WHERE id = 10;
TABLE counters;
SELECT code, seats_left FROM try_enroll(4, 10);
SELECT code, seats_left FROM try_enroll(5, 10);
UPDATE tournaments SET capacity = 5 WHERE id = 10;
TABLE counters;
SELECT code, seats_left FROM try_enroll(6, 10);
SELECT code FROM try_enroll(7, 10);
UPDATE tournaments SET capacity = 0 WHERE id = 10;
SELECT code FROM try_enroll(7, 10);
UPDATE tournaments SET capacity = -1 WHERE id = 10;
TABLE counters;
UPDATE tournaments SET capacity = 6 WHERE id = 10;
TABLE counters;
SELECT * FROM epochs();

-- Twice in one transaction: no epoch is used again; rolled back: as if it had not been.
BEGIN;
UPDATE tournaments SET capacity = 7 WHERE id = 10;
SELECT * FROM epochs();
UPDATE tournaments SET capacity = 8 WHERE id = 10;
SELECT * FROM epochs();
UPDATE tournaments SET status = 'ENROLLMENT_CLOSED' WHERE id = 10;
SELECT * FROM epochs();
SELECT code FROM try_enroll(7, 10);
ROLLBACK;
SELECT * FROM epochs();
SELECT code, seats_left FROM try_enroll(7, 10);

-- Many at once.
INSERT INTO tournaments (id, name, capacity)
SELECT i, 'Many', i - 19 FROM generate_series(20, 22) i;
UPDATE tournaments SET capacity = capacity * 2 WHERE id >= 20;
TABLE counters;
UPDATE tournaments SET capacity = 9;
UPDATE tournaments SET capacity = 9 WHERE false;
SELECT tournament, allotted, capacity FROM counters;
SELECT * FROM epochs();

-- Deleted: its rows go by cascade, its counter stays with nothing to give, until it is recounted.
DELETE FROM tournaments WHERE id IN (10, 22);
TABLE counters;
SELECT code FROM try_enroll(1, 10);
SELECT * FROM epochs();
-- The same key again is a new tournament, with an epoch of its own.
INSERT INTO tournaments (id, name, capacity) VALUES (10, 'Next year', 1);
TABLE counters;
SELECT * FROM epochs();
SELECT code, seats_left FROM enroll(1, 10);
-- In one transaction.
BEGIN;
DELETE FROM tournaments WHERE id = 10;
INSERT INTO tournaments (id, name, capacity) VALUES (10, 'Now', 3);
SELECT code, seats_left FROM enroll(2, 10);
COMMIT;
TABLE counters;
SELECT tournament, taken_before, taken_after, allotted_before, allotted_after
FROM enroll_reconcile();

-- Another key: the rows follow by cascade, the old key's counter has nothing to give.
ALTER TABLE enrollments DROP CONSTRAINT enrollments_tournament_id_fkey,
  ADD FOREIGN KEY (tournament_id) REFERENCES tournaments ON DELETE CASCADE ON UPDATE CASCADE;
ALTER TABLE credit_transactions DROP CONSTRAINT credit_transactions_tournament_id_fkey,
  ADD FOREIGN KEY (tournament_id) REFERENCES tournaments ON DELETE SET NULL ON UPDATE CASCADE;
UPDATE tournaments SET id = 30 WHERE id = 10;
TABLE counters;
SELECT code, seats_left FROM enroll(3, 30);
SELECT code, seats_left FROM unenroll(2, 30);
SELECT code FROM try_enroll(3, 10);
-- Another key and another capacity in one statement.
UPDATE tournaments SET id = 31, capacity = 2 WHERE id = 30;
TABLE counters;
SELECT code, seats_left FROM enroll(2, 31);
SELECT code FROM try_enroll(4, 31);

-- Rows before their tournament, where a foreign key lets them: unlimited until it comes.
ALTER TABLE enrollments DROP CONSTRAINT enrollments_tournament_id_fkey,
  ADD CONSTRAINT later FOREIGN KEY (tournament_id) REFERENCES tournaments ON DELETE CASCADE
    DEFERRABLE INITIALLY DEFERRED;
BEGIN;
INSERT INTO enrollments (user_id, tournament_id) VALUES (1, 40), (2, 40), (3, 40);
SELECT tournament, taken, allotted FROM counters WHERE tournament = '40';
SELECT code FROM try_enroll(4, 40);
INSERT INTO tournaments (id, name, capacity) VALUES (40, 'Late', 2);
SELECT tournament, taken, allotted FROM counters WHERE tournament = '40';
SELECT code FROM try_enroll(4, 40);
DELETE FROM enrollments WHERE tournament_id = 40 AND user_id < 3;
SELECT code, seats_left FROM try_enroll(4, 40);
COMMIT;
TABLE counters;

-- All gone at once.
TRUNCATE tournaments CASCADE;
TABLE counters;
SELECT code FROM try_enroll(1, 11);
INSERT INTO tournaments (id, name, capacity) VALUES (11, 'Open', 1);
SELECT code, seats_left FROM enroll(1, 11);
TABLE counters;
