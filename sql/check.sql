-- The checks of a policy: each invariant is broken on purpose, with the guards off, and it alone
-- fails; a clean database passes.
\set SHOW_CONTEXT never
SET client_min_messages = error;
DROP EXTENSION IF EXISTS pg_enroll CASCADE;
DROP SCHEMA IF EXISTS shop, shop_plain, shop_parts CASCADE;
CREATE SCHEMA shop;
SET search_path = shop;
CREATE EXTENSION pg_enroll;
SELECT enroll_create_tables();
RESET client_min_messages;

INSERT INTO users (id, credit_balance) SELECT i, 100 FROM generate_series(1, 9) i;
INSERT INTO tournaments (id, name, capacity, cost) VALUES
  (10, 'Cup', 3, 10), (11, 'Open', NULL, 0), (12, 'Final', 5, 40);
SELECT user_id, code FROM enroll_many(ARRAY[1, 2, 3], 10);
SELECT code FROM unenroll(3, 10);
SELECT code FROM enroll(3, 10);
SELECT code FROM enroll(1, 12);
SELECT code FROM unenroll(1, 12);
SELECT code FROM enroll_waived(4, 11, 'A guest');

-- All is well.
SELECT id, title, severity, status, violations, sample, detail, remedy FROM enroll_check();
SELECT enroll_assert();
SELECT enroll_assert(strict => true);
SELECT enroll_report();

CREATE FUNCTION broken(OUT id text, OUT severity text, OUT violations bigint, OUT sample jsonb)
RETURNS SETOF record LANGUAGE sql AS $$
  SELECT id, severity, violations, sample FROM enroll_check() WHERE status = 'failed'
$$;
-- What a row that enroll() wrote has beside it.
CREATE FUNCTION pay(enrollment bigint, amount bigint DEFAULT 0) RETURNS void LANGUAGE sql AS $$
  INSERT INTO credit_transactions (user_id, tournament_id, enrollment_id, type, amount,
                                   balance_after)
  SELECT u.id, e.tournament_id, e.id, 'ENROLLMENT', -amount, u.credit_balance - amount
  FROM enrollments e JOIN users u ON u.id = e.user_id WHERE e.id = enrollment;
  UPDATE users u SET credit_balance = credit_balance - amount
  FROM enrollments e WHERE e.id = enrollment AND u.id = e.user_id
$$;

-- INV-01: twice in one tournament, which the index that is gone would have refused.
BEGIN;
DROP INDEX uq_active_enrollment;
INSERT INTO enrollments (id, user_id, tournament_id)
VALUES (101, 6, 11), (102, 5, 11), (103, 5, 11);
SELECT count(pay(id)) FROM enrollments WHERE id > 100;
SELECT * FROM broken();
ROLLBACK;

-- INV-02: a balance that the check would have refused.
BEGIN;
ALTER TABLE users DROP CONSTRAINT chk_credit_balance_non_negative;
INSERT INTO users (id, credit_balance) VALUES (20, -1), (21, 0), (22, -7);
SELECT * FROM broken();
ALTER TABLE users ADD CONSTRAINT chk_credit_balance_non_negative CHECK (credit_balance >= 0)
  NOT VALID;
SELECT * FROM broken();
ROLLBACK;

-- INV-03: one column of two was set.
BEGIN;
UPDATE enrollments SET status = 'WITHDRAWN' WHERE user_id = 2;
SELECT * FROM broken();
ROLLBACK;

-- INV-04: a place without a ledger row; whose time is not known counts, whose is old does not.
BEGIN;
ALTER TABLE enrollments ALTER enrolled_at DROP NOT NULL;
INSERT INTO enrollments (id, user_id, tournament_id, enrolled_at)
VALUES (101, 5, 11, now()), (102, 6, 11, now() - interval '8 days'), (103, 7, 11, NULL);
SELECT * FROM broken();
SELECT violations FROM enroll_check('30 days') WHERE id = 'INV-04';
UPDATE enroll_policy SET attached_at = now() - interval '20 days';
ALTER TABLE users SET (fillfactor = 90);  -- makes the session read the policy anew
SELECT violations FROM enroll_check('30 days') WHERE id = 'INV-04';
SELECT violations FROM enroll_check('7 days') WHERE id = 'INV-04';
ROLLBACK;

-- INV-05: every way in which a guard may be off. The check goes on with the others.
CREATE FUNCTION guards_off(VARIADIC statements text[]) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
  statement text;
  found jsonb;
BEGIN
  FOREACH statement IN ARRAY statements LOOP EXECUTE statement; END LOOP;
  SELECT jsonb_agg(jsonb_build_array(b.id, b.violations, b.sample)) INTO found FROM broken() b;
  RAISE EXCEPTION USING MESSAGE = found::text;
EXCEPTION WHEN raise_exception THEN
  RETURN SQLERRM::jsonb;
END $$;
SELECT guards_off('DROP INDEX uq_active_enrollment');
SELECT guards_off('ALTER TABLE users DROP CONSTRAINT chk_credit_balance_non_negative');
SELECT guards_off('ALTER TABLE users DROP CONSTRAINT chk_credit_balance_non_negative',
  'ALTER TABLE users ADD CONSTRAINT other CHECK (credit_balance >= 0) NOT VALID');
SELECT guards_off('DROP TRIGGER enroll_door_insert ON enrollments');
SELECT guards_off('ALTER TABLE enrollments DISABLE TRIGGER enroll_door_delete');
SELECT guards_off('ALTER TABLE enrollments ENABLE REPLICA TRIGGER enroll_door_delete');
SELECT guards_off('ALTER TABLE tournaments DISABLE TRIGGER ALL');
SELECT guards_off('ALTER TABLE credit_transactions DROP CONSTRAINT '
  'credit_transactions_idempotency_key_key');
UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'uq_active_enrollment'::regclass;
SELECT * FROM broken();
UPDATE pg_index SET indisvalid = true WHERE indexrelid = 'uq_active_enrollment'::regclass;

-- Its remedy puts back what is gone.
ALTER TABLE enrollments DISABLE TRIGGER enroll_door_delete;
ALTER TABLE tournaments ENABLE REPLICA TRIGGER enroll_gate_update;
ALTER TABLE users DROP CONSTRAINT chk_credit_balance_non_negative;
DROP INDEX uq_active_enrollment;
SET client_min_messages = error;
SELECT remedy FROM enroll_check() WHERE id = 'INV-05' \gset
\echo :remedy
:remedy;
SELECT * FROM broken();
UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'uq_active_enrollment'::regclass;
DROP TRIGGER enroll_door_update ON enrollments;
CREATE TRIGGER enroll_door_update AFTER UPDATE ON enrollments
  FOR EACH STATEMENT EXECUTE FUNCTION enroll_door();
SELECT remedy FROM enroll_check() WHERE id = 'INV-05' \gset
\echo :remedy
:remedy;
RESET client_min_messages;
SELECT * FROM broken();

-- INV-06: the capacity was lowered, which is allowed, and sells nothing more.
BEGIN;
UPDATE tournaments SET capacity = 1 WHERE id = 10;
SELECT * FROM broken();
ROLLBACK;

-- INV-07: rows that passed no door, a counter that is gone and one that is torn. A deleted
-- tournament keeps its counter.
BEGIN;
ALTER TABLE enrollments DISABLE TRIGGER USER;
INSERT INTO enrollments (id, user_id, tournament_id) VALUES (101, 5, 11);
SELECT pay(101);
ALTER TABLE enrollments ENABLE TRIGGER USER;
SELECT * FROM broken();
ROLLBACK;
BEGIN;
DELETE FROM enroll_seat WHERE tournament = '12';
SELECT * FROM broken();
ROLLBACK;
BEGIN;
INSERT INTO enroll_seat SELECT policy, tournament, 1, 0, 0, capacity, epoch FROM enroll_seat
WHERE tournament = '10';
SELECT * FROM broken();
UPDATE enroll_seat SET taken = taken - stripe * 2 + 1 WHERE tournament = '10';
SELECT * FROM broken();
UPDATE enroll_seat SET epoch = epoch + stripe WHERE tournament = '10';
SELECT * FROM broken();
SELECT remedy FROM enroll_check() WHERE id = 'INV-07' \gset
:remedy;
SELECT * FROM broken();
ROLLBACK;
BEGIN;
INSERT INTO tournaments (id, name) VALUES (77, 'Gone');
DELETE FROM tournaments WHERE id = 77;
SELECT tournament, taken FROM enroll_seat WHERE tournament = '77';
SELECT * FROM broken();
ROLLBACK;

-- INV-08: a balance without its ledger row, and a ledger row that does not follow.
BEGIN;
UPDATE users SET credit_balance = credit_balance + 5 WHERE id IN (2, 9);
SELECT * FROM broken();
INSERT INTO credit_transactions (user_id, type, amount, balance_after) VALUES (2, 'GIFT', 5, 95);
SELECT * FROM broken();
UPDATE credit_transactions SET amount = 6 WHERE type = 'GIFT';
SELECT * FROM broken();
ROLLBACK;
-- A row that names the enrollment alone is its user's.
BEGIN;
UPDATE credit_transactions SET user_id = NULL WHERE enrollment_id IS NOT NULL;
SELECT * FROM broken();
UPDATE users SET credit_balance = 1 WHERE id = 2;
SELECT * FROM broken();
ROLLBACK;

-- INV-09: refunded twice, more than was paid, without a charge; and what is allowed.
BEGIN;
CREATE FUNCTION refund(enrollment bigint, amount bigint) RETURNS void LANGUAGE sql AS $$
  UPDATE users u SET credit_balance = credit_balance + amount
  FROM enrollments e WHERE e.id = enrollment AND u.id = e.user_id;
  INSERT INTO credit_transactions (user_id, enrollment_id, type, amount, balance_after)
  SELECT u.id, e.id, 'REFUND', amount, u.credit_balance
  FROM enrollments e JOIN users u ON u.id = e.user_id WHERE e.id = enrollment
$$;
SELECT e.id AS cup, (SELECT max(id) FROM credit_transactions) AS last
FROM enrollments e WHERE user_id = 1 AND tournament_id = 10 \gset
UPDATE enrollments SET is_active = false, status = 'WITHDRAWN' WHERE id = :cup;
SELECT refund(:cup, 10);
SELECT refund(:cup, 0);
SELECT pay(:cup, 8);
SELECT refund(:cup, 8);
SELECT * FROM broken();
SELECT refund(:cup, 3);
SELECT pay(:cup, 8);
SELECT refund(:cup, 9);
INSERT INTO enrollments (id, user_id, tournament_id, is_active, status)
VALUES (101, 7, 11, false, 'WITHDRAWN');
SELECT refund(101, 1);
SELECT id, severity, violations,
       (SELECT jsonb_agg(s - 'enrollment' || jsonb_build_object('ledger',
          (s ->> 'ledger')::bigint - :last)) FROM jsonb_array_elements(sample) s) AS sample
FROM broken();
ROLLBACK;

-- INV-10: what rows name is gone.
BEGIN;
ALTER TABLE enrollments DISABLE TRIGGER ALL;
ALTER TABLE credit_transactions DISABLE TRIGGER ALL;
ALTER TABLE enrollments ALTER user_id DROP NOT NULL;
INSERT INTO enrollments (id, user_id, tournament_id, is_active) VALUES
  (101, 98, 10, false), (102, 1, 99, false), (103, NULL, 11, false);
INSERT INTO credit_transactions (id, user_id, enrollment_id, type, amount, balance_after) VALUES
  (9001, 97, NULL, 'GIFT', 1, 1), (9002, NULL, 404, 'GIFT', 1, 1),
  (9003, NULL, NULL, 'GIFT', 1, 1);
ALTER TABLE enrollments ENABLE TRIGGER ALL;
ALTER TABLE credit_transactions ENABLE TRIGGER ALL;
SELECT * FROM broken();
SELECT remedy FROM enroll_check() WHERE id = 'INV-10' \gset
:remedy;
SELECT * FROM broken();
ROLLBACK;

-- A sample holds the first twenty.
BEGIN;
INSERT INTO tournaments (id, name) SELECT i, 'Many' FROM generate_series(501, 530) i;
INSERT INTO enrollments (id, user_id, tournament_id) SELECT i, 5, i FROM generate_series(501, 530) i;
SELECT id, violations, jsonb_array_length(sample) AS shown, sample -> 0 AS first,
       sample -> 19 AS last
FROM broken();
ROLLBACK;

-- A helper that enrolled 64 without a credit: a warning, no failure. Once accepted they are silent,
-- and listed; a new one is not.
BEGIN;
INSERT INTO users (id, credit_balance) SELECT i, 50 FROM generate_series(1001, 1064) i;
INSERT INTO enrollments (user_id, tournament_id) SELECT i, 11 FROM generate_series(1001, 1064) i;
SELECT id, severity, violations, jsonb_array_length(sample) AS shown FROM broken();
SELECT enroll_assert();
SAVEPOINT strict;
SELECT enroll_assert(strict => true);
ROLLBACK TO strict;
SELECT line FROM enroll_report() WITH ORDINALITY AS r(line, n) ORDER BY n DESC LIMIT 1;
SELECT enroll_accept_baseline('The helper of 2024 sold nothing');
SELECT * FROM broken();
SELECT enroll_assert(strict => true);
INSERT INTO enrollments (id, user_id, tournament_id) VALUES (3001, 8, 11);
SELECT * FROM broken();
SELECT enroll_accept_baseline('One more');
SELECT enroll_accept_baseline('None left');
SELECT regexp_replace(line, 'on \S+ by \S+:', 'on DATE by ROLE:') AS line
FROM enroll_report() line WHERE line LIKE 'Accepted%';
SELECT reason, count(*), bool_and(accepted_by = session_user) AS by, bool_and(policy = 'default')
FROM enroll_baseline GROUP BY reason ORDER BY reason;
-- Attaching again leaves them, and the time of attaching; detaching forgets them.
SELECT attached_at - interval '1 day' AS earlier FROM enroll_policies \gset
UPDATE enroll_policy SET attached_at = :'earlier';
SELECT enroll_add_check('kept', 'info', 'SELECT WHERE false', 'Nothing is found');
SELECT enroll_attach(document) FROM enroll_policies;
SELECT attached_at = :'earlier' AS kept FROM enroll_policies;
SELECT count(*) FROM enroll_baseline;
SELECT name FROM enroll_own_check;
SET LOCAL client_min_messages = error;
SELECT enroll_detach();
SELECT count(*) FROM enroll_baseline;
SELECT count(*) FROM enroll_own_check;
ROLLBACK;
SELECT enroll_accept_baseline(NULL);
SELECT enroll_accept_baseline(E' \n');
SELECT enroll_accept_baseline('x', 'none');

-- The report says it all, line by line; the assertion raises, with what it found.
BEGIN;
ALTER TABLE users DROP CONSTRAINT chk_credit_balance_non_negative;
UPDATE users SET credit_balance = -3 WHERE id = 9;
UPDATE users SET credit_balance = 0 WHERE id = 2;
INSERT INTO enrollments (id, user_id, tournament_id) VALUES (3001, 8, 11);
SELECT enroll_report();
DO $$
DECLARE
  hint text;
  detail text;
BEGIN
  PERFORM enroll_assert('1 hour', strict => true);
EXCEPTION WHEN OTHERS THEN
  GET STACKED DIAGNOSTICS detail = PG_EXCEPTION_DETAIL, hint = PG_EXCEPTION_HINT;
  RAISE NOTICE '% %', SQLSTATE, SQLERRM;
  RAISE NOTICE '%', jsonb_pretty(detail::jsonb);
  RAISE NOTICE '%', hint;
END $$;
ROLLBACK;

-- One that was withdrawn and is active again by hand has ledger rows, but paid for no place; until
-- it is withdrawn and enrolled again.
BEGIN;
UPDATE enrollments SET is_active = true, status = 'ENROLLED'
WHERE user_id = 1 AND tournament_id = 12;
SELECT id, severity, violations, sample -> 0 ->> 'user' AS "user" FROM broken();
SELECT code, amount FROM unenroll(1, 12);
SELECT code, amount FROM enroll(1, 12);
SELECT * FROM broken();
ROLLBACK;

-- What the arguments may be.
SELECT id FROM enroll_check(NULL);
SELECT id FROM enroll_check('-1 day');
SELECT id FROM enroll_check('0', 'none');
SELECT id FROM enroll_check('7 days', NULL);
SELECT enroll_assert('7 days', NULL);
SELECT count(*) FROM enroll_check('0');
SELECT count(*) FROM enroll_check('1000 years');

-- It writes nothing: a transaction id is not even asked for, and a read-only one will do.
BEGIN READ ONLY;
SELECT count(*), bool_and(status = 'ok') FROM enroll_check();
SELECT txid_current_if_assigned() IS NULL AS no_id;
SELECT DISTINCT mode FROM pg_locks WHERE pid = pg_backend_pid() AND locktype = 'relation';
ROLLBACK;
BEGIN ISOLATION LEVEL SERIALIZABLE READ ONLY DEFERRABLE;
SELECT count(*), bool_and(status = 'ok') FROM enroll_check();
ROLLBACK;
BEGIN READ ONLY;
SELECT enroll_accept_baseline('x');
ROLLBACK;
BEGIN READ ONLY;
SELECT enroll_add_check('x', 'info', 'SELECT 1', 'x');
ROLLBACK;

-- What the policy leaves out is skipped, and told.
CREATE SCHEMA shop_plain;
SET client_min_messages = error;
SELECT enroll_create_tables('shop_plain', 'plain');
SELECT document #- '{enrollments,time}' #- '{enrollments,withdrawn}' #- '{ledger,user}'
       #- '{tournaments,capacity}' || '{"users": {"table": "shop_plain.users", "key": "id",
  "balance": "credit_balance"}}' AS document
FROM enroll_policies WHERE policy = 'plain' \gset
SET search_path = shop_plain, shop;
SELECT enroll_attach(:'document', 'plain');
RESET client_min_messages;
SELECT id, severity, status, violations, detail FROM enroll_check(policy => 'plain')
WHERE status <> 'ok';
SELECT enroll_report(policy => 'plain');
SELECT enroll_assert(policy => 'plain', strict => true);
SET search_path = shop;

-- A check that cannot be run is an error, and hides no other.
ALTER TABLE shop_plain.enrollments DROP COLUMN withdrawn_at CASCADE;
SELECT enroll_assert(policy => 'plain');
ALTER TABLE tournaments ADD broken integer NOT NULL DEFAULT 0;
SET client_min_messages = error;
SELECT enroll_attach(jsonb_set(document, '{tournaments,capacity}', '"3 / (1 - t.broken)"'))
FROM enroll_policies WHERE policy = 'default';
RESET client_min_messages;
SET session_replication_role = replica;
UPDATE tournaments SET broken = 1 WHERE id = 11;
RESET session_replication_role;
SELECT id, severity, status, violations, sample, detail, remedy FROM enroll_check()
WHERE status <> 'ok';
SELECT line FROM enroll_report() line WHERE line LIKE 'ERROR%' OR line LIKE '  detail%';
SELECT enroll_assert();
UPDATE tournaments SET broken = 0 WHERE id = 11;
SELECT enroll_assert();

-- A partition without its triggers.
CREATE SCHEMA shop_parts;
SET search_path = shop_parts, shop;
CREATE TABLE entry (id bigint GENERATED ALWAYS AS IDENTITY, user_id bigint NOT NULL,
  tournament_id bigint NOT NULL, is_active boolean NOT NULL, at timestamptz,
  PRIMARY KEY (id, user_id)) PARTITION BY HASH (user_id);
CREATE TABLE entry_0 PARTITION OF entry FOR VALUES WITH (MODULUS 2, REMAINDER 0);
CREATE TABLE move (LIKE credit_transactions INCLUDING ALL);
SET client_min_messages = error;
SELECT enroll_attach(document || '{"enrollments": {"table": "entry", "key": "id", "user": "user_id",
  "tournament": "tournament_id", "active": "is_active", "time": "at",
  "insert": {"is_active": "true"}, "withdraw": {"is_active": "false"}}}' #- '{ledger,waive}'
  || jsonb_build_object('ledger', document -> 'ledger' || '{"table": "move"}'), 'parts')
FROM enroll_policies WHERE policy = 'default';
RESET client_min_messages;
SELECT id FROM enroll_check(policy => 'parts') WHERE status = 'failed';
CREATE TABLE entry_1 PARTITION OF entry FOR VALUES WITH (MODULUS 2, REMAINDER 1);
SELECT id, violations, sample FROM enroll_check(policy => 'parts') WHERE status = 'failed';

-- Two policies write into one ledger: the rows of one, told by their words, name no enrollment of the
-- other's; those of neither may.
CREATE TABLE camp_entry (id bigint GENERATED ALWAYS AS IDENTITY (START WITH 7001) PRIMARY KEY,
  user_id bigint NOT NULL, tournament_id bigint NOT NULL, is_active boolean NOT NULL, at timestamptz);
SET client_min_messages = error;
SELECT enroll_attach(document || jsonb_build_object('enrollments',
  document -> 'enrollments' || '{"table": "camp_entry"}', 'ledger', document -> 'ledger' ||
  '{"type": {"column": "type", "enroll": "CAMP", "unenroll": "CAMP_BACK", "waive": "CAMP_FREE"}}'),
  'camps')
FROM enroll_policies WHERE policy = 'parts';
RESET client_min_messages;
BEGIN;
INSERT INTO users (id, credit_balance) VALUES (50, 100), (51, 0);
SELECT code FROM enroll(50, 10, policy => 'camps');
SELECT code FROM unenroll(50, 10, policy => 'camps');
SELECT id, violations FROM enroll_check(policy => 'parts')
WHERE status = 'failed' AND id <> 'INV-05';
SELECT id, violations FROM enroll_check(policy => 'camps') WHERE status = 'failed';
INSERT INTO move (enrollment_id, user_id, type, amount, balance_after)
VALUES (7002, 50, 'GIFT', 0, 95), (7003, 50, 'CAMP_FREE', 0, 95);
SELECT id, sample FROM enroll_check(policy => 'parts') WHERE id = 'INV-10';
-- Where a row does not say whose it is, another policy's enrollment of the same key does not, either.
INSERT INTO camp_entry (id, user_id, tournament_id, is_active) OVERRIDING SYSTEM VALUE
VALUES (9001, 50, 11, false);
INSERT INTO entry (id, user_id, tournament_id, is_active) OVERRIDING SYSTEM VALUE
VALUES (9001, 51, 11, false);
INSERT INTO move (enrollment_id, type, amount, balance_after) VALUES (9001, 'CAMP_FREE', 0, 95);
SELECT id, sample FROM enroll_check(policy => 'parts') WHERE id = 'INV-08';
SELECT id, sample FROM enroll_check(policy => 'camps') WHERE id = 'INV-08';
ROLLBACK;
SET client_min_messages = error;
SELECT enroll_detach('camps');
RESET client_min_messages;

-- Attached to other enrollments, a policy begins anew: what was accepted was of the old ones.
INSERT INTO entry (user_id, tournament_id, is_active, at) VALUES (1, 10, true, now());
SELECT enroll_accept_baseline('Of the old table', 'parts');
SELECT enroll_add_check('kept', 'info', 'SELECT WHERE false', 'Nothing is found', 'parts');
UPDATE enroll_policy SET attached_at = attached_at - interval '1 day' WHERE name = 'parts';
SELECT attached_at AS before FROM enroll_policy WHERE name = 'parts' \gset
CREATE TABLE entry_b (LIKE entry INCLUDING DEFAULTS INCLUDING IDENTITY, PRIMARY KEY (id));
SET client_min_messages = error;
SELECT enroll_attach(jsonb_set(document, '{enrollments,table}', '"entry_b"'), 'parts')
FROM enroll_policies WHERE policy = 'parts';
RESET client_min_messages;
SELECT attached_at > :'before' AS anew,
       (SELECT count(*) FROM enroll_baseline WHERE policy = 'parts') AS accepted,
       (SELECT count(*) FROM enroll_own_check WHERE policy = 'parts') AS own
FROM enroll_policy WHERE name = 'parts';
SET search_path = shop;

SET client_min_messages = error;
SELECT enroll_detach('plain');
SELECT enroll_detach('parts');
DROP SCHEMA shop_plain, shop_parts CASCADE;
