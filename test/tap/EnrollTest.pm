# What the load tests share: a server with the extension, real connections that all begin at
# the same moment, a record of every call, and the rules that must hold whatever happened.
package EnrollTest;

use strict;
use warnings;

use DBI;
use Exporter 'import';
use IO::Handle;
use JSON::PP;
use POSIX ();
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(clock_gettime sleep CLOCK_MONOTONIC);

our @EXPORT = qw(
  start_server new_shop fill divide full_load connect_to ask wait_for reached advance one_of
  call copy_lines insist must attach outcome_of brief unexpected note_outcomes
  start_clients begin_rush end_rush rush stop_clients
  tally counts violations false_fulls bad_receipts deadlocks);

# Every outcome of a call, its SQLSTATE and its HTTP status, as the error contract has them.
my %contract = (
    ENROLLED             => [ '00000', 200 ],
    UNENROLLED           => [ '00000', 200 ],
    ELIGIBLE             => [ '00000', 200 ],
    REFUNDABLE           => [ '00000', 200 ],
    IDEMPOTENCY_MISMATCH => [ 'NR016', 422 ],
    TOURNAMENT_NOT_FOUND => [ 'NR010', 404 ],
    USER_NOT_FOUND       => [ 'NR011', 404 ],
    NOT_ENROLLED         => [ 'NR012', 404 ],
    NOT_OPEN             => [ 'NR005', 409 ],
    ALREADY_ENROLLED     => [ '23505', 409 ],
    FULL                 => [ 'NR001', 409 ],
    PRICE_CHANGED        => [ 'NR008', 409 ],
    INSUFFICIENT_CREDITS => [ 'NR004', 402 ],
    BUSY                 => [ 'NR020', 503 ],
    GUARD_MISSING        => [ 'NR090', 500 ],
);
my %code_of = map { $contract{$_}[0] => $_ } grep { $contract{$_}[0] ne '00000' } keys %contract;

# After so many seconds whatever has not come is taken never to come. Nothing passes or fails by how
# fast it is: this only ends what hangs, on a slow machine too. PG_TEST_TIMEOUT_DEFAULT sets it.
sub patience { return $PostgreSQL::Test::Utils::timeout_default // 180 }

# Whether the loads are to be of the size that they are meant for, which takes minutes:
# ENROLL_LOAD=full. Otherwise they are as large as every run of the tests can bear.
sub full_load { return ($ENV{ENROLL_LOAD} // '') eq 'full' }

sub one_of { return $_[ rand @_ ] }

# The database that each shop is a copy of: the extension and its ready-made tables.
my $template = 'shop';

# A server of its own, reached through a socket in a private directory.
sub start_server
{
    my ($name, %options) = @_;
    $ENV{PGCTLTIMEOUT} //= patience();
    my $node = PostgreSQL::Test::Cluster->new($name);
    $node->init(%{ $options{init} // {} });

    # Every statement in the log would be most of the load; errors alone are evidence.
    $node->append_conf('postgresql.conf', <<'CONF');
max_connections = 100
max_prepared_transactions = 10
shared_buffers = 64MB
max_wal_size = 1GB
log_statement = none
log_replication_commands = off
log_min_messages = error
log_min_error_statement = panic
CONF
    $node->append_conf('postgresql.conf', $options{conf}) if defined $options{conf};
    $node->start;
    $node->safe_psql('postgres', "CREATE DATABASE $template");
    $node->safe_psql($template, 'CREATE EXTENSION pg_enroll; SELECT enroll_create_tables()');
    return $node;
}

# A database with the extension, the ready-made tables and nothing in them.
sub new_shop
{
    my ($node, $name) = @_;
    $node->safe_psql('postgres', "CREATE DATABASE $name TEMPLATE $template");
    return $name;
}

# The shop emptied, then users 1..n with the same balance, which is written to the ledger too, so
# that afterwards a balance must be the sum of its ledger; and tournaments 1..m as
# [capacity, cost].
sub fill
{
    my ($dbh, %content) = @_;
    my ($users, $balance) = ($content{users}, $content{balance} // 0);
    my @tournaments;
    for (@{ $content{tournaments} })
    {
        my ($capacity, $cost) = @$_;
        push @tournaments, sprintf "('tournament', %s, %d)", $capacity // 'NULL', $cost // 0;
    }
    my $rows = join ', ', @tournaments;
    $dbh->do(<<"SQL") or die $dbh->errstr;
TRUNCATE users, tournaments, enrollments, credit_transactions RESTART IDENTITY;
INSERT INTO users (name, credit_balance)
  SELECT 'user ' || n, $balance FROM generate_series(1, $users) n;
INSERT INTO credit_transactions (user_id, type, amount, balance_after)
  SELECT id, 'TOP_UP', credit_balance, credit_balance FROM users ORDER BY id;
INSERT INTO tournaments (name, capacity, cost) VALUES $rows;
SQL
    return;
}

# Divides what is left in each tournament of that condition among so many stripes, as sessions do
# that meet there: one session alone meets nobody. What is divided already stays as it is, and so
# does what is taken beyond its capacity, which nobody divides.
sub divide
{
    my ($dbh, $stripes, $condition) = @_;
    my $others = $stripes - 1;
    $dbh->do(<<"SQL") or die $dbh->errstr;
WITH whole AS (
    SELECT s.*, (s.allotted - s.taken) / $stripes AS share FROM enroll_seat s
      WHERE s.policy = 'default' AND s.stripe = 0 AND ($condition)
        AND coalesce(s.allotted >= s.taken, true)
        AND NOT EXISTS (SELECT FROM enroll_seat o
                          WHERE o.policy = s.policy AND o.tournament = s.tournament
                            AND o.stripe > 0)),
  kept AS (
    UPDATE enroll_seat s SET allotted = s.allotted - w.share * $others FROM whole w
      WHERE s.policy = w.policy AND s.tournament = w.tournament AND s.stripe = 0)
INSERT INTO enroll_seat (policy, tournament, stripe, taken, allotted, capacity, epoch)
  SELECT policy, tournament, n, 0, share, capacity, epoch
    FROM whole, generate_series(1, $others) n
SQL
    return;
}

# A connection whose sessions end a statement that hangs, so that a hang is seen as an error.
sub connect_to
{
    my ($node, $shop, %options) = @_;
    my $dsn = sprintf 'dbi:Pg:dbname=%s;host=%s;port=%d', $shop, $node->host, $node->port;
    my $user = $options{user} // getpwuid($<);
    my %attributes = (
        AutoCommit            => 1,
        RaiseError            => 0,
        PrintError            => 0,
        PrintWarn             => 0,
        AutoInactiveDestroy   => 1,
        pg_placeholder_dollaronly => 1,
    );
    my $dbh = DBI->connect($dsn, $user, '', \%attributes)
      or die "cannot connect to $shop: " . DBI->errstr;
    $dbh->do(sprintf "SET statement_timeout = '%ds'", patience()) or die $dbh->errstr;
    return $dbh;
}

# A query's rows as psql -A would print them.
sub ask
{
    my ($dbh, $sql) = @_;
    my $rows = $dbh->selectall_arrayref($sql) or die $dbh->errstr . " in: $sql";
    return join "\n", map { join '|', map { $_ // '' } @$_ } @$rows;
}

# Asks until the answer is true.
sub wait_for
{
    my ($dbh, $sql) = @_;
    my $end = clock_gettime(CLOCK_MONOTONIC) + patience();
    until (ask($dbh, $sql))
    {
        die "waited in vain for: $sql" if clock_gettime(CLOCK_MONOTONIC) > $end;
        sleep 0.01;
    }
    return;
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

# One statement, in a transaction of its own unless the caller has begun one. Answers when it
# began and ended, its SQLSTATE and its rows; an error is an answer too.
sub call
{
    my ($dbh, $sql, @arguments) = @_;
    my %call = (state => '00000', rows => []);
    $call{began} = clock_gettime(CLOCK_MONOTONIC);
    my $statement = $dbh->prepare_cached($sql);
    my $done = $statement && $statement->execute(@arguments);
    $call{rows} = $statement->fetchall_arrayref({}) if $done && $statement->{NUM_OF_FIELDS};
    $call{count} = 0 + $statement->rows if $done;
    $call{ended} = clock_gettime(CLOCK_MONOTONIC);
    if (!$done)
    {
        $call{state} = $dbh->state;
        $call{message} = $dbh->errstr;
        $call{constraint} = $dbh->pg_error_field('constraint') // '';
        $call{detail} = $dbh->pg_error_field('detail') // '';
    }
    $call{row} = $call{rows}[0];
    return \%call;
}

# The same, tried again for as long as the answer is a serialization failure.
sub insist
{
    my ($dbh, $sql, @arguments) = @_;
    for my $try (1 .. 10_000)
    {
        my $call = call($dbh, $sql, @arguments);
        $call->{tries} = $try;
        return $call if $call->{state} ne '40001';
    }
    die "still 40001 after 10000 tries: $sql";
}

# A call whose failure would make what follows pointless.
sub must
{
    my ($call) = @_;
    die "$call->{state}: $call->{message}" if $call->{state} ne '00000';
    return $call;
}

# The driver tells the SQLSTATE of a failed COPY, but not its constraint.
sub copy_lines
{
    my ($dbh, @lines) = @_;
    my $began = clock_gettime(CLOCK_MONOTONIC);
    $dbh->do('COPY enrollments (user_id, tournament_id) FROM STDIN') or die $dbh->errstr;
    $dbh->pg_putcopydata($_) for @lines;
    my $done = $dbh->pg_putcopyend;
    return {
        began      => $began,
        ended      => clock_gettime(CLOCK_MONOTONIC),
        state      => $done ? '00000' : $dbh->state,
        message    => $done ? undef : $dbh->errstr,
        copied     => $done ? scalar @lines : 0,
        constraint => '',
        detail     => '',
        rows       => []
    };
}

# Attaches a policy, given as a hash.
sub attach
{
    my ($dbh, $policy, $name) = @_;
    return call($dbh, 'SELECT enroll_attach($1::jsonb, $2)',
        JSON::PP->new->canonical->encode($policy), $name // 'default');
}

# What a call of a function came to: the receipt's code or, where it raised, the code that its
# SQLSTATE stands for; a raw statement is OK, or its SQLSTATE and constraint.
sub outcome_of
{
    my ($call) = @_;
    if ($call->{state} eq '00000')
    {
        my $row = $call->{row};
        return 'OK' if !$row || !defined $row->{code};
        return $row->{replayed} ? 'REPLAYED' : $row->{code};
    }
    return $code_of{ $call->{state} }
      if defined $code_of{ $call->{state} } && $call->{state} ne '23505';
    return 'ALREADY_ENROLLED'
      if $call->{constraint} eq 'uq_active_enrollment' && $call->{detail} =~ /"user"/;
    return $call->{constraint} ? "$call->{state} $call->{constraint}" : $call->{state};
}

# A client's life: connected once, it does what it is told as often as it is told. Each order
# is answered twice: when everything but the work is done, and with the calls it made.
sub _serve
{
    my ($dbh, $client, $orders, $answers, $work) = @_;
    while (defined(my $line = readline $orders))
    {
        my $order = JSON::PP->new->utf8->decode($line);
        $dbh->do("SET default_transaction_isolation = '$order->{level}'") or die $dbh->errstr;
        print $answers "ready\n";
        readline $orders;
        my @calls = $work->{ $order->{work} }->($dbh, $client, $order->{arguments});
        print $answers JSON::PP->new->utf8->encode(\@calls), "\n";
    }
    return;
}

# So many connections, a process each. work names what they can be told to do: functions of the
# connection, the client's number from 0, and a rush's arguments, which return the calls made.
sub start_clients
{
    my ($node, $shop, $count, $work) = @_;
    my @clients;
    for my $client (0 .. $count - 1)
    {
        pipe(my $orders, my $giver) or die "pipe: $!";
        pipe(my $hearer, my $answers) or die "pipe: $!";
        my $pid = fork // die "fork: $!";
        if (!$pid)
        {
            close $_ for $giver, $hearer, map { @$_{qw(giver hearer)} } @clients;
            $answers->autoflush(1);
            my $done = eval {
                _serve(connect_to($node, $shop), $client, $orders, $answers, $work);
                1;
            };
            print STDERR "client $client: $@" unless $done;

            # Never the test's own end, which would stop the server.
            POSIX::_exit($done ? 0 : 1);
        }
        close $_ for $orders, $answers;
        $giver->autoflush(1);
        push @clients, { pid => $pid, giver => $giver, hearer => $hearer };
    }
    return \@clients;
}

sub _hear
{
    my ($client) = @_;
    my $line = readline $client->{hearer};
    die 'a client died' unless defined $line;
    return $line;
}

# Lets the first so many of the clients do the same work, all of them from the same moment on.
sub begin_rush
{
    my ($clients, $count, $work, $arguments, $level) = @_;
    my @some = @$clients[ 0 .. $count - 1 ];
    my $order = JSON::PP->new->utf8->encode(
        { work => $work, arguments => $arguments, level => $level // 'read committed' });
    print { $_->{giver} } "$order\n" for @some;
    _hear($_) for @some;
    print { $_->{giver} } "go\n" for @some;
    return \@some;
}

# Waits for the clients of a rush and returns all their calls.
sub end_rush
{
    my ($some) = @_;
    return map { @{ JSON::PP->new->utf8->decode(_hear($_)) } } @$some;
}

sub rush { return end_rush(begin_rush(@_)) }

sub stop_clients
{
    my ($clients) = @_;
    close $_->{giver} for @$clients;
    waitpid $_->{pid}, 0 for @$clients;
    return;
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

# How many calls came to which outcome.
sub tally
{
    my %count;
    $count{ outcome_of($_) }++ for @_;
    return \%count;
}

# The same as it is expected; what is expected never is not expected to be there.
sub counts
{
    my %count = @_;
    delete @count{ grep { !$count{$_} } keys %count };
    return \%count;
}

# Each rule that must hold at rest, as a query for what breaks it. A ledger is a user's rows in
# the order of their ids: written while the account was locked, so each balance follows from the
# one before.
my %rule = (
    'a user enrolled twice' => <<'SQL',
SELECT user_id, tournament_id, count(*) FROM enrollments WHERE is_active
  GROUP BY 1, 2 HAVING count(*) > 1
SQL
    'oversold' => <<'SQL',
SELECT t.id, t.capacity, count(*) FROM tournaments t JOIN enrollments e ON e.tournament_id = t.id
  WHERE e.is_active GROUP BY 1, 2 HAVING count(*) > t.capacity
SQL
    'seats taken differ from rows' => <<'SQL',
SELECT * FROM (SELECT tournament_id::text AS tournament, count(*) AS rows FROM enrollments
                 WHERE is_active GROUP BY 1) r
  FULL JOIN (SELECT tournament, sum(taken) AS taken FROM enroll_seat
               WHERE policy = 'default' GROUP BY 1) s USING (tournament)
  WHERE coalesce(rows, 0) <> coalesce(taken, 0)
SQL
    'seats allotted differ from capacity' => <<'SQL',
SELECT t.id, t.capacity, count(s.stripe), sum(s.allotted), count(s.allotted)
  FROM tournaments t
  LEFT JOIN enroll_seat s ON s.policy = 'default' AND s.tournament = t.id::text
  GROUP BY 1, 2
  HAVING count(s.stripe) = 0
      OR (t.capacity IS NULL AND count(s.allotted) > 0)
      OR (t.capacity IS NOT NULL AND (count(s.allotted) < count(s.stripe)
                                      OR sum(s.allotted) <> t.capacity))
SQL
    'seats allotted of a tournament that is gone' => <<'SQL',
SELECT * FROM enroll_seat s
  WHERE NOT EXISTS (SELECT FROM tournaments t WHERE t.id::text = s.tournament) AND allotted <> 0
SQL
    'a negative balance' => 'SELECT * FROM users WHERE credit_balance < 0',
    'a balance that is not the sum of its ledger' => <<'SQL',
SELECT u.id, u.credit_balance, sum(l.amount)
  FROM users u LEFT JOIN credit_transactions l ON l.user_id = u.id
  GROUP BY 1, 2 HAVING u.credit_balance <> coalesce(sum(l.amount), 0)
SQL
    'a ledger row that does not follow from the one before' => <<'SQL',
SELECT * FROM (SELECT *, lag(balance_after, 1, 0::bigint) OVER mine AS before
                 FROM credit_transactions WHERE user_id IS NOT NULL
               WINDOW mine AS (PARTITION BY user_id ORDER BY id)) l
  WHERE balance_after <> before + amount
SQL
    'an enrollment paid for twice, or refunded more than half of its price' => <<'SQL',
SELECT enrollment_id,
       count(*) FILTER (WHERE type IN ('ENROLLMENT', 'WAIVED')) AS entries,
       -coalesce(sum(amount) FILTER (WHERE type = 'ENROLLMENT'), 0) AS paid,
       coalesce(sum(amount) FILTER (WHERE type = 'REFUND'), 0) AS refunded
  FROM credit_transactions WHERE enrollment_id IS NOT NULL
  GROUP BY 1
  HAVING count(*) FILTER (WHERE type IN ('ENROLLMENT', 'WAIVED')) > 1
      OR coalesce(sum(amount) FILTER (WHERE type = 'REFUND'), 0)
         > -coalesce(sum(amount) FILTER (WHERE type = 'ENROLLMENT'), 0) / 2
SQL
);

# The rules that are broken, each with up to five of the rows that break it; '' is a sound shop.
# except names rules that the load was allowed to break.
sub violations
{
    my ($dbh, %options) = @_;
    my %except = map { $_ => 1 } @{ $options{except} // [] };
    my $broken = '';
    for my $title (sort keys %rule)
    {
        next if $except{$title};
        my $rows = ask($dbh, "SELECT * FROM ($rule{$title}) v LIMIT 5");
        $broken .= "$title:\n$rows\n" if $rows ne '';
    }
    return $broken;
}

# The calls that were told FULL although a seat was free for the whole of their time. A seat
# may be held from the moment its enroll began to the moment its unenroll ended, no longer: so
# where at no instant of the call all seats may have been held, FULL was false.
sub false_fulls
{
    my ($capacity, @calls) = @_;
    my (@events, %held);
    for (sort { $a->{began} <=> $b->{began} } @calls)
    {
        my $outcome = outcome_of($_);
        push @events, [ $_->{began}, +1 ] if $outcome eq 'ENROLLED';
        push @events, [ $_->{ended}, -1 ] if $outcome eq 'UNENROLLED';
    }
    @events = sort { $a->[0] <=> $b->[0] } @events;
    my @false;
    my ($next, $depth) = (0, 0);
    for my $call (sort { $a->{began} <=> $b->{began} } grep { outcome_of($_) eq 'FULL' } @calls)
    {
        $depth += $events[ $next++ ][1] while $next < @events && $events[$next][0] < $call->{began};
        my ($most, $now) = ($depth, $depth);
        for my $event (@events[ $next .. $#events ])
        {
            last if $event->[0] > $call->{ended};
            $now += $event->[1];
            $most = $now if $now > $most;
        }
        push @false, $call if $most < $capacity;
    }
    return @false;
}

# Each deadlock that the server's log tells of, with who waited for whom.
sub deadlocks
{
    my ($node) = @_;
    my $entry = qr/^(?!\t)[^\n]*\n(?:\t[^\n]*\n)*/m;
    return slurp_file($node->logfile) =~ /(^[^\n]*deadlock detected\n$entry)/mg;
}

# What is wrong with one receipt, or nothing.
sub _flaw
{
    my ($row) = @_;
    my $expected = $contract{ $row->{code} } or return "unknown code $row->{code}";
    my $fine = $expected->[0] eq '00000';
    return "ok is $row->{ok}" if !!$row->{ok} != $fine;
    return "sqlstate $row->{sqlstate}" if $row->{sqlstate} ne $expected->[0];
    return "http_status $row->{http_status}" if $row->{http_status} != $expected->[1];
    return "seats_left $row->{seats_left}" if defined $row->{seats_left} && $row->{seats_left} < 0;
    if ($fine)
    {
        return 'no amount or balance' if !defined $row->{amount} || !defined $row->{balance_after};
        my $sign = $row->{code} =~ /^(ENROLLED|ELIGIBLE)$/ ? -1 : 1;
        return "amount $row->{amount}" if $row->{amount} * $sign < 0;
        return "balance_after $row->{balance_after}" if $row->{balance_after} < 0;
        return;
    }
    return 'amount or balance of a rejection'
      if defined $row->{amount} || defined $row->{balance_after};
    return 'no message' if !length($row->{message} // '');
    return eval { ref JSON::PP->new->utf8->decode($row->{details}) eq 'HASH' }
      ? undef
      : 'details are no JSON object';
}

# Every receipt that breaks the contract, as text.
sub bad_receipts
{
    my @bad;
    for my $call (@_)
    {
        for my $row (grep { defined $_->{code} } @{ $call->{rows} })
        {
            my $flaw = _flaw($row);
            push @bad, "$flaw: " . JSON::PP->new->canonical->encode($row) if defined $flaw;
        }
    }
    return @bad;
}

1;
