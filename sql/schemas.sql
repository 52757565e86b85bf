-- An application unlike the ready-made one: uuid keys, decimal money, enrollments partitioned by
-- tournament, names that need quotes, tables in three schemas, capacity in a watched table.
\set SHOW_CONTEXT never
SET client_min_messages = error;
DROP EXTENSION IF EXISTS pg_enroll CASCADE;
DROP SCHEMA IF EXISTS shop, "Select", "order by", "Money ""Box""", "from.where" CASCADE;
CREATE SCHEMA shop;
CREATE SCHEMA "Select";
CREATE SCHEMA "order by";
CREATE SCHEMA "Money ""Box""";
CREATE SCHEMA "from.where";
SET search_path = shop;
CREATE EXTENSION pg_enroll;
RESET client_min_messages;

-- Readable keys: u(1) is user 1.
CREATE FUNCTION u(n integer) RETURNS uuid LANGUAGE sql IMMUTABLE
RETURN format('00000000-0000-0000-0000-%s', lpad(n::text, 12, '0'))::uuid;
CREATE TYPE "order by"."Kind" AS ENUM ('Buy', 'Sell; --', 'It''s "free"');
CREATE TABLE "Select"."user" ("Key" uuid PRIMARY KEY, "order" numeric(12, 2) NOT NULL,
  "Group By" text NOT NULL DEFAULT 'none');
CREATE TABLE "order by"."Order" ("table" uuid PRIMARY KEY, "Cost ""net""" numeric(10, 2) NOT NULL,
  "Open?" boolean NOT NULL DEFAULT true);
CREATE TABLE "from.where"."limit" ("Order" uuid, "offset" smallint);
CREATE TABLE "Select"."Enrollment" (
  "Key" uuid NOT NULL DEFAULT gen_random_uuid(), "user" uuid NOT NULL, "Order" uuid NOT NULL,
  "End" timestamptz, "no. 1" text NOT NULL, "Désolé" integer, PRIMARY KEY ("Key", "Order"))
PARTITION BY LIST ("Order");
-- Partitions whose columns stand in another order, or stood behind one that was dropped.
CREATE TABLE "Select"."part;one" ("Order" uuid NOT NULL, junk text, "Désolé" integer,
  "no. 1" text NOT NULL, "End" timestamptz, "user" uuid NOT NULL,
  "Key" uuid NOT NULL DEFAULT gen_random_uuid());
ALTER TABLE "Select"."part;one" DROP COLUMN junk;
ALTER TABLE "Select"."Enrollment" ATTACH PARTITION "Select"."part;one"
  FOR VALUES IN ('00000000-0000-0000-0000-000000000010');
CREATE TABLE "Select"."Part Two" PARTITION OF "Select"."Enrollment"
  FOR VALUES IN ('00000000-0000-0000-0000-000000000011', '00000000-0000-0000-0000-000000000012')
  PARTITION BY HASH ("Order");
CREATE TABLE "Select"."Part Two A" PARTITION OF "Select"."Part Two" 
  FOR VALUES WITH (MODULUS 2, REMAINDER 0);
CREATE TABLE "Select"."Part Two B" PARTITION OF "Select"."Part Two" 
  FOR VALUES WITH (MODULUS 2, REMAINDER 1);
CREATE INDEX ON "Select"."Enrollment" ("Order");
CREATE TABLE "Money ""Box"""."Move" ("by" bigint GENERATED ALWAYS AS IDENTITY UNIQUE,
  "from" uuid, "to" uuid, "what" "order by"."Kind" NOT NULL, "how much" numeric(12, 2) NOT NULL,
  "left" numeric(12, 2) NOT NULL, "Key" uuid NOT NULL UNIQUE, "why ""so""" text);
CREATE INDEX ON "Money ""Box"""."Move" ("to");
INSERT INTO "Select"."user" SELECT u(n), 100 FROM generate_series(1, 9) n;
INSERT INTO "order by"."Order" SELECT u(n), 12.34 FROM generate_series(10, 12) n;
INSERT INTO "from.where"."limit" VALUES (u(10), 3), (u(11), 1);
INSERT INTO "Select"."Enrollment" ("user", "Order", "no. 1") VALUES (u(9), u(10), 'before');
CREATE TABLE documents (document jsonb);
INSERT INTO documents VALUES ($${
  "users": {"table": "Select.user", "key": "Key", "balance": "order"},
  "tournaments": {"table": "order by.Order", "key": "table",
    "cost": "t.\"Cost \"\"net\"\"\"", "open": "t.\"Open?\"",
    "capacity":
      "(SELECT l.\"offset\" FROM \"from.where\".\"limit\" l WHERE l.\"Order\" = t.\"table\")"},
  "watch": [{"table": "\"from.where\".\"limit\"", "tournament": "Order"}],
  "enrollments": {"table": "Select.Enrollment", "key": "Key", "user": "user",
    "tournament": "Order", "active": "\"End\" IS NULL",
    "insert": {"no. 1": "'it''s ' || u.\"Group By\" || '; \"ok\"'", "Désolé": "1"},
    "withdraw": {"End": "'2001-01-01 00:00Z'", "no. 1": "e.\"no. 1\" || ' – out'"}},
  "ledger": {"table": "\"Money \"\"Box\"\"\".\"Move\"", "amount": "how much",
    "balance_after": "left", "enrollment": "to", "user": "from", "idempotency_key": "Key",
    "order": "by", "type": {"column": "what", "enroll": "Buy", "unenroll": "Sell; --",
    "waive": "It's \"free\""},
    "insert": {"why \"so\"": "operation || ' ' || e.\"no. 1\" || coalesce(' ' || reason, '')"}},
  "refund": "paid / 2",
  "rules": [{"name": "Group", "require": "u.\"Group By\" <> 'Ausländer'", "message": "Désolé"}],
  "on_enroll": ["UPDATE \"Select\".\"user\" SET \"Group By\" = ':user' WHERE \"Key\" = :user"]
}$$);
SELECT object, action, lock, obstacle FROM documents, LATERAL enroll_precheck(document)
WHERE object !~ 'trigger .*"(part;one|Part Two)';
SELECT enroll_attach(document) FROM documents;
SELECT policy, users, tournaments, enrollments, ledger, guarded FROM enroll_policies;

-- By uuid and by text.
SELECT code, amount, balance_after, seats_left FROM enroll(u(1), u(10));
SELECT code, amount, balance_after, seats_left
FROM enroll('00000000-0000-0000-0000-000000000002', '00000000-0000-0000-0000-000000000010');
SELECT code, details FROM try_enroll(u(3), u(10));
SELECT code, enrollment_id IS NOT NULL AS row FROM try_enroll(u(1)::text, u(10)::text);
SELECT enroll(1, 10);
SELECT enroll('one', u(10)::text);
SELECT code FROM can_enroll(u(3), u(11));
SELECT code FROM try_enroll(u(3), u(13));
SELECT code, amount, balance_after, seats_left FROM unenroll(u(1), u(10));
SELECT code, amount, seats_left FROM enroll_waived(u(3), u(10), 'a guest');
UPDATE "Select"."user" SET "Group By" = 'Ausländer' WHERE "Key" = u(4);
SELECT enroll(u(4), u(12));
-- Keys: the ledger wants one in every row, and a uuid at that.
SELECT code, replayed FROM enroll(u(5), u(12), 'A0000000-0000-0000-0000-000000000001');
SELECT code, replayed FROM enroll(u(5), u(12), '{a0000000-0000-0000-0000-000000000001}');
SELECT code FROM try_enroll(u(6), u(12), 'a0000000-0000-0000-0000-000000000001');
SELECT enroll(u(6), u(12), 'no uuid');
\echo :LAST_ERROR_SQLSTATE
SELECT user_id, code, replayed FROM try_enroll_many(ARRAY[u(6), u(5), u(7)], u(11),
  ARRAY['b0000000-0000-0000-0000-000000000001', 'a0000000-0000-0000-0000-000000000001',
        'b0000000-0000-0000-0000-000000000003']);
SELECT user_id, code, seats_left FROM enroll_many(ARRAY[u(7)::text, u(6)::text], u(12)::text);
SELECT "user", "Order", "no. 1", "End" IS NULL AS active, tableoid::regclass
FROM "Select"."Enrollment" ORDER BY "Order", "user", "End";
SELECT "from", what, "how much", "left", "why ""so""" FROM "Money ""Box"""."Move" ORDER BY "by";

-- Raw writers, through the root and into partitions: the counters stay in step.
CREATE VIEW counted AS
  SELECT right(s.tournament, 2) AS tournament, s.taken, s.allotted,
    (SELECT count(*) FROM "Select"."Enrollment" e
     WHERE e."Order"::text = s.tournament AND e."End" IS NULL) AS rows
  FROM enroll_seat s;
SELECT * FROM counted ORDER BY tournament;
INSERT INTO "Select"."Enrollment" ("user", "Order", "no. 1") VALUES (u(8), u(10), 'raw');
INSERT INTO "Select"."part;one" ("user", "Order", "no. 1") VALUES (u(8), u(10), 'raw');
INSERT INTO "Select"."Part Two" ("user", "Order", "no. 1") VALUES (u(8), u(11), 'raw');
INSERT INTO "Select"."Part Two" ("user", "Order", "no. 1") VALUES (u(8), u(12), 'raw'),
  (u(9), u(12), 'raw');
DELETE FROM "Select"."part;one" WHERE "user" = u(9);
INSERT INTO "Select"."part;one" ("user", "Order", "no. 1") VALUES (u(8), u(10), 'raw');
INSERT INTO "Select"."part;one" ("user", "Order", "no. 1") VALUES (u(8), u(10), 'twice');
SELECT * FROM counted ORDER BY tournament;
-- A row that moves to another partition, by an UPDATE of the root; one that is withdrawn by hand.
UPDATE "Select"."Enrollment" SET "Order" = u(12) WHERE "user" = u(3);
UPDATE "Select"."Enrollment" SET "Order" = u(11) WHERE "user" = u(8) AND "Order" = u(10);
UPDATE "Select"."part;one" SET "End" = now() WHERE "user" = u(2);
SELECT * FROM counted ORDER BY tournament;
COPY "Select"."Enrollment" ("user", "Order", "no. 1") FROM stdin;
00000000-0000-0000-0000-000000000004	00000000-0000-0000-0000-000000000010	copied
00000000-0000-0000-0000-000000000005	00000000-0000-0000-0000-000000000010	copied
\.
SELECT * FROM counted ORDER BY tournament;
DELETE FROM "Select"."Enrollment" WHERE "user" = u(4);
SELECT code, seats_left FROM try_enroll(u(1), u(10));
-- One partition is emptied, then the whole.
TRUNCATE "Select"."part;one";
SELECT * FROM counted ORDER BY tournament;
SELECT * FROM enroll_reconcile();
TRUNCATE "Select"."Part Two";
SELECT * FROM counted ORDER BY tournament;
SELECT code FROM enroll(u(1), u(11));
TRUNCATE "Select"."Enrollment";
SELECT * FROM counted ORDER BY tournament;

-- The watched table opens, closes and resizes.
SELECT code, seats_left FROM enroll(u(1), u(10));
UPDATE "from.where"."limit" SET "offset" = 1 WHERE "Order" = u(10);
SELECT code FROM try_enroll(u(2), u(10));
INSERT INTO "Select"."part;one" ("user", "Order", "no. 1") VALUES (u(2), u(10), 'raw');
UPDATE "from.where"."limit" SET "offset" = 2 WHERE "Order" = u(10);
SELECT code, seats_left FROM enroll(u(2), u(10));

-- A partition that comes later is guarded through the root; by itself once attached again.
CREATE TABLE "Select"."Later" PARTITION OF "Select"."Enrollment" DEFAULT;
INSERT INTO "order by"."Order" VALUES (u(14), 1);
INSERT INTO "from.where"."limit" VALUES (u(14), 2);
SELECT code, seats_left FROM enroll(u(1), u(14));
SELECT guarded FROM enroll_policies;
SELECT guard, table_name, state FROM enroll_guards('default') WHERE state <> 'ok' ORDER BY guard;
INSERT INTO "Select"."Later" ("user", "Order", "no. 1") VALUES (u(2), u(14), 'unseen'),
  (u(3), u(14), 'unseen');
SELECT right(tournament, 2) AS tournament, taken_before, taken_after FROM enroll_reconcile();
SELECT object, action, obstacle FROM documents, LATERAL enroll_precheck(document)
WHERE action NOT IN ('adopt', 'seed');
SELECT enroll_attach(document) FROM documents;
SELECT guarded FROM enroll_policies;
INSERT INTO "Select"."Later" ("user", "Order", "no. 1") VALUES (u(4), u(14), 'raw');
DELETE FROM "Select"."Later" WHERE "user" = u(2);
SELECT code FROM try_enroll(u(5), u(14));
-- Taken away or brought along with its rows, nothing fires: that is for reconcile to count.
ALTER TABLE "Select"."Enrollment" DETACH PARTITION "Select"."part;one";
SELECT right(tournament, 2) AS tournament, taken_before, taken_after FROM enroll_reconcile();
INSERT INTO "Select"."part;one" ("user", "Order", "no. 1") VALUES (u(7), u(10), 'alone');
DROP TRIGGER enroll_door_insert ON "Select"."part;one";
INSERT INTO "Select"."part;one" ("user", "Order", "no. 1") VALUES (u(7), u(10), 'alone');
ALTER TABLE "Select"."Enrollment" ATTACH PARTITION "Select"."part;one"
  FOR VALUES IN ('00000000-0000-0000-0000-000000000010');
SELECT right(tournament, 2) AS tournament, taken_before, taken_after FROM enroll_reconcile();
SELECT guard, table_name, state FROM enroll_guards('default') WHERE state <> 'ok' ORDER BY guard;
SELECT code FROM enroll(u(2), u(11));
DROP TABLE "Select"."Part Two";
SELECT right(tournament, 2) AS tournament, taken_before, taken_after FROM enroll_reconcile();

-- Nothing of it stays behind.
SELECT enroll_detach();
SELECT t.tgrelid::regclass, t.tgname FROM pg_trigger t WHERE t.tgname ~ '^enroll_' ORDER BY 1, 2;
SELECT indexrelid::regclass FROM pg_index WHERE indexrelid::regclass::text ~ 'uq_active';
SELECT conrelid::regclass, conname FROM pg_constraint WHERE conname ~ '^chk_credit';

SET client_min_messages = error;
DROP SCHEMA shop, "Select", "order by", "Money ""Box""", "from.where" CASCADE;
