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

# Locks out everybody else by the first step, then takes the second. A raw writer locks the
# enrollments before the users, so the first may deadlock with one and is tried again.
sub alone
{
    my ($dbh, $lock, $then) = @_;
    for (;;)
    {
        $dbh->begin_work;
        my $call = $lock->();
        if ($call->{state} eq '40P01') { $dbh->rollback; next }
        must($call);
        $then->();
        $dbh->commit or die $dbh->errstr;
        return;
    }
}

sub look_around
{
    my ($dbh) = @_;
    return {
        broken  => violations($dbh, except => ['oversold']),
        taken   => [ map { ask($dbh, "$active $_") } 1 .. $#capacity ],
        guarded => ask($dbh, 'SELECT guarded FROM enroll_policies')
    };
}

# A phase: what there was when it was attached and when it was detached, and when it was certainly
# attached, or not yet or no more. Every other time it is attached twice.
sub attach_for_a_while
{
    my ($dbh, $policy, $cycle) = @_;
    my %phase = (opens => now());
    for (0 .. $cycle % 2)
    {
        alone($dbh, sub { attach($dbh, $policy) }, sub { $phase{first} //= look_around($dbh) });
    }
    $phase{attached} = now();
    advance($dbh, 'attached');
    wait_for($dbh, reached('written', $cycle));
    my $sold = "(SELECT count(*) FROM credit_transactions WHERE type = 'ENROLLMENT')";
    wait_for($dbh, "SELECT $sold >= " . (ask($dbh, "SELECT $sold") + 60));
    $phase{detaching} = now();
    my $tables = 'users, tournaments, enrollments, credit_transactions';
    alone(
        $dbh,
        sub { call($dbh, "LOCK TABLE $tables IN ACCESS EXCLUSIVE MODE") },
        sub {
            $phase{last} = look_around($dbh);
            must(call($dbh, 'SELECT enroll_detach()'));
        });
    $phase{detached} = now();
    return \%phase;
}

# Until the raw writers have taken more than there is, which nothing stops now.
sub leave_detached_for_a_while
{
    my ($dbh) = @_;
    wait_for($dbh, "SELECT ($active $_) > $capacity[$_]") for 1 .. 3;
    return;
}

# The calls that began after one moment and ended before another.
sub between
{
    my ($from, $to, @calls) = @_;
    return grep { $_->{began} > $from && $_->{ended} < $to } @calls;
}

# What a phase broke, as text.
sub broken_in
{
    my ($phase, @calls) = @_;
    my ($first, $last) = @$phase{qw(first last)};
    my @broken = grep { $_ ne '' } map { $_->{broken} } $first, $last;
    push @broken, 'a guard is missing' if grep { $_->{guarded} ne '1' } $first, $last;
    for my $tournament (grep { defined $capacity[$_] } 1 .. $#capacity)
    {
        my ($before, $after) = map { $_->{taken}[ $tournament - 1 ] } $first, $last;
        next if $after <= max($before, $capacity[$tournament]);
        push @broken, "tournament $tournament grew from $before to $after";
    }
    my @attached = between(@$phase{qw(attached detaching)}, @calls);
    push @broken, map { "unknown: $_->{kind}" } grep { $_->{outcome} eq '42704' } @attached;
    return @broken;
}

# The calls that were made while nothing was attached.
sub detached_calls
{
    my ($phases, @calls) = @_;
    return grep { $_->{kind} eq 'call' }
      map { between($phases->[ $_ - 1 ]{detached}, $phases->[$_]{opens}, @calls) } 1 .. $#$phases;
}

sub nothing_passes_unguarded
{
    my ($name, $phases, @calls) = @_;
    my @broken = map { broken_in($_, @calls) } @$phases;
    is_deeply(\@broken, [],
        "$name: while attached, counters are the rows and nothing grows beyond its capacity");
    my @detached = map { $_->{outcome} } detached_calls($phases, @calls);
    is_deeply([ grep { $_ ne '42704' } @detached ], [], "$name: while detached, nothing is sold");
    cmp_ok(scalar @detached, '>', 0, "$name: and somebody asked");
    is(scalar(grep { $_->{outcome} eq 'ENROLLED' && $_->{tournament} == $oversold } @calls),
        0, "$name: what stays oversold sells nothing");
    return;
}

sub a_policy_comes_and_goes
{
    my $name = 'attached and detached';
    my ($dbh, $policy) = detached_shop($node, 'comes_and_goes');
    my %in = (clients => 16, each => 6);
    my $users = $in{clients} * $in{each};
    fill(
        $dbh,
        users       => 2 * $users,
        balance     => 1_000_000,
        tournaments => [ map { [ $_, 10 ] } @capacity[ 1 .. $#capacity ] ]);
    $dbh->do($_) or die $dbh->errstr
      for "INSERT INTO enrollments (user_id, tournament_id)
             SELECT id, $oversold FROM users WHERE id > $users",
      map { "CREATE SEQUENCE $_" } qw(ready attached written);

    my $clients = start_clients($node, 'comes_and_goes', $in{clients}, { write => \&write_all });
    my $rush = begin_rush($clients, $in{clients}, 'write', \%in);
    my @phases;
    for my $cycle (1 .. $cycles)
    {
        leave_detached_for_a_while($dbh);
        wait_for($dbh, reached('ready', $cycle));
        push @phases, attach_for_a_while($dbh, $policy, $cycle);
    }
    leave_detached_for_a_while($dbh);
    alone($dbh, sub { attach($dbh, $policy) }, sub { });
    $dbh->do('CREATE TABLE enough ()') or die $dbh->errstr;
    my @calls = end_rush($rush);
    stop_clients($clients);

    note_outcomes($name, @calls);
    my %allowed = (
        'call'     => 'ENROLLED|UNENROLLED|FULL|ALREADY_ENROLLED|NOT_ENROLLED|42704',
        'raw'      => 'OK|23514 enroll_capacity|40P01',
        'late'     => 'ENROLLED|FULL|40001',
        'late raw' => 'OK|23514 enroll_capacity|40001|40P01');
    is_deeply(unexpected(\%allowed, @calls), {}, "$name: nothing else was answered");
    nothing_passes_unguarded($name, \@phases, @calls);
    is(violations($dbh, except => ['oversold']), '', "$name: every rule holds in the end");
    is(ask($dbh, 'SELECT * FROM enroll_reconcile()'), '', "$name: a recount changes nothing");
    $dbh->disconnect;
    return;
}

# A tournament that raw writers overfilled sells again once there is room, and not before.
sub debts_are_paid_first
{
    my $name = 'oversold';
    my ($dbh, $policy) = detached_shop($node, 'oversold');
    fill($dbh, users => 10, balance => 100, tournaments => [ [ 3, 10 ] ]);
    $dbh->do('INSERT INTO enrollments (user_id, tournament_id) SELECT id, 1 FROM users
                WHERE id <= 5') or die $dbh->errstr;
    must(attach($dbh, $policy));
    for my $user (1 .. 2)
    {
        is(outcome_of(call($dbh, $try_enroll, 6, 1)), 'FULL', "$name: sells nothing");
        is(outcome_of(call($dbh, $insert, 6, 1)), '23514 enroll_capacity', "$name: to nobody");
        must(call($dbh, $user == 1 ? $withdraw : $try_unenroll, $user, 1));
    }
    is(outcome_of(call($dbh, $try_enroll, 6, 1)), 'FULL', "$name: full is not oversold");
    must(call($dbh, $delete, 3, 1));
    is(outcome_of(call($dbh, $try_enroll, 6, 1)), 'ENROLLED', "$name: sells what is paid off");
    is(outcome_of(call($dbh, $try_enroll, 7, 1)), 'FULL', "$name: and no more");
    is(violations($dbh), '', "$name: every rule holds");
    $dbh->disconnect;
    return;
}

a_policy_comes_and_goes();
debts_are_paid_first();

# -- Capacities that stand in other tables --------------------------------------------------------

# A tournament's capacity is the least of three numbers in three tables.
my @source = (
    'UPDATE tournaments SET capacity = $1 WHERE id = ANY ($2::bigint[])',
    'UPDATE rooms SET seats = $1 WHERE tournament_id = ANY ($2::bigint[])',
    'UPDATE limits SET most = $1 WHERE tournament_id = ANY ($2::bigint[])');
my $least = <<'SQL';
LEAST(t.capacity, (SELECT r.seats FROM rooms r WHERE r.tournament_id = t.id),
      (SELECT l.most FROM limits l WHERE l.tournament_id = t.id))
SQL
my $sources = <<'SQL';
CREATE TABLE rooms (tournament_id bigint PRIMARY KEY, seats integer);
CREATE TABLE limits (tournament_id bigint PRIMARY KEY, most integer);
CREATE TABLE changes (id bigint, tournament bigint, taken bigint, capacity bigint,
                      allotted bigint);
CREATE SEQUENCE change_id;
CREATE SEQUENCE changed_all;
SQL

sub watch_sources
{
    my ($policy) = @_;
    $policy->{tournaments}{capacity} = $least;
    $policy->{watch} = [ map { { table => $_, tournament => 'tournament_id' } } qw(rooms limits) ];
    return;
}

# Each number of the three, for every tournament.
sub fill_sources
{
    my ($dbh, $number) = @_;
    $dbh->do($_) or die $dbh->errstr
      for 'TRUNCATE rooms, limits, changes',
      "INSERT INTO rooms SELECT id, $number FROM tournaments",
      "INSERT INTO limits SELECT id, $number FROM tournaments",
      'ALTER SEQUENCE changed_all RESTART';
    return;
}

# With a change made nobody is in flight and no other change is either: what is counted before the
# commit is what the commit leaves, and the ids give the order of the commits.
my $count_change = <<"SQL";
INSERT INTO changes
  SELECT nextval('change_id'), t.id, (SELECT count(*) FROM enrollments e
                                        WHERE e.tournament_id = t.id AND e.is_active),
         $least, (SELECT sum(s.allotted) FROM enroll_seat s WHERE s.tournament = t.id::text)
    FROM tournaments t WHERE t.id = ANY (\$1::bigint[])
SQL

# One of the three numbers, again and again, of one tournament or of both; every fifth change is
# rolled back. Raw writers' attempts are what a change waits for: they never stop.
sub change_source
{
    my ($dbh, $client, $in) = @_;
    $dbh->do("SET default_transaction_isolation = 'read committed'") or die $dbh->errstr;
    srand 1 + $client;
    my @mine;
    for my $change (1 .. $in->{changes})
    {
        my $some = one_of([1], [2], [ 1, 2 ]);
        wait_for($dbh, reached('enrollments_id_seq', 20 * $change));
        $dbh->begin_work;
        push @mine, brief(call($dbh, $source[$client], int rand 20, $some), kind => 'change');
        push @mine, brief(call($dbh, $count_change, $some), kind => 'change');
        $change % 5 ? $dbh->commit : $dbh->rollback;
    }
    advance($dbh, 'changed_all');
    return @mine;
}

sub take_while_it_changes
{
    my ($dbh, $client, $in) = @_;
    return change_source(@_) if $client < @source;
    srand 1 + $client;
    my @mine;
    until (@mine % 10 == 9 && ask($dbh, reached('changed_all', scalar @source)))
    {
        my $kind = one_of('call', 'raw');
        my @ways =
            $kind eq 'raw'
          ? ($insert, $insert, $withdraw, $return, $delete)
          : ($try_enroll, $enroll, $try_unenroll);
        my $call = insist($dbh, one_of(@ways), own_user($client, $in), one_of(1, 2));
        push @mine, brief($call, kind => $kind);
    }
    return @mine;
}

# Two of the numbers rise step by step, and as often as not one alone changes nothing. Everybody
# else takes what there is until all is risen and taken, half of them by raw rows.
sub raise_or_take
{
    my ($dbh, $client, $in) = @_;
    my @mine;
    if ($client < 2)
    {
        my @steps = map { $_ * $in->{seats} / $in->{steps} } 1 .. $in->{steps};
        @mine = map { insist($dbh, $source[ 1 + $client ], $_, [1]) } @steps;
        advance($dbh, 'changed_all');
        return map { brief($_, kind => 'change') } @mine;
    }
    my ($kind, $sql) = $client % 2 ? ('raw', $insert) : ('call', $try_enroll);
    my ($user, $risen) = ($client);
    do
    {
        $risen = ask($dbh, reached('changed_all', 2));
        push @mine, brief(insist($dbh, $sql, $user, 1), kind => $kind);
        $user += $in->{clients} if $mine[-1]{outcome} =~ /^(?:ENROLLED|OK)$/;
    } until $risen && $mine[-1]{outcome} =~ /^(?:FULL|23514 enroll_capacity)$/;
    return @mine;
}

sub capacities_change
{
    my ($dbh, $clients, $level) = @_;
    my $name = "three tables with a capacity, $level";
    my %in = (clients => 16, each => 8, changes => 40);
    fill(
        $dbh,
        users       => $in{clients} * $in{each},
        balance     => 1_000_000,
        tournaments => [ [ 9, 10 ], [ 9, 10 ] ]);
    fill_sources($dbh, 9);
    my @calls = rush($clients, 16, 'take', \%in, $level);
    note_outcomes($name, @calls);
    my %allowed = (
        call   => 'ENROLLED|UNENROLLED|FULL|ALREADY_ENROLLED|NOT_ENROLLED',
        raw    => 'OK|23514 enroll_capacity|23505 uq_active_enrollment',
        change => 'OK');
    is_deeply(unexpected(\%allowed, @calls), {}, "$name: nothing else was answered");
    is(ask($dbh, <<'SQL'), '', "$name: never more rows than the capacity that had committed");
SELECT * FROM (SELECT *, lag(capacity) OVER w AS capacity_before, lag(taken) OVER w AS taken_before
                 FROM (TABLE changes UNION ALL
                       SELECT 1000000, t.id, (SELECT count(*) FROM enrollments e
                                                WHERE e.tournament_id = t.id AND e.is_active), 0, 0
                         FROM tournaments t) c
               WINDOW w AS (PARTITION BY tournament ORDER BY id)) c
  WHERE taken > greatest(capacity_before, taken_before)
SQL
    is(ask($dbh, 'SELECT * FROM changes WHERE allotted <> capacity'),
        '', "$name: each change allots what it leaves");
    is(violations($dbh, except => [ 'oversold', 'seats allotted differ from capacity' ]),
        '', "$name: every rule holds");
    is(ask($dbh, 'SELECT * FROM enroll_reconcile()'), '', "$name: a recount changes nothing");
    return;
}

sub capacities_rise
{
    my ($dbh, $clients, $level) = @_;
    my $name = "two tables with a rising capacity, $level";
    my %in = (clients => 16, seats => 200, steps => 40);
    fill($dbh, users => 16 * 202, balance => 10, tournaments => [ ([ undef, 10 ]) x 2 ]);
    fill_sources($dbh, 0);
    my @calls = rush($clients, 16, 'raise', \%in, $level);
    note_outcomes($name, @calls);
    my %allowed = (call => 'ENROLLED|FULL', raw => 'OK|23514 enroll_capacity', change => 'OK');
    is_deeply(unexpected(\%allowed, @calls), {}, "$name: nothing else was answered");
    is(ask($dbh, "$active 1"), $in{seats}, "$name: all is risen and sold");
    is(violations($dbh, except => ['seats allotted differ from capacity']),
        '', "$name: every rule holds");
    is(ask($dbh, 'SELECT * FROM enroll_reconcile()'), '', "$name: a recount changes nothing");
    return;
}

sub other_tables_are_watched
{
    my ($dbh) = own_shop($node, 'sources', $sources, \&watch_sources);
    my %work = (take => \&take_while_it_changes, raise => \&raise_or_take);
    my $clients = start_clients($node, 'sources', 16, \%work);
    for my $level ('read committed', 'repeatable read', 'serializable')
    {
        capacities_change($dbh, $clients, $level);
        capacities_rise($dbh, $clients, $level);
    }
    stop_clients($clients);
    $dbh->disconnect;
    return;
}

other_tables_are_watched();

# -- Rows that become active again ----------------------------------------------------------------

sub reactivate
{
    my ($policy) = @_;
    $policy->{enrollments}{reenroll} = 'reactivate';
    $policy->{enrollments}{insert} =
      { status => "'ENROLLED'", is_active => 'TRUE', withdrawn_at => 'NULL' };
    return;
}

# All of them in and out of the same tournaments with the same users, singly and in groups.
sub come_and_go
{
    my ($dbh, $client, $in) = @_;
    srand 1 + $client;
    my @mine;
    for my $round (1 .. $in->{rounds})
    {
        my ($who, $tournament) = (1 + int rand $in->{users}, one_of(1, 2));
        my $sql = one_of(@{ $in->{ways} });
        $who = [ map { 1 + ($who + 7 * $_) % $in->{users} } 1 .. 3 ] if $sql eq $try_enroll_many;
        my $call = insist($dbh, $sql, $who, $tournament);
        my @answers = map { $_->{code} // () } @{ $call->{rows} };
        my $kind = $sql =~ /^SELECT/ ? 'call' : 'raw';
        push @mine, brief($call, kind => $kind, tournament => $tournament, answers => \@answers);
    }
    return @mine;
}

# How many users were answered so for a tournament.
sub answered
{
    my ($code, $tournament, @calls) = @_;
    my @answers = map { @{ $_->{answers} } } grep { $_->{tournament} == $tournament } @calls;
    return scalar grep { $_ eq $code } @answers;
}

# Of two tournaments the first has seats for fewer than want them.
sub rows_become_active_again
{
    my ($dbh, $clients, $level, $raw) = @_;
    my $name = 'the same rows again, ' . ($raw ? 'by raw writers too, ' : '') . $level;
    my ($users, $balance) = (40, 100_000);
    fill($dbh, users => $users, balance => $balance, tournaments => [ [ 15, 10 ], [ undef, 4 ] ]);
    my @ways = ($try_enroll, $enroll, $try_unenroll, $unenroll, $try_enroll_many);
    push @ways, $insert, $withdraw, $return, $delete if $raw;
    my %in = (rounds => 100, users => $users, ways => \@ways);
    my @calls = rush($clients, 16, 'come_and_go', \%in, $level);
    note_outcomes($name, @calls);
    my %allowed = (
        call => 'ENROLLED|UNENROLLED|FULL|ALREADY_ENROLLED|NOT_ENROLLED',
        raw  => 'OK|23514 enroll_capacity|23505 enrollments_user_id_tournament_id_key');
    is_deeply(unexpected(\%allowed, @calls), {}, "$name: nothing else was answered");
    my $paid_again = 'an enrollment paid for twice, or refunded more than half of its price';
    is(violations($dbh, except => [$paid_again]), '', "$name: every rule holds");
    my @in = map { answered('ENROLLED', $_, @calls) } 1, 2;
    my @out = map { answered('UNENROLLED', $_, @calls) } 1, 2;
    is_deeply(
        [ map { ask($dbh, "$active $_") } 1, 2 ],
        [ $in[0] - $out[0], $in[1] - $out[1] ],
        "$name: who came and did not go is there")
      unless $raw;
    cmp_ok($in[0] + $in[1], '>', 2 * $users, "$name: some came more than once");
    my $refunded = ask($dbh, "SELECT sum(amount) FROM credit_transactions WHERE type = 'REFUND'");
    is(
        ask($dbh, 'SELECT sum(credit_balance) FROM users'),
        $users * $balance - 10 * $in[0] - 4 * $in[1] + $refunded,
        "$name: each was paid for");
    is($refunded, 5 * $out[0] + 2 * $out[1], "$name: and half of it refunded") unless $raw;
    return;
}

sub reactivation_is_raced_for
{
    my $unique = 'ALTER TABLE enrollments ADD UNIQUE (user_id, tournament_id)';
    my ($dbh) = own_shop($node, 'again', $unique, \&reactivate);
    my $clients = start_clients($node, 'again', 16, { come_and_go => \&come_and_go });
    for my $level ('read committed', 'repeatable read', 'serializable')
    {
        rows_become_active_again($dbh, $clients, $level);
        rows_become_active_again($dbh, $clients, $level, 'raw');
    }
    stop_clients($clients);
    $dbh->disconnect;
    return;
}

reactivation_is_raced_for();

# -- Follow-up statements -------------------------------------------------------------------------

# Every tenth user can book nothing.
my $bookings = <<'SQL';
CREATE TABLE sessions (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
                       tournament_id bigint NOT NULL);
CREATE TABLE bookings (user_id bigint NOT NULL, session_id bigint NOT NULL,
                       enrollment_id bigint NOT NULL, PRIMARY KEY (enrollment_id, session_id),
                       CONSTRAINT no_booking CHECK (user_id % 10 <> 0));
CREATE TABLE diary (user_id bigint NOT NULL, event text NOT NULL);
SQL

sub book
{
    my ($policy) = @_;
    $policy->{on_enroll} = [
        'INSERT INTO bookings SELECT :user, s.id, :enrollment FROM sessions s
           WHERE s.tournament_id = :tournament',
        "INSERT INTO diary VALUES (:user, 'enrolled')"
    ];
    $policy->{on_unenroll} = [
        'DELETE FROM bookings WHERE enrollment_id = :enrollment',
        "INSERT INTO diary VALUES (:user, 'withdrawn')"
    ];
    return;
}

sub bookings_are_right
{
    my ($dbh, $name, @calls) = @_;
    is(ask($dbh, <<'SQL'), '', "$name: every enrollment has its bookings, and nothing else has");
SELECT * FROM (SELECT e.id AS enrollment, count(*) AS wanted
                 FROM enrollments e JOIN sessions s USING (tournament_id)
                 WHERE e.is_active GROUP BY 1) e
  FULL JOIN (SELECT enrollment_id AS enrollment, count(*) AS booked FROM bookings GROUP BY 1) b
    USING (enrollment)
  WHERE wanted IS DISTINCT FROM booked
SQL
    my ($in, $out) =
      map { answered($_, 1, @calls) + answered($_, 2, @calls) } 'ENROLLED', 'UNENROLLED';
    is(ask($dbh, 'SELECT event, count(*) FROM diary GROUP BY 1 ORDER BY 1'),
        "enrolled|$in\nwithdrawn|$out", "$name: each ran once for each call that was done");
    is(ask($dbh, <<'SQL'), 0, "$name: one that fails leaves nothing of its call");
SELECT count(*) FROM credit_transactions WHERE user_id % 10 = 0 AND type <> 'TOP_UP'
SQL
    return;
}

sub bookings_follow
{
    my ($dbh) = own_shop($node, 'follow_ups', $bookings, \&book);
    my $clients = start_clients($node, 'follow_ups', 16, { come_and_go => \&come_and_go });
    my @ways = ($enroll, $try_enroll, $unenroll, $try_unenroll, $try_enroll_many);
    my %in = (rounds => 60, users => 60, ways => \@ways);
    for my $level ('read committed', 'repeatable read', 'serializable')
    {
        my $name = "follow-up statements, $level";
        $dbh->do('TRUNCATE sessions, bookings, diary') or die $dbh->errstr;
        fill($dbh, users => 60, balance => 10_000, tournaments => [ [ 20, 10 ], [ undef, 4 ] ]);
        $dbh->do('INSERT INTO sessions (tournament_id) VALUES (1), (1), (1), (2), (2)')
          or die $dbh->errstr;
        my @calls = rush($clients, 16, 'come_and_go', \%in, $level);
        note_outcomes($name, @calls);
        my $allowed = 'ENROLLED|UNENROLLED|FULL|ALREADY_ENROLLED|NOT_ENROLLED|23514 no_booking';
        is_deeply(unexpected({ call => $allowed }, @calls), {},
            "$name: nothing else was answered");
        cmp_ok(scalar(grep { $_->{outcome} =~ /no_booking/ } @calls), '>', 0,
            "$name: some failed");
        bookings_are_right($dbh, $name, @calls);
        is(violations($dbh), '', "$name: every rule holds");
    }
    stop_clients($clients);
    $dbh->disconnect;
    return;
}

bookings_follow();

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
# -- Dump, restore, upgrade -----------------------------------------------------------------------

# A club: uuid keys, money with cents, entries partitioned by tournament, seats in a watched table;
# and a second policy that shares members and cups.
my $club = <<'SQL';
CREATE SCHEMA club;
CREATE TABLE club.member (id uuid PRIMARY KEY, "Credit" numeric(12,2) NOT NULL);
CREATE TABLE club.cup (id uuid PRIMARY KEY, price numeric(8,2) NOT NULL);
CREATE TABLE club.room (cup uuid PRIMARY KEY REFERENCES club.cup, seats integer);
CREATE SEQUENCE club.entry_id;
CREATE TABLE club.entry (
  id bigint NOT NULL DEFAULT nextval('club.entry_id'),
  member uuid NOT NULL REFERENCES club.member,
  cup uuid NOT NULL REFERENCES club.cup,
  "In" boolean NOT NULL DEFAULT true,
  PRIMARY KEY (id, cup)) PARTITION BY HASH (cup);
CREATE TABLE club.entry_0 PARTITION OF club.entry FOR VALUES WITH (MODULUS 2, REMAINDER 0)
  PARTITION BY HASH (cup);
CREATE TABLE club.entry_00 PARTITION OF club.entry_0 FOR VALUES WITH (MODULUS 1, REMAINDER 0);
CREATE TABLE club.entry_1 PARTITION OF club.entry FOR VALUES WITH (MODULUS 2, REMAINDER 1);
CREATE INDEX ON club.entry (cup);
CREATE INDEX ON club.entry (member);
CREATE TABLE club.reserve (
  id bigint GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY,
  member uuid NOT NULL REFERENCES club.member,
  cup uuid NOT NULL REFERENCES club.cup,
  "In" boolean NOT NULL DEFAULT true);
CREATE INDEX ON club.reserve (cup);
CREATE INDEX ON club.reserve (member);
CREATE TABLE club.move (
  id bigint GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY,
  entry bigint, kind text NOT NULL, amount numeric(12,2), balance numeric(12,2),
  key text UNIQUE);
CREATE TABLE club.reserve_move (LIKE club.move INCLUDING ALL);
CREATE INDEX ON club.move (entry);
CREATE INDEX ON club.reserve_move (entry);
SQL

sub club_policy
{
    my ($enrollments, $ledger, $capacity, @watch) = @_;
    return {
        users       => { table => 'club.member', key => 'id', balance => 'Credit' },
        tournaments =>
          { table => 'club.cup', key => 'id', cost => 't.price', capacity => $capacity },
        watch       => \@watch,
        enrollments => {
            table      => $enrollments,
            key        => 'id',
            user       => 'member',
            tournament => 'cup',
            active     => '"In"',
            insert     => {},
            withdraw   => { In => 'FALSE' }
        },
        ledger => {
            table           => $ledger,
            amount          => 'amount',
            balance_after   => 'balance',
            enrollment      => 'entry',
            idempotency_key => 'key',
            order           => 'id',
            type => { column => 'kind', enroll => 'in', unenroll => 'out', waive => 'free' }
        },
        refund => 'paid / 2'
    };
}

my $seats_of_room = '(SELECT r.seats FROM club.room r WHERE r.cup = t.id)';
my %club_policy = (
    default => club_policy(
        'club.entry', 'club.move', $seats_of_room, { table => 'club.room', tournament => 'cup' }),
    reserve => club_policy('club.reserve', 'club.reserve_move', '2'));

# The n-th of the uuids of members or cups.
sub id { return sprintf '%s-0000-0000-0000-%012d', $_[0] eq 'member' ? 'a' x 8 : 'c' x 8, $_[1] }

# Six members with 100 credits; four cups for 2.50, with 0 to 3 seats.
sub fill_club
{
    my ($dbh) = @_;
    for my $sql (
        map({ "INSERT INTO club.member VALUES ('" . id('member', $_) . "', 100)" } 1 .. 6),
        map({ "INSERT INTO club.cup VALUES ('" . id('cup', $_) . "', 2.5)" } 0 .. 3),
        map({ "INSERT INTO club.room VALUES ('" . id('cup', $_) . "', $_)" } 0 .. 3))
    {
        $dbh->do($sql) or die $dbh->errstr;
    }
    return;
}

# What a member's call for a cup comes to.
sub member
{
    my ($dbh, $function, $member, $cup, $policy) = @_;
    my $sql = "SELECT * FROM $function(\$1::text, \$2::text, policy => \$3)";
    return outcome_of(
        call($dbh, $sql, id('member', $member), id('cup', $cup), $policy // 'default'));
}

sub enter_by_hand
{
    my ($dbh, $table, $member, $cup) = @_;
    my $sql = "INSERT INTO $table (member, cup) VALUES (\$1, \$2)";
    return outcome_of(call($dbh, $sql, id('member', $member), id('cup', $cup)));
}

sub make_club
{
    my ($name) = @_;
    $node->safe_psql('postgres', "CREATE DATABASE $name TEMPLATE template0");
    my $dbh = connect_to($node, $name);
    $dbh->do($_) or die $dbh->errstr for 'CREATE EXTENSION pg_enroll', $club;
    must(attach($dbh, $club_policy{$_}, $_)) for sort keys %club_policy;
    fill_club($dbh);
    return $dbh;
}

# Each cup of the default policy full but the last, which has two seats left, as the reserve has
# one left of the second cup.
sub use_club
{
    my ($dbh) = @_;
    member($dbh, 'enroll', 1, $_) for 1 .. 3;
    enter_by_hand($dbh, 'club.entry', 2, 2);
    member($dbh, 'enroll', 1, 2, 'reserve');
    member($dbh, 'enroll', 2, 3, 'reserve');
    member($dbh, 'unenroll', 2, 3, 'reserve');
    return;
}

# The partition that holds a cup.
sub partition_of
{
    my ($dbh, $cup) = @_;
    return ask($dbh, "SELECT tableoid::regclass FROM club.entry WHERE cup = '" . id('cup', $cup)
          . "' LIMIT 1");
}

# The counters of both policies, and the rows that they count.
sub counters { return ask($_[0], 'SELECT policy, tournament, taken, allotted, capacity
                                    FROM enroll_seat ORDER BY 1, 2') }

sub club_is_guarded
{
    my ($dbh, $name) = @_;
    is(ask($dbh, 'SELECT policy, guarded FROM enroll_policies ORDER BY 1'),
        "default|1\nreserve|1", "$name: every guard is in place");
    is(ask($dbh, "SELECT * FROM enroll_reconcile('$_')"), '', "$name: the counters of $_ are right")
      for 'default', 'reserve';
    return;
}

# A club goes on where it was: what is full is full for everybody, what is left is sold, and the
# watched table still counts.
sub club_goes_on
{
    my ($dbh, $name) = @_;
    club_is_guarded($dbh, $name);
    is(member($dbh, 'try_enroll', 4, 2), 'FULL', "$name: full is full");
    is(enter_by_hand($dbh, $_, 4, 2), '23514 enroll_capacity', "$name: for a raw writer of $_")
      for 'club.entry', partition_of($dbh, 2);
    is(member($dbh, 'try_enroll', 1, 3), 'ALREADY_ENROLLED', "$name: who is in is in");
    is(member($dbh, 'enroll', 4, 3), 'ENROLLED', "$name: what is left is sold");
    is(member($dbh, 'enroll', 2, 2, 'reserve'), 'ENROLLED', "$name: by the other policy, too");
    is(member($dbh, 'try_enroll', 3, 2, 'reserve'), 'FULL', "$name: and no more than that");
    must(call($dbh, 'UPDATE club.room SET seats = seats + 1 WHERE cup = $1', id('cup', 1)));
    is(enter_by_hand($dbh, 'club.entry', 5, 1), 'OK', "$name: a watched table opens a seat");
    is(member($dbh, 'try_enroll', 4, 1), 'FULL', "$name: one");
    is(member($dbh, 'try_unenroll', 1, 3), 'UNENROLLED', "$name: and out again");
    is(call($dbh, 'UPDATE club.member SET "Credit" = -1')->{state},
        '23514', "$name: no balance turns negative");
    club_is_guarded($dbh, "$name, in use");
    return;
}

# What attaching brought goes, and nothing else.
sub club_is_detached
{
    my ($dbh, $name) = @_;
    must(call($dbh, 'SELECT enroll_detach($1)', $_)) for sort keys %club_policy;
    is(ask($dbh, <<'SQL'), '', "$name: detached, nothing of the guards is left");
SELECT tgrelid::regclass, tgname FROM pg_trigger WHERE tgname LIKE 'enroll%'
UNION ALL
SELECT conrelid::regclass, conname FROM pg_constraint WHERE conname LIKE 'chk_credit%'
UNION ALL
SELECT indrelid::regclass, indexrelid::regclass::text FROM pg_index
  WHERE indexrelid::regclass::text LIKE '%uq_active%'
SQL
    is(enter_by_hand($dbh, 'club.entry', 6, 0), 'OK', "$name: and nothing is refused");
    return;
}

# A dump without what differs from one to the next.
sub dump_of
{
    my ($database, @options) = @_;
    my ($text) = run_command([ 'pg_dump', @options, $node->connstr($database) ]);
    $text =~ s/^\\(?:un)?restrict .*$//mg;
    return $text;
}

sub empty_database
{
    my ($name) = @_;
    $node->safe_psql('postgres', "CREATE DATABASE $name TEMPLATE template0");
    return $node->connstr($name);
}

# Each way to copy a whole database, its name and a function of the target's name.
my $dumped = "$PostgreSQL::Test::Utils::tmp_check/club";
my @copy = (
    [
        plain => sub {
            my $to = empty_database($_[0]);
            my @psql = ('psql', '-qX', '-v', 'ON_ERROR_STOP=1', '-d', $to);
            $node->command_ok([ 'pg_dump', '-f', "$dumped.sql", $node->connstr('club') ],
                'a plain dump');
            $node->command_ok([ @psql, '-f', "$dumped.sql" ], 'restored by psql');
        }
    ],
    [
        custom => sub {
            my $to = empty_database($_[0]);
            $node->command_ok([ 'pg_dump', '-Fc', '-f', "$dumped.dump", $node->connstr('club') ],
                'a dump in the custom format');
            $node->command_ok([ 'pg_restore', '-e', '-j2', '-d', $to, "$dumped.dump" ],
                'restored by two jobs of pg_restore');
        }
    ],
    [
        halves => sub {
            my $to = empty_database($_[0]);
            my $from = $node->connstr('club');
            my @psql = ('psql', '-qX', '-v', 'ON_ERROR_STOP=1', '-d', $to);
            $node->command_ok([ 'pg_dump', '-s', '-f', "$dumped.schema", $from ], 'the schema');
            $node->command_ok([ @psql, '-f', "$dumped.schema" ], 'restored first');
            $node->command_ok(
                [ 'pg_dump', '-a', '--disable-triggers', '-f', "$dumped.data", $from ], 'the data');
            $node->command_ok([ @psql, '-f', "$dumped.data" ], 'restored after it');
        }
    ]);

sub a_whole_copy_goes_on
{
    my ($kind, $copy, $counters) = @_;
    my $name = "a copy, $kind";
    $copy->("club_$kind");
    ok(dump_of('club', '-s') eq dump_of("club_$kind", '-s'), "$name: it dumps as the first did");
    my $dbh = connect_to($node, "club_$kind");
    is(counters($dbh), $counters, "$name: the counters came with it");
    club_goes_on($dbh, $name);
    club_is_detached($dbh, $name);
    $dbh->disconnect;
    return;
}

# The data alone, into tables that are attached already: the counters have to be recounted, and
# until then nothing is sold.
sub data_are_restored_alone
{
    my ($counters) = @_;
    my $name = 'the data alone';
    my $to = empty_database('club_data');
    my $dbh = connect_to($node, 'club_data');
    $dbh->do($_) or die $dbh->errstr for 'CREATE EXTENSION pg_enroll', $club;
    must(attach($dbh, $club_policy{$_}, $_)) for sort keys %club_policy;
    my @from = ('-a', '--disable-triggers', '-t', 'club.*', $node->connstr('club'));
    $node->command_ok([ 'pg_dump', '-Fc', '-f', "$dumped.tables", @from ], "$name: dumped");
    $node->command_ok([ 'pg_restore', '-a', '-e', '--disable-triggers', '-d', $to,
            "$dumped.tables" ], "$name: restored");
    is(member($dbh, 'try_enroll', 4, 3), 'GUARD_MISSING', "$name: not counted, nothing is sold");
    must(call($dbh, 'SELECT * FROM enroll_reconcile($1)', $_)) for sort keys %club_policy;
    is(counters($dbh), $counters, "$name: recounted, the counters are as they were");
    club_goes_on($dbh, $name);
    club_is_detached($dbh, $name);
    $dbh->disconnect;
    return;
}

sub state_is_dumped
{
    my $name = 'the extension in a dump';
    my $dump = dump_of('club');
    like($dump, qr/^COPY public\.$_ /m, "$name: the rows of $_")
      for 'enroll_policy', 'enroll_seat';
    unlike($dump, qr/^CREATE (?:TABLE|VIEW|FUNCTION|TYPE) public\.enroll/m,
        "$name: and nothing that the extension makes itself");
    is(ask(connect_to($node, 'club'), <<'SQL'), 'enroll_policy,enroll_seat',
SELECT string_agg(t::regclass::text, ',' ORDER BY t::regclass::text)
  FROM pg_extension, unnest(extconfig) t WHERE extname = 'pg_enroll'
SQL
        "$name: configuration tables");
    return;
}

# Everything there is by now goes to a new cluster.
sub the_cluster_is_upgraded
{
    my ($counters) = @_;
    my $name = 'an upgraded cluster';
    my $new = PostgreSQL::Test::Cluster->new('upgraded');
    $new->init;
    $node->stop;
    my $bin = $new->config_data('--bindir');
    chdir $PostgreSQL::Test::Utils::tmp_check or die "chdir: $!";
    command_ok(
        [
            'pg_upgrade', '--no-sync',         '-d', $node->data_dir,
            '-D',         $new->data_dir,      '-b', $bin,
            '-B',         $bin,                '-s', $new->host,
            '-p',         $node->port,         '-P', $new->port
        ],
        "$name: upgraded");
    $new->start;
    my $dbh = connect_to($new, 'club');
    is(counters($dbh), $counters, "$name: the counters came with it");
    club_goes_on($dbh, $name);
    club_is_detached($dbh, $name);
    $dbh->disconnect;
    $new->stop;
    return;
}

# -- Another encoding -----------------------------------------------------------------------------

# What is told in a database whose encoding is not UTF-8 is told in that encoding.
my ($cups, $seats, $entries, $until, $why, $word) = (
    "Wettk\x{e4}mpfe", "Pl\x{e4}tze", "Eintr\x{e4}ge", "f\x{fc}r",
    "Nur f\x{fc}r Sch\x{fc}ler: \x{a7} 3", "R\x{fc}ckzahlung");

sub umlauts
{
    return {
        users       => { table => 'Mitglied', key => 'id', balance => 'Guthaben' },
        tournaments => { table => $cups, key => "K\x{fc}rzel", capacity => qq{t."$seats"} },
        enrollments => {
            table      => $entries,
            key        => 'id',
            user       => 'Mitglied',
            tournament => $until,
            active     => qq{"g\x{fc}ltig"},
            insert     => { "g\x{fc}ltig" => 'TRUE' },
            withdraw   => { "g\x{fc}ltig" => 'FALSE' }
        },
        ledger => {
            table           => 'Buch',
            amount          => 'Betrag',
            balance_after   => 'Guthaben',
            enrollment      => 'Eintrag',
            idempotency_key => "Schl\x{fc}ssel",
            order           => 'id',
            type            =>
              { column => 'Art', enroll => "Geb\x{fc}hr", unenroll => $word, waive => 'frei' },
            insert => { Text => "'gr\x{fc}n'" }
        },
        rules => [
            {
                name        => "sch\x{fc}ler",
                require     => qq{u."Sch\x{fc}ler"},
                message     => $why,
                http_status => 403
            }
        ],
        on_enroll => [qq{INSERT INTO "Gru\x{df}" VALUES (:user, 'Gl\x{fc}ckwunsch')}]
    };
}

my $umlaut_tables = <<"SQL";
CREATE TABLE "Mitglied" (id text PRIMARY KEY, "Guthaben" integer NOT NULL,
                         "Sch\x{fc}ler" boolean NOT NULL);
CREATE TABLE "$cups" ("K\x{fc}rzel" text PRIMARY KEY, "$seats" integer);
CREATE TABLE "$entries" (id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
                         "Mitglied" text NOT NULL, "$until" text NOT NULL,
                         "g\x{fc}ltig" boolean NOT NULL);
CREATE INDEX ON "$entries" ("$until");
CREATE TABLE "Buch" (id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY, "Eintrag" integer,
                     "Art" text, "Betrag" integer, "Guthaben" integer,
                     "Schl\x{fc}ssel" text UNIQUE, "Text" text);
CREATE INDEX ON "Buch" ("Eintrag");
CREATE TABLE "Gru\x{df}" ("Mitglied" text, "Text" text);
INSERT INTO "Mitglied" VALUES ('J\x{fc}rgen', 10, true), ('Z\x{f6}e', 10, false),
                              ('\x{c4}nne', 10, true);
INSERT INTO "$cups" VALUES ('Fr\x{fc}hling', 1);
SQL

sub umlauts_are_told
{
    my ($dbh, $name) = @_;
    my ($user, $other, $third, $cup) =
      ("J\x{fc}rgen", "Z\x{f6}e", "\x{c4}nne", "Fr\x{fc}hling");
    my $sql = 'SELECT * FROM %s($1::text, $2::text, $3)';
    my $call = call($dbh, sprintf($sql, 'try_enroll'), $other, $cup, undef);
    is(join('|', @{ $call->{row} }{qw(code message http_status)}),
        "NOT_ELIGIBLE|$why|403", "$name: a rule's message in a receipt");
    my $details = JSON::PP->new->decode($call->{row}{details});
    is(join('|', @$details{qw(rule user tournament)}),
        "sch\x{fc}ler|$other|$cup", "$name: and its details");
    $call = call($dbh, sprintf($sql, 'enroll'), $other, $cup, undef);
    is("$call->{state} " . $dbh->pg_error_field('message_primary'), "NR015 $why",
        "$name: in an error, too");
    is(JSON::PP->new->decode($call->{detail})->{rule}, "sch\x{fc}ler", "$name: with its detail");
    is(outcome_of(call($dbh, sprintf($sql, 'enroll'), $user, $cup, "\x{e4}")),
        'ENROLLED', "$name: enrolled");
    is(outcome_of(call($dbh, sprintf($sql, 'try_enroll'), $user, $cup, "\x{e4}")),
        'REPLAYED', "$name: and replayed");
    is(outcome_of(call($dbh, sprintf($sql, 'try_enroll'), $third, $cup, undef)),
        'FULL', "$name: counted");
    is(ask($dbh, 'SELECT tournament, taken FROM enroll_seat'), "$cup|1", "$name: under its key");
    is(outcome_of(call($dbh, sprintf($sql, 'unenroll'), $user, $cup, undef)),
        'UNENROLLED', "$name: and out again");
    is(ask($dbh, 'SELECT "Art", "Text" FROM "Buch" ORDER BY id'),
        "Geb\x{fc}hr|gr\x{fc}n\n$word|gr\x{fc}n", "$name: booked by the policy's words");
    is(ask($dbh, qq{TABLE "Gru\x{df}"}), "$user|Gl\x{fc}ckwunsch", "$name: and followed up");
    return;
}

sub another_encoding
{
    my $name = 'LATIN1';
    $node->safe_psql('postgres', q{CREATE DATABASE latin ENCODING 'LATIN1' LC_COLLATE 'C'
                                     LC_CTYPE 'C' TEMPLATE template0});
    my $dbh = connect_to($node, 'latin');
    is(ask($dbh, 'SHOW server_encoding') . ask($dbh, 'SHOW client_encoding'),
        'LATIN1UTF8', "$name: spoken to in UTF-8");
    $dbh->do($_) or die $dbh->errstr for 'CREATE EXTENSION pg_enroll', $umlaut_tables;
    my $policy = umlauts();
    my $wrong = attach($dbh, { %$policy, "gr\x{f6}\x{df}e" => 1 });
    is($wrong->{state}, '22023', "$name: an unknown key");
    like($wrong->{message}, qr/gr\x{f6}\x{df}e/, "$name: is named");
    $wrong = attach($dbh, { %$policy, refund => qq{"R\x{fc}ckgeld"} });
    isnt($wrong->{state}, '00000', "$name: an unknown column");
    like($wrong->{message} . $wrong->{detail}, qr/R\x{fc}ckgeld/, "$name: is named, too");
    must(attach($dbh, $policy));
    is(ask($dbh, 'SELECT guarded FROM enroll_policies'), 1, "$name: attached");
    umlauts_are_told($dbh, $name);
    must(call($dbh, 'SELECT enroll_detach()'));
    is(outcome_of(call($dbh, qq{INSERT INTO "$entries" ("Mitglied", "$until", "g\x{fc}ltig")
                                  SELECT id, 'x', true FROM "Mitglied"})),
        'OK', "$name: detached");
    $dbh->disconnect;
    return;
}

another_encoding();

my $first = make_club('club');
use_club($first);
club_is_guarded($first, 'the first');
my $counters = counters($first);
$first->disconnect;
state_is_dumped();
a_whole_copy_goes_on(@$_, $counters) for @copy;
data_are_restored_alone($counters);
the_cluster_is_upgraded($counters);

# Only DDL may deadlock, and only with raw writers: see alone().
my @deadlocks = grep { !/enroll_attach|LOCK TABLE/ } deadlocks($node);
is(join('', @deadlocks), '', 'no call deadlocked');

done_testing();
