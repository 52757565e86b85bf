// The one bridge from the engine to src/rules, whose code may throw and owns what it allocates.
// Beyond it stand plain structs and palloc'd text only.
#pragma once

#include "pg/prelude.hpp"
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
  ledger_idempotency_key,
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

// Both raise 22023 where the document is no valid policy, naming the JSON path.
PolicyTexts policy_texts(const char* document, const TableNames& tables);
std::array<const char*, rules::statement_count> statement_texts(const char* document,
                                                                const rules::Catalog& catalog);

}  // namespace pg_enroll::engine
