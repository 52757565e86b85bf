# The four races, and their relatives, with real connections that all begin at once: whoever
# wins, what the database holds afterwards is counted exactly.
use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use List::Util qw(max sum0);
use Test::More;

use EnrollTest;

my $insert = 'INSERT INTO enrollments (user_id, tournament_id) VALUES ($1, $2)';
my $withdraw = <<'SQL';
UPDATE enrollments SET status = 'WITHDRAWN', is_active = false
  WHERE user_id = $1 AND tournament_id = $2 AND is_active
SQL
my $active = 'SELECT count(*) FROM enrollments WHERE is_active AND tournament_id = ';
my $charged = "SELECT count(*) FROM credit_transactions WHERE type = 'ENROLLMENT'";

# Every other client asks by the function that raises.
sub enroll_of { return sprintf 'SELECT * FROM %s($1::bigint, $2::bigint)', ways($_[0], 'enroll') }

sub unenroll_of
{
    return sprintf 'SELECT * FROM %s($1::bigint, $2::bigint)', ways($_[0], 'unenroll');
}
sub ways { my ($client, $name) = @_; return $client % 2 ? $name : "try_$name" }

# The users that belong to a client alone, one for each round from `first` on and before `rounds`.
sub users_of
{
    my ($client, $in) = @_;
    return map { 1 + $client + $in->{clients} * $_ } ($in->{first} // 0) .. $in->{rounds} - 1;
}

# What clients can be told to do.
my %work = (

    # Their own users into each tournament.
    enroll => sub {
        my ($dbh, $client, $in) = @_;
        my @mine;
        for my $tournament (1 .. $in->{tournaments})
        {
            for my $user (users_of($client, $in))
            {
                my $call = insist($dbh, enroll_of($client), $user, $tournament);
                push @mine, { %$call, tournament => $tournament };
            }
        }
        return @mine;
    },

    # All of them the same users into the same tournaments.
    enroll_the_same => sub {
        my ($dbh, $client, $in) = @_;
        return map { insist($dbh, enroll_of($client), 1, $_) } 1 .. $in->{tournaments};
    },

    # The same users into a tournament of the client's own.
    spend_the_same => sub {
        my ($dbh, $client, $in) = @_;
        return map { insist($dbh, enroll_of($client), $_, $client + 1) } 1 .. $in->{users};
    },

    # All of them the same users out again.
    unenroll_the_same => sub {
        my ($dbh, $client, $in) = @_;
        return map { insist($dbh, unenroll_of($client), $_, 1) } 1 .. $in->{users};
    },

    # The same, half of them by a raw statement and from the other end. Each half leaves one user
    # to the other, so that both are sure to withdraw somebody.
    withdraw_the_same => sub {
        my ($dbh, $client, $in) = @_;
        my $last = $in->{users};
        return map { insist($dbh, $withdraw, $_, 1) } reverse 2 .. $last if $client % 2;
        return map { insist($dbh, unenroll_of($client / 2), $_, 1) } 1 .. $last - 1;
    },

    # Half of them by raw rows.
    insert => sub {
        my ($dbh, $client, $in) = @_;
        my $sql = $client % 2 ? 'SELECT * FROM enroll($1::bigint, $2::bigint)' : $insert;
        return map { call($dbh, $sql, $_, 1) } users_of($client, $in);
    },
    copy => \&copy_or_enroll,

    # The client's users in one group; every other group is given backwards.
    enroll_groups => sub {
        my ($dbh, $client, $in) = @_;
        my @users = users_of($client, $in);
        @users = reverse @users if $client % 2;
        return (
            call($dbh, 'SELECT * FROM enroll_many($1::bigint[], 1)', \@users),
            call($dbh, 'SELECT * FROM try_enroll_many($1::bigint[], 2)', \@users));
    },

    # Groups that overlap the other clients' groups, through the tournaments in either order.
    overlap => sub {
        my ($dbh, $client, $in) = @_;
        my @users = map { 1 + ($client * 2 + $_) % $in->{users} } 0 .. 19;
        my @tournaments = 1 .. $in->{tournaments};
        if ($client % 2) { $_ = [ reverse @$_ ] for \@users, \@tournaments }
        my $sql = 'SELECT * FROM try_enroll_many($1::bigint[], $2)';
        return map { call($dbh, $sql, \@users, $_) } @tournaments;
    },

    # Two of the client's users in each transaction; who is told to call again does, alone.
    enroll_twice => sub {
        my ($dbh, $client, $in) = @_;
        my $sql = 'SELECT * FROM try_enroll($1::bigint, 1::bigint)';
        my (@users, @mine) = users_of($client, $in);
        while (my @both = splice @users, 0, 2)
        {
            $dbh->begin_work;
            my @calls = map { { %{ call($dbh, $sql, $_) }, user => $_ } } @both;
            $dbh->commit;
            push @users, map { $_->{user} } grep { outcome_of($_) eq 'BUSY' } @calls;
            push @mine, grep { outcome_of($_) ne 'BUSY' } @calls;
        }
        return @mine;
    },

    change => \&change_or_enroll,
    raise  => \&raise_or_enroll,

    # In and out again.
    churn => sub {
        my ($dbh, $client, $in) = @_;
        my @mine;
        for my $round (1 .. $in->{rounds})
        {
            push @mine, insist($dbh, enroll_of($round), $client + 1, 1);
            next if outcome_of($mine[-1]) ne 'ENROLLED';
            push @mine, insist($dbh, unenroll_of($round + $client), $client + 1, 1);
        }
        return @mine;
    },

    # All of them the same calls with the same keys.
    same_key => sub {
        my ($dbh, $client, $in) = @_;
        my $function = ways($client, $in->{operation});
        my $sql = "SELECT * FROM $function(\$1::bigint, 1::bigint, \$2)";
        return map { { %{ insist($dbh, $sql, $_, "$in->{operation} $_") }, user => $_ } }
          1 .. $in->{users};
    },

    # Each a user of its own, all with the same keys.
    stolen_key => sub {
        my ($dbh, $client, $in) = @_;
        my $function = ways($client, 'enroll');
        my $sql = "SELECT * FROM $function(\$1::bigint, \$2::bigint, \$3)";
        return map { call($dbh, $sql, $client + 1, $_, "key $_") } 1 .. $in->{tournaments};
    });

# Half of the clients copy groups of rows into both tournaments, in either order.
sub copy_or_enroll
{
    my ($dbh, $client, $in) = @_;
    my @users = users_of($client, $in);
    if ($client % 2)
    {
        return map { my $user = $_; map { call($dbh, enroll_of($_), $user, $_) } 1, 2 } @users;
    }
    my @mine;
    while (my @some = splice @users, 0, 7)
    {
        my @lines;
        for my $tournament ($client % 4 ? (1, 2) : (2, 1))
        {
            push @lines, map { "$_\t$tournament\n" } @some;
        }
        push @mine, copy_lines($dbh, @lines);
    }
    return @mine;
}

# The first client changes the tournament once the rush is well under way. With the change made
# nobody is in flight, so what is counted before the commit is what the commit leaves, to the row.
# The others keep users back for after the change, however late it comes.
sub change_or_enroll
{
    my ($dbh, $client, $in) = @_;
    if ($client == 0)
    {
        $dbh->do("SET default_transaction_isolation = 'read committed'") or die $dbh->errstr;
        wait_for($dbh, "SELECT ($active 1) >= 150");
        $dbh->begin_work;
        my $changed = call($dbh, $in->{change});
        die $changed->{message} if $changed->{state} ne '00000';
        my $left = ask($dbh, "$active 1");
        $dbh->do('INSERT INTO change_made DEFAULT VALUES') or die $dbh->errstr;
        $dbh->commit or die $dbh->errstr;
        return { %$changed, left => $left };
    }
    my @users = users_of($client, $in);
    my @mine = map { insist($dbh, enroll_of($client), $_, 1) } splice @users, 0, $in->{before};
    wait_for($dbh, 'SELECT EXISTS (SELECT FROM change_made)');
    return (@mine, map { insist($dbh, enroll_of($client), $_, 1) } @users);
}

# The first client raises the capacity step by step, the others insist, and their last round begins
# after the last seats were opened. A call that was once let in meets fewer changes than it has
# rounds.
sub raise_or_enroll
{
    my ($dbh, $client, $in) = @_;
    if ($client == 0)
    {
        my $sql = 'UPDATE tournaments SET capacity = $1';
        return map { call($dbh, $sql, $in->{capacity} * $_ / $in->{steps}) } 1 .. $in->{steps};
    }
    my @mine;
    my @users = users_of($client, $in);
    my $last;
    do
    {
        $last = $dbh->selectrow_array('SELECT capacity FROM tournaments') == $in->{capacity};
        my @calls = map { call($dbh, enroll_of($client), $_, 1) } @users;
        @users = map { $users[$_] } grep { outcome_of($calls[$_]) ne 'ENROLLED' } 0 .. $#users;
        push @mine, @calls;
    } until $last;
    return @mine;
}

my $node = start_server('races');
my $shop = new_shop($node, 'races');
my $dbh = connect_to($node, $shop);
my $clients = start_clients($node, $shop, 64, \%work);

# Checks what every race ends with.
sub sound
{
    my ($name, @calls) = @_;
    is(violations($dbh), '', "$name: every rule holds");
    is_deeply([ bad_receipts(@calls) ], [], "$name: every receipt is well formed");
    return;
}

sub seats_are_raced_for
{
    my ($count, $rounds, $seats, $tournaments, $level) = @_;
    my $name = "$count for $seats seats, $level";
    my $users = $count * $rounds;
    fill(
        $dbh,
        users       => $users,
        balance     => 10 * $tournaments,
        tournaments => [ map { [ $seats, 10 ] } 1 .. $tournaments ]);
    my %in = (clients => $count, rounds => $rounds, tournaments => $tournaments);
    my @calls = rush($clients, $count, 'enroll', \%in, $level);
    for my $tournament (1 .. $tournaments)
    {
        my @here = grep { $_->{tournament} == $tournament } @calls;
        is_deeply(
            tally(@here),
            counts(ENROLLED => $seats, FULL => $users - $seats),
            "$name, tournament $tournament: the seats are sold, the rest told FULL");
        is(ask($dbh, "$active $tournament"), $seats,
            "$name, tournament $tournament: as many rows as seats");
        is_deeply([ false_fulls($seats, @here) ],
            [], "$name, tournament $tournament: no false FULL");
    }
    is(
        ask($dbh, 'SELECT sum(credit_balance) FROM users'),
        10 * $tournaments * ($users - $seats),
        "$name: exactly the seats were paid for");
    is(max(map { $_->{tries} } @calls), 1, "$name: no call had to be tried again")
      if $level eq 'read committed';
    sound($name, @calls);
    return;
}

seats_are_raced_for(64, 6, 10, 2, 'read committed');
seats_are_raced_for(64, 12, 500, 1, 'read committed');
seats_are_raced_for(64, 1, 1, 10, 'read committed');

# Callers who wait for a seat are not told FULL while there is one for each.
seats_are_raced_for(64, 1, 64, 4, 'read committed');
for my $level ('repeatable read', 'serializable')
{
    seats_are_raced_for(16, 4, 10, 2, $level);
    seats_are_raced_for(16, 10, 100, 1, $level);
    seats_are_raced_for(16, 1, 1, 6, $level);
}

sub a_user_races_itself
{
    my ($count, $level) = @_;
    my $name = "a user races itself, $level";
    my $tournaments = 6;
    fill(
        $dbh,
        users       => 1,
        balance     => 10_000,
        tournaments => [ map { [ $_ % 2 ? 5 : undef, 10 ] } 1 .. $tournaments ]);
    my @calls =
      rush($clients, $count, 'enroll_the_same', { tournaments => $tournaments }, $level);
    is_deeply(
        tally(@calls),
        { ENROLLED => $tournaments, ALREADY_ENROLLED => ($count - 1) * $tournaments },
        "$name: in once each, the rest told ALREADY_ENROLLED");
    my @rejections = grep { $_->{row} && $_->{row}{code} eq 'ALREADY_ENROLLED' } @calls;
    is(scalar(grep { !defined $_->{row}{enrollment_id} } @rejections),
        0, "$name: each rejection names the enrollment");
    is(ask($dbh, 'SELECT credit_balance FROM users'),
        10_000 - 10 * $tournaments, "$name: paid once each");
    sound($name, @calls);
    return;
}

a_user_races_itself(64, 'read committed');
a_user_races_itself(16, $_) for 'repeatable read', 'serializable';

# Each client has a tournament of its own, and all draw on the same credits for three.
sub credits_are_raced_for
{
    my ($users, $level) = @_;
    my $name = "the same credits in 20 tournaments, $level";
    fill(
        $dbh,
        users       => $users,
        balance     => 3 * 10 + 9,
        tournaments => [ map { [ undef, 10 ] } 1 .. 20 ]);
    my @calls = rush($clients, 20, 'spend_the_same', { users => $users }, $level);
    is_deeply(
        tally(@calls),
        { ENROLLED => 3 * $users, INSUFFICIENT_CREDITS => 17 * $users },
        "$name: three each");
    is(ask($dbh, 'SELECT DISTINCT credit_balance FROM users'),
        9, "$name: each paid for three");
    sound($name, @calls);
    return;
}

credits_are_raced_for(12, 'read committed');
credits_are_raced_for(4, $_) for 'repeatable read', 'serializable';

sub a_refund_is_raced_for
{
    my ($count, $level) = @_;
    my $name = "one enrollment withdrawn by $count, $level";
    my $users = 10;
    fill($dbh, users => $users, balance => 15, tournaments => [ [ $users, 15 ] ]);
    ask($dbh, 'SELECT enroll(id, 1) FROM users');
    my @calls = rush($clients, $count, 'unenroll_the_same', { users => $users }, $level);
    is_deeply(
        tally(@calls),
        { UNENROLLED => $users, NOT_ENROLLED => ($count - 1) * $users },
        "$name: out once each");
    is(ask($dbh, 'SELECT DISTINCT credit_balance FROM users'),
        7, "$name: half of 15, rounded down, once");
    is(ask($dbh, "SELECT count(*) FROM credit_transactions WHERE type = 'REFUND'"),
        $users, "$name: one ledger row each");
    sound($name, @calls);
    return;
}

a_refund_is_raced_for(32, 'read committed');
a_refund_is_raced_for(16, $_) for 'repeatable read', 'serializable';

# A raw withdrawal refunds nothing; whoever comes first does it alone.
sub withdrawals_race
{
    my ($count, $level) = @_;
    my $name = "unenroll() and raw withdrawals, $level";
    my $users = 60;
    fill($dbh, users => $users, balance => 10, tournaments => [ [ $users, 10 ] ]);
    ask($dbh, 'SELECT enroll(id, 1) FROM users');
    my @calls = rush($clients, $count, 'withdraw_the_same', { users => $users }, $level);
    my $raw = sum0(map { $_->{count} } grep { outcome_of($_) eq 'OK' } @calls);
    my ($called, $each) = ($users - $raw, $count / 2 * ($users - 1));
    ok($raw > 0 && $called > 0, "$name: both withdraw");
    is_deeply(
        tally(@calls),
        { UNENROLLED => $called, NOT_ENROLLED => $each - $called, OK => $each },
        "$name: everyone is out once, and nothing else is told");
    is(ask($dbh, 'SELECT sum(credit_balance) FROM users'),
        5 * $called, "$name: refunded where unenroll did it");
    is(ask($dbh, "SELECT sum(taken) FROM enroll_seat"), 0, "$name: each seat given back once");
    sound($name, @calls);
    return;
}

withdrawals_race(16, $_) for 'read committed', 'repeatable read', 'serializable';

# In the first rush there is room for everybody, so both sides come in. In the second there are
# fewer seats than either side alone has users, so both are refused.
sub raw_rows_race
{
    my $name = 'enroll() and raw INSERT';
    my ($rounds, $seats, $each) = (5, 150, 32);
    fill($dbh, users => 64 * $rounds, balance => 5, tournaments => [ [ $seats, 5 ] ]);
    my @calls = rush($clients, 64, 'insert', { clients => 64, rounds => 1 });
    is_deeply(tally(@calls), { ENROLLED => $each, OK => $each }, "$name: both come in");
    push @calls, rush($clients, 64, 'insert', { clients => 64, first => 1, rounds => $rounds });
    my $enrolled = ask($dbh, $charged);
    my $raw = $seats - $enrolled;
    is_deeply(
        tally(@calls),
        {
            ENROLLED                => $enrolled,
            FULL                    => $each * $rounds - $enrolled,
            OK                      => $raw,
            '23514 enroll_capacity' => $each * $rounds - $raw
        },
        "$name: the seats are sold, both are refused");
    is(ask($dbh, "$active 1"), $seats, "$name: as many rows as seats");
    sound($name, @calls);
    return;
}

# Two rushes for the same reasons.
sub copies_race
{
    my $name = 'enroll() and COPY';
    my ($rounds, $seats, $each) = (50, 200, 8);
    fill($dbh, users => 16 * $rounds, balance => 5, tournaments => [ ([ $seats, 2 ]) x 2 ]);
    my @calls = rush($clients, 16, 'copy', { clients => 16, rounds => 7 });
    is_deeply(tally(@calls), { ENROLLED => 2 * 7 * $each, OK => $each }, "$name: both come in");
    push @calls, rush($clients, 16, 'copy', { clients => 16, first => 7, rounds => $rounds });
    my @copies = grep { defined $_->{copied} } @calls;
    my $enrolled = 2 * $seats - sum0(map { $_->{copied} } @copies);
    is_deeply(
        tally(grep { !defined $_->{copied} } @calls),
        { ENROLLED => $enrolled, FULL => 2 * $rounds * $each - $enrolled },
        "$name: the seats are sold, the other callers told FULL");
    is_deeply([ sort keys %{ tally(@copies) } ],
        [ '23514', 'OK' ], "$name: copies come in whole or are refused");
    is(ask($dbh, "$active $_"), $seats, "$name: as many rows as seats in $_") for 1, 2;
    sound($name, @calls);
    return;
}

raw_rows_race();
copies_race();

# Groups and scarce seats that they do not divide.
sub groups_race
{
    my $name = 'groups';
    my ($count, $seats, $group) = (32, 77, 10);
    fill($dbh, users => $count * $group, balance => 10, tournaments => [ ([ $seats, 5 ]) x 2 ]);
    my @calls =
      rush($clients, $count, 'enroll_groups', { clients => $count, rounds => $group });
    is(ask($dbh, "$active 1"), 70, "$name: enroll_many takes whole groups");
    is(ask($dbh, "$active 2"), $seats, "$name: try_enroll_many takes every seat");
    my @refused = grep { $_->{state} ne '00000' } @calls;
    is_deeply(tally(@refused), { FULL => $count - 7 }, "$name: the other groups are told FULL");
    my @answers = map { $_->{code} } map { @{ $_->{rows} } } @calls;
    is(scalar(grep { $_ eq 'ENROLLED' } @answers), 70 + $seats, "$name: so many are told so");
    is(scalar(grep { $_ eq 'FULL' } @answers),
        $count * $group - $seats, "$name: so many are told FULL");
    sound($name, @calls);
    return;
}

# Accounts are locked in one order, in whatever order they are given.
sub groups_overlap
{
    my $name = 'overlapping groups';
    my ($users, $tournaments) = (40, 8);
    fill(
        $dbh,
        users       => $users,
        balance     => 1000,
        tournaments => [ ([ undef, 1 ]) x $tournaments ]);
    my @calls =
      rush($clients, 16, 'overlap', { users => $users, tournaments => $tournaments });
    is_deeply(tally(grep { $_->{state} ne '00000' } @calls), {}, "$name: no error");
    is(ask($dbh, 'SELECT count(*) FROM enrollments WHERE is_active'),
        $users * $tournaments, "$name: everyone is in, once");
    sound($name, @calls);
    return;
}

groups_race();
groups_overlap();

# What the commit of a change left is what stays. ends says how many rows there are in the end
# where that is not as many as the commit left.
sub a_change_races
{
    my ($name, $change, $refusal, %options) = @_;
    my %in = (clients => 24, rounds => 110, before => 60, change => $change);
    $dbh->do('TRUNCATE change_made') or die $dbh->errstr;
    fill(
        $dbh,
        users       => $in{clients} * $in{rounds},
        balance     => 5,
        tournaments => [ [ $options{capacity}, 5 ] ]);
    my @calls = rush($clients, $in{clients}, 'change', \%in, $options{level});
    my ($changed) = grep { defined $_->{left} } @calls;
    my @others = grep { !defined $_->{left} } @calls;
    is($changed->{count}, 1, "$name: the change is made");
    note("$name: $changed->{left} rows when it was made");
    my $enrolled = ask($dbh, $charged);
    is_deeply(
        tally(@others),
        { ENROLLED => $enrolled, $refusal => 23 * $in{rounds} - $enrolled },
        "$name: who did not come before it ran into it");
    my $rows = ask($dbh, "$active 1");
    is($rows, $options{ends} // $changed->{left}, "$name: nothing slips in");
    is($enrolled, $rows, "$name: nobody is left out") if $rows > 0;
    is(violations($dbh, except => $options{except}), '', "$name: every rule holds");
    is_deeply([ bad_receipts(@others) ], [], "$name: every receipt is well formed");
    return;
}

$dbh->do('CREATE TABLE change_made ()') or die $dbh->errstr;
for my $level ('read committed', 'repeatable read', 'serializable')
{
    a_change_races(
        "a close in a rush, $level", "UPDATE tournaments SET status = 'ENROLLMENT_CLOSED'",
        'NOT_OPEN',
        level => $level);
}
a_change_races(
    'capacity lowered in a rush', 'UPDATE tournaments SET capacity = 100', 'FULL',
    capacity => 3000,
    except   => ['oversold']);

# More seats than the others can have taken before the change, fewer than they want.
a_change_races(
    'capacity limited in a rush', 'UPDATE tournaments SET capacity = 1500', 'FULL',
    ends => 1500);
a_change_races(
    'a tournament deleted in a rush', 'DELETE FROM tournaments', 'TOURNAMENT_NOT_FOUND',
    ends => 0);
is(ask($dbh, 'SELECT sum(taken), sum(allotted) FROM enroll_seat'),
    '0|0', 'a tournament deleted in a rush: its counter is empty');

sub raised_seats_are_raced_for
{
    my $name = 'capacity raised in a rush';
    my %in = (clients => 17, rounds => 40, capacity => 300, steps => 10);
    fill($dbh, users => 17 * 40, balance => 5, tournaments => [ [ 0, 5 ] ]);
    my @calls = rush($clients, 17, 'raise', \%in);
    my $tally = tally(@calls);
    is($tally->{ENROLLED}, 300, "$name: as many in as there are seats in the end");
    is($tally->{OK}, $in{steps}, "$name: each step is made");
    is(ask($dbh, "$active 1"), 300, "$name: as many rows");
    is_deeply(
        [ sort keys %$tally ],
        [ 'ENROLLED', 'FULL', 'OK' ],
        "$name: nothing else was told");
    sound($name, @calls);
    return;
}

raised_seats_are_raced_for();

# Few seats, in and out again all the time.
sub churn
{
    my ($count, $rounds, $seats, $level) = @_;
    my $name = "churn of $count on $seats seats, $level";
    fill($dbh, users => $count, balance => 100_000, tournaments => [ [ $seats, 2 ] ]);
    my @calls = rush($clients, $count, 'churn', { rounds => $rounds }, $level);
    my $tally = tally(@calls);
    is($tally->{ENROLLED}, $tally->{UNENROLLED}, "$name: who came in went out");
    is($tally->{ENROLLED} + ($tally->{FULL} // 0),
        $count * $rounds, "$name: nothing else was told");
    is(ask($dbh, "$active 1"), 0, "$name: nobody is left");
    is_deeply([ false_fulls($seats, @calls) ], [], "$name: no false FULL");
    is(
        ask($dbh, 'SELECT sum(credit_balance) FROM users'),
        $count * 100_000 - $tally->{ENROLLED},
        "$name: half of each price is refunded");
    is(ask($dbh, "SELECT count(*) FROM users, try_enroll(users.id, 1) WHERE code = 'ENROLLED'"),
        $seats, "$name: the seats are there again");
    sound($name, @calls);
    return;
}

churn(24, 60, 3, 'read committed');
churn(24, 40, 1, 'read committed');
churn(8, 40, 3, $_) for 'repeatable read', 'serializable';

# One key, many callers, credits for one: one does it, the others get its receipt.
sub a_key_is_raced_with
{
    my ($count, $level) = @_;
    my $users = 6;
    fill($dbh, users => $users, balance => 10, tournaments => [ [ $users, 10 ] ]);
    for (['enroll', 'ENROLLED'], ['unenroll', 'UNENROLLED'])
    {
        my ($operation, $code) = @$_;
        my $name = "$count callers $operation with one key, $level";
        my %in = (users => $users, operation => $operation);
        my @calls = rush($clients, $count, 'same_key', \%in, $level);
        is_deeply(
            tally(@calls),
            { $code => $users, REPLAYED => ($count - 1) * $users },
            "$name: done once each and replayed to the others");
        my @receipt = qw(code enrollment_id amount balance_after);
        my %different =
          map { join(' ', $_->{user}, @{ $_->{row} }{@receipt}) => 1 } grep { $_->{row} } @calls;
        is(scalar keys %different, $users, "$name: everyone got the same receipt")
          or diag(explain(\%different));
        sound($name, @calls);
    }
    is(ask($dbh, 'SELECT DISTINCT credit_balance FROM users'),
        5, "$count callers with one key, $level: paid once and refunded once");
    return;
}

a_key_is_raced_with(32, 'read committed');
a_key_is_raced_with(8, $_) for 'repeatable read', 'serializable';

# Each transaction holds a seat of its own while it asks for another.
sub seats_are_raced_for_in_twos
{
    my ($seats) = @_;
    my $name = "32 in twos for $seats seats";
    my $rounds = 4 + int($seats / 16) * 2;
    fill($dbh, users => 32 * $rounds, balance => 5, tournaments => [ [ $seats, 5 ] ]);
    my @calls = rush($clients, 32, 'enroll_twice', { clients => 32, rounds => $rounds });
    is_deeply(
        tally(@calls),
        { ENROLLED => $seats, FULL => 32 * $rounds - $seats },
        "$name: sold to the last seat");
    sound($name, @calls);
    return;
}

seats_are_raced_for_in_twos($_) for 24, 100, 400;

sub a_key_is_stolen
{
    my $name = 'one key, 32 users';
    my $tournaments = 6;
    fill($dbh, users => 32, balance => 60, tournaments => [ ([ undef, 10 ]) x $tournaments ]);
    my @calls = rush($clients, 32, 'stolen_key', { tournaments => $tournaments });
    is_deeply(
        tally(@calls),
        { ENROLLED => $tournaments, IDEMPOTENCY_MISMATCH => 31 * $tournaments },
        "$name: one has it, the others are told that it is not theirs");
    is(ask($dbh, 'SELECT sum(credit_balance) FROM users'),
        (32 - 1) * 60, "$name: paid for once each");
    sound($name, @calls);
    return;
}

a_key_is_stolen();

stop_clients($clients);
$dbh->disconnect;
$node->stop;
is(join('', deadlocks($node)), '', 'nobody deadlocked');

done_testing();
