# What enroll_stats counts where the library is preloaded: for all sessions together and to the
# last call, however they fall; begun anew by a reset and after a crash; with no more policies
# counted apart than there is room for.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use EnrollTest;
use JSON::PP;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes;

my $node = start_server('stats', conf => <<'CONF');
shared_preload_libraries = 'pg_enroll'
pg_enroll.stats_max = 6
restart_after_crash = on
CONF
my $shop = new_shop($node, 'shop1');
my $dbh = connect_to($node, $shop);

# What is counted for a policy, each in a column of its own.
sub counted
{
    my ($from, $policy) = @_;
    my $rows = $from->selectall_arrayref(<<'SQL', { Slice => {} }, $policy // 'default');
SELECT * FROM enroll_stats WHERE policy = $1 AND database = current_database()
SQL
    die 'no row or several' unless @$rows == 1;
    my %row = %{ $rows->[0] };
    my $outcomes = JSON::PP->new->decode($row{outcomes});
    $row{codes} = { map { $_ => $outcomes->{$_} } grep { $outcomes->{$_} } keys %$outcomes };
    $row{answered} = 0;
    $row{answered} += $_ for values %$outcomes;
    return \%row;
}

sub begin_anew
{
    $dbh->do('SELECT enroll_stats_reset()') or die $dbh->errstr;
    return;
}

# A user out of few and a tournament out of few: most calls meet somebody.
my %statement = (
    enroll       => 'SELECT * FROM enroll($1::bigint, $2::bigint)',
    try_enroll   => 'SELECT * FROM try_enroll($1::bigint, $2::bigint)',
    keyed        => 'SELECT * FROM try_enroll($1::bigint, $2::bigint, $3)',
    unenroll     => 'SELECT * FROM unenroll($1::bigint, $2::bigint)',
    try_unenroll => 'SELECT * FROM try_unenroll($1::bigint, $2::bigint)',
    many         => 'SELECT * FROM try_enroll_many($1::bigint[], $2::bigint)',
    can          => 'SELECT * FROM can_enroll($1::bigint, $2::bigint)',
    row          => 'INSERT INTO enrollments (user_id, tournament_id) VALUES ($1, $2)',
);

sub any_call
{
    my ($link) = @_;
    my $kind = (sort keys %statement)[ rand keys %statement ];
    my ($user, $tournament) = (1 + int rand 25, 1 + int rand 4);
    my @arguments = ($user, $tournament);
    @arguments = ([ $user, $user + 1 ], $tournament) if $kind eq 'many';
    push @arguments, 'key ' . $user % 20 if $kind eq 'keyed';
    return { kind => $kind, %{ call($link, $statement{$kind}, @arguments) } };
}

my $clients = start_clients(
    $node, $shop, 8,
    {
        mixed  => sub { my ($link) = @_; return map { any_call($link) } 1 .. 150 },
        single => sub {
            my ($link, undef, $statements) = @_;
            $link->do($_) or die $link->errstr for @$statements[ 0 .. $#$statements - 1 ];
            my $call = call($link, $statements->[-1]);
            $link->do('DISCARD ALL') or die $link->errstr;
            return $call;
        },
    });

# ---- every call, once --------------------------------------------------------------------------

for my $level ('read committed', 'repeatable read')
{
    fill(
        $dbh,
        users       => 25,
        balance     => 60,
        tournaments => [ [ 5, 10 ], [ 12, 7 ], [ undef, 3 ], [ 0, 1 ] ]);
    begin_anew();
    my @calls = rush($clients, 8, 'mixed', undef, $level);
    my (%codes, $errors, $replays, $looks, $refused);
    for my $made (@calls)
    {
        if ($made->{kind} eq 'row')
        {
            $refused++ if outcome_of($made) =~ /enroll_capacity|BUSY/;
            next;
        }
        if ($made->{kind} eq 'can')
        {
            $looks++;
            next;
        }

        # Each user of enroll_many is an attempt where it answers.
        my @answers = map { outcome_of({ %$made, row => $_ }) } @{ $made->{rows} };
        @answers = outcome_of($made) if $made->{state} ne '00000';
        for my $answer (@answers)
        {
            $replays++ if $answer eq 'REPLAYED';
            $answer = 'ENROLLED' if $answer eq 'REPLAYED';
            $answer =~ /^[A-Z_]+$/ ? $codes{$answer}++ : $errors++;
        }
    }
    my $counted = counted($dbh);
    is_deeply($counted->{codes}, \%codes, "$level: outcomes are what the callers were told");
    is($counted->{errors}, $errors // 0, "$level: so are errors that are no outcome");
    is($counted->{calls}, $counted->{answered} + $counted->{errors}, "$level: calls add up");
    is($counted->{replays}, $replays // 0, "$level: replays");
    is($counted->{looks}, $looks // 0, "$level: looks");
    is($counted->{guard_rejections}, $refused // 0, "$level: rows that were refused");
    is($counted->{scope}, 'server', "$level: of all sessions");
    cmp_ok($codes{FULL} // 0, '>', 0, "$level: the load met sold out tournaments");
    cmp_ok($errors // 0, '>', 0, "$level: and errors") if $level eq 'repeatable read';
}

# ---- waits for a seat --------------------------------------------------------------------------

my $holder = connect_to($node, $shop);

# What is counted once a call of another session has waited for what we hold: until we let go, or
# until it gave up where we do not.
sub counted_after
{
    my ($held, $release, @statements) = @_;
    fill($dbh, users => 4, balance => 60, tournaments => [ [ 5, 10 ] ]);
    begin_anew();
    $holder->begin_work;
    must(call($holder, $held));
    my $some = begin_rush($clients, 1, 'single', \@statements);
    if ($release)
    {
        wait_for($dbh, 'SELECT count(*) FROM pg_locks WHERE NOT granted');
        $release->();
    }
    my ($call) = end_rush($some);
    $holder->rollback;
    return (outcome_of($call), counted($dbh));
}
my $half_a_second = sub { Time::HiRes::sleep(0.5); $holder->commit };
my $taken = 'SELECT * FROM enroll(1, 1)';

my ($outcome, $counted) = counted_after($taken, $half_a_second, 'SELECT * FROM enroll(2, 1)');
is($outcome, 'ENROLLED', 'a call that waits for a seat');
is($counted->{seat_waits}, 1, 'is counted as one');
cmp_ok($counted->{seat_wait_ms}, '>=', 400, 'with its time');
is($counted->{seat_wait_max_ms}, $counted->{seat_wait_ms}, 'which is the longest');

($outcome, $counted) = counted_after($taken, $half_a_second,
    'INSERT INTO enrollments (user_id, tournament_id) VALUES (2, 1)');
is("$outcome $counted->{seat_waits}", 'OK 1', 'a row of another writer waits likewise');

($outcome, $counted) = counted_after(
    $taken, undef,
    "SET lock_timeout = '300ms'",
    'SELECT * FROM enroll(2, 1)');
is($outcome, '55P03', 'a wait that an error ends');
is("$counted->{seat_waits} $counted->{errors}", '1 1', 'is a wait and an error');
cmp_ok($counted->{seat_wait_ms}, '>=', 250, 'and took its time');

my $wait = "UPDATE enroll_policy SET document = jsonb_set(document, '{wait}', '\"%s\"')";
$dbh->do(sprintf $wait, '300ms') or die $dbh->errstr;
for my $function ('enroll', 'try_enroll')
{
    ($outcome, $counted) = counted_after($taken, undef, "SELECT * FROM $function(2, 1)");
    is($outcome, 'BUSY', "$function whose time is over while it waits for a seat");
    is_deeply($counted->{codes}, { ENROLLED => 1, BUSY => 1 }, 'is counted as BUSY');
    is($counted->{seat_waits}, 1, 'and the wait as well');

    ($outcome, $counted) =
      counted_after('LOCK TABLE users', undef, "SELECT * FROM $function(2, 1)");
    is($outcome, 'BUSY', "$function that waits for its tables");
    is_deeply($counted->{codes}, { BUSY => 1 }, 'is counted as BUSY');
}
$dbh->do(sprintf $wait, '1h') or die $dbh->errstr;

# ---- who sees what, and a reset ----------------------------------------------------------------

my $other = new_shop($node, 'shop2');
my $elsewhere = connect_to($node, $other);
fill($elsewhere, users => 2, balance => 60, tournaments => [ [ 5, 10 ] ]);
must(call($elsewhere, 'SELECT * FROM enroll(1, 1)'));
my $databases = 'SELECT string_agg(database, \',\' ORDER BY database) FROM enroll_stats';
is(ask($dbh, $databases), 'shop1,shop2', 'a superuser sees every database');
$dbh->do('CREATE ROLE monitor LOGIN IN ROLE pg_monitor; CREATE ROLE reader LOGIN;'
      . 'GRANT SELECT ON enroll_stats TO reader;'
      . 'GRANT EXECUTE ON FUNCTION enroll_counters TO reader')
  or die $dbh->errstr;
is(ask(connect_to($node, $shop, user => 'monitor'), $databases),
    'shop1,shop2', 'so does a member of pg_monitor');
is(ask(connect_to($node, $shop, user => 'reader'), $databases),
    'shop1', 'another role sees its own database, once it is granted');

my $since = ask($dbh, 'SELECT max(stats_reset) FROM enroll_stats WHERE database = \'shop1\'');
begin_anew();
is(counted($dbh)->{calls}, 0, 'a reset sets the counters to zero');
is(ask($dbh, "SELECT bool_and(stats_reset > '$since') FROM enroll_stats WHERE database = 'shop1'"),
    1, 'and says when');
is(counted($elsewhere)->{calls}, 1, 'but not those of another database');

# ---- more policies than there is room for ------------------------------------------------------

sub policy_in_schema
{
    my ($name) = @_;
    $dbh->do("CREATE SCHEMA $name; SELECT enroll_create_tables('$name', '$name');"
          . "INSERT INTO $name.users DEFAULT VALUES;"
          . "INSERT INTO $name.tournaments (name) VALUES ('x')")
      or die $dbh->errstr;
    must(call($dbh, "SELECT * FROM enroll(1, 1, policy => '$name')"));
    return;
}
policy_in_schema("policy$_") for 1 .. 7;
is(ask($dbh, 'SELECT count(*) FROM enroll_stats WHERE policy IS NOT NULL'),
    6, 'so many policies are counted apart as there is room for');
is(ask($dbh, 'SELECT database, policy, calls, scope FROM enroll_stats WHERE policy IS NULL'),
    '||3|server', 'the others together');
my @said = slurp_file($node->logfile) =~ /LOG: .*counts 6 policies apart/g;
is(@said, 1, 'and the log says so, once');
is(ask(connect_to($node, $shop, user => 'reader'),
        'SELECT count(*) FROM enroll_stats WHERE policy IS NULL'),
    0, 'which only who sees all is shown');

# A detach makes room for one that was counted with the others, a database that is gone likewise
# once somebody looks.
$dbh->do("SELECT enroll_detach('policy1')") or die $dbh->errstr;
must(call($dbh, "SELECT * FROM unenroll(1, 1, policy => 'policy7')"));
is_deeply(counted($dbh, 'policy7')->{codes}, { UNENROLLED => 1 }, 'a detach makes room');
$elsewhere->disconnect;
$node->safe_psql('postgres', "DROP DATABASE $other");
is(ask($dbh, $databases) =~ s/shop1,?//gr, '', 'a database that is gone is not shown');
must(call($dbh, "SELECT * FROM unenroll(1, 1, policy => 'policy6')"));
is_deeply(counted($dbh, 'policy6')->{codes}, { UNENROLLED => 1 }, 'and makes room');

# ---- a crash -----------------------------------------------------------------------------------

my $victim = connect_to($node, $shop);
my $pid = ask($victim, 'SELECT pg_backend_pid()');
$victim->begin_work;
must(call($victim, 'SELECT * FROM enroll(2, 1)'));
stop_clients($clients);
system_log('pg_ctl', 'kill', 'KILL', $pid);
ok(!$victim->ping || call($victim, 'SELECT 1')->{state} ne '00000', 'a backend is killed');
$node->poll_query_until($shop, 'SELECT true') or die 'the server did not come back';
$dbh = connect_to($node, $shop);
is(ask($dbh, 'SELECT count(*) FROM enroll_stats'), 0, 'after a crash counting begins anew');
must(call($dbh, 'SELECT * FROM enroll(2, 1)'));
is_deeply(counted($dbh)->{codes}, { ENROLLED => 1 }, 'and goes on');
is(violations($dbh), '', 'no rule was broken');

$node->stop;
done_testing();
