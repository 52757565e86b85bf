#!/bin/bash
# How long the checks take on tables of a size: each query, and a whole run as the client sees it.
# On a private, throw-away server, its settings the default ones but for max_wal_size. Prints the
# medians of several rounds.
#
#   bench/check.sh [ENROLLMENTS] [USERS] [ROUNDS]     1000000 200000 5 where left out
set -euo pipefail
# shellcheck source=bench/common.sh
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"

enrollments=${1:-1000000}
users=${2:-200000}
rounds=${3:-5}

# A ledger that adds up, and all of it in the window.
load() {
  sql -v enrollments="$enrollments" -v users="$users" <"$ROOT/bench/attach.sql" &&
    PGOPTIONS='-c client_min_messages=error' sql <<'END'
UPDATE moves AS m SET balance = r.balance
FROM (SELECT id, 1000 + sum(amount) OVER (PARTITION BY person ORDER BY id) AS balance
      FROM moves) AS r WHERE r.id = m.id;
UPDATE people AS p SET credits = l.balance
FROM (SELECT DISTINCT ON (person) person, balance FROM moves ORDER BY person, id DESC) AS l
WHERE l.person = p.id;
VACUUM FULL ANALYZE moves, people;
SELECT FROM enroll_attach((SELECT jsonb_set(document, '{enrollments,withdrawn}', '"NOT taken"')
                           FROM policy)) \g /dev/null
UPDATE enroll_policy SET attached_at = attached_at - interval '1 day';
END
}

# The queries in the order in which a run makes them; counting the rows goes before INV-07.
labels() {
  perl -ne '
    BEGIN { @left = map { "INV-$_" } qw(01 02 03 04 06 07 08 09 10) }
    if (/^LOG: +duration: ([0-9.]+) ms/) { $ms = $1 }
    elsif (/^Query Text: SELECT COALESCE\(pg_catalog.array_agg\(COALESCE\(a/) { $before = $ms }
    elsif (/^Query Text: WITH found/) {
      my $id = shift @left;
      printf "%s\t%s\n", $id, $ms + ($id eq "INV-07" ? $before : 0);
    }
    elsif (/^Time: ([0-9.]+) ms/) { print "all\t$1\n" }'
}

round() {
  PGOPTIONS='-c session_preload_libraries=auto_explain -c auto_explain.log_min_duration=0
    -c auto_explain.log_nested_statements=on -c client_min_messages=log' \
    sql -c '\timing on' -c 'SELECT * FROM enroll_check()' 2>&1 | labels >>"$WORK/times"
}

main() {
  local n
  install_missing "${BUILD_PACKAGES[@]}"
  work_dir
  durable_server 'max_wal_size = 8GB'
  quietly "Loading $enrollments enrollments of $users users" load
  sql -c "SELECT id, status, violations FROM enroll_check()"
  for n in $(seq "$rounds"); do
    quietly "Round $n" round
  done
  echo
  medians check 8
}

main
