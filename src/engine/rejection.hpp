// What a call tells: the facts as JSON; of a rejection also the hint and the error's fields.
#pragma once

#include "engine/attachment.hpp"
#include "rules/outcome.hpp"

namespace pg_enroll::engine {

// The facts of one call, as far as they are known and apply.
struct Facts {
  const Attachment* policy = nullptr;  // null where the call ended before it was looked at
  const char* policy_name = nullptr;
  std::optional<Datum> user;
  std::optional<Datum> tournament;
  const char* guard = nullptr;
  const PolicyRule* rule = nullptr;
  std::optional<int64> capacity;
  std::optional<int64> count;
  pg::Value price;
  // Of a strict ledger: keys as text, and what a transaction did to a user's credits.
  const char* user_text = nullptr;
  const char* enrollment_text = nullptr;
  pg::Value balance_change, ledger_sum, balance, balance_after;
  // Of what was done.
  const char* operation = nullptr;
  const char* code = nullptr;
  std::optional<Datum> enrollment;
  pg::Value amount;
};

inline Facts facts_about(const Attachment* policy, std::optional<Datum> user,
                         std::optional<Datum> tournament) {
  Facts facts;
  facts.policy = policy;
  facts.policy_name = policy->name;
  facts.user = user;
  facts.tournament = tournament;
  return facts;
}

// The facts as a JSON object, palloc'd.
const char* facts_json(const Facts& facts);

// Raises the outcome as an error of its SQLSTATE.
[[noreturn]] void raise_rejection(rules::Outcome outcome, const Facts& facts);

}  // namespace pg_enroll::engine
