#!/bin/bash
# Every contender side by side, in one session on one private server that commits durably. Prints
# medians, ratios and spreads, and writes them as JSON and as pictures. docs/benchmarks.md says what
# is compared with what.
#
#   bench/run.sh [OPTION...]
#
#   --quick             a look in about four minutes, instructions left out; rough numbers
#   --only WORKLOAD     only this one; may be given several times
#   --clients N[,N...]  numbers of clients of spread, hot, sold-out and mixed
#   --rounds N          rounds of each comparison
#   --seconds N         length of each run under load, after the sessions have warmed up
#   --calls N           calls of the session whose memory is watched
#   --output DIR        where results.json and the pictures go; results/bench where left out
#
# KEEP=1 in the environment leaves the server's directory behind.
set -euo pipefail
# shellcheck source=bench/common.sh
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"

# In the order in which they run.
WORKLOADS=(spread hot sold-out low-stock mixed cpu copy memory sizes instructions)
PYTHON=/usr/bin/python3

only=()
quick=no
output=$ROOT/results/bench

usage() {
  sed -n '2,/^set /s/^# \{0,1\}//p' "$0"
  exit "$1"
}

wanted_number() {
  case ${2:-} in
    '' | *[!0-9,]*) die "$1 wants a number, not \"${2:-}\"." ;;
  esac
}

wanted_workload() {
  local name
  for name in "${WORKLOADS[@]}"; do
    [ "$name" != "${1:-}" ] || return 0
  done
  die "There is no workload \"${1:-}\"; there are: ${WORKLOADS[*]}"
}

# Sets only, quick, output and the numbers; what is not given follows from quick.
parse() {
  local name
  while [ $# -gt 0 ]; do
    name=${1#--}
    case $1 in
      --quick) quick=yes; shift; continue ;;
      --help) usage 0 ;;
      --only) wanted_workload "${2:-}"; only+=("$2") ;;
      --output) output=${2:?--output wants a directory} ;;
      --clients | --rounds | --seconds | --calls)
        wanted_number "$1" "${2:-}"
        declare -g "$name=$2" ;;
      *) usage 2 >&2 ;;
    esac
    shift 2
  done
  if [ ${#only[@]} = 0 ] && [ "$quick" = yes ]; then
    only=("${WORKLOADS[@]/instructions/}")
  elif [ ${#only[@]} = 0 ]; then
    only=("${WORKLOADS[@]}")
  fi
  if [ "$quick" = yes ]; then
    : "${clients:=16}" "${rounds:=2}" "${seconds:=1}" "${calls:=20000}" "${lots:=1}"
    : "${rows:=10000}" "${side_rounds:=1}"
  else
    : "${clients:=1,8,16,32,64}" "${rounds:=5}" "${seconds:=4}" "${calls:=1000000}" "${lots:=10}"
    : "${rows:=1000000}" "${side_rounds:=$rounds}"
  fi
}

is_wanted() { [[ " ${only[*]} " == *" $1 "* ]]; }

# glibc gives memory at the heap's top back to the kernel and takes it again, call by call or not at
# all by the luck of the layout; with these it never does, for no contender.
steady_memory() { export MALLOC_TOP_PAD_=67108864 MALLOC_TRIM_THRESHOLD_=268435456; }

build_noop() {
  as_builder make -C "$WORK/src/bench/noop" with_llvm=no PG_CONFIG="$BIN/pg_config" install
}

drive() {
  "$PYTHON" -B "$ROOT/bench/drive.py" --bin "$BIN" --scratch "$WORK/scratch" \
    --results "$WORK/results.jsonl" --clients "$clients" --seconds "$seconds" \
    --rounds "$rounds" --side-rounds "$side_rounds" --calls "$calls" --lots "$lots" \
    --rows "$rows" --users $((140000 + 20000 * seconds)) "$@"
}

# The same server under callgrind: each of its processes leaves what it counted.
count_instructions() {
  local program=$WORK/callgrind.server
  command -v valgrind >/dev/null || { echo "No valgrind: instructions are not counted."; return; }
  as_builder tee "$program" >/dev/null <<END
#!/bin/sh
exec valgrind --quiet --tool=callgrind --trace-children=yes \\
  --callgrind-out-file=$WORK/counts/callgrind.%p --log-file=$WORK/counts/%p.log $BIN/postgres "\$@"
END
  as_builder chmod +x "$program"
  as_builder mkdir "$WORK/counts"
  sql -f - <"$ROOT/bench/reset.sql"
  quietly "Starting the server under callgrind" restart -p "$program"
  drive --only instructions --counts "$WORK/counts"
}

restart() {
  run_pg_ctl bench stop -m fast && run_pg_ctl bench -l "$WORK/bench/server.log" "$@" start
}

main() {
  local status=0 began=$SECONDS
  parse "$@"
  install_missing "${BUILD_PACKAGES[@]}" python3-matplotlib
  work_dir
  umask 022
  steady_memory
  durable_server 'max_connections = 150' 'shared_buffers = 1GB' 'max_wal_size = 16GB' \
    'checkpoint_timeout = 1h' 'autovacuum = off'
  quietly "Building a function that does nothing" build_noop
  mkdir "$WORK/scratch"
  quietly "Loading the tables and their twin" drive --load
  drive --only "$(IFS=,; echo "${only[*]}")"
  ! is_wanted instructions || count_instructions
  mkdir -p "$output"
  "$PYTHON" -B "$ROOT/bench/report.py" "$WORK/results.jsonl" "$output/results.json" || status=$?
  "$PYTHON" -B "$ROOT/bench/plot.py" "$output/results.json" "$output"
  printf '\nresults.json and the pictures are in %s (%d s)\n' "$output" $((SECONDS - began))
  return "$status"
}

main "$@"
