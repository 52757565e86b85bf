#include "rules/sql.hpp"

#include <algorithm>
#include <vector>

#include "rules/spelling.hpp"

namespace pg_enroll::rules {
namespace {

using std::string;
using std::string_view;

constexpr const char* seat_columns =
    " AS s (policy, tournament, stripe, taken, allotted, capacity, epoch) ";
constexpr const char* seat_conflict = " ON CONFLICT (policy, tournament, stripe) ";

// An epoch is never used twice: not in one transaction, and not after a restore.
string next_epoch(string_view xid) {
  return "GREATEST(s.epoch OPERATOR(pg_catalog.+) 1, " + string(xid) + ")";
}

// Where the keys of one row come from: parameters for one user, an unnested row for many.
struct Source {
  bool many;
  string pick(string_view one, string_view of_many) const { return string(many ? of_many : one); }
};

class Writer {
 public:
  Writer(const Policy& policy, const Catalog& catalog) : p_(policy), c_(catalog) {}

  string text(Statement statement) const;

 private:
  string read_enroll(Source source) const;
  string broken_rule(Rule::On on, string_view applies) const;
  string withdrawn_row(string_view user) const;
  string read_unenroll() const;
  string read_key(Source source) const;
  string paid() const;
  string insert_enrollment(Source source, bool may_fail) const;
  string reactivate_enrollment(Source source) const;
  string withdraw_enrollment() const;
  string ledger(Source source, string_view operation, string_view type,
                const std::vector<Assignment>& special) const;
  string ledger_key(Source source) const;
  string ledger_value(const Assignment& assignment, Source source, string_view operation) const;
  string lock_account(Source source) const;
  string debit(Source source) const;
  string lock_rows(string_view table, string_view key) const;
  string count_enrollments() const;
  string seat(Statement statement) const;
  string seat_recount(Statement statement) const;

  string user_key(string_view alias) const { return column(alias, p_.users.key); }
  string tournament_key(string_view alias) const { return column(alias, p_.tournaments.key); }
  string enrollment_of(string_view user, string_view tournament) const {
    return equal(column("e", p_.enrollments.user), user) + " AND " +
           equal(column("e", p_.enrollments.tournament), tournament);
  }
  bool is_tournament_key(string_view expression) const {
    return expression == "t." + p_.tournaments.key;
  }
  string active() const { return "(" + string(c_.active) + ")"; }
  string inactive() const { return active() + " IS NOT TRUE"; }
  // The tournament's row, locked before what joins it is written.
  string locked_tournament() const {
    return "(SELECT t.* FROM " + string(c_.tournaments) + " AS t WHERE " +
           equal(tournament_key("t"), "$2") + " FOR KEY SHARE OF t) AS t";
  }
  string balance_type(string_view expression) const {
    return "(" + string(expression) + ")::" + string(c_.balance_type);
  }
  string from_many(string_view users) const {
    return "pg_catalog.unnest(" + string(users) + ") WITH ORDINALITY AS i(user_key, ord)";
  }

  const Policy& p_;
  const Catalog& c_;
};

// The number, from 1, of the first rule that does not hold; NULL where all do, and where what they
// are about is not there.
string Writer::broken_rule(Rule::On on, string_view applies) const {
  string cases;
  int number = 0;
  for (const Rule& rule : p_.rules) {
    if (rule.on != on) continue;
    cases += " WHEN (" + rule.require + ") IS NOT TRUE THEN " + std::to_string(++number);
  }
  if (number == 0) return "NULL::pg_catalog.int4";
  return "CASE WHEN NOT (" + string(applies) + ") THEN NULL" + cases + " END";
}

// The row of the user that is to become active again; NULL where a new one is to be written.
string Writer::withdrawn_row(string_view user) const {
  const Policy::Enrollments& e = p_.enrollments;
  if (e.reenroll == Reenroll::insert) return "NULL";
  return "(SELECT " + column("e", e.key) + " FROM " + string(c_.enrollments) + " AS e WHERE " +
         enrollment_of(user, "$2") + " AND " + inactive() +
         (e.withdrawn ? " AND (" + *e.withdrawn + ") IS TRUE" : "") + " ORDER BY " +
         (e.time ? column("e", *e.time) + " DESC NULLS LAST, " : "") + column("e", e.key) +
         " DESC LIMIT 1)";
}

// Columns: [ord,] tournament found, user found, open, capacity, price, balance, active enrollment,
// broken rule, withdrawn row.
string Writer::read_enroll(Source source) const {
  const string who = source.pick("$1", "i.user_key");
  return "SELECT " + source.pick("", "i.ord, ") + tournament_key("t") + " IS NOT NULL, " +
         user_key("u") + " IS NOT NULL, (" + p_.tournaments.open + ") IS TRUE, (" +
         p_.tournaments.capacity + ")::pg_catalog.int8, " + numeric(p_.tournaments.cost) + ", " +
         numeric(column("u", p_.users.balance)) + ", " + column("e", p_.enrollments.key) + ", " +
         broken_rule(Rule::On::enroll, tournament_key("t") + " IS NOT NULL AND " + user_key("u") +
                                           " IS NOT NULL AND " + column("e", p_.enrollments.key) +
                                           " IS NULL") +
         ", " + withdrawn_row(who) + " FROM " + source.pick("(SELECT) AS i", from_many("$1")) +
         " LEFT JOIN " + string(c_.users) + " AS u ON " + equal(user_key("u"), who) +
         " LEFT JOIN " + string(c_.tournaments) + " AS t ON " + equal(tournament_key("t"), "$2") +
         " LEFT JOIN " + string(c_.enrollments) + " AS e ON " + enrollment_of(who, "$2") + " AND " +
         active() + source.pick("", " ORDER BY i.ord");
}

// What the enrollment's last ledger row says was paid; only an enroll row says anything, and only
// a finite amount was ever paid.
string Writer::paid() const {
  const Policy::Ledger& l = p_.ledger;
  const string type = column("l", l.type.column);
  const string amount = numeric(column("l", l.amount));
  return "SELECT CASE WHEN " + equal(type, literal(l.type.enroll)) + " AND " + amount +
         " OPERATOR(pg_catalog.>) '-Infinity' AND " + amount +
         " OPERATOR(pg_catalog.<) 'Infinity' THEN OPERATOR(pg_catalog.-) " + amount +
         " ELSE 0 END AS paid FROM " + string(c_.ledger) + " AS l WHERE " +
         equal(column("l", l.enrollment), column("e", p_.enrollments.key)) + " AND (" +
         equal(type, literal(l.type.enroll)) + " OR " + equal(type, literal(l.type.unenroll)) +
         " OR " + equal(type, literal(l.type.waive)) + ") ORDER BY " + column("l", l.order) +
         " DESC LIMIT 1";
}

// Columns: tournament found, user found, balance, active enrollment, paid, refund, price, broken
// rule. The inner levels make `paid` win over a column of that name.
string Writer::read_unenroll() const {
  return "SELECT " + tournament_key("t") + " IS NOT NULL, " + user_key("u") + " IS NOT NULL, " +
         numeric(column("u", p_.users.balance)) + ", " + column("e", p_.enrollments.key) + ", " +
         numeric("r.paid") + ", " + "r.refund" + ", " + numeric(p_.tournaments.cost) + ", " +
         broken_rule(Rule::On::unenroll, column("e", p_.enrollments.key) + " IS NOT NULL") +
         " FROM (SELECT) AS i LEFT JOIN " + string(c_.users) + " AS u ON " +
         equal(user_key("u"), "$1") + " LEFT JOIN " + string(c_.tournaments) + " AS t ON " +
         equal(tournament_key("t"), "$2") + " LEFT JOIN " + string(c_.enrollments) + " AS e ON " +
         enrollment_of("$1", "$2") + " AND " + active() + " LEFT JOIN LATERAL (" + paid() +
         ") AS last ON TRUE" + " CROSS JOIN LATERAL (SELECT paid, " + numeric(p_.refund) +
         " AS refund FROM (SELECT " + balance_type("GREATEST(COALESCE(last.paid, 0), 0)") +
         " AS paid) AS given) AS r";
}

// Columns: [ord,] type, amount, balance after, enrollment, made for this user and tournament.
string Writer::read_key(Source source) const {
  const Policy::Ledger& l = p_.ledger;
  const string key = source.pick("$1", "i.key") + string(c_.key_cast);
  const string user = source.pick("$2", "i.user_key");
  return "SELECT " + source.pick("", "i.ord, ") + column("l", l.type.column) +
         "::pg_catalog.text, " + numeric(column("l", l.amount)) + ", " +
         numeric(column("l", l.balance_after)) + ", " + column("e", p_.enrollments.key) +
         ", COALESCE(" + enrollment_of(user, "$3") + ", FALSE) FROM " +
         source.pick("",
                     "ROWS FROM (pg_catalog.unnest($1), pg_catalog.unnest($2)) WITH "
                     "ORDINALITY AS i(key, user_key, ord) JOIN ") +
         string(c_.ledger) + " AS l" +
         source.pick("", " ON " + equal(column("l", l.idempotency_key), key)) + " LEFT JOIN " +
         string(c_.enrollments) + " AS e ON " +
         equal(column("e", p_.enrollments.key), column("l", l.enrollment)) +
         source.pick(" WHERE " + equal(column("l", l.idempotency_key), key), " ORDER BY i.ord");
}

string Writer::lock_account(Source source) const {
  return "SELECT " + source.pick("", "i.ord, ") + numeric(column("u", p_.users.balance)) +
         " FROM " + source.pick("", from_many("$1") + " JOIN ") + string(c_.users) + " AS u" +
         source.pick(" WHERE " + equal(user_key("u"), "$1"),
                     " ON " + equal(user_key("u"), "i.user_key") + " ORDER BY " + user_key("u")) +
         " FOR NO KEY UPDATE OF u";
}

// The condition is judged on the row's newest version, whatever the snapshot says: this is what
// stops a double spend.
string Writer::debit(Source source) const {
  const string balance = column("u", p_.users.balance);
  const string cost = balance_type(source.pick("$2", "i.cost"));
  return "UPDATE " + string(c_.users) + " AS u SET " + quoted(p_.users.balance) + " = " + balance +
         " OPERATOR(pg_catalog.-) " + cost +
         source.pick("",
                     " FROM ROWS FROM (pg_catalog.unnest($1), pg_catalog.unnest($2)) WITH "
                     "ORDINALITY AS i(user_key, cost, ord)") +
         " WHERE " + equal(user_key("u"), source.pick("$1", "i.user_key")) + " AND " + balance +
         " OPERATOR(pg_catalog.>=) " + cost +
         // NaN and infinity are greater than any price, and would pay it for ever.
         (c_.balance_is_numeric ? " AND " + balance + " OPERATOR(pg_catalog.<) 'Infinity'" : "") +
         " RETURNING " + source.pick("", "i.ord, ") + numeric(balance);
}

// Locks the tournament's row before the enrollment's index entry; a rival with the same user and
// tournament is met at the active index. Columns: enrollment, row came back as it was written.
string Writer::insert_enrollment(Source source, bool may_fail) const {
  const Policy::Enrollments& e = p_.enrollments;
  const string who = source.pick("$1", "i.user_key");
  std::vector<string> columns{quoted(e.user), quoted(e.tournament)};
  std::vector<string> values{who, tournament_key("t")};
  for (const Assignment& a : e.insert) {
    columns.push_back(quoted(a.column));
    values.push_back("(" + a.expression + ")");
  }
  const bool with_user = any_mentions(e.insert, "u");
  return "INSERT INTO " + string(c_.enrollments) + " AS e (" + joined(columns, ", ") + ") SELECT " +
         joined(values, ", ") + " FROM " + string(c_.tournaments) + " AS t" +
         source.pick("", " CROSS JOIN " + from_many("$1")) +
         (with_user ? " CROSS JOIN " + string(c_.users) + " AS u" : "") + " WHERE " +
         equal(tournament_key("t"), "$2") + (with_user ? " AND " + equal(user_key("u"), who) : "") +
         source.pick("", " ORDER BY i.ord") + " FOR KEY SHARE OF t" +
         (may_fail ? ""
                   : " ON CONFLICT (" + quoted(e.user) + ", " + quoted(e.tournament) + ") WHERE (" +
                         e.active + ") DO NOTHING") +
         " RETURNING " + column("e", e.key) + ", COALESCE(" +
         enrollment_of(source.pick("$1", column("e", e.user)), "$2") + " AND " + active() +
         ", FALSE)" + source.pick("", ", " + column("e", e.user));
}

// Columns: enrollment, row came back as it was written, its user.
string Writer::reactivate_enrollment(Source source) const {
  const Policy::Enrollments& e = p_.enrollments;
  const string who = source.pick("$1", "i.user_key");
  std::vector<string> sets;
  for (const Assignment& a : e.insert) {
    sets.push_back(quoted(a.column) + " = (" + a.expression + ")");
  }
  const bool with_user = any_mentions(e.insert, "u");
  return "UPDATE " + string(c_.enrollments) + " AS e SET " + joined(sets, ", ") + " FROM " +
         locked_tournament() +
         source.pick("",
                     " CROSS JOIN ROWS FROM (pg_catalog.unnest($1), pg_catalog.unnest($3)) AS "
                     "i(user_key, enrollment_key)") +
         (with_user ? " CROSS JOIN " + string(c_.users) + " AS u" : "") + " WHERE " +
         equal(column("e", e.key), source.pick("$3", "i.enrollment_key")) + " AND " +
         enrollment_of(who, "$2") + " AND " + inactive() +
         (with_user ? " AND " + equal(user_key("u"), who) : "") + " RETURNING " +
         column("e", e.key) + ", COALESCE(" + enrollment_of(who, "$2") + " AND " + active() +
         ", FALSE), " + column("e", e.user);
}

// Columns: enrollment, row came back withdrawn and otherwise as it was.
string Writer::withdraw_enrollment() const {
  const Policy::Enrollments& e = p_.enrollments;
  std::vector<string> sets;
  for (const Assignment& a : e.withdraw) {
    sets.push_back(quoted(a.column) + " = (" + a.expression + ")");
  }
  const bool with_user = any_mentions(e.withdraw, "u");
  return "UPDATE " + string(c_.enrollments) + " AS e SET " + joined(sets, ", ") + " FROM " +
         locked_tournament() + (with_user ? " CROSS JOIN " + string(c_.users) + " AS u" : "") +
         " WHERE " + equal(column("e", e.key), "$3") + " AND " + enrollment_of("$1", "$2") +
         " AND " + active() + (with_user ? " AND " + equal(user_key("u"), "$1") : "") +
         " RETURNING " + column("e", e.key) + ", COALESCE(" + enrollment_of("$1", "$2") +
         " AND NOT " + active() + ", FALSE)";
}

// A ledger that wants a key in every row gets one of its own where the caller gives none.
string Writer::ledger_key(Source source) const {
  const string given = source.pick("$6", "i.key");
  const string key = c_.key_is_required
                         ? "COALESCE(" + given + ", pg_catalog.gen_random_uuid()::pg_catalog.text)"
                         : given;
  return key + string(c_.key_cast);
}

string Writer::ledger_value(const Assignment& assignment, Source source,
                            string_view operation) const {
  const string& expression = assignment.expression;
  if (is_tournament_key(expression)) return "$2";
  return given(expression, balance_type(source.pick("$7", "i.cost")), operation,
               source.pick("$8", "NULL"));
}

string Writer::ledger(Source source, string_view operation, string_view type,
                      const std::vector<Assignment>& special) const {
  const Policy::Ledger& l = p_.ledger;
  const std::vector<Assignment> extra = ledger_assignments(l, special);
  const auto names = [&](string_view name) {
    return std::any_of(extra.begin(), extra.end(),
                       [&](const Assignment& a) { return a.column == name; });
  };
  const string user = source.pick("$1", "i.user_key");
  const string enrollment = source.pick("$3", "i.enrollment_key");
  std::vector<string> columns{quoted(l.amount), quoted(l.balance_after), quoted(l.enrollment),
                              quoted(l.idempotency_key), quoted(l.type.column)};
  std::vector<string> values{source.pick("$4", "i.amount"), source.pick("$5", "i.balance_after"),
                             enrollment, ledger_key(source), literal(type)};
  if (l.user && !names(*l.user)) {
    columns.push_back(quoted(*l.user));
    values.push_back(user);
  }
  // The policy's own expressions decide which rows the statement has to read.
  string expressions;
  for (const Assignment& a : extra) {
    columns.push_back(quoted(a.column));
    values.push_back(ledger_value(a, source, operation));
    if (!is_tournament_key(a.expression)) expressions += a.expression + ' ';
  }
  string from = source.pick("(SELECT) AS i",
                            "ROWS FROM (pg_catalog.unnest($1), pg_catalog.unnest($3), "
                            "pg_catalog.unnest($4), pg_catalog.unnest($5), "
                            "pg_catalog.unnest($6), pg_catalog.unnest($7)) WITH ORDINALITY AS "
                            "i(user_key, enrollment_key, amount, balance_after, key, cost, ord)");
  if (mentions(expressions, "u")) {
    from += " JOIN " + string(c_.users) + " AS u ON " + equal(user_key("u"), user);
  }
  if (mentions(expressions, "t")) {
    from += " JOIN " + string(c_.tournaments) + " AS t ON " + equal(tournament_key("t"), "$2");
  }
  if (mentions(expressions, "e")) {
    from += " JOIN " + string(c_.enrollments) + " AS e ON " +
            equal(column("e", p_.enrollments.key), enrollment);
  }
  return "INSERT INTO " + string(c_.ledger) + " AS l (" + joined(columns, ", ") + ") SELECT " +
         joined(values, ", ") + " FROM " + from + source.pick("", " ORDER BY i.ord") +
         " ON CONFLICT (" + quoted(l.idempotency_key) + ") DO NOTHING RETURNING TRUE";
}

string Writer::lock_rows(string_view table, string_view key) const {
  return "SELECT FROM " + string(table) + " AS r WHERE " + column("r", key) +
         " OPERATOR(pg_catalog.=) ANY ($1) ORDER BY " + column("r", key) + " FOR KEY SHARE OF r";
}

// Columns: arrays of tournament, active rows, capacity. Rows without a tournament count as
// unlimited, as they do when a raw writer brings them.
string Writer::count_enrollments() const {
  const string tournament = column("e", p_.enrollments.tournament);
  return "SELECT COALESCE(pg_catalog.array_agg(COALESCE(a.tournament, b.tournament)), '{}'), "
         "COALESCE(pg_catalog.array_agg(COALESCE(b.taken, 0)), '{}'), "
         "COALESCE(pg_catalog.array_agg(a.capacity), '{}') FROM (SELECT "
         "pg_catalog.format('%s', " +
         tournament_key("t") + ") COLLATE \"C\" AS tournament, (" + p_.tournaments.capacity +
         ")::pg_catalog.int8 AS capacity FROM " + string(c_.tournaments) +
         " AS t) AS a FULL JOIN (SELECT pg_catalog.format('%s', " + tournament +
         ") COLLATE \"C\" AS tournament, pg_catalog.count(*) AS taken FROM " +
         string(c_.enrollments) + " AS e WHERE " + active() + " AND " + tournament +
         " IS NOT NULL GROUP BY " + tournament +
         ") AS b ON a.tournament OPERATOR(pg_catalog.=) b.tournament";
}

// The seats' statements hold no expression of a policy. $1 is the policy, $2 the tournament or
// the tournaments, and $3 the stripe where there is one.
string Writer::seat(Statement statement) const {
  const string seats(c_.seats);
  const string mine = "s.policy OPERATOR(pg_catalog.=) $1";
  const string all = mine + " AND s.tournament OPERATOR(pg_catalog.=) $2";
  const string first = all + " AND s.stripe OPERATOR(pg_catalog.=) 0";
  const string others = all + " AND s.stripe OPERATOR(pg_catalog.>) 0";
  const string one = all + " AND s.stripe OPERATOR(pg_catalog.=) $3";
  const string claim =
      "UPDATE " + seats + " AS s SET taken = s.taken OPERATOR(pg_catalog.+) $4 WHERE " + one +
      " AND (s.allotted IS NULL OR s.taken OPERATOR(pg_catalog.+) $4 OPERATOR(pg_catalog.<=) "
      "s.allotted)";
  const string hold =
      "SELECT s.taken, s.allotted FROM " + seats + " AS s WHERE " + one + " FOR NO KEY UPDATE OF s";
  const string insert = "INSERT INTO " + seats + seat_columns;
  switch (statement) {
    case Statement::seat_claim:
      return claim + " RETURNING s.taken, s.allotted, s.capacity";
    case Statement::seat_claim_read:
      return claim + " AND s.epoch OPERATOR(pg_catalog.=) $5 AND " + same("s.capacity", "$6") +
             " RETURNING s.taken, s.allotted, s.capacity";
    case Statement::seat_hold:
      return hold;
    case Statement::seat_hold_free:
      return hold + " SKIP LOCKED";
    case Statement::seat_return:
      return "UPDATE " + seats + " AS s SET taken = s.taken OPERATOR(pg_catalog.-) $4 WHERE " +
             one + " RETURNING s.taken, s.allotted, s.capacity";
    case Statement::seat_split:
      return "WITH f AS (UPDATE " + seats +
             " AS s SET allotted = s.allotted OPERATOR(pg_catalog.-) ($4 OPERATOR(pg_catalog.*) "
             "$3) WHERE " +
             first + " AND NOT EXISTS (SELECT FROM " + seats + " AS s WHERE " + others +
             ") RETURNING s.*) " + insert +
             "SELECT f.policy, f.tournament, n.stripe::pg_catalog.int4, 0, CASE WHEN f.allotted IS "
             "NOT NULL THEN $4 END, f.capacity, f.epoch FROM f, pg_catalog.generate_series(1, $3) "
             "AS n(stripe)";
    case Statement::seat_open:
      return insert +
             "SELECT $1, c.tournament, 0, 0, 0, 0, $3 FROM pg_catalog.unnest($2) AS "
             "c(tournament) ORDER BY c.tournament COLLATE \"C\"" +
             seat_conflict + "DO NOTHING RETURNING s.tournament";
    case Statement::seat_open_taken:
      return insert + "VALUES ($1, $2, 0, $3, $4, $5, $6)" + seat_conflict +
             "DO NOTHING RETURNING s.taken, s.allotted, s.capacity";
    case Statement::seat_lock:
      return "SELECT FROM " + seats + " AS s WHERE " + first + " FOR NO KEY UPDATE OF s";
    case Statement::seat_lock_rest:
      return "SELECT FROM " + seats + " AS s WHERE " + others +
             " ORDER BY s.stripe FOR NO KEY UPDATE OF s";
    case Statement::seat_lock_all:
      return "SELECT FROM " + seats + " AS s WHERE " + mine +
             " ORDER BY s.tournament, s.stripe FOR NO KEY UPDATE OF s";
    case Statement::seat_allot:
      return "WITH g AS (DELETE FROM " + seats + " AS s WHERE " + others +
             " RETURNING s.taken) UPDATE " + seats +
             " AS s SET taken = s.taken OPERATOR(pg_catalog.+) COALESCE((SELECT "
             "pg_catalog.sum(g.taken) FROM g), 0)::pg_catalog.int8, allotted = $3, capacity = $4, "
             "epoch = " +
             next_epoch("$5") + " WHERE " + first;
    case Statement::seat_unite:
      return "DELETE FROM " + seats + " AS s WHERE " + mine +
             " AND s.stripe OPERATOR(pg_catalog.>) 0";
    case Statement::seat_empty:
      return "UPDATE " + seats + " AS s SET taken = 0, epoch = " + next_epoch("$2") + " WHERE " +
             mine;
    case Statement::seat_renew:
      return "UPDATE " + seats + " AS s SET epoch = " + next_epoch("$2") + " WHERE " + mine;
    case Statement::seat_close:
      return "UPDATE " + seats +
             " AS s SET allotted = 0, capacity = 0, epoch = " + next_epoch("$2") + " WHERE " + mine;
    default:
      return seat_recount(statement);
  }
}

// Setting the counters right: what was counted comes as arrays of tournament, taken and capacity.
string Writer::seat_recount(Statement statement) const {
  const string seats(c_.seats);
  const string mine = "s.policy OPERATOR(pg_catalog.=) $1";
  const string counted =
      "(SELECT c.tournament COLLATE \"C\" AS tournament, c.taken, c.capacity, CASE WHEN "
      "c.capacity OPERATOR(pg_catalog.<) 0 THEN 0 ELSE c.capacity END AS allotted FROM ROWS FROM "
      "(pg_catalog.unnest($2), pg_catalog.unnest($3), pg_catalog.unnest($4)) AS "
      "c(tournament, taken, capacity)) AS c";
  switch (statement) {
    case Statement::seat_compare:
      return "SELECT COALESCE(s.tournament, c.tournament), s.taken, c.taken, s.allotted, "
             "c.allotted, c.capacity FROM " +
             counted +
             " FULL JOIN (SELECT s.tournament, pg_catalog.sum(s.taken)::pg_catalog.int8 AS taken, "
             "CASE WHEN pg_catalog.bool_and(s.allotted IS NOT NULL) THEN "
             "pg_catalog.sum(s.allotted)::pg_catalog.int8 END AS allotted, "
             "pg_catalog.max(s.capacity) AS capacity, pg_catalog.min(s.stripe) "
             "OPERATOR(pg_catalog.=) 0 AND " +
             same("pg_catalog.min(s.capacity)", "pg_catalog.max(s.capacity)") +
             " AND "
             "pg_catalog.min(s.epoch) OPERATOR(pg_catalog.=) pg_catalog.max(s.epoch) AS whole "
             "FROM " +
             seats + " AS s WHERE " + mine +
             " GROUP BY s.tournament) AS s ON s.tournament OPERATOR(pg_catalog.=) c.tournament "
             "WHERE "
             "s.tournament IS NULL OR c.tournament IS NULL OR NOT (" +
             string("s.whole AND ") + same("s.taken", "c.taken") + " AND " +
             same("s.allotted", "c.allotted") + " AND " + same("s.capacity", "c.capacity") +
             ") ORDER BY 1";
    case Statement::seat_recount:
      return "WITH g AS (DELETE FROM " + seats + " AS s WHERE " + mine +
             " AND s.tournament OPERATOR(pg_catalog.=) ANY ($2) AND s.stripe "
             "OPERATOR(pg_catalog.>) 0) INSERT INTO " +
             seats + seat_columns +
             "SELECT $1, c.tournament, 0, c.taken, c.allotted, c.capacity, $5 FROM " + counted +
             " ORDER BY c.tournament" + seat_conflict +
             "DO UPDATE SET taken = EXCLUDED.taken, allotted = EXCLUDED.allotted, "
             "capacity = EXCLUDED.capacity, epoch = " +
             next_epoch("EXCLUDED.epoch");
    case Statement::seat_remove:
      return "DELETE FROM " + seats + " AS s WHERE " + mine +
             " AND s.tournament "
             "OPERATOR(pg_catalog.=) ANY ($2)";
    default:
      return {};
  }
}

string Writer::text(Statement statement) const {
  const Policy::Ledger& l = p_.ledger;
  constexpr Source one{false};
  constexpr Source many{true};
  switch (statement) {
    case Statement::read_enroll:
      return read_enroll(one);
    case Statement::read_unenroll:
      return read_unenroll();
    case Statement::read_key:
      return read_key(one);
    case Statement::read_tournament:
      return "SELECT (" + p_.tournaments.open + ") IS TRUE, (" + p_.tournaments.capacity +
             ")::pg_catalog.int8 FROM " + string(c_.tournaments) + " AS t WHERE " +
             equal(tournament_key("t"), "$1");
    case Statement::lock_account:
      return lock_account(one);
    case Statement::debit:
      return debit(one);
    case Statement::credit:
      return "UPDATE " + string(c_.users) + " AS u SET " + quoted(p_.users.balance) + " = " +
             column("u", p_.users.balance) + " OPERATOR(pg_catalog.+) " + balance_type("$2") +
             " WHERE " + equal(user_key("u"), "$1") + " RETURNING " +
             numeric(column("u", p_.users.balance));
    case Statement::insert_enrollment:
      return insert_enrollment(one, false);
    case Statement::insert_enrollment_or_fail:
      return insert_enrollment(one, true);
    case Statement::reactivate_enrollment:
      return reactivate_enrollment(one);
    case Statement::withdraw_enrollment:
      return withdraw_enrollment();
    case Statement::ledger_enroll:
      return ledger(one, "enroll", l.type.enroll, l.enroll);
    case Statement::ledger_unenroll:
      return ledger(one, "unenroll", l.type.unenroll, l.unenroll);
    case Statement::ledger_waive:
      return ledger(one, "waive", l.type.waive, l.waive);
    case Statement::read_enroll_many:
      return read_enroll(many);
    case Statement::read_key_many:
      return read_key(many);
    case Statement::lock_account_many:
      return lock_account(many);
    case Statement::debit_many:
      return debit(many);
    case Statement::insert_enrollment_many:
      return insert_enrollment(many, false);
    case Statement::insert_enrollment_many_or_fail:
      return insert_enrollment(many, true);
    case Statement::reactivate_enrollment_many:
      return reactivate_enrollment(many);
    case Statement::ledger_enroll_many:
      return ledger(many, "enroll", l.type.enroll, l.enroll);
    case Statement::lock_users:
      return lock_rows(c_.users, p_.users.key);
    case Statement::lock_tournaments:
      return lock_rows(c_.tournaments, p_.tournaments.key);
    case Statement::list_tournaments:
      return "SELECT " + tournament_key("t") + " FROM " + string(c_.tournaments) + " AS t";
    case Statement::count_enrollments:
      return count_enrollments();
    default:
      return seat(statement);
  }
}

}  // namespace

Signature signature(Statement statement) noexcept {
  using P = Parameter;
  constexpr Actor owner = Actor::tables_owner;
  constexpr Actor seats = Actor::extension_owner;
  switch (statement) {
    case Statement::read_enroll:
    case Statement::read_unenroll:
    case Statement::insert_enrollment:
    case Statement::insert_enrollment_or_fail:
      return {{P::user_key, P::tournament_key}};
    case Statement::read_key:
      return {{P::text, P::user_key, P::tournament_key}};
    case Statement::read_tournament:
      return {{P::tournament_key}, owner};
    case Statement::lock_account:
      return {{P::user_key}};
    case Statement::debit:
    case Statement::credit:
      return {{P::user_key, P::numeric}};
    case Statement::reactivate_enrollment:
    case Statement::withdraw_enrollment:
      return {{P::user_key, P::tournament_key, P::enrollment_key}};
    case Statement::ledger_enroll:
    case Statement::ledger_unenroll:
    case Statement::ledger_waive:
      return {{P::user_key, P::tournament_key, P::enrollment_key, P::numeric, P::numeric, P::text,
               P::numeric, P::text}};
    case Statement::read_enroll_many:
    case Statement::insert_enrollment_many:
    case Statement::insert_enrollment_many_or_fail:
      return {{P::user_keys, P::tournament_key}};
    case Statement::read_key_many:
      return {{P::texts, P::user_keys, P::tournament_key}};
    case Statement::reactivate_enrollment_many:
      return {{P::user_keys, P::tournament_key, P::enrollment_keys}};
    case Statement::lock_account_many:
      return {{P::user_keys}};
    case Statement::lock_users:
      return {{P::user_keys}, owner};
    case Statement::debit_many:
      return {{P::user_keys, P::numerics}};
    case Statement::ledger_enroll_many:
      return {{P::user_keys, P::tournament_key, P::enrollment_keys, P::numerics, P::numerics,
               P::texts, P::numerics}};
    case Statement::lock_tournaments:
      return {{P::tournament_keys}, owner};
    case Statement::list_tournaments:
    case Statement::count_enrollments:
      return {{}, owner};
    case Statement::seat_claim:
    case Statement::seat_return:
    case Statement::seat_split:
      return {{P::text, P::text, P::bigint, P::bigint}, seats};
    case Statement::seat_claim_read:
      return {{P::text, P::text, P::bigint, P::bigint, P::bigint, P::bigint}, seats};
    case Statement::seat_hold:
    case Statement::seat_hold_free:
      return {{P::text, P::text, P::bigint}, seats};
    case Statement::seat_open:
      return {{P::text, P::texts, P::bigint}, seats};
    case Statement::seat_open_taken:
      return {{P::text, P::text, P::bigint, P::bigint, P::bigint, P::bigint}, seats};
    case Statement::seat_lock_all:
    case Statement::seat_unite:
      return {{P::text}, seats};
    case Statement::seat_lock:
    case Statement::seat_lock_rest:
      return {{P::text, P::text}, seats};
    case Statement::seat_remove:
      return {{P::text, P::texts}, seats};
    case Statement::seat_allot:
      return {{P::text, P::text, P::bigint, P::bigint, P::bigint}, seats};
    case Statement::seat_empty:
    case Statement::seat_renew:
    case Statement::seat_close:
      return {{P::text, P::bigint}, seats};
    case Statement::seat_compare:
      return {{P::text, P::texts, P::bigints, P::bigints}, seats};
    case Statement::seat_recount:
      return {{P::text, P::texts, P::bigints, P::bigints, P::bigint}, seats};
  }
  return {};
}

string statement_text(Statement statement, const Policy& policy, const Catalog& catalog) {
  return Writer(policy, catalog).text(statement);
}

string active_probe(const Policy& policy, string_view enrollments) {
  return "SELECT FROM " + string(enrollments) + " AS e WHERE (" + policy.enrollments.active + ")";
}

string balance_probe(const Policy& policy, string_view users) {
  return "SELECT FROM " + string(users) + " AS u WHERE " + column("u", policy.users.balance) +
         " OPERATOR(pg_catalog.>=) 0";
}

}  // namespace pg_enroll::rules
