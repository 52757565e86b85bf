#!/bin/bash
# The monitoring of docs/operations.md with the real thing: builds pg_enroll, starts a private,
# throw-away PostgreSQL with pg_enroll and pg_cron preloaded, lets prometheus-postgres-exporter
# scrape it, and compares what it says with what was done. Alert rules, dashboard and systemd units
# are held against it. Leaves nothing behind; ends with a status other than 0 where anything is not
# as it should be.
set -euo pipefail
# shellcheck source=test/setup.sh
. "$(dirname "${BASH_SOURCE[0]}")/../../test/setup.sh"

[ $# -eq 0 ] || die "usage: $0"

sql() { as_builder env -C "$EXAMPLE" "$BIN/psql" -X -q -v ON_ERROR_STOP=1 -d shop "$@"; }

value() { sql -At -c "$1"; }

# until_so TEXT COMMAND...: waits for it, two minutes at most.
until_so() {
  local text=$1 end=$((SECONDS + 120))
  shift
  until "$@"; do
    [ "$SECONDS" -lt "$end" ] || die "Waited in vain: $text"
    sleep 1
  done
  echo "So it is: $text."
}

load() {
  as_builder "$BIN/createdb" shop &&
    sql -c "CREATE EXTENSION pg_enroll" -c "SELECT enroll_create_tables()" \
      -c "INSERT INTO users (id, credit_balance) SELECT n, 100 FROM generate_series(1, 20) n" \
      -c "INSERT INTO tournaments (id, name, capacity, cost) VALUES (1, 'Cup', 3, 10)" &&
    sql -f history.sql -f roles.sql -f schedule.sql
}

# Ten attempts: three are enrolled, one of them asks twice, six are told FULL.
attempts() {
  sql -c "SELECT count(*) FROM generate_series(1, 9) n, LATERAL try_enroll(n, 1, 'key ' || n) r" \
    -c "SELECT code FROM enroll(1, 1, 'key 1')" -c "SELECT code FROM can_enroll(9, 1)"
}

# ---- the exporter --------------------------------------------------------------------------

free_port() {
  perl -MIO::Socket::INET -e '
    print IO::Socket::INET->new(Listen => 1, LocalAddr => "127.0.0.1")->sockport'
}

# It leaves its own process id behind: the one that the shell knows is that of who started it.
start_exporter() {
  PORT=$(free_port)
  # shellcheck disable=SC2016 # that shell expands it, not this one
  as_builder env "DATA_SOURCE_NAME=host=$PGHOST port=$PGPORT user=enroll_monitor dbname=shop \
sslmode=disable" sh -c 'echo $$ >exporter.pid; exec "$@"' sh prometheus-postgres-exporter \
    --web.listen-address="127.0.0.1:$PORT" --extend.query-path="$EXAMPLE/queries.yaml" \
    --disable-default-metrics >"$WORK/exporter.log" 2>&1 &
}

stop_exporter() {
  [ ! -e "$WORK/exporter.pid" ] || kill "$(cat "$WORK/exporter.pid")" 2>/dev/null || true
}

# The metrics of pg_enroll, without what the exporter adds of its own.
scrape() {
  perl -MHTTP::Tiny -e '
    my $answer = HTTP::Tiny->new->get($ARGV[0]);
    exit 1 unless $answer->{success};
    for (split /\n/, $answer->{content}) { print "$_\n" if s/^(enroll_\w+)\{(.*)\}/$1\{$2\}/ }' \
    "http://127.0.0.1:$PORT/metrics" | sed -E 's/server="[^"]*",?//; s/,\}/}/' | sort >"$WORK/scraped"
  grep -q . "$WORK/scraped"
}

# metric NAME{LABELS}: its value.
metric() { awk -v series="$1" '$0 ~ "^[^ ]+ " && substr($0, 1, length(series)) == series {
  print $NF }' "$WORK/scraped"; }

SHOP='database="shop",policy="default"'

counts() {
  local name
  scrape || return
  for name in calls replays looks errors guard_rejections; do
    printf '%s ' "$(metric "enroll_${name}_total{$SHOP}")"
  done
  for name in ENROLLED FULL BUSY; do
    printf '%s ' "$(metric "enroll_answers_total{code=\"$name\",$SHOP}")"
  done
}

# Every metric that a rule or a panel speaks of is one that was scraped.
knows_its_metrics() {
  local unknown
  unknown=$(grep -ohE '\benroll_[a-z_]+' "$EXAMPLE/alerts.yml" "$EXAMPLE/dashboard.json" |
    grep -vxE 'enroll_(policies|stats)' | sort -u |
    grep -vxFf <(sed 's/[{ ].*//' "$WORK/scraped" | sort -u)) || true
  same "" "$unknown"
}

watches() {
  title "prometheus-postgres-exporter"
  start_exporter
  until_so "the exporter answers" scrape
  attempts >/dev/null
  promise "the metrics say what was done" same "10 1 1 0 0 4 6 0 " "$(counts)"
  if sql -c "INSERT INTO enrollments (user_id, tournament_id) VALUES (19, 1)" 2>/dev/null; then
    die "A row of another writer got a seat that is not there."
  fi
  promise "a row of another writer was refused" same "10 1 1 0 1 4 6 0 " "$(counts)"
  promise "the guards are in place" same 1 "$(metric "enroll_policy_guarded{$SHOP}")"
  sql -c "ALTER TABLE enrollments DISABLE TRIGGER enroll_door_insert"
  scrape
  promise "a guard that was disabled is seen" same 0 "$(metric "enroll_policy_guarded{$SHOP}")"
}

# ---- the weekly run ------------------------------------------------------------------------

# pg_cron's own clock would have us wait for Monday; its job is told to run each minute instead.
runs_by_the_clock() {
  title "pg_cron"
  promise "the run is on Mondays at 08:00 UTC" same "0 8 * * 1 CALL monitoring.run_checks()" \
    "$(value "SELECT schedule || ' ' || command FROM cron.job")"
  sql -c "SELECT cron.alter_job(jobid, schedule => '* * * * *') FROM cron.job" >/dev/null
  until_so "it has run" has_run
  sql -c "SELECT cron.alter_job(jobid, schedule => '0 8 * * 1') FROM cron.job" >/dev/null
  promise "it found the guard that was disabled, and nothing else" same "INV-05" \
    "$(value "SELECT string_agg(id, ' ') FROM monitoring.latest_checks WHERE status = 'failed'")"
  scrape
  promise "and the metrics say so" \
    same "1 0" "$(check_failed INV-05) $(check_failed INV-01)"
}

has_run() {
  [ "$(value "SELECT count(*) > 0 FROM cron.job_run_details WHERE status = 'succeeded'")" = t ]
}

check_failed() {
  sed -nE "s/^enroll_check_failed\{.*id=\"$1\".*\} //p" "$WORK/scraped"
}

# The command of the systemd unit, as it stands there.
unit_command() {
  sed -n 's/^ExecStart=//p' "$EXAMPLE/pg_enroll-check.service"
}

unit_runs() { as_builder env PATH="$BIN:$PATH" PGDATABASE=shop bash -c "$(unit_command)"; }

unit_fails() { ! unit_runs 2>"$WORK/unit.err" && grep INV-05 "$WORK/unit.err"; }

asks_by_systemd() {
  title "systemd"
  if command -v systemd-analyze >/dev/null; then
    promise "the timer is sound" systemd-analyze calendar "$(sed -n 's/^OnCalendar=//p' \
      "$EXAMPLE/pg_enroll-check.timer")"
  fi
  promise "the unit's command fails while a guard is missing" unit_fails
  sql -c "ALTER TABLE enrollments ENABLE TRIGGER enroll_door_insert"
  promise "and succeeds once it is back" unit_runs
}

# ---- rules and dashboard -------------------------------------------------------------------

holds_rules() {
  title "Alerts and dashboard"
  promise "the rules are sound" promtool check rules "$EXAMPLE/alerts.yml"
  promise "each alert fires for what it is about" promtool test rules "$EXAMPLE/alerts_test.yml"
  # shellcheck disable=SC2016 # that is Perl
  promise "the dashboard is JSON" perl -MJSON::PP -0777 -ne 'decode_json($_)' \
    "$EXAMPLE/dashboard.json"
  promise "both know the metrics" knows_its_metrics
}

main() {
  install_missing "${BUILD_PACKAGES[@]}" "${MONITORING_PACKAGES[@]}"
  work_dir
  trap 'status=$?; stop_exporter; (exit $status); cleanup' EXIT
  EXAMPLE=$WORK/src/examples/monitoring
  quietly "Copying PostgreSQL $PGVERSION into a directory of its own" make_stage "$WORK/stage"
  quietly "Building pg_enroll" build_into "$WORK/stage" with_llvm=no
  quietly "Starting a private server" start_cluster monitoring \
    "shared_preload_libraries = 'pg_enroll, pg_cron'" "cron.database_name = 'shop'" \
    "cron.use_background_workers = on"
  quietly "Loading a shop" load
  watches
  runs_by_the_clock
  asks_by_systemd
  holds_rules
}

main
