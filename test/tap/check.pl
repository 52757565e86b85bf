# The weekly check as it runs beside everything else: on a hot standby, beside writers, under one
# snapshot, cancelled, timed out, from a shell, and after a dump and restore.
use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

use EnrollTest;

my $node = start_server('check', init => { allows_streaming => 1 });
my $shop = new_shop($node, 'checked');
my $dbh = connect_to($node, $shop);
my $other = connect_to($node, $shop);
fill($dbh, users => 200, balance => 1000, tournaments => [ [ 100, 10 ], [ undef, 0 ], [ 50, 5 ] ]);
for my $user (1 .. 60)
{
    must(call($dbh, "SELECT * FROM enroll($user, \$1::bigint)", $_)) for 1 .. 2;
    must(call($dbh, "SELECT * FROM unenroll($user, 1)")) if $user % 3 == 0;
}

my $failed = "SELECT id, violations FROM enroll_check() WHERE status <> 'ok'";

# Runs SQL in a psql of its own and answers its exit status and what it wrote.
sub shell
{
    my ($server, @options) = @_;
    my ($out, $err) = ('', '');
    my @command = ('psql', '-XAtq', '-v', 'ON_ERROR_STOP=1', '-d', $server->connstr($shop));
    IPC::Run::run([ @command, @options ], '>', \$out, '2>', \$err);
    return ($? >> 8, $out, $err);
}

sub begins_to_wait
{
    my ($lock) = @_;
    wait_for($dbh, "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND objid = $lock "
          . "AND NOT granted");
    return;
}

# A session that runs one statement while others go on.
sub in_background
{
    my ($sql) = @_;
    my $session = connect_to($node, $shop);
    my $pid = ask($session, 'SELECT pg_backend_pid()');
    $session->do($sql, { pg_async => DBD::Pg::PG_ASYNC() }) or die $session->errstr;
    return ($session, $pid);
}

subtest 'it locks nothing that a writer would meet, and writes nothing' => sub {
    $dbh->begin_work;
    is(ask($dbh, $failed), '', 'all is well');
    is(ask($dbh, <<'SQL'), 'AccessShareLock', 'ACCESS SHARE locks alone, to the end');
SELECT string_agg(DISTINCT mode, ',') FROM pg_locks
WHERE pid = pg_backend_pid() AND locktype <> 'virtualxid'
SQL
    is(ask($dbh, <<'SQL'), '4', 'among them those of the four tables');
SELECT count(*) FROM pg_locks JOIN pg_class c ON c.oid = relation
WHERE pid = pg_backend_pid() AND relkind = 'r' AND relnamespace = 'public'::regnamespace
  AND relname IN ('users', 'tournaments', 'enrollments', 'credit_transactions')
SQL
    is(ask($dbh, 'SELECT txid_current_if_assigned() IS NULL'), '1', 'no transaction id');
    $other->do("SET lock_timeout = '5s'");
    is(outcome_of(call($other, 'SELECT * FROM enroll(100, 1::bigint)')),
        'ENROLLED', 'a writer beside the open transaction');
    $other->do('RESET lock_timeout');
    $dbh->rollback;
};

subtest 'writers do not hold it up' => sub {
    $other->begin_work;
    must(call($other, 'SELECT * FROM enroll(101, 1::bigint)'));
    $other->do('UPDATE users SET credit_balance = 0 WHERE id = 102') or die $other->errstr;
    $other->do('UPDATE tournaments SET capacity = 5 WHERE id = 1') or die $other->errstr;
    $dbh->do("SET lock_timeout = '5s'");
    is(ask($dbh, $failed), '', 'what is not committed is not seen');
    $dbh->do('RESET lock_timeout');
    $other->rollback;
};

subtest 'one snapshot for all checks' => sub {
    my @checks = (
        [ a => 'SELECT count(*) FROM users' ],
        [ b => 'SELECT pg_advisory_xact_lock_shared(7)' ],
        [ c => 'SELECT count(*) FROM users' ]);
    ask($dbh, "SELECT enroll_add_check('$_->[0]', 'info', '$_->[1]', 'Shown')") for @checks;
    $other->do('SELECT pg_advisory_lock(7)');
    my ($session) = in_background(<<'SQL');
CREATE TEMP TABLE seen AS SELECT id, sample FROM enroll_check() WHERE id IN ('a', 'c')
SQL
    begins_to_wait(7);
    $dbh->do("INSERT INTO users (id, credit_balance) VALUES (9001, 1)") or die $dbh->errstr;
    $other->do('SELECT pg_advisory_unlock(7)');
    $session->pg_result or die $session->errstr;
    is(ask($session, 'SELECT count(*), count(DISTINCT sample) FROM seen'),
        '2|1', 'what comes in between is seen by none');
    ask($dbh, "SELECT enroll_drop_check('$_->[0]')") for @checks;
    $session->disconnect;
};

subtest 'an older snapshot is kept' => sub {
    $dbh->do('BEGIN ISOLATION LEVEL REPEATABLE READ');
    ask($dbh, 'SELECT count(*) FROM users');
    $other->do('UPDATE tournaments SET capacity = 1 WHERE id = 1') or die $other->errstr;
    is(ask($dbh, $failed), '', 'what came after it is not seen');
    $dbh->do('COMMIT');
    is(ask($dbh, $failed), 'INV-06|1', 'and is seen by the next');
    $other->do('UPDATE tournaments SET capacity = 100 WHERE id = 1') or die $other->errstr;
};

subtest 'a cancel and a timeout end it' => sub {
    ask($dbh, q{SELECT enroll_add_check('waits', 'info',
        'SELECT pg_advisory_xact_lock_shared(8)', 'x')});
    $other->do('SELECT pg_advisory_lock(8)');
    my ($session, $pid) = in_background('SELECT count(*) FROM enroll_check()');
    begins_to_wait(8);
    ask($dbh, "SELECT pg_cancel_backend($pid)");
    ok(!$session->pg_result, 'the statement fails');
    is($session->state, '57014', 'as one that was cancelled');
    is(ask($session, 'SELECT 1'), '1', 'and the session goes on');
    $session->disconnect;
    my ($status, undef, $err) =
      shell($node, '-c', "SET statement_timeout = '300ms'", '-c', 'SELECT enroll_assert()');
    isnt($status, 0, 'a timeout is no success');
    like($err, qr/canceling statement due to statement timeout/, 'and passes through');
    $other->do('SELECT pg_advisory_unlock(8)');
    ask($dbh, "SELECT enroll_drop_check('waits')");
};

subtest 'a function of the policy that takes its time is ended, too' => sub {
    $dbh->do(<<'SQL') or die $dbh->errstr;
CREATE FUNCTION slow(seats integer) RETURNS integer LANGUAGE plpgsql STABLE AS $$
BEGIN
  IF current_setting('checked.slow', true) = 'on' THEN PERFORM pg_sleep(60); END IF;
  RETURN seats;
END $$
SQL
    my $attach = q{SELECT enroll_attach(jsonb_set(document, '{tournaments,capacity}', $1::jsonb))
        FROM enroll_policies};
    must(call($dbh, $attach, '"slow(t.capacity)"'));
    my ($status, undef, $err) = shell($node, '-c', "SET checked.slow = 'on'",
        '-c', "SET statement_timeout = '300ms'", '-c', 'SELECT enroll_report()');
    isnt($status, 0, 'the report is cut short');
    like($err, qr/canceling statement due to statement timeout/, 'by the timeout');
    must(call($dbh, $attach, '"t.capacity"'));
    is(ask($dbh, $failed), '', 'all is well');
};

subtest 'from a shell' => sub {
    my ($status, $out, $err) = shell($node, '-c', q{SELECT enroll_assert('7 days')});
    is_deeply([ $status, $err ], [ 0, '' ], 'silent where all is well');
    $dbh->do('ALTER TABLE enrollments DISABLE TRIGGER enroll_door_insert') or die $dbh->errstr;
    ($status, $out, $err) = shell($node, '-c', q{SELECT enroll_assert('7 days')});
    isnt($status, 0, 'a failure where an invariant is broken');
    like($err, qr/^ERROR:  integrity checks failed: INV-05$/m, 'which says what');
    ($status, $out) = shell($node, '-c', 'SELECT enroll_report()');
    is($status, 0, 'a report only tells');
    like($out, qr/^ERROR: INV-05 .*: 1 violation$/m, 'on a line to alert on');
    like($out, qr/^FAILED\n\z/m, 'and at its end');
    $dbh->do('ALTER TABLE enrollments ENABLE TRIGGER enroll_door_insert') or die $dbh->errstr;
    ask($dbh, q{INSERT INTO enrollments (user_id, tournament_id) VALUES (150, 2) RETURNING ''});
    is((shell($node, '-c', q{SELECT enroll_assert('7 days')}))[0], 0, 'a warning is no failure');
    isnt((shell($node, '-c', q{SELECT enroll_assert('7 days', strict => true)}))[0],
        0, 'unless it is strict');
};

my $accepted = q{SELECT enrollment, reason, accepted_at FROM enroll_baseline};
is(ask($dbh, "SELECT enroll_accept_baseline('By hand')"), '1', 'one is accepted');
ask($dbh, q{SELECT enroll_add_check('own', 'warning', 'SELECT 1 FROM users WHERE id = 9001', 'x')});

subtest 'on a hot standby' => sub {
    $node->backup('base');
    my $standby = PostgreSQL::Test::Cluster->new('standby');
    $standby->init_from_backup($node, 'base', has_streaming => 1);
    $standby->start;
    $dbh->do('SET session_replication_role = replica');
    $dbh->do('INSERT INTO enrollments (user_id, tournament_id) VALUES (151, 2)')
      or die $dbh->errstr;
    $dbh->do('RESET session_replication_role');
    $dbh->do('DROP INDEX uq_active_enrollment') or die $dbh->errstr;
    $node->wait_for_catchup($standby, 'replay', $node->lsn('insert'));
    my $reader = connect_to($standby, $shop);
    is(ask($reader, 'SELECT pg_is_in_recovery()'), '1', 'it is one');
    is(ask($reader, $failed), "INV-04|1\nINV-05|1\nINV-07|1\nown|1", 'it finds the same there');
    is(ask($reader, $failed), ask($dbh, $failed), 'as on the primary');
    is(ask($reader, q{SELECT count(*) FROM enroll_report() r WHERE r = 'FAILED'}),
        '1', 'and reports it');
    my ($status, undef, $err) = shell($standby, '-c', 'SELECT enroll_assert()');
    isnt($status, 0, 'and raises');
    like($err, qr/integrity checks failed: INV-05, INV-07$/m, 'with the same ids');
    is(call($reader, "SELECT enroll_accept_baseline('x')")->{state}, '25006', 'it takes no writes');
    $reader->disconnect;
    $standby->stop;
};

subtest 'dumped and restored' => sub {
    my $dump = PostgreSQL::Test::Utils::tempdir() . '/checked.sql';
    $node->command_ok([ 'pg_dump', '-f', $dump, $node->connstr($shop) ], 'dumped');
    $node->safe_psql('postgres', 'CREATE DATABASE restored');
    $node->command_ok([ 'psql', '-XqAt', '-v', 'ON_ERROR_STOP=1', '-f', $dump,
            '-d', $node->connstr('restored') ], 'restored');
    my $restored = connect_to($node, 'restored');
    is(ask($restored, $accepted), ask($dbh, $accepted), 'with what was accepted');
    is(ask($restored, $failed), ask($dbh, $failed), 'and the checks find the same');
    $restored->disconnect;
};

$_->disconnect for $dbh, $other;
$node->stop;
done_testing();
