-- Statements that follow an enrollment or a withdrawal, in the same transaction.
\set SHOW_CONTEXT never
SET client_min_messages = error;
DROP EXTENSION IF EXISTS pg_enroll CASCADE;
DROP SCHEMA IF EXISTS shop CASCADE;
CREATE SCHEMA shop;
SET search_path = shop;
CREATE EXTENSION pg_enroll;
SELECT enroll_create_tables();
RESET client_min_messages;

CREATE TABLE sessions (id bigint PRIMARY KEY, tournament_id bigint NOT NULL);
CREATE TABLE bookings (enrollment_id bigint NOT NULL, user_id bigint NOT NULL,
  session_id bigint NOT NULL, note text, PRIMARY KEY (enrollment_id, session_id));
CREATE TABLE told (nr integer GENERATED ALWAYS AS IDENTITY, what text);
CREATE TABLE friends (user_id bigint PRIMARY KEY, friend_id bigint);
INSERT INTO users (id, credit_balance) SELECT n, 100 FROM generate_series(1, 20) n;
INSERT INTO tournaments (id, name, capacity, cost) VALUES
  (10, 'Cup', 6, 10), (11, 'Open', NULL, 5), (12, 'Small', 1, 1);
INSERT INTO sessions VALUES (100, 10), (101, 10), (102, 11);
-- Changes the policy, but for what belongs to its tables.
CREATE FUNCTION follow(on_enroll text[], on_unenroll text[] DEFAULT '{}') RETURNS void
LANGUAGE sql BEGIN ATOMIC
  SELECT enroll_attach(document || jsonb_build_object('on_enroll', on_enroll, 'on_unenroll',
                                                      on_unenroll)) FROM enroll_policies;
END;
CREATE VIEW all_there AS
  SELECT (SELECT count(*) FROM enrollments WHERE is_active) AS active,
         (SELECT count(*) FROM credit_transactions) AS ledger,
         (SELECT sum(credit_balance) FROM users) AS credits,
         (SELECT count(*) FROM bookings) AS bookings, (SELECT count(*) FROM told) AS told,
         (SELECT sum(taken) FROM enroll_seat) AS taken;

-- Several statements, one after the other, each of which sees what was done before it.
SELECT follow(
  ARRAY['INSERT INTO bookings SELECT :enrollment, :user, s.id FROM sessions s
         WHERE s.tournament_id = :tournament',
        'INSERT INTO told (what) SELECT format(''%s booked %s of %s'', :user, count(*),
         (SELECT count(*) FROM credit_transactions l WHERE l.enrollment_id = :enrollment))
         FROM bookings b WHERE b.enrollment_id = :enrollment'],
  ARRAY['DELETE FROM bookings WHERE enrollment_id = :enrollment',
        'INSERT INTO told (what) SELECT :user || '' left '' || e.tournament_id || '', active: '' ||
         e.is_active FROM enrollments e WHERE e.id = :enrollment']);
SELECT code, amount FROM enroll(1, 10);
SELECT code, amount FROM try_enroll(2, 11);
SELECT code, amount FROM enroll_waived(3, 10, 'a guest');
SELECT user_id, code FROM enroll_many(ARRAY[6, 5], 10);
SELECT user_id, code FROM try_enroll_many(ARRAY[1, 7, 99], 10);
SELECT user_id, session_id FROM bookings ORDER BY user_id, session_id;
SELECT code, amount FROM unenroll(6, 10);
SELECT code, amount FROM try_unenroll(7, 10);
SELECT what FROM told ORDER BY nr;
-- A look runs none; nor does a rejection, nor an answer given before.
SELECT * FROM all_there;
SELECT code FROM can_enroll(8, 10);
SELECT code FROM quote_unenroll(1, 10);
SELECT code FROM try_enroll(1, 10);
SELECT code, replayed FROM enroll(8, 11, 'key');
SELECT code, replayed FROM enroll(8, 11, 'key');
SELECT code FROM unenroll(8, 11);
SELECT * FROM all_there;

-- One that fails undoes everything, of the try_ functions as well: it is no rejection.
INSERT INTO bookings SELECT currval('enrollments_id_seq') + 1, 0, 101;
SELECT enroll(8, 10);
INSERT INTO bookings SELECT currval('enrollments_id_seq') + 1, 0, 101;
SELECT try_enroll(8, 10, 'key 2');
INSERT INTO bookings SELECT currval('enrollments_id_seq') + 2, 0, 101;
SELECT enroll_many(ARRAY[8, 9], 10);
DELETE FROM bookings WHERE user_id = 0;
SELECT * FROM all_there;
SELECT code FROM enroll(8, 10, 'key 2');
CREATE FUNCTION never() RETURNS trigger LANGUAGE plpgsql AS
  $$ BEGIN RAISE 'bookings stay' USING ERRCODE = 'BOOK1'; END $$;
CREATE TRIGGER never BEFORE DELETE ON bookings FOR EACH ROW EXECUTE FUNCTION never();
SELECT * FROM all_there;
SELECT unenroll(8, 10);
SELECT try_unenroll(8, 10);
\echo :LAST_ERROR_SQLSTATE
SELECT * FROM all_there;
DROP TRIGGER never ON bookings;

-- Placeholders are no part of literals, quoted names, comments, casts and slices.
CREATE TABLE "odd:user" (":tournament" text, list bigint[]);
SELECT follow(ARRAY[
  'INSERT INTO "odd:user" (":tournament", list) VALUES ('':user '' || E''it\''s :user'' ||
   $$ :enrollment $$ || $a$ :user $$ :user $a$ /* :user /* :nobody */ */ ||
   :user::text || '' '' || (:tournament)::text,
   (ARRAY[:user, :tournament, :user+1, 4])[1 : 3] || (ARRAY[7, 8, 9])[2:3])']);
SELECT code FROM enroll(9, 11);
SELECT * FROM "odd:user";
SELECT follow(ARRAY['SELECT :usr']);
SELECT follow(ARRAY['SELECT :User']);
SELECT follow(ARRAY['SELECT $1']);
SELECT follow(ARRAY['SELECT 1; SELECT 2']);
SELECT follow(ARRAY['SELECT 1;;']);
SELECT follow(ARRAY['-- :usr; it''s
INSERT INTO told (what) -- here
VALUES (''-- '' || E''a'' -- one string
  ''\''; '' || :user); -- the end', 'SELECT 1 -- :usr']);
BEGIN;
SELECT code FROM enroll(8, 11);
SELECT what FROM told ORDER BY nr DESC LIMIT 1;
ROLLBACK;
SELECT follow(ARRAY['SELECT (:user']);
SELECT follow(ARRAY['SELECT ''it is']);
SELECT follow(ARRAY['']);
SELECT enroll_attach(document || '{"on_enroll": "SELECT 1"}') FROM enroll_policies;
SELECT enroll_attach(document || '{"on_enroll": [["SELECT 1"]]}') FROM enroll_policies;
-- What is no statement of the four kinds, or does not fit, is told before anybody calls.
CREATE FUNCTION refused(on_enroll text) RETURNS TABLE (object text, obstacle text, remedy text)
LANGUAGE sql BEGIN ATOMIC
  SELECT c.object, c.obstacle, c.remedy FROM enroll_policies p, LATERAL enroll_precheck(
    p.document || jsonb_build_object('on_enroll', jsonb_build_array(on_enroll))) c
  WHERE c.action = 'refuse';
END;
SELECT nr, r.* FROM (VALUES
  (1, 'TRUNCATE bookings'), (2, 'NOTIFY enrolled'), (3, 'ROLLBACK'),
  (4, 'SET search_path = pg_temp'),
  (5, 'CREATE TABLE more ()'), (6, 'DO $$ BEGIN END $$'), (7, 'COPY bookings TO stdout'),
  (8, 'INSERT INTO nowhere VALUES (:user)'), (9, 'SELECT now'), (10, 'INSERT INTO told VALUES (1)'),
  (11, 'SELECT :user || true'), (12, 'CALL nothing()'), (13, 'EXPLAIN SELECT 1'),
  (14, 'DECLARE c CURSOR FOR SELECT 1'), (15, 'SELECT 1 INTO more'),
  (16, 'UPDATE told SET nr = 2'), (17, 'INSERT INTO all_there VALUES (1)'),
  (18, 'WITH gone AS (DELETE FROM all_there RETURNING 1) SELECT count(*) FROM gone'),
  (19, 'INSERT INTO told OVERRIDING SYSTEM VALUE VALUES (1)')) s(nr, statement),
  LATERAL refused(statement) r ORDER BY nr;
-- These are: a SELECT, a writing WITH, a MERGE.
SELECT follow(ARRAY['SELECT pg_catalog.pg_sleep(0) WHERE :user > 0',
  'WITH gone AS (DELETE FROM told RETURNING 1) INSERT INTO told (what)
   SELECT count(*) || '' forgotten'' FROM gone',
  'MERGE INTO friends f USING (SELECT :user AS id) s ON f.user_id = s.id
   WHEN NOT MATCHED THEN INSERT VALUES (s.id, NULL)']);
SELECT code FROM enroll(10, 11);
SELECT what FROM told;
SELECT * FROM friends;

-- One that enrolls: a friend comes along by a raw row, and takes a seat like any raw writer's.
SELECT tournament, taken, allotted FROM enroll_seat ORDER BY tournament;
INSERT INTO friends VALUES (11, 12), (13, 14), (15, 16), (17, 18) ON CONFLICT DO NOTHING;
SELECT follow(ARRAY['INSERT INTO enrollments (user_id, tournament_id)
                     SELECT f.friend_id, :tournament FROM friends f WHERE f.user_id = :user
                     AND f.friend_id IS NOT NULL']);
SELECT tournament, taken, allotted FROM enroll_seat ORDER BY tournament;
UPDATE tournaments SET capacity = 7 WHERE id = 10;
SELECT code, seats_left FROM enroll(11, 10);
SELECT tournament, taken, allotted FROM enroll_seat WHERE tournament = '10';
SELECT * FROM all_there;
SELECT enroll(13, 10);
\echo :LAST_ERROR_SQLSTATE
SELECT try_enroll(13, 10, 'key 3');
SELECT try_enroll_many(ARRAY[13], 10);
DO $$
DECLARE in_constraint text;
BEGIN
  PERFORM enroll(13, 10);
EXCEPTION WHEN check_violation THEN
  GET STACKED DIAGNOSTICS in_constraint = CONSTRAINT_NAME;
  RAISE NOTICE '%', in_constraint;
END $$;
SELECT * FROM all_there;
SELECT code, seats_left FROM enroll(19, 10);
SELECT tournament, taken_before, taken_after FROM enroll_reconcile();

-- One that calls enroll: both or none, and one that tries: what can be.
SET client_min_messages = error;
SELECT follow(ARRAY['SELECT enroll(f.friend_id, 12) FROM friends f WHERE f.user_id = :user
                     AND :tournament <> 12']);
SELECT code, balance_after FROM enroll(13, 11);
SELECT user_id, amount FROM credit_transactions WHERE user_id IN (13, 14) ORDER BY user_id;
SELECT enroll(15, 11);
SELECT try_enroll(15, 11);
SELECT * FROM all_there;
SELECT follow(ARRAY['INSERT INTO told (what) SELECT e.code FROM friends f,
                     LATERAL try_enroll(f.friend_id, 12) e WHERE f.user_id = :user
                     AND :tournament <> 12']);
SELECT code, balance_after FROM enroll(15, 11);
SELECT what FROM told ORDER BY nr;
-- One that enrolls the very user again, and one that goes on to the next user until there is none.
SELECT follow(ARRAY['SELECT try_enroll(:user, :tournament)']);
SELECT code, balance_after FROM enroll(17, 11);
SELECT follow(ARRAY['SELECT try_enroll(:user + 1, :tournament) WHERE :tournament = 13']);
INSERT INTO tournaments (id, name, capacity, cost) VALUES (13, 'Chain', 4, 1);
SELECT code, balance_after, seats_left FROM enroll(1, 13);
SELECT user_id FROM enrollments WHERE tournament_id = 13 ORDER BY user_id;
SELECT follow(ARRAY['SELECT enroll(:user + 1, :tournament)']);
UPDATE tournaments SET capacity = 9 WHERE id = 13;
SELECT enroll(17, 13);
SELECT user_id FROM enrollments WHERE tournament_id = 13 ORDER BY user_id;
SELECT tournament, taken_before, taken_after FROM enroll_reconcile();

-- They run with the owner's rights and path, whoever calls.
DROP ROLE IF EXISTS regress_enroll_app;
CREATE ROLE regress_enroll_app;
GRANT USAGE ON SCHEMA shop TO regress_enroll_app;
GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA shop TO regress_enroll_app;
SELECT follow(ARRAY['INSERT INTO told (what) VALUES
  ((current_user = ''regress_enroll_app'') || '' '' || current_setting(''search_path''))']);
SET ROLE regress_enroll_app;
SET search_path = '';
CREATE TEMP TABLE told (what text);
SELECT code, balance_after FROM shop.enroll(18, 11);
SELECT * FROM pg_temp.told;
RESET ROLE;
SET search_path = shop;
SELECT what FROM shop.told ORDER BY nr DESC LIMIT 1;

-- A function that catches the cancel of the policy's own wait wins no time by it.
CREATE FUNCTION doze() RETURNS void LANGUAGE plpgsql AS $$
BEGIN
  PERFORM pg_sleep(60);
EXCEPTION WHEN query_canceled THEN
  NULL;
END $$;
SELECT enroll_attach(document || '{"wait": "100ms", "on_enroll": ["SELECT doze()"]}')
FROM enroll_policies;
SELECT * FROM all_there;
SELECT code FROM try_enroll(19, 11);
SELECT enroll(19, 11);
SELECT user_id, code FROM try_enroll_many(ARRAY[19, 20], 11);
SELECT * FROM all_there;

SET client_min_messages = error;
SELECT enroll_detach();
DROP SCHEMA shop CASCADE;
DROP TABLE pg_temp.told;
DROP ROLE regress_enroll_app;
