# What a policy's `notify` sends: one notification or one logical message for each enrollment and
# each withdrawal, where and when the transaction commits, and nothing for anything else.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use EnrollTest;
use JSON::PP;
use Test::More;

my $node = start_server('notify', conf => <<'CONF');
wal_level = logical
CONF
my $shop = new_shop($node, 'notify');
my $dbh = connect_to($node, $shop);
my $listener = connect_to($node, $shop);
fill($dbh, users => 20, balance => 60, tournaments => [ [ 12, 10 ], [ 0, 0 ] ]);
$dbh->do("SELECT pg_create_logical_replication_slot('feed', 'test_decoding')") or die $dbh->errstr;
$listener->do('LISTEN pg_enroll') or die $listener->errstr;

sub set_notify
{
    my ($notify) = @_;
    must(call($dbh, <<'SQL', "\"$notify\""));
SELECT enroll_attach(jsonb_set(document, '{notify}', $1::jsonb)) FROM enroll_policies
SQL
    return;
}

# The notifications that have come since the last time. What was sent before a statement of the
# listener's began has reached it by the end of that statement.
sub notified
{
    $listener->do('SELECT 1') or die $listener->errstr;
    my @payloads;
    while (my $notification = $listener->func('pg_notifies'))
    {
        my ($channel, undef, $payload) = @$notification;
        push @payloads, $channel eq 'pg_enroll' ? $payload : "channel $channel";
    }
    return \@payloads;
}

# The messages that a subscriber sees of what was committed since the last time.
sub decoded
{
    my $rows = $dbh->selectcol_arrayref(<<'SQL') or die $dbh->errstr;
SELECT data FROM pg_logical_slot_get_changes('feed', NULL, NULL) WHERE data LIKE 'message:%'
SQL
    return [
        map {
            /^message: transactional: 1 prefix: pg_enroll, sz: \d+ content:(.*)$/ ? $1 : "other: $_"
        } @$rows
    ];
}

my %sent = (notify => \&notified, message => \&decoded);
my %other = (notify => \&decoded, message => \&notified);

sub said { return map { JSON::PP->new->decode($_) } @_ }

sub in_transaction
{
    my ($end, @statements) = @_;
    $dbh->begin_work;
    for my $statement (@statements) { call($dbh, $statement) }
    $dbh->$end;
    return;
}

for my $notify ('notify', 'message')
{
    fill($dbh, users => 20, balance => 60, tournaments => [ [ 12, 10 ], [ 0, 0 ] ]);
    set_notify($notify);
    $sent{$_}->() for keys %sent;

    # Which keys and how they are spelled, to the letter.
    my $id = must(call($dbh, 'SELECT * FROM enroll(1, 1)'))->{row}{enrollment_id};
    is_deeply($sent{$notify}->(), [ <<"JSON" =~ s/\n(?=.)/ /gr =~ s/\n//r ], "$notify: enroll");
{"policy": "default", "operation": "enroll", "code": "ENROLLED", "user": 1,
"tournament": 1, "enrollment": $id, "amount": -10}
JSON
    must(call($dbh, 'SELECT * FROM unenroll(1, 1)'));
    is_deeply($sent{$notify}->(), [ <<"JSON" =~ s/\n(?=.)/ /gr =~ s/\n//r ], "$notify: unenroll");
{"policy": "default", "operation": "unenroll", "code": "UNENROLLED", "user": 1,
"tournament": 1, "enrollment": $id, "amount": 5}
JSON
    must(call($dbh, q{SELECT * FROM enroll_waived(2, 1, 'a gift')}));
    my ($waived) = said(@{ $sent{$notify}->() });
    is("$waived->{operation} $waived->{code} $waived->{user} $waived->{amount}",
        'waive ENROLLED 2 0', "$notify: enroll_waived");
    must(call($dbh, 'SELECT * FROM enroll_many(ARRAY[3, 4], 1)'));
    must(call($dbh, 'SELECT * FROM try_enroll_many(ARRAY[5, 3, 99, 6], 1)'));
    is_deeply([ map { "$_->{operation} $_->{user}" } said(@{ $sent{$notify}->() }) ],
        [ 'enroll 3', 'enroll 4', 'enroll 5', 'enroll 6' ], "$notify: one for each user of many");
    must(call($dbh, q{SELECT * FROM enroll(7, 1, 'a key')}));
    must(call($dbh, q{SELECT * FROM try_enroll(8, 1, 'another')}));
    is(@{ $sent{$notify}->() }, 2, "$notify: calls with a key");

    # Nothing was done, or it did not last.
    must(call($dbh, q{SELECT * FROM enroll(7, 1, 'a key')}));
    is(call($dbh, 'SELECT * FROM enroll(7, 1)')->{state}, '23505', 'a rejection');
    is(call($dbh, 'SELECT * FROM try_enroll(9, 2)')->{row}{code}, 'FULL', 'and another');
    is(call($dbh, q{SELECT * FROM try_enroll(9, 2, 'a third')})->{row}{code}, 'FULL', 'with a key');
    is(call($dbh, q{SELECT * FROM try_unenroll(9, 1)})->{row}{code}, 'NOT_ENROLLED', 'of unenroll');
    call($dbh, 'SELECT * FROM can_enroll(9, 1)');
    in_transaction('rollback', 'SELECT * FROM enroll(9, 1)', 'SELECT * FROM unenroll(3, 1)');
    $dbh->do(<<'SQL') or die $dbh->errstr;
CREATE FUNCTION fail() RETURNS trigger LANGUAGE plpgsql AS $$
  BEGIN RAISE EXCEPTION 'not you'; END $$;
CREATE CONSTRAINT TRIGGER late AFTER INSERT ON enrollments DEFERRABLE INITIALLY DEFERRED
  FOR EACH ROW EXECUTE FUNCTION fail();
SQL
    is(call($dbh, 'SELECT * FROM enroll(9, 1)')->{state}, 'P0001', 'a COMMIT that fails');
    $dbh->do('DROP TRIGGER late ON enrollments; DROP FUNCTION fail()') or die $dbh->errstr;
    is_deeply($sent{$notify}->(), [], "$notify: nothing for a replay, a rejection, a rollback");

    # A savepoint takes what came behind it along.
    in_transaction('commit', 'SELECT * FROM enroll(9, 1)', 'SAVEPOINT here',
        'SELECT * FROM enroll(10, 1)', 'ROLLBACK TO here', 'SELECT * FROM enroll(11, 1)');
    is_deeply([ map { $_->{user} } said(@{ $sent{$notify}->() }) ],
        [ 9, 11 ], "$notify: what a savepoint undoes is not sent");

    # Nothing before the end of the transaction.
    my $early = connect_to($node, $shop);
    $early->begin_work;
    must(call($early, 'SELECT * FROM enroll(12, 1)'));
    is_deeply($sent{$notify}->(), [], "$notify: nothing before COMMIT");
    $early->commit;
    is(@{ $sent{$notify}->() }, 1, "$notify: and then at once");

    # Two phases: PostgreSQL forbids them to whoever notifies.
    $dbh->begin_work;
    must(call($dbh, 'SELECT * FROM enroll(13, 1)'));
    my $prepared = call($dbh, "PREPARE TRANSACTION 'two'");
    $dbh->rollback;
    if ($notify eq 'notify')
    {
        is($prepared->{state}, '0A000', 'a transaction that notifies cannot be prepared');
        like($prepared->{message}, qr/that has executed .*NOTIFY/, 'as it says');
    }
    else
    {
        is($prepared->{state}, '00000', 'a transaction that writes a message can be prepared');
        is_deeply(decoded(), [], 'which nobody sees');
        $dbh->do("COMMIT PREPARED 'two'") or die $dbh->errstr;
        is(@{ decoded() }, 1, 'until it is committed');
    }
    is_deeply($other{$notify}->(), [], "$notify: nothing went the other way");
}

set_notify('none');
$sent{$_}->() for keys %sent;
must(call($dbh, 'SELECT * FROM unenroll(9, 1)'));
is_deeply([ map { @{ $sent{$_}->() } } sort keys %sent ], [], 'none: nothing at all');

# ---- keys that are text, and long --------------------------------------------------------------

$dbh->do(<<'SQL') or die $dbh->errstr;
CREATE SCHEMA named;
CREATE TABLE named.users (id text PRIMARY KEY, credit_balance numeric(9, 2) NOT NULL);
CREATE TABLE named.cups (id text PRIMARY KEY, cost numeric(9, 2) NOT NULL);
CREATE TABLE named.enrollments (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  user_id text NOT NULL REFERENCES named.users, cup text NOT NULL REFERENCES named.cups,
  is_active boolean NOT NULL DEFAULT true);
CREATE TABLE named.ledger (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, type text NOT NULL,
  enrollment_id bigint, amount numeric(9, 2), balance_after numeric(9, 2), key text UNIQUE);
INSERT INTO named.users SELECT name, 100
  FROM (VALUES ('Zoë "Z" O''Neil'), (repeat(E'\x01', 1400))) u(name);
INSERT INTO named.cups SELECT name, 2.50 FROM (VALUES ('Cup'), (repeat('x', 1400))) c(name);
SQL
my %named = (
    users       => { table => 'named.users', key => 'id', balance => 'credit_balance' },
    tournaments => { table => 'named.cups', key => 'id', cost => 't.cost' },
    enrollments => {
        table    => 'named.enrollments',
        key      => 'id',
        user     => 'user_id',
        tournament => 'cup',
        active   => 'is_active',
        withdraw => { is_active => 'false' },
    },
    ledger => {
        table         => 'named.ledger',
        amount        => 'amount',
        balance_after => 'balance_after',
        enrollment    => 'enrollment_id',
        idempotency_key => 'key',
        order         => 'id',
        type => { column => 'type', enroll => 'in', unenroll => 'out', waive => 'free' },
    },
    notify => 'notify',
);
must(attach($dbh, \%named, 'näme'));
my $enroll = 'SELECT * FROM enroll($1::text, $2::text, policy => $3)';
must(call($dbh, $enroll, q{Zoë "Z" O'Neil}, 'Cup', 'näme'));
my ($payload) = @{ notified() };
like($payload, qr/"amount": -2\.50\}$/, 'amounts come as they are');
is_deeply(
    [ @{ JSON::PP->new->decode($payload) }{ 'policy', 'user', 'tournament' } ],
    [ 'näme', q{Zoë "Z" O'Neil}, 'Cup' ],
    'and keys that are text as JSON strings');

my @long = ("\x01" x 1400, 'x' x 1400, 'näme');
my $too_long = call($dbh, $enroll, @long);
is($too_long->{state}, '54000', 'a notification has a limit');
like($too_long->{message}, qr/^ERROR:  notification of \d+ bytes is too long\n.*at most 7999/s,
    'which the error names');
is(ask($dbh, 'SELECT count(*) FROM named.enrollments'), 1, 'and the call is undone');
$named{notify} = 'message';
must(attach($dbh, \%named, 'näme'));
must(call($dbh, $enroll, @long));
my ($said) = said(@{ decoded() });
is($said->{user}, $long[0], 'a message has none');

# ---- a server whose WAL nobody decodes ---------------------------------------------------------

sub warnings_of
{
    my $document = JSON::PP->new->encode(\%named);
    return call($dbh, <<'SQL', $document, 'näme')->{rows};
SELECT object, obstacle, remedy FROM enroll_precheck($1::jsonb, $2)
WHERE action = 'warn' AND object = '$.notify'
SQL
}
is_deeply(warnings_of(), [], 'nothing to warn of');
$dbh->do("SELECT pg_drop_replication_slot('feed')") or die $dbh->errstr;
$_->disconnect for $dbh, $listener;
$node->append_conf('postgresql.conf', 'wal_level = replica');
$node->restart;
$dbh = connect_to($node, $shop);
is_deeply(
    warnings_of(),
    [
        {
            object   => '$.notify',
            obstacle => 'nobody can read the messages while wal_level is not logical',
            remedy   => q{ALTER SYSTEM SET wal_level = 'logical', and restart the server},
        }
    ],
    'messages that nobody can read are a warning');
must(call($dbh, 'SELECT * FROM unenroll($1::text, $2::text, policy => $3)', @long));
$named{notify} = 'notify';
is_deeply(warnings_of(), [], 'a notification needs no such thing');

$node->stop;
done_testing();
