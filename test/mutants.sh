#!/usr/bin/env bash
# Takes out each guard in turn and shows that an isolation spec turns red: a guard whose absence
# nothing notices is not tested. Run by "make mutants"; nothing is written into the checkout.
#
#   test/mutants.sh            all mutations
#   test/mutants.sh SPEC...    those that these specs are to notice
#
# A mutation replaces exact texts, each found exactly once in its file (however its lines are
# broken), in a copy of the source that is built into a stage of its own. It is killed where the
# spec's steps answer otherwise.
# shellcheck disable=SC2016 # what stands in single quotes is C++ or Perl
set -euo pipefail
# shellcheck source=test/setup.sh
. "$(dirname "$0")/setup.sh"

killed=0
survived=0
wanted=("$@")

# Seconds until a step that hangs is cancelled: to hang is to answer otherwise, too.
export PGISOLATIONTIMEOUT=20

# replace FILE OLD NEW: fails unless OLD is there exactly once. A space stands for any white space.
replace() {
  as_builder env OLD="$2" NEW="$3" perl -0777 -i -pe '
    my $old = join q(\s+), map quotemeta, split / /, $ENV{OLD}, -1;
    my $found = () = /$old/g;
    die "$ARGV has this $found times, not once: $ENV{OLD}\n" if $found != 1;
    s/$old/$ENV{NEW}/' "$1"
}

# build SOURCE: without bitcode, which no session here makes use of.
build() {
  local target
  for target in all install; do
    as_builder make -C "$1" -j2 with_llvm=no PG_CONFIG="$BIN/pg_config" "$target" \
      >"$1.build" 2>&1 || { tail -n 20 "$1.build" >&2; return 1; }
  done
}

# run_specs SOURCE SPEC...: exit status 0 where all answer what is expected.
run_specs() {
  local source=$1
  shift
  as_builder mkdir -p "$source/output"
  as_builder "$PGXS_SRC/test/isolation/pg_isolation_regress" --bindir="$BIN" \
    --inputdir="$source/test/isolation" --outputdir="$source/output" "$@" >"$source.specs" 2>&1
}

# Prints the first answer that the spec expects and the mutant does not give; the heads of tables,
# which widen with their rows, are no answers.
first_loss() {
  sed -n -e '/^-code *|/d' -e '/^-[-+]*$/d' -e '/^--- /d' -e '/^-/{s/^-//p;q}' \
    "$1/output/regression.diffs" | tr -s ' '
}

is_wanted() {
  [ "${#wanted[@]}" = 0 ] || [[ " ${wanted[*]} " == *" $1 "* ]]
}

survives() {
  survived=$((survived + 1))
  echo "SURVIVED  $1: $2"
}

# judge SOURCE SPEC NAME
judge() {
  local results=$1/output/results/$2.out
  start_cluster mutant.data
  if run_specs "$1" "$2"; then
    survives "$3" "$2 stays green"
  elif ! grep -qs '^starting permutation' "$results" || grep -q '^setup failed' "$results"; then
    survives "$3" "$2 cannot be run, which proves nothing"
  else
    killed=$((killed + 1))
    echo "killed    $3: $2 misses \"$(first_loss "$1")\""
  fi
  stop_cluster mutant.data
}

apply() {
  local source=$1
  shift
  while [ $# -gt 0 ]; do
    replace "$source/$1" "$2" "$3" || return 1
    shift 3
  done
}

# mutate SPEC NAME (FILE OLD NEW)...
mutate() {
  local spec=$1 name=$2 source=$WORK/mutant
  shift 2
  is_wanted "$spec" || return 0
  as_builder cp -a "$WORK/src" "$source"
  make_stage "$WORK/mutant.stage"
  if ! apply "$source" "$@"; then
    survives "$name" "it cannot be applied, its text has changed"
  elif ! build "$source"; then
    survives "$name" "it does not build"
  else
    judge "$source" "$spec" "$name"
  fi
  as_builder rm -rf "$source" "$source.stage" "$source.data" "$source.data.socket"
}

# The specs must be green before their turning red says anything.
prepare() {
  install_missing "${BUILD_PACKAGES[@]}"
  work_dir
  make_stage "$WORK/stage"
  copy_source "$WORK/src"
  build "$WORK/src" || die "This does not build without any mutation."
  start_cluster data
  local specs=("$WORK"/src/test/isolation/specs/*.spec)
  specs=("${specs[@]##*/}")
  specs=("${specs[@]%.spec}")
  [ "${#wanted[@]}" = 0 ] || specs=("${wanted[@]}")
  run_specs "$WORK/src" "${specs[@]}" || {
    cat "$WORK/src.specs" >&2
    die "The specs fail without any mutation."
  }
  as_builder rm -rf "$WORK/src/output"
  stop_cluster data
}

prepare

# A conflict with the primary key, which never comes: the INSERT meets the active index unprepared.
active_conflict=('quoted(e.user) + ", " + quoted(e.tournament) + ") WHERE (" + e.active + ")'
                 'quoted(e.key) + ") WHERE (TRUE)')
asking=('if (guard.state != GuardState::ok) {' 'if (guard.name == nullptr) {')

mutate double-spend "the debit does not look at the balance" \
  src/rules/sql.cpp '" OPERATOR(pg_catalog.>=) " + cost +' '" IS NOT NULL" +'

mutate double-spend "the balance check is not created, nor asked for" \
  src/engine/install.cpp 'CHECK (%s OPERATOR(pg_catalog.>=) 0)' 'CHECK (%s IS NOT NULL)' \
  src/engine/attachment.cpp "${asking[@]}"

mutate last-seat "the claim does not look at the seats that are left" \
  src/rules/sql.cpp '" AND (s.allotted IS NULL OR s.taken' '" AND (TRUE OR s.taken'

mutate raw-writers "the door claims no seat for a raw INSERT" \
  src/engine/door.cpp 'if (claim_seats(policy, change.text, change.seats)) return;' \
  'if (change.seats > 0) return;'

mutate duplicate "the INSERT does not expect a conflict at the active index" \
  src/rules/sql.cpp "${active_conflict[@]}"

mutate duplicate "the active index is not unique, nor asked for" \
  src/engine/install.cpp 'CREATE UNIQUE INDEX' 'CREATE INDEX' \
  src/engine/attachment.cpp "${asking[@]}" \
  src/rules/sql.cpp "${active_conflict[@]}"

mutate withdrawal-by-hand "the withdrawal does not look whether the row is active" \
  src/rules/sql.cpp 'active() + (with_user ? " AND "' 'string("TRUE") + (with_user ? " AND "'

mutate close "the claim does not look at the epoch" \
  src/rules/sql.cpp '" AND s.epoch OPERATOR(pg_catalog.=) $4' '" AND TRUE'

mutate close "a changed tournament does not move its epoch" \
  src/rules/sql.cpp 'GREATEST(s.epoch OPERATOR(pg_catalog.+) 1, ' 'COALESCE(s.epoch, '

mutate close "the gate does not settle with the calls in flight" \
  src/engine/gate.cpp 'if (touched.changed.count > 0)' 'if (touched.changed.count > 1000000)'

mutate close "a rejected try_enroll is not undone" \
  src/engine/call.hpp 'return !call.raises || !call.key.null;' 'return !call.key.null;'

mutate delete "enroll does not lock the tournament" \
  src/rules/sql.cpp '" FOR KEY SHARE OF t ON CONFLICT ("' '" ON CONFLICT ("'

mutate same-key "the key is not read again after a failed write" \
  src/engine/call.hpp 'if (answer) return *answer; Receipt receipt' 'Receipt receipt'

mutate key-mismatch "the ledger's INSERT does not expect a conflict at the key" \
  src/rules/sql.cpp 'quoted(l.idempotency_key) + ") DO NOTHING' 'quoted(l.order) + ") DO NOTHING'

mutate give-back "the second look uses the transaction's snapshot" \
  src/pg/spi.cpp 'RegisterSnapshot(GetLatestSnapshot())' \
  'RegisterSnapshot(GetTransactionSnapshot())'

mutate guards "nobody asks whether the guards are there" \
  src/engine/attachment.cpp "${asking[@]}"

echo
echo "$killed killed, $survived survived"
[ "$survived" = 0 ]
