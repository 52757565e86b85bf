// Rows that break a rule: where they are found, and the SQL that sets them right. One wording for
// attaching, which meets them in tables that were never guarded, and for the checks, which meet
// them where a guard was off.
#pragma once

#include <string>
#include <string_view>

#include "rules/policy.hpp"

namespace pg_enroll::rules {

// The policy's tables as the catalogs name them, qualified and quoted.
struct ProbedTables {
  std::string_view users, tournaments, enrollments, ledger;
  std::string_view balance_type;  // with its modifier
};

// One statement that answers how many rows the query finds, and twenty of them as jsonb.
std::string counted(const std::string& rows, std::string_view order);

// The queries, their conditions and the remedies, which are for people to paste.
class RowText {
 public:
  RowText(const Policy& policy, const ProbedTables& tables) : p_(policy), t_(tables) {}

  std::string e(std::string_view name) const;
  std::string user_key() const;
  std::string tournament_key() const;
  std::string active_rows() const;  // as e

  // Whether a ledger row is of one of the three types; as text, since what an enum lacks no row
  // has.
  std::string is_type(std::string_view word) const;
  std::string is_any_type() const;

  std::string duplicates() const;
  std::string oversold() const;
  // A condition on e: no ledger row stands for the place that it takes.
  std::string without_ledger_row() const;
  // A condition on u. One that is numeric may be without bounds.
  std::string unsound_balance(bool numeric) const;

  std::string withdraw_duplicates() const;
  std::string withdraw_oversold() const;
  std::string reset_unsound_balances(bool numeric) const;
  std::string reset_balances(const std::string& condition) const;  // on u
  // Withdraws, without a refund, what the condition on e names.
  std::string withdrawal(const std::string& join, const std::string& condition) const;

 private:
  std::string seats() const;  // tournaments with their capacity, as c

  const Policy& p_;
  const ProbedTables& t_;
};

}  // namespace pg_enroll::rules
