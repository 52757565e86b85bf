-- Whose rights a call's statements have: the tables' owner's, or the caller's, so that row-level
-- security applies to the caller.
\set SHOW_CONTEXT never
SET client_min_messages = error;
DROP EXTENSION IF EXISTS pg_enroll CASCADE;
DROP SCHEMA IF EXISTS shop, shop_data CASCADE;
CREATE SCHEMA shop;
SET search_path = shop;
CREATE EXTENSION pg_enroll;
DROP ROLE IF EXISTS regress_enroll_owner, regress_enroll_north, regress_enroll_south;
RESET client_min_messages;
CREATE ROLE regress_enroll_owner;
CREATE ROLE regress_enroll_north;
CREATE ROLE regress_enroll_south;
GRANT USAGE ON SCHEMA shop TO PUBLIC;
GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA shop TO PUBLIC;
CREATE SCHEMA shop_data AUTHORIZATION regress_enroll_owner;
SET ROLE regress_enroll_owner;
SET search_path = shop_data, shop;
SELECT enroll_create_tables();
ALTER TABLE users ADD COLUMN branch name NOT NULL DEFAULT current_user;
ALTER TABLE tournaments ADD COLUMN branch name NOT NULL DEFAULT current_user;
ALTER TABLE enrollments ADD COLUMN branch name NOT NULL DEFAULT current_user;
CREATE TABLE told (by_role name DEFAULT current_user, enrollment_id bigint);
INSERT INTO users (id, credit_balance, branch) VALUES
  (1, 100, 'regress_enroll_north'), (2, 100, 'regress_enroll_north'),
  (3, 100, 'regress_enroll_south'), (4, 100, 'regress_enroll_south');
INSERT INTO tournaments (id, name, capacity, cost, branch) VALUES
  (10, 'North Cup', 2, 10, 'regress_enroll_north'),
  (20, 'South Cup', 2, 10, 'regress_enroll_south');
RESET ROLE;
CREATE TABLE documents AS SELECT document || '{"run_as": "caller",
  "on_enroll": ["INSERT INTO told (enrollment_id) VALUES (:enrollment)"]}' AS document
FROM enroll_policies;
GRANT SELECT ON documents TO PUBLIC;
SET ROLE regress_enroll_owner;
SELECT enroll_attach(document) FROM documents;

-- As the caller: who may not touch the tables may not enroll, and the door still counts as ever.
SET ROLE regress_enroll_north;
\set VERBOSITY terse
SELECT enroll(1, 10);
SELECT can_enroll(1, 10);
\set VERBOSITY default
SET ROLE regress_enroll_owner;
GRANT USAGE ON SCHEMA shop_data TO regress_enroll_north, regress_enroll_south;
GRANT SELECT, UPDATE ON users, tournaments, enrollments TO
  regress_enroll_north, regress_enroll_south;
GRANT INSERT ON enrollments TO regress_enroll_north, regress_enroll_south;
GRANT SELECT, INSERT ON credit_transactions TO regress_enroll_north, regress_enroll_south;
SET ROLE regress_enroll_north;
SELECT code FROM can_enroll(1, 10);
SELECT enroll(1, 10);
SET ROLE regress_enroll_owner;
GRANT INSERT ON told TO regress_enroll_north, regress_enroll_south;
SET ROLE regress_enroll_north;
SELECT code, amount, seats_left FROM enroll(1, 10);
SELECT code, amount, seats_left FROM unenroll(1, 10);
SELECT code FROM enroll(3, 20);
SELECT code FROM unenroll(3, 20);
SET ROLE regress_enroll_owner;
SELECT * FROM told;
DELETE FROM enrollments;

-- Row-level security hides the other branch, row by row.
ALTER TABLE users ENABLE ROW LEVEL SECURITY;
ALTER TABLE tournaments ENABLE ROW LEVEL SECURITY;
ALTER TABLE enrollments ENABLE ROW LEVEL SECURITY;
CREATE POLICY branch ON users USING (branch = current_user);
CREATE POLICY branch ON tournaments USING (branch = current_user);
CREATE POLICY branch ON enrollments USING (branch = current_user);
SET ROLE regress_enroll_north;
SELECT code, amount, seats_left FROM enroll(1, 10);
SELECT code FROM try_enroll(3, 10);
SELECT code FROM try_enroll(1, 20);
SELECT code FROM try_unenroll(1, 20);
SELECT code FROM can_enroll(3, 20);
SELECT user_id, code FROM try_enroll_many(ARRAY[2, 3], 10);
SET ROLE regress_enroll_south;
SELECT user_id, code FROM try_enroll_many(ARRAY[3, 1], 20);
SELECT code FROM try_unenroll(1, 10);
-- What one cannot see takes seats all the same, and is found by the active index.
SET ROLE regress_enroll_owner;
UPDATE tournaments SET capacity = 3 WHERE id = 20;
INSERT INTO enrollments (user_id, tournament_id, branch) VALUES (4, 20, 'regress_enroll_north');
SET ROLE regress_enroll_south;
SELECT code, sqlstate, enrollment_id FROM try_enroll(4, 20);
SELECT enroll(4, 20, 'a key');
SELECT user_id, code FROM try_enroll_many(ARRAY[3, 4], 20);
BEGIN ISOLATION LEVEL REPEATABLE READ;
SELECT enroll(4, 20);
ROLLBACK;
SET ROLE regress_enroll_owner;
UPDATE enrollments SET is_active = false WHERE user_id = 4;
UPDATE tournaments SET capacity = 2 WHERE id = 20;
INSERT INTO enrollments (user_id, tournament_id, branch) VALUES (2, 20, 'regress_enroll_north');
SET ROLE regress_enroll_south;
SELECT code FROM can_enroll(4, 20);
SELECT code FROM try_enroll(4, 20);
SET ROLE regress_enroll_owner;
DELETE FROM enrollments WHERE user_id = 2 AND tournament_id = 20;
-- A row that must not be written is refused as by any other statement.
CREATE POLICY small ON enrollments AS RESTRICTIVE FOR INSERT WITH CHECK (user_id <> 4);
SET ROLE regress_enroll_south;
SELECT enroll(4, 20);
SELECT try_enroll(4, 20, 'key');
SET ROLE regress_enroll_owner;
DROP POLICY small ON enrollments;
SET ROLE regress_enroll_south;
SELECT code, amount, seats_left FROM enroll(4, 20, 'key');
SET row_security = off;
SELECT code FROM try_unenroll(4, 20);
RESET row_security;
SELECT code, amount, seats_left FROM unenroll(4, 20);
RESET ROLE;
SELECT tournament, taken, allotted FROM enroll_seat ORDER BY tournament;
SELECT * FROM enroll_reconcile();

-- A key whose row is hidden from the caller: taken, and nothing to tell of it.
SET ROLE regress_enroll_owner;
ALTER TABLE credit_transactions ENABLE ROW LEVEL SECURITY;
CREATE POLICY positive ON credit_transactions USING (balance_after > 0)
  WITH CHECK (TRUE);
INSERT INTO credit_transactions (user_id, type, amount, balance_after, idempotency_key)
VALUES (4, 'ENROLLMENT', 0, 0, 'theirs');
SET ROLE regress_enroll_south;
SELECT code FROM try_enroll(4, 20, 'theirs');
SELECT enroll(4, 20, 'theirs');
SET ROLE regress_enroll_owner;
DROP POLICY positive ON credit_transactions;
ALTER TABLE credit_transactions DISABLE ROW LEVEL SECURITY;
DELETE FROM credit_transactions WHERE idempotency_key = 'theirs';
RESET ROLE;

-- As the owner: no row of theirs is hidden, forced or not, from calls, doors, gates and counts.
SET ROLE regress_enroll_owner;
ALTER TABLE users FORCE ROW LEVEL SECURITY;
ALTER TABLE tournaments FORCE ROW LEVEL SECURITY;
ALTER TABLE enrollments FORCE ROW LEVEL SECURITY;
ALTER TABLE credit_transactions ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
ALTER TABLE told ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
SELECT count(*) AS seen FROM enrollments;
SELECT object, obstacle FROM documents d, LATERAL enroll_precheck(d.document - 'run_as')
WHERE action = 'refuse';
SELECT enroll_attach(document - 'run_as') FROM documents;
RESET ROLE;
SELECT tournament, taken, allotted FROM enroll_seat ORDER BY tournament;
SET ROLE regress_enroll_south;
SELECT code FROM try_enroll(2, 10, 'other key');
SELECT code, replayed FROM enroll(4, 20, 'other key');
SELECT code, replayed FROM enroll(4, 20, 'other key');
SELECT code, amount FROM unenroll(4, 20);
SELECT code FROM try_enroll(4, 10);
SELECT user_id, code FROM try_enroll_many(ARRAY[1, 4], 20);
SELECT code, amount, seats_left FROM unenroll(1, 10);
SET ROLE regress_enroll_owner;
SET row_security = off;
SELECT code, amount FROM try_enroll(4, 10);
RESET row_security;
SELECT * FROM enroll_reconcile();
RESET ROLE;
SET client_min_messages = warning;
UPDATE tournaments SET capacity = 1;
SELECT tournament, taken, allotted FROM enroll_seat ORDER BY tournament;
TRUNCATE enrollments CASCADE;
SELECT tournament, taken, allotted FROM enroll_seat ORDER BY tournament;
RESET client_min_messages;
SET ROLE regress_enroll_owner;
SELECT enroll_detach();

RESET ROLE;
SET client_min_messages = error;
DROP SCHEMA shop_data, shop CASCADE;
DROP ROLE regress_enroll_owner, regress_enroll_north, regress_enroll_south;
