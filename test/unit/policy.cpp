#include "rules/policy.hpp"

#include <string>
#include <utility>
#include <vector>

#include <catch2/catch.hpp>
#include <nlohmann/json.hpp>

using nlohmann::json;
using pg_enroll::rules::Assignment;
using pg_enroll::rules::parse_policy;
using pg_enroll::rules::Policy;
using pg_enroll::rules::PolicyError;

using Catch::Matchers::Contains;
using Catch::Matchers::EndsWith;
using Catch::Matchers::StartsWith;

namespace {

const char* const full_policy = R"json({
  "users":       {"table": "public.users", "key": "id", "balance": "credit_balance"},
  "tournaments": {"table": "semesters", "key": "id",
                  "capacity": "(SELECT max_players FROM limits c WHERE c.semester_id = t.id)",
                  "cost": "t.enrollment_cost", "open": "t.status IN ('OPEN', 'RUNNING')"},
  "enrollments": {"table": "semester_enrollments", "key": "id", "user": "user_id",
                  "tournament": "semester_id", "active": "is_active = TRUE",
                  "withdrawn": "request_status = 'WITHDRAWN'", "time": "created_at",
                  "insert":   {"request_status": "'APPROVED'", "is_active": "TRUE"},
                  "withdraw": {"request_status": "'WITHDRAWN'", "is_active": "FALSE"},
                  "reenroll": "insert"},
  "ledger":      {"table": "credit_transactions", "amount": "amount",
                  "balance_after": "balance_after", "enrollment": "enrollment_id",
                  "user": "user_id", "idempotency_key": "idempotency_key", "order": "id",
                  "type": {"column": "transaction_type", "enroll": "ENROLLMENT",
                           "unenroll": "REFUND", "waive": "WAIVED"},
                  "insert": {"semester_id": "t.id", "created_at": "now()"},
                  "enroll": {"description": "'Enrollment: ' || t.name"},
                  "unenroll": {"description": "'Refund'", "semester_id": "NULL"},
                  "waive": {"description": "reason"}},
  "refund":      "paid / 2"
})json";

json full() { return json::parse(full_policy); }

// The full policy with one value put in at a JSON pointer.
std::string with(const char* pointer, const json& value) {
  json document = full();
  document[json::json_pointer(pointer)] = value;
  return document.dump();
}

std::string without(const char* pointer) {
  const json::json_pointer where(pointer);
  json document = full();
  document[where.parent_pointer()].erase(where.back());
  return document.dump();
}

PolicyError refused(const std::string& document) {
  try {
    static_cast<void>(parse_policy(document));
  } catch (const PolicyError& error) {
    CHECK_THAT(error.what(), StartsWith("policy " + error.path() + ": "));
    CHECK(std::string(error.what()).find('\n') == std::string::npos);
    return error;
  }
  FAIL("accepted: " << document.substr(0, 200));
  throw;
}

void check_refused(const std::string& document, const std::string& path, const std::string& problem,
                   const std::string& hint = "") {
  const PolicyError error = refused(document);
  CHECK(error.path() == path);
  CHECK_THAT(error.what(), Contains(problem));
  CHECK_THAT(error.hint(), Contains(hint));
}

using Pairs = std::vector<std::pair<std::string, std::string>>;

Pairs pairs(const std::vector<Assignment>& assignments) {
  Pairs list;
  for (const auto& assignment : assignments) {
    list.emplace_back(assignment.column, assignment.expression);
  }
  return list;
}

const std::vector<const char*> required_keys{
    "/users",
    "/users/table",
    "/users/key",
    "/users/balance",
    "/tournaments",
    "/tournaments/table",
    "/tournaments/key",
    "/enrollments",
    "/enrollments/table",
    "/enrollments/key",
    "/enrollments/user",
    "/enrollments/tournament",
    "/enrollments/active",
    "/enrollments/withdraw",
    "/ledger",
    "/ledger/table",
    "/ledger/amount",
    "/ledger/balance_after",
    "/ledger/enrollment",
    "/ledger/idempotency_key",
    "/ledger/order",
    "/ledger/type",
    "/ledger/type/column",
    "/ledger/type/enroll",
    "/ledger/type/unenroll",
    "/ledger/type/waive",
};

const std::vector<const char*> expressions{
    "/tournaments/capacity",
    "/tournaments/cost",
    "/tournaments/open",
    "/enrollments/active",
    "/enrollments/withdrawn",
    "/enrollments/insert/is_active",
    "/enrollments/withdraw/is_active",
    "/ledger/insert/created_at",
    "/ledger/enroll/description",
    "/ledger/unenroll/description",
    "/ledger/waive/description",
    "/refund",
};

// A JSON pointer as the path that errors show.
std::string path_of(std::string pointer) {
  for (char& c : pointer) {
    if (c == '/') c = '.';
  }
  return "$" + pointer;
}

}  // namespace

TEST_CASE("a full policy is read to the letter") {
  const Policy policy = parse_policy(full_policy);
  CHECK(policy.users.table == "public.users");
  CHECK(policy.users.key == "id");
  CHECK(policy.users.balance == "credit_balance");
  CHECK(policy.tournaments.table == "semesters");
  CHECK(policy.tournaments.key == "id");
  CHECK(policy.tournaments.capacity ==
        "(SELECT max_players FROM limits c WHERE c.semester_id = t.id)");
  CHECK(policy.tournaments.cost == "t.enrollment_cost");
  CHECK(policy.tournaments.open == "t.status IN ('OPEN', 'RUNNING')");
  CHECK(policy.enrollments.table == "semester_enrollments");
  CHECK(policy.enrollments.key == "id");
  CHECK(policy.enrollments.user == "user_id");
  CHECK(policy.enrollments.tournament == "semester_id");
  CHECK(policy.enrollments.active == "is_active = TRUE");
  CHECK(policy.enrollments.withdrawn == "request_status = 'WITHDRAWN'");
  CHECK(policy.enrollments.time == "created_at");
  CHECK(policy.ledger.table == "credit_transactions");
  CHECK(policy.ledger.amount == "amount");
  CHECK(policy.ledger.balance_after == "balance_after");
  CHECK(policy.ledger.enrollment == "enrollment_id");
  CHECK(policy.ledger.user == "user_id");
  CHECK(policy.ledger.idempotency_key == "idempotency_key");
  CHECK(policy.ledger.order == "id");
  CHECK(policy.ledger.type.column == "transaction_type");
  CHECK(policy.ledger.type.enroll == "ENROLLMENT");
  CHECK(policy.ledger.type.unenroll == "REFUND");
  CHECK(policy.ledger.type.waive == "WAIVED");
  CHECK(policy.refund == "paid / 2");
}

TEST_CASE("assignments keep the order of the document") {
  const Policy policy = parse_policy(full_policy);
  CHECK(pairs(policy.enrollments.insert) ==
        Pairs{{"request_status", "'APPROVED'"}, {"is_active", "TRUE"}});
  CHECK(pairs(policy.enrollments.withdraw) ==
        Pairs{{"request_status", "'WITHDRAWN'"}, {"is_active", "FALSE"}});
  CHECK(pairs(policy.ledger.insert) == Pairs{{"semester_id", "t.id"}, {"created_at", "now()"}});
  CHECK(pairs(policy.ledger.enroll) == Pairs{{"description", "'Enrollment: ' || t.name"}});
  CHECK(pairs(policy.ledger.unenroll) ==
        Pairs{{"description", "'Refund'"}, {"semester_id", "NULL"}});
  CHECK(pairs(policy.ledger.waive) == Pairs{{"description", "reason"}});
}

TEST_CASE("what may be left out has its default") {
  json document = full();
  document.erase("refund");
  for (const char* key : {"capacity", "cost", "open"}) document["tournaments"].erase(key);
  for (const char* key : {"withdrawn", "time", "insert", "reenroll"}) {
    document["enrollments"].erase(key);
  }
  for (const char* key : {"user", "insert", "enroll", "unenroll", "waive"}) {
    document["ledger"].erase(key);
  }
  const Policy policy = parse_policy(document.dump());
  CHECK(policy.tournaments.capacity == "NULL");
  CHECK(policy.tournaments.cost == "0");
  CHECK(policy.tournaments.open == "TRUE");
  CHECK(policy.refund == "0");
  CHECK_FALSE(policy.enrollments.withdrawn.has_value());
  CHECK_FALSE(policy.enrollments.time.has_value());
  CHECK_FALSE(policy.ledger.user.has_value());
  CHECK(policy.enrollments.insert.empty());
  CHECK(policy.ledger.insert.empty());
  CHECK(policy.ledger.enroll.empty());
  CHECK(policy.ledger.unenroll.empty());
  CHECK(policy.ledger.waive.empty());
}

TEST_CASE("an empty map of assignments assigns nothing, but a withdrawal must change something") {
  CHECK(parse_policy(with("/enrollments/insert", json::object())).enrollments.insert.empty());
  CHECK(parse_policy(with("/ledger/waive", json::object())).ledger.waive.empty());
  check_refused(with("/enrollments/withdraw", json::object()), "$.enrollments.withdraw",
                "expected at least one column, found an empty object");
}

TEST_CASE("what is not JSON is refused with the byte where it breaks") {
  const auto [document, problem] = GENERATE(table<std::string, std::string>({
      {"", "at byte 1"},
      {"   ", "at byte 4"},
      {"{", "at byte 2"},
      {"{\"users\": tru}", "at byte 14, after \"{\\\"users\\\": tru}\""},
      {"{\"users\": {} \"refund\"", "at byte 21"},
      {"{\"a\": 1,}", "at byte 9"},
      {"{} {}", "at byte 4"},
      {"{'users': {}}", "at byte 2"},
      {"{\"users\": \"\xff\"}", "at byte 12"},
      {"{\"users\": \"a\nb\"}", "at byte 13"},
      {"{\"a\": 1e999}", "at byte 11"},
      {"// no comments\n{}", "at byte 1"},
      {std::string("{}\0{", 4), "NUL at byte 3"},
      {std::string("\0", 1), "NUL at byte 1"},
  }));
  CAPTURE(document);
  check_refused(document, "$", "not valid JSON");
  check_refused(document, "$", problem);
}

TEST_CASE("a document that is no object is refused") {
  const auto [document, found] = GENERATE(table<std::string, std::string>({
      {"null", "found null"},
      {"true", "found boolean true"},
      {"-17.5", "found number -17.5"},
      {"\"users\"", "found string \"users\""},
      {"[]", "found an array of 0 elements"},
      {"[{}]", "found an array of 1 element"},
  }));
  check_refused(document, "$", "expected an object, " + found,
                "Known keys: users, tournaments, enrollments, ledger, refund.");
}

TEST_CASE("each required key that is missing is named") {
  const std::string pointer = GENERATE(from_range(required_keys));
  CAPTURE(pointer);
  check_refused(without(pointer.c_str()), path_of(pointer), "the key is missing, expected ");
}

TEST_CASE("the first missing key of an empty document is named") {
  check_refused("{}", "$.users", "the key is missing, expected an object");
}

TEST_CASE("a value of the wrong type is refused wherever it stands") {
  const json flat = full().flatten();
  const json wrong = GENERATE(json(nullptr), json(true), json(7), json(-1.5), json::array({1}),
                              json::object({{"a", "1"}}));
  for (const auto& item : flat.items()) {
    CAPTURE(item.key(), wrong);
    const PolicyError error = refused(with(item.key().c_str(), wrong));
    CHECK(error.path() == path_of(item.key()));
    CHECK_THAT(error.what(), Contains("(a string), found "));
  }
}

TEST_CASE("a section of the wrong type is refused") {
  const std::string pointer =
      GENERATE("/users", "/tournaments", "/enrollments", "/ledger", "/ledger/type",
               "/enrollments/insert", "/enrollments/withdraw", "/ledger/insert", "/ledger/enroll",
               "/ledger/unenroll", "/ledger/waive");
  CAPTURE(pointer);
  check_refused(with(pointer.c_str(), "x"), path_of(pointer), "found string \"x\"");
  check_refused(with(pointer.c_str(), nullptr), path_of(pointer), "found null");
  check_refused(with(pointer.c_str(), json::array()), path_of(pointer),
                "found an array of 0 elements");
}

TEST_CASE("an expression written as a JSON value is shown as the string it should be") {
  check_refused(with("/tournaments/cost", 0), "$.tournaments.cost", "found number 0",
                "Write SQL in a JSON string: \"0\".");
  check_refused(with("/tournaments/capacity", nullptr), "$.tournaments.capacity", "found null",
                "Write SQL in a JSON string: \"null\".");
  check_refused(with("/enrollments/insert/is_active", true), "$.enrollments.insert.is_active",
                "found boolean true", "Write SQL in a JSON string: \"true\".");
}

TEST_CASE("an empty string is refused wherever it stands") {
  const json flat = full().flatten();
  for (const auto& item : flat.items()) {
    CAPTURE(item.key());
    check_refused(with(item.key().c_str(), ""), path_of(item.key()), "found an empty string");
  }
}

TEST_CASE("an empty column name is refused") {
  check_refused(with("/enrollments/insert", {{"", "1"}}), "$.enrollments.insert[\"\"]",
                "expected the name of a column, found an empty string");
}

TEST_CASE("an unknown key is refused and the nearest known one is named") {
  struct Case {
    const char* pointer;
    const char* path;
    const char* meant;
  };
  const auto given = GENERATE(values<Case>({
      {"/user", "$.user", "users"},
      {"/tournament", "$.tournament", "tournaments"},
      {"/enrolments", "$.enrolments", "enrollments"},
      {"/legder", "$.legder", "ledger"},
      {"/Refund", "$.Refund", "refund"},
      {"/users/TABLE", "$.users.TABLE", "table"},
      {"/users/balanse", "$.users.balanse", "balance"},
      {"/users/kye", "$.users.kye", "key"},
      {"/tournaments/capasity", "$.tournaments.capasity", "capacity"},
      {"/tournaments/is_open", "$.tournaments[\"is open\"]", nullptr},
      {"/enrollments/re-enroll", "$.enrollments[\"re-enroll\"]", "reenroll"},
      {"/enrollments/widthdraw", "$.enrollments.widthdraw", "withdraw"},
      {"/enrollments/widhtdrow", "$.enrollments.widhtdrow", "withdraw"},
      {"/enrollments/withdrawal", "$.enrollments.withdrawal", "withdrawn"},  // a tie: the first
      {"/ledger/balance", "$.ledger.balance", nullptr},
      {"/ledger/type/waived", "$.ledger.type.waived", "waive"},
  }));
  CAPTURE(given.pointer);
  const PolicyError error = refused(with(given.pointer, "x"));
  CHECK_THAT(error.what(), Contains("unknown key "));
  CHECK_THAT(error.hint(), Contains("Known keys: "));
  if (given.meant == nullptr) {
    CHECK_THAT(error.hint(), !Contains("Did you mean"));
  } else {
    CHECK(error.path() == given.path);
    CHECK_THAT(error.hint(), StartsWith(std::string("Did you mean \"") + given.meant + "\"? "));
  }
}

TEST_CASE("keys of no part of this version are unknown keys") {
  const std::string pointer =
      GENERATE("/rules", "/watch", "/on_enroll", "/on_unenroll", "/callers", "/run_as", "/wait",
               "/stripes", "/notify", "/ledger/strict", "/ledger/type/refund");
  CAPTURE(pointer);
  const PolicyError error = refused(with(pointer.c_str(), "x"));
  CHECK(error.path() == path_of(pointer));
  CHECK_THAT(error.what(), Contains("unknown key "));
  CHECK_THAT(error.hint(), !Contains("Did you mean"));
}

TEST_CASE("an unknown key is told before a missing one") {
  json document = full();
  document["users"]["tabel"] = document["users"]["table"];
  document["users"].erase("table");
  check_refused(document.dump(), "$.users.tabel", "unknown key", "Did you mean \"table\"?");
}

TEST_CASE("a key of any length and content makes a readable one-line error") {
  json document = full();
  document["users"][std::string(10000, 'k')] = 1;
  CHECK(std::string(refused(document.dump()).what()).size() < 200);
  document = full();
  document["users"]["a\n\"b"] = 1;
  check_refused(document.dump(), "$.users[\"a\\n\\\"b\"]", "unknown key \"a\\n\\\"b\"");
}

TEST_CASE("a long value is cut between characters") {
  std::string value(39, 'x');
  value += "\xc3\xa9 and on";  // the two bytes of one character, at byte 40
  const PolicyError error = refused(with("/enrollments/reenroll", value));
  CHECK_THAT(error.what(), Contains("\"" + std::string(39, 'x') + "...\""));
}

TEST_CASE("a key given twice is refused, where the last would silently win") {
  const auto [document, path] = GENERATE(table<std::string, std::string>({
      {R"({"refund": "0", "refund": "paid"})", "$.refund"},
      {R"({"users": {"key": "id", "table": "u", "key": "id"}})", "$.users.key"},
      {R"({"refund": "0", "\u0072efund": "paid"})", "$.refund"},
      {R"({"ledger": {"type": {"enroll": "A", "enroll": "B"}}})", "$.ledger.type.enroll"},
      {R"({"rules": [{"name": "a"}, {"name": "b", "name": "c"}]})", "$.rules[1].name"},
      {R"({"enrollments": {"insert": {"a": "1", "b": "2", "a": "3"}}})", "$.enrollments.insert.a"},
  }));
  check_refused(document, path, "the key is given twice", "Keep one of the two.");
}

TEST_CASE("the same key in two objects is no duplicate") {
  CHECK_NOTHROW(parse_policy(full_policy));  // "table" and "key" stand in four objects
}

TEST_CASE("columns that differ in case are two columns, since names are quoted") {
  const Policy policy = parse_policy(with("/enrollments/insert", {{"Note", "1"}, {"note", "2"}}));
  CHECK(policy.enrollments.insert.size() == 2);
}

TEST_CASE("a NUL is refused in a value and in a key") {
  check_refused(with("/users/key", std::string("i\0d", 3)), "$.users.key",
                "expected text without a NUL");
  check_refused(with("/refund", std::string("0\0", 2)), "$.refund", "\"0\\u0000\"");
  check_refused(R"({"users": {"a\u0000b": 1}})", "$.users[\"a\\u0000b\"]",
                "expected text without a NUL");
}

TEST_CASE("nesting without end is refused early") {
  const std::size_t depth = 2'000'000;
  const PolicyError arrays = refused(std::string(depth, '['));
  CHECK_THAT(arrays.what(), Contains("nested deeper than 16 levels"));
  std::string objects;
  for (int i = 0; i < 100'000; ++i) objects += "{\"a\":";
  check_refused(objects, "$.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a", "nested deeper than 16 levels");
  const std::string allowed = std::string(16, '[') + std::string(16, ']');
  check_refused(allowed, "$", "expected an object");
}

TEST_CASE("reenroll may say insert only") {
  CHECK_NOTHROW(parse_policy(with("/enrollments/reenroll", "insert")));
  check_refused(with("/enrollments/reenroll", "reactivate"), "$.enrollments.reenroll",
                "expected \"insert\", found string \"reactivate\"");
  check_refused(with("/enrollments/reenroll", "INSERT"), "$.enrollments.reenroll",
                "expected \"insert\"");
}

TEST_CASE("an assignment to a column that the extension writes is refused") {
  struct Case {
    const char* pointer;
    const char* role;
  };
  const auto given = GENERATE(values<Case>({
      {"/enrollments/insert/user_id", "$.enrollments.user"},
      {"/enrollments/insert/semester_id", "$.enrollments.tournament"},
      {"/enrollments/withdraw/user_id", "$.enrollments.user"},
      {"/enrollments/withdraw/semester_id", "$.enrollments.tournament"},
      {"/enrollments/withdraw/id", "$.enrollments.key"},
      {"/ledger/insert/amount", "$.ledger.amount"},
      {"/ledger/enroll/balance_after", "$.ledger.balance_after"},
      {"/ledger/unenroll/enrollment_id", "$.ledger.enrollment"},
      {"/ledger/waive/idempotency_key", "$.ledger.idempotency_key"},
      {"/ledger/insert/transaction_type", "$.ledger.type"},
  }));
  CAPTURE(given.pointer);
  check_refused(with(given.pointer, "NULL"), path_of(given.pointer),
                std::string("serves as ") + given.role + ", which the extension writes itself",
                "Remove this assignment.");
}

TEST_CASE("an assignment may give a new enrollment its key and a ledger row its user") {
  CHECK_NOTHROW(parse_policy(with("/enrollments/insert/id", "gen_random_uuid()")));
  CHECK_NOTHROW(parse_policy(with("/ledger/insert/user_id", "u.id")));
  CHECK_NOTHROW(parse_policy(with("/ledger/waive/user_id", "u.id")));
  CHECK_NOTHROW(parse_policy(with("/ledger/insert/id", "nextval('s')")));
}

TEST_CASE("one column cannot serve two ends") {
  struct Case {
    const char* pointer;
    const char* column;
    const char* path;
    const char* earlier;
  };
  const auto given = GENERATE(values<Case>({
      {"/users/balance", "id", "$.users.balance", "$.users.key"},
      {"/enrollments/user", "id", "$.enrollments.user", "$.enrollments.key"},
      {"/enrollments/tournament", "user_id", "$.enrollments.tournament", "$.enrollments.user"},
      {"/ledger/balance_after", "amount", "$.ledger.balance_after", "$.ledger.amount"},
      {"/ledger/idempotency_key", "enrollment_id", "$.ledger.idempotency_key",
       "$.ledger.enrollment"},
      {"/ledger/type/column", "amount", "$.ledger.type", "$.ledger.amount"},
      {"/ledger/user", "enrollment_id", "$.ledger.user", "$.ledger.enrollment"},
  }));
  CAPTURE(given.pointer);
  check_refused(with(given.pointer, given.column), given.path,
                std::string("serves as ") + given.earlier + " already");
}

TEST_CASE("operations with one ledger type are refused, since a refund would count as a payment") {
  check_refused(with("/ledger/type/unenroll", "ENROLLMENT"), "$.ledger.type.unenroll",
                "\"ENROLLMENT\" is $.ledger.type.enroll already");
  check_refused(with("/ledger/type/waive", "ENROLLMENT"), "$.ledger.type.waive",
                "\"ENROLLMENT\" is $.ledger.type.enroll already");
  check_refused(with("/ledger/type/waive", "REFUND"), "$.ledger.type.waive",
                "\"REFUND\" is $.ledger.type.unenroll already");
}

TEST_CASE("names and types are taken as they are") {
  const auto name =
      GENERATE(as<std::string>{}, "a\"b", "a'b", "a;b", "--", "(", " ", "$$", "s\xc3\xa9jour");
  CAPTURE(name);
  CHECK(parse_policy(with("/users/balance", name)).users.balance == name);
  CHECK(parse_policy(with("/ledger/type/waive", name)).ledger.type.waive == name);
  const Policy policy = parse_policy(with("/ledger/insert", {{name, "1"}}));
  CHECK(pairs(policy.ledger.insert) == Pairs{{name, "1"}});
}

TEST_CASE("an expression that keeps between its parentheses is accepted") {
  const auto fragment = GENERATE(
      as<std::string>{}, "1", "(1)", "((1), (2))", "a[1]", "f(a[g(1)])", "':)'", "'('", "';'",
      "'--'", "'/*'", "'a''b'", "''''", "''", "'\"'", "\"(\"", "\";\"", "\"a\"\"(b\"", "\"--\"",
      "\"it's\"", "E'it\\'s ('", "e'\\\\'", "E'\\'''('", "E'a'\n'\\'('", "E'a' '('", "N'('", "B'1'",
      "U&'\\0041('", "U&\"(\"", "name '('", "typee'('", "'\\d+'", "'\\\\'", "$$($$", "$$'$$",
      "$$;--$$", "$a$ $$ ( $a$", "$a$ $b$ $a$", "$a$$a$", "a$b$c", "a$$", "_$(1)", "$_1$($_1$",
      "$\xc3\xa9$($\xc3\xa9$", "1 /* ( */", "/* ; */ 1", "1 /* /* ( */ ' */ + 1", "1 /*/ ( */",
      "1 /***/", "1 - -1", "1 -(-1)", "a <- b", "2*/*c*/3", "a::text", "a ->> 'b'", "1\n+\t1",
      "CASE WHEN a THEN b END", "SELECT 1", "\xc3\xa9 + 1", "1e5", "a/b", "a*b", "{", "$", "$a b");
  CAPTURE(fragment);
  CHECK(parse_policy(with("/refund", fragment)).refund == fragment);
}

TEST_CASE("an expression that reaches beyond its parentheses is refused") {
  struct Case {
    std::string fragment;
    const char* problem;
    int byte;
  };
  const auto given = GENERATE(values<Case>({
      {" ", "is empty", 1},
      {"\t\n", "is empty", 1},
      {"/* 1 */", "is empty", 1},
      {"(", "has ( without its partner", 1},
      {")", "has ) without its partner", 1},
      {"1) + (1", "has ) without its partner", 2},
      {"1) OR (1", "has ) without its partner", 2},
      {"((1)", "has ( without its partner", 1},
      {"(a[1)", "has ) without its partner", 5},
      {"a[1", "has [ without its partner", 2},
      {"a]", "has ] without its partner", 2},
      {"(a]", "has ] without its partner", 3},
      {"'", "has an unterminated string", 1},
      {"1 || 'a", "has an unterminated string", 6},
      {"'a''", "has an unterminated string", 1},
      {"'''", "has an unterminated string", 1},
      {"E'a\\'", "has an unterminated string", 2},
      {"E'a\\", "has an unterminated string", 2},
      {"e'\\'''", "has an unterminated string", 2},
      {"E'a'\n'\\'", "has an unterminated string", 2},
      {"E'a'\r '\\'", "has an unterminated string", 2},
      {"'\\'", "has a backslash before a quote", 3},
      {"'a\\\\\\'", "has a backslash before a quote", 6},
      {"'\\''('", "has a backslash before a quote", 3},
      {"typee'\\'", "has a backslash before a quote", 8},
      {"E'a' '\\'", "has a backslash before a quote", 8},
      {"\"", "has an unterminated quoted identifier", 1},
      {"\"a\"\"", "has an unterminated quoted identifier", 1},
      {"$$", "has an unterminated dollar-quoted string", 1},
      {"$a$ $b$", "has an unterminated dollar-quoted string", 1},
      {"$a$ $A$", "has an unterminated dollar-quoted string", 1},
      {"1 + $$ $", "has an unterminated dollar-quoted string", 5},
      {"a$b$(", "has ( without its partner", 5},
      {"/*", "has an unterminated comment", 1},
      {"1 /* /* */", "has an unterminated comment", 3},
      {"1 /*/", "has an unterminated comment", 3},
      {"1 -- one", "has a -- comment", 3},
      {"1 --", "has a -- comment", 3},
      {"1--1", "has a -- comment", 2},
      {"a <-- b", "has a -- comment", 4},
      {"(1 -- ) \n )", "has a -- comment", 4},
      {"1; DROP TABLE users", "has a semicolon", 2},
      {";", "has a semicolon", 1},
      {"(1;2)", "has a semicolon", 3},
      {"$1", "has a parameter", 1},
      {"1 + $12", "has a parameter", 5},
      {"1$1", "has a parameter", 2},
  }));
  CAPTURE(given.fragment);
  const std::string where = ", at its byte " + std::to_string(given.byte);
  const PolicyError error = refused(with("/refund", given.fragment));
  CHECK(error.path() == "$.refund");
  CHECK_THAT(error.what(), Contains(given.problem) && EndsWith(where));
}

TEST_CASE("every expression of a policy is checked") {
  const std::string pointer = GENERATE(from_range(expressions));
  CAPTURE(pointer);
  check_refused(with(pointer.c_str(), "1) OR (1"), path_of(pointer), "has ) without its partner");
}

TEST_CASE("a refused expression says what to write instead") {
  CHECK_THAT(refused(with("/refund", "paid -- all")).hint(), Contains("/* ... */"));
  CHECK_THAT(refused(with("/refund", "'\\'")).hint(), Contains("E'...'"));
  CHECK_THAT(refused(with("/refund", "paid;")).hint(), Contains("one expression"));
  CHECK_THAT(refused(with("/refund", "$1")).hint(), Contains("aliases"));
}
