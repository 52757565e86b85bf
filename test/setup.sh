# Functions shared by the tests, the benchmarks and the examples. Sourced, never run.
#
# Nothing here writes into the checkout or into the system's PostgreSQL. The checkout's files are
# copied to a work directory, the extension is installed into a copy of PostgreSQL there (a stage:
# PostgreSQL is relocatable), and a server answers on a Unix socket that its owner alone can reach.
#
# shellcheck shell=bash disable=SC2034

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
PGVERSION=${PGVERSION:-15}
PGHOME=/usr/lib/postgresql/$PGVERSION
PGSHARE=/usr/share/postgresql/$PGVERSION

BUILD_PACKAGES=("postgresql-$PGVERSION" "postgresql-client-$PGVERSION"
                "postgresql-server-dev-$PGVERSION" g++ make nlohmann-json3-dev)
VALGRIND_PACKAGES=(valgrind)
SEMESTERS_PACKAGES=(alembic python3-psycopg2)
MONITORING_PACKAGES=("postgresql-$PGVERSION-cron" prometheus-postgres-exporter prometheus)

# PostgreSQL refuses to run as root, so whatever root starts is built and run as "postgres".
if [ "$(id -u)" = 0 ]; then BUILDER=postgres; else BUILDER=$(id -un); fi

# What the tests' clusters need beyond the default settings.
SETTINGS=("max_connections = 150" "max_prepared_transactions = 20")

CLUSTERS=()

# Messages are compared and files are sorted, so the caller's language must not matter; neither
# may the settings of a database or of a make that happen to be in the environment.
export LC_ALL=C PGCLIENTENCODING=UTF8
for variable in $(compgen -e PG) MAKEFLAGS MFLAGS MAKELEVEL MAKEOVERRIDES; do
  case $variable in PGVERSION | PGCLIENTENCODING) ;; *) unset "$variable" ;; esac
done

die() {
  printf '%s\n' "$@" >&2
  exit 1
}

# -- Telling ----------------------------------------------------------------------------------

if [ -t 1 ]; then BOLD=$'\e[1m' PLAIN=$'\e[0m'; else BOLD='' PLAIN=''; fi

title() { printf '\n%s== %s%s\n\n' "$BOLD" "$1" "$PLAIN"; }

# The titles of what psql says, as it says it.
highlight() { sed -u "s/^== .*/$BOLD&$PLAIN/"; }

# quietly TEXT COMMAND...: one line of progress; the command's output is shown only if it fails.
quietly() {
  local text=$1 log=$WORK/step.log began=$SECONDS
  shift
  printf '%-58s ' "$text ..."
  "$@" >"$log" 2>&1 || { echo "failed"; tail -n 40 "$log" >&2; exit 1; }
  echo "$((SECONDS - began)) s"
}

# promise TEXT COMMAND...: what must be so, or the example ends here.
promise() {
  local text=$1
  shift
  "$@" || die "Not so: $text"
  echo "So it is: $text."
}

# same TEXT TEXT: or the difference.
same() { diff <(printf '%s\n' "$1") <(printf '%s\n' "$2"); }

# shows FILE WORD...: each word stands in the file, or the example ends here.
shows() {
  local file=$1 word
  shift
  for word; do
    grep -qw -e "$word" "$file" || die "The tour did not show: $word"
  done
}

# -- Packages ---------------------------------------------------------------------------------

has_header() { echo "#include <$1>" | g++ -x c++ -fsyntax-only -; }

# The compiler that PostgreSQL's build wants for LLVM bitcode; "true" where it wants none.
bitcode_compiler() {
  local named
  named=$(sed -n 's/^CLANG = *//p' "$PGHOME/lib/pgxs/src/Makefile.global")
  command -v "${named:-true}"
}

# Asks for what the package brings, not for the package: it may have come in another way.
has_package() {
  case $1 in
    postgresql-server-dev-*) [ -f "$PGHOME/lib/pgxs/src/makefiles/pgxs.mk" ] && bitcode_compiler ;;
    postgresql-*-cron) [ -f "$PGHOME/lib/pg_cron.so" ] ;;
    postgresql-client-*) [ -x "$PGHOME/bin/psql" ] ;;
    postgresql-*) [ -x "$PGHOME/bin/postgres" ] ;;
    catch2) has_header catch2/catch.hpp ;;
    nlohmann-json3-dev) has_header nlohmann/json.hpp ;;
    libipc-run-perl) perl -MIPC::Run -e 1 ;;
    libdbd-pg-perl) perl -MDBD::Pg -e 1 ;;
    python3-*) /usr/bin/python3 -c "import ${1#python3-}" ;;
    *) command -v "$1" ;;
  esac >/dev/null 2>&1
}

missing_packages() {
  local package
  for package; do
    has_package "$package" || echo "$package"
  done
}

# Run by root's shell with the packages as arguments. A PostgreSQL that is newly installed would
# create a cluster "main" and start it, which nobody asked for: it is told not to, just this once.
# shellcheck disable=SC2016 # that shell expands it, not this one
INSTALL_SCRIPT='
told=/etc/postgresql-common/createcluster.d/pg_enroll.conf
trap "rm -f $told" EXIT
trap "exit 1" HUP INT TERM
mkdir -p "${told%/*}" && echo "create_main_cluster = false" >"$told" || exit 1
export DEBIAN_FRONTEND=noninteractive
apt-get -q -o DPkg::Lock::Timeout=300 update
apt-get -q -y -o DPkg::Lock::Timeout=300 install --no-install-recommends "$@"
'

# install_missing PACKAGE...: installs what is missing, or says what is and how to get it.
install_missing() {
  local missing log as_root=()
  missing=$(missing_packages "$@" | tr '\n' ' ')
  [ -n "$missing" ] || return 0
  local how="  apt-get install --no-install-recommends $missing"
  command -v apt-get >/dev/null ||
    die "Missing, by the names of Debian's packages: $missing" \
        "PostgreSQL $PGVERSION is looked for in $PGHOME (PGVERSION names another version)."
  if [ "$(id -u)" != 0 ]; then
    sudo -n true 2>/dev/null || die "Missing: $missing" "Install with (as root):" "$how"
    as_root=(sudo -n)
  fi
  echo "Installing $missing"
  log=$(mktemp)
  # shellcheck disable=SC2086 # one word is one package
  if ! "${as_root[@]}" sh -c "$INSTALL_SCRIPT" sh $missing >"$log" 2>&1 </dev/null; then
    tail -n 20 "$log" >&2
    rm -f "$log"
    die "These could not be installed: $missing" "Install them with (as root):" "$how"
  fi
  rm -f "$log"
  missing=$(missing_packages "$@" | tr '\n' ' ')
  [ -z "$missing" ] || die "Installed, but still not usable: $missing"
}

# -- The work directory -----------------------------------------------------------------------

cleanup() {
  local status=$? name
  trap - EXIT
  for name in "${CLUSTERS[@]}"; do
    run_pg_ctl "$name" stop -m immediate >/dev/null 2>&1 || true
  done
  if [ "${KEEP:-0}" = 1 ]; then echo "Kept: $WORK"; else rm -rf "$WORK"; fi
  exit "$status"
}

# Sets WORK, a new directory that is removed at exit unless KEEP=1.
work_dir() {
  WORK=$(mktemp -d /tmp/pg_enroll.XXXXXX)
  trap cleanup EXIT
  trap 'exit 129' HUP
  trap 'exit 130' INT
  trap 'exit 143' TERM
  chmod 755 "$WORK"
  [ "$(id -u)" != 0 ] || chown "$BUILDER:" "$WORK"
}

# as_builder COMMAND...: runs it in WORK, as the unprivileged user.
as_builder() (
  cd "$WORK" || exit
  umask 022
  [ "$(id -u)" = 0 ] || exec "$@"
  exec runuser -u "$BUILDER" -- env HOME="$WORK" USER="$BUILDER" LOGNAME="$BUILDER" "$@"
)

# -- Stage and build --------------------------------------------------------------------------

# Sets STAGE, and BIN, LIB and PGXS_SRC inside it.
use_stage() {
  STAGE=$1
  LIB=$STAGE$PGHOME/lib
  BIN=$STAGE$PGHOME/bin
  PGXS_SRC=$LIB/pgxs/src
}

# make_stage DIR: a PostgreSQL of one's own. Copies, not hard links: a hard link shares its inode,
# and so one careless write would reach the system's files. It takes a tenth of a second.
make_stage() {
  use_stage "$1"
  as_builder mkdir -p "$STAGE${PGHOME%/*}" "$STAGE${PGSHARE%/*}" &&
    as_builder cp -a --reflink=auto "$PGHOME" "$STAGE${PGHOME%/*}" &&
    as_builder cp -a --reflink=auto "$PGSHARE" "$STAGE${PGSHARE%/*}" &&
    as_builder ln -s /usr/include "$STAGE/usr/include" || return
  # A pg_enroll that the system has must not stand in for the one that is tested.
  as_builder find "$STAGE" -mindepth 1 -name 'pg_enroll*' -prune -exec rm -rf {} +
}

in_git() { git -c safe.directory="$ROOT" -C "$ROOT" "$@" 2>/dev/null; }

# The checkout's files, NUL between them: what git knows or would add, else all but build products.
list_source() {
  local file
  if [ "$(in_git rev-parse --show-toplevel)" = "$ROOT" ]; then
    in_git ls-files -z -co --exclude-standard | while IFS= read -r -d '' file; do
      [ ! -e "$ROOT/$file" ] || printf '%s\0' "$file"
    done
  else
    (cd "$ROOT" && find . -name .git -prune -o -type f \
      ! -name '*.o' ! -name '*.bc' ! -name '*.so' -print0)
  fi
}

# copy_source DIR: root reads (the builder may not be able to), the builder writes.
copy_source() {
  as_builder mkdir -p "$1" &&
    list_source | tar -C "$ROOT" --null -T - -cf - | as_builder tar -C "$1" -xf -
}

# build_source SOURCE STAGE [MAKE-ARGUMENT...]: builds there and installs into the stage.
build_source() {
  local source=$1 config=$2$PGHOME/bin/pg_config
  shift 2
  as_builder make -C "$source" -j2 PG_CONFIG="$config" "$@" &&
    as_builder make -C "$source" PG_CONFIG="$config" "$@" install
}

# build_into STAGE [MAKE-ARGUMENT...]: the checkout as it is, built in WORK/src.
build_into() {
  copy_source "$WORK/src" && build_source "$WORK/src" "$@"
}

# -- Clusters ---------------------------------------------------------------------------------

run_pg_ctl() {
  local name=$1
  shift
  as_builder "$BIN/pg_ctl" -D "$WORK/$name" -t 300 -w "$@"
}

# start_cluster NAME [SETTING...]: a server of the stage, its data in WORK/NAME. PGHOST, PGPORT and
# PGUSER lead there until stop_cluster. The socket's directory is private, so any port is free.
# SERVER, where set, is the program to start in the place of postgres.
start_cluster() {
  local name=$1 log=$WORK/$1.log
  shift
  as_builder "$BIN/initdb" -D "$WORK/$name" -U postgres -A trust --no-sync --no-instructions \
    -E UTF8 --locale=C >"$log" 2>&1 || { cat "$log" >&2; return 1; }
  as_builder mkdir -m 700 "$WORK/$name.socket"
  printf '%s\n' "listen_addresses = ''" "unix_socket_directories = '$WORK/$name.socket'" \
    "fsync = off" "$@" | as_builder tee -a "$WORK/$name/postgresql.conf" >/dev/null
  CLUSTERS+=("$name")
  run_pg_ctl "$name" -l "$WORK/$name/server.log" ${SERVER:+-p "$SERVER"} start >>"$log" 2>&1 ||
    { as_builder cat "$log" "$WORK/$name/server.log" >&2; return 1; }
  export PGHOST=$WORK/$name.socket PGPORT=5432 PGUSER=postgres
}

# forget_cluster NAME: it will not be stopped at exit.
forget_cluster() {
  local name kept=()
  for name in "${CLUSTERS[@]}"; do
    [ "$name" = "$1" ] || kept+=("$name")
  done
  CLUSTERS=("${kept[@]}")
}

# stop_cluster NAME [MODE]
stop_cluster() {
  run_pg_ctl "$1" stop -m "${2:-fast}" >/dev/null
  forget_cluster "$1"
  unset PGHOST PGPORT PGUSER
}
