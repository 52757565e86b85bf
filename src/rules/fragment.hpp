// The SQL in a policy: an expression, or a statement with placeholders.
#pragma once

#include <string>
#include <string_view>

#include "rules/wording.hpp"

namespace pg_enroll::rules {

// Both follow PostgreSQL's lexer just far enough to know that an expression spliced between
// parentheses cannot reach beyond them, that a statement is one, and where its placeholders are.
// What it means is the server's to judge. They throw PolicyError, which names the path.

std::string checked_expression(std::string_view text, const std::string& path);

// With $1, $2 and so on for the placeholders, which a colon precedes, and without the semicolon at
// its end.
std::string checked_statement(std::string_view text, const std::string& path,
                              const Words& placeholders);

}  // namespace pg_enroll::rules
