# What a database lives through besides calls: prepared transactions, a crash, dump and restore,
# removal and return of the extension, a standby, replication's session role, roles that may
# little, hostile search paths, and sessions that last long.
use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use List::Util qw(pairs);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

use EnrollTest;

my $enroll = 'SELECT * FROM enroll($1::bigint, $2::bigint)';
my $try_enroll = 'SELECT * FROM try_enroll($1::bigint, $2::bigint)';
my $try_unenroll = 'SELECT * FROM try_unenroll($1::bigint, $2::bigint)';
my $active = 'SELECT count(*) FROM enrollments WHERE is_active';

my $node = start_server(
    'primary',
    init => { allows_streaming => 1 },
    conf => 'max_connections = 60');

# A shop with so many users of 100 credits, a tournament for 10 credits, a free one, and another
# for 10 credits.
sub small_shop
{
    my ($name, $users, $capacity) = @_;
    my $dbh = connect_to($node, new_shop($node, $name));
    my @tournaments = ([ $capacity, 10 ], [], [ 60, 10 ]);
    fill($dbh, users => $users, balance => 100, tournaments => \@tournaments);
    return $dbh;
}

# What clients can be told to do.
my %work = (
    enroll => sub {
        my ($dbh, $client, $in) = @_;
        return call($dbh, $try_enroll, $in->{from} + $client, 1);
    },

    # In and out of two tournaments, until the server goes away, or a table says that it is enough.
    until_the_end => sub {
        my ($dbh, $client, $in) = @_;
        srand 1 + $client;
        my @mine;
        my $enough = "SELECT to_regclass('enough')";
        for (1 .. 100_000)
        {
            my $user = $in->{from} + $client + $in->{clients} * int rand 20;
            my $sql = rand() < 0.6 ? $try_enroll : $try_unenroll;
            push @mine, call($dbh, $sql, $user, $in->{from_tournament} + int rand 2);
            last if $mine[-1]{state} ne '00000' || $dbh->selectrow_array($enough);
        }
        return @mine;
    });

# The last seat of the first tournament goes to a transaction that is prepared, and the session
# that prepared it goes on.
sub prepare_an_enroll
{
    my ($shop, $name) = @_;
    my $dbh = connect_to($node, $shop);
    $dbh->begin_work;
    is(outcome_of(call($dbh, $enroll, 1, 1)), 'ENROLLED', "$name: enrolled");
    ok($dbh->do("PREPARE TRANSACTION '$shop'"), "$name: prepared");

    # The driver still believes in its transaction, which is prepared and gone.
    $dbh->commit;
    is(outcome_of(call($dbh, $try_enroll, 4, 2)), 'ENROLLED', "$name: the session goes on");
    $dbh->disconnect;
    return;
}

# Whoever comes next waits for what becomes of it.
sub a_prepared_enroll_ends
{
    my ($end, %expected) = @_;
    my $name = lc "$end prepared";
    my $shop = 'prepared_' . lc $end;
    my $dbh = small_shop($shop, 4, 1);
    prepare_an_enroll($shop, $name);

    my $clients = start_clients($node, $shop, 2, \%work);
    my $rush = begin_rush($clients, 2, 'enroll', { from => 2 });
    wait_for($dbh, <<'SQL');
SELECT count(*) = 2 FROM pg_stat_activity
  WHERE datname = current_database() AND backend_type = 'client backend'
    AND wait_event_type = 'Lock'
SQL
    pass("$name: others wait");
    $dbh->do("$end PREPARED '$shop'") or die $dbh->errstr;
    is_deeply(tally(end_rush($rush)), \%expected, "$name: and are told what is true then");
    is(ask($dbh, "$active AND tournament_id = 1"), 1, "$name: one seat, one row");
    is(violations($dbh), '', "$name: every rule holds");
    stop_clients($clients);
    $dbh->disconnect;
    return;
}

a_prepared_enroll_ends('COMMIT',   FULL     => 2);
a_prepared_enroll_ends('ROLLBACK', ENROLLED => 1, FULL => 1);

# A server killed in the middle of a load, with an enroll prepared: what was acknowledged is
# there, what was not is there whole or not at all.
sub the_server_crashes
{
    my $name = 'a crash';
    my $shop = 'crash';
    my $dbh = small_shop($shop, 400, 60);
    prepare_an_enroll($shop, $name);
    my $clients = start_clients($node, $shop, 16, \%work);

    # The prepared transaction holds on to the counter of the first tournament.
    my %in = (clients => 16, from => 10, from_tournament => 2);
    my $rush = begin_rush($clients, 16, 'until_the_end', \%in);
    wait_for($dbh, 'SELECT count(*) > 1500 FROM credit_transactions');
    $node->stop('immediate');
    my @calls = end_rush($rush);
    stop_clients($clients);
    $dbh->disconnect;
    $node->start;

    $dbh = connect_to($node, $shop);
    my @ids = map { $_->{row}{enrollment_id} } grep { outcome_of($_) eq 'ENROLLED' } @calls;
    my $list = join ', ', @ids;
    cmp_ok(scalar @ids, '>', 100, "$name: in the middle of a load");
    is(ask($dbh, "SELECT count(*) FROM enrollments WHERE id IN ($list)"),
        scalar @ids, "$name: every acknowledged enrollment is there");
    is(violations($dbh), '', "$name: every rule holds");
    $dbh->do("COMMIT PREPARED '$shop'") or die $dbh->errstr;
    is(violations($dbh), '', "$name: and with the prepared one committed");
    is(outcome_of(call($dbh, $try_enroll, 2, 2)), 'ENROLLED', "$name: enroll works");
    $dbh->disconnect;
    return;
}

the_server_crashes();

# The schema as text, without what differs from one dump to the next.
sub schema_of
{
    my ($database) = @_;
    my ($text) = run_command([ 'pg_dump', '-s', '-T', 'enough', $node->connstr($database) ]);
    $text =~ s/^\\(?:un)?restrict .*$//mg;
    return $text;
}

# A dump taken while the load runs is of one snapshot, counters and rows alike. Withdrawn rows stay,
# so whenever that snapshot is taken, it shows no fewer rows than were waited for.
sub a_dump_is_restored
{
    my $name = 'dump and restore';
    my $shop = 'dumped';
    my $file = "$PostgreSQL::Test::Utils::tmp_check/dumped.dump";
    my $dbh = small_shop($shop, 400, 150);
    my $clients = start_clients($node, $shop, 8, \%work);
    my %in = (clients => 8, from => 3, from_tournament => 1);
    my $rush = begin_rush($clients, 8, 'until_the_end', \%in);
    wait_for($dbh, 'SELECT count(*) > 100 FROM enrollments');
    $node->command_ok([ 'pg_dump', '-Fc', '-f', $file, $node->connstr($shop) ],
        "$name: dumped under load");
    $dbh->do('CREATE TABLE enough ()') or die $dbh->errstr;
    is(scalar(grep { $_->{state} ne '00000' } end_rush($rush)), 0, "$name: the load saw no error");
    stop_clients($clients);
    $dbh->disconnect;

    $node->safe_psql('postgres', 'CREATE DATABASE restored TEMPLATE template0');
    $node->command_ok([ 'pg_restore', '-e', '-d', $node->connstr('restored'), $file ],
        "$name: restored");
    $dbh = connect_to($node, 'restored');
    cmp_ok(ask($dbh, 'SELECT count(*) FROM enrollments'), '>', 100, "$name: with its rows");
    is(violations($dbh), '', "$name: every rule holds");
    is(ask($dbh, 'SELECT policy, guarded FROM enroll_policies'),
        'default|1', "$name: every guard is in place");
    is(ask($dbh, 'SELECT * FROM enroll_reconcile()'), '', "$name: a recount changes nothing");
    is(ask($dbh, 'SELECT code, amount, balance_after FROM enroll(1, 1)'),
        'ENROLLED|-10|90', "$name: enroll works");
    is(ask($dbh, 'SELECT code, amount FROM unenroll(1, 1)'),
        'UNENROLLED|5', "$name: unenroll works");
    ok(schema_of($shop) eq schema_of('restored'), "$name: it dumps as the first one did");
    $dbh->disconnect;
    return;
}

a_dump_is_restored();

# The extension goes and comes back in one session, whose caches must not outlive it.
sub the_extension_comes_back
{
    my $name = 'away and back';
    my $dbh = small_shop('away', 5, 3);
    is(outcome_of(call($dbh, $try_enroll, 1, 1)), 'ENROLLED', "$name: enrolled");
    is(call($dbh, 'DROP EXTENSION pg_enroll')->{state},
        '2BP01', "$name: not dropped while attached");
    is(call($dbh, 'SELECT enroll_detach()')->{state}, '00000', "$name: detached");
    is(outcome_of(call($dbh, $try_enroll, 2, 1)), '42704', "$name: then there is no policy");
    my $insert = 'INSERT INTO enrollments (user_id, tournament_id) SELECT id, 1 FROM users';
    is(call($dbh, "$insert WHERE id > 1")->{count}, 4, "$name: and nothing bounds a raw writer");
    for ('DROP EXTENSION pg_enroll', 'CREATE SCHEMA other', 'CREATE EXTENSION pg_enroll',
        "SELECT enroll_create_tables('other')")
    {
        is(call($dbh, $_)->{state}, '00000', "$name: $_");
    }
    $dbh->do("INSERT INTO other.users (name, credit_balance) VALUES ('anew', 7)");
    $dbh->do("INSERT INTO other.tournaments (name, capacity, cost) VALUES ('anew', 1, 7)");
    my $call = call($dbh, 'SELECT * FROM enroll(1, 1)');
    is(outcome_of($call), 'ENROLLED', "$name: enrolled anew");
    is($call->{row}{balance_after}, 0, "$name: from the new balance");
    is(outcome_of(call($dbh, $try_enroll, 1, 1)),
        'ALREADY_ENROLLED', "$name: a statement prepared before answers so too");
    is(ask($dbh, 'SELECT count(*) FROM other.enrollments'), 1, "$name: into the new table");
    is(ask($dbh, $active), 5, "$name: the old one is as it was");
    $dbh->disconnect;
    return;
}

the_extension_comes_back();

# A standby answers questions and refuses the rest, before anything else.
sub a_standby_answers
{
    my $name = 'a standby';
    my $shop = 'standby';
    my $dbh = small_shop($shop, 3, 1);
    $node->backup('base');
    my $standby = PostgreSQL::Test::Cluster->new('standby');
    $standby->init_from_backup($node, 'base', has_streaming => 1);
    $standby->start;
    ask($dbh, 'SELECT enroll(1, 1)');
    $dbh->disconnect;
    $node->wait_for_catchup($standby, 'replay');

    $dbh = connect_to($standby, $shop);
    my $can_enroll = 'SELECT * FROM can_enroll($1::bigint, $2::bigint)';
    my $quote_unenroll = 'SELECT * FROM quote_unenroll($1::bigint, $2::bigint)';
    is(outcome_of(call($dbh, $can_enroll, 2, 2)), 'ELIGIBLE', "$name: can_enroll answers");
    is(outcome_of(call($dbh, $can_enroll, 2, 1)), 'FULL', "$name: also a rejection");
    is(outcome_of(call($dbh, $quote_unenroll, 1, 1)), 'REFUNDABLE', "$name: so does the quote");
    for my $call (
        'enroll(2, 2)',      'try_enroll(2, 2)',          'enroll(2, 1)',
        'try_enroll(2, 1)',  'unenroll(1, 1)',            'try_unenroll(1, 1)',
        'enroll(NULL, 1)',   "enroll_waived(2, 2, 'so')", 'enroll_many(ARRAY[2], 2)',
        'try_enroll(2, 99)', 'try_enroll_many(ARRAY[2], 2)')
    {
        is(call($dbh, "SELECT * FROM $call")->{state}, '25006', "$name: $call is refused");
    }

    # Promoted, it sells what is left, in the same session.
    $standby->promote;
    is(outcome_of(call($dbh, $enroll, 2, 2)), 'ENROLLED', "$name: enroll works once promoted");
    is(violations($dbh), '', "$name: every rule holds");
    $dbh->disconnect;
    $standby->stop;
    return;
}

a_standby_answers();

# Triggers do not fire for a replica's session: refuse rather than race.
sub a_replica_refuses
{
    my $name = 'session_replication_role';
    my $dbh = small_shop('replica', 3, 2);
    ask($dbh, 'SELECT enroll(1, 1)');
    my $everything = 'SELECT * FROM users, credit_transactions ORDER BY 1, 4';
    my $before = ask($dbh, $everything);
    $dbh->do('SET session_replication_role = replica');
    for my $call ('enroll(2, 1)', 'try_enroll(2, 1)', 'unenroll(1, 1)', 'try_unenroll(1, 1)',
        "enroll_waived(2, 1, 'so')", 'enroll_many(ARRAY[2], 1)', 'try_enroll_many(ARRAY[2, 3], 1)')
    {
        is(call($dbh, "SELECT * FROM $call")->{state}, 'NR090', "$name: $call is refused");
    }
    is(ask($dbh, $everything), $before, "$name: nothing is paid, nothing is written");
    is(violations($dbh), '', "$name: every rule holds");
    $dbh->do('SET session_replication_role = origin');
    is(outcome_of(call($dbh, $enroll, 2, 1)), 'ENROLLED', "$name: and back again");
    $dbh->disconnect;
    return;
}

a_replica_refuses();

# A role with EXECUTE and nothing else.
sub a_role_may_little
{
    my $name = 'an application role';
    my $shop = 'roles';
    my $dbh = small_shop($shop, 3, 2);
    my $triggers = join "\n", map { "enroll_$_" } qw(balance door gate ledger);
    is(ask($dbh, <<'SQL'), $triggers, "$name: what PUBLIC may run");
SELECT p.proname FROM pg_proc p
  JOIN pg_depend d ON d.classid = 'pg_proc'::regclass AND d.objid = p.oid AND d.deptype = 'e'
  JOIN pg_extension x ON d.refclassid = 'pg_extension'::regclass AND d.refobjid = x.oid
  CROSS JOIN LATERAL aclexplode(coalesce(p.proacl, acldefault('f', p.proowner))) a
  WHERE x.extname = 'pg_enroll' AND a.grantee = 0 AND a.privilege_type = 'EXECUTE'
  ORDER BY 1
SQL
    $dbh->do(<<'SQL') or die $dbh->errstr;
CREATE ROLE nobody LOGIN;
CREATE ROLE app LOGIN;
DO $$
DECLARE
  f regprocedure;
BEGIN
  FOR f IN SELECT oid FROM pg_proc
             WHERE proname IN ('enroll', 'try_enroll', 'unenroll', 'can_enroll', 'enroll_many',
                               'quote_unenroll')
  LOOP
    EXECUTE format('GRANT EXECUTE ON FUNCTION %s TO app', f);
  END LOOP;
END $$;
SQL
    my $app = connect_to($node, $shop, user => 'app');
    for my $call ('enroll(1, 1)', 'can_enroll(2, 1)', 'quote_unenroll(1, 1)', 'unenroll(1, 1)',
        'try_enroll(1, 1)', 'enroll_many(ARRAY[2], 1)', "enroll('3', '1')")
    {
        my $state = $call =~ /'3'/ ? 'NR001' : '00000';
        is(call($app, "SELECT * FROM $call")->{state}, $state, "$name: may $call");
    }
    for my $sql (
        'SELECT * FROM users',
        'SELECT * FROM enrollments',
        'SELECT * FROM credit_transactions',
        'UPDATE users SET credit_balance = 1000',
        'INSERT INTO enrollments (user_id, tournament_id) VALUES (3, 1)',
        'DELETE FROM enrollments',
        'SELECT * FROM enroll_seat',
        'UPDATE enroll_seat SET taken = 0',
        'SELECT * FROM enroll_policy',
        'UPDATE enroll_policy SET document = NULL',
        'SELECT * FROM enroll_policies',
        "SELECT enroll_waived(3, 1, 'so')",
        'SELECT enroll_reconcile()',
        'SELECT enroll_detach()',
        "SELECT enroll_create_tables('public', 'mine')")
    {
        is(call($app, $sql)->{state}, '42501', "$name: may not $sql");
    }
    is(call($app, 'SELECT * FROM enroll_error_codes')->{state},
        '00000', "$name: may read the contract");
    my $nobody = connect_to($node, $shop, user => 'nobody');
    for my $call ('enroll(3, 1)', 'can_enroll(3, 1)', 'try_unenroll(1, 1)')
    {
        is(call($nobody, "SELECT $call")->{state}, '42501', "nobody may $call");
    }
    is(violations($dbh), '', "$name: every rule holds");
    $_->disconnect for $app, $nobody, $dbh;
    return;
}

a_role_may_little();

# A schema full of traps: what the engine uses, under the same names, with other meanings.
my $trap = <<'SQL';
CREATE SCHEMA trap;
CREATE FUNCTION trap.spring(bigint, bigint) RETURNS boolean LANGUAGE plpgsql AS
  $$ BEGIN RAISE EXCEPTION 'sprung' USING ERRCODE = 'TRAP0'; END $$;
CREATE FUNCTION trap.spring_sum(bigint, bigint) RETURNS bigint LANGUAGE plpgsql AS
  $$ BEGIN RAISE EXCEPTION 'sprung' USING ERRCODE = 'TRAP0'; END $$;
CREATE FUNCTION trap.spring_text(text, text) RETURNS boolean LANGUAGE plpgsql AS
  $$ BEGIN RAISE EXCEPTION 'sprung' USING ERRCODE = 'TRAP0'; END $$;
CREATE FUNCTION trap.now() RETURNS timestamptz LANGUAGE plpgsql AS
  $$ BEGIN RAISE EXCEPTION 'sprung' USING ERRCODE = 'TRAP0'; END $$;
CREATE OPERATOR trap.= (LEFTARG = bigint, RIGHTARG = bigint, FUNCTION = trap.spring);
CREATE OPERATOR trap.>= (LEFTARG = bigint, RIGHTARG = bigint, FUNCTION = trap.spring);
CREATE OPERATOR trap.< (LEFTARG = bigint, RIGHTARG = bigint, FUNCTION = trap.spring);
CREATE OPERATOR trap.> (LEFTARG = bigint, RIGHTARG = bigint, FUNCTION = trap.spring);
CREATE OPERATOR trap.+ (LEFTARG = bigint, RIGHTARG = bigint, FUNCTION = trap.spring_sum);
CREATE OPERATOR trap.- (LEFTARG = bigint, RIGHTARG = bigint, FUNCTION = trap.spring_sum);
CREATE OPERATOR trap./ (LEFTARG = bigint, RIGHTARG = bigint, FUNCTION = trap.spring_sum);
CREATE OPERATOR trap.= (LEFTARG = text, RIGHTARG = text, FUNCTION = trap.spring_text);
CREATE TABLE trap.users AS SELECT 9::bigint AS id, 1000000::bigint AS credit_balance;
CREATE TABLE trap.tournaments AS TABLE public.tournaments WITH NO DATA;
CREATE TABLE trap.enrollments AS TABLE public.enrollments WITH NO DATA;
CREATE TABLE trap.credit_transactions AS TABLE public.credit_transactions WITH NO DATA;
CREATE TABLE trap.enroll_seat AS TABLE public.enroll_seat WITH NO DATA;
CREATE TABLE trap.enroll_policy AS TABLE public.enroll_policy WITH NO DATA;
CREATE DOMAIN trap.text AS pg_catalog.text CHECK (false);
CREATE DOMAIN trap.int8 AS pg_catalog.int8 CHECK (false);
GRANT USAGE ON SCHEMA trap TO app;
GRANT ALL ON ALL TABLES IN SCHEMA trap TO app;
GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA public TO app;
GRANT SELECT, INSERT, UPDATE, DELETE ON public.enrollments, public.tournaments TO app;
GRANT USAGE ON ALL SEQUENCES IN SCHEMA public TO app;
SQL

# Each statement comes to what it says, whatever the caller's search path begins with.
sub comes_to
{
    my ($name, $dbh, @expected) = @_;
    while (my ($sql, $outcome) = splice @expected, 0, 2)
    {
        my $call = call($dbh, $sql);
        is(outcome_of($call), $outcome, "$name: $sql") or diag($call->{message});
    }
    return;
}

sub a_hostile_path_changes_nothing
{
    my $name = 'a hostile search path';
    my $owner = small_shop('hostile', 3, 2);
    $owner->do($trap) or die $owner->errstr;
    my $app = connect_to($node, 'hostile', user => 'app');
    $app->do('SET search_path = trap, pg_temp, pg_catalog, public') or die $app->errstr;
    $app->do('CREATE TEMP TABLE enroll_seat (policy pg_catalog.text)') or die $app->errstr;
    my $public = 'SELECT * FROM public.';
    comes_to(
        $name, $app,
        "${public}enroll(1, 1)"                  => 'ENROLLED',
        "${public}enroll('1', '1')"              => 'ALREADY_ENROLLED',
        "${public}can_enroll(2, 1)"              => 'ELIGIBLE',
        "${public}can_enroll(9, 1)"              => 'USER_NOT_FOUND',
        "${public}quote_unenroll(1, 1)"          => 'REFUNDABLE',
        "${public}enroll_waived(2, 1, 'so')"     => 'ENROLLED',
        "${public}try_enroll(3, 1)"              => 'FULL',
        "${public}try_enroll_many(ARRAY[3], 1)"  => 'FULL',
        "${public}unenroll(1, 1, 'a key')"       => 'UNENROLLED',
        "${public}try_unenroll(1, 1, 'a key')"   => 'REPLAYED',
        "${public}enroll(3, 1, 'another', 10)"   => 'ENROLLED');

    # Raw writers' triggers run under the same path.
    comes_to(
        $name, $app,
        'INSERT INTO public.enrollments (user_id, tournament_id) VALUES (1, 1)' =>
          '23514 enroll_capacity',
        'UPDATE public.tournaments SET capacity = 3' => 'OK',
        'INSERT INTO public.enrollments (user_id, tournament_id) VALUES (1, 1)' => 'OK',
        'UPDATE public.enrollments SET is_active = false' => 'OK',
        'DELETE FROM public.enrollments' => 'OK',
        "INSERT INTO public.tournaments (name, capacity) VALUES ('other', 1)" => 'OK',
        'DELETE FROM public.tournaments' => 'OK');
    is(ask($owner, 'SELECT count(*) FROM trap.enrollments'),
        0, "$name: nothing fell into the trap");
    is(violations($owner), '', "$name: every rule holds");
    $_->disconnect for $app, $owner;
    return;
}

a_hostile_path_changes_nothing();

# Calls that answer, all in one statement, with their answers.
my @answered = (
    'try_enroll(1, 2)'                     => 'ENROLLED',
    'try_enroll(1, 2)'                     => 'ALREADY_ENROLLED',
    'try_enroll(2, 1)'                     => 'FULL',
    'try_enroll(4, 2)'                     => 'INSUFFICIENT_CREDITS',
    "try_enroll(3, 2, 'a key')"            => 'ENROLLED',
    "try_enroll(2, 2, 'a key')"            => 'IDEMPOTENCY_MISMATCH',
    'can_enroll(2, 2)'                     => 'ELIGIBLE',
    'quote_unenroll(3, 2)'                 => 'REFUNDABLE',
    'try_enroll_many(ARRAY[2], 1)'         => 'FULL',
    'try_unenroll(1, 2)'                   => 'UNENROLLED',
    'try_unenroll(1, 2)'                   => 'NOT_ENROLLED');

# Statements that raise, with what they raise.
my @raised = (
    'SELECT enroll(3, 2)'                  => 'ALREADY_ENROLLED',
    'SELECT enroll(2, 1)'                  => 'FULL',
    "SELECT enroll(2, 2, 'a key')"         => 'IDEMPOTENCY_MISMATCH',
    'SELECT unenroll(1, 2)'                => 'NOT_ENROLLED',
    'INSERT INTO enrollments (user_id, tournament_id) VALUES (2, 1)' => '23514 enroll_capacity');

# A backend's memory after many calls is what it was after few.
sub a_long_session_stays_small
{
    my $name = 'a long session';
    my $dbh = small_shop('long', 4, 1);
    $dbh->do($_) or die $dbh->errstr
      for 'UPDATE users SET credit_balance = CASE id WHEN 4 THEN 0 ELSE 10000000 END',
      'UPDATE tournaments SET cost = 10',
      'INSERT INTO enrollments (user_id, tournament_id) VALUES (3, 1)';
    ask($dbh, "SELECT enroll(3, 2, 'a key')");
    my (@calls, @codes);
    for (pairs(@answered)) { push @calls, "(SELECT code FROM $_->[0])"; push @codes, $_->[1] }
    my $statement = 'SELECT ' . join ', ', @calls;
    my $expected = join '|', @codes;
    my ($calls, $odd, %used) = (0, 0);
    for my $until (1_000, 50_000)
    {
        while ($calls < $until)
        {
            $odd++ if ask($dbh, $statement) ne $expected;
            $odd += grep { outcome_of(call($dbh, $_->[0])) ne $_->[1] } pairs(@raised);
            $calls += @calls + @raised / 2;
        }
        $used{$until} = ask($dbh, 'SELECT sum(used_bytes) FROM pg_backend_memory_contexts');
    }
    is($odd, 0, "$name: always the same answers");
    note("bytes in use: $used{1_000}, then $used{50_000}");
    cmp_ok($used{50_000} - $used{1_000}, '<', 65_536, "$name: no memory is left behind");
    $dbh->disconnect;
    return;
}

a_long_session_stays_small();

$node->stop;

done_testing();
