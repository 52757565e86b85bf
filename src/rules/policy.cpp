#include "rules/policy.hpp"

#include <algorithm>
#include <array>
#include <initializer_list>
#include <numeric>
#include <set>
#include <utility>

#include <nlohmann/json.hpp>

namespace pg_enroll::rules {

namespace {

// Keeps the document's order, so that generated SQL lists columns as the policy does.
using Json = nlohmann::ordered_json;
using Names = std::vector<std::string_view>;

// A policy is four levels deep; the limit only stops a document made to exhaust the stack.
constexpr std::size_t deepest = 16;

bool is_letter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }
bool is_digit(char c) { return c >= '0' && c <= '9'; }
bool is_space(char c) {
  return c == ' ' || c == '\t' || c == '\n' || c == '\r' || c == '\f' || c == '\v';
}
bool is_high(char c) { return static_cast<unsigned char>(c) >= 0x80; }
bool continues_character(char c) { return (static_cast<unsigned char>(c) & 0xC0U) == 0x80U; }
bool starts_word(char c) { return is_letter(c) || c == '_' || is_high(c); }
bool continues_word(char c) { return starts_word(c) || is_digit(c); }

// ---- words of a message ------------------------------------------------------------------------

// JSON-quoted, so that control characters cannot break the line, and cut between characters.
std::string quote(std::string_view text) {
  constexpr std::size_t most_bytes = 40;
  std::size_t end = std::min(text.size(), most_bytes);
  while (end > 0 && end < text.size() && continues_character(text[end])) --end;
  std::string shown(text.substr(0, end));
  if (end < text.size()) shown += "...";
  return Json(shown).dump(-1, ' ', false, Json::error_handler_t::replace);
}

std::string joined(const Names& names) {
  std::string list;
  for (const auto name : names) {
    if (!list.empty()) list += ", ";
    list += name;
  }
  return list;
}

std::string child(const std::string& path, std::string_view key) {
  constexpr std::size_t most_bytes = 63;
  const bool plain =
      !key.empty() && key.size() <= most_bytes && (is_letter(key.front()) || key.front() == '_') &&
      std::all_of(key.begin(), key.end(), [](char c) { return continues_word(c) && !is_high(c); });
  return plain ? path + "." + std::string(key) : path + "[" + quote(key) + "]";
}

std::string described(const Json& value) {
  const auto count = [&](const char* one) {
    return std::to_string(value.size()) + " " + one + (value.size() == 1 ? "" : "s");
  };
  if (value.is_string()) return "string " + quote(value.get_ref<const std::string&>());
  if (value.is_boolean()) return "boolean " + value.dump();
  if (value.is_number()) return "number " + value.dump();
  if (value.is_array()) return "an array of " + count("element");
  if (value.is_object()) return "an object of " + count("key");
  return "null";
}

// ---- the nearest known key ---------------------------------------------------------------------

// Edits to turn one word into the other: insert, delete, replace, swap two neighbours. ASCII case
// is free, so that "Table" is at distance 0 from "table".
std::size_t edit_distance(std::string_view a, std::string_view b) {
  const auto lower = [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; };
  const auto same = [&](std::size_t i, std::size_t j) { return lower(a[i]) == lower(b[j]); };
  std::vector<std::size_t> two_back(b.size() + 1);
  std::vector<std::size_t> back(b.size() + 1);
  std::vector<std::size_t> row(b.size() + 1);
  std::iota(row.begin(), row.end(), std::size_t{0});
  for (std::size_t i = 1; i <= a.size(); ++i) {
    two_back.swap(back);
    back.swap(row);
    row[0] = i;
    for (std::size_t j = 1; j <= b.size(); ++j) {
      const std::size_t replaced = back[j - 1] + (same(i - 1, j - 1) ? 0 : 1);
      row[j] = std::min({back[j] + 1, row[j - 1] + 1, replaced});
      const bool swapped = i > 1 && j > 1 && same(i - 1, j - 2) && same(i - 2, j - 1);
      if (swapped) row[j] = std::min(row[j], two_back[j - 2] + 1);
    }
  }
  return row.back();
}

// Empty where no known key is near enough to have been meant.
std::string_view nearest(std::string_view unknown, const Names& known) {
  constexpr std::size_t longest = 64;
  if (unknown.size() > longest) return {};
  std::string_view best;
  std::size_t fewest = longest;
  for (const auto key : known) {
    const std::size_t edits = edit_distance(unknown, key);
    const std::size_t allowed = 1 + std::min(unknown.size(), key.size()) / 4;
    if (edits > allowed || edits >= fewest) continue;
    best = key;
    fewest = edits;
  }
  return best;
}

// ---- SQL fragments -----------------------------------------------------------------------------

// Follows PostgreSQL's lexer just far enough to know that a fragment spliced between parentheses
// cannot reach beyond them. What it means is the server's to judge.
class Fragment {
 public:
  Fragment(std::string_view text, const std::string& path) : text_(text), path_(path) {}

  void check() {
    while (at_ < text_.size()) step();
    if (!open_.empty()) {
      fail(open_.back(), std::string("has ") + text_[open_.back()] + " without its partner");
    }
    if (!said_anything_) fail(0, "is empty");
  }

 private:
  [[noreturn]] void fail(std::size_t at, const std::string& problem, std::string hint = {}) const {
    throw PolicyError(path_,
                      "the SQL expression " + quote(text_) + " " + problem + ", at its byte " +
                          std::to_string(at + 1),
                      std::move(hint));
  }

  [[nodiscard]] char peek(std::size_t ahead = 0) const {
    return at_ + ahead < text_.size() ? text_[at_ + ahead] : '\0';
  }
  [[nodiscard]] bool next_is(std::string_view token) const {
    return text_.substr(at_, token.size()) == token;
  }

  void step() {
    const char c = peek();
    if (is_space(c)) {
      ++at_;
    } else if (next_is("--")) {
      fail(at_, "has a -- comment, which would hide the text that follows it",
           "Use /* ... */ for a comment, and - (-1) for a double minus.");
    } else if (next_is("/*")) {
      skip_comment();
    } else {
      said_anything_ = true;
      token(c);
    }
  }

  void token(char c) {
    if (starts_word(c)) return word();
    if (c == '\'') return plain_string();
    if (c == '"') return skip_quoted('"', "an unterminated quoted identifier");
    if (c == '$') return dollar();
    if (c == ';') fail(at_, "has a semicolon", "Give one expression, not a statement.");
    if (c == '(' || c == '[') open_.push_back(at_);
    if (c == ')' || c == ']') close(c);
    ++at_;
  }

  void close(char c) {
    const char partner = c == ')' ? '(' : '[';
    if (open_.empty() || text_[open_.back()] != partner) {
      fail(at_, std::string("has ") + c + " without its partner");
    }
    open_.pop_back();
  }

  // A word takes its digits and dollars along: in a$b$c nothing is quoted. Only the word E makes
  // the string that touches it one with backslash escapes.
  void word() {
    const std::size_t start = at_;
    while (at_ < text_.size() && (continues_word(peek()) || peek() == '$')) ++at_;
    const auto word = text_.substr(start, at_ - start);
    if ((word == "e" || word == "E") && peek() == '\'') escape_string();
  }

  // From the opening quote to behind the closing one; a doubled quote is part of the text.
  void skip_quoted(char quote, const char* problem) {
    const std::size_t start = at_++;
    while (peek() != quote || peek(1) == quote) {
      if (at_ >= text_.size()) fail(start, std::string("has ") + problem);
      at_ += peek() == quote ? 2 : 1;
    }
    ++at_;
  }

  // With standard_conforming_strings off, '\' does not end where it ends with the setting on, and
  // the setting is the caller's: what reads in two ways is refused.
  void plain_string() {
    const std::size_t start = at_;
    skip_quoted('\'', "an unterminated string");
    std::size_t backslashes = 0;
    for (std::size_t i = start + 1; i < at_; ++i) {
      if (text_[i] == '\'' && backslashes % 2 == 1) {
        fail(i, "has a backslash before a quote, which settings read in two ways",
             R"(Write the string as E'...' with \\ for a backslash, or as $$...$$.)");
      }
      backslashes = text_[i] == '\\' ? backslashes + 1 : 0;
    }
  }

  void escape_string() {
    const std::size_t start = at_;
    do {
      ++at_;
      while (peek() != '\'' || peek(1) == '\'') {
        if (at_ >= text_.size()) fail(start, "has an unterminated string");
        at_ += peek() == '\'' || peek() == '\\' ? 2 : 1;
      }
      ++at_;
    } while (continues_on_new_line());
  }

  // 'a' <newline> 'b' is one string, and its second half keeps the escapes of the first.
  bool continues_on_new_line() {
    std::size_t end = at_;
    bool new_line = false;
    for (; end < text_.size() && is_space(text_[end]); ++end) {
      new_line = new_line || text_[end] == '\n' || text_[end] == '\r';
    }
    if (!new_line || end == text_.size() || text_[end] != '\'') return false;
    at_ = end;
    return true;
  }

  void dollar() {
    if (is_digit(peek(1))) {
      fail(at_, "has a parameter", "Parameters belong to the extension; use the aliases instead.");
    }
    std::size_t end = at_ + 1;
    if (end < text_.size() && starts_word(text_[end])) {
      while (end < text_.size() && continues_word(text_[end])) ++end;
    }
    if (end == text_.size() || text_[end] != '$') {
      ++at_;  // no quote begins here; the server answers what a lone $ deserves
      return;
    }
    const auto delimiter = text_.substr(at_, end + 1 - at_);
    const std::size_t close = text_.find(delimiter, end + 1);
    if (close == std::string_view::npos) fail(at_, "has an unterminated dollar-quoted string");
    at_ = close + delimiter.size();
  }

  void skip_comment() {
    const std::size_t start = at_;
    std::size_t depth = 0;
    do {
      if (at_ >= text_.size()) fail(start, "has an unterminated comment");
      const bool opens = next_is("/*");
      const bool closes = next_is("*/");
      if (opens) ++depth;
      if (closes) --depth;
      at_ += opens || closes ? 2 : 1;
    } while (depth > 0);
  }

  std::string_view text_;
  const std::string& path_;
  std::size_t at_ = 0;
  std::vector<std::size_t> open_;
  bool said_anything_ = false;
};

void check_fragment(std::string_view text, const std::string& path) {
  Fragment(text, path).check();
}

// ---- the document as JSON ----------------------------------------------------------------------

// What the JSON library would let pass: a key given twice (the last silently wins), a NUL (no text
// of PostgreSQL can hold it) and nesting without end.
class Structure : public nlohmann::json_sax<Json> {
 public:
  explicit Structure(std::string_view document) : document_(document) {}

  bool null() override { return value(); }
  bool boolean(bool) override { return value(); }
  bool number_integer(number_integer_t) override { return value(); }
  bool number_unsigned(number_unsigned_t) override { return value(); }
  bool number_float(number_float_t, const string_t&) override { return value(); }
  bool binary(binary_t&) override { return value(); }
  bool string(string_t& text) override {
    value();
    refuse_nul(text);
    return true;
  }
  bool start_object(std::size_t) override { return start(false); }
  bool start_array(std::size_t) override { return start(true); }
  bool end_object() override { return end(); }
  bool end_array() override { return end(); }

  bool key(string_t& name) override {
    Level& level = levels_.back();
    level.key = name;
    refuse_nul(name);
    if (!level.seen.insert(name).second) {
      throw PolicyError(path(), "the key is given twice", "Keep one of the two.");
    }
    return true;
  }

  bool parse_error(std::size_t byte, const std::string&,
                   const nlohmann::detail::exception&) override {
    constexpr std::size_t shown_bytes = 20;
    const std::size_t end = std::min(byte, document_.size());
    std::size_t begin = end - std::min(end, shown_bytes);
    while (begin < end && continues_character(document_[begin])) ++begin;
    const auto last = document_.substr(begin, end - begin);
    throw PolicyError("$",
                      "not valid JSON, at byte " + std::to_string(byte) +
                          (last.empty() ? "" : ", after " + quote(last)),
                      "");
  }

 private:
  struct Level {
    bool array = false;
    std::size_t elements = 0;
    std::string key;
    std::set<std::string> seen;
  };

  bool value() {
    if (!levels_.empty()) ++levels_.back().elements;
    return true;
  }

  bool start(bool array) {
    value();
    if (levels_.size() == deepest) {
      throw PolicyError(path(), "nested deeper than " + std::to_string(deepest) + " levels", "");
    }
    levels_.push_back({array, 0, {}, {}});
    return true;
  }

  bool end() {
    levels_.pop_back();
    return true;
  }

  void refuse_nul(const std::string& text) const {
    if (text.find('\0') == std::string::npos) return;
    throw PolicyError(path(), "found " + quote(text) + ", expected text without a NUL", "");
  }

  [[nodiscard]] std::string path() const {
    std::string path = "$";
    for (const auto& level : levels_) {
      if (level.array) {
        path.append("[").append(std::to_string(level.elements - 1)).append("]");
      } else {
        path = child(path, level.key);
      }
    }
    return path;
  }

  std::string_view document_;
  std::vector<Level> levels_;
};

Json read_json(std::string_view document) {
  // The library takes a NUL for the end of the text, and would not read what stands behind it.
  if (const auto nul = document.find('\0'); nul != std::string_view::npos) {
    throw PolicyError("$", "not valid JSON, NUL at byte " + std::to_string(nul + 1), "");
  }
  Structure structure(document);
  Json::sax_parse(document, &structure);
  return Json::parse(document);
}

// ---- the document as a policy ------------------------------------------------------------------

enum class Kind { table, column, expression, label };

const char* expected(Kind kind) {
  switch (kind) {
    case Kind::table:
      return "the name of a table (a string)";
    case Kind::column:
      return "the name of a column (a string)";
    case Kind::expression:
      return "an SQL expression (a string)";
    case Kind::label:
      return "a text (a string)";
  }
  return "";
}

std::string checked(const Json& value, const std::string& path, Kind kind) {
  const bool string = value.is_string();
  if (!string || value.get_ref<const std::string&>().empty()) {
    const bool scalar = value.is_null() || value.is_boolean() || value.is_number();
    const bool advice = kind == Kind::expression && scalar;
    throw PolicyError(path,
                      "expected " + std::string(expected(kind)) + ", found " +
                          (string ? "an empty string" : described(value)),
                      advice ? "Write SQL in a JSON string: " + quote(value.dump()) + "." : "");
  }
  std::string text = value.get<std::string>();
  if (kind == Kind::expression) check_fragment(text, path);
  return text;
}

// One object of the document, with the keys it may have.
class Section {
 public:
  Section(const Json& value, std::string path, Names known)
      : value_(value), path_(std::move(path)), known_(std::move(known)) {
    if (!value_.is_object()) {
      throw PolicyError(path_, "expected an object, found " + described(value_), known_keys());
    }
    for (const auto& item : value_.items()) {
      if (std::find(known_.begin(), known_.end(), item.key()) == known_.end()) {
        refuse_unknown(item.key());
      }
    }
  }

  [[nodiscard]] std::string path(std::string_view key) const { return child(path_, key); }

  [[nodiscard]] std::string required(const char* key, Kind kind) const {
    return checked(member(key, expected(kind)), path(key), kind);
  }

  [[nodiscard]] std::optional<std::string> optional(const char* key, Kind kind) const {
    const auto found = value_.find(key);
    if (found == value_.end()) return std::nullopt;
    return checked(*found, path(key), kind);
  }

  [[nodiscard]] std::string expression(const char* key, const char* otherwise) const {
    return optional(key, Kind::expression).value_or(otherwise);
  }

  [[nodiscard]] Section section(const char* key, Names known) const {
    return {member(key, "an object"), path(key), std::move(known)};
  }

  // An absent map assigns nothing. A column given twice was refused with the document's keys:
  // names are quoted in SQL, so "A" and "a" are two columns.
  [[nodiscard]] std::vector<Assignment> assignments(const char* key) const {
    std::vector<Assignment> list;
    const auto found = value_.find(key);
    if (found == value_.end()) return list;
    if (!found->is_object()) {
      throw PolicyError(
          path(key),
          "expected an object of columns and SQL expressions, found " + described(*found), "");
    }
    for (const auto& item : found->items()) {
      const std::string at = child(path(key), item.key());
      if (item.key().empty()) {
        throw PolicyError(at, "expected the name of a column, found an empty string", "");
      }
      list.push_back({item.key(), checked(item.value(), at, Kind::expression)});
    }
    return list;
  }

  [[nodiscard]] std::vector<Assignment> required_assignments(const char* key) const {
    static_cast<void>(member(key, "an object of columns and SQL expressions"));
    auto list = assignments(key);
    if (list.empty()) {
      throw PolicyError(path(key), "expected at least one column, found an empty object", "");
    }
    return list;
  }

 private:
  [[nodiscard]] std::string known_keys() const { return "Known keys: " + joined(known_) + "."; }

  [[nodiscard]] const Json& member(const char* key, const char* wanted) const {
    const auto found = value_.find(key);
    if (found == value_.end()) {
      throw PolicyError(path(key), "the key is missing, expected " + std::string(wanted), "");
    }
    return *found;
  }

  [[noreturn]] void refuse_unknown(const std::string& key) const {
    const auto near = nearest(key, known_);
    const std::string meant = near.empty() ? "" : "Did you mean " + quote(near) + "? ";
    throw PolicyError(path(key), "unknown key " + quote(key), meant + known_keys());
  }

  const Json& value_;
  std::string path_;
  Names known_;
};

// A column that one role has taken, so that no other role and no assignment takes it again.
struct Taken {
  const char* key;
  std::string column;
};

void refuse_shared_column(const Section& section, const std::vector<Taken>& taken) {
  for (auto later = taken.begin(); later != taken.end(); ++later) {
    const auto earlier = std::find_if(
        taken.begin(), later, [&](const Taken& other) { return other.column == later->column; });
    if (earlier == later) continue;
    throw PolicyError(
        section.path(later->key),
        "column " + quote(later->column) + " serves as " + section.path(earlier->key) + " already",
        "Name another column.");
  }
}

void refuse_assigning(const Section& section, const char* map,
                      const std::vector<Assignment>& assignments, const std::vector<Taken>& taken) {
  for (const auto& assignment : assignments) {
    for (const auto& [key, column] : taken) {
      if (assignment.column != column) continue;
      throw PolicyError(child(section.path(map), column),
                        "column " + quote(column) + " serves as " + section.path(key) +
                            ", which the extension writes itself",
                        "Remove this assignment.");
    }
  }
}

Policy::Users read_users(const Section& root) {
  const auto section = root.section("users", {"table", "key", "balance"});
  Policy::Users users{
      .table = section.required("table", Kind::table),
      .key = section.required("key", Kind::column),
      .balance = section.required("balance", Kind::column),
  };
  refuse_shared_column(section, {{"key", users.key}, {"balance", users.balance}});
  return users;
}

Policy::Tournaments read_tournaments(const Section& root) {
  const auto section = root.section("tournaments", {"table", "key", "capacity", "cost", "open"});
  return {
      .table = section.required("table", Kind::table),
      .key = section.required("key", Kind::column),
      .capacity = section.expression("capacity", "NULL"),
      .cost = section.expression("cost", "0"),
      .open = section.expression("open", "TRUE"),
  };
}

void check_reenroll(const Section& section) {
  const auto reenroll = section.optional("reenroll", Kind::label);
  if (!reenroll || *reenroll == "insert") return;
  throw PolicyError(section.path("reenroll"),
                    R"(expected "insert", found string )" + quote(*reenroll), "");
}

Policy::Enrollments read_enrollments(const Section& root) {
  const auto section =
      root.section("enrollments", {"table", "key", "user", "tournament", "active", "withdrawn",
                                   "time", "insert", "withdraw", "reenroll"});
  Policy::Enrollments enrollments{
      .table = section.required("table", Kind::table),
      .key = section.required("key", Kind::column),
      .user = section.required("user", Kind::column),
      .tournament = section.required("tournament", Kind::column),
      .active = section.required("active", Kind::expression),
      .withdrawn = section.optional("withdrawn", Kind::expression),
      .time = section.optional("time", Kind::column),
      .insert = section.assignments("insert"),
      .withdraw = section.required_assignments("withdraw"),
  };
  check_reenroll(section);
  const Taken key{"key", enrollments.key};
  const Taken user{"user", enrollments.user};
  const Taken tournament{"tournament", enrollments.tournament};
  refuse_shared_column(section, {key, user, tournament});
  // A new row may choose its own key; a withdrawal that renames or moves its row is never meant.
  refuse_assigning(section, "insert", enrollments.insert, {user, tournament});
  refuse_assigning(section, "withdraw", enrollments.withdraw, {key, user, tournament});
  return enrollments;
}

Policy::Ledger::Type read_type(const Section& ledger) {
  const auto section = ledger.section("type", {"column", "enroll", "unenroll", "waive"});
  Policy::Ledger::Type type{
      .column = section.required("column", Kind::column),
      .enroll = section.required("enroll", Kind::label),
      .unenroll = section.required("unenroll", Kind::label),
      .waive = section.required("waive", Kind::label),
  };
  // What was paid, and what a key was used for, is read back from these: were two of them one, a
  // refund would count as a payment.
  const std::array<std::pair<const char*, const std::string*>, 3> labels{
      {{"enroll", &type.enroll}, {"unenroll", &type.unenroll}, {"waive", &type.waive}}};
  for (std::size_t later = 1; later < labels.size(); ++later) {
    for (std::size_t earlier = 0; earlier < later; ++earlier) {
      if (*labels[later].second != *labels[earlier].second) continue;
      throw PolicyError(
          section.path(labels[later].first),
          quote(*labels[later].second) + " is " + section.path(labels[earlier].first) + " already",
          "Give each operation a type of its own.");
    }
  }
  return type;
}

Policy::Ledger read_ledger(const Section& root) {
  const auto section = root.section(
      "ledger", {"table", "amount", "balance_after", "enrollment", "user", "idempotency_key",
                 "order", "type", "insert", "enroll", "unenroll", "waive"});
  Policy::Ledger ledger{
      .table = section.required("table", Kind::table),
      .amount = section.required("amount", Kind::column),
      .balance_after = section.required("balance_after", Kind::column),
      .enrollment = section.required("enrollment", Kind::column),
      .user = section.optional("user", Kind::column),
      .idempotency_key = section.required("idempotency_key", Kind::column),
      .order = section.required("order", Kind::column),
      .type = read_type(section),
      .insert = section.assignments("insert"),
      .enroll = section.assignments("enroll"),
      .unenroll = section.assignments("unenroll"),
      .waive = section.assignments("waive"),
  };
  std::vector<Taken> taken{{"amount", ledger.amount},
                           {"balance_after", ledger.balance_after},
                           {"enrollment", ledger.enrollment},
                           {"idempotency_key", ledger.idempotency_key},
                           {"type", ledger.type.column}};
  refuse_assigning(section, "insert", ledger.insert, taken);
  refuse_assigning(section, "enroll", ledger.enroll, taken);
  refuse_assigning(section, "unenroll", ledger.unenroll, taken);
  refuse_assigning(section, "waive", ledger.waive, taken);
  // The user's column may be assigned, but it is no other role's column either.
  if (ledger.user) taken.push_back({"user", *ledger.user});
  refuse_shared_column(section, taken);
  return ledger;
}

}  // namespace

PolicyError::PolicyError(std::string path, const std::string& problem, std::string hint)
    : std::runtime_error("policy " + path + ": " + problem),
      path_(std::move(path)),
      hint_(std::move(hint)) {}

Policy parse_policy(std::string_view document) {
  const Json json = read_json(document);
  const Section root(json, "$", {"users", "tournaments", "enrollments", "ledger", "refund"});
  return {
      .users = read_users(root),
      .tournaments = read_tournaments(root),
      .enrollments = read_enrollments(root),
      .ledger = read_ledger(root),
      .refund = root.expression("refund", "0"),
  };
}

}  // namespace pg_enroll::rules
