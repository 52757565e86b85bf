# Plans are made once in a session and kept: a caller's search path, other calls and ordinary data
# changes must not plan anything anew. pg_stat_statements counts how often each statement of the
# engine was planned, and how often it ran.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use EnrollTest;
use Test::More;

my $node = start_server('plans', conf => <<'CONF');
shared_preload_libraries = 'pg_stat_statements'
pg_stat_statements.track = all
pg_stat_statements.track_planning = on
autovacuum = off
CONF
my $shop = new_shop($node, 'plans');
my $dbh = connect_to($node, $shop);
fill($dbh, users => 300, balance => 1000, tournaments => [ [ 200, 10 ], [ undef, 0 ] ]);
$dbh->do('CREATE EXTENSION pg_stat_statements') or die $dbh->errstr;
$dbh->do('CREATE SCHEMA elsewhere') or die $dbh->errstr;

sub load
{
    for my $user (1 .. 100)
    {
        my $path = $user % 2 ? 'public' : 'elsewhere, public';
        $dbh->do("SET search_path = $path") or die $dbh->errstr;
        for my $call ("enroll($user, 1)", "enroll($user, 2, 'key $user')", "try_enroll($user, 1)",
            "can_enroll($user, 2)", "unenroll($user, 1)", "try_unenroll($user, 1)")
        {
            $dbh->do("SELECT $call") or die $dbh->errstr;
        }
        $dbh->do("INSERT INTO enrollments (user_id, tournament_id) VALUES ($user + 100, 1)")
          or die $dbh->errstr;
    }
    return;
}

load();

# The three ledger statements differ in constants only and are counted as one. A foreign key's own
# queries ("FROM ONLY") are PostgreSQL's: it plans them anew when a session's path changes.
is(ask($dbh, <<'SQL'), '', 'no statement of the engine was planned again');
SELECT plans, calls, left(query, 200) FROM pg_stat_statements
WHERE NOT toplevel AND calls > 20 AND query LIKE '%OPERATOR(pg_catalog.%'
  AND query NOT LIKE '%FROM ONLY%'
  AND plans > CASE WHEN query LIKE 'INSERT INTO public.credit_transactions %' THEN 3 ELSE 1 END
ORDER BY query
SQL

cmp_ok(
    ask($dbh, <<'SQL'), '>=', 10, 'the engine\'s statements were seen at work');
SELECT count(*) FROM pg_stat_statements
WHERE NOT toplevel AND calls >= 100 AND query LIKE '%OPERATOR(pg_catalog.%'
SQL

$node->stop;
done_testing();
