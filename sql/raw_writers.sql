-- Writers that have never heard of enroll: every way into and out of the enrollments table goes
-- through the same door, and the counters are the rows after each.
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
INSERT INTO tournaments (id, name, capacity, cost) VALUES
  (10, 'Two', 2, 10), (11, 'Three', 3, 10), (12, 'Open', NULL, 10), (13, 'None', 0, 10);
CREATE VIEW counters AS
  SELECT s.tournament, s.taken, s.allotted,
         count(e.id) AS active_rows, s.taken = count(e.id) AS agree
  FROM enroll_seat s
  LEFT JOIN enrollments e ON e.tournament_id::text = s.tournament AND e.is_active
  GROUP BY s.tournament, s.taken, s.allotted
  ORDER BY s.tournament;

-- INSERT, one row and many.
INSERT INTO enrollments (user_id, tournament_id) VALUES (1, 10);
INSERT INTO enrollments (user_id, tournament_id) VALUES (1, 11), (2, 10), (2, 12), (1, 12);
TABLE counters;
INSERT INTO enrollments (user_id, tournament_id) VALUES (3, 10);
INSERT INTO enrollments (user_id, tournament_id) VALUES (3, 13);
INSERT INTO enrollments (user_id, tournament_id) SELECT id, 11 FROM users WHERE id > 1;
INSERT INTO enrollments (user_id, tournament_id) VALUES (3, 11), (3, 10), (3, 12);
INSERT INTO enrollments (user_id, tournament_id) VALUES (1, 12);
INSERT INTO enrollments (user_id, tournament_id, status, is_active)
VALUES (3, 10, 'WITHDRAWN', false), (3, 10, 'WITHDRAWN', false);
INSERT INTO enrollments (user_id, tournament_id) SELECT 1, 10 WHERE false;
TABLE counters;
DO $$
DECLARE
  state text; in_table text; in_constraint text; detail text;
BEGIN
  INSERT INTO enrollments (user_id, tournament_id) VALUES (3, 10);
EXCEPTION WHEN check_violation THEN
  GET STACKED DIAGNOSTICS state = RETURNED_SQLSTATE, in_table = TABLE_NAME,
    in_constraint = CONSTRAINT_NAME, detail = PG_EXCEPTION_DETAIL;
  RAISE NOTICE '% % % %', state, in_table, in_constraint, detail;
END $$;

-- The engine and the raw writers count the same seats.
SELECT code, details FROM try_enroll(4, 10);
SELECT code, seats_left FROM enroll(2, 11);

-- UPDATE: moved, into a full one too.
INSERT INTO enrollments (user_id, tournament_id) VALUES (5, 12), (6, 12);
UPDATE enrollments SET tournament_id = 11 WHERE user_id = 5 AND tournament_id = 12;
TABLE counters;
UPDATE enrollments SET tournament_id = 11 WHERE user_id = 6 AND tournament_id = 12;
UPDATE enrollments SET tournament_id = 13 WHERE user_id = 6 AND tournament_id = 12;
UPDATE enrollments SET tournament_id = 10 WHERE user_id = 1 AND tournament_id = 12;
-- Withdrawn, and active again while there is a seat.
UPDATE enrollments SET is_active = false, status = 'WITHDRAWN'
WHERE user_id = 1 AND tournament_id = 10;
TABLE counters;
UPDATE enrollments SET is_active = true, status = 'ENROLLED'
WHERE user_id = 1 AND tournament_id = 10;
UPDATE enrollments SET is_active = false WHERE user_id = 1 AND tournament_id = 10;
INSERT INTO enrollments (user_id, tournament_id) VALUES (4, 10);
UPDATE enrollments SET is_active = true WHERE user_id = 1 AND tournament_id = 10;
UPDATE enrollments SET is_active = true WHERE user_id = 3;
UPDATE enrollments SET is_active = true, status = 'ENROLLED', tournament_id = 12
WHERE id = (SELECT min(id) FROM enrollments WHERE user_id = 3);
TABLE counters;
-- Another user in the same place, and what has nothing to do with seats.
UPDATE enrollments SET user_id = 8 WHERE user_id = 4 AND tournament_id = 10;
UPDATE enrollments SET enrolled_at = enrolled_at - interval '1 day';
-- Two that change places in full tournaments need no seat.
UPDATE enrollments SET tournament_id = 21 - tournament_id
WHERE (user_id, tournament_id) IN ((8, 10), (5, 11));
SELECT tournament_id, array_agg(user_id ORDER BY user_id) AS users FROM enrollments
WHERE is_active GROUP BY tournament_id ORDER BY tournament_id;
TABLE counters;
-- Over capacity there is no way in, and every way out.
UPDATE tournaments SET capacity = 1 WHERE id = 11;
UPDATE enrollments SET tournament_id = 11 WHERE user_id = 6 AND tournament_id = 12;
UPDATE enrollments SET tournament_id = 12 WHERE user_id = 8 AND tournament_id = 11;
TABLE counters;
UPDATE tournaments SET capacity = 3 WHERE id = 11;
-- A closed tournament is closed to enroll alone.
UPDATE tournaments SET status = 'ENROLLMENT_CLOSED' WHERE id = 11;
INSERT INTO enrollments (user_id, tournament_id) VALUES (7, 11);
UPDATE tournaments SET status = 'ENROLLMENT_OPEN' WHERE id = 11;
TABLE counters;

-- DELETE, of active and of withdrawn rows.
DELETE FROM enrollments WHERE NOT is_active;
TABLE counters;
DELETE FROM enrollments WHERE user_id IN (1, 2, 5, 6);
TABLE counters;

-- COPY.
COPY enrollments (user_id, tournament_id, is_active) FROM stdin (DELIMITER ',');
1,11,t
2,12,t
1,12,t
2,10,f
\.
TABLE counters;
COPY enrollments (user_id, tournament_id) FROM stdin (DELIMITER ',');
9,12
3,11
4,11
5,11
\.
TABLE counters;

-- Upserts.
INSERT INTO enrollments (user_id, tournament_id) VALUES (1, 11), (2, 11)
ON CONFLICT (user_id, tournament_id) WHERE is_active DO NOTHING;
INSERT INTO enrollments (user_id, tournament_id) VALUES (1, 11), (8, 12)
ON CONFLICT (user_id, tournament_id) WHERE is_active DO UPDATE SET enrolled_at = now();
INSERT INTO enrollments (user_id, tournament_id) VALUES (2, 11)
ON CONFLICT (user_id, tournament_id) WHERE is_active
DO UPDATE SET is_active = false, status = 'WITHDRAWN';
TABLE counters;
INSERT INTO enrollments (user_id, tournament_id) VALUES (8, 12), (9, 12)
ON CONFLICT (user_id, tournament_id) WHERE is_active DO UPDATE SET tournament_id = 11;
INSERT INTO enrollments (user_id, tournament_id) VALUES (9, 12), (9, 11)
ON CONFLICT (user_id, tournament_id) WHERE is_active DO UPDATE SET tournament_id = 11;
TABLE counters;

-- Several statements in one: each is held to the seats that are there.
WITH moved AS (
  UPDATE enrollments SET tournament_id = 10 WHERE user_id = 9 AND tournament_id = 12 RETURNING id)
INSERT INTO enrollments (user_id, tournament_id) SELECT 4, 12 FROM moved;
TABLE counters;

-- Cascades, from users and from tournaments.
DELETE FROM users WHERE id IN (8, 9);
TABLE counters;
DELETE FROM tournaments WHERE id = 12;
TABLE counters;
SELECT count(*) AS rows_left FROM enrollments WHERE tournament_id = 12;
-- ON UPDATE CASCADE of both keys: the rows move, and their seats with them.
ALTER TABLE enrollments
  DROP CONSTRAINT enrollments_tournament_id_fkey, DROP CONSTRAINT enrollments_user_id_fkey,
  ADD FOREIGN KEY (tournament_id) REFERENCES tournaments ON DELETE CASCADE ON UPDATE CASCADE,
  ADD FOREIGN KEY (user_id) REFERENCES users ON DELETE CASCADE ON UPDATE CASCADE;
ALTER TABLE credit_transactions DROP CONSTRAINT credit_transactions_tournament_id_fkey,
  DROP CONSTRAINT credit_transactions_user_id_fkey;
UPDATE tournaments SET id = 15 WHERE id = 11;
UPDATE users SET id = id + 100;
TABLE counters;
SELECT user_id, tournament_id FROM enrollments WHERE is_active ORDER BY user_id, tournament_id;
SELECT code FROM enroll(103, 15);
SELECT code FROM try_enroll(104, 15);

-- TRUNCATE empties the counters, alone or from a parent.
TRUNCATE enrollments, credit_transactions;
TABLE counters;
INSERT INTO enrollments (user_id, tournament_id) VALUES (101, 15);
TRUNCATE users CASCADE;
TABLE counters;
TRUNCATE tournaments CASCADE;
TABLE counters;
INSERT INTO users (id) VALUES (1);
INSERT INTO tournaments (id, name, capacity) VALUES (10, 'Again', 1);
INSERT INTO enrollments (user_id, tournament_id) VALUES (1, 10);
TABLE counters;

-- Balances are held as well, by whoever writes them.
UPDATE users SET credit_balance = -1;
INSERT INTO users (id, credit_balance) VALUES (2, -5);

-- Nothing to correct but the counters with neither tournament nor rows.
SELECT tournament, taken_before, taken_after, allotted_before, allotted_after
FROM enroll_reconcile();
