// What attaching a policy asks: every name and every expression of the document with its place in
// it, and the queries that find rows which stand in the way.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "rules/policy.hpp"
#include "rules/rows.hpp"

namespace pg_enroll::rules {

// What a name in the document stands for.
enum class Role : std::uint8_t {
  users_table,
  users_key,
  users_balance,
  tournaments_table,
  tournaments_key,
  watched_table,
  watched_tournament,
  enrollments_table,
  enrollments_key,
  enrollments_user,
  enrollments_tournament,
  enrollments_time,
  enrollments_insert,  // columns that the policy assigns
  enrollments_withdraw,
  ledger_table,
  ledger_amount,
  ledger_balance_after,
  ledger_enrollment,
  ledger_user,
  ledger_idempotency_key,
  ledger_order,
  ledger_type,
  ledger_word,    // a value of the type column
  ledger_insert,  // columns that the policy assigns
  ledger_enroll,
  ledger_unenroll,
  ledger_waive,
  caller,
};

struct Name {
  Role role;
  std::string path, text;
};

// Tables come before their columns.
std::vector<Name> names_of(const Policy& policy);

// What an expression has to be, and so how it is looked at.
enum class ProbeKind : std::uint8_t {
  boolean,     // the statement's WHERE clause, which the parser judges
  withdrawn,   // likewise, which rows of the enrollments are withdrawn
  predicate,   // of an index over the enrollments: not a statement but the expression alone
  integer,     // the statement's one column
  number,      // likewise
  enrollment,  // likewise, assigned to a column of the enrollments
  ledger,      // likewise, assigned to a column of the ledger
  follow_up,   // a statement over $1, $2 and $3
};

struct Probe {
  ProbeKind kind;
  std::string path, text;
  std::string column;    // what the value is assigned to
  bool inner = false;    // the expression stands in a sub-select that is the statement's column
  bool watched = false;  // the tables it reads open, close or resize a tournament
};

std::vector<Probe> probes_of(const Policy& policy, const ProbedTables& tables);

// SELECT FROM u WHERE the balance is neither negative nor without bounds, for the catalogs to
// parse: what the check on a numeric balance has to say.
std::string finite_balance_probe(const Policy& policy, std::string_view users);

// A look at the rows: its query answers how many stand in the way, and a few of them as jsonb.
struct RowCheck {
  bool refuses = false;  // attaching is refused; else it warns
  std::string path;      // of the expression that the query evaluates
  std::string table;     // qualified and quoted
  std::string obstacle, query, remedy;
};

struct RowFacts {
  bool balance_is_numeric = false;            // it may be NaN or infinite
  std::optional<std::int32_t> balance_scale;  // digits after the point; no value: no limit
};

std::vector<RowCheck> row_checks(const Policy& policy, const ProbedTables& tables,
                                 const RowFacts& facts);

}  // namespace pg_enroll::rules
