# A strict ledger under load: calls beside raw writers, some of which book what they move and some of
# which do not, with savepoints and rollbacks. No call is refused, whoever books is let in, whoever
# does not is kept out, and every balance is the sum of its ledger. A dump keeps all of it.
use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use PostgreSQL::Test::Utils;
use Test::More;

use EnrollTest;

my $rounds = 400;
my ($users, $tournaments) = (40, 6);

my $node = start_server('strict');
my $shop = new_shop($node, 'strict_shop');
my $dbh = connect_to($node, $shop);
$dbh->do('SET client_min_messages = error') or die $dbh->errstr;
fill($dbh, users => $users, balance => 500,
    tournaments => [ map { [ $_ < 3 ? 8 : undef, 5 * $_ ] } 0 .. $tournaments - 1 ]);
must(call($dbh, <<'SQL'));
SELECT enroll_attach(jsonb_set(document, '{ledger,strict}', 'true')) FROM enroll_policy
SQL

my $move = 'UPDATE users SET credit_balance = credit_balance + $2 WHERE id = $1';
my $book = <<'SQL';
INSERT INTO credit_transactions (user_id, type, amount, balance_after)
  SELECT id, 'GIFT', $2::bigint, credit_balance FROM users WHERE id = $1
SQL
my $strict = '23514 enroll_strict_ledger';

sub one_of { return $_[ rand @_ ] }
sub a_user { return 1 + int rand $users }
sub a_pair { return (a_user(), 1 + int rand $tournaments) }

# A transaction's statements, each with its arguments; the last call's answer, COMMIT included.
sub transaction
{
    my ($db, @statements) = @_;
    call($db, 'BEGIN');
    for (@statements)
    {
        my $call = call($db, @$_);
        next if $call->{state} eq '00000';
        call($db, 'ROLLBACK');
        return $call;
    }
    return call($db, 'COMMIT');
}

# What a client does in a round: a name for it, the answer, and whether it must be refused.
my %deed = (
    enroll => sub { call($_[0], 'SELECT * FROM enroll($1::bigint, $2::bigint)', a_pair()) },
    try_enroll => sub { call($_[0], 'SELECT * FROM try_enroll($1::bigint, $2::bigint)', a_pair()) },
    unenroll => sub { call($_[0], 'SELECT * FROM unenroll($1::bigint, $2::bigint)', a_pair()) },
    waived => sub {
        call($_[0], 'SELECT * FROM enroll_waived($1::bigint, $2::bigint, $3)', a_pair(), 'a gift');
    },
    many => sub {
        my @group = map { a_user() } 1 .. 3;
        my %once = map { $_ => 1 } @group;
        call($_[0], 'SELECT * FROM try_enroll_many($1::bigint[], $2::bigint)',
            [ sort keys %once ], 1 + int rand $tournaments);
    },
    booked => sub {
        my ($user, $amount) = (a_user(), 1 + int rand 9);
        transaction($_[0], [ $move, $user, $amount ], [ $book, $user, $amount ]);
    },
    'booked, after a detour' => sub {
        my ($user, $amount) = (a_user(), 1 + int rand 9);
        transaction($_[0], ['SAVEPOINT a'], [ $move, $user, 3 ], ['ROLLBACK TO a'],
            [ $move, $user, $amount ], ['SAVEPOINT b'], [ $book, $user, 7 ], ['ROLLBACK TO b'],
            [ $book, $user, $amount ]);
    },
    'rolled back' => sub {
        call($_[0], 'BEGIN');
        call($_[0], $move, a_user(), 5);
        call($_[0], 'ROLLBACK');
    },
    unbooked => sub { call($_[0], $move, a_user(), 1) },
    'unbooked in the end' => sub {
        my $user = a_user();
        transaction($_[0], [ $move, $user, 2 ], ['SAVEPOINT a'], [ $book, $user, 2 ],
            ['ROLLBACK TO a']);
    },
    'unbooked place' => sub {
        call($_[0], 'INSERT INTO enrollments (user_id, tournament_id) VALUES ($1, $2)', a_pair());
    },
    'changed ledger' => sub {
        call($_[0], 'UPDATE credit_transactions SET amount = 0 WHERE user_id = $1', a_user());
    },
);

my %work = (
    all => sub {
        my ($db, $client, $in) = @_;
        srand 1000 + $client;
        my @calls;
        for (1 .. $in->{rounds})
        {
            my $deed = one_of(sort keys %deed);
            push @calls, { %{ $deed{$deed}->($db) }, deed => $deed };
        }
        return @calls;
    },
);

my $clients = start_clients($node, $shop, 8, \%work);
for my $level ('read committed', 'repeatable read', 'serializable')
{
    my @calls = rush($clients, 8, 'all', { rounds => $rounds / 2 }, $level);
    my $retry = qr/^(?:40001|40P01)/;
    for my $deed (sort keys %deed)
    {
        my $tally = tally(grep { $_->{deed} eq $deed } @calls);
        my @outcomes = grep { !/$retry/ } sort keys %$tally;
        if ($deed =~ /^unbooked/)
        {
            my $allowed = qr/^(?:\Q$strict\E|23514 enroll_capacity|23505 uq_active_enrollment)$/;
            is(join(' ', grep { !/$allowed/ } @outcomes), '', "$level: $deed is kept out");
            ok($tally->{$strict}, "$level: $deed is told why");
        }
        elsif ($deed eq 'changed ledger')
        {
            is("@outcomes", '23001 enroll_append_only_ledger', "$level: $deed is kept out");
        }
        else
        {
            is(join(' ', grep { /enroll_strict/ } @outcomes), '', "$level: $deed is let in");
            cmp_ok(scalar @outcomes, '>', 0, "$level: $deed comes to something");
        }
    }
    is(join("\n", bad_receipts(@calls)), '', "$level: every receipt is sound");
    is(violations($dbh), '', "$level: every rule holds");
}
stop_clients($clients);
is(ask($dbh, q{SELECT count(*) FROM enrollments e WHERE is_active AND (
    SELECT type FROM credit_transactions c WHERE c.enrollment_id = e.id ORDER BY id DESC LIMIT 1)
    NOT IN ('ENROLLMENT', 'WAIVED')}), 0, 'every active place has its row');

# A batch that is sanctioned; and what a dump makes of it.
must(transaction($dbh, ['SELECT enroll_sanction($1)', 'a batch'],
    ['INSERT INTO users (id, credit_balance) VALUES (1000, 1)']));
my $dump = PostgreSQL::Test::Utils::tempdir() . '/strict.dump';
$node->command_ok([ 'pg_dump', '-Fc', '-f', $dump, $node->connstr($shop) ], 'dumped');
$node->safe_psql('postgres', 'CREATE DATABASE restored');
$node->command_ok([ 'pg_restore', '-e', '-d', $node->connstr('restored'), $dump ], 'restored');
my $copy = connect_to($node, 'restored');
is(ask($copy, 'SELECT guarded FROM enroll_policies'), 1, 'restored: guarded');
for my $sql ('SELECT * FROM enroll_sanction', 'SELECT * FROM users ORDER BY id')
{
    is(ask($copy, $sql), ask($dbh, $sql), "restored: $sql");
}
is(outcome_of(call($copy, $move, 1, 1)), $strict, 'restored: strict');
is(outcome_of(call($copy, q{UPDATE credit_transactions SET amount = 1})),
    '23001 enroll_append_only_ledger', 'restored: append-only');
is(outcome_of(call($copy, q{UPDATE enroll_sanction SET reason = 'x'})), '23001 append_only',
    'restored: the record stays');
is(outcome_of(call($copy, 'SELECT * FROM try_enroll(1000::bigint, 6::bigint)')),
    'INSUFFICIENT_CREDITS', 'restored: calls go on');
$_->disconnect for $copy, $dbh;
$node->stop;

done_testing();
