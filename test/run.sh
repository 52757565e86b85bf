#!/bin/bash
# Runs the tests: all of them, or the steps named as arguments.
#
#   test/run.sh [build] [gates] [unit] [regress] [isolation] [tap] [quickstart] [semesters] \
#     [monitoring] [valgrind]
#
# The last one runs the regression tests again, with every server process under valgrind. KEEP=1
# keeps the work directory with every log. The last line is "N passed, N failed".
set -uo pipefail
# shellcheck source=test/setup.sh
. "$(dirname "${BASH_SOURCE[0]}")/setup.sh"

PASSED=0
FAILED=0

# -- Counting ---------------------------------------------------------------------------------

# Reads a log, whatever runner wrote it, and answers "PASSED FAILED". The forms, in order: our own
# checks, prove and newer pg_regress; older pg_regress; Catch2, alone or under ctest.
count_tests() {
  perl -ne '
    if (/^(not )?ok (\d+ |- )/) { $1 ? $failed++ : $passed++ }
    elsif (/^(?:test|    ) .*\.\.\. (ok|FAILED)/) { $1 eq "ok" ? $passed++ : $failed++ }
    elsif (/^(?:\d+: )?All tests passed \(.* in (\d+) test case/) { $passed += $1 }
    elsif (/^(?:\d+: )?test cases: /) {
      $passed += $1 if /(\d+) passed/;
      $failed += $1 if /(\d+) failed/;
    }
    END { printf "%d %d\n", $passed // 0, $failed // 0 }' "$1"
}

# check NAME COMMAND...: one test of our own.
check() {
  local name=$1
  shift
  if "$@"; then echo "ok - $name"; else echo "not ok - $name"; fi
}

show_failure() {
  echo "---- what failed in $1"
  grep -E '^not ok |\.\.\. FAILED' "$2" | head -n 40
  echo "---- the end of its log"
  tail -n 80 "$2"
  echo "----"
}

# run_step NAME: runs step_NAME into a log and adds up what it says.
run_step() {
  local name=$1 log=$WORK/log/$1.log began=$SECONDS status passed failed
  printf '%-10s ' "$name"
  "step_$name" >"$log" 2>&1 </dev/null
  status=$?
  read -r passed failed < <(count_tests "$log")
  # A runner that broke without naming a test is a failure; so is one that ran none.
  if [ "$failed" = 0 ] && [ "$status" != 0 ]; then failed=1; fi
  if [ "$failed" = 0 ] && [ "$passed" = 0 ] && ! grep -q '^nothing there' "$log"; then failed=1; fi
  PASSED=$((PASSED + passed))
  FAILED=$((FAILED + failed))
  echo "$passed ok, $failed not ok, $((SECONDS - began)) s"
  [ "$failed" = 0 ] || show_failure "$name" "$log"
}

# find_tests PATTERN: fills TESTS with the base names of the matching files, sorted. None is fine
# only while git knows of none either.
find_tests() {
  local file
  TESTS=()
  for file in "$WORK/src/"$1; do
    [ ! -e "$file" ] || TESTS+=("$(basename "${file%.*}")")
  done
  [ ${#TESTS[@]} -eq 0 ] || return 0
  if [ -n "$(in_git ls-files "$1")" ]; then echo "not ok - $1 exists"; else echo "nothing there"; fi
  return 1
}

# -- Build and gates --------------------------------------------------------------------------

builds() {
  make_stage "$WORK/stage" && build_source "$WORK/src" "$STAGE" >"$WORK/log/make.log" 2>&1 && return
  cat "$WORK/log/make.log"
  return 1
}

builds_silently() { ! grep -i 'warning:' "$WORK/log/make.log"; }

installs() {
  local version
  version=$(control_version)
  [ -f "$LIB/pg_enroll.so" ] &&
    [ -f "$STAGE$PGSHARE/extension/pg_enroll.control" ] &&
    [ -f "$STAGE$PGSHARE/extension/pg_enroll--$version.sql" ] &&
    { ! grep -q '^with_llvm *= yes' "$PGXS_SRC/Makefile.global" ||
      [ -f "$LIB/bitcode/pg_enroll.index.bc" ]; }
}

step_build() {
  check "builds with g++ and, for bitcode, with clang" builds
  check "builds without a warning" builds_silently
  check "installs the library, its bitcode, the control file and the script" installs
}

control_version() { sed -n "s/^default_version *= *'\(.*\)'/\1/p" "$ROOT/pg_enroll.control"; }

# The engine jumps out of its frames by longjmp, so none of them may own what a destructor must
# free: no unwinding, no operator new or delete. The bridge alone calls code that throws.
owns_nothing() {
  local objects=() object
  for object in "$WORK"/src/src/engine/*.o "$WORK"/src/src/pg/*.o; do
    [ "$object" = "$WORK/src/src/engine/bridge.o" ] || [ ! -e "$object" ] || objects+=("$object")
  done
  [ ${#objects[@]} -gt 0 ] || { echo "no object was built"; return 1; }
  ! nm -A -u "${objects[@]}" | grep -E '_Unwind_Resume|_Zn[wa]|_Zd[la]'
}

exports_no_more() {
  local exported allowed='_PG_init|Pg_magic_func|pg_enroll_[a-z0-9_]+|pg_finfo_pg_enroll_[a-z0-9_]+'
  exported=$(nm -D --defined-only "$WORK/src/pg_enroll.so" | sed 's/.* //')
  grep -qx _PG_init <<<"$exported" && ! grep -vxE "$allowed" <<<"$exported"
}

# The fields that a PGXN distribution must have, and the one version in three places.
meta_is_valid() {
  VERSION=$(control_version) perl -MJSON::PP -0777 -ne '
    my $meta = decode_json($_);
    my $provided = $meta->{provides}{pg_enroll};
    my @wrong = grep { !$meta->{$_} } qw(name abstract version maintainer license provides);
    push @wrong, "meta-spec" if $meta->{"meta-spec"}{version} ne "1.0.0";
    push @wrong, "version" if $meta->{version} ne $ENV{VERSION};
    push @wrong, "provides.version" if $provided->{version} ne $ENV{VERSION};
    push @wrong, "provides.file" if $provided->{file} ne "extension/pg_enroll--$ENV{VERSION}.sql";
    push @wrong, map { "provides.$_" } grep { !-f $provided->{$_} } qw(file docfile);
    print "META.json is wrong in: @wrong\n" if @wrong;
    exit(@wrong ? 1 : 0)' META.json
}

# Written so, an operator is looked up on the search path, where it could be anybody's.
names_its_operators() {
  ! grep -nE 'IS (NOT )?DISTINCT FROM|NULLIF\(|BETWEEN | (NOT )?IN \(|LIKE ' \
    src/rules/{sql,checks,rows}.cpp src/engine/*.cpp | grep -vE ':[0-9]+: *//'
}

step_gates() {
  cd "$WORK/src" || return
  check "objects of the engine own nothing that needs a destructor" owns_nothing
  check "the engine's SQL names the schema of every operator" names_its_operators
  check "the library exports SQL-callable functions only" exports_no_more
  check "META.json is valid and agrees with the control file and the script" meta_is_valid
  cd "$ROOT" || return
}

# -- The runners ------------------------------------------------------------------------------

step_unit() {
  find_tests "test/unit/*.cpp" || return
  local build=$WORK/unit
  as_builder cmake -S "$WORK/src" -B "$build" -DPG_CONFIG="$PGHOME/bin/pg_config" &&
    as_builder cmake --build "$build" -j 2 &&
    as_builder timeout 600 ctest --test-dir "$build" -V
}

# server_tests NAME COMMAND...: runs it against a cluster of its own.
server_tests() {
  local name=$1 status
  shift
  start_cluster "$name" "${SETTINGS[@]}" || return
  as_builder timeout 1800 "$@"
  status=$?
  if [ "$status" != 0 ]; then
    find "$WORK/$name.out" -name '*.diffs' -exec head -n 300 {} +
    grep -E 'PANIC|TRAP|terminated by signal|Failed process was running' "$WORK/$name/server.log"
  fi
  stop_cluster "$name"
  return "$status"
}

regress() {
  server_tests "$1" "$PGXS_SRC/test/regress/pg_regress" --bindir="$BIN" --inputdir="$WORK/src" \
    --outputdir="$WORK/$1.out" --dbname=contrib_regression "${TESTS[@]}"
}

step_regress() {
  find_tests "sql/*.sql" && regress regress
}

step_isolation() {
  find_tests "test/isolation/specs/*.spec" || return
  server_tests isolation "$PGXS_SRC/test/isolation/pg_isolation_regress" --bindir="$BIN" \
    --inputdir="$WORK/src/test/isolation" --outputdir="$WORK/isolation.out" \
    --dbname=isolation_regression "${TESTS[@]}"
}

step_tap() {
  find_tests "test/tap/*.pl" || return
  local tests=()
  mapfile -t tests < <(printf 'test/tap/%s.pl\n' "${TESTS[@]}")
  as_builder mkdir "$WORK/tap"
  as_builder env -C "$WORK/src" TESTDIR="$WORK/tap" PATH="$BIN:$PATH" \
    PERL5LIB="$PGXS_SRC/test/perl" PG_REGRESS="$PGXS_SRC/test/regress/pg_regress" \
    timeout 1800 prove -v -I test/tap "${tests[@]}"
}

# As a newcomer would run them, from the checkout; they build and start their own.
step_quickstart() {
  check "the quick start runs and says what it promises" bash "$ROOT/examples/quickstart.sh"
}

step_semesters() {
  check "the worked example holds what it promises" bash "$ROOT/examples/semesters/run.sh"
}

step_monitoring() {
  check "the monitoring example sees what it promises" bash "$ROOT/examples/monitoring/run.sh"
}

# -- valgrind ---------------------------------------------------------------------------------

# none_is_ours LOG...: fails if the stack of an error or a definite leak passes through our library,
# and prints the first few. PostgreSQL's own, of which an ordinary build has some, do not count.
none_is_ours() {
  OURS="$WORK/src/" perl -0777 -ne '
    for my $block (split /^==\d+==\s*\n/m) {
      next unless $block =~ m{lib/pg_enroll\.so|\Q$ENV{OURS}\E} && $block =~ /^==\d+==    at /m;
      print $block, "\n" if ++$found <= 3;
    }
    END {
      print "errors and leaks of ours: $found\n" if $found;
      exit($found ? 1 : 0);
    }' "$@"
}

step_valgrind() {
  find_tests "sql/*.sql" || return
  local reports=$WORK/valgrind.reports SERVER=$WORK/valgrind.reports/postgres status
  as_builder mkdir "$reports"
  as_builder tee "$SERVER" >/dev/null <<END
#!/bin/sh
exec valgrind --quiet --trace-children=yes --num-callers=60 --error-limit=no --fullpath-after= \\
  --leak-check=full --show-leak-kinds=definite --suppressions=$WORK/src/test/valgrind.supp \\
  --log-file=$reports/%p.log $BIN/postgres "\$@"
END
  as_builder chmod +x "$SERVER"
  regress valgrind
  status=$?
  check "valgrind finds no error and no leak of ours" none_is_ours "$reports"/*.log
  return "$status"
}

# -- Main -------------------------------------------------------------------------------------

packages_of() {
  case $1 in
    build) printf '%s\n' "${BUILD_PACKAGES[@]}" ;;
    unit) printf '%s\n' "${BUILD_PACKAGES[@]}" cmake catch2 ;;
    tap) printf '%s\n' libipc-run-perl libdbd-pg-perl ;;
    quickstart) printf '%s\n' "${BUILD_PACKAGES[@]}" ;;
    semesters) printf '%s\n' "${BUILD_PACKAGES[@]}" "${SEMESTERS_PACKAGES[@]}" ;;
    monitoring) printf '%s\n' "${BUILD_PACKAGES[@]}" "${MONITORING_PACKAGES[@]}" ;;
    valgrind) printf '%s\n' "${VALGRIND_PACKAGES[@]}" ;;
  esac
}

needs_build() {
  case $1 in gates | regress | isolation | tap | valgrind) return 0 ;; *) return 1 ;; esac
}

# Fills STEPS with what was asked for, the build before whatever needs it.
choose_steps() {
  local step
  if [ $# -eq 0 ]; then
    STEPS=(build gates unit regress isolation tap quickstart semesters monitoring valgrind)
    return
  fi
  STEPS=()
  for step; do
    declare -F "step_$step" >/dev/null || die "There is no step \"$step\"; see the top of $0."
    if [ "$step" = build ] || needs_build "$step"; then STEPS=(build); fi
  done
  for step; do
    [ "$step" = build ] || STEPS+=("$step")
  done
}

main() {
  local step packages built=yes
  choose_steps "$@"
  mapfile -t packages < <(for step in "${STEPS[@]}"; do packages_of "$step"; done | sort -u)
  install_missing "${packages[@]}"
  work_dir
  mkdir "$WORK/log"
  copy_source "$WORK/src" || die "The checkout could not be copied."
  for step in "${STEPS[@]}"; do
    if [ "$built" = no ] && needs_build "$step"; then
      echo "$step: not run, since the build failed"
      FAILED=$((FAILED + 1))
      continue
    fi
    run_step "$step"
    if [ "$step" = build ] && [ "$FAILED" != 0 ]; then built=no; fi
  done
  echo
  echo "$PASSED passed, $FAILED failed"
  [ "$FAILED" = 0 ]
}

main "$@"
