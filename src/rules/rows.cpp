#include "rules/rows.hpp"

#include <vector>

#include "rules/spelling.hpp"

namespace pg_enroll::rules {

using std::string;
using std::string_view;

string counted(const string& rows, string_view order) {
  return "WITH found AS MATERIALIZED (" + rows +
         ") SELECT pg_catalog.count(*), (SELECT pg_catalog.jsonb_agg(pg_catalog.to_jsonb(s)) FROM "
         "(SELECT * FROM found " +
         string(order) + " LIMIT 20) AS s) FROM found";
}

string RowText::e(string_view name) const { return column("e", name); }

string RowText::user_key() const { return column("u", p_.users.key); }

string RowText::tournament_key() const { return column("t", p_.tournaments.key); }

string RowText::active_rows() const {
  return "(SELECT e.* FROM " + string(t_.enrollments) + " AS e WHERE (" + p_.enrollments.active +
         ")) AS e";
}

string RowText::is_type(string_view word) const {
  return equal(column("l", p_.ledger.type.column) + "::pg_catalog.text", literal(word));
}

string RowText::is_any_type() const {
  const auto& type = p_.ledger.type;
  return "(" + is_type(type.enroll) + " OR " + is_type(type.unenroll) + " OR " +
         is_type(type.waive) + ")";
}

string RowText::duplicates() const {
  const string user = e(p_.enrollments.user);
  const string tournament = e(p_.enrollments.tournament);
  const string key = e(p_.enrollments.key);
  return "SELECT " + user + " AS \"user\", " + tournament +
         " AS tournament, pg_catalog.array_agg(" + key + " ORDER BY " + key +
         ") AS enrollments FROM " + active_rows() + " WHERE " + user + " IS NOT NULL AND " +
         tournament + " IS NOT NULL GROUP BY " + user + ", " + tournament +
         " HAVING pg_catalog.count(*) OPERATOR(pg_catalog.>) 1";
}

string RowText::seats() const {
  return "(SELECT " + tournament_key() + " AS tournament, (" + p_.tournaments.capacity +
         ")::pg_catalog.int8 AS capacity FROM " + string(t_.tournaments) + " AS t) AS c";
}

string RowText::oversold() const {
  const string tournament = e(p_.enrollments.tournament);
  return "SELECT c.tournament, c.capacity, a.taken FROM " + seats() + " JOIN (SELECT " +
         tournament + " AS tournament, pg_catalog.count(*) AS taken FROM " + active_rows() +
         " GROUP BY " + tournament + ") AS a ON " + equal("a.tournament", "c.tournament") +
         " WHERE c.capacity IS NOT NULL AND a.taken OPERATOR(pg_catalog.>) "
         "GREATEST(c.capacity, 0)";
}

// The last row tells, as it does for a refund: one that was withdrawn and reinstated by hand has
// rows, but none for the place that it takes now.
string RowText::without_ledger_row() const {
  const string enrollment = column("l", p_.ledger.enrollment);
  return "NOT EXISTS (SELECT FROM (SELECT DISTINCT ON (" + enrollment + ") " + enrollment +
         " AS enrollment, " + is_type(p_.ledger.type.unenroll) + " AS refunds FROM " +
         string(t_.ledger) + " AS l WHERE " + enrollment + " IS NOT NULL AND " + is_any_type() +
         " ORDER BY " + enrollment + ", " + column("l", p_.ledger.order) + " DESC) AS m WHERE " +
         equal("m.enrollment", e(p_.enrollments.key)) + " AND NOT m.refunds)";
}

string RowText::unsound_balance(bool numeric) const {
  const string balance = column("u", p_.users.balance);
  return balance + " OPERATOR(pg_catalog.<) 0" +
         (numeric ? " OR " + balance + " OPERATOR(pg_catalog.>=) 'Infinity'" : "");
}

string RowText::withdraw_duplicates() const {
  const string key = e(p_.enrollments.key);
  return withdrawal("(SELECT " + key + " AS surplus, row_number() OVER (PARTITION BY " +
                        e(p_.enrollments.user) + ", " + e(p_.enrollments.tournament) +
                        " ORDER BY " + key + ") AS n FROM " + active_rows() + ") AS d",
                    "d.surplus = " + key + " AND d.n > 1");
}

string RowText::withdraw_oversold() const {
  const string key = e(p_.enrollments.key);
  const string tournament = e(p_.enrollments.tournament);
  return withdrawal("(SELECT " + key + " AS surplus, row_number() OVER (PARTITION BY " +
                        tournament + " ORDER BY " + key + ") AS n, c.capacity FROM " +
                        active_rows() + " JOIN " + seats() + " ON c.tournament = " + tournament +
                        ") AS d",
                    "d.surplus = " + key + " AND d.n > d.capacity");
}

string RowText::reset_unsound_balances(bool numeric) const {
  const string balance = column("u", p_.users.balance);
  return reset_balances(balance + " < 0" + (numeric ? " OR " + balance + " >= 'Infinity'" : ""));
}

string RowText::reset_balances(const string& condition) const {
  return "UPDATE " + string(t_.users) + " AS u SET " + quoted(p_.users.balance) + " = 0 WHERE " +
         condition;
}

string RowText::withdrawal(const string& join, const string& condition) const {
  const auto& assignments = p_.enrollments.withdraw;
  std::vector<string> sets;
  for (const Assignment& a : assignments) {
    sets.push_back(quoted(a.column) + " = (" + a.expression + ")");
  }
  std::vector<string> from;
  string joins;
  if (any_mentions(assignments, "t")) {
    from.push_back(string(t_.tournaments) + " AS t");
    joins += tournament_key() + " = " + e(p_.enrollments.tournament) + " AND ";
  }
  if (any_mentions(assignments, "u")) {
    from.push_back(string(t_.users) + " AS u");
    joins += user_key() + " = " + e(p_.enrollments.user) + " AND ";
  }
  if (!join.empty()) from.push_back(join);
  return "UPDATE " + string(t_.enrollments) + " AS e SET " + joined(sets, ", ") +
         (from.empty() ? "" : " FROM " + joined(from, ", ")) + " WHERE " + joins + condition;
}

}  // namespace pg_enroll::rules
