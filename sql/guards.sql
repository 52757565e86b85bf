-- A guard that someone dropped, disabled or weakened: enroll refuses rather than race. It is the
-- definition that counts, not the name.
\set SHOW_CONTEXT never
SET client_min_messages = error;
DROP EXTENSION IF EXISTS pg_enroll CASCADE;
DROP SCHEMA IF EXISTS shop CASCADE;
CREATE SCHEMA shop;
SET search_path = shop;
CREATE EXTENSION pg_enroll;
SELECT enroll_create_tables();
RESET client_min_messages;

INSERT INTO users (id, credit_balance) VALUES (1, 100), (2, 100);
INSERT INTO tournaments (id, name, capacity, cost) VALUES (10, 'Cup', 3, 10);
SELECT code FROM enroll(2, 10);

CREATE FUNCTION answer(call text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
  code text;
  detail text;
BEGIN
  EXECUTE 'SELECT code FROM ' || call INTO code;
  RETURN code;
EXCEPTION WHEN OTHERS THEN
  GET STACKED DIAGNOSTICS detail = PG_EXCEPTION_DETAIL;
  RETURN CASE WHEN SQLSTATE = 'NR090' THEN 'NR090 ' || (detail::jsonb ->> 'guard')
              ELSE SQLSTATE || ' ' || SQLERRM END;
END $$;
-- What is answered after the change, which is undone again.
CREATE FUNCTION after(change text, OUT enroll text, OUT others text, OUT states text)
LANGUAGE plpgsql AS $$
BEGIN
  EXECUTE change;
  states := (SELECT string_agg(g.guard || ' ' || g.state, ', ' ORDER BY g.guard)
             FROM enroll_guards('default') g WHERE g.state <> 'ok');
  enroll := answer('enroll(1, 10)');
  others := (SELECT string_agg(DISTINCT answer(call), ', ')
             FROM unnest(ARRAY['try_enroll(1, 10)', 'can_enroll(1, 10)', 'unenroll(2, 10)',
                               'try_unenroll(2, 10)', 'quote_unenroll(2, 10)',
                               'enroll_many(ARRAY[1], 10)', 'try_enroll_many(ARRAY[1], 10)',
                               'enroll_waived(1, 10, ''why'')']) call
             WHERE enroll LIKE 'NR090%');
  RAISE EXCEPTION USING ERRCODE = 'UNDO1';
EXCEPTION WHEN SQLSTATE 'UNDO1' THEN
  NULL;
END $$;

-- The eight triggers, each dropped, disabled, and left to replicas.
SELECT t.tgname AS guard, how, a.enroll, a.enroll = a.others AS so_do_others, a.states
FROM pg_trigger t
CROSS JOIN (VALUES (1, 'DROP TRIGGER %I ON %s'), (2, 'ALTER TABLE %2$s DISABLE TRIGGER %1$I'),
                   (3, 'ALTER TABLE %2$s ENABLE REPLICA TRIGGER %1$I')) AS h(nr, how)
CROSS JOIN LATERAL after(format(how, t.tgname, t.tgrelid::regclass)) a
WHERE t.tgrelid IN ('enrollments'::regclass, 'tournaments'::regclass) AND NOT t.tgisinternal
ORDER BY t.tgname, h.nr;

-- The index, the check and the ledger's key: dropped and weakened.
CREATE TABLE changes (nr integer GENERATED ALWAYS AS IDENTITY, change text);
INSERT INTO changes (change) VALUES
  ('DROP INDEX uq_active_enrollment'),
  ('DROP INDEX uq_active_enrollment;
    CREATE INDEX uq_active_enrollment ON enrollments (user_id, tournament_id) WHERE is_active'),
  ('DROP INDEX uq_active_enrollment;
    CREATE UNIQUE INDEX uq_active_enrollment ON enrollments (user_id, tournament_id)
    WHERE is_active AND user_id < 1000'),
  ('DROP INDEX uq_active_enrollment;
    CREATE UNIQUE INDEX uq_active_enrollment ON enrollments (user_id, tournament_id, enrolled_at)
    WHERE is_active'),
  ('DROP INDEX uq_active_enrollment;
    CREATE UNIQUE INDEX uq_active_enrollment ON enrollments (user_id, id) WHERE is_active'),
  ('DROP INDEX uq_active_enrollment;
    CREATE UNIQUE INDEX uq_active_enrollment ON enrollments (user_id, (tournament_id / 2))
    WHERE is_active'),
  ('UPDATE pg_index SET indisvalid = false
    WHERE indexrelid = ''shop.uq_active_enrollment''::regclass'),
  ('ALTER TABLE users DROP CONSTRAINT chk_credit_balance_non_negative'),
  ('ALTER TABLE users DROP CONSTRAINT chk_credit_balance_non_negative,
    ADD CONSTRAINT chk_credit_balance_non_negative CHECK (credit_balance >= 0) NOT VALID'),
  ('ALTER TABLE users DROP CONSTRAINT chk_credit_balance_non_negative,
    ADD CONSTRAINT chk_credit_balance_non_negative CHECK (credit_balance >= -100)'),
  ('ALTER TABLE users DROP CONSTRAINT chk_credit_balance_non_negative,
    ADD CONSTRAINT chk_credit_balance_non_negative CHECK (credit_balance >= 0 OR id = 1)'),
  ('ALTER TABLE users DROP CONSTRAINT chk_credit_balance_non_negative,
    ADD CONSTRAINT chk_credit_balance_non_negative CHECK (id >= 0)'),
  ('ALTER TABLE credit_transactions DROP CONSTRAINT credit_transactions_idempotency_key_key'),
  ('ALTER TABLE credit_transactions DROP CONSTRAINT credit_transactions_idempotency_key_key;
    CREATE UNIQUE INDEX ON credit_transactions (idempotency_key) WHERE amount < 0'),
  ('ALTER TABLE credit_transactions DROP CONSTRAINT credit_transactions_idempotency_key_key;
    CREATE UNIQUE INDEX ON credit_transactions (idempotency_key, type)'),
  ('ALTER TABLE credit_transactions DROP CONSTRAINT credit_transactions_idempotency_key_key,
    ADD UNIQUE (idempotency_key) DEFERRABLE'),
  -- Triggers that bear the name and do less.
  ('DROP TRIGGER enroll_door_insert ON enrollments;
    CREATE TRIGGER enroll_door_insert AFTER INSERT ON enrollments REFERENCING NEW TABLE AS new_rows
    FOR EACH STATEMENT WHEN (current_setting(''x.y'', true) IS NULL)
    EXECUTE FUNCTION enroll_door()'),
  ('DROP TRIGGER enroll_door_insert ON enrollments;
    CREATE TRIGGER enroll_door_insert AFTER INSERT ON enrollments
    FOR EACH STATEMENT EXECUTE FUNCTION enroll_door()'),
  ('DROP TRIGGER enroll_door_insert ON enrollments;
    CREATE TRIGGER enroll_door_insert AFTER INSERT ON enrollments
    FOR EACH ROW EXECUTE FUNCTION enroll_door()'),
  ('DROP TRIGGER enroll_door_update ON enrollments;
    CREATE TRIGGER enroll_door_update AFTER UPDATE OF status ON enrollments
    FOR EACH STATEMENT EXECUTE FUNCTION enroll_door()'),
  ('DROP TRIGGER enroll_door_insert ON enrollments;
    CREATE FUNCTION public.enroll_door() RETURNS trigger LANGUAGE plpgsql AS
    ''BEGIN RETURN NULL; END'';
    CREATE TRIGGER enroll_door_insert AFTER INSERT ON enrollments REFERENCING NEW TABLE AS new_rows
    FOR EACH STATEMENT EXECUTE FUNCTION public.enroll_door()'),
  ('DROP TRIGGER enroll_gate_update ON tournaments;
    CREATE TRIGGER enroll_gate_update AFTER UPDATE ON tournaments
    REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows
    FOR EACH STATEMENT EXECUTE FUNCTION enroll_door()'),
  ('ALTER TABLE enrollments DISABLE TRIGGER ALL'),
  ('ALTER TABLE tournaments DISABLE TRIGGER USER');
SELECT c.nr, a.enroll, a.enroll = a.others AS so_do_others, a.states
FROM changes c CROSS JOIN LATERAL after(c.change) a ORDER BY c.nr;

-- Other names, other words for the same, and more than is asked for are fine.
TRUNCATE changes;
INSERT INTO changes (change) VALUES
  ('ALTER INDEX uq_active_enrollment RENAME TO "One place each"'),
  ('DROP INDEX uq_active_enrollment;
    CREATE UNIQUE INDEX other ON enrollments (tournament_id, user_id) WHERE is_active = TRUE'),
  ('CREATE UNIQUE INDEX second ON enrollments (user_id, tournament_id) WHERE is_active;
    DROP INDEX uq_active_enrollment'),
  ('DROP INDEX uq_active_enrollment;
    CREATE UNIQUE INDEX other ON enrollments (user_id, tournament_id) INCLUDE (id)
    WHERE is_active'),
  ('ALTER TABLE users RENAME CONSTRAINT chk_credit_balance_non_negative TO "No debts"'),
  ('ALTER TABLE users DROP CONSTRAINT chk_credit_balance_non_negative,
    ADD CHECK (0 <= credit_balance AND credit_balance < 1000000)'),
  ('ALTER TABLE users ADD CONSTRAINT weaker CHECK (credit_balance >= -5) NOT VALID'),
  ('ALTER TABLE credit_transactions
    RENAME CONSTRAINT credit_transactions_idempotency_key_key TO "Each key once"'),
  ('ALTER TABLE credit_transactions DROP CONSTRAINT credit_transactions_idempotency_key_key;
    CREATE UNIQUE INDEX ON credit_transactions (idempotency_key)'),
  ('ALTER TRIGGER enroll_door_insert ON enrollments RENAME TO "My door"'),
  ('ALTER TRIGGER enroll_gate_update ON tournaments RENAME TO zz'),
  ('ALTER TABLE enrollments ENABLE ALWAYS TRIGGER enroll_door_insert'),
  ('ALTER TABLE enrollments DISABLE TRIGGER ALL; ALTER TABLE enrollments ENABLE TRIGGER ALL');
SELECT c.nr, a.enroll, a.states FROM changes c CROSS JOIN LATERAL after(c.change) a ORDER BY c.nr;
-- The error then names the guard as it is called now.
ALTER INDEX uq_active_enrollment RENAME TO "One place each";
DO $$
DECLARE
  in_constraint text;
BEGIN
  PERFORM enroll(2, 10);
EXCEPTION WHEN unique_violation THEN
  GET STACKED DIAGNOSTICS in_constraint = CONSTRAINT_NAME;
  RAISE NOTICE '%: %', SQLERRM, in_constraint;
END $$;
SELECT guards ->> 'One place each' AS state FROM enroll_policies;
ALTER INDEX "One place each" RENAME TO uq_active_enrollment;

-- The error in full, and the policy's own view of it.
ALTER TABLE tournaments DISABLE TRIGGER enroll_gate_delete;
SELECT * FROM enroll(1, 10);
SELECT guarded, guards -> 'enroll_gate_delete' AS gate_delete FROM enroll_policies;
ALTER TABLE tournaments ENABLE TRIGGER enroll_gate_delete;
SELECT guarded, guards -> 'enroll_gate_delete' AS gate_delete FROM enroll_policies;
-- Within one transaction, and rolled back.
BEGIN;
SELECT code FROM enroll(1, 10);
DROP INDEX uq_active_enrollment;
SAVEPOINT s;
SELECT code FROM unenroll(1, 10);
ROLLBACK TO s;
CREATE UNIQUE INDEX uq_active_enrollment ON enrollments (user_id, tournament_id) WHERE is_active;
SELECT code FROM unenroll(1, 10);
ROLLBACK;
SELECT code FROM enroll(1, 10);
SELECT code FROM unenroll(1, 10);

-- A session whose triggers do not fire.
SET session_replication_role = replica;
SELECT * FROM enroll(1, 10);
SELECT answer(call) FROM unnest(ARRAY['try_enroll(1, 10)', 'enroll(1, 10, ''key'')',
  'enroll_waived(1, 10, ''why'')', 'enroll_many(ARRAY[1], 10)', 'try_enroll_many(ARRAY[1], 10)',
  'unenroll(2, 10)', 'try_unenroll(2, 10)']) call;
SET session_replication_role = local;
SELECT code FROM enroll(1, 10);
RESET session_replication_role;
SELECT code FROM unenroll(1, 10);
SELECT id, credit_balance FROM users ORDER BY id;

-- A counter that is missing, as after a load with triggers off; told after TOURNAMENT_NOT_FOUND.
SET session_replication_role = replica;
INSERT INTO tournaments (id, name, capacity, cost) VALUES (11, 'Arrived by replication', 2, 0);
INSERT INTO enrollments (user_id, tournament_id) VALUES (2, 11);
RESET session_replication_role;
SELECT * FROM enroll(1, 11);
SELECT code FROM try_enroll(1, 12);
SELECT answer(call) FROM unnest(ARRAY['try_enroll(1, 11)', 'can_enroll(1, 11)',
  'enroll_waived(1, 11, ''why'')', 'enroll_many(ARRAY[1], 11)', 'try_enroll_many(ARRAY[1], 11)',
  'unenroll(2, 11)']) call;
INSERT INTO enrollments (user_id, tournament_id) VALUES (1, 11);
DELETE FROM enrollments WHERE tournament_id = 11;
SELECT tournament, taken_before, taken_after, allotted_before, allotted_after
FROM enroll_reconcile();
SELECT code, seats_left FROM enroll(1, 11);
SELECT code FROM try_enroll(2, 11);
