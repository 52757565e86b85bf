#!/usr/bin/env bash
# Takes out each guard in turn and shows that a test turns red: a guard whose absence nothing
# notices is not tested. Run by "make mutants"; nothing is written into the checkout.
#
#   test/mutants.sh            all mutations
#   test/mutants.sh TEST...    those that these tests are to notice: "close" is an isolation spec,
#                              "sql/watch" a regression test
#
# A mutation replaces exact texts, each found exactly once in its file (however its lines are
# broken), in a copy of the source that is built into a stage of its own. It is killed where the
# test's statements answer otherwise.
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

# run_with RUNNER INPUT SOURCE TEST...: exit status 0 where all answer what is expected.
run_with() {
  local runner=$1 input=$2 source=$3
  shift 3
  as_builder mkdir -p "$source/output"
  as_builder "$PGXS_SRC/test/$runner" --bindir="$BIN" --inputdir="$input" \
    --outputdir="$source/output" "$@" >>"$source.tests" 2>&1
}

# run_tests SOURCE TEST...
run_tests() {
  local source=$1 test specs=() regress=()
  shift
  for test; do
    if is_regress "$test"; then regress+=("${test#sql/}"); else specs+=("$test"); fi
  done
  rm -f "$source.tests"
  [ ${#specs[@]} = 0 ] || run_with isolation/pg_isolation_regress "$source/test/isolation" \
    "$source" "${specs[@]}" || return
  [ ${#regress[@]} = 0 ] || run_with regress/pg_regress "$source" "$source" "${regress[@]}"
}

is_regress() { [[ $1 == sql/* ]]; }

# ran TEST RESULTS: whether the test came as far as its statements, and the server lived.
ran() {
  if is_regress "$1"; then
    [ -s "$2" ] && ! grep -q 'connection to server was lost' "$2"
  else
    grep -qs '^starting permutation' "$2" && ! grep -q '^setup failed' "$2"
  fi
}

# Prints the first answer that the test expects and the mutant does not give; the heads of tables,
# which widen with their rows, are no answers.
first_loss() {
  perl -0777 -ne '
    s/^--- .*\n//mg;
    s/^-.*\n(?=-[-+]+\n)//mg;
    s/^-[-+]+\n//mg;
    print $1 if /^-(.*)$/m' "$1/output/regression.diffs" | tr -s ' '
}

is_wanted() {
  [ "${#wanted[@]}" = 0 ] || [[ " ${wanted[*]} " == *" $1 "* ]]
}

survives() {
  survived=$((survived + 1))
  echo "SURVIVED  $1: $2"
}

# judge SOURCE TEST NAME
judge() {
  local results=$1/output/results/${2#sql/}.out
  start_cluster mutant.data "${SETTINGS[@]}"
  if run_tests "$1" "$2"; then
    survives "$3" "$2 stays green"
  elif ! ran "$2" "$results"; then
    survives "$3" "$2 cannot be run, which proves nothing"
  else
    killed=$((killed + 1))
    echo "killed    $3: $2 misses \"$(first_loss "$1")\""
  fi
  # One that a mutant has brought down may be slow to end in good order.
  stop_cluster mutant.data immediate
}

apply() {
  local source=$1
  shift
  while [ $# -gt 0 ]; do
    replace "$source/$1" "$2" "$3" || return 1
    shift 3
  done
}

# mutate TEST NAME (FILE OLD NEW)...
mutate() {
  local test=$1 name=$2 source=$WORK/mutant
  shift 2
  is_wanted "$test" || return 0
  as_builder cp -a "$WORK/src" "$source"
  make_stage "$WORK/mutant.stage"
  if ! apply "$source" "$@"; then
    survives "$name" "it cannot be applied, its text has changed"
  elif ! build "$source"; then
    survives "$name" "it does not build"
  else
    judge "$source" "$test" "$name"
  fi
  as_builder rm -rf "$source" "$source.stage" "$source.data" "$source.data.socket"
}

# Fills TESTS: what was asked for, else every test that a mutation names.
choose_tests() {
  TESTS=("${wanted[@]}")
  [ ${#TESTS[@]} = 0 ] || return 0
  mapfile -t TESTS < <(sed -n 's/^mutate \([^ "]*\) .*/\1/p' "$0" | sort -u)
}

# The tests must be green before their turning red says anything.
prepare() {
  install_missing "${BUILD_PACKAGES[@]}"
  choose_tests
  work_dir
  make_stage "$WORK/stage"
  copy_source "$WORK/src"
  build "$WORK/src" || die "This does not build without any mutation."
  start_cluster data "${SETTINGS[@]}"
  run_tests "$WORK/src" "${TESTS[@]}" || {
    cat "$WORK/src.tests" >&2
    die "These tests fail without any mutation."
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
  src/engine/survey_guards.cpp 'CHECK (%s OPERATOR(pg_catalog.>=) 0%s)' \
  'CHECK (%s IS NOT NULL%s)' \
  src/engine/attachment.cpp "${asking[@]}"

mutate last-seat "the claim does not look at the seats that are left" \
  src/rules/sql.cpp '" AND (s.allotted IS NULL OR s.taken' '" AND (TRUE OR s.taken'

mutate raw-writers "the door claims no seat for a raw INSERT" \
  src/engine/door.cpp 'if (claim_seats(policy, change.text, change.seats)) return;' \
  'if (change.seats > 0) return;'

mutate duplicate "the INSERT does not expect a conflict at the active index" \
  src/rules/sql.cpp "${active_conflict[@]}"

mutate duplicate "the active index is not unique, nor asked for" \
  src/engine/survey_guards.cpp 'CREATE UNIQUE INDEX' 'CREATE INDEX' \
  src/engine/attachment.cpp "${asking[@]}" \
  src/rules/sql.cpp "${active_conflict[@]}"

mutate withdrawal-by-hand "the withdrawal does not look whether the row is active" \
  src/rules/sql.cpp '" AND " + active() + (with_user ?' '" AND TRUE" + (with_user ?'

mutate close "the claim does not look at the epoch" \
  src/rules/sql.cpp '" AND s.epoch OPERATOR(pg_catalog.=) $4' '" AND TRUE'

mutate close "a changed tournament does not move its epoch" \
  src/rules/sql.cpp 'GREATEST(s.epoch OPERATOR(pg_catalog.+) 1, ' 'COALESCE(s.epoch, '

mutate close "the gate does not settle with the calls in flight" \
  src/engine/gate.cpp 'if (touched.changed.count == 0) return;' \
  'if (touched.changed.count < 1000000) return;'

mutate close "a rejected try_enroll is not undone" \
  src/engine/call.hpp 'return !call.raises || !call.key.null;' 'return !call.key.null;'

mutate delete "enroll does not lock the tournament" \
  src/rules/sql.cpp '" FOR KEY SHARE OF t" + (may_fail' '"" + (may_fail'

mutate same-key "the key is not read again after a failed write" \
  src/engine/call.hpp 'if (answer) return *answer; Receipt receipt' 'Receipt receipt'

mutate key-mismatch "the ledger's INSERT does not expect a conflict at the key" \
  src/rules/sql.cpp 'quoted(l.idempotency_key) + ") DO NOTHING' 'quoted(l.order) + ") DO NOTHING'

mutate give-back "the second look uses the transaction's snapshot" \
  src/pg/spi.cpp 'RegisterSnapshot(GetLatestSnapshot())' \
  'RegisterSnapshot(GetTransactionSnapshot())'

mutate sql/raw_writers "an UPDATE moves rows to another tournament past the door" \
  src/engine/door.cpp 'same_tournament(policy, before->tournament, after->tournament)) {' \
  'policy != nullptr) {'

mutate sql/raw_writers "a DELETE gives no seat back" \
  src/engine/door.cpp 'give_back(policy, change.text, -change.seats);' 'continue;'

mutate sql/raw_writers "a TRUNCATE gives no seat back" \
  src/engine/door.cpp 'empty_seats(policy);' ';'

mutate sql/hostile "the search path is the caller's" \
  src/pg/spi.cpp 'if (path_differs) set_for_now(' 'if (path_differs && level < 0) set_for_now('

mutate sql/stripes "an empty row is taken for a full tournament" \
  src/engine/seats.cpp 'own.found && own.has_room(1) && own.capacity' 'own.found && own.capacity'

mutate sql/stripes "several seats are sought in one row" \
  src/engine/seats.cpp 'return count > 1 &&' 'return count < 0 &&'

mutate sql/stripes "a version on another page has no index entry" \
  src/pg/direct.cpp 'result == TM_Ok && writes_index' 'result != TM_Ok && writes_index'

mutate sql/stripes "a counter is written past an index of somebody else's" \
  src/pg/direct.cpp 'list_length(indexes) == 1' 'list_length(indexes) > 0'

mutate stripes "nobody divides a counter" \
  src/engine/seats.cpp 'if (stripe->held) split_seat(' 'if (!stripe) split_seat('

mutate sql/watch "a change of a watched table allots nothing anew" \
  src/engine/gate.cpp 'reallot(policy, touched.changed.at,' \
  'if (!is_watched) reallot(policy, touched.changed.at,'

mutate sql/watch "the gate compares no values" \
  src/engine/gate.cpp 'if (!null_before && !datum_image_eq(' \
  'if (!null_before && null_after && !datum_image_eq('

mutate sql/watch "the gate minds every column" \
  src/engine/gate.cpp 'if (!whole_row && !bms_is_member(' \
  'if (!whole_row && i < 0 && !bms_is_member('

mutate wait "the deadline comes a minute late" \
  src/pg/spi.cpp 'TimestampTzPlusMilliseconds(GetCurrentTimestamp(), milliseconds)' \
  'TimestampTzPlusMilliseconds(GetCurrentTimestamp(), milliseconds + 60000)'

mutate sql/reactivate "the withdrawn row is left alone, and another one inserted" \
  src/engine/call.cpp 'if (policy->lists.reactivates) reading.withdrawn =' \
  'if (column < 0) reading.withdrawn ='

mutate reactivate "a row that a rival has reactivated is reactivated again" \
  src/rules/sql.cpp 'enrollment_of(who, "$2") + " AND " + inactive() +' \
  'enrollment_of(who, "$2") +'

mutate sql/follow_ups "the first follow-up statement is left out" \
  src/engine/attachment.cpp 'for (int i = 0; i < statements.count; ++i) { pg::Rows rows' \
  'for (int i = 1; i < statements.count; ++i) { pg::Rows rows'

mutate sql/run_as "a follow-up statement runs as whoever calls" \
  src/engine/attachment.cpp \
  'pg::run(plan_of(policy, statements, i), role_of_calls(policy),' \
  'pg::run(plan_of(policy, statements, i), InvalidOid,'

mutate sql/rules "the last broken rule answers" \
  src/rules/sql.cpp \
  'cases += " WHEN (" + rule.require + ") IS NOT TRUE THEN " + std::to_string(++number);' \
  'cases = " WHEN (" + rule.require + ") IS NOT TRUE THEN " + std::to_string(++number) + cases;'

mutate sql/rules "a rule that is NULL is kept" \
  src/rules/sql.cpp '") IS NOT TRUE THEN "' '") IS FALSE THEN "'

mutate sql/callers "any role is a caller" \
  src/engine/attachment.cpp \
  'if (OidIsValid(role) && has_privs_of_role(GetUserId(), role)) return;' \
  'if (OidIsValid(role)) return;'

mutate sql/run_as "run_as caller is taken for owner" \
  src/engine/attachment.cpp 'return a->lists.runs_as_caller ? InvalidOid : a->owner;' \
  'return a->owner;'

mutate sql/run_as "run_as owner is taken for caller" \
  src/engine/attachment.cpp 'return a->lists.runs_as_caller ? InvalidOid : a->owner;' \
  'return a->owner == InvalidOid ? a->owner : InvalidOid;'

mutate sql/detach "detach leaves the index that attach built" \
  src/engine/install.cpp 'if (stored.built_index == nullptr || !has_index(' \
  'if (stored.built_index != nullptr || !has_index('

mutate sql/detach "detach leaves the check that attach built" \
  src/engine/install.cpp 'if (stored.built_check == nullptr || !has_constraint(' \
  'if (stored.built_check != nullptr || !has_constraint('

mutate sql/detach "detach leaves the triggers" \
  src/engine/install.cpp 'drop_triggers(home, tables.enrollments, "enroll_door");' ';'

mutate sql/attach_existing "detach drops the index that attach adopted" \
  src/engine/survey_guards.cpp 'if (found.oid == built || index_is_renamed(s, built)) {' \
  'if (OidIsValid(found.oid) || index_is_renamed(s, built)) {'

mutate sql/attach_existing "an equivalent index is not adopted" \
  src/engine/guards.cpp 'const bool fits = form->indisunique &&' \
  'const bool fits = preferred != nullptr && form->indisunique &&'

mutate sql/attach_existing "an index with another predicate is adopted" \
  src/engine/guards.cpp 'predicate_implied_by(predicate, conditions, false);' 'true;'

mutate guards "nobody asks whether the guards are there" \
  src/engine/attachment.cpp "${asking[@]}"

mutate sql/strict "a rolled back savepoint leaves its notes" \
  src/engine/strict.cpp 'entries.at[entries.count - 1].level >= mine) {' \
  'entries.at[entries.count - 1].level > mine + 1000) {'

mutate sql/strict "a rolled back savepoint leaves its sanction" \
  src/engine/strict.cpp \
  'sanctions.at[sanctions.count - 1].level >= mine) --sanctions.count;' \
  'sanctions.at[sanctions.count - 1].level > mine + 1000) --sanctions.count;'

mutate sql/strict "what a transaction leaves behind is not looked at" \
  src/engine/strict.cpp 'if (journal != nullptr) check_journal();' \
  'if (journal != nullptr && journal->entries.count == 0) check_journal();'

mutate sql/strict "PREPARE TRANSACTION is not looked at" \
  src/engine/strict.cpp 'case XACT_EVENT_PRE_PREPARE:' ''

mutate sql/strict "a place that was given back and taken again wants no row" \
  src/engine/strict.cpp 'if (!activated || activity <= recorded) return;' \
  'if (!activated || activity <= 0 || activity <= recorded) return;'

mutate sql/strict "a row that is late wants a place" \
  src/engine/strict.cpp 'if (!activated || activity <= recorded) return;' \
  'if (activity <= recorded) return;'

mutate sql/strict "anybody may lift a strict ledger" \
  src/engine/strict.cpp 'require_owner(policy);' ''

mutate sql/strict "policies may book one balance in two ledgers" \
  src/engine/survey_strict.cpp 'return one_balance ? !one_booking : other.ledger == mine.ledger;' \
  'return one_balance && one_booking && other.ledger != mine.ledger;'

mutate sql/strict "one strict policy's detach takes another's triggers" \
  src/engine/install.cpp 'if (!is_strict_for_another(home, policy, tables.users)) {' 'if (true) {'

mutate sql/strict "the order of a trigger's moves is not made out" \
  src/engine/strict.cpp 'const bool precedes = after == *first_;' 'const bool precedes = false;'

mutate sql/strict_tables "the row written last is taken for the last" \
  src/engine/strict.cpp 'if (!OidIsValid(type->cmp_proc)) return' 'return'

echo
echo "$killed killed, $survived survived"
[ "$survived" = 0 ]
