#include "rules/checks.hpp"

#include <utility>

#include "rules/fragment.hpp"
#include "rules/spelling.hpp"

namespace pg_enroll::rules {
namespace {

using std::string;
using std::string_view;

class Checker {
 public:
  Checker(const Policy& policy, const ProbedTables& tables, const CheckFacts& facts)
      : p_(policy), t_(tables), f_(facts), r_(policy, tables) {}

  std::vector<Check> checks() {
    duplicates();
    balances();
    withdrawn_and_active();
    unpaid();
    guards();
    oversold();
    seats();
    ledger();
    refunds();
    orphans();
    return std::move(list_);
  }

 private:
  void add(CheckKind kind, Severity severity, string title, string query, string detail,
           string remedy) {
    const string number = std::to_string(list_.size() + 1);
    list_.push_back({kind, severity, string("INV-") + (number.size() < 2 ? "0" : "") + number,
                     std::move(title), std::move(query), std::move(detail), std::move(remedy)});
  }

  // Samples are in the order of these columns, so that two looks at the same rows show the same.
  void add_rows(Severity severity, string title, const string& rows, int key_columns, string detail,
                string remedy) {
    add(CheckKind::rows, severity, std::move(title),
        counted(rows, key_columns == 1 ? "ORDER BY 1" : "ORDER BY 1, 2"), std::move(detail),
        std::move(remedy));
  }

  void skip(Severity severity, string title, string why) {
    add(CheckKind::rows, severity, std::move(title), {}, std::move(why), {});
  }

  string call(string_view function, const string& arguments) const {
    return string(f_.functions) + "." + string(function) + "(" + arguments + ")";
  }
  string policy_name() const { return literal(f_.policy); }
  string l(string_view name) const { return column("l", name); }

  void duplicates() {
    add_rows(Severity::error, "no user has two active enrollments in one tournament",
             r_.duplicates(), 2,
             "Somebody wrote while the active-enrollment index was not there: the user holds two "
             "seats. The remedy keeps the oldest; decide first who is to get credits back.",
             r_.withdraw_duplicates());
  }

  void balances() {
    add_rows(Severity::error, "no balance is negative",
             "SELECT " + r_.user_key() + " AS \"user\" FROM " + string(t_.users) + " AS u WHERE " +
                 r_.unsound_balance(f_.balance_is_numeric),
             1,
             "Somebody wrote while the balance check was not there. Find out in the ledger what "
             "these users owe before the remedy forgives it.",
             r_.reset_unsound_balances(f_.balance_is_numeric));
  }

  void withdrawn_and_active() {
    constexpr const char* title = "no enrollment is withdrawn and active at once";
    const auto& withdrawn = p_.enrollments.withdrawn;
    if (!withdrawn) {
      return skip(Severity::error, title,
                  "Say in the policy which rows are withdrawn: $.enrollments.withdrawn.");
    }
    const string key = r_.e(p_.enrollments.key);
    const string from = " FROM " + r_.active_rows() + " WHERE (" + *withdrawn + ") IS TRUE";
    add_rows(
        Severity::error, title, "SELECT " + key + " AS enrollment" + from, 1,
        "A writer set one of two columns. Decide which is right; the remedy withdraws, "
        "without a refund.",
        r_.withdrawal("(SELECT " + key + " AS surplus" + from + ") AS d", "d.surplus = " + key));
  }

  // A row without a time may be of today.
  void unpaid() {
    constexpr const char* title = "every active enrollment in the window has its ledger row";
    const auto& e = p_.enrollments;
    if (!e.time) {
      return skip(Severity::warning, title,
                  "Name in the policy the column with the enrollments' time: $.enrollments.time.");
    }
    const string key = r_.e(e.key);
    const string time = r_.e(*e.time);
    add_rows(
        Severity::warning, title,
        "SELECT " + key + " AS enrollment, " + r_.e(e.user) + " AS \"user\", " +
            r_.e(e.tournament) + " AS tournament FROM " + r_.active_rows() + " WHERE (" + time +
            " IS NULL OR " + time + " OPERATOR(pg_catalog.>=) $1) AND " + r_.without_ledger_row() +
            " AND NOT EXISTS (SELECT FROM pg_catalog.unnest($2) AS b(enrollment) WHERE " +
            equal("b.enrollment", "pg_catalog.format('%s', " + key + ")") + ")",
        1,
        "Somebody enrolled these users by hand: no credits moved, and none come back when "
        "they withdraw. Write the ledger rows that are missing, or accept them as they are.",
        "SELECT " + call("enroll_accept_baseline", "'why no credits moved', " + policy_name()));
  }

  void guards() {
    add(CheckKind::guards, Severity::error, "every guard is present, valid and enabled", {},
        "Somebody dropped, disabled or weakened a guard. Calls refuse to run until it is back; "
        "other writers race.",
        "SELECT " + call("enroll_attach", "document, policy") + " FROM " + string(f_.functions) +
            ".enroll_policies WHERE policy = " + policy_name());
  }

  void oversold() {
    add_rows(Severity::error, "no tournament is over its capacity", r_.oversold(), 1,
             "The capacity was lowered below what is taken, or somebody wrote while the triggers "
             "were off. Nothing more is sold until enough have withdrawn. Raise the capacity, let "
             "it be paid off, or withdraw the latest as the remedy does, without a refund.",
             r_.withdraw_oversold());
  }

  // A deleted tournament keeps its counter, which is no violation while nothing is taken.
  void seats() {
    const string counters =
        "(SELECT s.tournament, pg_catalog.sum(s.taken)::pg_catalog.int8 AS taken, "
        "pg_catalog.min(s.stripe) OPERATOR(pg_catalog.=) 0 AND pg_catalog.min(s.epoch) "
        "OPERATOR(pg_catalog.=) pg_catalog.max(s.epoch) AS whole FROM " +
        string(f_.seats) +
        " AS s WHERE s.policy OPERATOR(pg_catalog.=) $1 GROUP BY s.tournament) AS s";
    const string rows =
        "(SELECT c.tournament COLLATE \"C\" AS tournament, c.taken FROM ROWS FROM "
        "(pg_catalog.unnest($2), pg_catalog.unnest($3)) AS c(tournament, taken)) AS c";
    add(CheckKind::seats, Severity::error, "the seat counters equal the rows",
        counted("SELECT COALESCE(s.tournament, c.tournament) AS tournament, s.taken AS counter, "
                "COALESCE(c.taken, 0) AS enrollments FROM " +
                    rows + " FULL JOIN " + counters + " ON " +
                    equal("s.tournament", "c.tournament") +
                    " WHERE s.tournament IS NULL OR s.taken OPERATOR(pg_catalog.<>) "
                    "COALESCE(c.taken, 0) OR NOT s.whole",
                "ORDER BY 1"),
        "Rows came or went while the triggers were off, by replication or in a load of data "
        "alone: too many seats are sold, or too few. The remedy recounts, and keeps writers "
        "waiting meanwhile.",
        "SELECT * FROM " + call("enroll_reconcile", policy_name()));
  }

  // Whether a ledger row may name one of these enrollments: another policy's names one of its own,
  // whose key may be equal.
  string may_be_ours() const {
    string condition = l(p_.ledger.enrollment) + " IS NOT NULL";
    for (const ForeignRows& other : f_.others) {
      const string word = l(other.column) + "::pg_catalog.text";
      condition += " AND (" + equal(word, literal(other.enroll)) + " OR " +
                   equal(word, literal(other.unenroll)) + " OR " +
                   equal(word, literal(other.waive)) + ") IS NOT TRUE";
    }
    return condition;
  }

  // Whose a ledger row is: it may name the user, or the enrollment alone.
  string ledger_user() const {
    return "COALESCE(" + l(*p_.ledger.user) + ", " + r_.e(p_.enrollments.user) + ")";
  }

  void ledger() {
    constexpr const char* title = "the ledger adds up to the balances";
    const auto& ledger = p_.ledger;
    const Severity severity = ledger.strict ? Severity::error : Severity::info;
    if (!ledger.user) {
      return skip(severity, title,
                  "Name in the policy the column with the ledger's user: $.ledger.user.");
    }
    const string moves =
        "(SELECT " + ledger_user() + " AS \"user\", " + l(ledger.order) + " AS ledger, " +
        numeric(l(ledger.amount)) + " AS amount, " + numeric(l(ledger.balance_after)) +
        " AS balance_after, pg_catalog.lag(" + numeric(l(ledger.balance_after)) +
        ") OVER w AS balance_before, pg_catalog.row_number() OVER w AS number, "
        "pg_catalog.lead(TRUE) OVER w IS NULL AS last FROM " +
        string(t_.ledger) + " AS l LEFT JOIN " + string(t_.enrollments) + " AS e ON " +
        equal(r_.e(p_.enrollments.key), l(ledger.enrollment)) + " AND " + may_be_ours() +
        " WINDOW w AS (PARTITION BY " + ledger_user() + " ORDER BY " + l(ledger.order) + ")) AS m";
    const string breaks =
        "m.number OPERATOR(pg_catalog.>) 1 AND NOT " +
        same("(m.balance_before OPERATOR(pg_catalog.+) m.amount)", "m.balance_after");
    const string differs = "m.last AND " + r_.user_key() + " IS NOT NULL AND NOT " +
                           same("m.balance_after", numeric(column("u", p_.users.balance)));
    add_rows(severity, title,
             "SELECT m.\"user\", m.ledger, CASE WHEN " + breaks +
                 " THEN 'balance_after' ELSE 'balance' END AS wrong FROM " + moves + " LEFT JOIN " +
                 string(t_.users) + " AS u ON " + equal(r_.user_key(), "m.\"user\"") +
                 " WHERE m.\"user\" IS NOT NULL AND ((" + breaks + ") OR (" + differs + "))",
             2,
             "A balance changed without a ledger row, or a ledger row without its balance: "
             "balance_after where a row does not follow from the one before it, balance where the "
             "user's last row is not the balance.",
             "Find out who changed the balance, and write a ledger row of a type of your own with "
             "the difference.");
  }

  // What a refund may be follows from the row before it alone: a charge is refunded once.
  void refunds() {
    const auto& ledger = p_.ledger;
    const string amount = numeric(l(ledger.amount));
    const string moves = "(SELECT " + l(ledger.enrollment) + " AS enrollment, " + l(ledger.order) +
                         " AS ledger, " + r_.is_type(ledger.type.unenroll) + " AS refunds, " +
                         amount + " AS amount, pg_catalog.lag(" + r_.is_type(ledger.type.enroll) +
                         ") OVER w IS TRUE AS charged, pg_catalog.lag(" + amount +
                         ") OVER w AS charge FROM " + string(t_.ledger) + " AS l WHERE " +
                         l(ledger.enrollment) + " IS NOT NULL AND " + r_.is_any_type() +
                         " WINDOW w AS (PARTITION BY " + l(ledger.enrollment) + " ORDER BY " +
                         l(ledger.order) + ")) AS m";
    add_rows(Severity::error, "no enrollment is refunded twice or more than it paid",
             "SELECT m.enrollment, m.ledger, CASE WHEN m.charged THEN 'more than was paid' ELSE "
             "'no charge before it' END AS wrong FROM " +
                 moves +
                 " WHERE m.refunds AND m.amount OPERATOR(pg_catalog.>) 0 AND (NOT m.charged OR "
                 "m.amount OPERATOR(pg_catalog.>) (OPERATOR(pg_catalog.-) m.charge))",
             2,
             "Somebody wrote refunds by hand, or two of them raced. The sample names the ledger "
             "rows that gave too much.",
             "Take the surplus off the balance, with a ledger row of a type of your own; or let "
             "the user keep it, and delete nothing.");
  }

  string orphan(const string& row, string_view row_key, string_view alias, string_view from,
                const string& what, const string& reference, const string& key, string_view table,
                const string& condition) const {
    return "SELECT '" + row + "' AS \"row\", pg_catalog.format('%s', " + string(row_key) +
           ") AS key, '" + what + "' AS lacks, pg_catalog.format('%s', " + reference +
           ") AS \"value\" FROM " + string(from) + " AS " + string(alias) + " LEFT JOIN " +
           string(table) + " AS r ON " + equal(column("r", key), reference) + " WHERE " +
           column("r", key) + " IS NULL AND " + condition;
  }

  string orphan_enrollment(const string& what, string_view reference, const string& key,
                           string_view table) const {
    const auto& e = p_.enrollments;
    return orphan("enrollment", r_.e(e.key), "e",
                  "(SELECT e.*, (" + e.active + ") IS TRUE AS \"pg_enroll active\" FROM " +
                      string(t_.enrollments) + " AS e)",
                  what, r_.e(reference), key, table,
                  "(" + r_.e(reference) + " IS NOT NULL OR e.\"pg_enroll active\")");
  }

  string orphan_move(const string& what, string_view reference, const string& key,
                     string_view table, const string& condition) const {
    return orphan("ledger", l(p_.ledger.order), "l", t_.ledger, what, l(reference), key, table,
                  condition);
  }

  // An active row has to name both, for a seat is counted by it.
  void orphans() {
    const auto& e = p_.enrollments;
    std::vector<string> rows{
        orphan_enrollment("user", e.user, p_.users.key, t_.users),
        orphan_enrollment("tournament", e.tournament, p_.tournaments.key, t_.tournaments),
        orphan_move("enrollment", p_.ledger.enrollment, e.key, t_.enrollments, may_be_ours())};
    if (p_.ledger.user) {
      rows.push_back(orphan_move("user", *p_.ledger.user, p_.users.key, t_.users,
                                 l(*p_.ledger.user) + " IS NOT NULL"));
    }
    const auto gone = [&](string_view table, const string& key, const string& reference) {
      return "(" + reference + " IS NOT NULL OR (" + e.active + ")) AND NOT EXISTS (SELECT FROM " +
             string(table) + " AS r WHERE " + column("r", key) + " = " + reference + ")";
    };
    add_rows(Severity::error, "no enrollment or ledger row is an orphan",
             joined(rows, " UNION ALL "), 2,
             "What these rows name does not exist: there is no foreign key, or it was off. An "
             "active one takes a seat. The remedy deletes the enrollments and leaves the ledger "
             "as it is; write its rows to a history of your own, or clear what they name.",
             "DELETE FROM " + string(t_.enrollments) + " AS e WHERE " +
                 gone(t_.users, p_.users.key, r_.e(e.user)) + " OR " +
                 gone(t_.tournaments, p_.tournaments.key, r_.e(e.tournament)));
  }

  const Policy& p_;
  const ProbedTables& t_;
  const CheckFacts& f_;
  RowText r_;
  std::vector<Check> list_;
};

// The placeholder of a check of somebody's own.
const Words& own_placeholders() {
  static const Words words{"since"};
  return words;
}

}  // namespace

std::vector<Check> checks_of(const Policy& policy, const ProbedTables& tables,
                             const CheckFacts& facts) {
  return Checker(policy, tables, facts).checks();
}

string summary_query(const Policy& policy, const ProbedTables& tables) {
  const RowText r(policy, tables);
  const auto& e = policy.enrollments;
  const auto count = [](string_view table) {
    return "(SELECT pg_catalog.count(*) FROM " + string(table) + " AS c)";
  };
  const auto rows = [](const string& condition) {
    return "pg_catalog.count(*) FILTER (WHERE " + condition + ")";
  };
  const string amount = numeric(column("l", policy.ledger.amount));
  const auto sum = [&](string_view word) {
    return "COALESCE(pg_catalog.sum(" + amount + ") FILTER (WHERE " + r.is_type(word) + "), 0)";
  };
  const string enrollments =
      "(SELECT pg_catalog.count(*) AS total, " + rows("(" + e.active + ")") + " AS active, " +
      (e.withdrawn ? rows("(" + *e.withdrawn + ")") + "::pg_catalog.text" : "'?'") +
      " AS withdrawn FROM " + string(tables.enrollments) + " AS e) AS n";
  const string moves = e.time ? "(SELECT pg_catalog.abs(" + sum(policy.ledger.type.enroll) +
                                    ") AS charged, " + sum(policy.ledger.type.unenroll) +
                                    " AS refunded FROM " + string(tables.ledger) + " AS l JOIN " +
                                    string(tables.enrollments) + " AS e ON " +
                                    equal(r.e(e.key), column("l", policy.ledger.enrollment)) +
                                    " WHERE " + r.e(*e.time) + " OPERATOR(pg_catalog.>=) $1) AS m"
                              : "(SELECT '?' AS charged, '?' AS refunded) AS m";
  return "SELECT pg_catalog.format('Enrollments: %s, of which %s active and %s withdrawn. Users: "
         "%s. Tournaments: %s.', n.total, n.active, n.withdrawn, " +
         count(tables.users) + ", " + count(tables.tournaments) +
         "), pg_catalog.format('Credits for the enrollments in the window: %s charged, %s "
         "refunded.', m.charged, m.refunded) FROM " +
         enrollments + ", " + moves;
}

string unpaid_keys_query(const Policy& policy, const ProbedTables& tables) {
  const RowText r(policy, tables);
  return "SELECT COALESCE(pg_catalog.array_agg(pg_catalog.format('%s', " +
         r.e(policy.enrollments.key) + ")), '{}') FROM " + r.active_rows() + " WHERE " +
         r.without_ledger_row();
}

string own_check_statement(string_view query) {
  return checked_statement(query, "query", own_placeholders());
}

// On lines of its own: a comment may end it.
string own_check_query(string_view query) {
  return counted("\n" + own_check_statement(query) + "\n", {});
}

}  // namespace pg_enroll::rules
