// The SQL in a policy: an expression, or a statement with placeholders.
#pragma once

#include <string>
#include <string_view>

namespace pg_enroll::rules {

// Both follow PostgreSQL's lexer just far enough to know that an expression spliced between
// parentheses cannot reach beyond them, that a statement is one, and where its placeholders are.
// What it means is the server's to judge. They throw PolicyError, which names the path.

std::string checked_expression(std::string_view text, const std::string& path);

// With $1, $2 and $3 for :user, :tournament and :enrollment, and without the semicolon at its end.
std::string checked_statement(std::string_view text, const std::string& path);

}  // namespace pg_enroll::rules
