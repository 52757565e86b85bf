-- enroll_reconcile recounts the derived counters, and says what it changed.
\set SHOW_CONTEXT never
SET client_min_messages = error;
DROP EXTENSION IF EXISTS pg_enroll CASCADE;
DROP SCHEMA IF EXISTS shop, shop_b CASCADE;
CREATE SCHEMA shop;
SET search_path = shop;
CREATE EXTENSION pg_enroll;
SELECT enroll_create_tables();
RESET client_min_messages;

INSERT INTO users (id, credit_balance) SELECT i, 100 FROM generate_series(1, 9) i;
INSERT INTO tournaments (id, name, capacity, cost) VALUES
  (10, 'Cup', 3, 10), (11, 'Open', NULL, 0), (12, 'Below zero', -5, 0), (13, 'Empty', 2, 0);
SELECT user_id, code FROM enroll_many(ARRAY[1, 2], 10);
SELECT user_id, code FROM enroll_many(ARRAY[1, 2, 3], 11);
CREATE VIEW counters AS
  SELECT tournament, stripe, taken, allotted, capacity FROM enroll_seat ORDER BY tournament;
TABLE counters;

-- Nothing to correct: no row, and no epoch goes back.
SELECT * FROM enroll_reconcile();
BEGIN;
SELECT epoch AS before FROM enroll_seat WHERE tournament = '10' \gset
SELECT count(*) AS corrected FROM enroll_reconcile();
SELECT epoch >= :before AS not_back FROM enroll_seat WHERE tournament = '10';
COMMIT;

-- Written over by hand, lost, and left over.
SELECT epoch AS before FROM enroll_seat WHERE tournament = '10' \gset
UPDATE enroll_seat SET taken = 3 WHERE tournament = '10';
UPDATE enroll_seat SET taken = -1, allotted = 7, capacity = 7 WHERE tournament = '11';
UPDATE enroll_seat SET allotted = NULL, capacity = NULL WHERE tournament = '12';
DELETE FROM enroll_seat WHERE tournament = '13';
INSERT INTO enroll_seat (policy, tournament, stripe, taken, allotted, capacity, epoch)
VALUES ('default', '99', 0, 5, 0, 0, 1);
SELECT code FROM try_enroll(3, 10);
SELECT tournament, taken_before, taken_after, allotted_before, allotted_after
FROM enroll_reconcile();
TABLE counters;
SELECT epoch > :before AS moved_on FROM enroll_seat WHERE tournament = '10';
SELECT * FROM enroll_reconcile();
SELECT code, seats_left FROM enroll(3, 10);
SELECT code, seats_left FROM enroll(1, 13);

-- Rows that passed no door, of tournaments that passed no gate.
SET session_replication_role = replica;
INSERT INTO enrollments (user_id, tournament_id) VALUES (4, 10), (5, 10), (4, 11), (4, 50);
DELETE FROM enrollments WHERE user_id = 1;
INSERT INTO tournaments (id, name, capacity) VALUES (14, 'Unseen', 1);
UPDATE tournaments SET capacity = 5 WHERE id = 13;
DELETE FROM tournaments WHERE id = 12;
RESET session_replication_role;
SELECT tournament, taken_before, taken_after, allotted_before, allotted_after
FROM enroll_reconcile();
TABLE counters;
SELECT code, details FROM try_enroll(6, 10);
SELECT code, seats_left FROM enroll(6, 14);

-- A deleted tournament's counter goes with the next recount, one with rows stays.
DELETE FROM tournaments WHERE id = 14;
SELECT tournament, taken_before, taken_after, allotted_before, allotted_after
FROM enroll_reconcile();
TABLE counters;

-- Each policy is counted by itself, and within a transaction it can be rolled back.
CREATE SCHEMA shop_b;
SELECT enroll_create_tables('shop_b', 'second');
INSERT INTO shop_b.tournaments (id, name, capacity) VALUES (10, 'Other', 1);
UPDATE enroll_seat SET taken = 9;
BEGIN;
SELECT tournament, taken_before, taken_after FROM enroll_reconcile('second');
SELECT policy, tournament, taken FROM enroll_seat ORDER BY policy, tournament;
ROLLBACK;
SELECT tournament, taken_before, taken_after FROM enroll_reconcile();
SELECT policy, tournament, taken FROM enroll_seat ORDER BY policy, tournament;
SELECT tournament, taken_before, taken_after FROM enroll_reconcile('second');

-- More than fit on one page, in order.
INSERT INTO shop_b.tournaments (id, name, capacity)
SELECT i, 'Many', i FROM generate_series(1001, 1500) i;
UPDATE enroll_seat SET taken = 1 WHERE policy = 'second' AND tournament > '1';
SELECT count(*), min(tournament), max(tournament), sum(taken_before), sum(taken_after)
FROM enroll_reconcile('second');
SELECT count(*) FROM enroll_reconcile('second');
SELECT * FROM enroll_reconcile('third');
SET client_min_messages = error;
SELECT enroll_detach('second');
DROP SCHEMA shop_b CASCADE;
