-- MERGE, from PostgreSQL 15 on: its inserts, updates and deletes pass the door like any other.
SELECT current_setting('server_version_num')::integer < 150000 AS too_old \gset
\if :too_old
\quit
\endif
\set SHOW_CONTEXT never
SET client_min_messages = error;
DROP EXTENSION IF EXISTS pg_enroll CASCADE;
DROP SCHEMA IF EXISTS shop CASCADE;
CREATE SCHEMA shop;
SET search_path = shop;
CREATE EXTENSION pg_enroll;
SELECT enroll_create_tables();
RESET client_min_messages;

INSERT INTO users (id) SELECT i FROM generate_series(1, 6) i;
INSERT INTO tournaments (id, name, capacity) VALUES
  (10, 'Two', 2), (11, 'Three', 3), (12, 'Open', NULL);
INSERT INTO enrollments (user_id, tournament_id) VALUES (1, 10), (2, 10), (1, 12);
CREATE VIEW counters AS
  SELECT s.tournament, s.taken, s.allotted,
         count(e.id) AS active_rows, s.taken = count(e.id) AS agree
  FROM enroll_seat s
  LEFT JOIN enrollments e ON e.tournament_id::text = s.tournament AND e.is_active
  GROUP BY s.tournament, s.taken, s.allotted
  ORDER BY s.tournament;

-- Inserts alone.
MERGE INTO enrollments e
USING (VALUES (3, 11), (1, 12), (4, 12)) v(user_id, tournament_id)
ON e.user_id = v.user_id AND e.tournament_id = v.tournament_id AND e.is_active
WHEN NOT MATCHED THEN INSERT (user_id, tournament_id) VALUES (v.user_id, v.tournament_id);
TABLE counters;
MERGE INTO enrollments e
USING (VALUES (3, 10)) v(user_id, tournament_id)
ON e.user_id = v.user_id AND e.tournament_id = v.tournament_id AND e.is_active
WHEN NOT MATCHED THEN INSERT (user_id, tournament_id) VALUES (v.user_id, v.tournament_id);
TABLE counters;

-- Deletes, updates and inserts at once.
MERGE INTO enrollments e
USING (VALUES (1, 10, 'leave'), (2, 10, 'move'), (5, 10, 'come'), (6, 12, 'come'))
  v(user_id, tournament_id, does)
ON e.user_id = v.user_id AND e.tournament_id = v.tournament_id AND e.is_active
WHEN MATCHED AND v.does = 'leave' THEN DELETE
WHEN MATCHED AND v.does = 'move' THEN UPDATE SET tournament_id = 11
WHEN NOT MATCHED AND v.does = 'come' THEN INSERT (user_id, tournament_id)
  VALUES (v.user_id, v.tournament_id);
TABLE counters;
SELECT user_id, tournament_id FROM enrollments WHERE is_active ORDER BY tournament_id, user_id;

-- A withdrawal in place of a delete, and one seat too many.
MERGE INTO enrollments e
USING (VALUES (1, 12)) v(user_id, tournament_id)
ON e.user_id = v.user_id AND e.tournament_id = v.tournament_id AND e.is_active
WHEN MATCHED THEN UPDATE SET is_active = false, status = 'WITHDRAWN';
MERGE INTO enrollments e
USING (VALUES (4, 12, 'move'), (6, 12, 'move')) v(user_id, tournament_id, does)
ON e.user_id = v.user_id AND e.tournament_id = v.tournament_id AND e.is_active
WHEN MATCHED THEN UPDATE SET tournament_id = 11;
TABLE counters;
SELECT tournament, taken_before, taken_after FROM enroll_reconcile();
