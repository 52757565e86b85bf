#include "rules/sql.hpp"

#include <algorithm>
#include <array>
#include <cctype>
#include <cstddef>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include <catch2/catch.hpp>

#include "rules/ready_made.hpp"

using pg_enroll::rules::active_probe;
using pg_enroll::rules::Actor;
using pg_enroll::rules::balance_probe;
using pg_enroll::rules::Catalog;
using pg_enroll::rules::Parameter;
using pg_enroll::rules::parse_policy;
using pg_enroll::rules::Policy;
using pg_enroll::rules::Signature;
using pg_enroll::rules::signature;
using pg_enroll::rules::Statement;
using pg_enroll::rules::statement_count;
using pg_enroll::rules::statement_text;

using Catch::Matchers::Contains;

namespace {

std::vector<Statement> every_statement() {
  std::vector<Statement> all;
  for (std::size_t i = 0; i < statement_count; ++i) all.push_back(static_cast<Statement>(i));
  return all;
}

bool is_seat(Statement statement) { return signature(statement).actor == Actor::extension_owner; }

std::size_t declared(Statement statement) {
  const auto& parameters = signature(statement).parameters;
  return static_cast<std::size_t>(std::find(parameters.begin(), parameters.end(), Parameter::none) -
                                  parameters.begin());
}

Catalog catalog() {
  return {.users = R"("s"."users")",
          .tournaments = R"("s"."tournaments")",
          .enrollments = R"("s"."enrollments")",
          .ledger = R"("s"."credit_transactions")",
          .seats = R"("x".enroll_seat)",
          .balance_type = "pg_catalog.numeric(10,2)",
          .balance_is_numeric = true,
          .key_cast = {},
          .key_is_required = false,
          .active = R"(e."is_active")"};
}

// Every name holds a quote, and every expression says where it stands and reads all it may read.
Policy hostile() {
  Policy policy;
  policy.users = {"u", "a\"b key", "a\"b balance"};
  policy.tournaments = {"t", "a\"b key", "(t.x_capacity)", "(t.x_cost)", "(t.x_open)"};
  policy.enrollments.table = "e";
  policy.enrollments.key = "a\"b key";
  policy.enrollments.user = "a\"b user";
  policy.enrollments.tournament = "a\"b tournament";
  policy.enrollments.active = "x_active";
  policy.enrollments.insert = {{"a\"b insert", "u.x_insert"}};
  policy.enrollments.withdraw = {{"a\"b withdraw", "u.x_withdraw"}};
  policy.ledger.table = "l";
  policy.ledger.amount = "a\"b amount";
  policy.ledger.balance_after = "a\"b after";
  policy.ledger.enrollment = "a\"b enrollment";
  policy.ledger.user = "a\"b user";
  policy.ledger.idempotency_key = "a\"b idempotency";
  policy.ledger.order = "a\"b order";
  policy.ledger.type = {"a\"b type", "it's \\ enroll", "it's \\ unenroll", "it's \\ waive"};
  policy.ledger.insert = {{"a\"b common", "x_common + cost"},
                          {"a\"b own", "x_overridden"},
                          {"a\"b where", "u.x + t.x + e.x"}};
  policy.ledger.enroll = {{"a\"b own", "x_enroll || reason || operation"}};
  policy.ledger.unenroll = {{"a\"b own", "x_unenroll || reason || operation"}};
  policy.ledger.waive = {{"a\"b own", "x_waive || reason || operation"}};
  policy.refund = "x_refund + paid";
  return policy;
}

std::string text_of(Statement statement) { return statement_text(statement, hostile(), catalog()); }

// The text with each string literal as '' and each quoted identifier as "", so that what is left
// is the generator's own SQL and the policy's expressions.
std::string bare(const std::string& sql) {
  std::string out;
  for (std::size_t i = 0; i < sql.size(); ++i) {
    out += sql[i];
    const char quote = sql[i];
    if (quote != '\'' && quote != '"') continue;
    const bool escapes = quote == '\'' && i > 0 && sql[i - 1] == 'E';
    for (++i; i < sql.size(); ++i) {
      const bool doubled = sql[i] == quote && i + 1 < sql.size() && sql[i + 1] == quote;
      if (sql[i] == quote && !doubled) break;
      if (doubled || (escapes && sql[i] == '\\')) ++i;
    }
    REQUIRE(i < sql.size());  // else a quote is left open
    out += quote;
  }
  return out;
}

std::set<std::size_t> parameters_in(const std::string& sql) {
  std::set<std::size_t> numbers;
  for (std::size_t at = sql.find('$'); at != std::string::npos; at = sql.find('$', at + 1)) {
    numbers.insert(std::stoul(sql.substr(at + 1)));
  }
  return numbers;
}

std::size_t times(std::string_view text, std::string_view part) {
  std::size_t count = 0;
  for (std::size_t at = text.find(part); at != std::string_view::npos;
       at = text.find(part, at + part.size())) {
    ++count;
  }
  return count;
}

void remove_all(std::string& text, std::string_view part) {
  for (std::size_t at = text.find(part); at != std::string::npos; at = text.find(part)) {
    text.erase(at, part.size());
  }
}

bool is_word(char c) { return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '_'; }

// The names that touch an opening parenthesis, with what qualifies them, but for the aliases that
// name columns.
std::set<std::string> called(const std::string& sql) {
  std::set<std::string> names;
  for (std::size_t at = sql.find('('); at != std::string::npos; at = sql.find('(', at + 1)) {
    std::size_t start = at;
    while (start > 0 && (is_word(sql[start - 1]) || sql[start - 1] == '.')) --start;
    const bool alias = start >= 3 && sql.compare(start - 3, 3, "AS ") == 0;
    if (start < at && !alias) names.insert(sql.substr(start, at - start));
  }
  return names;
}

}  // namespace

TEST_CASE("every statement has a text and a signature without gaps") {
  for (const auto statement : every_statement()) {
    CAPTURE(static_cast<int>(statement));
    CHECK_FALSE(text_of(statement).empty());
    const auto& parameters = signature(statement).parameters;
    const auto end = parameters.begin() + static_cast<std::ptrdiff_t>(declared(statement));
    CHECK(std::all_of(end, parameters.end(), [](Parameter p) { return p == Parameter::none; }));
  }
}

TEST_CASE("a statement uses the parameters that it declares, and no other") {
  for (const auto statement : every_statement()) {
    CAPTURE(static_cast<int>(statement), text_of(statement));
    const auto used = parameters_in(bare(text_of(statement)));
    REQUIRE(used.size() == declared(statement));
    if (!used.empty()) CHECK(*used.begin() == 1);
    if (!used.empty()) CHECK(*used.rbegin() == declared(statement));
  }
}

TEST_CASE("a policy that reads little uses no parameter beyond the declared ones") {
  const Policy policy = parse_policy(pg_enroll::rules::ready_made_policy);
  for (const auto statement : every_statement()) {
    const std::string sql = statement_text(statement, policy, catalog());
    CAPTURE(sql);
    const auto used = parameters_in(bare(sql));
    if (!used.empty()) CHECK(*used.begin() >= 1);
    if (!used.empty()) CHECK(*used.rbegin() <= declared(statement));
  }
}

TEST_CASE("a statement is one statement in balanced parentheses") {
  for (const auto statement : every_statement()) {
    const std::string sql = bare(text_of(statement));
    CAPTURE(sql);
    int depth = 0;
    for (const char c : sql) {
      depth += c == '(' ? 1 : 0;
      depth -= c == ')' ? 1 : 0;
      REQUIRE(depth >= 0);
    }
    CHECK(depth == 0);
    CHECK(sql.find(';') == std::string::npos);
    CHECK(sql.find("--") == std::string::npos);
    CHECK(sql.find("/*") == std::string::npos);
  }
}

TEST_CASE("every column name is quoted, and a quote in it doubled") {
  for (const auto statement : every_statement()) {
    const std::string sql = text_of(statement);
    CAPTURE(sql);
    CHECK(times(sql, "a\"b") == 0);
    CHECK(times(bare(sql), "a\"b") == 0);
    if (!is_seat(statement)) CHECK(times(sql, "\"a\"\"b ") > 0);
  }
}

TEST_CASE("tables are named only as the catalogs qualify them") {
  for (const auto statement : every_statement()) {
    const std::string sql = text_of(statement);
    CAPTURE(sql);
    const bool seats = times(sql, R"("x".enroll_seat)") > 0;
    CHECK(seats == is_seat(statement));
    CHECK((times(sql, R"("s".)") > 0) == !is_seat(statement));
  }
}

TEST_CASE("every function is qualified") {
  const std::set<std::string> syntax{"COALESCE", "GREATEST", "OPERATOR"};
  for (const auto statement : every_statement()) {
    const std::string sql = text_of(statement);
    CAPTURE(sql);
    for (const auto& name : called(bare(sql))) {
      CAPTURE(name);
      CHECK((syntax.count(name) == 1 || name.rfind("pg_catalog.", 0) == 0));
    }
  }
}

TEST_CASE("every operator is qualified, and every cast names a qualified type") {
  const Policy plain = [] {
    Policy policy = hostile();  // its expressions' own operators are not the generator's
    policy.refund = "x";
    policy.ledger.insert = {{"a\"b where", "f(u.x, t.x, e.x)"}};
    policy.ledger.enroll = policy.ledger.unenroll = policy.ledger.waive = {};
    return policy;
  }();
  for (const auto statement : every_statement()) {
    std::string sql = bare(statement_text(statement, plain, catalog()));
    CAPTURE(sql);
    CHECK(times(sql, "::") == times(sql, "::pg_catalog."));
    for (const char* op : {"=", "<", "<=", ">", ">=", "+", "-", "*"}) {
      remove_all(sql, std::string("OPERATOR(pg_catalog.") + op + ")");
    }
    CHECK(sql.find("OPERATOR") == std::string::npos);
    CHECK(sql.find_first_of("<>+-/%|&!~#@^`?") == std::string::npos);
    // What is left of = assigns, in an UPDATE's or an upsert's SET.
    CHECK((times(sql, "=") == 0 || times(sql, " SET ") == 1));
  }
}

TEST_CASE("the seats' statements hold no expression and no name of a policy") {
  const Policy policy = hostile();
  for (const auto statement : every_statement()) {
    if (!is_seat(statement)) continue;
    CAPTURE(text_of(statement));
    CHECK(times(text_of(statement), "x_") == 0);
    CHECK(text_of(statement) == statement_text(statement, Policy{}, catalog()));
  }
}

TEST_CASE("an expression stands in parentheses wherever it stands") {
  const std::vector<std::string> expressions{"(t.x_capacity)",
                                             "(t.x_cost)",
                                             "(t.x_open)",
                                             "u.x_insert",
                                             "u.x_withdraw",
                                             "x_common + cost",
                                             "u.x + t.x + e.x",
                                             "x_refund + paid",
                                             "x_enroll || reason || operation",
                                             "x_unenroll || reason || operation",
                                             "x_waive || reason || operation"};
  std::set<std::string> seen;
  for (const auto statement : every_statement()) {
    const std::string sql = text_of(statement);
    CAPTURE(sql);
    for (const auto& expression : expressions) {
      CAPTURE(expression);
      CHECK(times(sql, expression) == times(sql, "(" + expression + ")"));
      if (times(sql, expression) > 0) seen.insert(expression);
    }
  }
  CHECK(seen.size() == expressions.size());
}

TEST_CASE("the active index is inferred from the expression as the policy gives it") {
  for (const auto statement : {Statement::insert_enrollment, Statement::insert_enrollment_many}) {
    CHECK_THAT(
        text_of(statement),
        Contains(R"(ON CONFLICT ("a""b user", "a""b tournament") WHERE (x_active) DO NOTHING)"));
  }
}

TEST_CASE("elsewhere active is read from the enrollment's row") {
  for (const auto statement : {Statement::read_enroll, Statement::read_unenroll,
                               Statement::withdraw_enrollment, Statement::count_enrollments}) {
    CHECK_THAT(text_of(statement), Contains(R"((e."is_active"))"));
    CHECK(times(text_of(statement), "x_active") == 0);
  }
}

TEST_CASE("a ledger row names each column once, and an operation's own expression wins") {
  struct Case {
    Statement statement;
    const char* own;
    const char* type;
  };
  const auto given = GENERATE(values<Case>({
      {Statement::ledger_enroll, "x_enroll", R"(E'it''s \\ enroll')"},
      {Statement::ledger_enroll_many, "x_enroll", R"(E'it''s \\ enroll')"},
      {Statement::ledger_unenroll, "x_unenroll", R"(E'it''s \\ unenroll')"},
      {Statement::ledger_waive, "x_waive", R"(E'it''s \\ waive')"},
  }));
  const std::string sql = text_of(given.statement);
  CAPTURE(sql);
  const std::string columns = sql.substr(0, sql.find(") SELECT "));
  for (const char* column :
       {"amount", "after", "enrollment", "idempotency", "type", "user", "common", "own", "where"}) {
    CAPTURE(column);
    CHECK(times(columns, std::string("\"a\"\"b ") + column + "\"") == 1);
  }
  CHECK(times(sql, given.own) == 1);
  CHECK(times(sql, "x_overridden") == 0);
  CHECK(times(sql, given.type) == 1);
}

TEST_CASE("the ledger's user is u's key unless the policy assigns it") {
  Policy policy = hostile();
  policy.ledger.insert = {{"a\"b user", "x_own_user"}};
  std::string sql = statement_text(Statement::ledger_enroll, policy, catalog());
  CHECK(times(sql, R"("a""b user")") == 1);
  CHECK(times(sql, "(x_own_user)") == 1);
  policy.ledger.insert = {};
  policy.ledger.waive = {{"a\"b user", "x_own_user"}};
  sql = statement_text(Statement::ledger_waive, policy, catalog());
  CHECK(times(sql, R"("a""b user")") == 1);
  policy.ledger.user = std::nullopt;
  policy.ledger.waive = {};
  sql = statement_text(Statement::ledger_waive, policy, catalog());
  CHECK(times(sql, R"("a""b user")") == 0);
}

TEST_CASE("a table joins the ledger's statement where an expression reads it") {
  struct Case {
    const char* expression;
    bool users, tournaments, enrollments;
  };
  const auto given = GENERATE(values<Case>({
      {"1", false, false, false},
      {"u.name", true, false, false},
      {"U.name", true, false, false},
      {"(t).name", false, true, false},
      {"t . name", false, true, false},
      {"e.id + t.id", false, true, true},
      {"\"t\".name", false, true, false},
      {"menu.name", false, false, false},
      {"f(u)", true, false, false},
  }));
  Policy policy = hostile();
  policy.ledger.insert = {{"c", given.expression}};
  policy.ledger.unenroll = {};
  const std::string sql = statement_text(Statement::ledger_unenroll, policy, catalog());
  CAPTURE(sql);
  CHECK((times(sql, R"("s"."users")") == 1) == given.users);
  CHECK((times(sql, R"("s"."tournaments")") == 1) == given.tournaments);
  CHECK((times(sql, R"("s"."enrollments")") == 1) == given.enrollments);
}

TEST_CASE("a price and a refund are read unrounded, whatever the balance's type") {
  CHECK_THAT(text_of(Statement::read_enroll), Contains("((t.x_cost))::pg_catalog.numeric, "));
  CHECK_THAT(text_of(Statement::read_unenroll),
             Contains("(x_refund + paid)::pg_catalog.numeric AS refund"));
}

TEST_CASE("the guard rows are written, on a condition that their newest version must meet") {
  for (const auto statement : {Statement::debit, Statement::debit_many}) {
    CHECK_THAT(text_of(statement), Contains("UPDATE ") && Contains("OPERATOR(pg_catalog.>=)"));
  }
  for (const auto statement : {Statement::seat_claim, Statement::seat_claim_read}) {
    CHECK_THAT(text_of(statement), Contains("UPDATE ") && Contains("s.allotted IS NULL OR ") &&
                                       Contains("OPERATOR(pg_catalog.<=) s.allotted"));
  }
  CHECK_THAT(text_of(Statement::seat_claim_read), Contains("s.epoch OPERATOR(pg_catalog.=) "));
}

TEST_CASE("rows are locked in the order of their keys, with the lock the order allows") {
  CHECK_THAT(text_of(Statement::lock_account), Contains("FOR NO KEY UPDATE"));
  CHECK_THAT(text_of(Statement::lock_account_many),
             Contains(R"(ORDER BY u."a""b key" FOR NO KEY UPDATE)"));
  for (const auto statement : {Statement::lock_users, Statement::lock_tournaments}) {
    CHECK_THAT(text_of(statement), Contains(R"(ORDER BY r."a""b key" FOR KEY SHARE)"));
  }
  for (const auto statement : {Statement::insert_enrollment, Statement::insert_enrollment_many,
                               Statement::withdraw_enrollment}) {
    CHECK_THAT(text_of(statement), Contains("FOR KEY SHARE OF t"));
  }
  CHECK_THAT(text_of(Statement::seat_lock_all), Contains("ORDER BY s.tournament, s.stripe FOR"));
  CHECK_THAT(text_of(Statement::seat_lock_rest), Contains("ORDER BY s.stripe FOR NO KEY UPDATE"));
}

TEST_CASE("the probes quote and qualify as the statements do") {
  CHECK(active_probe(hostile(), R"("s"."e")") == R"(SELECT FROM "s"."e" AS e WHERE (x_active))");
  CHECK(balance_probe(hostile(), R"("s"."u")") ==
        R"(SELECT FROM "s"."u" AS u WHERE u."a""b balance" OPERATOR(pg_catalog.>=) 0)");
}

TEST_CASE("the ready-made policy is a policy") {
  const Policy policy = parse_policy(pg_enroll::rules::ready_made_policy);
  CHECK(policy.users.table == "users");
  CHECK(policy.users.balance == "credit_balance");
  CHECK(policy.ledger.type.enroll == "ENROLLMENT");
  CHECK(policy.ledger.type.unenroll == "REFUND");
  CHECK(policy.ledger.type.waive == "WAIVED");
}
