-- A strict ledger: no credit moves and no enrollment becomes active without its ledger row, whoever
-- writes it, and ledger rows stay as they are.
\set SHOW_CONTEXT never
SET client_min_messages = error;
DROP SCHEMA IF EXISTS shop, shop_other CASCADE;
DROP EXTENSION IF EXISTS pg_enroll CASCADE;
DROP ROLE IF EXISTS regress_enroll_owner, regress_enroll_member, regress_enroll_writer;
CREATE SCHEMA shop;
SET search_path = shop;
CREATE EXTENSION pg_enroll;
SELECT enroll_create_tables();
-- Users and balances from before: strictness binds from the attach on.
INSERT INTO users (id, credit_balance) SELECT i, 100 FROM generate_series(1, 9) i;
INSERT INTO tournaments (id, name, capacity, cost) VALUES (10, 'Cup', 5, 30), (11, 'Free', 5, 0);
CREATE FUNCTION attach(strict text) RETURNS void LANGUAGE sql AS $$
  SELECT enroll_attach(jsonb_set(document, '{ledger,strict}', strict::jsonb)) FROM enroll_policy;
$$;
CREATE VIEW state AS
  SELECT u.id AS user_id, u.credit_balance AS balance, b.booked, e.places
  FROM users u
  LEFT JOIN LATERAL (SELECT sum(amount) AS booked FROM credit_transactions c
                     WHERE c.user_id = u.id) b ON true
  LEFT JOIN LATERAL (SELECT count(*) AS places FROM enrollments e
                     WHERE e.user_id = u.id AND is_active) e ON true
  WHERE u.credit_balance <> 100 OR booked <> 0 OR places <> 0 ORDER BY u.id;
RESET client_min_messages;

-- What attaching does: eight triggers more, and what cascades will no longer do.
SELECT object, action, lock, obstacle, remedy
FROM enroll_policy p CROSS JOIN LATERAL
  enroll_precheck(jsonb_set(p.document, '{ledger,strict}', 'true')) WITH ORDINALITY
WHERE action = 'create' OR action = 'warn' OR action = 'refuse' OR action = 'drop'
ORDER BY ordinality;
SET client_min_messages = error;
SELECT attach('true');
RESET client_min_messages;
SELECT guarded, guards FROM enroll_policies;

-- Every call passes.
SELECT code, balance_after FROM enroll(1, 10);
SELECT code, balance_after FROM enroll(1, 11, 'key');
SELECT code, replayed FROM enroll(1, 11, 'key');
SELECT code, balance_after FROM unenroll(1, 10);
SELECT code FROM try_enroll(2, 10);
SELECT code FROM try_enroll(2, 10);
SELECT code FROM try_unenroll(2, 10);
SELECT code FROM enroll_waived(2, 10, 'guest');
SELECT user_id, code FROM enroll_many(ARRAY[3, 4], 10);
SELECT user_id, code FROM try_enroll_many(ARRAY[3, 5, 6, 7], 10);
SELECT code FROM enroll(7, 10);
-- Several in one transaction, in whatever order.
BEGIN;
SELECT code FROM unenroll(3, 10);
SELECT code FROM enroll(3, 10);
SELECT code FROM unenroll(3, 10);
SELECT code FROM enroll(7, 10);
SELECT code FROM unenroll(7, 10);
COMMIT;
SELECT * FROM state;

-- A balance that moves by itself is refused at COMMIT, not before.
UPDATE users SET credit_balance = credit_balance + 5 WHERE id = 8;
\set VERBOSITY verbose
BEGIN;
UPDATE users SET credit_balance = credit_balance + 5 WHERE id = 8;
SELECT credit_balance FROM users WHERE id = 8;
COMMIT;
\set VERBOSITY default
-- By whatever statement.
INSERT INTO users (id, credit_balance) VALUES (20, 7);
COPY users (id, credit_balance) FROM stdin;
21	0
22	1
\.
MERGE INTO users u USING (VALUES (8, 1)) v(id, more) ON u.id = v.id
  WHEN MATCHED THEN UPDATE SET credit_balance = u.credit_balance + v.more;
INSERT INTO users (id, credit_balance) VALUES (8, 100)
  ON CONFLICT (id) DO UPDATE SET credit_balance = users.credit_balance - 1;
UPDATE users SET id = 80 WHERE id = 8;
DELETE FROM users WHERE id = 8;
TRUNCATE users CASCADE;
WITH moved AS (UPDATE users SET credit_balance = 1 WHERE id = 8 RETURNING id)
  SELECT count(*) FROM moved;
-- Too little, too much, for another user, or a row that moves nothing.
BEGIN;
UPDATE users SET credit_balance = credit_balance + 5 WHERE id = 8;
INSERT INTO credit_transactions (user_id, type, amount, balance_after) VALUES (8, 'GIFT', 4, 105);
COMMIT;
BEGIN;
UPDATE users SET credit_balance = credit_balance + 5 WHERE id = 8;
INSERT INTO credit_transactions (user_id, type, amount, balance_after) VALUES (9, 'GIFT', 5, 105);
COMMIT;
INSERT INTO credit_transactions (user_id, type, amount, balance_after) VALUES (8, 'GIFT', 5, 105);
-- The last row says the balance.
BEGIN;
UPDATE users SET credit_balance = credit_balance + 5 WHERE id = 8;
INSERT INTO credit_transactions (user_id, type, amount, balance_after) VALUES (8, 'GIFT', 5, 999);
COMMIT;
-- Nor does it help to ask early, or to come back.
BEGIN;
SET CONSTRAINTS ALL IMMEDIATE;
UPDATE users SET credit_balance = credit_balance + 5 WHERE id = 8;
SET CONSTRAINTS ALL DEFERRED;
COMMIT;
BEGIN;
SAVEPOINT a;
UPDATE users SET credit_balance = credit_balance + 5 WHERE id = 8;
INSERT INTO credit_transactions (user_id, type, amount, balance_after) VALUES (8, 'GIFT', 5, 105);
RELEASE a;
SAVEPOINT b;
UPDATE users SET credit_balance = credit_balance + 1 WHERE id = 8;
SAVEPOINT c;
INSERT INTO credit_transactions (user_id, type, amount, balance_after) VALUES (8, 'GIFT', 1, 106);
ROLLBACK TO c;
COMMIT;
BEGIN;
UPDATE users SET credit_balance = credit_balance + 5 WHERE id = 8;
PREPARE TRANSACTION 'strict';
ROLLBACK PREPARED 'strict';
SELECT * FROM state WHERE user_id > 7;

-- With its row it passes: before, after, in parts, in sum; what was rolled back does not count.
BEGIN;
INSERT INTO credit_transactions (user_id, type, amount, balance_after) VALUES (8, 'GIFT', 5, 105);
UPDATE users SET credit_balance = credit_balance + 5 WHERE id = 8;
COMMIT;
BEGIN;
UPDATE users SET credit_balance = credit_balance + 5 WHERE id = 8;
UPDATE users SET credit_balance = credit_balance - 2 WHERE id = 8;
INSERT INTO credit_transactions (user_id, type, amount, balance_after)
  VALUES (8, 'GIFT', 1, 106), (8, 'GIFT', 2, 108);
COMMIT;
BEGIN;
SAVEPOINT a;
UPDATE users SET credit_balance = credit_balance + 5 WHERE id = 8;
ROLLBACK TO a;
SAVEPOINT b;
SAVEPOINT c;
INSERT INTO credit_transactions (user_id, type, amount, balance_after) VALUES (8, 'GIFT', 9, 99);
RELEASE c;
ROLLBACK TO b;
UPDATE users SET credit_balance = credit_balance + 1 WHERE id = 8;
INSERT INTO credit_transactions (user_id, type, amount, balance_after) VALUES (8, 'GIFT', 1, 109);
COMMIT;
DO $$
BEGIN
  BEGIN
    UPDATE users SET credit_balance = 0 WHERE id = 8;
    RAISE EXCEPTION 'undone';
  EXCEPTION WHEN raise_exception THEN NULL;
  END;
  PERFORM enroll(8, 11);
END $$;
BEGIN;
UPDATE users SET credit_balance = credit_balance + 1 WHERE id = 8;
UPDATE users SET credit_balance = credit_balance - 1 WHERE id = 8;
COMMIT;
BEGIN;
UPDATE users SET credit_balance = credit_balance + 5 WHERE id = 8;
INSERT INTO credit_transactions (user_id, type, amount, balance_after) VALUES (8, 'GIFT', 5, 114);
PREPARE TRANSACTION 'strict';
COMMIT PREPARED 'strict';
-- Users who have nothing come and go; so do those whose credits are booked.
INSERT INTO users (id, credit_balance) VALUES (20, 0), (21, DEFAULT);
UPDATE users SET id = 22, name = 'x' WHERE id = 21;
DELETE FROM users WHERE id = 22;
BEGIN;
INSERT INTO users (id, credit_balance) VALUES (23, 10);
INSERT INTO credit_transactions (user_id, type, amount, balance_after) VALUES (23, 'GIFT', 10, 10);
COMMIT;
UPDATE users SET name = 'y';
-- Rows of no user, and other columns than the policy's, are nobody's business.
INSERT INTO credit_transactions (type, amount, balance_after) VALUES ('FEE', 10, 0);
SELECT * FROM state WHERE user_id > 7;

-- An enrollment that becomes active wants its row, too.
INSERT INTO enrollments (user_id, tournament_id) VALUES (9, 11);
COPY enrollments (user_id, tournament_id) FROM stdin;
9	11
\.
UPDATE enrollments SET is_active = true WHERE user_id = 1 AND tournament_id = 10;
BEGIN;
INSERT INTO enrollments (id, user_id, tournament_id) VALUES (900, 9, 11);
INSERT INTO credit_transactions (user_id, enrollment_id, type, amount, balance_after)
  VALUES (9, 900, 'OTHER', 0, 100);
COMMIT;
BEGIN;
INSERT INTO enrollments (id, user_id, tournament_id) VALUES (900, 9, 11), (901, 9, 10);
INSERT INTO credit_transactions (user_id, enrollment_id, type, amount, balance_after)
  VALUES (9, 900, 'WAIVED', 0, 100);
COMMIT;
-- A place given back with its refund and taken again for nothing.
BEGIN;
SELECT code FROM unenroll(4, 10);
UPDATE enrollments SET is_active = true WHERE user_id = 4 AND tournament_id = 10;
COMMIT;
BEGIN;
INSERT INTO enrollments (id, user_id, tournament_id) VALUES (900, 9, 11);
INSERT INTO credit_transactions (user_id, enrollment_id, type, amount, balance_after)
  VALUES (9, 900, 'WAIVED', 0, 100);
COMMIT;
-- One that does not stay, or was there before, wants none.
BEGIN;
INSERT INTO enrollments (id, user_id, tournament_id) VALUES (902, 9, 10);
DELETE FROM enrollments WHERE id = 902;
INSERT INTO enrollments (id, user_id, tournament_id) VALUES (903, 9, 10);
UPDATE enrollments SET is_active = false WHERE id = 903;
COMMIT;
UPDATE enrollments SET enrolled_at = now() WHERE id = 900;
BEGIN;
UPDATE enrollments SET is_active = false WHERE id = 900;
UPDATE enrollments SET is_active = true WHERE id = 900;
COMMIT;
UPDATE enrollments SET is_active = false WHERE id = 900;
INSERT INTO credit_transactions (user_id, enrollment_id, type, amount, balance_after)
  VALUES (9, 900, 'REFUND', 0, 100);
SELECT * FROM state WHERE user_id = 9;

-- Ledger rows stay as they are; a cascade counts, where it would find any.
\set VERBOSITY verbose
UPDATE credit_transactions SET description = 'x' WHERE user_id = 8;
\set VERBOSITY default
DELETE FROM credit_transactions WHERE user_id = 8;
TRUNCATE credit_transactions;
DELETE FROM enrollments WHERE id = 900;
DELETE FROM tournaments WHERE id = 11;
INSERT INTO credit_transactions (user_id, type, amount, balance_after, idempotency_key)
  VALUES (1, 'ENROLLMENT', 0, 1, 'key')
  ON CONFLICT (idempotency_key) DO UPDATE SET amount = EXCLUDED.amount;
UPDATE credit_transactions SET amount = 0 WHERE false;
DELETE FROM credit_transactions WHERE false;
DELETE FROM enrollments WHERE id = 903;
DELETE FROM users WHERE id = 20;

-- Nothing a trigger of the users does escapes, whichever fires first.
CREATE FUNCTION round_up() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  UPDATE users SET credit_balance = credit_balance + 1
  WHERE id = NEW.id AND credit_balance % 10 <> 0;
  RETURN NULL;
END $$;
CREATE TRIGGER a_round_up AFTER UPDATE ON users FOR EACH ROW EXECUTE FUNCTION round_up();
BEGIN;
UPDATE users SET credit_balance = 108 WHERE id = 9;
INSERT INTO credit_transactions (user_id, type, amount, balance_after) VALUES (9, 'GIFT', 8, 108);
COMMIT;
BEGIN;
UPDATE users SET credit_balance = 108 WHERE id = 9;
INSERT INTO credit_transactions (user_id, type, amount, balance_after) VALUES (9, 'GIFT', 10, 108);
COMMIT;
BEGIN;
UPDATE users SET credit_balance = 108 WHERE id = 9;
INSERT INTO credit_transactions (user_id, type, amount, balance_after) VALUES (9, 'GIFT', 10, 110);
COMMIT;
DROP TRIGGER a_round_up ON users;
-- Nor what runs at COMMIT: a deferred trigger, a cursor that is held.
CREATE FUNCTION gift() RETURNS integer LANGUAGE sql AS
  'UPDATE users SET credit_balance = credit_balance + 1 WHERE id = 9 RETURNING id::integer';
CREATE FUNCTION gift_late() RETURNS trigger LANGUAGE plpgsql AS
  'BEGIN PERFORM gift(); RETURN NULL; END';
CREATE CONSTRAINT TRIGGER late AFTER UPDATE ON tournaments DEFERRABLE INITIALLY DEFERRED
  FOR EACH ROW EXECUTE FUNCTION gift_late();
UPDATE tournaments SET name = 'Late' WHERE id = 10;
DROP TRIGGER late ON tournaments;
BEGIN;
DECLARE held CURSOR WITH HOLD FOR SELECT gift();
COMMIT;
-- An error that a handler catches takes its notes along; so does a call's own.
CREATE PROCEDURE twice() LANGUAGE plpgsql AS $$
BEGIN
  BEGIN
    UPDATE users SET credit_balance = credit_balance + 1 WHERE id = 9;
    PERFORM 1 / 0;
  EXCEPTION WHEN division_by_zero THEN NULL;
  END;
  PERFORM try_enroll(9, 10, NULL, 1);
  COMMIT;
  UPDATE users SET credit_balance = credit_balance + 1 WHERE id = 9;
  COMMIT;
END $$;
CALL twice();

-- Sanctioned: by the tables' owner, with a reason, and on record.
SELECT enroll_sanction(NULL);
SELECT enroll_sanction(' ');
SELECT enroll_sanction('why', NULL);
SELECT enroll_sanction('why', 'nobody');
BEGIN READ ONLY;
SELECT enroll_sanction('why');
COMMIT;
BEGIN;
UPDATE users SET credit_balance = 50 WHERE id = 9;
SELECT enroll_sanction('opening balances');
INSERT INTO users (id, credit_balance) VALUES (24, 10);
UPDATE credit_transactions SET description = 'checked' WHERE user_id = 9;
DELETE FROM enrollments WHERE id = 900;
INSERT INTO enrollments (id, user_id, tournament_id) VALUES (904, 9, 11);
SELECT policy, xid = pg_current_xact_id() AS this_one, role = current_user AS role,
       login = session_user AS login, reason, sanctioned_at = now() AS now FROM enroll_sanction;
COMMIT;
-- For that transaction alone, and not where it was taken back.
UPDATE users SET credit_balance = 100 WHERE id = 9;
BEGIN;
SAVEPOINT a;
SELECT enroll_sanction('never');
UPDATE users SET credit_balance = 100 WHERE id = 9;
ROLLBACK TO a;
DELETE FROM credit_transactions WHERE user_id = 9;
ROLLBACK;
BEGIN;
SAVEPOINT a;
SELECT enroll_sanction('never');
ROLLBACK TO a;
UPDATE users SET credit_balance = 100 WHERE id = 9;
COMMIT;
BEGIN;
SAVEPOINT a;
SELECT enroll_sanction('a cleared ledger');
RELEASE a;
TRUNCATE credit_transactions;
COMMIT;
SELECT reason FROM enroll_sanction ORDER BY xid;
SELECT regexp_replace(line, '\d{4}-\d\d-\d\d by \S+:', 'a day by somebody:') AS reported
FROM enroll_report() AS line WHERE line LIKE 'Strict%';
SELECT id, severity, status FROM enroll_check() WHERE id = 'INV-08';
UPDATE enroll_sanction SET reason = 'x';
DELETE FROM enroll_sanction;
TRUNCATE enroll_sanction;

-- The tables' owner, by ownership or membership, and nobody else.
CREATE ROLE regress_enroll_owner;
CREATE ROLE regress_enroll_member IN ROLE regress_enroll_owner;
CREATE ROLE regress_enroll_writer;
GRANT USAGE ON SCHEMA shop TO PUBLIC;
SET client_min_messages = error;
ALTER SCHEMA shop OWNER TO regress_enroll_owner;
ALTER TABLE users OWNER TO regress_enroll_owner;
ALTER TABLE tournaments OWNER TO regress_enroll_owner;
ALTER TABLE enrollments OWNER TO regress_enroll_owner;
ALTER TABLE credit_transactions OWNER TO regress_enroll_owner;
RESET client_min_messages;
GRANT UPDATE, SELECT ON users TO regress_enroll_writer;
SET ROLE regress_enroll_writer;
SELECT enroll_sanction('why');
UPDATE users SET credit_balance = 0 WHERE id = 1;
RESET ROLE;
GRANT EXECUTE ON FUNCTION enroll_sanction TO PUBLIC;
SET ROLE regress_enroll_writer;
SELECT enroll_sanction('why');
RESET ROLE;
SET ROLE regress_enroll_member;
BEGIN;
SELECT enroll_sanction('a member');
UPDATE users SET credit_balance = 100 WHERE id = 9;
COMMIT;
SELECT * FROM enroll_sanction;
RESET ROLE;
SELECT role, login = session_user AS login, reason FROM enroll_sanction ORDER BY xid DESC LIMIT 1;
SET ROLE regress_enroll_owner;
UPDATE users SET credit_balance = 1 WHERE id = 9;
RESET ROLE;

-- A guard that is gone, disabled or weakened is told by the next call.
BEGIN;
ALTER TABLE users DISABLE TRIGGER enroll_balance_update;
SELECT enroll(5, 11);
ROLLBACK;
BEGIN;
DROP TRIGGER enroll_ledger_delete ON credit_transactions;
SELECT guarded, guards->'enroll_ledger_delete' AS state FROM enroll_policies;
SELECT enroll(5, 11);
ROLLBACK;

-- The column that orders the ledger's rows may change its type between two of them, and come to be
-- NULL.
BEGIN;
INSERT INTO credit_transactions (user_id, type, amount, balance_after) VALUES (8, 'GIFT', 0, 0);
ALTER TABLE credit_transactions ALTER id DROP IDENTITY;
ALTER TABLE credit_transactions ALTER id TYPE text;
INSERT INTO credit_transactions (id, user_id, type, amount, balance_after)
  VALUES ('last', 8, 'GIFT', 0, 0);
PREPARE TRANSACTION 'strict';
ROLLBACK PREPARED 'strict';
BEGIN;
ALTER TABLE credit_transactions ALTER id DROP IDENTITY;
ALTER TABLE credit_transactions DROP CONSTRAINT credit_transactions_pkey,
  ALTER id TYPE text, ALTER id DROP NOT NULL;
INSERT INTO credit_transactions (user_id, type, amount, balance_after)
  VALUES (8, 'GIFT', 0, 0), (8, 'GIFT', 0, 0);
PREPARE TRANSACTION 'strict';
ROLLBACK PREPARED 'strict';

-- Off and on again is the identity, and off takes exactly these triggers away.
CREATE VIEW triggers AS SELECT tgrelid::regclass AS on_table, tgname, tgtype, tgenabled
  FROM pg_trigger WHERE NOT tgisinternal
  AND tgrelid IN ('users'::regclass, 'credit_transactions'::regclass, 'enrollments'::regclass);
CREATE TABLE before AS SELECT * FROM triggers;
SET client_min_messages = error;
SELECT attach('true');
SELECT count(*) AS differences FROM (TABLE before EXCEPT TABLE triggers
  UNION ALL (TABLE triggers EXCEPT TABLE before)) d;
RESET client_min_messages;
SELECT object, action, lock FROM enroll_policy p CROSS JOIN LATERAL
  enroll_precheck(jsonb_set(p.document, '{ledger,strict}', 'false')) WITH ORDINALITY
WHERE action = 'drop' ORDER BY ordinality;
SELECT attach('false');
TABLE before EXCEPT TABLE triggers ORDER BY 1, 2;
SELECT enroll_sanction('why');
UPDATE users SET credit_balance = credit_balance + 5 WHERE id = 8;
UPDATE users SET credit_balance = credit_balance - 5 WHERE id = 8;
SET client_min_messages = error;
SELECT attach('true');
RESET client_min_messages;
SELECT count(*) AS differences FROM (TABLE before EXCEPT TABLE triggers
  UNION ALL (TABLE triggers EXCEPT TABLE before)) d;
CREATE TABLE document AS SELECT document FROM enroll_policy;
SELECT enroll_detach();
SELECT count(*) AS left_over FROM triggers;
SELECT count(*) > 0 AS recorded FROM enroll_sanction;
DELETE FROM credit_transactions;
SET client_min_messages = error;
SELECT enroll_attach(document) FROM document;
RESET client_min_messages;
SELECT count(*) AS differences FROM (TABLE before EXCEPT TABLE triggers
  UNION ALL (TABLE triggers EXCEPT TABLE before)) d;

-- Several policies: one balance is booked in one ledger.
CREATE TABLE other_enrollments (LIKE enrollments INCLUDING ALL);
CREATE TABLE other_ledger (LIKE credit_transactions INCLUDING ALL);
ALTER TABLE other_enrollments OWNER TO regress_enroll_owner;
ALTER TABLE other_ledger OWNER TO regress_enroll_owner;
ALTER TABLE users ADD points bigint NOT NULL DEFAULT 0;
CREATE FUNCTION other(change jsonb) RETURNS jsonb LANGUAGE sql AS $$
  SELECT jsonb_build_object('users', d.document->'users' || COALESCE(change->'users', '{}'),
    'tournaments', d.document->'tournaments',
    'enrollments', d.document->'enrollments' || '{"table": "other_enrollments"}',
    'ledger', d.document->'ledger' || '{"strict": false, "type": {"column": "type",
      "enroll": "X", "unenroll": "Y", "waive": "Z"}}' || COALESCE(change->'ledger', '{}'))
  FROM document d $$;
SELECT object, obstacle, remedy
FROM enroll_precheck(other('{"ledger": {"table": "other_ledger"}}'), 'other') WHERE action = 'refuse';
SELECT object FROM enroll_precheck(other('{"users": {"balance": "points"}}'), 'other')
WHERE action = 'refuse';
SELECT object FROM enroll_precheck(
  other('{"users": {"balance": "points"}, "ledger": {"table": "other_ledger"}}'), 'other')
WHERE action = 'refuse';
SELECT enroll_attach(other('{}'), 'other');
SELECT code, balance_after FROM enroll(5, 10, policy => 'other');
SELECT code FROM enroll(5, 11);
SELECT code, amount FROM unenroll(5, 10, policy => 'other');
-- Its own enrollments it does not watch; that is for the strict one.
INSERT INTO other_enrollments (user_id, tournament_id) VALUES (9, 10);
INSERT INTO enrollments (user_id, tournament_id) VALUES (9, 10);
-- The triggers stay as long as one policy needs them.
SET client_min_messages = error;
SELECT enroll_attach(other('{"ledger": {"strict": true}}'), 'other');
RESET client_min_messages;
SELECT enroll_detach();
SELECT count(*) AS strict_triggers FROM triggers
WHERE tgname LIKE 'enroll_balance%' OR tgname LIKE 'enroll_ledger%';
UPDATE users SET credit_balance = 0 WHERE id = 9;
SELECT enroll_detach('other');
SELECT count(*) AS strict_triggers FROM triggers
WHERE tgname LIKE 'enroll_balance%' OR tgname LIKE 'enroll_ledger%';
-- A trigger that was left over says so.
CREATE TRIGGER left_over AFTER UPDATE ON users REFERENCING OLD TABLE AS o NEW TABLE AS n
  FOR EACH STATEMENT EXECUTE FUNCTION enroll_balance();
UPDATE users SET credit_balance = 0 WHERE id = 9;
DROP TRIGGER left_over ON users;
CREATE TRIGGER wrong AFTER INSERT ON users FOR EACH ROW EXECUTE FUNCTION enroll_ledger();
INSERT INTO users (id) VALUES (30);
SELECT enroll_balance();

DROP SCHEMA shop CASCADE;
DROP ROLE regress_enroll_owner, regress_enroll_member, regress_enroll_writer;
