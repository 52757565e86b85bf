# Policies of one's own under load: attached and detached while everybody writes, with capacities
# that stand in other tables, rows that become active again, follow-up statements, a bounded wait.
use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use JSON::PP;
use List::Util qw(max);
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
my $register = <<'SQL';
INSERT INTO enrollments (user_id, tournament_id, status, is_active)
  VALUES ($1, $2, 'WITHDRAWN', false)
SQL
my $delete = 'DELETE FROM enrollments WHERE user_id = $1 AND tournament_id = $2';

my $active = 'SELECT count(*) FROM enrollments WHERE is_active AND tournament_id =';

sub now { return clock_gettime(CLOCK_MONOTONIC) }

# The users that belong to a client alone.
sub own_user
{
    my ($client, $in) = @_;
    return 1 + $client + $in->{clients} * int rand $in->{each};
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

# Several who attach and detach at once, half of them in transactions of one snapshot, and the
# others calling. What each did is written down while it still holds its locks.
sub change_policy_or_call
{
    my ($dbh, $client, $in) = @_;
    srand 1 + $client;
    my $level = $client % 2 ? 'repeatable read' : 'read committed';
    $dbh->do("SET default_transaction_isolation = '$level'") or die $dbh->errstr;
    my @mine;
    if ($client >= $in->{masters})
    {
        until (@mine % 10 == 9 && ask($dbh, reached('finished', $in->{masters})))
        {
            my $sql = one_of($try_enroll, $enroll, $try_unenroll);
            push @mine, brief(insist($dbh, $sql, 1 + int rand 20, one_of(1, 2)), kind => 'call');
        }
        return @mine;
    }
    for (1 .. $in->{rounds})
    {
        my $attaches = rand() < 0.6;
        $dbh->begin_work;
        my $call =
          $attaches ? attach($dbh, $in->{policy}) : call($dbh, 'SELECT enroll_detach()');
        push @mine, brief($call, kind => $attaches ? 'attach' : 'detach');
        if ($mine[-1]{outcome} ne 'OK') { $dbh->rollback; next }
        must(call($dbh, q{INSERT INTO events VALUES (nextval('event'), $1)}, $mine[-1]{kind}));
        $dbh->commit;
    }
    advance($dbh, 'finished');
    return @mine;
}

sub many_attach_at_once
{
    my $name = 'many who attach and detach';
    my ($dbh, $policy) = detached_shop($node, 'at_once');
    fill($dbh, users => 20, balance => 10_000, tournaments => [ [ 5, 10 ], [ undef, 4 ] ]);
    $dbh->do($_) or die $dbh->errstr
      for 'CREATE TABLE events (id bigint, kind text)',
      map { "CREATE SEQUENCE $_" } qw(event finished);
    my %in = (masters => 6, rounds => 60, policy => $policy);
    my $clients = start_clients($node, 'at_once', 16, { change => \&change_policy_or_call });
    my @calls = rush($clients, 16, 'change', \%in);
    stop_clients($clients);
    note_outcomes($name, @calls);
    my %allowed = (
        attach => 'OK|40001|40P01',
        detach => 'OK|42704|40001|40P01',
        call   => 'ENROLLED|UNENROLLED|FULL|ALREADY_ENROLLED|NOT_ENROLLED|42704');
    is_deeply(unexpected(\%allowed, @calls), {}, "$name: nothing else was answered");
    is(ask($dbh, <<'SQL'), '', "$name: what is detached was attached");
SELECT * FROM (SELECT id, kind, lag(kind, 1, 'detach') OVER (ORDER BY id) AS before FROM events) e
  WHERE kind = 'detach' AND before = 'detach'
SQL
    must(attach($dbh, $policy));
    is(ask($dbh, 'SELECT guarded FROM enroll_policies'), 1, "$name: every guard is in place");
    is(violations($dbh), '', "$name: every rule holds");
    is(ask($dbh, 'SELECT * FROM enroll_reconcile()'), '', "$name: a recount changes nothing");
    $dbh->disconnect;
    return;
}

# A transaction that detaches what was attached after its snapshot was taken: it does so or is told
# to try again, and never leaves a policy without its guards.
sub an_old_transaction_detaches
{
    my ($dbh, $policy) = detached_shop($node, 'old');
    my $other = connect_to($node, 'old');
    for my $level ('repeatable read', 'serializable')
    {
        my $name = "detached by an old transaction, $level";
        $other->do("SET default_transaction_isolation = '$level'") or die $other->errstr;
        $other->begin_work;
        ask($other, 'SELECT 1');
        must(attach($dbh, $policy));
        my $outcome = outcome_of(call($other, 'SELECT enroll_detach()'));
        like($outcome, qr/^(?:OK|40001)$/, "$name: done or refused");
        $outcome eq 'OK' ? $other->commit : $other->rollback;
        is(
            ask($dbh, 'SELECT guarded FROM enroll_policies'),
            $outcome eq 'OK' ? '' : '1',
            "$name: whole");
        call($dbh, 'SELECT enroll_detach()');
    }
    $_->disconnect for $other, $dbh;
    return;
}

a_policy_comes_and_goes();
debts_are_paid_first();
many_attach_at_once();
an_old_transaction_detaches();

# -- Capacities that stand in other tables --------------------------------------------------------

# A tournament's capacity is the least of three numbers: table, column, and whose it is.
my @source = (
    [ tournaments => 'capacity', 'id' ],
    [ rooms       => 'seats',    'tournament_id' ],
    [ limits      => 'most',     'tournament_id' ]);
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

# A change of one of them: $1 is what the expression of the new number is about, $2 whose it is.
sub change_of
{
    my ($source, $new) = @_;
    my ($table, $column, $key) = @{ $source[$source] };
    $new = sprintf $new, $column;
    return "UPDATE $table SET $column = $new WHERE $key = ANY (\$2::bigint[])";
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

# One of the three numbers, again and again, of one tournament or of both, and never to what it is
# already; every fifth change is rolled back. A change waits for raw writers' attempts, which never
# stop.
sub change_source
{
    my ($dbh, $client, $in) = @_;
    $dbh->do("SET default_transaction_isolation = 'read committed'") or die $dbh->errstr;
    srand 1 + $client;
    my $sql = change_of($client, '(%s + $1::integer) %% 40');
    my @mine;
    for my $change (1 .. $in->{changes})
    {
        my $some = one_of([1], [2], [ 1, 2 ]);
        wait_for($dbh, reached('enrollments_id_seq', 10 * $change));
        $dbh->begin_work;
        push @mine, brief(call($dbh, $sql, 1 + int rand 39, $some), kind => 'change');
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
        my $kind = one_of('call', 'call', 'raw');
        my @ways =
            $kind eq 'raw'
          ? ($insert, $withdraw, $return, $delete, $delete)
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
        my $sql = change_of(1 + $client, '$1');
        @mine = map { insist($dbh, $sql, $_, [1]) } @steps;
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
    my %in = (clients => 16, each => 4, changes => 80);
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
    my %in = (clients => 16, seats => 400, steps => 80);
    fill($dbh, users => 16 * 402, balance => 10, tournaments => [ ([ undef, 10 ]) x 2 ]);
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

# A user's row for a tournament, withdrawn or not, is the only one.
my $total = 'enrollments_user_id_tournament_id_key';

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

# Of two tournaments the first has seats for fewer than want them. Raw writers delete rows, too, so
# that among few users many a row comes and goes while a call waits to write one.
sub rows_become_active_again
{
    my ($dbh, $clients, $level, $raw) = @_;
    my $name = join ', ', 'the same rows again', ask($dbh, 'SELECT current_database()'),
      $raw ? 'by raw writers too' : (), $level;
    my ($users, $balance, $seats) = ($raw ? (8, 100_000, 3) : (40, 100_000, 15));
    fill(
        $dbh,
        users       => $users,
        balance     => $balance,
        tournaments => [ [ $seats, 10 ], [ undef, 4 ] ]);
    my @ways = ($try_enroll, $enroll, $try_unenroll, $unenroll, $try_enroll_many);
    push @ways, $insert, $withdraw, $return, $register, $delete, $delete if $raw;
    my %in = (rounds => 150, users => $users, ways => \@ways);
    my @calls = rush($clients, 16, 'come_and_go', \%in, $level);
    note_outcomes($name, @calls);
    my %allowed = (
        call => 'ENROLLED|UNENROLLED|FULL|ALREADY_ENROLLED|NOT_ENROLLED',
        raw  => "OK|23514 enroll_capacity|23505 $total");
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

# Where the constraint is on more than user and tournament, ON CONFLICT does not meet it.
sub reactivation_is_raced_for
{
    my %unique = (
        again     => 'ADD UNIQUE (user_id, tournament_id)',
        for_grade => 'ADD grade integer NOT NULL DEFAULT 1, ADD CONSTRAINT ' . $total
          . ' UNIQUE (user_id, grade, tournament_id)');
    for my $shop (sort keys %unique)
    {
        my ($dbh) = own_shop($node, $shop, "ALTER TABLE enrollments $unique{$shop}", \&reactivate);
        my $clients = start_clients($node, $shop, 16, { come_and_go => \&come_and_go });
        for my $level ('read committed', 'repeatable read', 'serializable')
        {
            rows_become_active_again($dbh, $clients, $level);
            rows_become_active_again($dbh, $clients, $level, 'raw');
        }
        stop_clients($clients);
        $dbh->disconnect;
    }
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
    my %in = (rounds => 100, users => 60, ways => \@ways);
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

# Where nobody is in the way, a call that is told BUSY was only slow, and is made again.
sub undisturbed
{
    my ($dbh, @call) = @_;
    for (1 .. 1000)
    {
        my $call = call($dbh, @call);
        return $call if outcome_of($call) ne 'BUSY';
    }
    die "always BUSY: @call";
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
        my ($dbh, $client) = @_;
        my ($in, $out) = $client % 2 ? ($enroll, $unenroll) : ($try_enroll, $try_unenroll);
        my @mine = call_then_sleep($dbh, 'call', $in, 1 + $client, 1);
        push @mine, brief(undisturbed($dbh, $out, 1 + $client, 1), kind => 'out')
          if $mine[0]{outcome} eq 'ENROLLED';
        return @mine;
    },

    undisturbed => sub {
        my ($dbh, $client) = @_;
        return (
            brief(undisturbed($dbh, $try_enroll, 1 + $client, 1), kind => 'call'),
            brief(undisturbed($dbh, $try_unenroll, 1 + $client, 1), kind => 'out'));
    },

    one => sub {
        my ($dbh) = @_;
        return brief(call($dbh, $try_enroll, 1, 1), kind => 'call');
    },

    # In and out, each in a statement that goes on for a moment after the call.
    many => sub {
        my ($dbh, $client) = @_;
        my $sql = 'SELECT e.*, pg_sleep(0.001) FROM %s($1::bigint, 1::bigint) e';
        return map {
            my $function = one_of(qw(enroll try_enroll unenroll try_unenroll));
            brief(call($dbh, sprintf($sql, $function), 2 + $client), kind => 'call')
        } 1 .. 400;
    });

sub state_of
{
    my ($dbh) = @_;
    return ask($dbh, 'SELECT u.id, u.credit_balance, l.id, e.id, e.is_active FROM users u
                        LEFT JOIN credit_transactions l ON l.user_id = u.id
                        LEFT JOIN enrollments e ON e.user_id = u.id ORDER BY 1, 3, 4');
}

# Somebody holds what a statement writes until told to let go.
sub hold
{
    my ($sql, @arguments) = @_;
    my $holder = connect_to($node, 'waits');
    $holder->begin_work;
    must(call($holder, $sql, @arguments));
    return $holder;
}

my $account = 'UPDATE users SET name = name WHERE id = ANY ($1::bigint[])';

sub let_go
{
    my ($holder) = @_;
    $holder->rollback;
    $holder->disconnect;
    return;
}

# Whether they wait for the account, before anything is written, or for the seat, when the rest is.
sub everybody_is_told_busy
{
    my ($dbh, $clients) = @_;
    must(call($dbh, $enroll, 1, 2));
    for ([ account => $account, [1] ], [ seats => 'UPDATE tournaments SET capacity = 1000' ])
    {
        my ($what, @held) = @$_;
        my $name = "held $what";
        my $before = state_of($dbh);
        my $holder = hold(@held);
        my @calls = rush($clients, 16, 'all', {});
        is_deeply(unexpected({ call => 'BUSY', sleep => 'OK' }, @calls), {},
            "$name: everybody is told BUSY, and what comes next is not cancelled");
        let_go($holder);
        is(state_of($dbh), $before, "$name: nothing of the calls stays");
        @calls = rush($clients, 16, 'undisturbed', {});
        is_deeply(unexpected({ call => 'ENROLLED', out => 'UNENROLLED' }, @calls), {},
            "$name: let go, all of them work");
        is(violations($dbh), '', "$name: every rule holds");
    }
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
        my $holder = hold($account, [ 1 .. 16 ]);
        my $rush = begin_rush($clients, 16, 'own', {});
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

# With a wait of about a call's own time many a deadline passes in a call's last moment.
sub the_last_moment_counts
{
    my ($dbh, $clients, $policy) = @_;
    my $name = 'a wait of a millisecond';
    must(attach($dbh, { %$policy, wait => '1ms' }));
    my @calls = rush($clients, 8, 'many', {});
    note_outcomes($name, @calls);
    my $allowed = 'ENROLLED|ALREADY_ENROLLED|UNENROLLED|NOT_ENROLLED|BUSY';
    is_deeply(unexpected({ call => $allowed }, @calls), {},
        "$name: what remains of the statement is not cancelled");
    is(violations($dbh), '', "$name: every rule holds");
    is(ask($dbh, 'SELECT * FROM enroll_reconcile()'), '', "$name: a recount changes nothing");
    must(attach($dbh, $policy));
    return;
}

# A cancel that somebody sends, and a statement_timeout, are no BUSY.
sub other_cancels_are_themselves
{
    my ($dbh, $clients, $policy) = @_;
    my $name = 'cancelled while waiting';
    must(attach($dbh, { %$policy, wait => '10min' }));
    my $holder = hold($account, [1]);
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
    $holder = hold($account, [1]);
    $caller->do('SET statement_timeout = 0') or die $caller->errstr;
    $caller->begin_work;
    is(outcome_of(call($caller, $try_enroll, 1, 1)), 'BUSY', "$name: by the policy's wait");
    is(outcome_of(undisturbed($caller, $try_enroll, 17, 1)),
        'ENROLLED', "$name: the transaction goes on");
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
    is(outcome_of(undisturbed($known, $try_enroll, 18, 1)), 'ENROLLED', "$name: before");
    for my $table (qw(users tournaments enrollments credit_transactions))
    {
        $dbh->begin_work;
        must(call($dbh, "LOCK TABLE $table IN ACCESS EXCLUSIVE MODE"));
        my $new = connect_to($node, 'waits');
        $_->do("SET statement_timeout = '20s'") for $known, $new;
        is(outcome_of(call($known, $try_enroll, 19, 1)), 'BUSY', "$name: $table");
        is(outcome_of(call($new, $try_enroll, 19, 1)), 'BUSY', "$name: $table, first call");
        $new->disconnect;
        $dbh->rollback;
    }
    is(outcome_of(undisturbed($known, $try_enroll, 19, 1)), 'ENROLLED', "$name: after");
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
    the_last_moment_counts($dbh, $clients, $policy);
    other_cancels_are_themselves($dbh, $clients, $policy);
    a_locked_table_is_waited_for($dbh);
    stop_clients($clients);
    $dbh->disconnect;
    return;
}

waits_are_bounded();

$node->stop;

# A raw writer's statement and DDL may deadlock, see alone(), but no call does.
my @deadlocks = grep { /^\tProcess \d+: SELECT \* FROM \w/m } deadlocks($node);
is(join('', @deadlocks), '', 'no call deadlocked');

done_testing();
