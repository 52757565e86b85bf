\echo Use "CREATE EXTENSION pg_enroll" to load this file. \quit

-- Extension state -----------------------------------------------------------------------------
-- The tables are dumped with the database: a restore loads them, and the users' rows, before it
-- creates the triggers that keep them in step.

CREATE TABLE enroll_policy (
  name text COLLATE "C" PRIMARY KEY CHECK (name OPERATOR(pg_catalog.<>) ''),
  document jsonb NOT NULL,
  users regclass NOT NULL,
  tournaments regclass NOT NULL,
  enrollments regclass NOT NULL UNIQUE,
  ledger regclass NOT NULL,
  watched regclass[] NOT NULL,
  search_path text[] NOT NULL,
  time_zone text NOT NULL,
  built_index text,
  built_check text,
  attached_at timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE enroll_policy IS
  'One row per attached policy. Written by the extension alone.';
COMMENT ON COLUMN enroll_policy.name IS 'the name that callers pass as policy';
COMMENT ON COLUMN enroll_policy.document IS 'the policy document';
COMMENT ON COLUMN enroll_policy.users IS 'table that holds the balances';
COMMENT ON COLUMN enroll_policy.tournaments IS 'table of what is sold';
COMMENT ON COLUMN enroll_policy.enrollments IS
  'table of the places taken; belongs to one policy only';
COMMENT ON COLUMN enroll_policy.ledger IS 'table of the credit movements';
COMMENT ON COLUMN enroll_policy.watched IS
  'tables besides the tournaments whose changes open, close or resize a tournament';
COMMENT ON COLUMN enroll_policy.search_path IS
  'schemas that expressions and triggers see after pg_catalog and the tables'' own schema while '
  'the engine runs';
COMMENT ON COLUMN enroll_policy.time_zone IS
  'TimeZone that expressions and triggers see while the engine runs: that of the session that '
  'attached';
COMMENT ON COLUMN enroll_policy.built_index IS
  'name of the active-enrollment index, where attaching built it';
COMMENT ON COLUMN enroll_policy.built_check IS
  'name of the balance check, where attaching added it';
COMMENT ON COLUMN enroll_policy.attached_at IS
  'when the guards were first installed on these enrollments; attaching again leaves it';

-- A low fillfactor keeps room on the page, so that a counter's updates stay heap-only.
CREATE TABLE enroll_seat (
  policy text COLLATE "C" NOT NULL,
  tournament text COLLATE "C" NOT NULL,
  stripe integer NOT NULL,
  taken bigint NOT NULL,
  allotted bigint,
  capacity bigint,
  epoch bigint NOT NULL,
  PRIMARY KEY (policy, tournament, stripe)
) WITH (fillfactor = 30);
COMMENT ON TABLE enroll_seat IS
  'Seat counters, derived from the users'' tables and kept in step by triggers. '
  'enroll_reconcile() recounts them.';
COMMENT ON COLUMN enroll_seat.policy IS 'name of the policy';
COMMENT ON COLUMN enroll_seat.tournament IS 'the tournament''s key, as text';
COMMENT ON COLUMN enroll_seat.stripe IS 'number of the stripe; 0 exists from the start';
COMMENT ON COLUMN enroll_seat.taken IS
  'seats taken through this stripe; the sum is the active enrollments';
COMMENT ON COLUMN enroll_seat.allotted IS 'seats this stripe may give; NULL where unlimited';
COMMENT ON COLUMN enroll_seat.capacity IS
  'the capacity that the allotment was made from; NULL where unlimited';
COMMENT ON COLUMN enroll_seat.epoch IS 'moves with each change of the tournament, never used twice';

CREATE TABLE enroll_sanction (
  policy text COLLATE "C" NOT NULL,
  xid xid8 NOT NULL,
  role name NOT NULL,
  login name NOT NULL,
  reason text NOT NULL,
  sanctioned_at timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE enroll_sanction IS
  'Transactions that lifted a strict ledger, one row for each enroll_sanction(). Rows are added, '
  'never changed, and outlive their policy.';
COMMENT ON COLUMN enroll_sanction.policy IS 'name of the policy';
COMMENT ON COLUMN enroll_sanction.xid IS 'the transaction, as pg_current_xact_id() says it';
COMMENT ON COLUMN enroll_sanction.role IS 'who lifted it: current_user at that time';
COMMENT ON COLUMN enroll_sanction.login IS 'who had logged in: session_user at that time';
COMMENT ON COLUMN enroll_sanction.reason IS 'why';
COMMENT ON COLUMN enroll_sanction.sanctioned_at IS 'when the transaction began';

SELECT pg_catalog.pg_extension_config_dump('enroll_policy', '');
SELECT pg_catalog.pg_extension_config_dump('enroll_seat', '');
SELECT pg_catalog.pg_extension_config_dump('enroll_sanction', '');

CREATE TABLE enroll_baseline (
  policy text COLLATE "C" NOT NULL,
  enrollment text COLLATE "C" NOT NULL,
  reason text NOT NULL,
  accepted_by text NOT NULL,
  accepted_at timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (policy, enrollment)
);
COMMENT ON TABLE enroll_baseline IS
  'Enrollments without a ledger row that were accepted as they are. Written by '
  'enroll_accept_baseline(), forgotten with the policy.';
COMMENT ON COLUMN enroll_baseline.policy IS 'name of the policy';
COMMENT ON COLUMN enroll_baseline.enrollment IS 'the enrollment''s key, as text';
COMMENT ON COLUMN enroll_baseline.reason IS 'why no credits moved';
COMMENT ON COLUMN enroll_baseline.accepted_by IS 'the role that accepted them';
COMMENT ON COLUMN enroll_baseline.accepted_at IS 'when';

CREATE TABLE enroll_own_check (
  policy text COLLATE "C" NOT NULL,
  name text COLLATE "C" NOT NULL,
  severity text NOT NULL,
  query text NOT NULL,
  description text NOT NULL,
  PRIMARY KEY (policy, name)
);
COMMENT ON TABLE enroll_own_check IS
  'Checks of one''s own. Written by enroll_add_check() and enroll_drop_check(), forgotten with '
  'the policy.';
COMMENT ON COLUMN enroll_own_check.policy IS 'name of the policy';
COMMENT ON COLUMN enroll_own_check.name IS 'id of the check in enroll_check()';
COMMENT ON COLUMN enroll_own_check.severity IS 'error, warning or info';
COMMENT ON COLUMN enroll_own_check.query IS
  'a SELECT that answers a row per violation; :since stands for the beginning of the window';
COMMENT ON COLUMN enroll_own_check.description IS 'what holds where the query answers no row';

SELECT pg_catalog.pg_extension_config_dump('enroll_baseline', '');
SELECT pg_catalog.pg_extension_config_dump('enroll_own_check', '');

-- Receipts ------------------------------------------------------------------------------------

CREATE TYPE enroll_receipt AS (
  ok boolean,
  code text,
  enrollment_id bigint,
  amount numeric,
  balance_after numeric,
  seats_left bigint,
  replayed boolean,
  sqlstate text,
  http_status integer,
  message text,
  details jsonb
);
COMMENT ON TYPE enroll_receipt IS
  'What a call did, or why it did not (bigint keys).';
COMMENT ON COLUMN enroll_receipt.ok IS
  'true where the call did, or would do, what was asked';
COMMENT ON COLUMN enroll_receipt.code IS
  'the outcome; enroll_error_codes lists them all';
COMMENT ON COLUMN enroll_receipt.enrollment_id IS
  'key of the enrollment; of the existing one where code is ALREADY_ENROLLED';
COMMENT ON COLUMN enroll_receipt.amount IS
  'signed change of the balance; NULL in a rejection';
COMMENT ON COLUMN enroll_receipt.balance_after IS
  'balance once the call is done; NULL in a rejection';
COMMENT ON COLUMN enroll_receipt.seats_left IS
  'a hint, never below 0; NULL where unlimited or unknown';
COMMENT ON COLUMN enroll_receipt.replayed IS
  'true where the idempotency key had been used for this very call before';
COMMENT ON COLUMN enroll_receipt.sqlstate IS
  'SQLSTATE of the code, 00000 where ok';
COMMENT ON COLUMN enroll_receipt.http_status IS
  'HTTP status that fits the code, or the one of the rule that is broken';
COMMENT ON COLUMN enroll_receipt.message IS
  'one constant sentence per code, or the message of the rule that is broken';
COMMENT ON COLUMN enroll_receipt.details IS
  'the facts of a rejection: user, tournament, rule, capacity, count, price, guard, policy';

CREATE TYPE enroll_receipt_uuid AS (
  ok boolean,
  code text,
  enrollment_id uuid,
  amount numeric,
  balance_after numeric,
  seats_left bigint,
  replayed boolean,
  sqlstate text,
  http_status integer,
  message text,
  details jsonb
);
COMMENT ON TYPE enroll_receipt_uuid IS
  'What a call did, or why it did not (uuid keys).';
COMMENT ON COLUMN enroll_receipt_uuid.ok IS
  'true where the call did, or would do, what was asked';
COMMENT ON COLUMN enroll_receipt_uuid.code IS
  'the outcome; enroll_error_codes lists them all';
COMMENT ON COLUMN enroll_receipt_uuid.enrollment_id IS
  'key of the enrollment; of the existing one where code is ALREADY_ENROLLED';
COMMENT ON COLUMN enroll_receipt_uuid.amount IS
  'signed change of the balance; NULL in a rejection';
COMMENT ON COLUMN enroll_receipt_uuid.balance_after IS
  'balance once the call is done; NULL in a rejection';
COMMENT ON COLUMN enroll_receipt_uuid.seats_left IS
  'a hint, never below 0; NULL where unlimited or unknown';
COMMENT ON COLUMN enroll_receipt_uuid.replayed IS
  'true where the idempotency key had been used for this very call before';
COMMENT ON COLUMN enroll_receipt_uuid.sqlstate IS
  'SQLSTATE of the code, 00000 where ok';
COMMENT ON COLUMN enroll_receipt_uuid.http_status IS
  'HTTP status that fits the code, or the one of the rule that is broken';
COMMENT ON COLUMN enroll_receipt_uuid.message IS
  'one constant sentence per code, or the message of the rule that is broken';
COMMENT ON COLUMN enroll_receipt_uuid.details IS
  'the facts of a rejection: user, tournament, rule, capacity, count, price, guard, policy';

CREATE TYPE enroll_receipt_text AS (
  ok boolean,
  code text,
  enrollment_id text,
  amount numeric,
  balance_after numeric,
  seats_left bigint,
  replayed boolean,
  sqlstate text,
  http_status integer,
  message text,
  details jsonb
);
COMMENT ON TYPE enroll_receipt_text IS
  'What a call did, or why it did not (text keys).';
COMMENT ON COLUMN enroll_receipt_text.ok IS
  'true where the call did, or would do, what was asked';
COMMENT ON COLUMN enroll_receipt_text.code IS
  'the outcome; enroll_error_codes lists them all';
COMMENT ON COLUMN enroll_receipt_text.enrollment_id IS
  'key of the enrollment; of the existing one where code is ALREADY_ENROLLED';
COMMENT ON COLUMN enroll_receipt_text.amount IS
  'signed change of the balance; NULL in a rejection';
COMMENT ON COLUMN enroll_receipt_text.balance_after IS
  'balance once the call is done; NULL in a rejection';
COMMENT ON COLUMN enroll_receipt_text.seats_left IS
  'a hint, never below 0; NULL where unlimited or unknown';
COMMENT ON COLUMN enroll_receipt_text.replayed IS
  'true where the idempotency key had been used for this very call before';
COMMENT ON COLUMN enroll_receipt_text.sqlstate IS
  'SQLSTATE of the code, 00000 where ok';
COMMENT ON COLUMN enroll_receipt_text.http_status IS
  'HTTP status that fits the code, or the one of the rule that is broken';
COMMENT ON COLUMN enroll_receipt_text.message IS
  'one constant sentence per code, or the message of the rule that is broken';
COMMENT ON COLUMN enroll_receipt_text.details IS
  'the facts of a rejection: user, tournament, rule, capacity, count, price, guard, policy';

CREATE TYPE enroll_user_receipt AS (
  user_id bigint,
  ok boolean,
  code text,
  enrollment_id bigint,
  amount numeric,
  balance_after numeric,
  seats_left bigint,
  replayed boolean,
  sqlstate text,
  http_status integer,
  message text,
  details jsonb
);
COMMENT ON TYPE enroll_user_receipt IS
  'What a call for many users did, or why it did not (bigint keys).';
COMMENT ON COLUMN enroll_user_receipt.user_id IS 'the user this row answers for';
COMMENT ON COLUMN enroll_user_receipt.ok IS
  'true where the call did, or would do, what was asked';
COMMENT ON COLUMN enroll_user_receipt.code IS
  'the outcome; enroll_error_codes lists them all';
COMMENT ON COLUMN enroll_user_receipt.enrollment_id IS
  'key of the enrollment; of the existing one where code is ALREADY_ENROLLED';
COMMENT ON COLUMN enroll_user_receipt.amount IS
  'signed change of the balance; NULL in a rejection';
COMMENT ON COLUMN enroll_user_receipt.balance_after IS
  'balance once the call is done; NULL in a rejection';
COMMENT ON COLUMN enroll_user_receipt.seats_left IS
  'a hint, never below 0; NULL where unlimited or unknown';
COMMENT ON COLUMN enroll_user_receipt.replayed IS
  'true where the idempotency key had been used for this very call before';
COMMENT ON COLUMN enroll_user_receipt.sqlstate IS
  'SQLSTATE of the code, 00000 where ok';
COMMENT ON COLUMN enroll_user_receipt.http_status IS
  'HTTP status that fits the code, or the one of the rule that is broken';
COMMENT ON COLUMN enroll_user_receipt.message IS
  'one constant sentence per code, or the message of the rule that is broken';
COMMENT ON COLUMN enroll_user_receipt.details IS
  'the facts of a rejection: user, tournament, rule, capacity, count, price, guard, policy';

CREATE TYPE enroll_user_receipt_uuid AS (
  user_id uuid,
  ok boolean,
  code text,
  enrollment_id uuid,
  amount numeric,
  balance_after numeric,
  seats_left bigint,
  replayed boolean,
  sqlstate text,
  http_status integer,
  message text,
  details jsonb
);
COMMENT ON TYPE enroll_user_receipt_uuid IS
  'What a call for many users did, or why it did not (uuid keys).';
COMMENT ON COLUMN enroll_user_receipt_uuid.user_id IS 'the user this row answers for';
COMMENT ON COLUMN enroll_user_receipt_uuid.ok IS
  'true where the call did, or would do, what was asked';
COMMENT ON COLUMN enroll_user_receipt_uuid.code IS
  'the outcome; enroll_error_codes lists them all';
COMMENT ON COLUMN enroll_user_receipt_uuid.enrollment_id IS
  'key of the enrollment; of the existing one where code is ALREADY_ENROLLED';
COMMENT ON COLUMN enroll_user_receipt_uuid.amount IS
  'signed change of the balance; NULL in a rejection';
COMMENT ON COLUMN enroll_user_receipt_uuid.balance_after IS
  'balance once the call is done; NULL in a rejection';
COMMENT ON COLUMN enroll_user_receipt_uuid.seats_left IS
  'a hint, never below 0; NULL where unlimited or unknown';
COMMENT ON COLUMN enroll_user_receipt_uuid.replayed IS
  'true where the idempotency key had been used for this very call before';
COMMENT ON COLUMN enroll_user_receipt_uuid.sqlstate IS
  'SQLSTATE of the code, 00000 where ok';
COMMENT ON COLUMN enroll_user_receipt_uuid.http_status IS
  'HTTP status that fits the code, or the one of the rule that is broken';
COMMENT ON COLUMN enroll_user_receipt_uuid.message IS
  'one constant sentence per code, or the message of the rule that is broken';
COMMENT ON COLUMN enroll_user_receipt_uuid.details IS
  'the facts of a rejection: user, tournament, rule, capacity, count, price, guard, policy';

CREATE TYPE enroll_user_receipt_text AS (
  user_id text,
  ok boolean,
  code text,
  enrollment_id text,
  amount numeric,
  balance_after numeric,
  seats_left bigint,
  replayed boolean,
  sqlstate text,
  http_status integer,
  message text,
  details jsonb
);
COMMENT ON TYPE enroll_user_receipt_text IS
  'What a call for many users did, or why it did not (text keys).';
COMMENT ON COLUMN enroll_user_receipt_text.user_id IS 'the user this row answers for';
COMMENT ON COLUMN enroll_user_receipt_text.ok IS
  'true where the call did, or would do, what was asked';
COMMENT ON COLUMN enroll_user_receipt_text.code IS
  'the outcome; enroll_error_codes lists them all';
COMMENT ON COLUMN enroll_user_receipt_text.enrollment_id IS
  'key of the enrollment; of the existing one where code is ALREADY_ENROLLED';
COMMENT ON COLUMN enroll_user_receipt_text.amount IS
  'signed change of the balance; NULL in a rejection';
COMMENT ON COLUMN enroll_user_receipt_text.balance_after IS
  'balance once the call is done; NULL in a rejection';
COMMENT ON COLUMN enroll_user_receipt_text.seats_left IS
  'a hint, never below 0; NULL where unlimited or unknown';
COMMENT ON COLUMN enroll_user_receipt_text.replayed IS
  'true where the idempotency key had been used for this very call before';
COMMENT ON COLUMN enroll_user_receipt_text.sqlstate IS
  'SQLSTATE of the code, 00000 where ok';
COMMENT ON COLUMN enroll_user_receipt_text.http_status IS
  'HTTP status that fits the code, or the one of the rule that is broken';
COMMENT ON COLUMN enroll_user_receipt_text.message IS
  'one constant sentence per code, or the message of the rule that is broken';
COMMENT ON COLUMN enroll_user_receipt_text.details IS
  'the facts of a rejection: user, tournament, rule, capacity, count, price, guard, policy';

-- Enrolling -----------------------------------------------------------------------------------

CREATE FUNCTION enroll(
  user_id bigint,
  tournament_id bigint,
  idempotency_key text DEFAULT NULL,
  max_price numeric DEFAULT NULL,
  policy text DEFAULT 'default'
)
RETURNS enroll_receipt LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'pg_enroll_enroll';
COMMENT ON FUNCTION enroll(bigint, bigint, text, numeric, text) IS
  'Enrolls a user in a tournament: claims a seat, debits the price, writes the ledger row. '
  'idempotency_key (1 to 255 characters): a second call with it answers the receipt of the '
  'first. max_price, in credits: refuse a higher price. Raises the rejections of '
  'enroll_error_codes.';
REVOKE EXECUTE ON FUNCTION enroll(bigint, bigint, text, numeric, text) FROM PUBLIC;

CREATE FUNCTION enroll(
  user_id uuid,
  tournament_id uuid,
  idempotency_key text DEFAULT NULL,
  max_price numeric DEFAULT NULL,
  policy text DEFAULT 'default'
)
RETURNS enroll_receipt_uuid LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'pg_enroll_enroll';
COMMENT ON FUNCTION enroll(uuid, uuid, text, numeric, text) IS
  'Enrolls a user in a tournament: claims a seat, debits the price, writes the ledger row. '
  'idempotency_key (1 to 255 characters): a second call with it answers the receipt of the '
  'first. max_price, in credits: refuse a higher price. Raises the rejections of '
  'enroll_error_codes. For uuid keys.';
REVOKE EXECUTE ON FUNCTION enroll(uuid, uuid, text, numeric, text) FROM PUBLIC;

CREATE FUNCTION enroll(
  user_id text,
  tournament_id text,
  idempotency_key text DEFAULT NULL,
  max_price numeric DEFAULT NULL,
  policy text DEFAULT 'default'
)
RETURNS enroll_receipt_text LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'pg_enroll_enroll';
COMMENT ON FUNCTION enroll(text, text, text, numeric, text) IS
  'Enrolls a user in a tournament: claims a seat, debits the price, writes the ledger row. '
  'idempotency_key (1 to 255 characters): a second call with it answers the receipt of the '
  'first. max_price, in credits: refuse a higher price. Raises the rejections of '
  'enroll_error_codes. For any policy: keys are given and answered as text.';
REVOKE EXECUTE ON FUNCTION enroll(text, text, text, numeric, text) FROM PUBLIC;

CREATE FUNCTION try_enroll(
  user_id bigint,
  tournament_id bigint,
  idempotency_key text DEFAULT NULL,
  max_price numeric DEFAULT NULL,
  policy text DEFAULT 'default'
)
RETURNS enroll_receipt LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'pg_enroll_try_enroll';
COMMENT ON FUNCTION try_enroll(bigint, bigint, text, numeric, text) IS
  'Like enroll, but a rejection is a receipt with ok = false and leaves no trace. Raises '
  'GUARD_MISSING and bad arguments.';
REVOKE EXECUTE ON FUNCTION try_enroll(bigint, bigint, text, numeric, text) FROM PUBLIC;

CREATE FUNCTION try_enroll(
  user_id uuid,
  tournament_id uuid,
  idempotency_key text DEFAULT NULL,
  max_price numeric DEFAULT NULL,
  policy text DEFAULT 'default'
)
RETURNS enroll_receipt_uuid LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'pg_enroll_try_enroll';
COMMENT ON FUNCTION try_enroll(uuid, uuid, text, numeric, text) IS
  'Like enroll, but a rejection is a receipt with ok = false and leaves no trace. Raises '
  'GUARD_MISSING and bad arguments. For uuid keys.';
REVOKE EXECUTE ON FUNCTION try_enroll(uuid, uuid, text, numeric, text) FROM PUBLIC;

CREATE FUNCTION try_enroll(
  user_id text,
  tournament_id text,
  idempotency_key text DEFAULT NULL,
  max_price numeric DEFAULT NULL,
  policy text DEFAULT 'default'
)
RETURNS enroll_receipt_text LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'pg_enroll_try_enroll';
COMMENT ON FUNCTION try_enroll(text, text, text, numeric, text) IS
  'Like enroll, but a rejection is a receipt with ok = false and leaves no trace. Raises '
  'GUARD_MISSING and bad arguments. For any policy: keys are given and answered as text.';
REVOKE EXECUTE ON FUNCTION try_enroll(text, text, text, numeric, text) FROM PUBLIC;

CREATE FUNCTION unenroll(
  user_id bigint,
  tournament_id bigint,
  idempotency_key text DEFAULT NULL,
  policy text DEFAULT 'default'
)
RETURNS enroll_receipt LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'pg_enroll_unenroll';
COMMENT ON FUNCTION unenroll(bigint, bigint, text, text) IS
  'Withdraws a user from a tournament: gives the seat back, credits what the policy refunds, '
  'writes the ledger row. Raises the rejections of enroll_error_codes.';
REVOKE EXECUTE ON FUNCTION unenroll(bigint, bigint, text, text) FROM PUBLIC;

CREATE FUNCTION unenroll(
  user_id uuid,
  tournament_id uuid,
  idempotency_key text DEFAULT NULL,
  policy text DEFAULT 'default'
)
RETURNS enroll_receipt_uuid LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'pg_enroll_unenroll';
COMMENT ON FUNCTION unenroll(uuid, uuid, text, text) IS
  'Withdraws a user from a tournament: gives the seat back, credits what the policy refunds, '
  'writes the ledger row. Raises the rejections of enroll_error_codes. For uuid keys.';
REVOKE EXECUTE ON FUNCTION unenroll(uuid, uuid, text, text) FROM PUBLIC;

CREATE FUNCTION unenroll(
  user_id text,
  tournament_id text,
  idempotency_key text DEFAULT NULL,
  policy text DEFAULT 'default'
)
RETURNS enroll_receipt_text LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'pg_enroll_unenroll';
COMMENT ON FUNCTION unenroll(text, text, text, text) IS
  'Withdraws a user from a tournament: gives the seat back, credits what the policy refunds, '
  'writes the ledger row. Raises the rejections of enroll_error_codes. For any policy: keys are '
  'given and answered as text.';
REVOKE EXECUTE ON FUNCTION unenroll(text, text, text, text) FROM PUBLIC;

CREATE FUNCTION try_unenroll(
  user_id bigint,
  tournament_id bigint,
  idempotency_key text DEFAULT NULL,
  policy text DEFAULT 'default'
)
RETURNS enroll_receipt LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'pg_enroll_try_unenroll';
COMMENT ON FUNCTION try_unenroll(bigint, bigint, text, text) IS
  'Like unenroll, but a rejection is a receipt with ok = false and leaves no trace. Raises '
  'GUARD_MISSING and bad arguments.';
REVOKE EXECUTE ON FUNCTION try_unenroll(bigint, bigint, text, text) FROM PUBLIC;

CREATE FUNCTION try_unenroll(
  user_id uuid,
  tournament_id uuid,
  idempotency_key text DEFAULT NULL,
  policy text DEFAULT 'default'
)
RETURNS enroll_receipt_uuid LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'pg_enroll_try_unenroll';
COMMENT ON FUNCTION try_unenroll(uuid, uuid, text, text) IS
  'Like unenroll, but a rejection is a receipt with ok = false and leaves no trace. Raises '
  'GUARD_MISSING and bad arguments. For uuid keys.';
REVOKE EXECUTE ON FUNCTION try_unenroll(uuid, uuid, text, text) FROM PUBLIC;

CREATE FUNCTION try_unenroll(
  user_id text,
  tournament_id text,
  idempotency_key text DEFAULT NULL,
  policy text DEFAULT 'default'
)
RETURNS enroll_receipt_text LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'pg_enroll_try_unenroll';
COMMENT ON FUNCTION try_unenroll(text, text, text, text) IS
  'Like unenroll, but a rejection is a receipt with ok = false and leaves no trace. Raises '
  'GUARD_MISSING and bad arguments. For any policy: keys are given and answered as text.';
REVOKE EXECUTE ON FUNCTION try_unenroll(text, text, text, text) FROM PUBLIC;

CREATE FUNCTION can_enroll(
  user_id bigint,
  tournament_id bigint,
  policy text DEFAULT 'default'
)
RETURNS enroll_receipt LANGUAGE c STABLE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'pg_enroll_can_enroll';
COMMENT ON FUNCTION can_enroll(bigint, bigint, text) IS
  'What enroll would answer now, with amount, balance_after and seats_left as they would be; '
  'code ELIGIBLE where it would succeed. Reads only; works on a standby.';
REVOKE EXECUTE ON FUNCTION can_enroll(bigint, bigint, text) FROM PUBLIC;

CREATE FUNCTION can_enroll(
  user_id uuid,
  tournament_id uuid,
  policy text DEFAULT 'default'
)
RETURNS enroll_receipt_uuid LANGUAGE c STABLE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'pg_enroll_can_enroll';
COMMENT ON FUNCTION can_enroll(uuid, uuid, text) IS
  'What enroll would answer now, with amount, balance_after and seats_left as they would be; '
  'code ELIGIBLE where it would succeed. Reads only; works on a standby. For uuid keys.';
REVOKE EXECUTE ON FUNCTION can_enroll(uuid, uuid, text) FROM PUBLIC;

CREATE FUNCTION can_enroll(
  user_id text,
  tournament_id text,
  policy text DEFAULT 'default'
)
RETURNS enroll_receipt_text LANGUAGE c STABLE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'pg_enroll_can_enroll';
COMMENT ON FUNCTION can_enroll(text, text, text) IS
  'What enroll would answer now, with amount, balance_after and seats_left as they would be; '
  'code ELIGIBLE where it would succeed. Reads only; works on a standby. For any policy: keys '
  'are given and answered as text.';
REVOKE EXECUTE ON FUNCTION can_enroll(text, text, text) FROM PUBLIC;

CREATE FUNCTION quote_unenroll(
  user_id bigint,
  tournament_id bigint,
  policy text DEFAULT 'default'
)
RETURNS enroll_receipt LANGUAGE c STABLE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'pg_enroll_quote_unenroll';
COMMENT ON FUNCTION quote_unenroll(bigint, bigint, text) IS
  'What unenroll would refund now; code REFUNDABLE where it would succeed. Reads only; works on '
  'a standby.';
REVOKE EXECUTE ON FUNCTION quote_unenroll(bigint, bigint, text) FROM PUBLIC;

CREATE FUNCTION quote_unenroll(
  user_id uuid,
  tournament_id uuid,
  policy text DEFAULT 'default'
)
RETURNS enroll_receipt_uuid LANGUAGE c STABLE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'pg_enroll_quote_unenroll';
COMMENT ON FUNCTION quote_unenroll(uuid, uuid, text) IS
  'What unenroll would refund now; code REFUNDABLE where it would succeed. Reads only; works on '
  'a standby. For uuid keys.';
REVOKE EXECUTE ON FUNCTION quote_unenroll(uuid, uuid, text) FROM PUBLIC;

CREATE FUNCTION quote_unenroll(
  user_id text,
  tournament_id text,
  policy text DEFAULT 'default'
)
RETURNS enroll_receipt_text LANGUAGE c STABLE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'pg_enroll_quote_unenroll';
COMMENT ON FUNCTION quote_unenroll(text, text, text) IS
  'What unenroll would refund now; code REFUNDABLE where it would succeed. Reads only; works on '
  'a standby. For any policy: keys are given and answered as text.';
REVOKE EXECUTE ON FUNCTION quote_unenroll(text, text, text) FROM PUBLIC;

CREATE FUNCTION enroll_many(
  user_ids bigint[],
  tournament_id bigint,
  idempotency_keys text[] DEFAULT NULL,
  max_price numeric DEFAULT NULL,
  policy text DEFAULT 'default'
)
RETURNS SETOF enroll_user_receipt LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'pg_enroll_enroll_many';
COMMENT ON FUNCTION enroll_many(bigint[], bigint, text[], numeric, text) IS
  'Enrolls many users in one tournament, all or nothing: a receipt per user in input order, or '
  'the first rejection in input order is raised. idempotency_keys: one per user.';
REVOKE EXECUTE ON FUNCTION enroll_many(bigint[], bigint, text[], numeric, text) FROM PUBLIC;

CREATE FUNCTION enroll_many(
  user_ids uuid[],
  tournament_id uuid,
  idempotency_keys text[] DEFAULT NULL,
  max_price numeric DEFAULT NULL,
  policy text DEFAULT 'default'
)
RETURNS SETOF enroll_user_receipt_uuid LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'pg_enroll_enroll_many';
COMMENT ON FUNCTION enroll_many(uuid[], uuid, text[], numeric, text) IS
  'Enrolls many users in one tournament, all or nothing: a receipt per user in input order, or '
  'the first rejection in input order is raised. idempotency_keys: one per user. For uuid keys.';
REVOKE EXECUTE ON FUNCTION enroll_many(uuid[], uuid, text[], numeric, text) FROM PUBLIC;

CREATE FUNCTION enroll_many(
  user_ids text[],
  tournament_id text,
  idempotency_keys text[] DEFAULT NULL,
  max_price numeric DEFAULT NULL,
  policy text DEFAULT 'default'
)
RETURNS SETOF enroll_user_receipt_text LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'pg_enroll_enroll_many';
COMMENT ON FUNCTION enroll_many(text[], text, text[], numeric, text) IS
  'Enrolls many users in one tournament, all or nothing: a receipt per user in input order, or '
  'the first rejection in input order is raised. idempotency_keys: one per user. For any '
  'policy: keys are given and answered as text.';
REVOKE EXECUTE ON FUNCTION enroll_many(text[], text, text[], numeric, text) FROM PUBLIC;

CREATE FUNCTION try_enroll_many(
  user_ids bigint[],
  tournament_id bigint,
  idempotency_keys text[] DEFAULT NULL,
  max_price numeric DEFAULT NULL,
  policy text DEFAULT 'default'
)
RETURNS SETOF enroll_user_receipt LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'pg_enroll_try_enroll_many';
COMMENT ON FUNCTION try_enroll_many(bigint[], bigint, text[], numeric, text) IS
  'Enrolls as many of the users as can be: an answer per user in input order; scarce seats go '
  'in input order.';
REVOKE EXECUTE ON FUNCTION try_enroll_many(bigint[], bigint, text[], numeric, text) FROM PUBLIC;

CREATE FUNCTION try_enroll_many(
  user_ids uuid[],
  tournament_id uuid,
  idempotency_keys text[] DEFAULT NULL,
  max_price numeric DEFAULT NULL,
  policy text DEFAULT 'default'
)
RETURNS SETOF enroll_user_receipt_uuid LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'pg_enroll_try_enroll_many';
COMMENT ON FUNCTION try_enroll_many(uuid[], uuid, text[], numeric, text) IS
  'Enrolls as many of the users as can be: an answer per user in input order; scarce seats go '
  'in input order. For uuid keys.';
REVOKE EXECUTE ON FUNCTION try_enroll_many(uuid[], uuid, text[], numeric, text) FROM PUBLIC;

CREATE FUNCTION try_enroll_many(
  user_ids text[],
  tournament_id text,
  idempotency_keys text[] DEFAULT NULL,
  max_price numeric DEFAULT NULL,
  policy text DEFAULT 'default'
)
RETURNS SETOF enroll_user_receipt_text LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'pg_enroll_try_enroll_many';
COMMENT ON FUNCTION try_enroll_many(text[], text, text[], numeric, text) IS
  'Enrolls as many of the users as can be: an answer per user in input order; scarce seats go '
  'in input order. For any policy: keys are given and answered as text.';
REVOKE EXECUTE ON FUNCTION try_enroll_many(text[], text, text[], numeric, text) FROM PUBLIC;

CREATE FUNCTION enroll_waived(
  user_id bigint,
  tournament_id bigint,
  reason text,
  idempotency_key text DEFAULT NULL,
  policy text DEFAULT 'default'
)
RETURNS enroll_receipt LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'pg_enroll_enroll_waived';
COMMENT ON FUNCTION enroll_waived(bigint, bigint, text, text, text) IS
  'An administrator''s free place: every rule but the price holds; a ledger row of amount 0 '
  'carries the reason, which must not be blank.';
REVOKE EXECUTE ON FUNCTION enroll_waived(bigint, bigint, text, text, text) FROM PUBLIC;

CREATE FUNCTION enroll_waived(
  user_id uuid,
  tournament_id uuid,
  reason text,
  idempotency_key text DEFAULT NULL,
  policy text DEFAULT 'default'
)
RETURNS enroll_receipt_uuid LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'pg_enroll_enroll_waived';
COMMENT ON FUNCTION enroll_waived(uuid, uuid, text, text, text) IS
  'An administrator''s free place: every rule but the price holds; a ledger row of amount 0 '
  'carries the reason, which must not be blank. For uuid keys.';
REVOKE EXECUTE ON FUNCTION enroll_waived(uuid, uuid, text, text, text) FROM PUBLIC;

CREATE FUNCTION enroll_waived(
  user_id text,
  tournament_id text,
  reason text,
  idempotency_key text DEFAULT NULL,
  policy text DEFAULT 'default'
)
RETURNS enroll_receipt_text LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'pg_enroll_enroll_waived';
COMMENT ON FUNCTION enroll_waived(text, text, text, text, text) IS
  'An administrator''s free place: every rule but the price holds; a ledger row of amount 0 '
  'carries the reason, which must not be blank. For any policy: keys are given and answered as '
  'text.';
REVOKE EXECUTE ON FUNCTION enroll_waived(text, text, text, text, text) FROM PUBLIC;

-- Administration ------------------------------------------------------------------------------

CREATE FUNCTION enroll_create_tables(
  schema name DEFAULT NULL,
  policy text DEFAULT 'default'
)
RETURNS void LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'pg_enroll_create_tables';
COMMENT ON FUNCTION enroll_create_tables(name, text) IS
  'Creates the ready-made tables users, tournaments, enrollments and credit_transactions, owned '
  'by the caller, in the given or the current schema, and attaches them as that policy. Raises '
  '42710 where the policy exists, 42P07 where a table does.';
REVOKE EXECUTE ON FUNCTION enroll_create_tables(name, text) FROM PUBLIC;

CREATE FUNCTION enroll_precheck(
  policy jsonb,
  name text DEFAULT 'default',
  OUT object text,
  OUT action text,
  OUT lock text,
  OUT obstacle text,
  OUT violations bigint,
  OUT sample jsonb,
  OUT remedy text
)
RETURNS SETOF record LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'pg_enroll_precheck';
COMMENT ON FUNCTION enroll_precheck(jsonb, text) IS
  'What enroll_attach would do with the same arguments, in its order, and writes nothing. '
  'action: create, adopt, validate, seed, drop; refuse where something stands in the way; warn. '
  'lock: what the DDL takes. violations and sample: how many rows stand in the way, and up to '
  '20 of them. remedy: SQL to paste, or what to change in the document. Raises 22023 where the '
  'document is no policy.';
REVOKE EXECUTE ON FUNCTION enroll_precheck(jsonb, text) FROM PUBLIC;

CREATE FUNCTION enroll_attach(
  policy jsonb,
  name text DEFAULT 'default'
)
RETURNS void LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'pg_enroll_attach';
COMMENT ON FUNCTION enroll_attach(jsonb, text) IS
  'Installs the guards on the tables that the document names and stores the policy; over an '
  'existing name it takes that one''s place. Equivalent indexes and constraints are adopted. '
  'Only for the owner of the tables. Raises 55000, with the obstacles in DETAIL, where '
  'something stands in the way, and 22023 where the document is no policy; warns of what does '
  'not stop it.';
REVOKE EXECUTE ON FUNCTION enroll_attach(jsonb, text) FROM PUBLIC;

CREATE FUNCTION enroll_detach(
  name text DEFAULT 'default'
)
RETURNS void LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'pg_enroll_detach';
COMMENT ON FUNCTION enroll_detach(text) IS
  'Takes away the guards that attaching brought and forgets the policy; the data stay. Only for '
  'the owner of the tables. A warning names what is no longer protected.';
REVOKE EXECUTE ON FUNCTION enroll_detach(text) FROM PUBLIC;

CREATE FUNCTION enroll_reconcile(
  policy text DEFAULT 'default',
  OUT tournament text,
  OUT taken_before bigint,
  OUT taken_after bigint,
  OUT allotted_before bigint,
  OUT allotted_after bigint
)
RETURNS SETOF record LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'pg_enroll_reconcile';
COMMENT ON FUNCTION enroll_reconcile(text) IS
  'Recounts the seat counters from the rows and answers one row per tournament it had to '
  'change. Blocks writers of the tournaments and enrollments tables while it counts.';
REVOKE EXECUTE ON FUNCTION enroll_reconcile(text) FROM PUBLIC;

CREATE FUNCTION enroll_sanction(
  reason text,
  policy text DEFAULT 'default'
)
RETURNS void LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'pg_enroll_sanction';
COMMENT ON FUNCTION enroll_sanction(text, text) IS
  'Lifts the policy''s strict ledger until the end of this transaction, and records who did and '
  'why in enroll_sanction. Only for the owner of the tables. Raises 55000 where the ledger is not '
  'strict.';
REVOKE EXECUTE ON FUNCTION enroll_sanction(text, text) FROM PUBLIC;

CREATE FUNCTION enroll_guards(
  policy text,
  OUT guard text,
  OUT table_name regclass,
  OUT state text
)
RETURNS SETOF record LANGUAGE c STABLE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'pg_enroll_guards';
COMMENT ON FUNCTION enroll_guards(text) IS
  'One row per guard of a policy, judged by its definition and not its name: state is ok, '
  'missing, disabled or invalid.';
REVOKE EXECUTE ON FUNCTION enroll_guards(text) FROM PUBLIC;

CREATE VIEW enroll_policies AS
  SELECT p.name AS policy,
         p.users, p.tournaments, p.enrollments, p.ledger,
         pg_catalog.bool_and(g.state OPERATOR(pg_catalog.=) 'ok') AS guarded,
         pg_catalog.jsonb_object_agg(g.guard, g.state) AS guards,
         p.attached_at,
         p.document
  FROM enroll_policy p CROSS JOIN LATERAL enroll_guards(p.name) g
  GROUP BY p.name;
COMMENT ON VIEW enroll_policies IS 'What is attached, with each guard''s state.';
COMMENT ON COLUMN enroll_policies.policy IS 'the name that callers pass as policy';
COMMENT ON COLUMN enroll_policies.users IS 'table that holds the balances';
COMMENT ON COLUMN enroll_policies.tournaments IS 'table of what is sold';
COMMENT ON COLUMN enroll_policies.enrollments IS 'table of the places taken';
COMMENT ON COLUMN enroll_policies.ledger IS 'table of the credit movements';
COMMENT ON COLUMN enroll_policies.guarded IS 'true where every guard is in place';
COMMENT ON COLUMN enroll_policies.guards IS 'state of each guard: ok, missing, disabled or invalid';
COMMENT ON COLUMN enroll_policies.attached_at IS
  'when the guards were first installed on these enrollments';
COMMENT ON COLUMN enroll_policies.document IS 'the policy document';

-- Checks --------------------------------------------------------------------------------------

CREATE FUNCTION enroll_check(
  since interval DEFAULT '7 days',
  policy text DEFAULT 'default',
  OUT id text,
  OUT title text,
  OUT severity text,
  OUT status text,
  OUT violations bigint,
  OUT sample jsonb,
  OUT detail text,
  OUT remedy text
)
RETURNS SETOF record LANGUAGE c STABLE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'pg_enroll_check';
COMMENT ON FUNCTION enroll_check(interval, text) IS
  'One row per invariant, the built-in ones and then those of one''s own, all under the snapshot '
  'of the statement. Reads only, blocks no writer, works on a standby. severity: error, warning '
  'or info; status: ok, failed or skipped. violations and sample: how many rows break it, and '
  'the keys of up to 20 of them. since: how far to look back for enrollments without a ledger '
  'row, at most to the time of attaching. violations is NULL where a check was skipped, and '
  'where it failed since it could not be run.';
REVOKE EXECUTE ON FUNCTION enroll_check(interval, text) FROM PUBLIC;

CREATE FUNCTION enroll_assert(
  since interval DEFAULT '7 days',
  strict boolean DEFAULT false,
  policy text DEFAULT 'default'
)
RETURNS void LANGUAGE c STABLE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'pg_enroll_assert';
COMMENT ON FUNCTION enroll_assert(interval, boolean, text) IS
  'Runs enroll_check and raises NR091, with the ids in the message and the samples in DETAIL, '
  'where a check of severity error has failed; where strict, a warning too.';
REVOKE EXECUTE ON FUNCTION enroll_assert(interval, boolean, text) FROM PUBLIC;

CREATE FUNCTION enroll_report(
  since interval DEFAULT '7 days',
  policy text DEFAULT 'default'
)
RETURNS SETOF text LANGUAGE c STABLE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'pg_enroll_report';
COMMENT ON FUNCTION enroll_report(interval, text) IS
  'enroll_check as lines of text for people. A finding begins with ERROR:, WARNING: or INFO:; '
  'the last line is ALL CHECKS PASSED, PASSED WITH WARNINGS or FAILED.';
REVOKE EXECUTE ON FUNCTION enroll_report(interval, text) FROM PUBLIC;

CREATE FUNCTION enroll_accept_baseline(
  reason text,
  policy text DEFAULT 'default'
)
RETURNS bigint LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'pg_enroll_accept_baseline';
COMMENT ON FUNCTION enroll_accept_baseline(text, text) IS
  'Accepts the active enrollments that have no ledger row now: the checks are silent about them '
  'from here on, and the report lists them with the reason. Answers how many are new. Only for '
  'the owner of the tables.';
REVOKE EXECUTE ON FUNCTION enroll_accept_baseline(text, text) FROM PUBLIC;

CREATE FUNCTION enroll_add_check(
  name text,
  severity text,
  query text,
  description text,
  policy text DEFAULT 'default'
)
RETURNS void LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'pg_enroll_add_check';
COMMENT ON FUNCTION enroll_add_check(text, text, text, text, text) IS
  'Adds a check of one''s own. severity: error, warning or info. query: a SELECT that answers a '
  'row per violation, run read-only as the owner of the tables; :since stands for the beginning '
  'of the window. description: what holds where it answers none. Only for the owner of the '
  'tables. Raises 22023 where the query is no such SELECT, 42710 where the name is taken.';
REVOKE EXECUTE ON FUNCTION enroll_add_check(text, text, text, text, text) FROM PUBLIC;

CREATE FUNCTION enroll_drop_check(
  name text,
  policy text DEFAULT 'default'
)
RETURNS void LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'pg_enroll_drop_check';
COMMENT ON FUNCTION enroll_drop_check(text, text) IS
  'Drops a check of one''s own. Only for the owner of the tables.';
REVOKE EXECUTE ON FUNCTION enroll_drop_check(text, text) FROM PUBLIC;

-- Statistics ----------------------------------------------------------------------------------

CREATE FUNCTION enroll_counters(
  OUT database text,
  OUT policy text,
  OUT calls bigint,
  OUT outcomes jsonb,
  OUT errors bigint,
  OUT replays bigint,
  OUT looks bigint,
  OUT seat_waits bigint,
  OUT seat_wait_ms double precision,
  OUT seat_wait_max_ms double precision,
  OUT stripe_moves bigint,
  OUT guard_rejections bigint,
  OUT scope text,
  OUT stats_reset timestamptz
)
RETURNS SETOF record LANGUAGE c STABLE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'pg_enroll_stats';
COMMENT ON FUNCTION enroll_counters() IS
  'What enroll_stats shows. Other databases'' policies are shown to members of pg_read_all_stats.';
REVOKE EXECUTE ON FUNCTION enroll_counters() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION enroll_counters() TO pg_read_all_stats;

CREATE VIEW enroll_stats AS
  SELECT c.database, c.policy, c.calls, c.outcomes, c.errors, c.replays, c.looks, c.seat_waits,
         c.seat_wait_ms, c.seat_wait_max_ms, c.stripe_moves, c.guard_rejections, c.scope,
         c.stats_reset
  FROM enroll_counters() c;
COMMENT ON VIEW enroll_stats IS
  'What calls and triggers came to since stats_reset, one row per policy and database. Kept in '
  'memory, not across a restart or a crash, and not rolled back with a transaction.';
COMMENT ON COLUMN enroll_stats.database IS
  'database of the policy; NULL in the row of all policies for which there was no room';
COMMENT ON COLUMN enroll_stats.policy IS 'the name that callers pass as policy, its first 127 bytes';
COMMENT ON COLUMN enroll_stats.calls IS
  'attempts to enroll or unenroll: the sum of outcomes and errors; each user of an enroll_many '
  'that answers is one';
COMMENT ON COLUMN enroll_stats.outcomes IS
  'attempts by the code of their answer, raised or not, replays included';
COMMENT ON COLUMN enroll_stats.errors IS
  'attempts that ended in an error which is no outcome, such as 40001, 40P01 or a cancel';
COMMENT ON COLUMN enroll_stats.replays IS
  'attempts answered with the receipt of an earlier call of the same key';
COMMENT ON COLUMN enroll_stats.looks IS 'calls of can_enroll and quote_unenroll; no attempts';
COMMENT ON COLUMN enroll_stats.seat_waits IS
  'claims of seats, and seats given back, that waited for the holder of their stripe';
COMMENT ON COLUMN enroll_stats.seat_wait_ms IS 'time spent in these waits, in milliseconds';
COMMENT ON COLUMN enroll_stats.seat_wait_max_ms IS 'the longest of these waits, in milliseconds';
COMMENT ON COLUMN enroll_stats.stripe_moves IS
  'claims that went to another stripe than the session''s own';
COMMENT ON COLUMN enroll_stats.guard_rejections IS
  'statements of other writers that the trigger refused: enroll_capacity, BUSY, GUARD_MISSING';
COMMENT ON COLUMN enroll_stats.scope IS
  'server: all sessions; session: this one alone, since pg_enroll is not preloaded';
COMMENT ON COLUMN enroll_stats.stats_reset IS 'when counting began';
GRANT SELECT ON enroll_stats TO pg_read_all_stats;

CREATE FUNCTION enroll_stats_reset()
RETURNS void LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'pg_enroll_stats_reset';
COMMENT ON FUNCTION enroll_stats_reset() IS
  'Sets the counters of this database''s policies to zero, and forgets policies that are attached '
  'no more.';
REVOKE EXECUTE ON FUNCTION enroll_stats_reset() FROM PUBLIC;

-- The triggers' functions stay executable by all: a table's owner must be able to create and to
-- restore the triggers. They trust neither arguments nor name, only the table that fires.
CREATE FUNCTION enroll_door() RETURNS trigger
LANGUAGE c AS 'MODULE_PATHNAME', 'pg_enroll_door';
COMMENT ON FUNCTION enroll_door() IS
  'Trigger of an enrollments table: claims and gives back seats for every writer. Raises 23514 '
  '(enroll_capacity) where a seat is missing.';

CREATE FUNCTION enroll_gate() RETURNS trigger
LANGUAGE c AS 'MODULE_PATHNAME', 'pg_enroll_gate';
COMMENT ON FUNCTION enroll_gate() IS
  'Trigger of a tournaments table: opens seats for new tournaments and settles with every '
  'enrollment in flight before a close, a new capacity or a delete commits.';

CREATE FUNCTION enroll_balance() RETURNS trigger
LANGUAGE c AS 'MODULE_PATHNAME', 'pg_enroll_balance';
COMMENT ON FUNCTION enroll_balance() IS
  'Trigger of a users table under a strict ledger: at COMMIT a balance must have moved by what its '
  'ledger rows say. Raises 23514 (enroll_strict_ledger).';

CREATE FUNCTION enroll_ledger() RETURNS trigger
LANGUAGE c AS 'MODULE_PATHNAME', 'pg_enroll_ledger';
COMMENT ON FUNCTION enroll_ledger() IS
  'Trigger of a strict ledger: takes note of new rows; raises 23001 (enroll_append_only_ledger) '
  'where one is changed or removed.';

-- Only the extension's own table has this one.
CREATE FUNCTION enroll_append_only() RETURNS trigger
LANGUAGE c AS 'MODULE_PATHNAME', 'pg_enroll_append_only';
COMMENT ON FUNCTION enroll_append_only() IS
  'Trigger of enroll_sanction: raises 23001 where a row is changed or removed.';
REVOKE EXECUTE ON FUNCTION enroll_append_only() FROM PUBLIC;
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON enroll_sanction
  FOR EACH STATEMENT EXECUTE FUNCTION enroll_append_only();
COMMENT ON TRIGGER append_only ON enroll_sanction IS 'Keeps the record whole.';

-- The error contract --------------------------------------------------------------------------

CREATE VIEW enroll_error_codes (code, sqlstate, http_status, message, description) AS VALUES
  ('ENROLLED', '00000', 200, 'enrolled',
   'The user is enrolled; replayed is true where the idempotency key was seen before.'),
  ('UNENROLLED', '00000', 200, 'withdrawn',
   'The enrollment is withdrawn and what the policy refunds is credited.'),
  ('ELIGIBLE', '00000', 200, 'enroll would succeed now',
   'can_enroll: nothing stands in the way.'),
  ('REFUNDABLE', '00000', 200, 'unenroll would succeed now',
   'quote_unenroll: nothing stands in the way.'),
  ('IDEMPOTENCY_MISMATCH', 'NR016', 422, 'idempotency key was used for another call',
   'The key belongs to another user, tournament or operation, or its enrollment is gone.'),
  ('TOURNAMENT_NOT_FOUND', 'NR010', 404, 'tournament does not exist',
   'No tournament has this key.'),
  ('USER_NOT_FOUND', 'NR011', 404, 'user does not exist',
   'No user has this key.'),
  ('NOT_ENROLLED', 'NR012', 404, 'user is not enrolled in this tournament',
   'There is no active enrollment to withdraw.'),
  ('NOT_OPEN', 'NR005', 409, 'tournament is not open for enrollment',
   'The policy''s open expression is false or NULL.'),
  ('ALREADY_ENROLLED', '23505', 409, 'user is already enrolled in this tournament',
   'An active enrollment exists; the constraint field names the active-enrollment index.'),
  ('NOT_ELIGIBLE', 'NR015', 422, 'user is not eligible for this tournament',
   'A rule of the policy forbids enrolling.'),
  ('FULL', 'NR001', 409, 'tournament is full',
   'Every seat is taken.'),
  ('PRICE_CHANGED', 'NR008', 409, 'price is above the given maximum',
   'The price is higher than max_price.'),
  ('INSUFFICIENT_CREDITS', 'NR004', 402, 'not enough credits',
   'The balance is lower than the price.'),
  ('NOT_REFUNDABLE', 'NR017', 409, 'enrollment cannot be withdrawn now',
   'A rule of the policy forbids withdrawing.'),
  ('BUSY', 'NR020', 503, 'too much contention, try again',
   'The call could not settle within its limits; nothing was done.'),
  ('GUARD_MISSING', 'NR090', 500, 'a guard is missing, refusing rather than racing',
   'Someone dropped, disabled or weakened a guard; also raised by the try_ functions.'),
  ('CHECKS_FAILED', 'NR091', 500, 'integrity checks failed',
   'enroll_assert: an invariant is broken; the message goes on with the ids of the checks.');
COMMENT ON VIEW enroll_error_codes IS
  'The contract of outcomes, rejections in order of precedence: code, SQLSTATE, HTTP status, '
  'message.';
COMMENT ON COLUMN enroll_error_codes.code IS 'code of the receipt';
COMMENT ON COLUMN enroll_error_codes.sqlstate IS 'SQLSTATE of the error raised';
COMMENT ON COLUMN enroll_error_codes.http_status IS 'HTTP status that fits';
COMMENT ON COLUMN enroll_error_codes.message IS 'message text, constant per code';
COMMENT ON COLUMN enroll_error_codes.description IS 'what it means';
GRANT SELECT ON enroll_error_codes TO PUBLIC;
