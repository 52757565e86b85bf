#!/bin/bash
# What attaching costs on tables of a size: how long each step of a deploy takes, and which locks it
# holds to its end. On a private, throw-away server, durable, its settings the default ones but for
# max_wal_size. Prints the medians of several rounds.
#
#   bench/attach.sh [ENROLLMENTS] [USERS] [ROUNDS]     1000000 200000 5 where left out
set -euo pipefail
# shellcheck source=bench/common.sh
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"

enrollments=${1:-1000000}
users=${2:-200000}
rounds=${3:-5}

load() { sql -v enrollments="$enrollments" -v users="$users" <"$ROOT/bench/attach.sql"; }

quiet_sql() { PGOPTIONS='-c client_min_messages=error' sql "$@"; }

# timed LABEL SQL: milliseconds of one statement, as the client sees them.
timed() {
  local said
  said=$(quiet_sql -At -c '\timing on' -c "$2") || return
  printf '%s\t%s\n' "$1" "$(sed -n 's/^Time: \([0-9.]*\) ms.*/\1/p' <<<"$said")" >>"$WORK/times"
}

round() {
  timed 'precheck' "SELECT count(*) FROM enroll_precheck($policy)" &&
    timed 'attach, not prepared' "SELECT enroll_attach($policy)" &&
    timed 'attach again' "SELECT enroll_attach($policy)" &&
    timed 'reconcile' "SELECT count(*) FROM enroll_reconcile()" &&
    timed 'detach' 'SELECT enroll_detach()' &&
    timed 'CREATE UNIQUE INDEX CONCURRENTLY' \
      'CREATE UNIQUE INDEX CONCURRENTLY ready ON bench.places (person, cup) WHERE (taken)' &&
    timed 'ADD CONSTRAINT ... NOT VALID' \
      'ALTER TABLE bench.people ADD CONSTRAINT ready CHECK (credits >= 0) NOT VALID' &&
    timed 'VALIDATE CONSTRAINT' 'ALTER TABLE bench.people VALIDATE CONSTRAINT ready' &&
    timed 'attach, prepared' "SELECT enroll_attach($policy)" &&
    timed 'detach, the prepared guards stay' 'SELECT enroll_detach()' &&
    sql -c 'DROP INDEX bench.ready' -c 'ALTER TABLE bench.people DROP CONSTRAINT ready'
}

# locks LABEL SQL: what the statement has locked of the tables when it is done.
locks() {
  printf '\nLocks held by %s:\n\n' "$1"
  quiet_sql -P footer=off <<END
    BEGIN;
    $2 \g /dev/null
    SELECT relation::regclass AS table, string_agg(DISTINCT mode, ', ' ORDER BY mode) AS locks
    FROM pg_locks WHERE pid = pg_backend_pid() AND locktype = 'relation'
      AND relation IN (SELECT oid FROM pg_class WHERE relnamespace = 'bench'::regnamespace
                       AND relkind = 'r' AND relname <> 'policy')
    GROUP BY relation ORDER BY relation::regclass::text;
    COMMIT;
END
}

all_locks() {
  locks 'precheck' "SELECT FROM enroll_precheck($policy)"
  locks 'attach' "SELECT enroll_attach($policy)"
  locks 'attach again' "SELECT enroll_attach($policy)"
  locks 'reconcile' 'SELECT FROM enroll_reconcile()'
  locks 'detach' 'SELECT enroll_detach()'
  sql -c 'CREATE UNIQUE INDEX ON bench.places (person, cup) WHERE (taken)' \
    -c 'ALTER TABLE bench.people ADD CHECK (credits >= 0)'
  locks 'attach, prepared' "SELECT enroll_attach($policy)"
}

main() {
  local policy="(SELECT document FROM bench.policy)" n
  install_missing "${BUILD_PACKAGES[@]}"
  work_dir
  durable_server 'max_wal_size = 8GB'
  quietly "Loading $enrollments enrollments of $users users" load
  for n in $(seq "$rounds"); do
    quietly "Round $n" round
  done
  echo
  medians step 34
  all_locks
}

main
