#include "rules/spelling.hpp"

#include <algorithm>
#include <cctype>

namespace pg_enroll::rules {

using std::string;
using std::string_view;

namespace {

bool is_word(char c) {
  return c == '_' || c == '$' || std::isalnum(static_cast<unsigned char>(c)) != 0 ||
         static_cast<unsigned char>(c) >= 0x80;
}

}  // namespace

string quoted(string_view identifier) {
  string out = "\"";
  for (const char c : identifier) {
    if (c == '"') out += '"';
    out += c;
  }
  return out + '"';
}

string literal(string_view text) {
  // E'' reads the same whatever standard_conforming_strings says.
  string out = "E'";
  for (const char c : text) {
    if (c == '\'' || c == '\\') out += c;
    out += c;
  }
  return out + '\'';
}

string joined(const std::vector<string>& parts, string_view separator) {
  string out;
  for (const string& part : parts) {
    if (!out.empty()) out += separator;
    out += part;
  }
  return out;
}

string column(string_view alias, string_view name) { return string(alias) + "." + quoted(name); }

string equal(string_view left, string_view right) {
  return string(left) + " OPERATOR(pg_catalog.=) " + string(right);
}

string same(string_view left, string_view right) {
  return "COALESCE(" + equal(left, right) + ", " + string(left) + " IS NULL AND " + string(right) +
         " IS NULL)";
}

string numeric(string_view expression) {
  return "(" + string(expression) + ")::pg_catalog.numeric";
}

bool mentions(string_view expression, string_view word) {
  string lower(expression);
  std::transform(lower.begin(), lower.end(), lower.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  for (size_t at = lower.find(word); at != string::npos; at = lower.find(word, at + 1)) {
    const size_t after = at + word.size();
    const bool starts = at == 0 || !is_word(lower[at - 1]);
    if (starts && (after == lower.size() || !is_word(lower[after]))) return true;
  }
  return false;
}

bool any_mentions(const std::vector<Assignment>& assignments, string_view word) {
  return std::any_of(assignments.begin(), assignments.end(),
                     [&](const Assignment& a) { return mentions(a.expression, word); });
}

std::vector<Assignment> ledger_assignments(const Policy::Ledger& ledger,
                                           const std::vector<Assignment>& special) {
  std::vector<Assignment> all = special;
  for (const Assignment& common : ledger.insert) {
    const bool overridden = std::any_of(special.begin(), special.end(), [&](const Assignment& a) {
      return a.column == common.column;
    });
    if (!overridden) all.push_back(common);
  }
  return all;
}

string given(string_view expression, string_view cost, string_view operation, string_view reason) {
  const string value = "(" + string(expression) + ")";
  if (!mentions(expression, "cost") && !mentions(expression, "operation") &&
      !mentions(expression, "reason")) {
    return value;
  }
  return "(SELECT " + value + " FROM (SELECT " + string(cost) + " AS cost, " + literal(operation) +
         "::pg_catalog.text AS operation, " + string(reason) +
         "::pg_catalog.text AS reason) AS given)";
}

}  // namespace pg_enroll::rules
