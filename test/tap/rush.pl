# One tournament that everybody wants, by every kind of writer at once, while it is changed: its
# capacity up, down, below what is taken, to none and back, by its own row and by a watched one; it
# is closed and opened, deleted and made anew. Its counter divides and folds all the while. Nobody
# is let in beyond a capacity or behind a close that has committed, and in the end every seat that
# is left can be sold, and not one more.
#
# ENROLL_LOAD=full: ten times as many changes.
use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use JSON::PP;
use List::Util qw(max sum0);
use Test::More;
use Time::HiRes qw(clock_gettime CLOCK_MONOTONIC);

use EnrollTest;

my $insert = 'INSERT INTO enrollments (user_id, tournament_id) VALUES ($1, 1)';
my $withdraw = <<'SQL';
UPDATE enrollments SET status = 'WITHDRAWN', is_active = false
  WHERE user_id = $1 AND tournament_id = 1 AND is_active
SQL
my $delete = 'DELETE FROM enrollments WHERE user_id = $1 AND tournament_id = 1 AND is_active';
my $taken = 'SELECT count(*) FROM enrollments WHERE is_active AND tournament_id = 1';
my $stripes = q{SELECT count(*) FROM enroll_seat WHERE tournament = '1'};

sub now { return clock_gettime(CLOCK_MONOTONIC) }

# -- What a client does ---------------------------------------------------------------------------

# So many different users that belong to the client alone.
sub own_users
{
    my ($client, $in, $count) = @_;
    my %some;
    $some{ 1 + $client + $in->{clients} * int rand $in->{each} } = 1 while keys %some < $count;
    return keys %some;
}

# By how many a statement has changed the active rows, and how many of them are calls' enrollments.
sub effect
{
    my ($call, $sign) = @_;
    return (gain => 0, entered => 0) if $call->{state} ne '00000';
    return (gain => $call->{copied}, entered => 0) if defined $call->{copied};
    return (gain => $sign * $call->{count}, entered => 0) if $sign;
    my $in = grep { $_->{code} eq 'ENROLLED' } @{ $call->{rows} };
    my $out = grep { $_->{code} eq 'UNENROLLED' } @{ $call->{rows} };
    return (gain => $in - $out, entered => $in);
}

# The statements, each with what it does to the active rows where it is a raw one.
my %statement = (
    enroll => [ 'SELECT * FROM enroll($1::bigint, 1::bigint)' ],
    'enroll, with a key' =>
      [ 'SELECT * FROM enroll($1::bigint, 1::bigint, gen_random_uuid()::text)' ],
    try_enroll      => [ 'SELECT * FROM try_enroll($1::bigint, 1::bigint)' ],
    unenroll        => [ 'SELECT * FROM unenroll($1::bigint, 1::bigint)' ],
    try_unenroll    => [ 'SELECT * FROM try_unenroll($1::bigint, 1::bigint)' ],
    enroll_many     => [ 'SELECT * FROM enroll_many($1::bigint[], 1::bigint)' ],
    try_enroll_many => [ 'SELECT * FROM try_enroll_many($1::bigint[], 1::bigint)' ],
    'raw row'       => [ 'INSERT INTO enrollments (user_id, tournament_id) VALUES ($1, 1)', +1 ],
    'raw withdrawal' => [ <<'SQL', -1 ],
UPDATE enrollments SET status = 'WITHDRAWN', is_active = false
  WHERE user_id = $1 AND tournament_id = 1 AND is_active
SQL
    'raw delete' =>
      [ 'DELETE FROM enrollments WHERE user_id = $1 AND tournament_id = 1 AND is_active', -1 ]);
my @statements = sort keys %statement;

sub single
{
    my ($dbh, $client, $in, $kind) = @_;
    my ($sql, $sign) = @{ $statement{$kind} };
    my @users = own_users($client, $in, $kind =~ /many/ ? 3 : 1);
    my $call = call($dbh, $sql, $kind =~ /many/ ? \@users : $users[0]);
    return brief($call, kind => $kind, effect($call, $sign));
}

sub copied
{
    my ($dbh, $client, $in) = @_;
    my $call = copy_lines($dbh, map { "$_\t1\n" } own_users($client, $in, 3));
    return brief($call, kind => 'COPY', effect($call));
}

# A few statements in one transaction, which may be undone at last. What fails undoes all of it or,
# where the rush is one of savepoints, only itself; there now and then what did not fail goes, too.
# What a part did counts for the whole.
sub several
{
    my ($dbh, $client, $in) = @_;
    my %whole = (kind => 'several', outcome => 'OK', bad => [], began => now());
    my @parts;
    $dbh->begin_work;
    for (1 .. 3)
    {
        $dbh->pg_savepoint('here') if $in->{savepoints};
        my $part = single($dbh, $client, $in, one_of(@statements));
        push @parts, { %$part, kind => "of several: $part->{kind}", gain => 0, entered => 0 };
        if ($in->{savepoints} && (defined $part->{message} || rand() < 0.2))
        {
            last if $part->{outcome} =~ /^40/;
            $dbh->pg_rollback_to('here');
            next;
        }
        last if defined $part->{message};
        $whole{$_} += $part->{$_} for qw(gain entered);
    }
    my $last = $parts[-1];
    my $failed = defined $last->{message} && (!$in->{savepoints} || $last->{outcome} =~ /^40/);
    my $undone = $failed || rand() < 0.3;
    my $done = !$undone && $dbh->commit;
    $whole{outcome} = $dbh->state if !$undone && !$done;
    $dbh->rollback if !$done;
    @whole{qw(gain entered)} = (0, 0) if !$done;
    return (@parts, { %whole, ended => now() });
}

# How far a rush has come: everybody moves it on.
my $progress = 'moved';

# Every other client works at READ COMMITTED whatever the level: who does not divides no counter.
sub take_part
{
    my ($dbh, $client, $in) = @_;
    return change_it($dbh, $in) if $client == 0;
    must(call($dbh, "SET default_transaction_isolation = 'read committed'")) if $client % 2;
    srand 1 + $client;
    my @mine;
    until (@mine % 10 == 0 && ask($dbh, reached('changed_all', 1)))
    {
        my $kind = one_of(@statements, 'COPY', ('several') x $in->{several});
        my %way = (COPY => \&copied, several => \&several);
        push @mine, ($way{$kind} // \&single)->($dbh, $client, $in, $kind);
        advance($dbh, $progress);
    }
    return @mine;
}

# -- What is changed ------------------------------------------------------------------------------

# Each change with the values that it may set.
my %change = (
    capacity => [
        'UPDATE tournaments SET capacity = $1 WHERE capacity IS DISTINCT FROM $1',
        undef, undef, 0, 30, 80, 120, 200, 500
    ],
    room => [
        'UPDATE rooms SET seats = $1 WHERE seats IS DISTINCT FROM $1',
        undef, undef, undef, 60, 150, 300
    ],
    status => [
        'UPDATE tournaments SET status = $1 WHERE status <> $1',
        'ENROLLMENT_OPEN', 'IN_PROGRESS', 'IN_PROGRESS', 'ENROLLMENT_CLOSED'
    ],
    deleted => [ 'DELETE FROM tournaments WHERE id = $1', 1 ],
    made    => [ <<'SQL', undef, 40, 150, 300 ]);
INSERT INTO tournaments (id, name, capacity) VALUES (1, 'another', $1) ON CONFLICT DO NOTHING
SQL

# With a change made nobody is in flight, so what is counted before the commit is what the commit
# leaves. Above READ COMMITTED the snapshot is older than the wait for the seats, and the same
# holds, or else the change is refused.
my $state = <<'SQL';
SELECT (SELECT count(*) FROM enrollments e WHERE e.is_active) AS taken,
       LEAST(t.capacity, r.seats) AS capacity,
       coalesce(t.status <> 'ENROLLMENT_CLOSED', false) AS open
  FROM rooms r LEFT JOIN tournaments t ON t.id = r.tournament_id
SQL

# Makes a change, or undoes it. One that changes nothing waits for nobody, and leaves nothing. Above
# READ COMMITTED it is 40001 where somebody came in since its snapshot, which in a rush is nearly
# always: it is tried some more times, then made below.
sub change_once
{
    my ($dbh, $level, $undone, $sql, $value) = @_;
    my @mine;
    for my $at (($level) x 20, 'read committed')
    {
        my $began = now();
        $dbh->begin_work;
        must(call($dbh, "SET TRANSACTION ISOLATION LEVEL $at"));
        my $call = call($dbh, $sql, $value);
        my $left = $call->{state} eq '00000' && call($dbh, $state)->{row};
        my $kept = $left && !$undone && $dbh->commit;
        $dbh->rollback if !$kept;
        push @mine, { %{ brief($call, kind => 'change', gain => 0) }, began => $began, at => $at };
        @{ $mine[-1] }{qw(left ended)} = ($left, now()) if $kept && $call->{count} > 0;
        last if $kept || $left && $undone;
    }
    return @mine;
}

# The first client. Its last change leaves seats for everybody and some more; the rush goes on until
# it has divided them.
sub change_it
{
    my ($dbh, $in) = @_;
    srand 1;
    my @mine;
    for my $count (1 .. $in->{changes})
    {
        wait_for($dbh, reached($progress, 60 * $count));
        my ($sql, @values) = @{ $change{ one_of(@{ $in->{kinds} }) } };
        push @mine, change_once($dbh, $in->{level}, !($count % 5), $sql, one_of(@values));
    }
    push @mine, map { change_once($dbh, 'read committed', 0, @$_) }
      [ $change{made}[0], undef ], [ $change{room}[0], undef ];
    push @mine, change_once($dbh, 'read committed', 0,
        q{UPDATE tournaments SET capacity = $1, status = 'ENROLLMENT_OPEN'},
        $in->{last});
    wait_for($dbh, reached($progress, 60 * $in->{changes} + 1000));
    advance($dbh, 'changed_all');
    return @mine;
}

# -- What is counted afterwards -------------------------------------------------------------------

# What came in while a change was in force although it left no seat: even if everything that may
# have gone out before had gone out, and nothing had come in but what certainly had.
sub beyond_capacity
{
    my ($left, $from, $to, @deeds) = @_;
    return if !defined $left->{capacity};
    my @then = grep { $_->{ended} > $from && $_->{began} < $to } @deeds;
    my @out = grep { $_->{gain} < 0 } @then;
    my @in = grep { $_->{gain} > 0 && $_->{began} > $from } @then;
    my @beyond;
    for my $deed (grep { $_->{ended} < $to } @in)
    {
        my $entered = sum0 map { $_->{gain} } grep { $_->{ended} < $deed->{began} } @in;
        my $gone = sum0 map { $_->{gain} } grep { $_->{began} < $deed->{ended} } @out;
        my $least = $left->{taken} + $entered + $gone + $deed->{gain};
        push @beyond, $deed if $least > $left->{capacity};
    }
    return @beyond;
}

# The calls that enrolled somebody after a close had committed and before anything else changed.
sub behind_a_close
{
    my ($left, $from, $to, @deeds) = @_;
    return if $left->{open};
    return grep { $_->{entered} && $_->{began} > $from && $_->{ended} < $to } @deeds;
}

# The changes that are in force, each until the next one begins, undone or not.
sub held_while_changing
{
    my ($name, @deeds) = @_;
    my @changes = grep { $_->{kind} eq 'change' } @deeds;
    my @mine = grep { $changes[$_]{left} } 0 .. $#changes - 1;
    my (@beyond, @behind, @grown);
    for my $i (@mine)
    {
        my ($change, $next) = @changes[ $i, $i + 1 ];
        my @window = ($change->{left}, $change->{ended}, $next->{began}, @deeds);
        push @beyond, beyond_capacity(@window);
        push @behind, behind_a_close(@window);
        my ($capacity, $before) = @{ $change->{left} }{qw(capacity taken)};
        push @grown, $next if $next->{left} && defined $capacity
          && $next->{left}{taken} > max($capacity, $before);
    }
    is_deeply(\@grown, [], "$name: never more rows than the capacity that had committed");
    is_deeply(\@beyond, [], "$name: nobody comes in beyond it at any moment");
    is_deeply(\@behind, [], "$name: nobody comes in behind a close");
    note(sprintf '%s: %d changes, %d of them below what was taken, %d closed', $name, scalar @mine,
        scalar(grep { $_->{capacity} < $_->{taken} } grep { defined $_->{capacity} }
          map { $changes[$_]{left} } @mine),
        scalar(grep { !$_->{left}{open} } @changes[@mine]));
    return;
}

# Every seat that is left is found, in whatever stripe it is, and there is not one more.
sub the_rest_is_sold
{
    my ($dbh, $name, $capacity) = @_;
    my $left = $capacity - ask($dbh, $taken);
    cmp_ok($left, '>', 0, "$name: $left seats are left");
    cmp_ok(ask($dbh, $stripes), '>', 1, "$name: divided when the rush is over");
    my @calls = map { call($dbh, $statement{try_enroll}[0], 100_000 + $_) } 1 .. $left + 3;
    is_deeply(
        tally(@calls),
        { ENROLLED => $left, FULL => 3 },
        "$name: all of them can be sold, and no more");
    is(ask($dbh, $taken), $capacity, "$name: sold out");
    is(violations($dbh), '', "$name: every rule holds");
    is(ask($dbh, 'SELECT * FROM enroll_reconcile()'), '', "$name: a recount changes nothing");
    return;
}

my $entry = 'ENROLLED|FULL|NOT_OPEN|ALREADY_ENROLLED';
my $exit = 'UNENROLLED|NOT_ENROLLED';
my $row = 'OK|23514 enroll_capacity|23505 uq_active_enrollment';
my %allowed = (
    'enroll'             => $entry,
    'enroll, with a key' => $entry,
    'try_enroll'         => $entry,
    'enroll_many'        => $entry,
    'try_enroll_many'    => $entry,
    'unenroll'           => $exit,
    'try_unenroll'       => $exit,
    'raw row'            => $row,
    'COPY'               => 'OK|23514|23505',
    'raw withdrawal'     => 'OK',
    'raw delete'         => 'OK',
    'several'            => 'OK',
    'change'             => 'OK');
my %more = (
    gone       => '|TOURNAMENT_NOT_FOUND|23503 enrollments_tournament_id_fkey|23503',
    old        => '|40001',
    deadlocked => '|40P01');

# Every kind of statement with what it may come to, in a transaction of several, too, where a seat
# may be out of reach.
sub allowed
{
    my @more = map { $more{$_} } @_;
    my %those = map { $_ => join '', $allowed{$_}, @more } keys %allowed;
    return { %those, map { ("of several: $_" => "$those{$_}|BUSY") } @statements };
}

sub a_rush
{
    my ($dbh, $clients, $name, $in, @more) = @_;
    must(call($dbh, $_)) for 'ALTER SEQUENCE moved RESTART', 'ALTER SEQUENCE changed_all RESTART';
    my $users = $in->{clients} * $in->{each};
    fill($dbh, users => $users, balance => 1_000_000, tournaments => [ [ 100, 2 ] ]);
    must(call($dbh, $_))
      for 'INSERT INTO users (id) SELECT 100000 + n FROM generate_series(1, 2000) n',
      'UPDATE rooms SET seats = NULL', 'UPDATE tournaments SET cost = 0';
    my @deeds = rush($clients, $in->{clients}, 'take_part', $in, $in->{level});
    note_outcomes($name, @deeds);
    is_deeply(unexpected(allowed(@more), @deeds), {}, "$name: nothing else was answered");
    held_while_changing($name, @deeds);
    the_rest_is_sold($dbh, $name, $in->{last});
    return;
}

my $node = start_server('rush', conf => "deadlock_timeout = 100ms\n");
my $dbh = connect_to($node, new_shop($node, 'rush'));
must(call($dbh, $_))
  for 'CREATE TABLE rooms (tournament_id bigint PRIMARY KEY, seats integer)',
  'INSERT INTO rooms VALUES (1, NULL)', 'CREATE SEQUENCE moved', 'CREATE SEQUENCE changed_all';
my $policy = JSON::PP->new->decode(ask($dbh, 'SELECT document FROM enroll_policies'));
$policy->{tournaments}{capacity} =
  'LEAST(t.capacity, (SELECT r.seats FROM rooms r WHERE r.tournament_id = t.id))';
$policy->{watch} = [ { table => 'rooms', tournament => 'tournament_id' } ];
must(attach($dbh, $policy));

my $clients = start_clients($node, 'rush', 32, { take_part => \&take_part });
my @changing = qw(capacity capacity capacity room room status status);
my %in = (each => 8, changes => full_load() ? 400 : 40, last => 500);
for ([ 'read committed', 32 ], [ 'repeatable read', 16 ], [ 'serializable', 16 ])
{
    my ($level, $count) = @$_;
    my @old = $level eq 'read committed' ? () : 'old';
    @in{qw(clients level)} = ($count, $level);
    a_rush($dbh, $clients, "changed in a rush, $level",
        { %in, several => 2, kinds => \@changing }, @old);
    a_rush($dbh, $clients, "deleted in a rush, $level",
        { %in, several => 0, kinds => [qw(deleted made made)] },
        @old, 'gone');
}
is(join('', deadlocks($node)), '', 'nobody deadlocked');

# Whoever undoes a call to a savepoint, and then makes another, may deadlock with anybody.
@in{qw(clients level)} = (32, 'read committed');
a_rush($dbh, $clients, 'a rush with savepoints',
    { %in, several => 3, savepoints => 1, kinds => \@changing }, 'deadlocked');
stop_clients($clients);
$dbh->disconnect;
$node->stop;
done_testing();
