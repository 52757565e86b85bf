-- Input that is none: each has a defined answer, and none leaves anything behind.
\set SHOW_CONTEXT never
SET client_min_messages = error;
DROP EXTENSION IF EXISTS pg_enroll CASCADE;
DROP SCHEMA IF EXISTS shop CASCADE;
CREATE SCHEMA shop;
SET search_path = shop;
CREATE EXTENSION pg_enroll;
SELECT enroll_create_tables();
RESET client_min_messages;

INSERT INTO users (id, credit_balance) VALUES (1, 100), (2, 100), (3, 0);
INSERT INTO tournaments (id, name, capacity, cost) VALUES (10, 'Cup', 5, 10), (11, 'Free', NULL, 0);

-- What is answered: a receipt's code or an error's SQLSTATE.
CREATE FUNCTION answer(call text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
  receipt record;
BEGIN
  EXECUTE 'SELECT * FROM ' || call INTO receipt;
  RETURN COALESCE(receipt.code, 'no row');
EXCEPTION WHEN OTHERS THEN
  RETURN 'error ' || SQLSTATE || ': ' || SQLERRM;
END $$;

-- NULL is an error, not a NULL answer; the user is asked first.
SELECT c.call, answer(c.call)
FROM (VALUES
  (1, 'enroll(NULL, 10)'), (2, 'enroll(1, NULL)'), (3, 'enroll(NULL::bigint, NULL)'),
  (4, 'enroll(NULL::text, ''10'')'), (5, 'enroll(1, 10, policy => NULL)'),
  (6, 'try_enroll(NULL, 10)'), (7, 'try_enroll(1, NULL)'),
  (8, 'unenroll(NULL, 10)'), (9, 'unenroll(1, NULL)'), (10, 'unenroll(1, 10, NULL, NULL)'),
  (11, 'try_unenroll(NULL, 10)'), (12, 'try_unenroll(1, NULL)'),
  (13, 'can_enroll(NULL, 10)'), (14, 'can_enroll(1, NULL)'),
  (15, 'quote_unenroll(NULL, 10)'), (16, 'quote_unenroll(1, NULL)'),
  (17, 'enroll_waived(NULL, 10, ''why'')'), (18, 'enroll_waived(1, NULL, ''why'')'),
  (19, 'enroll_waived(1, 10, NULL)'), (20, 'enroll_many(NULL::bigint[], 10)'),
  (21, 'enroll_many(ARRAY[1], NULL)'), (22, 'try_enroll_many(NULL::bigint[], 10)'),
  (23, 'try_enroll_many(ARRAY[1], NULL)'), (24, 'enroll_many(ARRAY[1], 10, policy => NULL)')
) c(nr, call) ORDER BY c.nr;

-- A policy that nobody attached.
SELECT c.call, answer(c.call)
FROM (VALUES
  (1, 'enroll(1, 10, policy => ''nowhere'')'), (2, 'try_enroll(1, 10, policy => '''')'),
  (3, 'unenroll(1, 10, policy => ''Default'')'), (4, 'try_unenroll(1, 10, policy => ''x'')'),
  (5, 'can_enroll(1, 10, ''x'')'), (6, 'quote_unenroll(1, 10, ''x'')'),
  (7, 'enroll_waived(1, 10, ''why'', policy => ''x'')'),
  (8, 'enroll_many(ARRAY[1], 10, policy => ''x'')'),
  (9, 'try_enroll_many(ARRAY[1], 10, policy => ''x'')'), (10, 'enroll_reconcile(''x'')'),
  (11, 'enroll_guards(''x'')'), (12, 'enroll_detach(''x'')'), (13, 'enroll_detach(NULL)'),
  (14, 'enroll_reconcile(NULL)'), (15, 'enroll_guards(NULL)')
) c(nr, call) ORDER BY c.nr;

-- Ids that nobody has, and numbers that are no ids.
SELECT c.call, answer(c.call)
FROM (VALUES
  (1, 'enroll(-1, 10)'), (2, 'enroll(1, -10)'), (3, 'enroll(0, 10)'),
  (4, 'enroll(9223372036854775807, 10)'), (5, 'enroll(1, -9223372036854775808)'),
  (6, 'enroll(9223372036854775808, 10)'), (7, 'enroll(''9223372036854775808'', ''10'')'),
  (8, 'enroll(''x'', ''10'')'), (9, 'enroll('''', ''10'')'), (10, 'enroll(''1'', ''1;--'')'),
  (11, 'enroll(''00000000-0000-0000-0000-000000000001''::uuid, ''no uuid'')'),
  (12, 'unenroll(-1, 10)'), (13, 'unenroll(1, -10)'), (14, 'can_enroll(-1, 10)'),
  (15, 'quote_unenroll(1, -10)'), (16, 'try_enroll_many(ARRAY[-1], 10)'),
  (17, 'enroll_waived(-1, 10, ''why'')')
) c(nr, call) ORDER BY c.nr;

-- Keys of the wrong length, reasons that say nothing.
SELECT c.call, answer(c.call)
FROM (VALUES
  (1, 'enroll(1, 10, '''')'), (2, 'enroll(1, 10, repeat(''x'', 10000))'),
  (3, 'try_enroll(1, 10, repeat(''x'', 256))'), (4, 'unenroll(1, 10, repeat(''x'', 10000))'),
  (5, 'try_unenroll(1, 10, '''')'), (6, 'enroll_waived(1, 10, ''why'', '''')'),
  (7, 'enroll_many(ARRAY[1], 10, ARRAY[''''])'),
  (8, 'enroll_many(ARRAY[1], 10, ARRAY[repeat(''x'', 10000)])'),
  (9, 'try_enroll_many(ARRAY[1, 2], 10, ARRAY[''a'', repeat(''x'', 256)])'),
  (10, 'enroll_waived(1, 10, '''')'), (11, 'enroll_waived(1, 10, ''  '')')
) c(nr, call) ORDER BY c.nr;

-- Arrays: empty, with NULLs, of different lengths, with an id twice.
SELECT c.call, answer(c.call)
FROM (VALUES
  (1, 'enroll_many(ARRAY[]::bigint[], 10)'), (2, 'try_enroll_many(''{}''::bigint[], 10)'),
  (3, 'enroll_many(ARRAY[1, NULL], 10)'), (4, 'try_enroll_many(ARRAY[NULL]::bigint[], 10)'),
  (5, 'enroll_many(ARRAY[1, 2], 10, ARRAY[''a'', NULL])'),
  (6, 'try_enroll_many(ARRAY[1], 10, ARRAY[NULL]::text[])'),
  (7, 'enroll_many(ARRAY[1, 2], 10, ARRAY[''a''])'),
  (8, 'try_enroll_many(ARRAY[1], 10, ARRAY[''a'', ''b''])'),
  (9, 'enroll_many(ARRAY[1, 2], 10, ARRAY[]::text[])'),
  (10, 'enroll_many(ARRAY[]::bigint[], 10, ARRAY[''a''])'),
  (11, 'enroll_many(ARRAY[1, 1], 10)')
) c(nr, call) ORDER BY c.nr;
SELECT * FROM enroll_many(ARRAY[1, 2], 10, ARRAY['a']);

-- Nothing of all that was left behind.
SELECT id, credit_balance FROM users ORDER BY id;
SELECT count(*) AS enrollments FROM enrollments;
SELECT count(*) AS ledger_rows FROM credit_transactions;
SELECT tournament, taken FROM enroll_seat ORDER BY tournament;

-- A maximum below every price, and one above every price.
SELECT code FROM try_enroll(1, 10, max_price => -1);
SELECT code FROM try_enroll(1, 10, max_price => '-Infinity');
BEGIN;
SELECT code FROM try_enroll(1, 10, max_price => 'Infinity');
ROLLBACK;

-- A price must be one. What was paid is known all the same, so a withdrawal goes through.
SELECT code FROM enroll(2, 10);
ALTER TABLE tournaments ALTER cost DROP NOT NULL;
UPDATE tournaments SET cost = NULL WHERE id = 10;
SELECT * FROM enroll(1, 10);
SELECT c.call, answer(c.call)
FROM (VALUES
  (1, 'try_enroll(1, 10)'), (2, 'can_enroll(1, 10)'), (3, 'enroll_many(ARRAY[1], 10)'),
  (4, 'try_enroll_many(ARRAY[1], 10)'), (5, 'enroll_waived(1, 10, ''why'')')
) c(nr, call) ORDER BY c.nr;
SELECT code, amount FROM quote_unenroll(2, 10);
SELECT code, amount FROM unenroll(2, 10);
UPDATE tournaments SET cost = 10 WHERE id = 10;
SELECT code FROM enroll(2, 10);
UPDATE tournaments SET cost = -1 WHERE id = 10;
SELECT * FROM enroll(1, 10);
SELECT * FROM try_enroll(1, 10, max_price => 0);
SELECT code, amount FROM unenroll(2, 10);
ALTER TABLE tournaments ALTER cost TYPE numeric;
UPDATE tournaments SET cost = 'NaN' WHERE id = 10;
SELECT * FROM try_enroll(1, 10);
UPDATE tournaments SET cost = 'Infinity' WHERE id = 10;
SELECT * FROM try_enroll(1, 10);
UPDATE tournaments SET cost = 0.5 WHERE id = 10;
SELECT * FROM try_enroll(1, 10);
UPDATE tournaments SET cost = 2.00 WHERE id = 10;
SELECT code, amount, balance_after FROM try_enroll(1, 10);
SELECT code, amount, balance_after FROM unenroll(1, 10);
UPDATE tournaments SET cost = 0 WHERE id = 10;
SELECT code, amount FROM enroll(3, 10);

-- Capacity NULL is no limit, 0 no seat, and below 0 is 0.
UPDATE tournaments SET capacity = NULL WHERE id = 10;
SELECT code, seats_left FROM enroll(1, 10);
UPDATE tournaments SET capacity = 0 WHERE id = 10;
SELECT code, details FROM try_enroll(2, 10);
UPDATE tournaments SET capacity = -5 WHERE id = 10;
SELECT code, details FROM try_enroll(2, 10);
SELECT code, details FROM can_enroll(2, 10);
SELECT code, seats_left FROM unenroll(1, 10);
SELECT code, seats_left FROM unenroll(3, 10);
SELECT code, details FROM try_enroll(2, 10);
SELECT * FROM enroll(2, 10);
SELECT taken, allotted, capacity FROM enroll_seat WHERE tournament = '10';
INSERT INTO enrollments (user_id, tournament_id) VALUES (2, 10);
UPDATE tournaments SET capacity = 5 WHERE id = 10;

-- A balance at its type's maximum: it can be spent, and does not wrap around.
UPDATE tournaments SET cost = 9223372036854775807 WHERE id = 10;
UPDATE users SET credit_balance = 9223372036854775807 WHERE id = 1;
SELECT code, amount, balance_after FROM can_enroll(1, 10);
SELECT code, amount, balance_after FROM enroll(1, 10);
SELECT code, amount, balance_after FROM quote_unenroll(1, 10);
UPDATE users SET credit_balance = 9223372036854775807 WHERE id = 1;
SELECT * FROM unenroll(1, 10);
SELECT * FROM try_unenroll(1, 10);
SELECT credit_balance FROM users WHERE id = 1;
SELECT count(*) AS active FROM enrollments
WHERE user_id = 1 AND tournament_id = 10 AND is_active;
SELECT taken FROM enroll_seat WHERE tournament = '10';
UPDATE users SET credit_balance = 0 WHERE id = 1;
SELECT code, amount, balance_after FROM unenroll(1, 10);
-- A price beyond what any balance can hold.
UPDATE tournaments SET cost = 1e30 WHERE id = 10;
SELECT code, details FROM try_enroll(2, 10);
UPDATE tournaments SET cost = 10 WHERE id = 10;

-- A balance of NULL pays for nothing.
ALTER TABLE users ALTER credit_balance DROP NOT NULL;
UPDATE users SET credit_balance = NULL WHERE id = 3;
SELECT code FROM try_enroll(3, 10);

-- Names in odd letters reach no SQL text.
SELECT * FROM enroll(1, 10, policy => 'x''; DROP TABLE shop.users; --');
SELECT code FROM try_enroll(1, 11, $$'); DROP TABLE shop.users; --$$);
SELECT idempotency_key FROM credit_transactions WHERE idempotency_key IS NOT NULL;
