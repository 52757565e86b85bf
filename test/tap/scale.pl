# Every kind of writer, with many rows over many tournaments at once. A third of the tournaments
# have divided counters. After each writer the counters are the rows; where one tournament has a
# seat too few, nothing is left of it. All of it over plain enrollments, then over partitioned ones.
#
# ENROLL_LOAD=full: 1,000,000 rows over 10,000 tournaments.
use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use JSON::PP;
use Test::More;

use EnrollTest;

my $node = start_server('scale', conf => "max_wal_size = 4GB\n");
my $file = $node->basedir . '/enrollments';

my $stripes = 4;
my $divided = 's.tournament::bigint % 3 = 0';

# Runs it, and notes how long it took.
sub timed
{
    my ($dbh, $name, $sql) = @_;
    my $call = call($dbh, $sql);
    note(sprintf '%s: %.2f s', $name, $call->{ended} - $call->{began});
    return $call;
}

sub rows_of
{
    my ($dbh) = @_;
    return ask($dbh, 'SELECT count(*), sum(user_id % 1009 * tournament_id) FROM enrollments');
}

# Counters are the rows, in tournaments of both kinds, and whoever counts again finds the same.
sub sound
{
    my ($dbh, $name) = @_;
    is(violations($dbh), '', "$name: counters are the rows, and every rule holds");
    is(ask($dbh, <<'SQL'), '1|1', "$name: some are divided and some are not");
SELECT count(*) FILTER (WHERE n = 1) > 0, count(*) FILTER (WHERE n > 1) > 0
  FROM (SELECT count(*) AS n FROM enroll_seat GROUP BY tournament) s
SQL
    is(ask($dbh, 'SELECT * FROM enroll_reconcile() LIMIT 5'),
        '', "$name: a recount changes nothing");
    return;
}

# Tried with a seat less than it needs in one tournament, for each of a few; nothing may be left.
sub refused
{
    my ($dbh, $name, $sql, $seats) = @_;
    my $before = rows_of($dbh);
    for my $id (sort keys %$seats)
    {
        my $kind = $id % 3 ? 'undivided' : 'divided';
        my $capacity = ask($dbh, "SELECT capacity FROM tournaments WHERE id = $id");
        for my $set ($seats->{$id} - 1, $capacity)
        {
            must(call($dbh, 'UPDATE tournaments SET capacity = $1 WHERE id = $2', $set, $id));
            divide($dbh, $stripes, $divided);
            next if $set == $capacity;
            is(outcome_of(timed($dbh, "$name, refused", $sql)),
                '23514 enroll_capacity', "$name: refused where a seat is missing, $kind");
            is(rows_of($dbh), $before, "$name: and nothing is left of it, $kind");
        }
    }
    return;
}

# One statement of a writer: refused for want of a seat, where seats names tournaments and how many
# rows they would have after it; then let in. The driver does not tell how many rows COPY and MERGE
# have written.
sub write_rows
{
    my ($dbh, $name, $sql, $expected, $seats) = @_;
    divide($dbh, $stripes, $divided);
    refused($dbh, $name, $sql, $seats) if $seats;
    my $call = timed($dbh, $name, $sql);
    is(outcome_of($call), 'OK', "$name: let in") or diag($call->{message});
    is($call->{count}, $expected, "$name: every row of it") if defined $expected;
    sound($dbh, $name);
    return;
}

sub active_in
{
    my ($dbh, $condition) = @_;
    return ask($dbh, "SELECT count(*) FROM enrollments WHERE is_active AND ($condition)");
}

# Neighbouring users to each tournament, as many as it has seats, and each user to several.
sub rows_to_copy
{
    my ($dbh, $size) = @_;
    my ($users, $seats, $tournaments) = @$size{qw(users seats tournaments)};
    must(call($dbh, <<"SQL"));
COPY (SELECT 1 + (t * $seats + n) % $users, 1 + t
        FROM generate_series(0, $tournaments - 1) t, generate_series(0, $seats - 1) n
        ORDER BY n, t)
  TO '$file'
SQL
    return;
}

# Two tournaments behind that one which stand for all where a seat is to be missing: of a divided
# counter and of an undivided one, each with what it would have.
sub both
{
    my ($behind, $rows) = @_;
    my $id = 3 * (1 + int $behind / 3);
    return { map { $_ => $rows->($_) } $id, $id + 1 };
}

sub come
{
    my ($dbh, $name, $size) = @_;
    my ($seats, $tournaments) = @$size{qw(seats tournaments)};
    rows_to_copy($dbh, $size);
    my $copy = "COPY enrollments (user_id, tournament_id) FROM '$file'";
    write_rows($dbh, "$name, COPY", $copy, undef, both(0, sub { $seats }));
    is(active_in($dbh, 'true'), $seats * $tournaments, "$name, COPY: every row of it");
    write_rows(
        $dbh,
        "$name, DELETE of half",
        'DELETE FROM enrollments WHERE (user_id + tournament_id) % 2 = 0',
        $seats * $tournaments / 2);
    return;
}

# Some rows of each tournament of one half to one of the other half; then one row of each user to
# one tournament, the last, which has a seat for each.
sub move
{
    my ($dbh, $name, $size) = @_;
    my $half = $size->{tournaments} / 2;
    my $some = "user_id % 10 < 4 AND tournament_id <= $half";
    my $after = sub {
        my ($id) = @_;
        return active_in($dbh, "tournament_id = $id OR $some AND tournament_id = $id - $half");
    };
    write_rows(
        $dbh,
        "$name, UPDATE to many tournaments",
        "UPDATE enrollments SET tournament_id = tournament_id + $half WHERE $some",
        active_in($dbh, $some), both($half, $after));

    my $last = $size->{tournaments} + 1;
    my $users = ask($dbh, 'SELECT count(DISTINCT user_id) FROM enrollments');
    write_rows($dbh, "$name, UPDATE to one tournament", <<"SQL", $users, { $last => $users });
UPDATE enrollments SET tournament_id = $last
  WHERE (id, tournament_id) IN (SELECT DISTINCT ON (user_id) id, tournament_id FROM enrollments
                                  ORDER BY user_id, id)
SQL
    return;
}

# A tenth of those who came at first, whether they are still there or not.
sub come_again
{
    my ($dbh, $name, $size) = @_;
    my ($users, $seats, $tournaments) = @$size{qw(users seats tournaments)};
    must(call($dbh, <<"SQL"));
CREATE TABLE wanted AS
  SELECT 1 + (t * $seats + n) % $users AS user_id, 1 + t AS tournament_id
    FROM generate_series(0, $tournaments - 1) t, generate_series(0, $seats / 10 - 1) n
SQL
    my $after = sub {
        my ($id) = @_;
        return ask($dbh, <<"SQL");
SELECT count(*) FROM (SELECT user_id FROM wanted WHERE tournament_id = $id
                      UNION SELECT user_id FROM enrollments
                        WHERE is_active AND tournament_id = $id) r
SQL
    };
    my $wanted = ask($dbh, 'SELECT count(*) FROM wanted');
    write_rows($dbh, "$name, upsert", <<'SQL', $wanted, both(0, $after));
INSERT INTO enrollments (user_id, tournament_id) SELECT user_id, tournament_id FROM wanted
  ON CONFLICT (user_id, tournament_id) WHERE is_active DO UPDATE SET enrolled_at = now()
SQL
    return;
}

# A tenth again, of whom some are there and leave in either way, some stay, and some are new.
sub merge
{
    my ($dbh, $name, $size) = @_;
    return note("$name: no MERGE in this version") if $dbh->{pg_server_version} < 150_000;
    my ($users, $shift) = ($size->{users}, int $size->{seats} / 20);
    must(call($dbh, "UPDATE wanted SET user_id = 1 + (user_id - 1 + $shift) % $users"));
    my $after = sub {
        my ($id) = @_;
        return ask($dbh, <<"SQL");
SELECT count(*) FROM (SELECT user_id FROM wanted WHERE tournament_id = $id) w
  FULL JOIN (SELECT user_id FROM enrollments WHERE is_active AND tournament_id = $id) e
    USING (user_id)
  WHERE w.user_id IS NULL OR e.user_id IS NULL OR user_id % 3 = 2
SQL
    };
    write_rows($dbh, "$name, MERGE", <<'SQL', undef, both(0, $after));
MERGE INTO enrollments e USING wanted w
  ON e.user_id = w.user_id AND e.tournament_id = w.tournament_id AND e.is_active
  WHEN MATCHED AND w.user_id % 3 = 0 THEN DELETE
  WHEN MATCHED AND w.user_id % 3 = 1 THEN UPDATE SET status = 'WITHDRAWN', is_active = false
  WHEN MATCHED THEN UPDATE SET enrolled_at = now()
  WHEN NOT MATCHED THEN INSERT (user_id, tournament_id) VALUES (w.user_id, w.tournament_id)
SQL
    return;
}

# By the cascades of the foreign keys. The counter of a tournament that is gone stays, empty, until
# a recount removes it and says so.
sub parents_go
{
    my ($dbh, $name, $size) = @_;
    my $users = $size->{users} / 20;
    my $theirs = active_in($dbh, "user_id <= $users");
    ok($theirs > $users, "$name, DELETE of users: $theirs rows are to go with them");
    write_rows($dbh, "$name, DELETE of users", "DELETE FROM users WHERE id <= $users", $users);
    is(active_in($dbh, "user_id <= $users"), 0, "$name, DELETE of users: none is left");

    my $some = int $size->{tournaments} / 20;
    my $gone = timed($dbh, "$name, DELETE of tournaments",
        "DELETE FROM tournaments WHERE id <= $some");
    is($gone->{count}, $some, "$name, DELETE of tournaments: every one");
    is(active_in($dbh, "tournament_id <= $some"), 0, "$name, DELETE of tournaments: their rows");
    is(violations($dbh), '', "$name, DELETE of tournaments: every rule holds");
    is(ask($dbh, 'SELECT count(*), sum(taken_before), count(taken_after) FROM enroll_reconcile()'),
        "$some|0|0", "$name, DELETE of tournaments: empty counters are left, until a recount");
    sound($dbh, "$name, DELETE of tournaments");
    return;
}

# The users' balances play no part, and neither do prices.
sub every_writer
{
    my ($dbh, $name, $size) = @_;
    my ($users, $seats, $tournaments) = @$size{qw(users seats tournaments)};
    fill(
        $dbh,
        users       => $users,
        tournaments => [ ([$seats]) x $tournaments, [$users] ]);
    must(call($dbh, 'ANALYZE'));
    come($dbh, $name, $size);
    move($dbh, $name, $size);
    come_again($dbh, $name, $size);
    merge($dbh, $name, $size);
    parents_go($dbh, $name, $size);
    return;
}

# The ready-made tables, but for the enrollments: in four partitions by their tournament.
sub partitioned_shop
{
    my ($dbh, $size) = @_;
    my $quarter = int $size->{tournaments} / 4;
    my @partitions = map {
        my $to = $_ < 4 ? $_ * $quarter + 1 : $size->{tournaments} + 2;
        sprintf 'CREATE TABLE part_%d PARTITION OF enrollments FOR VALUES FROM (%d) TO (%d)',
          $_, ($_ - 1) * $quarter + 1, $to
    } 1 .. 4;
    my $policy = JSON::PP->new->decode(ask($dbh, 'SELECT document FROM enroll_policies'));
    must(call($dbh, 'SELECT enroll_detach()'));
    must(call($dbh, $_)) for <<'SQL', 'DROP TABLE enrollments', <<'SQL', @partitions,
ALTER TABLE credit_transactions DROP CONSTRAINT credit_transactions_enrollment_id_fkey
SQL
CREATE TABLE enrollments (
  id bigserial,
  user_id bigint NOT NULL REFERENCES users ON DELETE CASCADE,
  tournament_id bigint NOT NULL REFERENCES tournaments ON DELETE CASCADE,
  status text NOT NULL DEFAULT 'ENROLLED',
  is_active boolean NOT NULL DEFAULT true,
  enrolled_at timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (id, tournament_id)) PARTITION BY RANGE (tournament_id)
SQL
      'CREATE INDEX ON enrollments (tournament_id)', 'CREATE INDEX ON enrollments (user_id)';
    delete $policy->{enrollments}{withdraw}{withdrawn_at};
    must(attach($dbh, $policy));
    return $policy;
}

# What is written past the root, in one partition.
sub partitions_are_written
{
    my ($dbh, $name, $size) = @_;
    my ($seats, $id) = ($size->{seats}, $size->{tournaments});
    must(call($dbh, <<"SQL"));
COPY (SELECT u.id, t.id FROM tournaments t
        CROSS JOIN LATERAL (SELECT u.id FROM users u
                              WHERE NOT EXISTS (SELECT FROM enrollments e WHERE e.is_active
                                AND e.user_id = u.id AND e.tournament_id = t.id)
                              LIMIT $seats - (SELECT count(*) FROM enrollments e
                                WHERE e.is_active AND e.tournament_id = t.id)) u
        WHERE t.id BETWEEN $id - 20 AND $id)
  TO '$file'
SQL
    my $copy = "COPY part_4 (user_id, tournament_id) FROM '$file'";
    write_rows($dbh, "$name, COPY into a partition", $copy, undef, both($id - 10, sub { $seats }));
    is(active_in($dbh, "tournament_id BETWEEN $id - 20 AND $id"),
        21 * $seats, "$name, COPY into a partition: every row of it");
    my $some = active_in($dbh, "tournament_id BETWEEN $id - 20 AND $id AND user_id % 2 = 0");
    write_rows($dbh, "$name, UPDATE of a partition", <<"SQL", $some);
UPDATE part_4 SET is_active = false, status = 'WITHDRAWN'
  WHERE is_active AND tournament_id BETWEEN $id - 20 AND $id AND user_id % 2 = 0
SQL
    my $rest = ask($dbh, 'SELECT count(*) FROM part_3');
    write_rows($dbh, "$name, DELETE from a partition", 'DELETE FROM part_3', $rest);
    divide($dbh, $stripes, $divided);
    is(outcome_of(timed($dbh, "$name, TRUNCATE of a partition", 'TRUNCATE part_4')),
        'OK', "$name, TRUNCATE of a partition: done");
    sound($dbh, "$name, TRUNCATE of a partition");
    return;
}

# A partition that is made later has no guards of its own: the checks say so, and attaching again
# gives it some and counts what came past them.
sub a_partition_comes_later
{
    my ($dbh, $name, $size, $policy) = @_;
    my ($seats, $id) = ($size->{seats}, $size->{tournaments} + 10);
    must(call($dbh, $_)) for <<"SQL", <<"SQL";
CREATE TABLE part_5 PARTITION OF enrollments FOR VALUES FROM ($id) TO ($id + 100)
SQL
INSERT INTO tournaments (id, name, capacity) SELECT $id + n, 'late', $seats
  FROM generate_series(0, 29) n
SQL
    is(ask($dbh, 'SELECT guarded FROM enroll_policies'), 0, "$name, a new partition: it shows");
    my $rows = sub {
        my ($table, $from, $to) = @_;
        return "INSERT INTO $table (user_id, tournament_id)
          SELECT u.id, $id + t FROM generate_series(0, 29) t,
            (SELECT id FROM users ORDER BY id OFFSET $from LIMIT $to - $from) u";
    };
    my $half = $seats / 2;
    write_rows($dbh, "$name, INSERT at the root of a new partition",
        $rows->('enrollments', 0, $half),
        30 * $half, both($id, sub { $half }));
    must(call($dbh, $rows->('part_5', $half, $seats - 1)));
    must(attach($dbh, $policy));
    is(ask($dbh, 'SELECT guarded FROM enroll_policies'), 1, "$name, a new partition: attached");
    write_rows($dbh, "$name, INSERT into a new partition",
        $rows->('part_5', $seats - 1, $seats),
        30, both($id, sub { $seats }));
    is(outcome_of(call($dbh, $rows->('part_5', $seats, $seats + 1))),
        '23514 enroll_capacity', "$name, INSERT into a new partition: it is full");
    return;
}

# Each user comes to nine tournaments. There is an odd number of tournaments from one that a user
# comes to until the next, so that each user stays in some when half of the rows go.
my ($plain, $partitioned) =
  full_load()
  ? ({ tournaments => 10_004, seats => 100, users => 110_100 },
     { tournaments => 3002, seats => 100, users => 33_100 })
  : ({ tournaments => 902, seats => 60, users => 6060 },
     { tournaments => 302, seats => 40, users => 1320 });

my $dbh = connect_to($node, new_shop($node, 'plain'));
every_writer($dbh, 'plain', $plain);
$dbh->disconnect;

$dbh = connect_to($node, new_shop($node, 'partitioned'));
my $policy = partitioned_shop($dbh, $partitioned);
every_writer($dbh, 'partitioned', $partitioned);
partitions_are_written($dbh, 'partitioned', $partitioned);
a_partition_comes_later($dbh, 'partitioned', $partitioned, $policy);
$dbh->disconnect;

$node->stop;
done_testing();
