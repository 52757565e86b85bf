-- Numeric money: NaN and infinity as a balance, a price, a refund and an amount, and scales that
-- differ between balance, price and ledger.
\set SHOW_CONTEXT never
SET client_min_messages = error;
DROP EXTENSION IF EXISTS pg_enroll CASCADE;
DROP SCHEMA IF EXISTS shop CASCADE;
CREATE SCHEMA shop;
SET search_path = shop;
CREATE EXTENSION pg_enroll;
RESET client_min_messages;

CREATE TABLE users (id integer PRIMARY KEY, credits numeric(12, 2));
CREATE TABLE tournaments (id integer PRIMARY KEY, price numeric, refund numeric);
CREATE TABLE enrollments (id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  user_id integer NOT NULL, tournament_id integer NOT NULL, active boolean NOT NULL);
CREATE INDEX ON enrollments (tournament_id);
CREATE TABLE moves (id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY, enrollment_id integer,
  kind text, amount numeric(12, 2), balance numeric(14, 4), key text UNIQUE, price text);
CREATE INDEX ON moves (enrollment_id);
INSERT INTO tournaments VALUES (10, 19.99, NULL), (11, 0, NULL);
INSERT INTO users VALUES (1, 100), (2, 20), (3, 19.98), (4, NULL);
CREATE TABLE documents (document jsonb);
INSERT INTO documents VALUES ('{
  "users": {"table": "users", "key": "id", "balance": "credits"},
  "tournaments": {"table": "tournaments", "key": "id", "cost": "t.price"},
  "enrollments": {"table": "enrollments", "key": "id", "user": "user_id",
    "tournament": "tournament_id", "active": "active", "insert": {"active": "TRUE"},
    "withdraw": {"active": "FALSE"}},
  "ledger": {"table": "moves", "amount": "amount", "balance_after": "balance",
    "enrollment": "enrollment_id", "idempotency_key": "key", "order": "id",
    "type": {"column": "kind", "enroll": "in", "unenroll": "out", "waive": "free"},
    "insert": {"price": "format(''%s %s'', pg_typeof(cost), cost)"}},
  "refund": "CASE WHEN t.refund IS NULL THEN paid / 2 ELSE t.refund END"}');
SELECT enroll_attach(document) FROM documents;
SELECT pg_get_constraintdef(oid) FROM pg_constraint
WHERE conname = 'chk_credit_balance_non_negative';
-- What a call does, undone again.
CREATE FUNCTION answer(call text, change text DEFAULT 'SELECT', OUT code text, OUT amount numeric,
                       OUT balance_after numeric, OUT error text)
LANGUAGE plpgsql AS $$
BEGIN
  EXECUTE change;
  EXECUTE 'SELECT code, amount, balance_after FROM ' || call INTO code, amount, balance_after;
  RAISE EXCEPTION USING ERRCODE = 'UNDO1';
EXCEPTION
  WHEN SQLSTATE 'UNDO1' THEN NULL;
  WHEN OTHERS THEN error := SQLSTATE || ' ' || SQLERRM;
END $$;

-- Cents, down to the last one.
SELECT code, amount, balance_after FROM enroll(1, 10);
SELECT code, amount, balance_after FROM quote_unenroll(1, 10);
SELECT code, amount, balance_after FROM unenroll(1, 10);
SELECT code, amount, balance_after FROM enroll(2, 10);
SELECT code FROM try_enroll(3, 10);
SELECT code FROM try_enroll(3, 10, max_price => 19.98);
SELECT code FROM can_enroll(3, 10);
SELECT code, balance_after FROM enroll(3, 11);
-- A balance that is not there can pay for what is free, and nothing else.
SELECT code, amount, balance_after FROM try_enroll(4, 10);
SELECT code, amount, balance_after FROM can_enroll(4, 11);
SELECT kind, amount, balance, price FROM moves ORDER BY id;
SELECT * FROM users ORDER BY id;

-- Balances without bounds: the check keeps them out, and so does every call where it does not.
UPDATE users SET credits = 'NaN' WHERE id = 1;
ALTER TABLE users ALTER COLUMN credits TYPE numeric;
UPDATE users SET credits = 'Infinity' WHERE id = 1;
UPDATE users SET credits = '-Infinity' WHERE id = 1;
ALTER TABLE users DROP CONSTRAINT chk_credit_balance_non_negative,
  ADD CONSTRAINT weak CHECK (credits >= 0);
SELECT object, action, obstacle, remedy FROM documents, LATERAL enroll_precheck(document)
WHERE object ~ 'weak';
ALTER TABLE users ADD CHECK (credits < 'Infinity');
SELECT object, action, obstacle FROM documents, LATERAL enroll_precheck(document)
WHERE object ~ '^constraint';
ALTER TABLE users DROP CONSTRAINT users_credits_check;
SELECT balance, call, a.* FROM unnest(ARRAY['NaN', 'Infinity']) balance,
  unnest(ARRAY['enroll(1, 10)', 'try_enroll(1, 11)', 'can_enroll(1, 10)',
    'enroll_waived(1, 10, ''x'')',
    'unenroll(1, 11)', 'quote_unenroll(1, 11)', 'try_enroll_many(ARRAY[1], 10)']) call,
  LATERAL answer(call, format('UPDATE users SET credits = %L WHERE id = 1;
    INSERT INTO enrollments (user_id, tournament_id, active)
    SELECT 1, 11, true WHERE %L ~ ''unenroll''', balance, call)) a;

-- Prices: NaN, infinite, negative, NULL, and finer than a balance.
ALTER TABLE users DROP CONSTRAINT weak;
ALTER TABLE users ALTER COLUMN credits TYPE numeric(12, 2);
SELECT enroll_attach(document) FROM documents;
SELECT price, call, a.*
FROM unnest(ARRAY['NaN', 'Infinity', '-Infinity', '-0.01', '19.999', '1e-20',
    '19.9900', '1e12', NULL]) price, unnest(ARRAY['enroll(1, 10)', 'can_enroll(1, 10)']) call,
  LATERAL answer(call, format('UPDATE tournaments SET price = %L WHERE id = 10', price)) a;
SELECT call, a.* FROM unnest(ARRAY['try_enroll(1, 10)', 'try_enroll_many(ARRAY[1], 10)',
    'enroll_waived(1, 10, ''x'')', 'quote_unenroll(2, 10)', 'unenroll(2, 10)']) call,
  LATERAL answer(call, 'UPDATE tournaments SET price = ''NaN'' WHERE id = 10') a;
SELECT * FROM answer('can_enroll(1, 10)', 'UPDATE tournaments SET price = 9999999999.99');
-- The highest price that a caller accepts.
SELECT code FROM try_enroll(1, 10, max_price => 19.98999);
SELECT code FROM try_enroll(1, 10, max_price => 'NaN');
SELECT code FROM try_enroll(1, 10, max_price => '-Infinity');
SELECT code FROM try_enroll(1, 10, max_price => -1);
SELECT code FROM try_enroll_many(ARRAY[1], 10, max_price => 'NaN');
SELECT code, amount FROM try_enroll(1, 10, max_price => 'Infinity');

-- Refunds: clamped to what was paid, truncated toward zero, NULL is none.
SELECT refund, a.* FROM unnest(ARRAY['NaN', 'Infinity', '-Infinity', '-0.001', '-0.01', '0.009',
    '9.999', '19.99', '19.991', '20', NULL]) refund,
  LATERAL answer('unenroll(1, 10)',
    format('UPDATE tournaments SET refund = %L WHERE id = 10', refund)) a;
SELECT a.* FROM answer('quote_unenroll(1, 10)', 'UPDATE tournaments SET refund = ''NaN''') a;
SELECT a.* FROM answer('unenroll(1, 10)', 'UPDATE tournaments SET refund = 1e300') a;
-- Amounts in the ledger that nobody can have paid.
ALTER TABLE moves ALTER COLUMN amount TYPE numeric;
SELECT written, a.* FROM unnest(ARRAY['NaN', 'Infinity', '-Infinity', '5', '-5.019', '-1e20',
    NULL]) written,
  LATERAL answer('unenroll(1, 10)', format('UPDATE moves SET amount = %L
    WHERE id = (SELECT max(id) FROM moves)', written)) a;
-- The tournament's price of today plays no part in a withdrawal, whatever it is.
SELECT price, a.*
FROM unnest(ARRAY['NaN', 'Infinity', '-1', '19.999', '1e12', NULL]) price,
  LATERAL answer('unenroll(1, 10)',
    format('UPDATE tournaments SET price = %L WHERE id = 10', price)) a;
-- A balance that is not there cannot be refunded, unless there is nothing to refund.
SELECT refund, call, a.code, a.amount, a.balance_after, left(a.error, 5) AS sqlstate
FROM unnest(ARRAY['0', '1']) refund, unnest(ARRAY['unenroll(1, 10)', 'quote_unenroll(1, 10)']) call,
  LATERAL answer(call, format('UPDATE users SET credits = NULL WHERE id = 1;
    UPDATE tournaments SET refund = %L WHERE id = 10', refund)) a;
SELECT id, credits FROM users ORDER BY id;
-- Beyond the column's range is an error like any other, and leaves nothing.
UPDATE users SET credits = 9999999999.99 WHERE id = 1;
SELECT unenroll(1, 10);
\echo :LAST_ERROR_SQLSTATE
SELECT count(*) AS active FROM enrollments WHERE active AND user_id = 1;

-- A ledger must hold every amount of a balance; attach refuses one that rounds.
CREATE FUNCTION refused(change text, OUT object text, OUT obstacle text, OUT remedy text)
RETURNS SETOF record LANGUAGE plpgsql AS $$
BEGIN
  EXECUTE change;
  RETURN QUERY SELECT c.object, c.obstacle, c.remedy FROM documents d,
    LATERAL enroll_precheck(d.document) c WHERE c.action = 'refuse';
  RAISE EXCEPTION USING ERRCODE = 'UNDO1';
EXCEPTION WHEN SQLSTATE 'UNDO1' THEN NULL;
END $$;
SELECT enroll_detach();
UPDATE users SET credits = 100 WHERE id = 1;
DELETE FROM moves;
SELECT types, r.* FROM (VALUES
  (1, 'numeric(12, 2)', 'numeric(12, 2)', 'numeric(12, 2)'),
  (2, 'numeric(12, 2)', 'numeric(12, 1)', 'numeric(12, 3)'),
  (3, 'numeric(12, 2)', 'integer', 'bigint'), (4, 'numeric', 'numeric(12, 2)', 'numeric'),
  (5, 'numeric(12, 0)', 'numeric(12, 2)', 'bigint'), (6, 'integer', 'numeric(12, 2)', 'integer'),
  (7, 'bigint', 'numeric(20, -2)', 'bigint'), (8, 'double precision', 'numeric', 'numeric'),
  (9, 'numeric', 'double precision', 'real'), (10, 'money', 'money', 'money'),
  (11, 'numeric(12, 2)', 'numeric(12, 2)', 'text')) AS v(nr, credits, amount, balance),
  LATERAL concat_ws(', ', v.credits, v.amount, v.balance) types,
  LATERAL refused(format('ALTER TABLE users ALTER credits TYPE %s USING credits::numeric::%1$s;
    ALTER TABLE moves ALTER amount TYPE %s USING NULL, ALTER balance TYPE %s USING NULL',
    v.credits, v.amount, v.balance)) r ORDER BY nr;

-- A domain over numeric, with a check of its own.
CREATE DOMAIN coins AS numeric(10, 1) CHECK (VALUE < 1000);
UPDATE users SET credits = 0 WHERE credits IS NULL;
DELETE FROM enrollments;
ALTER TABLE users ALTER credits TYPE coins;
ALTER TABLE moves ALTER amount TYPE coins, ALTER balance TYPE coins;
UPDATE tournaments SET price = 99.5, refund = NULL WHERE id = 10;
SELECT enroll_attach(document) FROM documents;
SELECT code, amount, balance_after FROM enroll(1, 10);
SELECT code, amount, balance_after FROM unenroll(1, 10);
SELECT kind, amount, balance, price FROM moves ORDER BY id;
SELECT enroll(1, 10, max_price => 99.49);
UPDATE tournaments SET price = 99.55 WHERE id = 10;
SELECT enroll(1, 10);
UPDATE tournaments SET price = 1000 WHERE id = 10;
SELECT code FROM try_enroll(1, 10);
UPDATE users SET credits = 999.9 WHERE id = 1;
UPDATE tournaments SET price = 0.1 WHERE id = 10;
SELECT code, balance_after FROM enroll(1, 10);
UPDATE users SET credits = 999.9 WHERE id = 1;
UPDATE tournaments SET refund = 0.1 WHERE id = 10;
SELECT unenroll(1, 10);
\echo :LAST_ERROR_SQLSTATE
SELECT code, amount FROM quote_unenroll(1, 10);

SET client_min_messages = error;
SELECT enroll_detach();
DROP SCHEMA shop CASCADE;
