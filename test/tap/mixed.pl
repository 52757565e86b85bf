# Every function and every kind of raw statement at once, one call in a transaction, over the
# same few users and tournaments, which are deleted and made anew under way. No call deadlocks,
# nobody is told anything outside the contract, and every rule holds in the end.
#
# ENROLL_LOAD=full: 32 clients with 200,000 calls in all.
use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use List::Util qw(max);
use Test::More;

use EnrollTest;

my ($copies, $rounds) = full_load() ? (2, 6250) : (1, 1500);
my ($users, $tournaments) = (120, 14);

# Nobody changes or deletes these first tournaments, so in them capacity must hold to the seat. The
# last of them has room for everybody.
my $steady = 4;

# Known to the scene below alone: without a seat, with a price that nobody has, and closed.
my ($sold_out, $dear, $closed) = map { $tournaments + $_ } 1 .. 3;

sub a_user { return 1 + int rand $users }
sub a_tournament { return 1 + int rand $tournaments }
sub a_changing_one { return $steady + 1 + int rand $tournaments - $steady }
sub a_pair { return (a_user(), a_tournament()) }

# A pair out of fewer, with its key: the same calls come again, and a quarter of the users share
# their keys with another.
sub a_pair_and_key
{
    my ($operation) = @_;
    my ($user, $tournament) = (1 + int rand 40, a_tournament());
    return ($user, $tournament, sprintf '%s %d %d', $operation, $user % 35, $tournament);
}

sub a_group
{
    my %group = map { a_user() => 1 } 1 .. 2 + int rand 6;
    return [ keys %group ];
}

# What a call may come to. Raw statements come to OK, or an SQLSTATE and its constraint.
my $entry = 'ENROLLED|FULL|NOT_OPEN|TOURNAMENT_NOT_FOUND|USER_NOT_FOUND|ALREADY_ENROLLED';
my $exit = 'UNENROLLED|NOT_ENROLLED|TOURNAMENT_NOT_FOUND|USER_NOT_FOUND';
my $keyed = 'REPLAYED|IDEMPOTENCY_MISMATCH';
my $row = 'OK|23514 enroll_capacity|23505 uq_active_enrollment|23503 enrollments_\w+_fkey';

# Each kind of call: how often, its statement, its arguments, what it may come to.
my %kind = (
    enroll => [ 14, 'SELECT * FROM enroll($1::bigint, $2::bigint)',
        \&a_pair, "$entry|INSUFFICIENT_CREDITS" ],
    'enroll, untyped' => [ 3, 'SELECT * FROM enroll($1, $2)',
        \&a_pair, "$entry|INSUFFICIENT_CREDITS" ],
    'enroll, with a key' => [ 5, 'SELECT * FROM enroll($1::bigint, $2::bigint, $3)',
        sub { a_pair_and_key('enroll') }, "$entry|INSUFFICIENT_CREDITS|$keyed" ],
    'enroll, at most' => [ 3, 'SELECT * FROM enroll($1::bigint, $2::bigint, max_price => $3)',
        sub { (a_pair(), int rand 12) }, "$entry|INSUFFICIENT_CREDITS|PRICE_CHANGED" ],
    try_enroll => [ 10, 'SELECT * FROM try_enroll($1::bigint, $2::bigint)',
        \&a_pair, "$entry|INSUFFICIENT_CREDITS" ],
    'try_enroll, with a key' => [ 4, 'SELECT * FROM try_enroll($1::bigint, $2::bigint, $3)',
        sub { a_pair_and_key('enroll') }, "$entry|INSUFFICIENT_CREDITS|$keyed" ],
    unenroll => [ 8, 'SELECT * FROM unenroll($1::bigint, $2::bigint)', \&a_pair, $exit ],
    'unenroll, with a key' => [ 4, 'SELECT * FROM unenroll($1::bigint, $2::bigint, $3)',
        sub { a_pair_and_key('unenroll') }, "$exit|$keyed" ],
    try_unenroll => [ 8, 'SELECT * FROM try_unenroll($1::bigint, $2::bigint)', \&a_pair, $exit ],
    can_enroll => [ 4, 'SELECT * FROM can_enroll($1::bigint, $2::bigint)',
        \&a_pair, "$entry|INSUFFICIENT_CREDITS|ELIGIBLE" ],
    quote_unenroll => [ 4, 'SELECT * FROM quote_unenroll($1::bigint, $2::bigint)',
        \&a_pair, "$exit|REFUNDABLE" ],
    enroll_many => [ 4, 'SELECT * FROM enroll_many($1::bigint[], $2::bigint)',
        sub { (a_group(), a_tournament()) }, "$entry|INSUFFICIENT_CREDITS" ],
    try_enroll_many => [ 4, 'SELECT * FROM try_enroll_many($1::bigint[], $2::bigint)',
        sub { (a_group(), a_tournament()) }, "$entry|INSUFFICIENT_CREDITS" ],
    enroll_waived => [ 4, 'SELECT * FROM enroll_waived($1::bigint, $2::bigint, $3)',
        sub { (a_pair(), 'a gift') }, $entry ],
    enroll_reconcile => [ 0.2, <<'SQL', sub { () }, 'OK' ],
SELECT r.* FROM enroll_reconcile() r
  WHERE taken_before <> taken_after OR allotted_before <> allotted_after
SQL
    'the most stripes' => [ 1, <<'SQL', sub { () }, 'OK' ],
SELECT max(n) AS most FROM (SELECT count(*) AS n FROM enroll_seat GROUP BY tournament) s
SQL
    'raw row' => [ 5, 'INSERT INTO enrollments (user_id, tournament_id) VALUES ($1, $2)',
        \&a_pair, $row ],
    'raw rows' => [ 2, <<'SQL', \&a_pair, $row ],
INSERT INTO enrollments (user_id, tournament_id)
  SELECT id, $2 FROM users WHERE id BETWEEN $1::bigint AND $1::bigint + 3 ORDER BY id
SQL
    'raw upsert' => [ 2, <<'SQL', \&a_pair, $row ],
INSERT INTO enrollments (user_id, tournament_id) VALUES ($1, $2)
  ON CONFLICT (user_id, tournament_id) WHERE is_active = true
  DO UPDATE SET enrolled_at = now()
SQL
    'raw withdrawal' => [ 5, <<'SQL', \&a_pair, 'OK' ],
UPDATE enrollments SET status = 'WITHDRAWN', is_active = false, withdrawn_at = now()
  WHERE user_id = $1 AND tournament_id = $2 AND is_active
SQL
    'raw return' => [ 3, <<'SQL', \&a_pair, $row ],
UPDATE enrollments SET status = 'ENROLLED', is_active = true, withdrawn_at = NULL
  WHERE id = (SELECT id FROM enrollments
                WHERE user_id = $1 AND tournament_id = $2 AND NOT is_active LIMIT 1)
SQL
    'raw move' => [ 4, <<'SQL', sub { (a_pair(), a_tournament()) }, $row ],
UPDATE enrollments SET tournament_id = $3
  WHERE id = (SELECT id FROM enrollments
                WHERE user_id = $1 AND tournament_id = $2 AND is_active LIMIT 1)
SQL
    'raw delete' => [ 3, <<'SQL', \&a_pair, 'OK' ],
DELETE FROM enrollments
  WHERE id = (SELECT id FROM enrollments WHERE user_id = $1 AND tournament_id = $2 LIMIT 1)
SQL
    'top up' => [ 5, <<'SQL', sub { (a_user()) }, 'OK' ],
WITH paid_in AS (UPDATE users SET credit_balance = credit_balance + 25 WHERE id = $1
                   RETURNING id, credit_balance)
INSERT INTO credit_transactions (user_id, type, amount, balance_after)
  SELECT id, 'TOP_UP', 25, credit_balance FROM paid_in
SQL
    'new capacity' => [ 3, 'UPDATE tournaments SET capacity = $2 WHERE id = $1',
        sub { (a_changing_one(), one_of(undef, 0 .. 30)) }, 'OK' ],
    'new status' => [ 3, 'UPDATE tournaments SET status = $2 WHERE id = $1',
        sub { (a_changing_one(), one_of('ENROLLMENT_OPEN', 'IN_PROGRESS', 'COMPLETED')) }, 'OK' ],
    'new price' => [ 2, 'UPDATE tournaments SET cost = $2 WHERE id = $1',
        sub { (a_changing_one(), int rand 20) }, 'OK' ],
    'tournament deleted' => [ 0.6, 'DELETE FROM tournaments WHERE id = $1',
        \&a_changing_one, 'OK|40P01' ],
    'tournament made' => [ 3, <<'SQL', sub { (a_changing_one(), one_of(undef, 5, 20)) }, 'OK' ],
INSERT INTO tournaments (id, name, capacity, cost) VALUES ($1, 'another', $2, 4)
  ON CONFLICT DO NOTHING
SQL
    'user deleted' => [ 1, 'DELETE FROM users WHERE id = $1', \&a_user, 'OK|40P01' ],
    'user made' => [ 4, <<'SQL', \&a_user, 'OK' ],
WITH made AS (INSERT INTO users (id, name, credit_balance) VALUES ($1, 'another', 60)
                ON CONFLICT DO NOTHING RETURNING id, credit_balance)
INSERT INTO credit_transactions (user_id, type, amount, balance_after)
  SELECT id, 'TOP_UP', credit_balance, credit_balance FROM made
SQL
);

# The kinds in a wheel of fortune: each as often as its weight says.
my @wheel;
for my $name (sort keys %kind) { push @wheel, ($name) x (5 * $kind{$name}[0]) }

# What a load meets by chance, it may not meet. So between its random calls each client plays a
# scene whose every outcome is certain, under whatever load: with a user of its own, in tournaments
# that nobody changes and in one of its own. Each step: the kind, what it comes to, the arguments.
sub scene
{
    my ($client) = @_;
    my ($user, $own) = (1000 + $client, 1000 + $client);
    my @in = ($user, $steady);
    my @key = (@in, "the key of $user");
    return (
        [ can_enroll               => 'ELIGIBLE',                 @in ],
        [ can_enroll               => 'FULL',                     $user, $sold_out ],
        [ try_enroll               => 'TOURNAMENT_NOT_FOUND',     $user, $own ],
        [ try_enroll               => 'USER_NOT_FOUND',           0, $steady ],
        [ try_enroll               => 'FULL',                     $user, $sold_out ],
        [ enroll                   => 'FULL',                     $user, $sold_out ],
        [ enroll                   => 'NOT_OPEN',                 $user, $closed ],
        [ enroll                   => 'INSUFFICIENT_CREDITS',     $user, $dear ],
        [ enroll_waived            => 'FULL',                     $user, $sold_out, 'a gift' ],
        [ 'raw row'                => '23514 enroll_capacity',    $user, $sold_out ],
        [ 'raw return'             => '23514 enroll_capacity',    $user, $sold_out ],
        [ 'enroll, at most'        => 'PRICE_CHANGED',            @in, 11 ],
        [ 'enroll, at most'        => 'ENROLLED',                 @in, 12 ],
        [ enroll                   => 'ALREADY_ENROLLED',         @in ],
        [ 'raw row'                => '23505 uq_active_enrollment', @in ],
        [ quote_unenroll           => 'REFUNDABLE',               @in ],
        [ unenroll                 => 'UNENROLLED',               @in ],
        [ unenroll                 => 'NOT_ENROLLED',             @in ],
        [ quote_unenroll           => 'NOT_ENROLLED',             @in ],
        [ 'enroll, with a key'     => 'ENROLLED',                 @key ],
        [ 'enroll, with a key'     => 'REPLAYED',                 @key ],
        [ 'try_enroll, with a key' => 'IDEMPOTENCY_MISMATCH',     $user, $dear, $key[-1] ],
        [ 'raw move'               => '23514 enroll_capacity',    @in, $sold_out ],
        [ 'raw move'               => 'OK',                       @in, $dear ],
        [ 'raw withdrawal'         => 'OK',                       $user, $dear ],
        [ 'raw return'             => 'OK',                       $user, $dear ],
        [ 'raw delete'             => 'OK',                       $user, $dear ],
        [ enroll                   => 'ENROLLED',                 @in ],
        [ try_unenroll             => 'UNENROLLED',               @in ],
        [ enroll_many              => 'ENROLLED',                 [$user], $steady ],
        [ unenroll                 => 'UNENROLLED',               @in ],
        [ try_enroll               => 'ENROLLED',                 @in ],
        [ unenroll                 => 'UNENROLLED',               @in ],
        [ enroll_waived            => 'ENROLLED',                 @in, 'a gift' ],
        [ 'tournament made'        => 'OK',                       $own, 5 ],
        [ 'raw row'                => 'OK',                       $user, $own ],
        [ 'tournament deleted'     => 'OK',                       $own ],
        [ 'user deleted'           => 'OK',                       $user ]);
}

# Most clients work at READ COMMITTED; four of sixteen try again where the level asks them to.
my @level = (('read committed') x 12, ('repeatable read') x 2, ('serializable') x 2);
@level = (@level) x $copies;

sub mix
{
    my ($dbh, $client) = @_;
    srand 1 + $client;
    $dbh->do("SET default_transaction_isolation = '$level[$client]'") or die $dbh->errstr;
    my $ask = $level[$client] eq 'read committed' ? \&call : \&insist;
    my @scene = scene($client);
    my $pause = int $rounds / @scene;
    my @mine;
    for my $round (1 .. $rounds)
    {
        my $name = one_of(@wheel);
        my (undef, $sql, $arguments) = @{ $kind{$name} };
        push @mine, { %{ $ask->($dbh, $sql, $arguments->()) }, kind => $name };
        next if $round % $pause || !@scene;
        my ($step, $outcome, @known) = @{ shift @scene };
        my $call = $ask->($dbh, $kind{$step}[1], @known);
        push @mine, { %$call, kind => $step, certain => $outcome };
    }
    return @mine;
}

# The users of the scenes, each with a withdrawn row where there is no seat, and their tournaments.
sub set_the_scene
{
    my ($dbh) = @_;
    $dbh->do($_) or die $dbh->errstr for <<"SQL", <<"SQL", <<"SQL";
WITH made AS (INSERT INTO users (id, name, credit_balance)
                SELECT 1000 + n, 'of a scene', 60 FROM generate_series(0, $#level) n
                RETURNING id, credit_balance)
INSERT INTO credit_transactions (user_id, type, amount, balance_after)
  SELECT id, 'TOP_UP', credit_balance, credit_balance FROM made
SQL
INSERT INTO tournaments (id, name, capacity, cost, status)
  VALUES ($sold_out, 'sold out', 0, 5, 'ENROLLMENT_OPEN'),
         ($dear, 'dear', NULL, 100000, 'ENROLLMENT_OPEN'),
         ($closed, 'closed', NULL, 5, 'COMPLETED')
SQL
INSERT INTO enrollments (user_id, tournament_id, status, is_active)
  SELECT id, $sold_out, 'WITHDRAWN', false FROM users WHERE id >= 1000
SQL
    return;
}

my $node = start_server('mixed');
my $shop = new_shop($node, 'mixed');
my $dbh = connect_to($node, $shop);
my $clients = start_clients($node, $shop, scalar @level, { mix => \&mix });
fill(
    $dbh,
    users       => $users,
    balance     => 60,
    tournaments => [
        [ 10, 3 ], [ 40, 7 ], [ 3, 0 ], [ undef, 12 ],
        map { [ $_ % 4 ? 5 * $_ : undef, $_ ] } 1 .. $tournaments - $steady
    ]);
set_the_scene($dbh);
my @calls = rush($clients, scalar @level, 'mix', {});

my @scene = scene(0);
is(scalar @calls, @level * ($rounds + @scene), 'every call was answered');

my (%unexpected, %met);
for my $call (@calls)
{
    my $outcome = outcome_of($call);
    $met{ $call->{kind} }{$outcome}++;
    next if $outcome =~ /^(?:$kind{ $call->{kind} }[3])$/;
    $unexpected{"$call->{kind}: $outcome"} = $call->{message} // 'a receipt';
}
is_deeply(\%unexpected, {}, 'nothing outside the contract was answered')
  or diag(explain(\%unexpected));
for my $name (sort keys %met)
{
    my $outcomes = $met{$name};
    note("$name: ", join ', ', map { "$outcomes->{$_} $_" } sort keys %$outcomes);
}
is_deeply([ bad_receipts(@calls) ], [], 'every receipt is well formed');

# A statement that comes to OK has found its row.
my @surprises;
for my $call (grep { defined $_->{certain} } @calls)
{
    my $outcome = outcome_of($call);
    next if $outcome eq $call->{certain} && ($outcome ne 'OK' || $call->{count} == 1);
    my $came = $outcome . (defined $call->{count} ? " ($call->{count} rows)" : '');
    push @surprises, "$call->{kind}: $came instead of $call->{certain}";
}
is_deeply(\@surprises, [], 'what was certain came to pass under the load');

# The scene's deletes meet no rival. Those of the load do, and the first to name a row finds it.
for my $name ('tournament deleted', 'user deleted')
{
    my @found = grep { $_->{kind} eq $name && !defined $_->{certain} && $_->{count} } @calls;
    ok(@found > 5, "$name: found rows under the load");
}
is(scalar(map { @{ $_->{rows} } } grep { $_->{kind} eq 'enroll_reconcile' } @calls),
    0, 'enroll_reconcile never found a wrong counter');
my @most = map { $_->{row}{most} } grep { $_->{kind} eq 'the most stripes' } @calls;
cmp_ok(max(@most), '>', 1, 'counters were divided: up to ' . max(@most) . ' stripes');

# Whatever seats the load has left are there to be had, to the last one and no more.
my $late = 60;
$dbh->do("INSERT INTO users (id, name) SELECT 2000 + n, 'late' FROM generate_series(1, $late) n")
  or die $dbh->errstr;
my @last;
for my $tournament (1 .. $steady - 1)
{
    push @last, map { call($dbh, $kind{enroll_waived}[1], 2000 + $_, $tournament, 'a gift') }
      1 .. $late;
}
is_deeply([ grep { $_ !~ /^(ENROLLED|FULL)$/ } keys %{ tally(@last) } ],
    [], 'after the load: a seat, or full');
is(ask($dbh, <<"SQL"), "1|10|10\n2|40|40\n3|3|3", 'after the load: sold out to the seat');
SELECT t.id, t.capacity, count(e.id)
  FROM tournaments t LEFT JOIN enrollments e ON e.tournament_id = t.id AND e.is_active
  WHERE t.id < $steady GROUP BY 1, 2 ORDER BY 1
SQL

is(violations($dbh, except => ['oversold']), '', 'every rule holds');
is(ask($dbh, <<"SQL"), '', 'what nobody changed is not oversold');
SELECT t.id, t.capacity, count(*)
  FROM tournaments t JOIN enrollments e ON e.tournament_id = t.id AND e.is_active
  WHERE t.id <= $steady GROUP BY 1, 2 HAVING count(*) > t.capacity
SQL
is(ask($dbh, <<'SQL'), '', 'a recount changes nothing');
SELECT r.* FROM enroll_reconcile() r JOIN tournaments t ON t.id::text = r.tournament
SQL

stop_clients($clients);
$dbh->disconnect;
$node->stop;

# The deletes of a user and of a tournament may deadlock with each other, and with nobody else:
# both cascade to the same enrollments and ledger rows, each in an order of its own.
my @deadlocks = grep {
    grep { !/^DELETE FROM (?:users|tournaments) / }
      /^\tProcess \d+: (.*)$/mg
} deadlocks($node);
is(join('', @deadlocks), '', 'nobody deadlocked');

done_testing();
