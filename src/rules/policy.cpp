#include "rules/policy.hpp"

#include <algorithm>
#include <array>
#include <initializer_list>
#include <limits>
#include <map>
#include <set>
#include <utility>

#include <nlohmann/json.hpp>

#include "rules/fragment.hpp"
#include "rules/wording.hpp"

namespace pg_enroll::rules {

std::string element(const std::string& path, std::size_t index) {
  return path + "[" + std::to_string(index) + "]";
}

std::string child(const std::string& path, std::string_view key) {
  constexpr std::size_t most_bytes = 63;
  const bool plain =
      !key.empty() && key.size() <= most_bytes && (is_letter(key.front()) || key.front() == '_') &&
      std::all_of(key.begin(), key.end(), [](char c) { return continues_word(c) && !is_high(c); });
  return plain ? path + "." + std::string(key) : path + "[" + in_quotes(key) + "]";
}

namespace {

// Keeps the document's order, so that generated SQL lists columns as the policy does.
using Json = nlohmann::ordered_json;

// A policy is four levels deep; the limit only stops a document made to exhaust the stack.
constexpr std::size_t deepest = 16;

std::string described(const Json& value) {
  const auto count = [&](const char* one) {
    return std::to_string(value.size()) + " " + one + (value.size() == 1 ? "" : "s");
  };
  if (value.is_string()) {
    const auto& text = value.get_ref<const std::string&>();
    return text.empty() ? "an empty string" : "string " + in_quotes(text);
  }
  if (value.is_boolean()) return "boolean " + value.dump();
  if (value.is_number()) return "number " + value.dump();
  if (value.is_array()) return "an array of " + count("element");
  if (value.is_object()) return "an object of " + count("key");
  return "null";
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

  bool parse_error(std::size_t byte, const std::string& token,
                   const nlohmann::detail::exception& error) override {
    constexpr int number_overflow = 406;
    if (error.id == number_overflow) {
      value();
      throw PolicyError(path(), "found " + token + ", which is too large a number", "");
    }
    constexpr std::size_t shown_bytes = 20;
    const std::size_t end = std::min(byte, document_.size());
    std::size_t begin = end - std::min(end, shown_bytes);
    while (begin < end && continues_character(document_[begin])) ++begin;
    const auto last = document_.substr(begin, end - begin);
    throw PolicyError("$",
                      "not valid JSON, at byte " + std::to_string(byte) +
                          (last.empty() ? "" : ", after " + in_quotes(last)),
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
    throw PolicyError(path(), "found " + in_quotes(text) + ", expected text without a NUL", "");
  }

  [[nodiscard]] std::string path() const {
    std::string path = "$";
    for (const auto& level : levels_) {
      path = level.array ? element(path, level.elements - 1) : child(path, level.key);
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

enum class Kind { table, column, expression, statement, role, label };

const char* expected(Kind kind) {
  switch (kind) {
    case Kind::table:
      return "the name of a table (a string)";
    case Kind::column:
      return "the name of a column (a string)";
    case Kind::expression:
      return "an SQL expression (a string)";
    case Kind::statement:
      return "an SQL statement (a string)";
    case Kind::role:
      return "the name of a role (a string)";
    case Kind::label:
      return "a text (a string)";
  }
  return "";
}

// What a follow-up statement may name, in the order of the parameters $1, $2 and $3.
const Words& follow_up_placeholders() {
  static const Words words{"user", "tournament", "enrollment"};
  return words;
}

std::string checked(const Json& value, const std::string& path, Kind kind) {
  if (!value.is_string() || value.get_ref<const std::string&>().empty()) {
    const bool scalar = value.is_null() || value.is_boolean() || value.is_number();
    const bool advice = kind == Kind::expression && scalar;
    throw PolicyError(path,
                      "expected " + std::string(expected(kind)) + ", found " + described(value),
                      advice ? "Write SQL in a JSON string: " + in_quotes(value.dump()) + "." : "");
  }
  const auto& text = value.get_ref<const std::string&>();
  if (kind == Kind::expression) return checked_expression(text, path);
  if (kind == Kind::statement) return checked_statement(text, path, follow_up_placeholders());
  return text;
}

// Texts of which no two may be one.
class Distinct {
 public:
  explicit Distinct(const char* advice) : advice_(advice) {}

  void add(const std::string& text, const std::string& path) {
    const auto [earlier, is_new] = paths_.emplace(text, path);
    if (is_new) return;
    throw PolicyError(path, in_quotes(text) + " is " + earlier->second + " already", advice_);
  }

 private:
  const char* advice_;
  std::map<std::string, std::string> paths_;
};

// One object of the document, with the keys it may have.
class Section {
 public:
  Section(const Json& value, std::string path, Words known)
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

  // Null where the key is left out.
  [[nodiscard]] const Json* find(const char* key) const {
    const auto found = value_.find(key);
    return found == value_.end() ? nullptr : &*found;
  }

  [[nodiscard]] std::string required(const char* key, Kind kind) const {
    return checked(member(key, expected(kind)), path(key), kind);
  }

  [[nodiscard]] std::optional<std::string> optional(const char* key, Kind kind) const {
    const Json* found = find(key);
    if (found == nullptr) return std::nullopt;
    return checked(*found, path(key), kind);
  }

  [[nodiscard]] std::string expression(const char* key, const char* otherwise) const {
    return optional(key, Kind::expression).value_or(otherwise);
  }

  [[nodiscard]] Section section(const char* key, Words known) const {
    return {member(key, "an object"), path(key), std::move(known)};
  }

  // Which of the words was given; the first where the key is left out.
  [[nodiscard]] std::size_t choice(const char* key, const Words& allowed) const {
    const Json* found = find(key);
    if (found == nullptr) return 0;
    const std::string given = found->is_string() ? found->get<std::string>() : "";
    for (std::size_t i = 0; i < allowed.size(); ++i) {
      if (given == allowed[i]) return i;
    }
    std::string wanted;
    for (const auto word : allowed) wanted += (wanted.empty() ? "" : " or ") + in_quotes(word);
    throw PolicyError(path(key), "expected " + wanted + ", found " + described(*found),
                      did_you_mean(given, allowed));
  }

  // What `read` makes of each element and its path. An absent array has none.
  template <typename Read>
  [[nodiscard]] auto list(const char* key, const char* wanted, Read read) const {
    std::vector<decltype(read(value_, path_))> elements;
    const Json* found = find(key);
    if (found == nullptr) return elements;
    if (!found->is_array()) {
      throw PolicyError(
          path(key), std::string("expected an array of ") + wanted + ", found " + described(*found),
          "");
    }
    for (const auto& value : *found) {
      elements.push_back(read(value, element(path(key), elements.size())));
    }
    return elements;
  }

  // An absent map assigns nothing. A column given twice was refused with the document's keys:
  // names are quoted in SQL, so "A" and "a" are two columns.
  [[nodiscard]] std::vector<Assignment> assignments(const char* key) const {
    std::vector<Assignment> list;
    const Json* found = find(key);
    if (found == nullptr) return list;
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
  [[nodiscard]] std::string known_keys() const { return "Known keys: " + listed(known_) + "."; }

  [[nodiscard]] const Json& member(const char* key, const char* wanted) const {
    const Json* found = find(key);
    if (found == nullptr) {
      throw PolicyError(path(key), "the key is missing, expected " + std::string(wanted), "");
    }
    return *found;
  }

  [[noreturn]] void refuse_unknown(const std::string& key) const {
    throw PolicyError(path(key), "unknown key " + in_quotes(key),
                      did_you_mean(key, known_, known_keys()));
  }

  const Json& value_;
  std::string path_;
  Words known_;
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
    throw PolicyError(section.path(later->key),
                      "column " + in_quotes(later->column) + " serves as " +
                          section.path(earlier->key) + " already",
                      "Name another column.");
  }
}

void refuse_assigning(const Section& section, const char* map,
                      const std::vector<Assignment>& assignments, const std::vector<Taken>& taken) {
  for (const auto& assignment : assignments) {
    for (const auto& [key, column] : taken) {
      if (assignment.column != column) continue;
      throw PolicyError(child(section.path(map), column),
                        "column " + in_quotes(column) + " serves as " + section.path(key) +
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

std::vector<Watch> read_watch(const Section& root) {
  Distinct tables("Name each table once.");
  return root.list("watch", "objects", [&](const Json& value, const std::string& path) {
    const Section section(value, path, {"table", "tournament"});
    Watch watch{
        .table = section.required("table", Kind::table),
        .tournament = section.required("tournament", Kind::column),
    };
    tables.add(watch.table, section.path("table"));
    return watch;
  });
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
      .reenroll = section.choice("reenroll", {"insert", "reactivate"}) == 0 ? Reenroll::insert
                                                                            : Reenroll::reactivate,
  };
  const Taken key{"key", enrollments.key};
  const Taken user{"user", enrollments.user};
  const Taken tournament{"tournament", enrollments.tournament};
  refuse_shared_column(section, {key, user, tournament});
  // A new row may choose its own key; an update that renames or moves its row is never meant.
  std::vector<Taken> written{user, tournament};
  if (enrollments.reenroll == Reenroll::reactivate) written.push_back(key);
  refuse_assigning(section, "insert", enrollments.insert, written);
  refuse_assigning(section, "withdraw", enrollments.withdraw, {key, user, tournament});
  // What nothing is assigned to stays withdrawn.
  if (enrollments.reenroll == Reenroll::reactivate && enrollments.insert.empty()) {
    throw PolicyError(section.path("insert"),
                      "expected at least one column where reenroll is \"reactivate\"",
                      "Assign what makes the withdrawn row active again.");
  }
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
  Distinct labels("Give each operation a type of its own.");
  labels.add(type.enroll, section.path("enroll"));
  labels.add(type.unenroll, section.path("unenroll"));
  labels.add(type.waive, section.path("waive"));
  return type;
}

// Credits are held against the ledger user by user, so a strict one must say whose they are.
bool read_strict(const Section& ledger) {
  const Json* strict = ledger.find("strict");
  if (strict == nullptr) return false;
  if (!strict->is_boolean()) {
    throw PolicyError(ledger.path("strict"), "expected true or false, found " + described(*strict),
                      "");
  }
  if (*strict == true && ledger.find("user") == nullptr) {
    throw PolicyError(ledger.path("strict"), "expected false where the ledger has no user",
                      "Name the ledger's column that holds the user's key under user.");
  }
  return *strict == true;
}

Policy::Ledger read_ledger(const Section& root) {
  const auto section = root.section(
      "ledger", {"table", "amount", "balance_after", "enrollment", "user", "idempotency_key",
                 "order", "strict", "type", "insert", "enroll", "unenroll", "waive"});
  Policy::Ledger ledger{
      .table = section.required("table", Kind::table),
      .amount = section.required("amount", Kind::column),
      .balance_after = section.required("balance_after", Kind::column),
      .enrollment = section.required("enrollment", Kind::column),
      .user = section.optional("user", Kind::column),
      .idempotency_key = section.required("idempotency_key", Kind::column),
      .order = section.required("order", Kind::column),
      .strict = read_strict(section),
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

std::optional<int> read_http_status(const Section& rule) {
  const Json* status = rule.find("http_status");
  if (status == nullptr) return std::nullopt;
  constexpr int lowest = 400;
  constexpr int highest = 599;
  if (!status->is_number_integer() || *status < lowest || *status > highest) {
    throw PolicyError(rule.path("http_status"),
                      "expected a whole number from " + std::to_string(lowest) + " to " +
                          std::to_string(highest) + ", found " + described(*status),
                      "");
  }
  return status->get<int>();
}

std::vector<Rule> read_rules(const Section& root) {
  Distinct names("Give each rule a name of its own.");
  return root.list("rules", "objects", [&](const Json& value, const std::string& path) {
    const Section section(value, path, {"name", "on", "require", "message", "http_status"});
    Rule rule{
        .name = section.required("name", Kind::label),
        .on = section.choice("on", {"enroll", "unenroll"}) == 0 ? Rule::On::enroll
                                                                : Rule::On::unenroll,
        .require = section.required("require", Kind::expression),
        .message = section.optional("message", Kind::label),
        .http_status = read_http_status(section),
    };
    names.add(rule.name, section.path("name"));
    return rule;
  });
}

std::vector<std::string> read_statements(const Section& root, const char* key) {
  return root.list(key, "SQL statements", [](const Json& value, const std::string& path) {
    return checked(value, path, Kind::statement);
  });
}

std::vector<std::string> read_callers(const Section& root) {
  Distinct roles("Name each role once.");
  auto callers =
      root.list("callers", "role names", [&](const Json& value, const std::string& path) {
        auto role = checked(value, path, Kind::role);
        roles.add(role, path);
        return role;
      });
  if (callers.empty() && root.find("callers") != nullptr) {
    throw PolicyError(root.path("callers"), "expected at least one role, found an empty array",
                      "Leave the key out to let whoever may execute the functions use the policy.");
  }
  return callers;
}

struct Unit {
  std::string_view name;
  std::int64_t milliseconds;
};

// Milliseconds, beyond the most that fit once they are too many; no value where it is no time.
std::optional<std::int64_t> milliseconds_of(std::string_view text) {
  constexpr std::array<Unit, 4> units{{{"ms", 1}, {"s", 1'000}, {"min", 60'000}, {"h", 3'600'000}}};
  constexpr std::int64_t enough = std::numeric_limits<std::int32_t>::max();
  std::int64_t count = 0;
  const auto end = std::find_if_not(text.begin(), text.end(), is_digit);
  for (auto digit = text.begin(); digit != end; ++digit) {
    count = std::min(count * 10 + (*digit - '0'), enough + 1);
  }
  const auto name = text.substr(static_cast<std::size_t>(end - text.begin()));
  const auto unit = std::find_if(units.begin(), units.end(),
                                 [&](const Unit& known) { return known.name == name; });
  if (count == 0 || unit == units.end()) return std::nullopt;
  return count * unit->milliseconds;
}

std::optional<std::int32_t> read_wait(const Section& root) {
  const Json* wait = root.find("wait");
  if (wait == nullptr) return std::nullopt;
  constexpr std::int64_t most = std::numeric_limits<std::int32_t>::max();
  const auto fail = [&](const char* wanted, const std::string& hint) {
    throw PolicyError(root.path("wait"),
                      std::string("expected ") + wanted + ", found " + described(*wait), hint);
  };
  const char* const wanted = R"(a time such as "3s" (a string))";
  if (wait->is_number_unsigned() && *wait > 0) {
    fail(wanted, "Write " + in_quotes(wait->dump() + "s") + ".");
  }
  const auto given =
      wait->is_string() ? milliseconds_of(wait->get_ref<const std::string&>()) : std::nullopt;
  if (!given) fail(wanted, "Write a whole number of at least 1 and its unit: ms, s, min or h.");
  if (*given > most) fail("at most 24 days", "");
  return static_cast<std::int32_t>(*given);
}

std::int32_t read_stripes(const Section& root) {
  constexpr std::int32_t most = 1024;
  const Json* stripes = root.find("stripes");
  if (stripes == nullptr || *stripes == "auto") return 0;
  if (stripes->is_number_unsigned() && *stripes >= 1 && *stripes <= most) {
    return stripes->get<std::int32_t>();
  }
  throw PolicyError(root.path("stripes"),
                    "expected \"auto\" or a whole number from 1 to " + std::to_string(most) +
                        ", found " + described(*stripes),
                    "Leave it out: \"auto\" goes by the seats and by what is asked for.");
}

}  // namespace

PolicyError::PolicyError(std::string path, const std::string& problem, std::string hint)
    : std::runtime_error((path.starts_with('$') ? "policy " : "") + path + ": " + problem),
      path_(std::move(path)),
      hint_(std::move(hint)) {}

Policy parse_policy(std::string_view document) {
  const Json json = read_json(document);
  const Section root(
      json, "$",
      {"users", "tournaments", "watch", "enrollments", "ledger", "refund", "rules", "on_enroll",
       "on_unenroll", "callers", "run_as", "wait", "stripes", "notify"});
  return {
      .users = read_users(root),
      .tournaments = read_tournaments(root),
      .watch = read_watch(root),
      .enrollments = read_enrollments(root),
      .ledger = read_ledger(root),
      .refund = root.expression("refund", "0"),
      .rules = read_rules(root),
      .on_enroll = read_statements(root, "on_enroll"),
      .on_unenroll = read_statements(root, "on_unenroll"),
      .callers = read_callers(root),
      .run_as = root.choice("run_as", {"owner", "caller"}) == 0 ? RunAs::owner : RunAs::caller,
      .notify = static_cast<Notify>(root.choice("notify", {"none", "notify", "message"})),
      .stripes = read_stripes(root),
      .wait_ms = read_wait(root),
  };
}

}  // namespace pg_enroll::rules
