#include "rules/probes.hpp"

#include <algorithm>
#include <utility>

#include "rules/spelling.hpp"

namespace pg_enroll::rules {
namespace {

using std::string;
using std::string_view;

class Names {
 public:
  void add(Role role, string path, const string& text) {
    list.push_back({role, std::move(path), text});
  }
  void add(Role role, string path, const std::optional<string>& text) {
    if (text) add(role, std::move(path), *text);
  }
  void add(Role role, const string& path, const std::vector<Assignment>& assignments) {
    for (const Assignment& a : assignments) add(role, child(path, a.column), a.column);
  }

  std::vector<Name> list;
};

void add_enrollments(Names& names, const Policy::Enrollments& e) {
  const string path = "$.enrollments.";
  names.add(Role::enrollments_table, path + "table", e.table);
  names.add(Role::enrollments_key, path + "key", e.key);
  names.add(Role::enrollments_user, path + "user", e.user);
  names.add(Role::enrollments_tournament, path + "tournament", e.tournament);
  names.add(Role::enrollments_time, path + "time", e.time);
  names.add(Role::enrollments_insert, path + "insert", e.insert);
  names.add(Role::enrollments_withdraw, path + "withdraw", e.withdraw);
}

void add_ledger(Names& names, const Policy::Ledger& l) {
  const string path = "$.ledger.";
  names.add(Role::ledger_table, path + "table", l.table);
  names.add(Role::ledger_amount, path + "amount", l.amount);
  names.add(Role::ledger_balance_after, path + "balance_after", l.balance_after);
  names.add(Role::ledger_enrollment, path + "enrollment", l.enrollment);
  names.add(Role::ledger_user, path + "user", l.user);
  names.add(Role::ledger_idempotency_key, path + "idempotency_key", l.idempotency_key);
  names.add(Role::ledger_order, path + "order", l.order);
  names.add(Role::ledger_type, path + "type.column", l.type.column);
  names.add(Role::ledger_word, path + "type.enroll", l.type.enroll);
  names.add(Role::ledger_word, path + "type.unenroll", l.type.unenroll);
  names.add(Role::ledger_word, path + "type.waive", l.type.waive);
  names.add(Role::ledger_insert, path + "insert", l.insert);
  names.add(Role::ledger_enroll, path + "enroll", l.enroll);
  names.add(Role::ledger_unenroll, path + "unenroll", l.unenroll);
  names.add(Role::ledger_waive, path + "waive", l.waive);
}

// ---- expressions -------------------------------------------------------------------------------

class Prober {
 public:
  Prober(const Policy& policy, const ProbedTables& tables) : p_(policy), t_(tables) {}

  std::vector<Probe> probes() {
    tournaments();
    enrollments();
    refund();
    ledger();
    rules();
    follow_ups("$.on_enroll", p_.on_enroll);
    follow_ups("$.on_unenroll", p_.on_unenroll);
    return std::move(list_);
  }

 private:
  // Each table is there twice, the second time under a name that nobody says: which tables a
  // statement of the engine has beside it varies, so a column without its alias is to be ambiguous.
  static string twice(string_view table, const string& alias) {
    return string(table) + " AS " + alias + " CROSS JOIN " + string(table) + " AS " +
           quoted("another " + alias);
  }
  string u() const { return twice(t_.users, "u"); }
  string t() const { return twice(t_.tournaments, "t"); }
  string e() const { return twice(t_.enrollments, "e"); }
  string balance(string_view value) const { return string(value) + "::" + string(t_.balance_type); }

  static string where(const string& from, const string& condition) {
    return "SELECT FROM " + from + " WHERE (" + condition + ")";
  }
  static string value(const string& from, const string& expression) {
    return "SELECT " + expression + " FROM " + from;
  }
  static string crossed(const std::vector<string>& tables) {
    return joined(tables, " CROSS JOIN ");
  }

  void add(ProbeKind kind, string path, string text) {
    Probe probe{kind, std::move(path), std::move(text), {}};
    list_.push_back(std::move(probe));
  }

  void tournaments() {
    const auto& tournaments = p_.tournaments;
    add(ProbeKind::boolean, "$.tournaments.open", where(t(), tournaments.open));
    list_.back().watched = true;
    add(ProbeKind::integer, "$.tournaments.capacity", value(t(), "(" + tournaments.capacity + ")"));
    list_.back().watched = true;
    add(ProbeKind::number, "$.tournaments.cost", value(t(), "(" + tournaments.cost + ")"));
  }

  void enrollments() {
    const auto& enrollments = p_.enrollments;
    add(ProbeKind::predicate, "$.enrollments.active", enrollments.active);
    if (enrollments.withdrawn) {
      add(ProbeKind::withdrawn, "$.enrollments.withdrawn",
          where(string(t_.enrollments) + " AS e", *enrollments.withdrawn));
    }
    for (const Assignment& a : enrollments.insert) {
      assign(ProbeKind::enrollment, "$.enrollments.insert", a, crossed({u(), t()}),
             "(" + a.expression + ")");
      // The same expressions rewrite a withdrawn row, which is in sight then.
      if (enrollments.reenroll == Reenroll::reactivate) {
        assign(ProbeKind::enrollment, "$.enrollments.insert", a, crossed({u(), t(), e()}),
               "(" + a.expression + ")");
      }
    }
    for (const Assignment& a : enrollments.withdraw) {
      assign(ProbeKind::enrollment, "$.enrollments.withdraw", a, crossed({u(), t(), e()}),
             "(" + a.expression + ")");
    }
  }

  void assign(ProbeKind kind, const string& path, const Assignment& a, const string& from,
              const string& expression) {
    add(kind, child(path, a.column), value(from, expression));
    list_.back().column = a.column;
    list_.back().inner = expression != "(" + a.expression + ")";
  }

  void refund() {
    add(ProbeKind::number, "$.refund",
        value(crossed({u(), t(), e()}), "(SELECT (" + p_.refund + ") FROM (SELECT " +
                                            balance("NULL") + " AS paid) AS given)"));
    list_.back().inner = true;
  }

  void ledger() {
    const auto& ledger = p_.ledger;
    const std::pair<const char*, const std::vector<Assignment>*> maps[] = {
        {"insert", &ledger.insert},
        {"enroll", &ledger.enroll},
        {"unenroll", &ledger.unenroll},
        {"waive", &ledger.waive}};
    for (const auto& [operation, assignments] : maps) {
      for (const Assignment& a : *assignments) {
        assign(ProbeKind::ledger, string("$.ledger.") + operation, a, crossed({u(), t(), e()}),
               given(a.expression, balance("NULL"), operation, "NULL"));
      }
    }
  }

  void rules() {
    for (std::size_t i = 0; i < p_.rules.size(); ++i) {
      const Rule& rule = p_.rules[i];
      const string from =
          rule.on == Rule::On::enroll ? crossed({u(), t()}) : crossed({u(), t(), e()});
      add(ProbeKind::boolean, element("$.rules", i) + ".require", where(from, rule.require));
    }
  }

  void follow_ups(const string& path, const std::vector<string>& statements) {
    for (std::size_t i = 0; i < statements.size(); ++i) {
      add(ProbeKind::follow_up, element(path, i), statements[i]);
    }
  }

  const Policy& p_;
  const ProbedTables& t_;
  std::vector<Probe> list_;
};

// ---- rows --------------------------------------------------------------------------------------

class RowChecker {
 public:
  RowChecker(const Policy& policy, const ProbedTables& tables, const RowFacts& facts)
      : p_(policy), t_(tables), facts_(facts), r_(policy, tables) {}

  std::vector<RowCheck> checks() {
    duplicates();
    balances();
    orphans(t_.users, p_.users.key, p_.enrollments.user, "user");
    orphans(t_.tournaments, p_.tournaments.key, p_.enrollments.tournament, "tournament");
    oversold();
    prices();
    unpaid();
    return std::move(list_);
  }

 private:
  string e(string_view name) const { return r_.e(name); }
  string user_key() const { return r_.user_key(); }
  string tournament_key() const { return r_.tournament_key(); }

  void add(bool refuses, string_view path, string_view table, string obstacle, const string& rows,
           string remedy) {
    // In the order of their first column, so that two looks at the same rows show the same.
    list_.push_back({refuses, string(path), string(table), std::move(obstacle),
                     counted(rows, "ORDER BY 1"), std::move(remedy)});
  }

  void duplicates() {
    add(true, active_path, t_.enrollments,
        "users with more than one active enrollment in a tournament", r_.duplicates(),
        r_.withdraw_duplicates());
  }

  void balances() {
    const string balance = column("u", p_.users.balance);
    const string users = string(t_.users) + " AS u";
    const auto found = [&](const string& condition) {
      return "SELECT " + user_key() + " AS \"user\", " + balance + " AS balance FROM " + users +
             " WHERE " + condition;
    };
    add(true, "$.users.balance", t_.users,
        facts_.balance_is_numeric ? "balances that are negative, NaN or infinite"
                                  : "balances that are negative",
        found(r_.unsound_balance(facts_.balance_is_numeric)),
        r_.reset_unsound_balances(facts_.balance_is_numeric));
    add(false, "$.users.balance", t_.users,
        "balances that are NULL: these users can neither pay nor be refunded",
        found(balance + " IS NULL"), r_.reset_balances(balance + " IS NULL"));
  }

  void orphans(string_view table, const string& key, const string& reference, const string& what) {
    const string referred = column("r", key);
    const string from = r_.active_rows() + " LEFT JOIN " + string(table) + " AS r ON " +
                        equal(referred, e(reference));
    // What the withdrawal reads of a row that is not there would leave the row as it is.
    const auto& withdraw = p_.enrollments.withdraw;
    const bool reads = any_mentions(withdraw, "u") || any_mentions(withdraw, "t");
    const string condition = "(" + p_.enrollments.active + ") AND NOT EXISTS (SELECT FROM " +
                             string(table) + " AS r WHERE " + referred + " = " + e(reference) + ")";
    add(false, active_path, t_.enrollments,
        "active enrollments whose " + what + " is NULL or does not exist: they take seats",
        "SELECT " + e(p_.enrollments.key) + " AS enrollment, " + e(reference) + " AS \"" + what +
            "\" FROM " + from + " WHERE " + referred + " IS NULL",
        reads ? "DELETE FROM " + string(t_.enrollments) + " AS e WHERE " + condition
              : r_.withdrawal("", condition));
  }

  void oversold() {
    add(false, "$.tournaments.capacity", t_.tournaments,
        "tournaments over their capacity: they sell nothing until enough have withdrawn",
        r_.oversold(), r_.withdraw_oversold());
  }

  void prices() {
    const string price = numeric(p_.tournaments.cost);
    string finer;
    if (facts_.balance_scale) {
      finer = " OR c.price OPERATOR(pg_catalog.<>) pg_catalog.trunc(c.price, " +
              std::to_string(*facts_.balance_scale) + ")";
    }
    add(false, "$.tournaments.cost", t_.tournaments,
        "prices that are NULL, negative, without bounds or finer than a balance: enrolling raises "
        "an error",
        "SELECT c.tournament, c.price FROM (SELECT " + tournament_key() + " AS tournament, " +
            price + " AS price FROM " + string(t_.tournaments) +
            " AS t) AS c WHERE c.price IS NULL OR c.price OPERATOR(pg_catalog.<) 0 OR c.price "
            "OPERATOR(pg_catalog.>=) 'Infinity'" +
            finer,
        "Correct what $.tournaments.cost reads of these tournaments: " + p_.tournaments.cost);
  }

  void unpaid() {
    add(false, active_path, t_.enrollments,
        "active enrollments without a ledger row: they refund nothing",
        "SELECT " + e(p_.enrollments.key) + " AS enrollment, " + e(p_.enrollments.user) +
            " AS \"user\", " + e(p_.enrollments.tournament) + " AS tournament FROM " +
            r_.active_rows() + " WHERE " + r_.without_ledger_row(),
        "None is needed where nothing was paid for them; else write the ledger rows that are "
        "missing.");
  }

  static constexpr const char* active_path = "$.enrollments.active";
  const Policy& p_;
  const ProbedTables& t_;
  const RowFacts& facts_;
  RowText r_;
  std::vector<RowCheck> list_;
};

}  // namespace

std::vector<Name> names_of(const Policy& policy) {
  Names names;
  names.add(Role::users_table, "$.users.table", policy.users.table);
  names.add(Role::users_key, "$.users.key", policy.users.key);
  names.add(Role::users_balance, "$.users.balance", policy.users.balance);
  names.add(Role::tournaments_table, "$.tournaments.table", policy.tournaments.table);
  names.add(Role::tournaments_key, "$.tournaments.key", policy.tournaments.key);
  for (std::size_t i = 0; i < policy.watch.size(); ++i) {
    const string path = element("$.watch", i);
    names.add(Role::watched_table, path + ".table", policy.watch[i].table);
    names.add(Role::watched_tournament, path + ".tournament", policy.watch[i].tournament);
  }
  add_enrollments(names, policy.enrollments);
  add_ledger(names, policy.ledger);
  for (std::size_t i = 0; i < policy.callers.size(); ++i) {
    names.add(Role::caller, element("$.callers", i), policy.callers[i]);
  }
  return std::move(names.list);
}

std::vector<Probe> probes_of(const Policy& policy, const ProbedTables& tables) {
  return Prober(policy, tables).probes();
}

string finite_balance_probe(const Policy& policy, string_view users) {
  const string balance = column("u", policy.users.balance);
  return "SELECT FROM " + string(users) + " AS u WHERE " + balance +
         " OPERATOR(pg_catalog.>=) 0 AND " + balance + " OPERATOR(pg_catalog.<) 'Infinity'";
}

std::vector<RowCheck> row_checks(const Policy& policy, const ProbedTables& tables,
                                 const RowFacts& facts) {
  return RowChecker(policy, tables, facts).checks();
}

}  // namespace pg_enroll::rules
