-- A tournament's counter in several rows: whichever of them a session writes, the seats are one.
\set SHOW_CONTEXT never
SET client_min_messages = error;
DROP EXTENSION IF EXISTS pg_enroll CASCADE;
DROP SCHEMA IF EXISTS shop CASCADE;
CREATE SCHEMA shop;
SET search_path = shop;
CREATE EXTENSION pg_enroll;
SELECT enroll_create_tables();
RESET client_min_messages;

INSERT INTO users (id, credit_balance) SELECT n, 1000 FROM generate_series(1, 200) n;
INSERT INTO tournaments (id, name, capacity, cost) VALUES
  (1, 'Three', 3, 1), (2, 'Six', 6, 1), (3, 'Open', NULL, 1), (4, 'Other', 50, 1);

-- Divides what is left, as a call does that meets others at the only row. Here it is done by hand:
-- a session alone meets nobody.
CREATE FUNCTION divide(which bigint, stripes integer) RETURNS void LANGUAGE sql BEGIN ATOMIC
  INSERT INTO enroll_seat (policy, tournament, stripe, taken, allotted, capacity, epoch)
  SELECT policy, tournament, n, 0, (allotted - taken) / stripes, capacity, epoch
  FROM enroll_seat, generate_series(1, stripes - 1) n
  WHERE tournament = which::text AND stripe = 0;
  UPDATE enroll_seat SET allotted = allotted - (allotted - taken) / stripes * (stripes - 1)
  WHERE tournament = which::text AND stripe = 0;
END;
CREATE VIEW counters AS
  SELECT tournament, count(*) AS stripes, sum(taken) AS taken, sum(allotted) AS allotted,
    bool_and(allotted IS NULL OR taken <= allotted) AS sound,
    (SELECT count(*) FROM enrollments e WHERE e.is_active AND e.tournament_id::text = tournament)
      AS active
  FROM enroll_seat GROUP BY tournament ORDER BY tournament;

-- The last seat is found wherever it is, and FULL is said when there is none.
SELECT divide(1, 3);
SELECT code, seats_left FROM can_enroll(1, 1);
SELECT code, seats_left FROM enroll(1, 1);
SELECT code, seats_left FROM try_enroll(2, 1);
SELECT code, seats_left FROM enroll(3, 1, 'key');
SELECT code, details FROM try_enroll(4, 1);
SELECT enroll(4, 1);
SELECT code, details FROM can_enroll(4, 1);
INSERT INTO enrollments (user_id, tournament_id) VALUES (4, 1);
SELECT code, seats_left FROM quote_unenroll(2, 1);
SELECT code, seats_left FROM unenroll(2, 1);
SELECT code, seats_left FROM enroll(4, 1);
DELETE FROM enrollments WHERE user_id = 1;
INSERT INTO enrollments (user_id, tournament_id) VALUES (5, 1);
SELECT * FROM counters WHERE tournament = '1';

-- Several at once take what each row has; refused whole where one is missing.
SELECT divide(2, 3);
SELECT user_id, code, seats_left FROM enroll_many(ARRAY[1, 2, 3, 4], 2);
SELECT enroll_many(ARRAY[5, 6, 7], 2);
SELECT user_id, code, seats_left FROM try_enroll_many(ARRAY[5, 6, 7], 2);
SELECT * FROM counters WHERE tournament = '2';
DELETE FROM enrollments WHERE tournament_id = 2;
SELECT * FROM counters WHERE tournament = '2';
INSERT INTO enrollments (user_id, tournament_id) SELECT n, 2 FROM generate_series(11, 17) n;
INSERT INTO enrollments (user_id, tournament_id) SELECT n, 2 FROM generate_series(11, 16) n;
SELECT * FROM counters WHERE tournament = '2';
UPDATE enrollments SET tournament_id = 4 WHERE tournament_id = 2 AND user_id < 15;
SELECT divide(4, 7);
UPDATE enrollments SET tournament_id = 4 WHERE tournament_id = 2;
SELECT * FROM counters WHERE tournament IN ('2', '4');
SELECT divide(3, 5);
SELECT count(*) FILTER (WHERE code = 'ENROLLED') AS enrolled, max(seats_left)
FROM enroll_many(ARRAY(SELECT n FROM generate_series(1, 20) n), 3);
SELECT code, seats_left FROM enroll(21, 3);
SELECT code, seats_left FROM unenroll(1, 3);
SELECT * FROM counters WHERE tournament = '3';

-- A change of the tournament folds them into one: capacity up, down, below what is taken, none.
UPDATE tournaments SET capacity = 45 WHERE id = 4;
SELECT * FROM counters WHERE tournament = '4';
SELECT divide(4, 4);
UPDATE tournaments SET name = 'Renamed' WHERE id = 4;
SELECT * FROM counters WHERE tournament = '4';
UPDATE tournaments SET capacity = 4 WHERE id = 4;
SELECT * FROM counters WHERE tournament = '4';
DELETE FROM enrollments WHERE user_id IN (11, 12) AND tournament_id = 4;
SELECT code, details FROM try_enroll(30, 4);
SELECT code, seats_left FROM try_unenroll(13, 4);
DELETE FROM enrollments WHERE user_id = 13 AND tournament_id = 4;
SELECT code, seats_left FROM enroll(30, 4);
SELECT code FROM try_enroll(31, 4);
UPDATE tournaments SET capacity = NULL WHERE id = 4;
SELECT divide(4, 4);
SELECT code, seats_left FROM enroll(31, 4);
UPDATE tournaments SET capacity = 100 WHERE id IN (3, 4);
SELECT * FROM counters WHERE tournament IN ('3', '4');
SELECT divide(4, 4);
SELECT status AS was FROM tournaments WHERE id = 4 \gset
UPDATE tournaments SET status = 'DRAFT' WHERE id = 4;
SELECT code FROM try_enroll(32, 4);
UPDATE tournaments SET status = :'was' WHERE id = 4;
SELECT code, seats_left FROM try_enroll(32, 4);
SELECT divide(4, 4);
SELECT max(seats_left) FROM enroll_many(ARRAY(SELECT n FROM generate_series(150, 189) n), 4);
SELECT code, seats_left FROM can_enroll(33, 4);
SELECT code, seats_left FROM enroll(33, 4);

-- Undone with what it belongs to.
SELECT divide(3, 4);
BEGIN;
SELECT code FROM enroll(40, 3);
SAVEPOINT here;
SELECT user_id, code FROM enroll_many(ARRAY(SELECT n FROM generate_series(41, 90) n), 3)
WHERE code <> 'ENROLLED';
UPDATE tournaments SET capacity = 60 WHERE id = 3;
SELECT * FROM counters WHERE tournament = '3';
ROLLBACK TO here;
SELECT * FROM counters WHERE tournament = '3';
COMMIT;
BEGIN ISOLATION LEVEL REPEATABLE READ;
SELECT code FROM enroll(42, 3);
SELECT code FROM enroll(42, 4);
SELECT code FROM unenroll(42, 3);
INSERT INTO enrollments (user_id, tournament_id) SELECT n, 3 FROM generate_series(101, 140) n;
COMMIT;
SELECT * FROM counters WHERE tournament IN ('3', '4');

-- A recount puts right what is wrong in any row, and leaves what is right divided.
SELECT * FROM enroll_reconcile();
UPDATE enroll_seat SET taken = taken + 1 WHERE tournament = '3' AND stripe = 2;
DELETE FROM enroll_seat WHERE tournament = '4' AND stripe = 0;
SELECT code FROM try_enroll(50, 4);
SELECT tournament, taken_after, allotted_after FROM enroll_reconcile();
SELECT * FROM counters WHERE tournament IN ('3', '4');
SELECT divide(3, 4), divide(4, 4);
UPDATE enroll_seat SET epoch = epoch + 1 WHERE tournament = '3' AND stripe = 3;
UPDATE enroll_seat SET capacity = 99 WHERE tournament = '4' AND stripe = 1;
SELECT tournament, taken_after, allotted_after FROM enroll_reconcile();
SELECT * FROM counters WHERE tournament IN ('3', '4');

-- A deleted tournament; TRUNCATE of the enrollments, of the tournaments.
SELECT divide(3, 4), divide(4, 4);
DELETE FROM credit_transactions;
DELETE FROM enrollments WHERE tournament_id = 4;
DELETE FROM tournaments WHERE id = 4;
SELECT * FROM counters WHERE tournament = '4';
TRUNCATE enrollments CASCADE;
SELECT * FROM counters WHERE tournament = '3';
SELECT code, seats_left FROM enroll(1, 3);
TRUNCATE tournaments CASCADE;
SELECT * FROM counters WHERE tournament = '3';
SELECT tournament, taken_after FROM enroll_reconcile();

-- A counter that one transaction writes so often that its versions do not fit on one page is still
-- found by its key, and one with an index of somebody else's by that, too.
INSERT INTO tournaments (id, name) VALUES (9, 'Long');
INSERT INTO users (id) SELECT generate_series(1001, 2000);
DO $$
BEGIN
  FOR i IN 1001..2000 LOOP
    INSERT INTO enrollments (user_id, tournament_id) VALUES (i, 9);
  END LOOP;
END $$;
SELECT * FROM counters WHERE tournament = '9';
SELECT code FROM try_enroll(1, 9);
CREATE INDEX taken_by ON enroll_seat (taken);
DELETE FROM enrollments WHERE user_id = 1001 AND tournament_id = 9;
SELECT code FROM try_enroll(2, 9);
SET enable_seqscan = off;
SELECT tournament, taken FROM enroll_seat WHERE taken = 1001;
RESET enable_seqscan;
DROP INDEX taken_by;
SELECT tournament, taken_after FROM enroll_reconcile();

-- How many there may be is the policy's to say.
SELECT enroll_attach(document || '{"stripes": 1}') FROM enroll_policies;
\set VERBOSITY terse
SELECT enroll_attach(document || '{"stripes": 0}') FROM enroll_policies;
SELECT enroll_attach(document || '{"stripes": "many"}') FROM enroll_policies;

SET client_min_messages = error;
SELECT enroll_detach();
DROP SCHEMA shop CASCADE;
