#!/bin/bash
# What attaching costs on tables of a size: how long precheck, attach, attach again and detach take,
# and which locks an attach holds. On a private, throw-away server, durable, its settings the default
# ones. Prints the median of several rounds.
#
#   bench/attach.sh [ENROLLMENTS] [USERS] [ROUNDS]     1000000 200000 3 where left out
set -euo pipefail
# shellcheck source=test/setup.sh
. "$(dirname "${BASH_SOURCE[0]}")/../test/setup.sh"

enrollments=${1:-1000000}
users=${2:-200000}
rounds=${3:-3}

sql() { as_builder "$BIN/psql" -X -q -v ON_ERROR_STOP=1 -d bench "$@"; }

# timed LABEL SQL: milliseconds of one statement, as the client sees them.
timed() {
  local ms
  ms=$(sql -At -c '\timing on' -c "$2" | sed -n 's/^Time: \([0-9.]*\) ms.*/\1/p')
  printf '%s\t%s\n' "$1" "$ms" >>"$WORK/times"
}

median_table() {
  printf '%-46s %10s   %s\n' 'what' 'median ms' 'all'
  local label
  cut -f1 "$WORK/times" | awk '!seen[$0]++' | while IFS= read -r label; do
    awk -F'\t' -v l="$label" '$1 == l { print $2 }' "$WORK/times" | sort -n |
      awk -v l="$label" '{ v[NR] = $1; all = all " " int($1 + 0.5) }
        END { printf "%-46s %10d  %s\n", l, v[int((NR + 1) / 2)] + 0.5, all }'
  done
}

install_missing "${BUILD_PACKAGES[@]}"
work_dir
make_stage "$WORK/stage"
build_into "$WORK/stage" >"$WORK/build.log" 2>&1 || { tail -n 40 "$WORK/build.log" >&2; exit 1; }
start_cluster bench 'fsync = on' 'max_wal_size = 8GB'
as_builder "$BIN/createdb" bench

echo "Loading $enrollments enrollments of $users users ..."
sql -v enrollments="$enrollments" -v users="$users" <"$ROOT/bench/attach.sql"
policy="(SELECT document FROM bench.policy)"

for _ in $(seq "$rounds"); do
  timed 'precheck' "SELECT count(*) FROM enroll_precheck($policy)"
  timed 'attach, index and check to be built' "SELECT enroll_attach($policy)"
  timed 'attach again' "SELECT enroll_attach($policy)"
  timed 'detach' 'SET client_min_messages = error; SELECT enroll_detach()'
  sql -c "CREATE UNIQUE INDEX CONCURRENTLY ready ON bench.places (person, cup) WHERE (taken)"
  sql -c "ALTER TABLE bench.people ADD CONSTRAINT ready CHECK (credits >= 0) NOT VALID"
  sql -c "ALTER TABLE bench.people VALIDATE CONSTRAINT ready"
  timed 'attach, both built beforehand' "SELECT enroll_attach($policy)"
  timed 'detach, both stay' 'SET client_min_messages = error; SELECT enroll_detach()'
  sql -c 'DROP INDEX bench.ready' -c 'ALTER TABLE bench.people DROP CONSTRAINT ready'
done
median_table

echo
echo "Locks that an attach holds to its end:"
sql -c "BEGIN" -c "SELECT enroll_attach($policy)" -c "
  SELECT relation::regclass AS table, string_agg(DISTINCT mode, ', ' ORDER BY mode) AS locks
  FROM pg_locks WHERE pid = pg_backend_pid() AND locktype = 'relation'
    AND relation IN (SELECT oid FROM pg_class WHERE relnamespace = 'bench'::regnamespace
                     AND relkind = 'r')
  GROUP BY relation ORDER BY relation::regclass::text" -c ROLLBACK
