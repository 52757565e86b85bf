#!/bin/bash
# The worked example, from nothing to nothing: builds pg_enroll, starts a private, throw-away
# PostgreSQL with an academy's tables in it, and takes them through docs/operations.md, running the
# commands that stand there. Between the deploy and the way back it compares what enroll() and the
# academy's old endpoint leave behind, row by row, and does the whole migration again with Alembic.
# Leaves nothing behind; ends with a status other than 0 where anything is not as it should be.
set -euo pipefail
# shellcheck source=test/setup.sh
. "$(dirname "${BASH_SOURCE[0]}")/../../test/setup.sh"

[ $# -eq 0 ] || die "usage: $0"

DOCUMENT=$ROOT/docs/operations.md
BLOCKS_RUN=0
CALLS=0

# -- Talking to the databases -----------------------------------------------------------------

# example DATABASE COMMAND...: runs it as a reader of docs/operations.md would.
example() {
  local database=$1
  shift
  as_builder env -C "$EXAMPLE" PATH="$BIN:$PATH" PGDATABASE="$database" PGDATA="$WORK/academy" \
    PYTHONDONTWRITEBYTECODE=1 "$@"
}

sql() {
  local database=$1
  shift
  example "$database" psql -X -q -v ON_ERROR_STOP=1 "$@"
}

value() { sql "$1" -At -c "$2"; }

load() {
  as_builder "$BIN/psql" -X -q -d postgres -f "$EXAMPLE/roles.sql" &&
    as_builder "$BIN/createdb" -O academy_owner academy &&
    PGOPTIONS="-c role=academy_owner" sql academy -1 -f schema.sql -f data.sql
}

schema_of() {
  as_builder "$BIN/pg_dump" -s -T alembic_version "$1" |
    grep -vE '^--|^$|^\\(un)?restrict'
}

# -- The document -----------------------------------------------------------------------------

# blocks [HEADING]: the runnable blocks below the heading, or all; each as its language, a line
# end, the commands and a NUL.
blocks() {
  HEADING=${1:-} perl -ne '
    if (/^## (.*)$/) { $here = $ENV{HEADING} eq "" || $1 eq $ENV{HEADING} }
    elsif (/^```(sh|sql) run$/) { $code = "$1\n" }
    elsif (/^```$/) { print "$code\0" if $here && $code; $code = "" }
    elsif ($code) { $code .= $_ }' "$DOCUMENT"
}

run_block() {
  case $1 in
    sh) example academy bash -euo pipefail -c "$2" ;;
    sql) sql academy -v policy="$(cat "$EXAMPLE/policy.json")" <<<"$2" ;;
  esac </dev/null 2>&1
}

# follow HEADING: runs that section of the document.
follow() {
  local block language code
  title "$1"
  while IFS= read -r -d '' block <&3; do
    language=${block%%$'\n'*}
    code=${block#*$'\n'}
    printf '%s%s%s\n' "$BOLD" "$(printf '%s' "$code" | sed 's/^/$ /')" "$PLAIN"
    run_block "$language" "$code" || die "This failed, and docs/operations.md says it works."
    echo
    BLOCKS_RUN=$((BLOCKS_RUN + 1))
  done 3< <(blocks "$1")
}

followed_all() { [ "$BLOCKS_RUN" = "$(blocks | tr -dc '\0' | wc -c)" ]; }

# -- Against the endpoint ---------------------------------------------------------------------

rows_left() {
  sql "$1" -v began="$BEGAN" -v step="$2" -f rows_left.sql
}

# The answer's first line; an error of a constraint's is an answer too.
answer() {
  local said
  said=$("$@" 2>&1) || true
  head -n 1 <<<"$said" | sed 's/^\(psql:[^ ]* \)*ERROR: */ERROR: /'
}

endpoint_says() { answer sql endpoint -v user="$2" -v tournament="$3" -f "endpoint_$1.sql"; }

pg_enroll_says() {
  answer sql academy -U academy_app -At \
    -c "SELECT http_status || ' ' || message FROM try_$1($2, $3)"
}

# What a call did to each table: how many rows came, went and are other ones now.
show_changes() {
  local before=$1 after=$2
  comm -3 "$before" "$after" | perl -ne '
    my $came = /^\t/;
    my ($table) = /^\t?(\w+)/;
    $came ? $came{$table}++ : $went{$table}++;
    END {
      my %seen = (%came, %went);
      for my $table (sort keys %seen) {
        my ($came, $went) = ($came{$table} // 0, $went{$table} // 0);
        my $changed = $came < $went ? $came : $went;
        my @parts = grep { !/^0 / } (($came - $changed) . " new", "$changed changed",
                                     ($went - $changed) . " gone");
        printf "    %-26s %-24s identical\n", $table, join(", ", @parts);
      }
      print "    no row of any table changed\n" if !%seen;
    }'
}

# compare OPERATION USER SEMESTER: the same call to both, and then row by row what they left.
compare() {
  local step old new files=$WORK/compare
  step=$(value academy "SELECT clock_timestamp() AT TIME ZONE 'UTC'")
  rows_left academy "$step" >"$files/before"
  old=$(endpoint_says "$@")
  new=$(pg_enroll_says "$@")
  printf '%s%-20s %s%s\n' "$BOLD" "$1($2, $3)" "$new" "$PLAIN"
  [ "$old" = "$new" ] || die "The endpoint says otherwise: $old"
  rows_left endpoint "$step" >"$files/endpoint"
  rows_left academy "$step" >"$files/academy"
  diff "$files/endpoint" "$files/academy" || die "< the endpoint's rows, > those of pg_enroll"
  show_changes "$files/before" "$files/academy"
  [ "$CALLS" != 0 ] || show_rows "$files/before" "$files/academy"
  CALLS=$((CALLS + 1))
}

# The rows that came, without what is NULL in them.
show_rows() {
  comm -13 "$1" "$2" | perl -MJSON::PP -ne '
    my ($table, $row) = /^(\w+) (.*)$/;
    my $values = decode_json($row);
    print "\n      $table\n";
    for my $column (sort keys %$values) {
      my $value = $values->{$column} // next;
      $value = $value ? "true" : "false" if JSON::PP::is_bool($value);
      printf "        %-24s %s\n", $column, $value;
    }
    END { print "\n" }'
}

compare_all() {
  title "One SELECT against the endpoint's dozen statements"
  mkdir "$WORK/compare"
  BEGAN=$(value academy "SELECT clock_timestamp() AT TIME ZONE 'UTC'")
  compare enroll 12 1      # plain
  compare enroll 12 1      # twice
  compare enroll 12 4      # in progress, an odd price
  compare unenroll 12 4    # half of it, rounded down
  compare unenroll 12 4
  compare enroll 12 4      # back again: the withdrawn row
  compare unenroll 12 4    # paid twice by now; half of the last price
  compare enroll 17 1      # withdrawn long ago
  compare enroll 6 3       # for nothing
  compare unenroll 6 3
  compare unenroll 13 5    # one of the batch without ledger rows
  compare enroll 38 6      # full
  compare enroll 4711 1
  compare enroll 41 4711
  compare enroll 41 7      # a draft
  compare enroll 41 8      # completed
  compare enroll 41 9      # cancelled
  compare enroll 2 4       # an instructor
  compare enroll 14 1      # license inactive
  compare enroll 16 1      # no license
  compare enroll 15 1      # onboarding open
  compare enroll 41 1      # too old
  compare enroll 38 2      # age unknown
  compare enroll 41 10     # too late
  compare enroll 13 1      # too poor
  compare enroll 21 2      # rejected by an administrator
  echo
  echo "$CALLS calls, $(wc -l <"$WORK/compare/academy") rows in 10 tables: identical, but for" \
    "new keys and the time of day."
}

# -- The rest ---------------------------------------------------------------------------------

obstacles() {
  value academy "SELECT count(*) FROM enroll_precheck(
    '$(sed "s/'/''/g" "$EXAMPLE/policy.json")') WHERE action = 'refuse'"
}

attach_is_refused() {
  local schema
  schema=$(schema_of academy)
  ! sql academy -v policy="$(cat "$EXAMPLE/policy.json")" -f migration_up.sql 2>&1 || return
  same "$schema" "$(schema_of academy)"
}

# The tour must have shown each code and SQLSTATE that it promises.
tour() {
  title "As the application sees it"
  example academy stdbuf -oL psql -X -q -U academy_app <"$EXAMPLE/tour.sql" 2>&1 |
    tee "$WORK/tour.out" | highlight
  shows "$WORK/tour.out" ENROLLED UNENROLLED IDEMPOTENCY_MISMATCH TOURNAMENT_NOT_FOUND \
    USER_NOT_FOUND NOT_ENROLLED NOT_OPEN ALREADY_ENROLLED NOT_ELIGIBLE FULL PRICE_CHANGED \
    INSUFFICIENT_CREDITS \
    'Only students can enroll in tournaments' 'An active LFA_FOOTBALL_PLAYER license is required' \
    'Complete the onboarding of your license first' \
    'Your age category is not admitted to this tournament' \
    'Enrollment closes one hour before the first session' \
    'SQLSTATE NR015' 'SQLSTATE 23514' 'SQLSTATE 23505'
}

migrate() { DATABASE_URL=postgresql+psycopg2:///alembic example alembic alembic "$@"; }

alembic_twin() {
  title "The same migration with Alembic"
  quietly "alembic upgrade head" migrate upgrade head
  promise "Alembic's schema is the one of the SQL scripts, object by object" \
    same "$SCHEMA_ATTACHED" "$(schema_of alembic)"
  promise "and so is the policy" \
    same "$POLICY_ATTACHED" "$(value alembic "SELECT document FROM enroll_policy")"
  quietly "alembic downgrade base" migrate downgrade base
  promise "the schema is what it was" same "$SCHEMA_BEFORE" "$(schema_of alembic)"
}

# findings SEVERITY: the ids that the weekly run finds, on one line.
findings() {
  sql academy -f weekly.sql 2>&1 | sed -n "s/^$1: \([^ ]*\) .*/\1/p" | paste -s -d ' '
}

# Breaks two invariants, with a guard switched off, and puts everything back.
weekly_finds() {
  local found
  sql academy -c "ALTER TABLE semester_enrollments DISABLE TRIGGER enroll_door_update" \
    -c "UPDATE semester_enrollments SET request_status = 'WITHDRAWN' WHERE id = 80" || return
  ! sql academy -f weekly.sql >"$WORK/weekly.out" 2>&1 || return
  found=$(findings ERROR)
  sql academy -c "UPDATE semester_enrollments SET request_status = 'APPROVED' WHERE id = 80" \
    -c "ALTER TABLE semester_enrollments ENABLE TRIGGER enroll_door_update" || return
  grep '^ERROR:' "$WORK/weekly.out"
  same "INV-03 INV-05" "$found" && [ "$(tail -n 1 <(grep -v '^psql:\|^DETAIL:\|^HINT:' \
    "$WORK/weekly.out"))" = FAILED ]
}

weekly_is_quiet() {
  sql academy -f weekly.sql >"$WORK/weekly.out" || return
  grep -F 'Accepted without a ledger row (64)' "$WORK/weekly.out" &&
    [ "$(tail -n 1 "$WORK/weekly.out")" = 'ALL CHECKS PASSED' ]
}

# one_finding CHANGE SEVERITY IDS: what the weekly run finds after a change that is taken back.
one_finding() {
  local found severity=$2
  sql academy -c 'CREATE TABLE kept_sessions AS TABLE sessions' \
    -c 'CREATE TABLE kept_events AS TABLE system_events' -c "$1" || return
  found=$(findings "$severity")
  sql academy -c 'UPDATE sessions SET campus_id = k.campus_id FROM kept_sessions AS k
      WHERE k.id = sessions.id' \
    -c 'DELETE FROM system_events WHERE id NOT IN (SELECT id FROM kept_events)' \
    -c 'DROP TABLE kept_sessions, kept_events' || return
  same "$3" "$found"
}

packs_find() {
  local event="INSERT INTO system_events (level, event_type, resolved, created_at) SELECT"
  local now="now() AT TIME ZONE 'UTC'"
  one_finding "UPDATE sessions SET campus_id = NULL WHERE semester_id = 1" \
    WARNING campus_missing_few &&
    one_finding "UPDATE sessions SET campus_id = NULL WHERE semester_id IN (1, 2)" \
      ERROR campus_missing_many &&
    one_finding "UPDATE sessions SET campus_id = 2 WHERE campus_id = 1" WARNING campus_crowded &&
    one_finding "$event 'ERROR', 'CAMPUS_NOT_FOUND', true, $now" ERROR campus_errors &&
    one_finding "$event 'CRITICAL', 'PAYMENT_LOST', false, $now" ERROR events_critical &&
    one_finding "$event 'WARNING', 'LOGIN_FAILED', true, $now FROM generate_series(1, 101)" \
      WARNING events_security &&
    one_finding "ALTER INDEX ix_system_events_created_at RENAME TO away" ERROR events_indexes &&
    sql academy -c "ALTER INDEX away RENAME TO ix_system_events_created_at"
}

# The document, section by section, and what must be so between them.
deploy() {
  follow "1. Install"
  follow "2. Precheck"
  title "What if one attaches all the same?"
  promise "obstacles stop the attach, and nothing has changed" attach_is_refused
  follow "3. Repair"
  promise "no obstacle is left" [ "$(obstacles)" = 0 ]
  quietly "Two copies, for the endpoint and for Alembic" copies
  follow "4. Prepare"
  follow "5. Apply"
  SCHEMA_ATTACHED=$(schema_of academy)
  POLICY_ATTACHED=$(value academy "SELECT document FROM enroll_policy")
  follow "6. Verify"
  follow "7. Restart"
  follow "8. Smoke test"
  follow "9. The weekly check"
  title "What if an invariant is broken?"
  promise "the weekly run names what is broken, and fails" weekly_finds
  promise "the academy's own checks find what they look for" packs_find
  promise "all is well again, and the batch of 64 is listed" weekly_is_quiet
}

copies() {
  local name
  for name in endpoint alembic; do
    as_builder "$BIN/createdb" -T academy -O academy_owner "$name" &&
      sql "$name" -c "DROP EXTENSION pg_enroll" || return
  done
  SCHEMA_BEFORE=$(schema_of alembic)
}

roll_back() {
  local before after now
  now=$(value academy "SELECT clock_timestamp() AT TIME ZONE 'UTC'")
  before=$(rows_left academy "$now")
  follow "Roll back"
  after=$(rows_left academy "$now")
  promise "every row is where it was" same "$before" "$after"
  promise "the schema is what it was" same "$SCHEMA_BEFORE" "$(schema_of academy)"
  promise "and the endpoint works as before" \
    same "200 enrolled" "$(sql academy -v user=43 -v tournament=4 -f endpoint_enroll.sql)"
}

main() {
  install_missing "${BUILD_PACKAGES[@]}" "${SEMESTERS_PACKAGES[@]}"
  work_dir
  EXAMPLE=$WORK/src/examples/semesters
  quietly "Copying PostgreSQL $PGVERSION into a directory of its own" make_stage "$WORK/stage"
  # Without LLVM bitcode, which an example has no use for, it builds in half the time.
  quietly "Building pg_enroll" build_into "$WORK/stage" with_llvm=no
  quietly "Starting a private server" start_cluster academy
  quietly "Loading the academy" load
  deploy
  compare_all
  tour
  alembic_twin
  roll_back
  promise "every command of docs/operations.md was run" followed_all
}

main
