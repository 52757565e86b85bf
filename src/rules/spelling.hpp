// How SQL is spelled, for everything here that writes it.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "rules/policy.hpp"

namespace pg_enroll::rules {

std::string quoted(std::string_view identifier);
std::string literal(std::string_view text);
std::string joined(const std::vector<std::string>& parts, std::string_view separator);
std::string column(std::string_view alias, std::string_view name);

// Operators by their schema, which no search_path changes.
std::string equal(std::string_view left, std::string_view right);
// As IS NOT DISTINCT FROM, which would look its operator up on the search path.
std::string same(std::string_view left, std::string_view right);
std::string numeric(std::string_view expression);

// Whether the word stands in the expression, be it in a literal: what it decides is only whether
// a table joins in or a name is made visible, and one too many does no harm.
bool mentions(std::string_view expression, std::string_view word);
bool any_mentions(const std::vector<Assignment>& assignments, std::string_view word);

// What one operation writes into the ledger besides what the extension writes itself: its own
// columns, then those of every operation.
std::vector<Assignment> ledger_assignments(const Policy::Ledger& ledger,
                                           const std::vector<Assignment>& special);

// An expression of the ledger's. One that speaks of the call itself sees it in an inner level, so
// that `cost` there is the price and not a column of some table.
std::string given(std::string_view expression, std::string_view cost, std::string_view operation,
                  std::string_view reason);

}  // namespace pg_enroll::rules
