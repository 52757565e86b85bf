#include "rules/policy.hpp"

#include <cctype>
#include <string>
#include <utility>
#include <vector>

#include <catch2/catch.hpp>
#include <nlohmann/json.hpp>

using nlohmann::json;
using pg_enroll::rules::Assignment;
using pg_enroll::rules::Notify;
using pg_enroll::rules::parse_policy;
using pg_enroll::rules::Policy;
using pg_enroll::rules::PolicyError;
using pg_enroll::rules::Reenroll;
using pg_enroll::rules::Rule;
using pg_enroll::rules::RunAs;

using Catch::Matchers::Contains;
using Catch::Matchers::EndsWith;
using Catch::Matchers::StartsWith;

namespace {

const char* const full_policy = R"json({
  "users":       {"table": "public.users", "key": "id", "balance": "credit_balance"},
  "tournaments": {"table": "semesters", "key": "id",
                  "capacity": "(SELECT max_players FROM limits c WHERE c.semester_id = t.id)",
                  "cost": "t.enrollment_cost", "open": "t.status IN ('OPEN', 'RUNNING')"},
  "watch":       [{"table": "limits", "tournament": "semester_id"}],
  "enrollments": {"table": "semester_enrollments", "key": "id", "user": "user_id",
                  "tournament": "semester_id", "active": "is_active = TRUE",
                  "withdrawn": "request_status = 'WITHDRAWN'", "time": "created_at",
                  "insert":   {"request_status": "'APPROVED'", "is_active": "TRUE"},
                  "withdraw": {"request_status": "'WITHDRAWN'", "is_active": "FALSE"},
                  "reenroll": "insert"},
  "ledger":      {"table": "credit_transactions", "amount": "amount",
                  "balance_after": "balance_after", "enrollment": "enrollment_id",
                  "user": "user_id", "idempotency_key": "idempotency_key", "order": "id",
                  "strict": false,
                  "type": {"column": "transaction_type", "enroll": "ENROLLMENT",
                           "unenroll": "REFUND", "waive": "WAIVED"},
                  "insert": {"semester_id": "t.id", "created_at": "now()"},
                  "enroll": {"description": "'Enrollment: ' || t.name"},
                  "unenroll": {"description": "'Refund'", "semester_id": "NULL"},
                  "waive": {"description": "reason"}},
  "refund":      "paid / 2",
  "rules":       [{"name": "students", "on": "enroll", "require": "u.role = 'STUDENT'",
                   "message": "Only students can enroll", "http_status": 403},
                  {"name": "before_start", "on": "unenroll", "require": "t.starts_at > now()"}],
  "on_enroll":   ["INSERT INTO bookings SELECT :user, :enrollment", "SELECT news(:tournament)"],
  "on_unenroll": ["DELETE FROM bookings WHERE enrollment_id = :enrollment"],
  "callers":     ["app", "Back Office"],
  "run_as":      "caller",
  "wait":        "3s",
  "stripes":     "auto",
  "notify":      "none"
})json";

// The example of the documentation.
const char* const academy_policy = R"json({
  "users":       {"table": "users", "key": "id", "balance": "credit_balance"},
  "tournaments": {"table": "semesters", "key": "id",
                  "capacity": "(SELECT max_players FROM tournament_configurations c )json"
                                   R"json(WHERE c.semester_id = t.id)",
                  "cost": "t.enrollment_cost",
                  "open": "t.tournament_status IN ('ENROLLMENT_OPEN','IN_PROGRESS')"},
  "watch":       [{"table": "tournament_configurations", "tournament": "semester_id"}],
  "enrollments": {"table": "semester_enrollments", "key": "id", "user": "user_id",
                  "tournament": "semester_id", "active": "is_active = TRUE",
                  "withdrawn": "request_status = 'WITHDRAWN'", "time": "created_at",
                  "insert":   {"request_status": "'APPROVED'", "is_active": "TRUE",
                               "enrolled_at": "now()"},
                  "withdraw": {"request_status": "'WITHDRAWN'", "is_active": "FALSE",
                               "updated_at": "now()"},
                  "reenroll": "insert"},
  "ledger":      {"table": "credit_transactions", "amount": "amount",
                  "balance_after": "balance_after", "enrollment": "enrollment_id",
                  "user": "user_id", "idempotency_key": "idempotency_key", "order": "id",
                  "strict": false,
                  "type": {"column": "transaction_type", "enroll": "TOURNAMENT_ENROLLMENT",
                           "unenroll": "TOURNAMENT_UNENROLL_REFUND",
                           "waive": "TOURNAMENT_ENROLLMENT_WAIVED"},
                  "insert": {"semester_id": "t.id", "created_at": "now()"},
                  "enroll": {"description": "'Tournament enrollment: ' || t.name"}},
  "refund":      "paid / 2",
  "rules":       [{"name": "students_only", "require": "u.role = 'STUDENT'",
                   "message": "Only students can enroll", "http_status": 403},
                  {"name": "before_start", "on": "unenroll",
                   "require": "t.starts_at > clock_timestamp()", "message": "It has begun"}],
  "on_enroll":   ["INSERT INTO bookings(user_id, session_id, enrollment_id) )json"
                                   R"json(SELECT :user, s.id, :enrollment FROM sessions s )json"
                                   R"json(WHERE s.semester_id = :tournament"],
  "on_unenroll": ["DELETE FROM bookings WHERE enrollment_id = :enrollment"],
  "callers": ["app"], "run_as": "owner", "wait": "3s", "stripes": "auto", "notify": "none"
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

using Texts = std::vector<std::string>;
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
    "/watch/0/table",
    "/watch/0/tournament",
    "/rules/1/name",
    "/rules/0/require",
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
    "/rules/1/require",
};

// What a fragment may hold: nothing in it is a bracket, a comment or a quote that stays open.
const std::vector<std::string> harmless{"1",
                                        "(1)",
                                        "((1), (2))",
                                        "a[1]",
                                        "f(a[g(1)])",
                                        "':)'",
                                        "'('",
                                        "';'",
                                        "'--'",
                                        "'/*'",
                                        "'a''b'",
                                        "''''",
                                        "''",
                                        "'\"'",
                                        "\"(\"",
                                        "\";\"",
                                        "\"a\"\"(b\"",
                                        "\"--\"",
                                        "\"it's\"",
                                        "E'it\\'s ('",
                                        "e'\\\\'",
                                        "E'\\'''('",
                                        "E'a'\n'\\'('",
                                        "E'a' '('",
                                        "N'('",
                                        "B'1'",
                                        "U&'\\0041('",
                                        "U&\"(\"",
                                        "name '('",
                                        "typee'('",
                                        "'\\d+'",
                                        "'\\\\'",
                                        "$$($$",
                                        "$$'$$",
                                        "$$;--$$",
                                        "$a$ $$ ( $a$",
                                        "$a$ $b$ $a$",
                                        "$a$$a$",
                                        "a$b$c",
                                        "a$$",
                                        "_$(1)",
                                        "$_1$($_1$",
                                        "$\xc3\xa9$($\xc3\xa9$",
                                        "1 /* ( */",
                                        "/* ; */ 1",
                                        "1 /* /* ( */ ' */ + 1",
                                        "1 /*/ ( */",
                                        "1 /***/",
                                        "1 - -1",
                                        "1 -(-1)",
                                        "a <- b",
                                        "2*/*c*/3",
                                        "a::text",
                                        "a ->> 'b'",
                                        "1\n+\t1",
                                        "CASE WHEN a THEN b END",
                                        "SELECT 1",
                                        "\xc3\xa9 + 1",
                                        "1e5",
                                        "a/b",
                                        "a*b",
                                        "{",
                                        "$",
                                        "$a b"};

struct Broken {
  std::string fragment;
  const char* problem;
  int byte;
};

const std::vector<Broken> broken{
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
    {"1; DROP TABLE users", "has a semicolon", 2},
    {"(1;2)", "has a semicolon", 3},
    {"$1", "has a parameter", 1},
    {"1 + $12", "has a parameter", 5},
    {"1$1", "has a parameter", 2},
};

// What a statement may hold.
const std::vector<Broken> broken_as_expressions{
    {"1 -- one", "has a -- comment", 3},
    {"1 --", "has a -- comment", 3},
    {"1--1", "has a -- comment", 2},
    {"a <-- b", "has a -- comment", 4},
    {"(1 -- ) \n )", "has a -- comment", 4},
    {";", "has a semicolon", 1},
    {"1;", "has a semicolon", 2},
};

// A JSON pointer as the path that errors show.
std::string path_of(const std::string& pointer) {
  std::string path = "$";
  for (json::json_pointer where(pointer); !where.empty(); where.pop_back()) {
    const std::string& key = where.back();
    const bool index = std::isdigit(static_cast<unsigned char>(key.front())) != 0;
    path.insert(1, index ? "[" + key + "]" : "." + key);
  }
  return path;
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
  REQUIRE(policy.watch.size() == 1);
  CHECK(policy.watch[0].table == "limits");
  CHECK(policy.watch[0].tournament == "semester_id");
  CHECK(policy.enrollments.reenroll == Reenroll::insert);
  CHECK(policy.on_enroll == Texts{"INSERT INTO bookings SELECT $1, $3", "SELECT news($2)"});
  CHECK(policy.on_unenroll == Texts{"DELETE FROM bookings WHERE enrollment_id = $3"});
  CHECK(policy.callers == Texts{"app", "Back Office"});
  CHECK(policy.run_as == RunAs::caller);
  CHECK(policy.wait_ms == 3000);
}

TEST_CASE("the rules of a policy are read in their order") {
  const Policy policy = parse_policy(full_policy);
  REQUIRE(policy.rules.size() == 2);
  CHECK(policy.rules[0].name == "students");
  CHECK(policy.rules[0].on == Rule::On::enroll);
  CHECK(policy.rules[0].require == "u.role = 'STUDENT'");
  CHECK(policy.rules[0].message == "Only students can enroll");
  CHECK(policy.rules[0].http_status == 403);
  CHECK(policy.rules[1].name == "before_start");
  CHECK(policy.rules[1].on == Rule::On::unenroll);
  CHECK(policy.rules[1].require == "t.starts_at > now()");
  CHECK_FALSE(policy.rules[1].message.has_value());
  CHECK_FALSE(policy.rules[1].http_status.has_value());
}

TEST_CASE("the documentation's example is a policy") {
  const Policy policy = parse_policy(academy_policy);
  CHECK(policy.on_enroll ==
        Texts{"INSERT INTO bookings(user_id, session_id, enrollment_id) SELECT $1, s.id, $3 "
              "FROM sessions s WHERE s.semester_id = $2"});
  CHECK(policy.run_as == RunAs::owner);
  CHECK(policy.notify == Notify::none);
  REQUIRE(policy.rules.size() == 2);
  CHECK(policy.rules[0].on == Rule::On::enroll);
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
  for (const char* key : {"refund", "watch", "rules", "on_enroll", "on_unenroll", "callers",
                          "run_as", "wait", "stripes", "notify"}) {
    document.erase(key);
  }
  for (const char* key : {"capacity", "cost", "open"}) document["tournaments"].erase(key);
  for (const char* key : {"withdrawn", "time", "insert", "reenroll"}) {
    document["enrollments"].erase(key);
  }
  for (const char* key : {"user", "strict", "insert", "enroll", "unenroll", "waive"}) {
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
  CHECK_FALSE(policy.ledger.strict);
  CHECK(policy.enrollments.insert.empty());
  CHECK(policy.ledger.insert.empty());
  CHECK(policy.ledger.enroll.empty());
  CHECK(policy.ledger.unenroll.empty());
  CHECK(policy.ledger.waive.empty());
  CHECK(policy.watch.empty());
  CHECK(policy.enrollments.reenroll == Reenroll::insert);
  CHECK(policy.rules.empty());
  CHECK(policy.on_enroll.empty());
  CHECK(policy.on_unenroll.empty());
  CHECK(policy.callers.empty());
  CHECK(policy.run_as == RunAs::owner);
  CHECK_FALSE(policy.wait_ms.has_value());
}

TEST_CASE("an empty map of assignments assigns nothing, but a withdrawal must change something") {
  CHECK(parse_policy(with("/enrollments/insert", json::object())).enrollments.insert.empty());
  CHECK(parse_policy(with("/ledger/waive", json::object())).ledger.waive.empty());
  check_refused(with("/enrollments/withdraw", json::object()), "$.enrollments.withdraw",
                "expected at least one column, found an empty object");
}

TEST_CASE("a number that is too large is refused with its path") {
  check_refused("{\"a\": 1e999}", "$.a", "found 1e999, which is too large a number");
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
                "Known keys: users, tournaments, watch, enrollments, ledger, refund, rules, "
                "on_enroll, on_unenroll, callers, run_as, wait, stripes, notify.");
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
    const bool right = (item.key() == "/ledger/strict" && wrong.is_boolean()) ||
                       (item.key() == "/stripes" && wrong == 7);
    if (right) continue;
    CAPTURE(item.key(), wrong);
    const PolicyError error = refused(with(item.key().c_str(), wrong));
    CHECK(error.path() == path_of(item.key()));
    CHECK_THAT(error.what(), Contains("expected ") && Contains(", found "));
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
      {"/ledger/type/refund", "$.ledger.type.refund", nullptr},
      {"/on_enrol", "$.on_enrol", "on_enroll"},
      {"/runas", "$.runas", "run_as"},
      {"/watch/0/tabel", "$.watch[0].tabel", "table"},
      {"/rules/1/Requires", "$.rules[1].Requires", "require"},
      {"/rules/0/httpstatus", "$.rules[0].httpstatus", "http_status"},
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

TEST_CASE("reenroll says insert or reactivate") {
  const auto read = [](const char* value) {
    return parse_policy(with("/enrollments/reenroll", value)).enrollments.reenroll;
  };
  CHECK(read("insert") == Reenroll::insert);
  CHECK(read("reactivate") == Reenroll::reactivate);
  const std::string expected = R"(expected "insert" or "reactivate", found )";
  check_refused(with("/enrollments/reenroll", "INSERT"), "$.enrollments.reenroll",
                expected + R"(string "INSERT")", R"(Did you mean "insert"?)");
  check_refused(with("/enrollments/reenroll", "update"), "$.enrollments.reenroll",
                expected + R"(string "update")");
  check_refused(with("/enrollments/reenroll", true), "$.enrollments.reenroll",
                expected + "boolean true");
}

TEST_CASE("a reactivated row is written anew by something") {
  json document = full();
  document["enrollments"]["reenroll"] = "reactivate";
  const bool absent = GENERATE(true, false);
  if (absent) {
    document["enrollments"].erase("insert");
  } else {
    document["enrollments"]["insert"] = json::object();
  }
  check_refused(document.dump(), "$.enrollments.insert",
                R"(expected at least one column where reenroll is "reactivate")",
                "Assign what makes the withdrawn row active again.");
  document["enrollments"]["reenroll"] = "insert";
  CHECK(parse_policy(document.dump()).enrollments.insert.empty());
}

TEST_CASE("a reactivated row keeps its key, as it keeps its user and tournament") {
  json document = full();
  document["enrollments"]["reenroll"] = "reactivate";
  const auto column = GENERATE(as<std::string>{}, "id", "user_id", "semester_id");
  document["enrollments"]["insert"][column] = "NULL";
  check_refused(document.dump(), "$.enrollments.insert." + column,
                "which the extension writes itself", "Remove this assignment.");
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
  const std::string fragment = GENERATE(from_range(harmless));
  CAPTURE(fragment);
  CHECK(parse_policy(with("/refund", fragment)).refund == fragment);
}

TEST_CASE("an expression that reaches beyond its parentheses is refused") {
  const Broken given = GENERATE(from_range(broken), from_range(broken_as_expressions));
  CAPTURE(given.fragment);
  const std::string where = ", at its byte " + std::to_string(given.byte);
  const PolicyError error = refused(with("/refund", given.fragment));
  CHECK(error.path() == "$.refund");
  CHECK_THAT(error.what(), Contains("the SQL expression "));
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

TEST_CASE("a statement is read by the same rules as an expression") {
  const std::string fragment = GENERATE(from_range(harmless));
  CAPTURE(fragment);
  CHECK(parse_policy(with("/on_enroll/0", fragment)).on_enroll[0] == fragment);
  CHECK(parse_policy(with("/on_unenroll/0", fragment)).on_unenroll[0] == fragment);
}

TEST_CASE("a statement that is none, or more than one, is refused by the same rules") {
  const Broken given = GENERATE(from_range(broken));
  CAPTURE(given.fragment);
  const std::string where = ", at its byte " + std::to_string(given.byte);
  const PolicyError error = refused(with("/on_enroll/1", given.fragment));
  CHECK(error.path() == "$.on_enroll[1]");
  CHECK_THAT(error.what(), Contains("the SQL statement "));
  CHECK_THAT(error.what(), Contains(given.problem) && EndsWith(where));
}

TEST_CASE("a statement's placeholders become parameters") {
  const auto [statement, stored] = GENERATE(table<std::string, std::string>({
      {":user", "$1"},
      {":tournament", "$2"},
      {":enrollment", "$3"},
      {":user,:tournament,:enrollment", "$1,$2,$3"},
      {"f(:user)", "f($1)"},
      {"id=:user", "id=$1"},
      {"id = :user\n AND x = :user", "id = $1\n AND x = $1"},
      {":user::text", "$1::text"},
      {"'a'||:user||'b'", "'a'||$1||'b'"},
      {"f(a := :user, b => :tournament)", "f(a := $1, b => $2)"},
      {"/* :usr */ :user", "/* :usr */ $1"},
      {"'it''s' :user", "'it''s' $1"},
      {"$$:usr$$ :user", "$$:usr$$ $1"},
      {"CASE WHEN :user > 1 THEN :tournament END", "CASE WHEN $1 > 1 THEN $2 END"},
      {"\xc3\xa9 = :user", "\xc3\xa9 = $1"},
  }));
  CAPTURE(statement);
  CHECK(parse_policy(with("/on_enroll/0", statement)).on_enroll[0] == stored);
}

TEST_CASE("a statement may end with a semicolon, which is left out") {
  const auto [statement, stored] = GENERATE(table<std::string, std::string>({
      {"SELECT 1;", "SELECT 1"},
      {"SELECT 1 ; \n", "SELECT 1  \n"},
      {"SELECT :user; /* end */", "SELECT $1 /* end */"},
      {"SELECT :user; -- the end; :usr", "SELECT $1 -- the end; :usr"},
      {"SELECT ';', :user;", "SELECT ';', $1"},
  }));
  CAPTURE(statement);
  CHECK(parse_policy(with("/on_enroll/0", statement)).on_enroll[0] == stored);
}

TEST_CASE("a statement may hold comments up to the end of a line") {
  const auto [statement, stored] = GENERATE(table<std::string, std::string>({
      {"SELECT 1 -- :user", "SELECT 1 -- :user"},
      {"-- it's (:usr; $1\nSELECT :user", "-- it's (:usr; $1\nSELECT $1"},
      {"SELECT 1 --\r, :user", "SELECT 1 --\r, $1"},
      {"SELECT 2--:usr\n-:user", "SELECT 2--:usr\n-$1"},
      {"a[1 -- one\n:user]", "a[1 -- one\n:user]"},
      {"E'a' -- '\n'\\' :usr' || :user", "E'a' -- '\n'\\' :usr' || $1"},
      {"E'a'\n-- b\n'\\' :usr' || :user", "E'a'\n-- b\n'\\' :usr' || $1"},
      {"'--' || :user", "'--' || $1"},
  }));
  CAPTURE(statement);
  CHECK(parse_policy(with("/on_enroll/0", statement)).on_enroll[0] == stored);
}

TEST_CASE("a statement that is but a comment or a semicolon is empty") {
  const auto statement = GENERATE(as<std::string>{}, "-- SELECT 1", ";", "/* */ ; --", " \n");
  CAPTURE(statement);
  check_refused(with("/on_enroll/0", statement), "$.on_enroll[0]", "is empty", "");
}

TEST_CASE("a parameter never becomes part of what stands before it") {
  const auto [statement, stored] = GENERATE(table<std::string, std::string>({
      {"SELECT:user", "SELECT $1"},      // else one word
      {"a1:user", "a1 $1"},              // else one word
      {"1:user", "1 $1"},                // else a number with junk
      {"a_:user", "a_ $1"},              // else one word
      {"\xc3\xa9:user", "\xc3\xa9 $1"},  // else one word
      {"$:user $", "$ $1 $"},            // else a quote that opens
      {"$$a$$:user", "$$a$$ $1"},
      {":user:tournament", "$1 $2"},  // else one word to some
      {"'a':user", "'a'$1"},
      {"(1):user", "(1)$1"},
      {"\"a\":user", "\"a\"$1"},
      {"+:user", "+$1"},
  }));
  CAPTURE(statement);
  CHECK(parse_policy(with("/on_enroll/0", statement)).on_enroll[0] == stored);
}

TEST_CASE("what only looks like a placeholder is left alone") {
  const auto statement =
      GENERATE(as<std::string>{}, "':user'", "':usr'", "'it''s :usr'", "E':usr'", "E'\\':usr'",
               "e'\\\\:usr'", "E'a'\n':usr \\':usr'", "U&':usr'", "N':usr'", "B':usr'", "\":usr\"",
               "\"a\"\":usr\"", "U&\":usr\"", "$$:usr$$", "$a$ $$ :usr $a$", "/* :usr */ 1",
               "/* /* */ :usr */ 1", "a::text", "a ::text", "a:: text", "a::usr", "(a)::usr[]",
               "1::usr", "f(a := 1)", "f(a:=usr)", "f(a :=usr)", "a:", ": user", ":1", ":'usr'",
               ":\"usr\"", "a[:]", "a[1:]", "a[:1]", "a[ : usr]", "a[lo : hi]");
  CAPTURE(statement);
  CHECK(parse_policy(with("/on_enroll/0", statement)).on_enroll[0] == statement);
}

TEST_CASE("a colon behind an operand in brackets makes a slice") {
  const auto [statement, stored] = GENERATE(table<std::string, std::string>({
      {"a[1:3]", "a[1:3]"},
      {"a[lo:hi]", "a[lo:hi]"},
      {"a[lo :hi]", "a[lo :hi]"},
      {"a[1:user]", "a[1:user]"},
      {"a[1 /* : */ :user]", "a[1 /* : */ :user]"},
      {"a[lo1:user]", "a[lo1:user]"},
      {"a[\"lo\":user]", "a[\"lo\":user]"},
      {"a['1':user]", "a['1':user]"},
      {"a[E'1':user]", "a[E'1':user]"},
      {"a[$$1$$:user]", "a[$$1$$:user]"},
      {"a[$x$1$x$:user]", "a[$x$1$x$:user]"},
      {"a[f(1):user]", "a[f(1):user]"},
      {"a[b[1]:user]", "a[b[1]:user]"},
      {"a[x::int:user]", "a[x::int:user]"},
      {"a[\"or\":user]", "a[\"or\":user]"},
      {"a[order_no:user]", "a[order_no:user]"},
      {"a[:user:3]", "a[$1:3]"},
      {"a[:user:user]", "a[$1:user]"},
      {"a[1 : :user]", "a[1 : $1]"},
      {"a[:user : :tournament]", "a[$1 : $2]"},
      {"a[f(:user):f(:tournament)]", "a[f($1):f($2)]"},
      {"a[:user]", "a[$1]"},
      {"a[1+:user]", "a[1+$1]"},
      {"(a[1:2]) = (:user)", "(a[1:2]) = ($1)"},
      {"a[(SELECT :user)]", "a[(SELECT $1)]"},
      {"ARRAY[:user, :tournament]", "ARRAY[$1, $2]"},
      {"ARRAY[[:user], [:tournament]]", "ARRAY[[$1], [$2]]"},
      {"ARRAY[a[1:2], :user]", "ARRAY[a[1:2], $1]"},
      {"ARRAY[1, (2) :user]", "ARRAY[1, (2) :user]"},
      {"ARRAY[1][1:user] + :user", "ARRAY[1][1:user] + $1"},
  }));
  CAPTURE(statement);
  CHECK(parse_policy(with("/on_enroll/0", statement)).on_enroll[0] == stored);
}

TEST_CASE("behind a word that wants an operand, brackets hold a placeholder") {
  const auto word = GENERATE(as<std::string>{}, "AND", "CASE", "ELSE", "FROM", "ILIKE", "IN",
                             "LIKE", "NOT", "OR", "THEN", "TO", "WHEN", "then", "Then");
  CAPTURE(word);
  CHECK(parse_policy(with("/on_enroll/0", "ARRAY[x " + word + " :user]")).on_enroll[0] ==
        "ARRAY[x " + word + " $1]");
}

TEST_CASE("an unknown placeholder is refused and the nearest known one is named") {
  struct Case {
    const char* statement;
    const char* name;
    int byte;
    const char* meant;
  };
  const auto given = GENERATE(values<Case>({
      {"f(:usr)", ":usr", 3, ":user"},
      {":User", ":User", 1, ":user"},
      {":USER", ":USER", 1, ":user"},
      {":user_id", ":user_id", 1, nullptr},
      {":user$1", ":user$1", 1, ":user"},
      {":users", ":users", 1, ":user"},
      {":turnament", ":turnament", 1, ":tournament"},
      {":tournaments", ":tournaments", 1, ":tournament"},
      {"1 + :enrolment", ":enrolment", 5, ":enrollment"},
      {":user + :semester", ":semester", 9, nullptr},
      {":_", ":_", 1, nullptr},
      {":\xc3\xa9", ":\xc3\xa9", 1, nullptr},
      {"'a' :usr", ":usr", 5, ":user"},
      {"a[:hi]", ":hi", 3, nullptr},
      {"ARRAY[1, :usr]", ":usr", 10, ":user"},
  }));
  CAPTURE(given.statement);
  const PolicyError error = refused(with("/on_unenroll/0", given.statement));
  CHECK(error.path() == "$.on_unenroll[0]");
  CHECK_THAT(error.what(),
             Contains("has the unknown placeholder \"" + std::string(given.name) + "\"") &&
                 EndsWith(", at its byte " + std::to_string(given.byte)));
  CHECK_THAT(error.hint(), Contains("Known placeholders: :user, :tournament, :enrollment."));
  if (given.meant == nullptr) {
    CHECK_THAT(error.hint(), StartsWith("Known placeholders: "));
  } else {
    CHECK_THAT(error.hint(), StartsWith("Did you mean \"" + std::string(given.meant) + "\"? "));
  }
}

TEST_CASE("a refused statement says what to write instead") {
  const auto [statement, hint] = GENERATE(table<std::string, std::string>({
      {"SELECT 1;;", "Remove it."},
      {"SELECT 1; -- end\n;", "Remove it."},
      {"SELECT 1; SELECT 2", "Give each statement as a string of its own."},
      {"SELECT 1; :user", "Give each statement as a string of its own."},
      {"SELECT (1; 2)", "Give each statement as a string of its own."},
      {"SELECT $1", "Write the placeholders: :user, :tournament, :enrollment."},
      {"SELECT a[:hi]", "A slice wants a space here: [ : x]."},
  }));
  CAPTURE(statement);
  check_refused(with("/on_enroll/0", statement), "$.on_enroll[0]", "the SQL statement ", hint);
}

TEST_CASE("an expression has no placeholders") {
  for (const char* expression : {"a::text", "a[1:3]", ":user", ":usr"}) {
    CHECK(parse_policy(with("/refund", expression)).refund == expression);
  }
}

TEST_CASE("an array of the wrong type is refused, and so is each element") {
  struct Case {
    const char* pointer;
    const char* array;
    const char* element;
  };
  const auto given = GENERATE(values<Case>({
      {"/watch", "an array of objects", "an object"},
      {"/rules", "an array of objects", "an object"},
      {"/on_enroll", "an array of SQL statements", "an SQL statement (a string)"},
      {"/on_unenroll", "an array of SQL statements", "an SQL statement (a string)"},
      {"/callers", "an array of role names", "the name of a role (a string)"},
  }));
  CAPTURE(given.pointer);
  for (const json& wrong : {json("x"), json(nullptr), json(1), json::object()}) {
    check_refused(with(given.pointer, wrong), path_of(given.pointer),
                  "expected " + std::string(given.array) + ", found ");
  }
  for (const json& wrong : {json(""), json(nullptr), json(1), json::array()}) {
    json elements = full()[json::json_pointer(given.pointer)];
    elements.push_back(wrong);
    const std::string index = "[" + std::to_string(elements.size() - 1) + "]";
    check_refused(with(given.pointer, elements), path_of(given.pointer) + index,
                  "expected " + std::string(given.element) + ", found ");
  }
}

TEST_CASE("an empty array lists nothing, but a list of callers must let someone in") {
  CHECK(parse_policy(with("/watch", json::array())).watch.empty());
  CHECK(parse_policy(with("/rules", json::array())).rules.empty());
  CHECK(parse_policy(with("/on_enroll", json::array())).on_enroll.empty());
  CHECK(parse_policy(with("/on_unenroll", json::array())).on_unenroll.empty());
  check_refused(with("/callers", json::array()), "$.callers",
                "expected at least one role, found an empty array", "Leave the key out");
}

TEST_CASE("what must be named once is refused when it is named again") {
  struct Case {
    const char* pointer;
    json again;
    const char* path;
    const char* problem;
    const char* hint;
  };
  const auto given = GENERATE(values<Case>({
      {"/watch/1",
       {{"table", "limits"}, {"tournament", "other"}},
       "$.watch[1].table",
       "\"limits\" is $.watch[0].table already",
       "Name each table once."},
      {"/rules/2",
       {{"name", "students"}, {"on", "unenroll"}, {"require", "TRUE"}},
       "$.rules[2].name",
       "\"students\" is $.rules[0].name already",
       "Give each rule a name of its own."},
      {"/callers/2", "app", "$.callers[2]", "\"app\" is $.callers[0] already",
       "Name each role once."},
  }));
  CAPTURE(given.pointer);
  check_refused(with(given.pointer, given.again), given.path, given.problem, given.hint);
}

TEST_CASE("names that differ in case are two names") {
  const json other{{"table", "Limits"}, {"tournament", "semester_id"}};
  CHECK(parse_policy(with("/watch/1", other)).watch.size() == 2);
  CHECK(parse_policy(with("/callers/2", "App")).callers.size() == 3);
  const json rule{{"name", "Students"}, {"require", "TRUE"}};
  CHECK(parse_policy(with("/rules/2", rule)).rules.size() == 3);
}

TEST_CASE("a statement may be given twice") {
  CHECK(parse_policy(with("/on_enroll", {"SELECT 1", "SELECT 1"})).on_enroll.size() == 2);
}

TEST_CASE("a rule is asked on enroll or on unenroll") {
  const auto read = [](const char* value) {
    return parse_policy(with("/rules/0/on", value)).rules[0].on;
  };
  CHECK(read("enroll") == Rule::On::enroll);
  CHECK(read("unenroll") == Rule::On::unenroll);
  check_refused(with("/rules/1/on", "unenrol"), "$.rules[1].on",
                R"(expected "enroll" or "unenroll", found string "unenrol")",
                R"(Did you mean "unenroll"?)");
  const std::string waive = with("/rules/1/on", "waive");
  check_refused(waive, "$.rules[1].on", R"(found string "waive")");
  CHECK(refused(waive).hint().empty());
}

TEST_CASE("a rule's http_status is a client's or a server's error") {
  for (const int status : {400, 403, 500, 599}) {
    CHECK(parse_policy(with("/rules/1/http_status", status)).rules[1].http_status == status);
  }
  const json wrong = GENERATE(json(399), json(600), json(0), json(-404), json(403.0), json(403.5),
                              json("403"), json(true), json(nullptr), json(18446744073709551615U),
                              json(4294967699U), json(1e300));
  CAPTURE(wrong);
  check_refused(with("/rules/1/http_status", wrong), "$.rules[1].http_status",
                "expected a whole number from 400 to 599, found ");
}

TEST_CASE("a strict ledger says whose its rows are") {
  CHECK_FALSE(parse_policy(with("/ledger/strict", false)).ledger.strict);
  CHECK(parse_policy(with("/ledger/strict", true)).ledger.strict);
  for (const json& wrong : {json("false"), json(0), json(1), json(nullptr), json::array()}) {
    check_refused(with("/ledger/strict", wrong), "$.ledger.strict",
                  "expected true or false, found ");
  }
  json document = full();
  document["ledger"].erase("user");
  document["ledger"]["strict"] = false;
  CHECK_NOTHROW(parse_policy(document.dump()));
  document["ledger"]["strict"] = true;
  check_refused(document.dump(), "$.ledger.strict", "expected false where the ledger has no user",
                "Name the ledger's column that holds the user's key under user.");
}

TEST_CASE("stripes are a number, or left to the engine") {
  CHECK(parse_policy(with("/stripes", "auto")).stripes == 0);
  CHECK(parse_policy(with("/stripes", 1)).stripes == 1);
  CHECK(parse_policy(with("/stripes", 1024)).stripes == 1024);
  for (const json& wrong : {json("8"), json(0), json(-1), json(1025), json(2.5), json("Auto"),
                            json(nullptr), json(""), json(18446744073709551615ULL)}) {
    check_refused(with("/stripes", wrong), "$.stripes",
                  R"(expected "auto" or a whole number from 1 to 1024, found )", "Leave it out");
  }
}

TEST_CASE("a policy tells nobody, or in one of two ways") {
  CHECK(parse_policy(with("/notify", "none")).notify == Notify::none);
  CHECK(parse_policy(with("/notify", "notify")).notify == Notify::notify);
  CHECK(parse_policy(with("/notify", "message")).notify == Notify::message);
  for (const json& wrong : {json("8"), json(8), json(true), json(nullptr), json("")}) {
    check_refused(with("/notify", wrong), "$.notify",
                  R"(expected "none" or "notify" or "message", found )", "");
  }
  check_refused(with("/notify", "mesage"), "$.notify",
                R"(expected "none" or "notify" or "message", found string "mesage")",
                R"(Did you mean "message"?)");
}

TEST_CASE("a policy runs as the owner or as the caller") {
  CHECK(parse_policy(with("/run_as", "owner")).run_as == RunAs::owner);
  CHECK(parse_policy(with("/run_as", "caller")).run_as == RunAs::caller);
  check_refused(with("/run_as", "Owner"), "$.run_as",
                R"(expected "owner" or "caller", found string "Owner")",
                R"(Did you mean "owner"?)");
}

TEST_CASE("a wait is a whole number and a unit") {
  const auto [wait, milliseconds] = GENERATE(table<std::string, int>({
      {"1ms", 1},
      {"500ms", 500},
      {"3s", 3'000},
      {"03s", 3'000},
      {"1min", 60'000},
      {"2h", 7'200'000},
      {"576h", 2'073'600'000},
      {"2147483647ms", 2'147'483'647},
      {"2147483s", 2'147'483'000},
      {"0000000000000000000000001s", 1'000},
  }));
  CAPTURE(wait);
  CHECK(parse_policy(with("/wait", wait)).wait_ms == milliseconds);
}

TEST_CASE("what is no wait is refused with the units there are") {
  const json wrong =
      GENERATE(as<json>{}, "", "3", "s", "0s", "000ms", "-3s", "+3s", "3 s", " 3s", "3s ", "3.5s",
               "3S", "3sec", "3m", "1d", "1h30min", "3s3", "1e3s", "0x3s", "\xd9\xa3s", nullptr,
               true, 0, -3, 3.5, json::array({"3s"}), json::object());
  CAPTURE(wrong);
  check_refused(with("/wait", wrong), "$.wait",
                R"(expected a time such as "3s" (a string), found )",
                "Write a whole number of at least 1 and its unit: ms, s, min or h.");
}

TEST_CASE("a wait without its unit is shown with one") {
  check_refused(with("/wait", 3), "$.wait", "found number 3", R"(Write "3s".)");
  check_refused(with("/wait", 500), "$.wait", "found number 500", R"(Write "500s".)");
}

TEST_CASE("a wait that does not fit is refused") {
  const auto wait = GENERATE(as<std::string>{}, "2147483648ms", "2147484s", "35792min", "597h",
                             "9223372036854775807h", "18446744073709551617ms",
                             "99999999999999999999999999999999999999999999s");
  CAPTURE(wait);
  check_refused(with("/wait", wait), "$.wait", "expected at most 24 days, found string ");
}

TEST_CASE("a long document is read, and so is a deeply nested statement") {
  constexpr int many = 2'000;
  json document = full();
  document["on_enroll"] = json::array();
  for (int i = 0; i < many; ++i) {
    document["rules"].push_back({{"name", std::to_string(i)}, {"require", "TRUE"}});
    document["on_enroll"].push_back("SELECT :user");
  }
  const Policy policy = parse_policy(document.dump());
  CHECK(policy.rules.size() == many + 2);
  CHECK(policy.on_enroll.back() == "SELECT $1");
  document["rules"].push_back({{"name", "0"}, {"require", "TRUE"}});
  check_refused(document.dump(), "$.rules[2002].name", "\"0\" is $.rules[2].name already");
  constexpr int deep = 100'000;
  const std::string nested = std::string(deep, '(') + ":user" + std::string(deep, ')');
  CHECK(parse_policy(with("/on_enroll/0", nested)).on_enroll[0].size() == nested.size() - 3);
}
