// The invariants that an operator has proven once a week: each is one query over all rows, which
// answers how many break it and shows the keys of a few. Nothing is trusted that a guard should
// have kept out, since the guards may have been off.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "rules/rows.hpp"

namespace pg_enroll::rules {

enum class Severity : std::uint8_t { error, warning, info };

constexpr std::string_view severity_name(Severity severity) noexcept {
  switch (severity) {
    case Severity::error:
      return "error";
    case Severity::warning:
      return "warning";
    case Severity::info:
      return "info";
  }
  return {};
}

// Who answers a check. Rows are a query of the tables' owner; a seats query is the extension
// owner's, who alone reads the counters; guards are no rows.
enum class CheckKind : std::uint8_t { rows, seats, guards };

// A query's columns: the number of violations, and up to twenty of them as jsonb. Over rows, $1 is
// the beginning of the window, or the time of attaching if that came later, and $2 the keys of the
// enrollments that were accepted as a baseline, as texts; over seats, $1 is the policy, $2
// tournaments and $3 their active enrollments.
struct Check {
  CheckKind kind;
  Severity severity;
  std::string id, title;
  std::string query;   // empty where the check is skipped, and for guards
  std::string detail;  // what a violation means, or why the check is skipped
  std::string remedy;
};

// How another policy marks its rows in a ledger that both write.
struct ForeignRows {
  std::string_view column, enroll, unenroll, waive;
};

struct CheckFacts {
  std::string_view functions;       // the extension's schema, quoted
  std::string_view seats;           // its table, qualified and quoted
  std::string_view policy;          // the policy's name
  bool balance_is_numeric = false;  // it may be NaN or infinite
  std::span<const ForeignRows> others;
};

// INV-01 to INV-10, in this order.
std::vector<Check> checks_of(const Policy& policy, const ProbedTables& tables,
                             const CheckFacts& facts);

// Two lines of numbers for a report; $1 is the beginning of the window.
std::string summary_query(const Policy& policy, const ProbedTables& tables);

// The keys, as texts, of the active enrollments that have no ledger row.
std::string unpaid_keys_query(const Policy& policy, const ProbedTables& tables);

// A check of somebody's own: its query with $1 for :since, counted like the others. It throws
// PolicyError where it is not one statement.
std::string own_check_statement(std::string_view query);
std::string own_check_query(std::string_view query);

}  // namespace pg_enroll::rules
