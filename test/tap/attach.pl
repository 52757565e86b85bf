# Policies on tables of one's own, under load: attached and detached while everybody writes, with
# capacities that stand in other tables, rows that become active again, follow-up statements and a
# bounded wait; and what such a database lives through: dump, restore, upgrade, another encoding.
use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use JSON::PP;
use List::Util qw(max sum0);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(clock_gettime sleep CLOCK_MONOTONIC);

use EnrollTest;

my $enroll = 'SELECT * FROM enroll($1::bigint, $2::bigint)';
my $try_enroll = 'SELECT * FROM try_enroll($1::bigint, $2::bigint)';
my $unenroll = 'SELECT * FROM unenroll($1::bigint, $2::bigint)';
my $try_unenroll = 'SELECT * FROM try_unenroll($1::bigint, $2::bigint)';
my $enroll_many = 'SELECT * FROM enroll_many($1::bigint[], $2::bigint)';
my $try_enroll_many = 'SELECT * FROM try_enroll_many($1::bigint[], $2::bigint)';

# Raw statements for one user and tournament. The first takes care not to enroll anybody twice,
# which no index forbids while nothing is attached.
my $insert = <<'SQL';
INSERT INTO enrollments (user_id, tournament_id)
  SELECT $1::bigint, $2::bigint
  WHERE NOT EXISTS (SELECT FROM enrollments
                      WHERE user_id = $1::bigint AND tournament_id = $2::bigint AND is_active)
SQL
my $withdraw = <<'SQL';
UPDATE enrollments SET status = 'WITHDRAWN', is_active = false
  WHERE user_id = $1 AND tournament_id = $2 AND is_active
SQL
my $return = <<'SQL';
UPDATE enrollments SET status = 'ENROLLED', is_active = true
  WHERE user_id = $1 AND tournament_id = $2 AND NOT is_active
SQL
my $delete = 'DELETE FROM enrollments WHERE user_id = $1 AND tournament_id = $2';

my $active = 'SELECT count(*) FROM enrollments WHERE is_active AND tournament_id =';

sub now { return clock_gettime(CLOCK_MONOTONIC) }
sub one_of { return $_[ rand @_ ] }

# The users that belong to a client alone.
sub own_user
{
    my ($client, $in) = @_;
    return 1 + $client + $in->{clients} * int rand $in->{each};
}

# How far a sequence has come: every transaction sees it, however old its snapshot.
sub reached
{
    my ($sequence, $count) = @_;
    return "SELECT is_called AND last_value >= $count FROM $sequence";
}

sub advance
{
    my ($dbh, $sequence) = @_;
    return $dbh->selectrow_array("SELECT nextval('$sequence')") // die $dbh->errstr;
}

# A call's outcome, without its rows: of many calls, too much to be sent and kept.
sub brief
{
    my ($call, %more) = @_;
    return {
        outcome => outcome_of($call),
        message => $call->{message},
        began   => $call->{began},
        ended   => $call->{ended},
        bad     => [ bad_receipts($call) ],
        %more
    };
}

# What of the calls their kind does not allow, with an example each; and receipts that are wrong.
sub unexpected
{
    my ($expected, @calls) = @_;
    my %odd;
    for my $call (@calls)
    {
        $odd{$_} = 'a receipt' for @{ $call->{bad} };
        next if $call->{outcome} =~ /^(?:$expected->{ $call->{kind} })$/;
        $odd{"$call->{kind}: $call->{outcome}"} = $call->{message} // 'a receipt';
    }
    return \%odd;
}

sub note_outcomes
{
    my ($name, @calls) = @_;
    my %met;
    $met{ $_->{kind} }{ $_->{outcome} }++ for @calls;
    for my $kind (sort keys %met)
    {
        my $count = $met{$kind};
        note("$name, $kind: ", join ', ', map { "$count->{$_} $_" } sort keys %$count);
    }
    return;
}

# -- Policies -----------------------------------------------------------------------------------

sub must
{
    my ($call) = @_;
    die "$call->{state}: $call->{message}" if $call->{state} ne '00000';
    return $call;
}

sub attach
{
    my ($dbh, $policy, $name) = @_;
    return call($dbh, 'SELECT enroll_attach($1::jsonb, $2)',
        JSON::PP->new->canonical->encode($policy), $name // 'default');
}

# The ready-made tables without a policy, and the policy that they had.
sub detached_shop
{
    my ($node, $name) = @_;
    my $dbh = connect_to($node, new_shop($node, $name));
    my $policy = JSON::PP->new->decode(ask($dbh, 'SELECT document FROM enroll_policies'));
    must(call($dbh, 'SELECT enroll_detach()'));
    return ($dbh, $policy);
}

# The ready-made tables, changed by SQL, and their policy, changed by a function.
sub own_shop
{
    my ($node, $name, $sql, $change) = @_;
    my ($dbh, $policy) = detached_shop($node, $name);
    if (defined $sql) { $dbh->do($sql) or die $dbh->errstr }
    $change->($policy);
    must(attach($dbh, $policy));
    return ($dbh, $policy);
}

# Texts come as characters from every database, whatever its encoding.
$ENV{PGCLIENTENCODING} = 'UTF8';

my $node = start_server('attach', conf => "deadlock_timeout = 100ms\n");

# -- Attaching and detaching while everybody writes -----------------------------------------------

my $cycles = 10;

# The fourth tournament is oversold from the start and stays so; in the fifth there is always room.
my @capacity = (undef, 10, 10, 10, 10, undef);
my ($oversold, $roomy) = (4, 5);

# One statement after the other for users of the client's own: half of them calls.
sub write_and_call
{
    my ($dbh, $client, $in) = @_;
    srand 1 + $client;
    my @mine;
    while (@mine % 10 || !ask($dbh, "SELECT to_regclass('enough')"))
    {
        my $kind = one_of('call', 'raw');
        my @ways = $kind eq 'raw' ? ($insert, $withdraw, $delete) : ($try_enroll, $try_unenroll);
        my ($user, $tournament) = (own_user($client, $in), 1 + int rand $#capacity);
        my $call = call($dbh, one_of(@ways, $kind eq 'call' ? $enroll : ()), $user, $tournament);
        push @mine, brief($call, kind => $kind, tournament => $tournament);
    }
    return @mine;
}

# Transactions at REPEATABLE READ that each began before an attach and write after it.
sub write_late
{
    my ($dbh, $client, $in) = @_;
    my @ways = (
        [ 'late raw' => $insert,     $roomy ],
        [ 'late raw' => $insert,     $oversold ],
        [ 'late'     => $try_enroll, $roomy ],
        [ 'late'     => $try_enroll, $oversold ]);
    $dbh->do("SET default_transaction_isolation = 'repeatable read'") or die $dbh->errstr;
    my @mine;
    for my $cycle (1 .. $cycles)
    {
        my ($kind, $sql, $tournament) = @{ $ways[ $cycle % @ways ] };
        $dbh->begin_work;
        ask($dbh, 'SELECT 1');
        advance($dbh, 'ready');
        wait_for($dbh, reached('attached', $cycle));
        my $call = call($dbh, $sql, own_user($client, $in), $tournament);
        push @mine, brief($call, kind => $kind, tournament => $tournament);
        $call->{state} eq '00000' ? $dbh->commit : $dbh->rollback;
        advance($dbh, 'written');
    }
    return @mine;
}

sub write_all
{
    my ($dbh, $client, $in) = @_;
    return $client == $in->{clients} - 1 ? write_late(@_) : write_and_call(@_);
}

sub active_rows
{
    my ($dbh) = @_;
    return [ map { ask($dbh, "$active $_") } 1 .. $#capacity ];
}

# -- A bounded wait -------------------------------------------------------------------------------

# What comes right after a call must not be hit by a cancel that was meant for the call.
sub call_then_sleep
{
    my ($dbh, $kind, $sql, @arguments) = @_;
    my $call = brief(call($dbh, $sql, @arguments), kind => $kind);
    return ($call, brief(call($dbh, 'SELECT pg_sleep(0.3)'), kind => 'sleep'));
}

# What clients can be told to do.
my %waiting = (

    # Every kind of call for the users 1 and 2.
    all => sub {
        my ($dbh, $client) = @_;
        my @calls = (
            [ $try_enroll      => 1,        1 ],
            [ $enroll          => 1,        1 ],
            [ $try_unenroll    => 1,        2 ],
            [ $unenroll        => 1,        2 ],
            [ $try_enroll_many => [ 2, 1 ], 1 ],
            [ $enroll_many     => [ 2, 1 ], 1 ]);
        return map { call_then_sleep($dbh, 'call', @{ $calls[ ($_ + $client) % @calls ] }) }
          0 .. $#calls;
    },

    # In, and out again, by a user of the client's own.
    own => sub {
        my ($dbh, $client, $in) = @_;
        my $user = 1 + $client;
        my @mine = call_then_sleep($dbh, 'call', $client % 2 ? $enroll : $try_enroll, $user, 1);
        push @mine, call_then_sleep($dbh, 'out', $client % 2 ? $unenroll : $try_unenroll, $user, 1)
          if $in->{out} && $mine[0]{outcome} eq 'ENROLLED';
        return @mine;
    },

    one => sub {
        my ($dbh) = @_;
        return brief(call($dbh, $try_enroll, 1, 1), kind => 'call');
    });

sub state_of
{
    my ($dbh) = @_;
    return ask($dbh, 'SELECT u.id, u.credit_balance, l.id, e.id, e.is_active FROM users u
                        LEFT JOIN credit_transactions l ON l.user_id = u.id
                        LEFT JOIN enrollments e ON e.user_id = u.id ORDER BY 1, 3, 4');
}

# Somebody holds the accounts of these users until told to let go.
sub hold
{
    my ($shop_name, @users) = @_;
    my $holder = connect_to($node, $shop_name);
    $holder->begin_work;
    must(call($holder, 'UPDATE users SET name = name WHERE id = ANY ($1::bigint[])', \@users));
    return $holder;
}

sub let_go
{
    my ($holder) = @_;
    $holder->rollback;
    $holder->disconnect;
    return;
}

sub everybody_is_told_busy
{
    my ($dbh, $clients) = @_;
    my $name = 'a held account';
    must(call($dbh, $enroll, 1, 2));
    my $before = state_of($dbh);
    my $holder = hold('waits', 1);
    my @calls = rush($clients, 16, 'all', {});
    is_deeply(unexpected({ call => 'BUSY', sleep => 'OK' }, @calls), {},
        "$name: everybody is told BUSY, and what comes next is not cancelled");
    is(state_of($dbh), $before, "$name: nothing of the calls stays");
    let_go($holder);
    @calls = rush($clients, 16, 'own', { out => 1 });
    is_deeply(unexpected({ call => 'ENROLLED', out => 'UNENROLLED', sleep => 'OK' }, @calls), {},
        "$name: let go, all of them work");
    is(violations($dbh), '', "$name: every rule holds");
    return;
}

# The accounts are let go at about the time when the calls give up.
sub it_ends_either_way
{
    my ($dbh, $clients) = @_;
    my $name = 'an account held for about as long';
    my $before = ask($dbh, 'SELECT count(*) FROM enrollments');
    my @calls;
    for my $round (1 .. 12)
    {
        my $holder = hold('waits', 1 .. 16);
        my $rush = begin_rush($clients, 16, 'own', { out => 1 });
        sleep 0.14 + 0.01 * $round;
        let_go($holder);
        push @calls, end_rush($rush);
    }
    note_outcomes($name, @calls);
    my %allowed = (call => 'ENROLLED|BUSY', out => 'UNENROLLED', sleep => 'OK');
    is_deeply(unexpected(\%allowed, @calls), {}, "$name: what comes next is not cancelled");
    my @in = grep { $_->{outcome} eq 'ENROLLED' } @calls;
    is(ask($dbh, 'SELECT count(*) FROM enrollments'),
        $before + @in, "$name: who was enrolled has a row, nobody else");
    is(violations($dbh), '', "$name: every rule holds");
    return;
}

# A cancel that somebody sends, and a statement_timeout, are no BUSY.
sub other_cancels_are_themselves
{
    my ($dbh, $clients, $policy) = @_;
    my $name = 'cancelled while waiting';
    must(attach($dbh, { %$policy, wait => '10min' }));
    my $holder = hold('waits', 1);
    my $rush = begin_rush($clients, 1, 'one', {});
    my $waiting = "FROM pg_stat_activity WHERE datname = 'waits' AND wait_event_type = 'Lock'";
    wait_for($dbh, "SELECT count(*) > 0 $waiting");
    ask($dbh, "SELECT pg_cancel_backend(pid) $waiting");
    is_deeply([ map { $_->{outcome} } end_rush($rush) ], ['57014'], "$name: by somebody");

    my $caller = connect_to($node, 'waits');
    $caller->do("SET statement_timeout = '100ms'") or die $caller->errstr;
    is(outcome_of(call($caller, $try_enroll, 1, 1)), '57014', "$name: by statement_timeout");
    let_go($holder);

    must(attach($dbh, $policy));
    $holder = hold('waits', 1);
    $caller->do('SET statement_timeout = 0') or die $caller->errstr;
    $caller->begin_work;
    is(outcome_of(call($caller, $try_enroll, 1, 1)), 'BUSY', "$name: by the policy's wait");
    is(outcome_of(call($caller, $try_enroll, 3, 1)), 'ENROLLED', "$name: the transaction goes on");
    $caller->do("SET statement_timeout = '100ms'") or die $caller->errstr;
    is(call($caller, 'SELECT pg_sleep(60)')->{state}, '57014', "$name: a timeout still works");
    $caller->rollback;
    $caller->disconnect;
    let_go($holder);
    return;
}

# The tables themselves may be locked, for a session that has never called before, too.
sub a_locked_table_is_waited_for
{
    my ($dbh) = @_;
    my $name = 'a locked table';
    my $known = connect_to($node, 'waits');
    is(outcome_of(call($known, $try_enroll, 4, 1)), 'ENROLLED', "$name: before");
    for my $table (qw(users tournaments enrollments credit_transactions))
    {
        $dbh->begin_work;
        must(call($dbh, "LOCK TABLE $table IN ACCESS EXCLUSIVE MODE"));
        my $new = connect_to($node, 'waits');
        $_->do("SET statement_timeout = '20s'") for $known, $new;
        is(outcome_of(call($known, $try_enroll, 5, 1)), 'BUSY', "$name: $table");
        is(outcome_of(call($new, $try_enroll, 5, 1)), 'BUSY', "$name: $table, first call");
        $new->disconnect;
        $dbh->rollback;
    }
    is(outcome_of(call($known, $try_enroll, 5, 1)), 'ENROLLED', "$name: after");
    $known->disconnect;
    return;
}

sub waits_are_bounded
{
    my ($dbh, $policy) = own_shop($node, 'waits', undef, sub { $_[0]{wait} = '200ms' });
    fill($dbh, users => 20, balance => 10_000, tournaments => [ [ undef, 10 ], [ undef, 10 ] ]);
    my $clients = start_clients($node, 'waits', 16, \%waiting);
    everybody_is_told_busy($dbh, $clients);
    it_ends_either_way($dbh, $clients);
    other_cancels_are_themselves($dbh, $clients, $policy);
    a_locked_table_is_waited_for($dbh);
    stop_clients($clients);
    $dbh->disconnect;
    return;
}

waits_are_bounded();

# Only DDL may deadlock, and only with raw writers: see alone().
my @deadlocks = grep { !/enroll_attach|LOCK TABLE/ } deadlocks($node);
is(join('', @deadlocks), '', 'no call deadlocked');

done_testing();
