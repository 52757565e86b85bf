-- Tables of an application's own, filled: as many enrollments and users as asked for, each
-- enrollment with its ledger row, a tenth of them withdrawn.
CREATE EXTENSION pg_enroll;
CREATE SCHEMA bench;
CREATE TABLE bench.people (id integer PRIMARY KEY, name text, credits integer NOT NULL);
CREATE TABLE bench.cups (id integer PRIMARY KEY, name text, chairs integer, price integer NOT NULL);
CREATE TABLE bench.places (
  id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  person integer NOT NULL REFERENCES bench.people,
  cup integer NOT NULL REFERENCES bench.cups,
  taken boolean NOT NULL,
  made_at timestamptz NOT NULL DEFAULT now()
);
CREATE TABLE bench.moves (
  id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  place integer REFERENCES bench.places,
  person integer REFERENCES bench.people,
  kind text NOT NULL,
  amount integer NOT NULL,
  balance integer NOT NULL,
  key text UNIQUE
);
INSERT INTO bench.people SELECT n, 'Person ' || n, 1000 FROM generate_series(1, :users) AS n;
INSERT INTO bench.cups SELECT n, 'Cup ' || n, 1000, 10 FROM generate_series(1, 10000) AS n;
INSERT INTO bench.places (person, cup, taken)
SELECT n % :users + 1, (n / :users * 997 + n % :users) % 10000 + 1, n % 10 > 0
FROM generate_series(0, :enrollments - 1) AS n;
INSERT INTO bench.moves (place, person, kind, amount, balance)
SELECT id, person, 'in', -10, 990 FROM bench.places;
CREATE INDEX ON bench.places (cup);
CREATE INDEX ON bench.places (person);
CREATE INDEX ON bench.moves (place, id);
CREATE TABLE bench.policy AS SELECT '{
  "users": {"table": "bench.people", "key": "id", "balance": "credits"},
  "tournaments": {"table": "bench.cups", "key": "id", "capacity": "t.chairs", "cost": "t.price"},
  "enrollments": {"table": "bench.places", "key": "id", "user": "person", "tournament": "cup",
    "active": "taken", "time": "made_at", "insert": {"taken": "TRUE"},
    "withdraw": {"taken": "FALSE"}},
  "ledger": {"table": "bench.moves", "amount": "amount", "balance_after": "balance",
    "enrollment": "place", "user": "person", "idempotency_key": "key", "order": "id",
    "type": {"column": "kind", "enroll": "in", "unenroll": "out", "waive": "free"}}}'::jsonb
  AS document;
ALTER DATABASE bench SET search_path = bench, public;
REVOKE CREATE ON SCHEMA public FROM PUBLIC;
VACUUM ANALYZE;
