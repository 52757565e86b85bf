// The one bridge from the engine to src/rules, whose code may throw and owns what it allocates.
// Beyond it stand plain structs and palloc'd text only.
#pragma once

#include "pg/memory.hpp"
#include "rules/checks.hpp"
#include "rules/probes.hpp"
#include "rules/sql.hpp"

namespace pg_enroll::engine {

// The names of a policy that the catalogs are asked about.
enum class PolicyText : std::uint8_t {
  users_key,
  users_balance,
  tournaments_key,
  enrollments_key,
  enrollments_user,
  enrollments_tournament,
  ledger_amount,
  ledger_balance_after,
  ledger_enrollment,
  ledger_user,  // empty where the policy names none
  ledger_idempotency_key,
  ledger_order,
  ledger_type,
  ledger_type_enroll,
  ledger_type_unenroll,
  ledger_type_waive,
  // Queries whose WHERE clause the catalogs parse.
  active_probe,
  balance_probe,
  // As the document spells it, for a CREATE INDEX.
  active,
};
inline constexpr std::size_t policy_text_count = static_cast<std::size_t>(PolicyText::active) + 1;

struct PolicyTexts {
  std::array<const char*, policy_text_count> at;
  const char* operator[](PolicyText text) const { return at[static_cast<std::size_t>(text)]; }
};

// Tables as the catalogs name them now: qualified and quoted.
struct TableNames {
  const char* users;
  const char* enrollments;
};

// A rule of the policy: what it answers where it does not hold.
struct PolicyRule {
  const char* name;
  const char* message;  // null: the outcome's own
  int http_status;      // 0: likewise
};

struct PolicyRules {
  const PolicyRule* at;
  int count;
};

// What a policy lists. Lists hold C strings.
struct PolicyLists {
  PolicyRules enroll_rules, unenroll_rules;
  List *on_enroll, *on_unenroll;  // statements over $1, $2, $3: user, tournament, enrollment
  List* callers;
  List *watched_tables, *watched_columns;  // in step
  bool reactivates;
  bool runs_as_caller;
  bool strict;  // the ledger is
  rules::Notify notify;
  int32 stripes;  // at most; 0: by the seats
  std::optional<int32> wait_ms;
};

// What attaching asks of a policy; see rules::Name, rules::Probe and rules::RowCheck.
struct PolicyName {
  rules::Role role;
  const char *path, *text;
};

struct PolicyProbe {
  rules::ProbeKind kind;
  const char *path, *text, *column;
  bool inner, watched;
};

struct PolicyRowCheck {
  bool refuses;
  const char *path, *table, *obstacle, *query, *remedy;
};

// See rules::Check.
struct PolicyCheck {
  rules::CheckKind kind;
  rules::Severity severity;
  const char *id, *title, *query, *detail, *remedy;
};

// All raise 22023 where the document is no valid policy, naming the JSON path.
PolicyTexts policy_texts(const char* document, const TableNames& tables);
PolicyLists policy_lists(const char* document);
std::array<const char*, rules::statement_count> statement_texts(const char* document,
                                                                const rules::Catalog& catalog);
pg::Items<PolicyName> policy_names(const char* document);
pg::Items<PolicyProbe> policy_probes(const char* document, const rules::ProbedTables& tables);
pg::Items<PolicyRowCheck> policy_row_checks(const char* document, const rules::ProbedTables& tables,
                                            const rules::RowFacts& facts);
const char* finite_balance_probe(const char* document, const char* users);
pg::Items<PolicyCheck> policy_checks(const char* document, const rules::ProbedTables& tables,
                                     const rules::CheckFacts& facts);
const char* summary_query(const char* document, const rules::ProbedTables& tables);
const char* unpaid_keys_query(const char* document, const rules::ProbedTables& tables);

// A check of somebody's own, as one statement with $1 for :since, and as the query that counts what
// it finds. Raise 22023 where it is not one statement.
const char* own_check_statement(const char* query);
const char* own_check_query(const char* query);

}  // namespace pg_enroll::engine
