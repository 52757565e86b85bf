# What the benchmarks share: a private server with the extension, durable. Sourced, never run.
#
# shellcheck shell=bash
# shellcheck source=test/setup.sh
. "$(dirname "${BASH_SOURCE[0]}")/../test/setup.sh"

sql() { as_builder "$BIN/psql" -X -q -v ON_ERROR_STOP=1 -d bench "$@"; }

# durable_server [SETTING...]: builds the checkout and starts a server that keeps what it commits,
# with an empty database "bench".
durable_server() {
  quietly "Copying PostgreSQL $PGVERSION into a directory of its own" make_stage "$WORK/stage"
  quietly "Building pg_enroll" build_into "$WORK/stage" with_llvm=no
  quietly "Starting a private server" start_cluster bench 'fsync = on' "$@"
  quietly "Creating a database" as_builder "$BIN/createdb" bench
}

# medians HEADING WIDTH: a line for each label in $WORK/times, whose lines are a label, a tab and
# milliseconds: the median, and all.
medians() {
  local label
  printf "%-$2s %9s   %s\n" "$1" 'median ms' 'all rounds'
  cut -f1 "$WORK/times" | awk '!seen[$0]++' | while IFS= read -r label; do
    awk -F'\t' -v l="$label" '$1 == l { print $2 }' "$WORK/times" | sort -n |
      awk -v l="$label" -v w="$2" '{ v[NR] = $1; all = all " " int($1 + 0.5) }
        END { printf "%-" w "s %9d  %s\n", l, v[int((NR + 1) / 2)] + 0.5, all }'
  done
}
