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
