#!/bin/bash
# Shows pg_enroll at work: builds it, starts a private, throw-away PostgreSQL, loads a small club
# with its tournaments, and calls everything once. Leaves nothing behind.
#
#   examples/quickstart.sh          runs, prints, cleans up
#   examples/quickstart.sh --keep   leaves the server running, to look around in
set -euo pipefail
# shellcheck source=test/setup.sh
. "$(dirname "${BASH_SOURCE[0]}")/../test/setup.sh"

case ${1:-} in
  '' | --keep) ;;
  *) die "usage: $0 [--keep]" ;;
esac

# psql answers in lines, so that results and errors stay in order on their way through the pipe.
sql() { as_builder env -C "$WORK/src/examples" stdbuf -oL "$BIN/psql" -X -q -d club "$@"; }

value() { sql -At -c "$1"; }

tour() {
  sql <"$ROOT/examples/quickstart.sql" 2>&1 | tee "$WORK/tour.out" | highlight
}

# The tour must have shown each code and each SQLSTATE that it promises.
tour_is_complete() {
  shows "$WORK/tour.out" ENROLLED UNENROLLED IDEMPOTENCY_MISMATCH TOURNAMENT_NOT_FOUND \
    USER_NOT_FOUND NOT_ENROLLED NOT_OPEN ALREADY_ENROLLED FULL PRICE_CHANGED \
    INSUFFICIENT_CREDITS 'SQLSTATE NR001' 'SQLSTATE 23514' 'SQLSTATE 23505' 'SQLSTATE NR090'
}

# 32 connections wait at an advisory lock, are let go at once, and call for the same last seat.
race() {
  local starter
  sql -c 'CREATE TABLE race_answers (user_id bigint, code text)' || return
  sql -f race-starter.sql >"$WORK/starter.log" 2>&1 &
  starter=$!
  until [ "$(value "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'")" = 1 ]; do
    kill -0 "$starter" || return
    sleep 0.05
  done
  as_builder "$BIN/pgbench" -n -c 32 -j 2 -t 1 -f "$WORK/src/examples/race-caller.sql" club &&
    wait "$starter"
}

race_result() {
  local result
  sql <"$ROOT/examples/race-result.sql"
  result=$(value "SELECT format('%s enrolled, %s told FULL',
    count(*) FILTER (WHERE code = 'ENROLLED'), count(*) FILTER (WHERE code = 'FULL'))
    FROM race_answers")
  echo "$BOLD$result$PLAIN"
  [ "$result" = "1 enrolled, 31 told FULL" ] || die "That is not what was promised."
}

how_to_go_on() {
  local as=''
  [ "$(id -u)" != 0 ] || as="runuser -u $BUILDER -- "
  if [ "$1" != --keep ]; then
    echo "The server stops here and its files go. To keep it running: $0 --keep"
    return
  fi
  forget_cluster club
  KEEP=1
  echo "The server is still running. A session in it:"
  echo "  $BIN/psql -h $PGHOST -U postgres club"
  echo "Stop it and remove everything:"
  echo "  $as$BIN/pg_ctl -D $WORK/club -m fast stop && rm -rf $WORK"
}

main() {
  install_missing "${BUILD_PACKAGES[@]}"
  work_dir
  quietly "Copying PostgreSQL $PGVERSION into a directory of its own" make_stage "$WORK/stage"
  # Without LLVM bitcode, which a tour has no use for, it builds in half the time.
  quietly "Building pg_enroll" build_into "$WORK/stage" with_llvm=no
  quietly "Starting a private server" start_cluster club
  quietly "Creating a database" as_builder "$BIN/createdb" club
  tour
  tour_is_complete
  title "10. The last seat: 32 connections call for it at the same moment"
  quietly "Racing" race
  echo
  race_result
  echo
  how_to_go_on "${1:-}"
}

main "$@"
