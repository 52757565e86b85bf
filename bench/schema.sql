-- The ready-made tables in schema "guarded", a twin of them in schema "twin" (same keys, indexes
-- and foreign keys, no triggers, no checks), and the contenders' functions. Loaded by drive.py.
CREATE EXTENSION pg_enroll;
CREATE SCHEMA guarded;
SELECT enroll_create_tables('guarded') \g /dev/null
CREATE SCHEMA twin;
CREATE SCHEMA bench;

-- Copied from the catalogs, so that the twin follows whatever the ready-made tables become. The
-- copies of LIKE carry no foreign keys and no storage options; those follow.
DO $$
DECLARE
  names text[] := ARRAY['users', 'tournaments', 'enrollments', 'credit_transactions'];
  item record;
BEGIN
  FOR item IN SELECT name FROM unnest(names) AS name LOOP
    EXECUTE format('CREATE TABLE twin.%1$I (LIKE guarded.%1$I INCLUDING DEFAULTS '
                   'INCLUDING IDENTITY INCLUDING GENERATED INCLUDING INDEXES INCLUDING STORAGE)',
                   item.name);
  END LOOP;
  FOR item IN SELECT relname, array_to_string(reloptions, ', ') AS options FROM pg_class
      WHERE relnamespace = 'guarded'::regnamespace AND relkind = 'r' AND reloptions IS NOT NULL LOOP
    EXECUTE format('ALTER TABLE twin.%I SET (%s)', item.relname, item.options);
  END LOOP;
  FOR item IN SELECT c.relname, k.conname, pg_get_constraintdef(k.oid) AS definition
      FROM pg_constraint k JOIN pg_class c ON c.oid = k.conrelid
      WHERE k.contype = 'f' AND c.relnamespace = 'guarded'::regnamespace LOOP
    EXECUTE format('ALTER TABLE twin.%I ADD CONSTRAINT %I %s', item.relname, item.conname,
                   replace(item.definition, 'REFERENCES guarded.', 'REFERENCES twin.'));
  END LOOP;
END $$;

-- What the counting contenders count in.
ALTER TABLE twin.tournaments ADD COLUMN taken integer NOT NULL DEFAULT 0;

CREATE FUNCTION bench.noop(bigint, bigint) RETURNS bigint LANGUAGE c STRICT
  AS '$libdir/bench_noop', 'bench_noop';

-- What a session has used so far: drive.py subtracts two of these rows.
CREATE TABLE bench.readings (
  calls bigint, cpu_ns bigint, anonymous_kb bigint, context_bytes bigint
);
CREATE FUNCTION bench.read(calls bigint) RETURNS void LANGUAGE sql AS $$
  INSERT INTO bench.readings
  SELECT calls, split_part(pg_read_file('/proc/self/schedstat'), ' ', 1)::bigint,
    substring(pg_read_file('/proc/self/status') FROM 'RssAnon:\s*(\d+)')::bigint,
    (SELECT sum(total_bytes) FROM pg_backend_memory_contexts)
$$;
CREATE TABLE bench.backends (pid integer);

-- One function, the tournament's row locked, its active rows counted.
CREATE FUNCTION twin.enroll_locked(who bigint, what bigint) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
  t twin.tournaments;
  balance bigint;
  place bigint;
BEGIN
  SELECT * INTO t FROM twin.tournaments WHERE id = what FOR UPDATE;
  IF t.status NOT IN ('ENROLLMENT_OPEN', 'IN_PROGRESS') THEN
    RETURN 'NOT_OPEN';
  END IF;
  IF EXISTS (SELECT FROM twin.enrollments
             WHERE user_id = who AND tournament_id = what AND is_active) THEN
    RETURN 'ALREADY_ENROLLED';
  END IF;
  IF (SELECT count(*) FROM twin.enrollments
      WHERE tournament_id = what AND is_active) >= t.capacity THEN
    RETURN 'FULL';
  END IF;
  UPDATE twin.users SET credit_balance = credit_balance - t.cost
    WHERE id = who AND credit_balance >= t.cost RETURNING credit_balance INTO balance;
  IF NOT FOUND THEN
    RETURN 'INSUFFICIENT_CREDITS';
  END IF;
  INSERT INTO twin.enrollments (user_id, tournament_id) VALUES (who, what) RETURNING id INTO place;
  INSERT INTO twin.credit_transactions
    (user_id, tournament_id, enrollment_id, type, amount, balance_after)
    VALUES (who, what, place, 'ENROLLMENT', -t.cost, balance);
  RETURN 'ENROLLED';
END $$;

CREATE FUNCTION twin.unenroll_locked(who bigint, what bigint) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
  place bigint;
  refund bigint;
  balance bigint;
BEGIN
  PERFORM FROM twin.tournaments WHERE id = what FOR UPDATE;
  UPDATE twin.enrollments SET status = 'WITHDRAWN', is_active = FALSE, withdrawn_at = now()
    WHERE user_id = who AND tournament_id = what AND is_active RETURNING id INTO place;
  IF NOT FOUND THEN
    RETURN 'NOT_ENROLLED';
  END IF;
  SELECT -amount / 2 INTO refund FROM twin.credit_transactions
    WHERE enrollment_id = place ORDER BY id DESC LIMIT 1;
  UPDATE twin.users SET credit_balance = credit_balance + refund
    WHERE id = who RETURNING credit_balance INTO balance;
  INSERT INTO twin.credit_transactions
    (user_id, tournament_id, enrollment_id, type, amount, balance_after)
    VALUES (who, what, place, 'REFUND', refund, balance);
  RETURN 'UNENROLLED';
END $$;

-- The same with a counter in the tournament's row in the place of lock and count.
CREATE FUNCTION twin.enroll_counted(who bigint, what bigint) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
  t twin.tournaments;
  balance bigint;
  place bigint;
BEGIN
  SELECT * INTO t FROM twin.tournaments WHERE id = what;
  IF t.status NOT IN ('ENROLLMENT_OPEN', 'IN_PROGRESS') THEN
    RETURN 'NOT_OPEN';
  END IF;
  IF EXISTS (SELECT FROM twin.enrollments
             WHERE user_id = who AND tournament_id = what AND is_active) THEN
    RETURN 'ALREADY_ENROLLED';
  END IF;
  UPDATE twin.tournaments SET taken = taken + 1 WHERE id = what AND taken < capacity;
  IF NOT FOUND THEN
    RETURN 'FULL';
  END IF;
  UPDATE twin.users SET credit_balance = credit_balance - t.cost
    WHERE id = who AND credit_balance >= t.cost RETURNING credit_balance INTO balance;
  IF NOT FOUND THEN
    RAISE 'not enough credits';
  END IF;
  INSERT INTO twin.enrollments (user_id, tournament_id) VALUES (who, what) RETURNING id INTO place;
  INSERT INTO twin.credit_transactions
    (user_id, tournament_id, enrollment_id, type, amount, balance_after)
    VALUES (who, what, place, 'ENROLLMENT', -t.cost, balance);
  RETURN 'ENROLLED';
END $$;

CREATE FUNCTION twin.unenroll_counted(who bigint, what bigint) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
  place bigint;
  refund bigint;
  balance bigint;
BEGIN
  UPDATE twin.tournaments SET taken = taken - 1 WHERE id = what;
  UPDATE twin.enrollments SET status = 'WITHDRAWN', is_active = FALSE, withdrawn_at = now()
    WHERE user_id = who AND tournament_id = what AND is_active RETURNING id INTO place;
  IF NOT FOUND THEN
    RAISE 'not enrolled';
  END IF;
  SELECT -amount / 2 INTO refund FROM twin.credit_transactions
    WHERE enrollment_id = place ORDER BY id DESC LIMIT 1;
  UPDATE twin.users SET credit_balance = credit_balance + refund
    WHERE id = who RETURNING credit_balance INTO balance;
  INSERT INTO twin.credit_transactions
    (user_id, tournament_id, enrollment_id, type, amount, balance_after)
    VALUES (who, what, place, 'REFUND', refund, balance);
  RETURN 'UNENROLLED';
END $$;

-- For SERIALIZABLE sessions: the same two with nothing locked, the server finds the conflicts.
DO $$
DECLARE
  definition text;
BEGIN
  FOREACH definition IN ARRAY ARRAY[pg_get_functiondef('twin.enroll_locked'::regproc),
                                    pg_get_functiondef('twin.unenroll_locked'::regproc)] LOOP
    EXECUTE replace(replace(definition, '_locked', '_unlocked'), ' FOR UPDATE', '');
  END LOOP;
END $$;

-- Users, and the tournaments of each workload: 1 to 10000 for spread, then those named by drive.py.
INSERT INTO guarded.users (id, name, credit_balance)
  SELECT n, 'User ' || n, 1000000000 FROM generate_series(1, :users) AS n;
INSERT INTO guarded.tournaments (id, name, capacity, cost)
  SELECT n, 'Cup ' || n, CASE WHEN n > 11000 THEN 500 ELSE 10000000 END, 10
  FROM generate_series(1, 12001) AS n;
INSERT INTO twin.users SELECT * FROM guarded.users;
INSERT INTO twin.tournaments SELECT * FROM guarded.tournaments;
VACUUM (FREEZE, ANALYZE);
