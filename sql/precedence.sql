-- Where two rejections are true at once, the upper one of the contract is answered: by enroll, by
-- try_enroll and by can_enroll alike.
\set SHOW_CONTEXT never
SET client_min_messages = error;
DROP EXTENSION IF EXISTS pg_enroll CASCADE;
DROP SCHEMA IF EXISTS shop CASCADE;
CREATE SCHEMA shop;
SET search_path = shop;
CREATE EXTENSION pg_enroll;
SELECT enroll_create_tables();
RESET client_min_messages;

CREATE FUNCTION raised(statement text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
  EXECUTE statement;
  RETURN '00000';
EXCEPTION WHEN OTHERS THEN
  RETURN SQLSTATE;
END $$;

-- User 1 is rich, 2 has nothing. Both are enrolled in 10 and 13, nobody elsewhere.
INSERT INTO users (id, credit_balance) VALUES (1, 1000), (2, 100);
INSERT INTO tournaments (id, name, capacity, cost) VALUES
  (10, 'Open and full', 2, 50), (11, 'Open, full', 0, 50), (12, 'Open, room', 5, 50),
  (13, 'Closed, full', 2, 50), (14, 'Closed, full', 0, 50), (15, 'Closed, room', 5, 50);
SELECT u.id, t.id, (enroll(u.id, t.id, 'used-' || u.id || '-' || t.id)).code
FROM users u CROSS JOIN (VALUES (10), (13)) t(id) ORDER BY u.id, t.id;
UPDATE tournaments SET status = 'ENROLLMENT_CLOSED' WHERE id IN (13, 14, 15);

CREATE TABLE cases (
  nr integer GENERATED ALWAYS AS IDENTITY,
  upper text, lower text, user_id bigint, tournament_id bigint, key text, max_price numeric);
INSERT INTO cases (upper, lower, user_id, tournament_id, key, max_price) VALUES
  ('IDEMPOTENCY_MISMATCH', 'TOURNAMENT_NOT_FOUND', 1, 99, 'used-1-10', NULL),
  ('IDEMPOTENCY_MISMATCH', 'USER_NOT_FOUND', 99, 10, 'used-1-10', NULL),
  ('IDEMPOTENCY_MISMATCH', 'NOT_OPEN', 1, 15, 'used-1-10', NULL),
  ('IDEMPOTENCY_MISMATCH', 'ALREADY_ENROLLED', 2, 10, 'used-1-10', NULL),
  ('IDEMPOTENCY_MISMATCH', 'FULL', 1, 11, 'used-1-10', NULL),
  ('IDEMPOTENCY_MISMATCH', 'PRICE_CHANGED', 1, 12, 'used-1-10', 1),
  ('IDEMPOTENCY_MISMATCH', 'INSUFFICIENT_CREDITS', 2, 12, 'used-1-10', NULL),
  ('TOURNAMENT_NOT_FOUND', 'USER_NOT_FOUND', 99, 99, NULL, NULL),
  ('TOURNAMENT_NOT_FOUND', 'PRICE_CHANGED', 1, 99, NULL, -1),
  ('USER_NOT_FOUND', 'NOT_OPEN', 99, 15, NULL, NULL),
  ('USER_NOT_FOUND', 'FULL', 99, 11, NULL, NULL),
  ('USER_NOT_FOUND', 'PRICE_CHANGED', 99, 12, NULL, 1),
  ('NOT_OPEN', 'ALREADY_ENROLLED', 1, 13, NULL, NULL),
  ('NOT_OPEN', 'FULL', 1, 14, NULL, NULL),
  ('NOT_OPEN', 'PRICE_CHANGED', 1, 15, NULL, 1),
  ('NOT_OPEN', 'INSUFFICIENT_CREDITS', 2, 15, NULL, NULL),
  ('ALREADY_ENROLLED', 'FULL', 1, 10, NULL, NULL),
  ('ALREADY_ENROLLED', 'PRICE_CHANGED', 1, 10, NULL, 1),
  ('ALREADY_ENROLLED', 'INSUFFICIENT_CREDITS', 2, 10, NULL, NULL),
  ('FULL', 'PRICE_CHANGED', 1, 11, NULL, 1),
  ('FULL', 'INSUFFICIENT_CREDITS', 2, 11, NULL, NULL),
  ('PRICE_CHANGED', 'INSUFFICIENT_CREDITS', 2, 12, NULL, 1),
  ('NOT_OPEN', 'all below', 2, 13, NULL, 1),
  ('IDEMPOTENCY_MISMATCH', 'all below', 2, 13, 'used-1-10', 1);
SELECT c.upper, c.lower, r.sqlstate AS raised, t.code AS tried,
       can.code AS foreseen,
       r.sqlstate = e.sqlstate AND t.code = c.upper
         AND (can.code = c.upper OR c.key IS NOT NULL) AS as_documented
FROM cases c
JOIN enroll_error_codes e ON e.code = c.upper
CROSS JOIN LATERAL raised(format('SELECT enroll(%s, %s, %L, %L::numeric)', c.user_id,
                                 c.tournament_id, c.key, c.max_price)) r(sqlstate)
CROSS JOIN LATERAL try_enroll(c.user_id, c.tournament_id, c.key, c.max_price) t
CROSS JOIN LATERAL can_enroll(c.user_id, c.tournament_id) can
WHERE c.max_price IS NULL
ORDER BY c.nr;
-- can_enroll knows no maximum, so it says nothing here.
SELECT c.upper, c.lower, r.sqlstate AS raised, t.code AS tried,
       r.sqlstate = e.sqlstate AND t.code = c.upper AS as_documented
FROM cases c
JOIN enroll_error_codes e ON e.code = c.upper
CROSS JOIN LATERAL raised(format('SELECT enroll(%s, %s, %L, %L::numeric)', c.user_id,
                                 c.tournament_id, c.key, c.max_price)) r(sqlstate)
CROSS JOIN LATERAL try_enroll(c.user_id, c.tournament_id, c.key, c.max_price) t
WHERE c.max_price IS NOT NULL
ORDER BY c.nr;

-- A free place asks for neither price nor credits; the rest of the order holds.
SELECT c.upper, c.lower, r.sqlstate AS raised, r.sqlstate = e.sqlstate AS as_documented
FROM cases c
JOIN enroll_error_codes e ON e.code = c.upper
CROSS JOIN LATERAL raised(format('SELECT enroll_waived(%s, %s, %L, %L)', c.user_id,
                                 c.tournament_id, 'a friend', c.key)) r(sqlstate)
WHERE c.upper <> 'PRICE_CHANGED'
ORDER BY c.nr;

-- unenroll: the key, the tournament, the user, the enrollment.
CREATE TABLE withdrawals (nr integer GENERATED ALWAYS AS IDENTITY,
  upper text, lower text, user_id bigint, tournament_id bigint, key text);
INSERT INTO withdrawals (upper, lower, user_id, tournament_id, key) VALUES
  ('IDEMPOTENCY_MISMATCH', 'TOURNAMENT_NOT_FOUND', 1, 99, 'used-1-10'),
  ('IDEMPOTENCY_MISMATCH', 'USER_NOT_FOUND', 99, 10, 'used-1-10'),
  ('IDEMPOTENCY_MISMATCH', 'NOT_ENROLLED', 1, 12, 'used-1-10'),
  ('TOURNAMENT_NOT_FOUND', 'USER_NOT_FOUND', 99, 99, NULL),
  ('TOURNAMENT_NOT_FOUND', 'NOT_ENROLLED', 1, 99, NULL),
  ('USER_NOT_FOUND', 'NOT_ENROLLED', 99, 10, NULL);
SELECT w.upper, w.lower, r.sqlstate AS raised, t.code AS tried, q.code AS foreseen,
       r.sqlstate = e.sqlstate AND t.code = w.upper
         AND (q.code = w.upper OR w.key IS NOT NULL) AS as_documented
FROM withdrawals w
JOIN enroll_error_codes e ON e.code = w.upper
CROSS JOIN LATERAL raised(format('SELECT unenroll(%s, %s, %L)', w.user_id, w.tournament_id,
                                 w.key)) r(sqlstate)
CROSS JOIN LATERAL try_unenroll(w.user_id, w.tournament_id, w.key) t
CROSS JOIN LATERAL quote_unenroll(w.user_id, w.tournament_id) q
ORDER BY w.nr;

-- Before all of these, one above the other: read-only, NULL, policy, key family, guards.
CREATE TEMP TABLE u(id uuid);
INSERT INTO u VALUES ('00000000-0000-0000-0000-000000000001');
\set VERBOSITY sqlstate
BEGIN READ ONLY;
SELECT enroll(NULL, 10);
ROLLBACK;
SELECT enroll(NULL, 10, policy => 'nowhere');
SELECT enroll(u.id, u.id, policy => 'nowhere') FROM u;
ALTER TABLE enrollments DISABLE TRIGGER enroll_door_insert;
SELECT enroll(u.id, u.id) FROM u;
SELECT enroll(99, 99);
SELECT enroll(1, 99, 'used-1-10');
SELECT try_enroll(99, 99);
SELECT can_enroll(99, 99);
BEGIN READ ONLY;
SELECT enroll(99, 99);
ROLLBACK;
\set VERBOSITY default
ALTER TABLE enrollments ENABLE TRIGGER enroll_door_insert;

-- None of all these calls left anything.
SELECT id, credit_balance FROM users ORDER BY id;
SELECT count(*) AS enrollments FROM enrollments;
SELECT count(*) AS ledger_rows FROM credit_transactions;
