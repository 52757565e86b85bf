-- The error contract: each code as the view states it, as an error and as a receipt.
\set SHOW_CONTEXT never
SET client_min_messages = error;
DROP EXTENSION IF EXISTS pg_enroll CASCADE;
DROP SCHEMA IF EXISTS shop, shop_quoted CASCADE;
CREATE SCHEMA shop;
SET search_path = shop;
CREATE EXTENSION pg_enroll;
SELECT enroll_create_tables();
RESET client_min_messages;

SELECT code, sqlstate, http_status, message, description FROM enroll_error_codes;

INSERT INTO users (id, credit_balance) VALUES (1, 100), (2, 5);
INSERT INTO tournaments (id, name, status, capacity, cost) VALUES
  (10, 'Cup', 'ENROLLMENT_OPEN', 5, 10), (11, 'Closed', 'ENROLLMENT_CLOSED', 5, 10),
  (12, 'No seats', 'ENROLLMENT_OPEN', 0, 10);
SELECT code FROM enroll(1, 10, 'used');

-- What a client's driver gets to see of an error.
CREATE FUNCTION diagnose(statement text, OUT state text, OUT message text, OUT detail text,
                         OUT hint text, OUT place text, OUT constraint_name text)
LANGUAGE plpgsql AS $$
DECLARE
  in_schema text;
  in_table text;
BEGIN
  EXECUTE statement;
EXCEPTION WHEN OTHERS THEN
  GET STACKED DIAGNOSTICS
    state = RETURNED_SQLSTATE, message = MESSAGE_TEXT, detail = PG_EXCEPTION_DETAIL,
    hint = PG_EXCEPTION_HINT, constraint_name = CONSTRAINT_NAME, in_schema = SCHEMA_NAME,
    in_table = TABLE_NAME;
  place := in_schema || '.' || in_table;
END $$;

CREATE TABLE rejections (nr integer GENERATED ALWAYS AS IDENTITY, code text, call text);
INSERT INTO rejections (code, call) VALUES
  ('IDEMPOTENCY_MISMATCH', 'enroll(2, 10, ''used'')'),
  ('TOURNAMENT_NOT_FOUND', 'enroll(1, 99)'),
  ('USER_NOT_FOUND', 'enroll(99, 10)'),
  ('NOT_OPEN', 'enroll(1, 11)'),
  ('ALREADY_ENROLLED', 'enroll(1, 10)'),
  ('FULL', 'enroll(1, 12)'),
  ('PRICE_CHANGED', 'enroll(2, 10, max_price => 9.5)'),
  ('INSUFFICIENT_CREDITS', 'enroll(2, 10)'),
  ('IDEMPOTENCY_MISMATCH', 'unenroll(1, 10, ''used'')'),
  ('TOURNAMENT_NOT_FOUND', 'unenroll(1, 99)'),
  ('USER_NOT_FOUND', 'unenroll(99, 10)'),
  ('NOT_ENROLLED', 'unenroll(2, 10)');
SELECT r.call, d.state, d.place, d.constraint_name, d.detail, d.hint
FROM rejections r CROSS JOIN LATERAL diagnose('SELECT ' || r.call) d
ORDER BY r.nr;

-- Error, receipt and view agree; the receipt's details are the error's DETAIL.
CREATE FUNCTION receipt(call text) RETURNS enroll_receipt LANGUAGE plpgsql AS $$
DECLARE
  answer enroll_receipt;
BEGIN
  EXECUTE 'SELECT * FROM ' || call INTO answer;
  RETURN answer;
END $$;
SELECT r.call, t.code, t.code = r.code AND NOT t.ok AND NOT t.replayed AS receipt,
       (t.sqlstate, t.http_status, t.message) = (e.sqlstate, e.http_status, e.message) AS as_view,
       (t.sqlstate, t.message, t.details) = (d.state, d.message, d.detail::jsonb) AS as_error
FROM rejections r
JOIN enroll_error_codes e USING (code)
CROSS JOIN LATERAL diagnose('SELECT ' || r.call) d
CROSS JOIN LATERAL receipt('try_' || r.call) t
ORDER BY r.nr;

-- The successes.
CREATE TABLE successes (nr integer GENERATED ALWAYS AS IDENTITY, code text, call text);
INSERT INTO successes (code, call) VALUES
  ('ELIGIBLE', 'can_enroll(1, 10)'), ('ENROLLED', 'enroll(1, 10)'),
  ('REFUNDABLE', 'quote_unenroll(1, 10)'), ('UNENROLLED', 'unenroll(1, 10)');
SELECT code FROM unenroll(1, 10);
DO $$
DECLARE
  success record;
  answer enroll_receipt;
BEGIN
  FOR success IN
    SELECT s.call, e.code, e.sqlstate, e.http_status, e.message
    FROM successes s JOIN enroll_error_codes e USING (code) ORDER BY s.nr
  LOOP
    answer := receipt(success.call);
    ASSERT answer.ok;
    ASSERT (answer.code, answer.sqlstate, answer.http_status, answer.message)
         = (success.code, success.sqlstate, success.http_status, success.message);
    RAISE NOTICE '% agrees', answer.code;
  END LOOP;
END $$;

-- GUARD_MISSING is raised by try_ too, and by those that only read.
ALTER TABLE enrollments DISABLE TRIGGER enroll_door_update;
SELECT r.call, d.state, d.state = e.sqlstate AND d.message = e.message AS as_view,
       d.place, d.constraint_name, d.detail, d.hint IS NOT NULL AS has_hint
FROM (VALUES (1, 'enroll(1, 10)'), (2, 'try_enroll(1, 10)'), (3, 'can_enroll(1, 10)'),
             (4, 'unenroll(1, 10)'), (5, 'try_unenroll(1, 10)'), (6, 'quote_unenroll(1, 10)'),
             (7, 'enroll_many(ARRAY[1], 10)'), (8, 'try_enroll_many(ARRAY[1], 10)'),
             (9, 'enroll_waived(1, 10, ''why'')')) r(nr, call)
CROSS JOIN LATERAL diagnose('SELECT ' || r.call) d
JOIN enroll_error_codes e ON e.code = 'GUARD_MISSING'
ORDER BY r.nr;
ALTER TABLE enrollments ENABLE TRIGGER enroll_door_update;

-- A policy's name that JSON must escape; numbers as large as they come.
CREATE SCHEMA shop_quoted;
SELECT enroll_create_tables('shop_quoted', 'a "b" \c');
SELECT details, details ->> 'policy' AS policy FROM try_enroll(1, 1, policy => 'a "b" \c');
SET client_min_messages = error;
SELECT enroll_detach('a "b" \c');
DROP SCHEMA shop_quoted CASCADE;
RESET client_min_messages;
ALTER TABLE tournaments ALTER capacity TYPE bigint;
UPDATE tournaments SET capacity = 9223372036854775807 WHERE id = 12;
SELECT code, seats_left FROM enroll(1, 12);
SELECT details FROM try_enroll(-9223372036854775808, 9223372036854775807);
