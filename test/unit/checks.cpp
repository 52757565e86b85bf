#include "rules/checks.hpp"

#include <algorithm>
#include <array>
#include <string>
#include <vector>

#include <catch2/catch.hpp>

#include "rules/ready_made.hpp"

using pg_enroll::rules::Check;
using pg_enroll::rules::CheckFacts;
using pg_enroll::rules::CheckKind;
using pg_enroll::rules::checks_of;
using pg_enroll::rules::ForeignRows;
using pg_enroll::rules::own_check_query;
using pg_enroll::rules::own_check_statement;
using pg_enroll::rules::parse_policy;
using pg_enroll::rules::Policy;
using pg_enroll::rules::PolicyError;
using pg_enroll::rules::ProbedTables;
using pg_enroll::rules::Severity;
using pg_enroll::rules::severity_name;
using pg_enroll::rules::summary_query;
using pg_enroll::rules::unpaid_keys_query;

using Catch::Matchers::Contains;

namespace {

const ProbedTables tables{.users = R"("s"."users")",
                          .tournaments = R"("s"."tournaments")",
                          .enrollments = R"("s"."enrollments")",
                          .ledger = R"("s"."moves")",
                          .balance_type = {}};

// Another policy's words, one of them hostile.
constexpr std::array<ForeignRows, 1> others{{{"a\"b other", "it's theirs", "back", "free"}}};

CheckFacts facts(bool numeric = false) {
  return {.functions = "\"x\"",
          .seats = "\"x\".enroll_seat",
          .policy = "it's",
          .balance_is_numeric = numeric,
          .others = others};
}

Policy ready_made() { return parse_policy(pg_enroll::rules::ready_made_policy); }

// Its expressions hold no operator, and every name a quote.
Policy hostile() {
  Policy policy = ready_made();
  for (std::string* name :
       {&policy.users.key, &policy.users.balance, &policy.tournaments.key, &policy.enrollments.key,
        &policy.enrollments.user, &policy.enrollments.tournament, &policy.ledger.amount,
        &policy.ledger.balance_after, &policy.ledger.enrollment, &policy.ledger.order,
        &policy.ledger.type.column}) {
    *name = "a\"b " + *name;
  }
  policy.enrollments.time = "a\"b time";
  policy.ledger.user = "a\"b user";
  policy.tournaments.capacity = "x_capacity";
  policy.enrollments.active = "x_active";
  policy.enrollments.withdrawn = "x_withdrawn";
  policy.ledger.type.enroll = "it's \\ enroll";
  return policy;
}

Check check_of(const Policy& policy, const std::string& id, bool numeric = false) {
  for (const Check& check : checks_of(policy, tables, facts(numeric))) {
    if (check.id == id) return check;
  }
  FAIL("no check " << id);
  return {};
}

void remove_all(std::string& text, const std::string& part) {
  for (std::size_t at = text.find(part); at != std::string::npos; at = text.find(part, at)) {
    text.erase(at, part.size());
  }
}

// Literals and quoted names hold what they like.
std::string without_quoted(const std::string& sql) {
  std::string bare;
  char quote = '\0';
  for (const char c : sql) {
    if (quote == '\0' && (c == '\'' || c == '"')) {
      quote = c;
    } else if (c == quote) {
      quote = '\0';
    } else if (quote == '\0') {
      bare += c;
    }
  }
  return bare;
}

std::vector<std::string> every_query(const Policy& policy) {
  std::vector<std::string> queries{summary_query(policy, tables),
                                   unpaid_keys_query(policy, tables)};
  for (const Check& check : checks_of(policy, tables, facts(true))) queries.push_back(check.query);
  return queries;
}

}  // namespace

TEST_CASE("there are ten checks, numbered, each with its words") {
  const std::vector<Check> checks = checks_of(ready_made(), tables, facts());
  REQUIRE(checks.size() == 10);
  for (std::size_t i = 0; i < checks.size(); ++i) {
    CHECK(checks[i].id == (i < 9 ? "INV-0" : "INV-") + std::to_string(i + 1));
    CHECK(!checks[i].title.empty());
    CHECK(!checks[i].detail.empty());
    CHECK(!checks[i].remedy.empty());
    CHECK(checks[i].query.empty() == (checks[i].kind == CheckKind::guards));
  }
  CHECK(checks[4].kind == CheckKind::guards);
  CHECK(checks[6].kind == CheckKind::seats);
}

TEST_CASE(
    "a place without a ledger row warns, another writer's balance informs, all else is wrong") {
  for (const Check& check : checks_of(ready_made(), tables, facts())) {
    CAPTURE(check.id);
    const bool warns = check.id == "INV-04";
    const bool informs = check.id == "INV-08";
    CHECK(check.severity == (warns     ? Severity::warning
                             : informs ? Severity::info
                                       : Severity::error));
  }
  CHECK(severity_name(Severity::error) == "error");
  CHECK(severity_name(Severity::warning) == "warning");
  CHECK(severity_name(Severity::info) == "info");
}

TEST_CASE("where nobody else may write balances, the ledger has to add up") {
  Policy policy = ready_made();
  policy.ledger.strict = true;
  CHECK(check_of(policy, "INV-08").severity == Severity::error);
}

TEST_CASE("what the policy leaves out is skipped, and says what to name") {
  Policy policy = ready_made();
  policy.enrollments.withdrawn.reset();
  policy.enrollments.time.reset();
  policy.ledger.user.reset();
  int skipped = 0;
  for (const Check& check : checks_of(policy, tables, facts())) {
    const bool skips = check.kind != CheckKind::guards && check.query.empty();
    skipped += skips ? 1 : 0;
    CAPTURE(check.id);
    if (skips) CHECK(check.remedy.empty());
  }
  CHECK(skipped == 3);
  CHECK_THAT(check_of(policy, "INV-03").detail, Contains("$.enrollments.withdrawn"));
  CHECK_THAT(check_of(policy, "INV-04").detail, Contains("$.enrollments.time"));
  CHECK_THAT(check_of(policy, "INV-08").detail, Contains("$.ledger.user"));
  CHECK_THAT(check_of(policy, "INV-10").query, !Contains("'ledger' AS \"row\", pg_catalog.format("
                                                         "'%s', l.\"id\") AS key, 'user'"));
  const std::string summary = summary_query(policy, tables);
  CHECK_THAT(summary, Contains("'?' AS withdrawn") && Contains("'?' AS charged"));
}

TEST_CASE("no check looks an operator or a function up on the search path") {
  for (std::string sql : every_query(hostile())) {
    CAPTURE(sql);
    for (const char* op : {"=", "<", "<>", ">", ">=", "+", "-"}) {
      remove_all(sql, std::string("OPERATOR(pg_catalog.") + op + ")");
    }
    CHECK(sql.find("OPERATOR") == std::string::npos);
    std::string bare = without_quoted(sql);
    remove_all(bare, "count(*)");
    remove_all(bare, "SELECT * FROM");
    remove_all(bare, "e.*");
    CHECK(bare.find_first_of("=<>+-/*%|&!~#@^`?") == std::string::npos);
    for (const char* word : {"DISTINCT FROM", "NULLIF", "BETWEEN", " IN (", "LIKE"}) {
      CHECK(bare.find(word) == std::string::npos);
    }
    for (const char* name : {"count(", "sum(", "lag(", "lead(", "row_number(", "unnest(", "format(",
                             "abs(", "min(", "max(", "to_jsonb(", "jsonb_agg(", "array_agg("}) {
      std::string rest = sql;
      remove_all(rest, std::string("pg_catalog.") + name);
      CAPTURE(name);
      CHECK(rest.find(name) == std::string::npos);
    }
  }
}

TEST_CASE("every name is quoted, every word of the ledger a literal") {
  for (const std::string& sql : every_query(hostile())) {
    CAPTURE(sql);
    std::string rest = sql;
    for (const char* alias : {"e", "u", "t", "l", "r"}) {
      remove_all(rest, std::string(alias) + ".\"a\"\"b ");
    }
    CHECK(rest.find("a\"") == std::string::npos);
  }
  CHECK_THAT(check_of(hostile(), "INV-09").query, Contains(R"(E'it''s \\ enroll')"));
  CHECK_THAT(check_of(hostile(), "INV-07").remedy,
             Contains(R"(SELECT * FROM "x".enroll_reconcile(E'it''s'))"));
}

TEST_CASE("a sample holds keys, and no balance") {
  CHECK_THAT(check_of(ready_made(), "INV-02").query,
             Contains(R"((SELECT u."id" AS "user" FROM "s"."users" AS u WHERE )"));
  CHECK_THAT(check_of(ready_made(), "INV-02").query, !Contains("Infinity"));
  CHECK_THAT(check_of(ready_made(), "INV-02", true).query, Contains("Infinity"));
  CHECK_THAT(check_of(ready_made(), "INV-08").query, Contains("SELECT m.\"user\", m.ledger, CASE"));
}

TEST_CASE("every sample is cut at twenty, in the order of its keys") {
  for (const Check& check : checks_of(ready_made(), tables, facts())) {
    if (check.kind == CheckKind::guards) continue;
    CAPTURE(check.id);
    CHECK_THAT(check.query, Contains(" ORDER BY 1") && Contains(" LIMIT 20) AS s"));
  }
}

TEST_CASE("a place whose time is not known is looked at, an accepted one is not") {
  const std::string query = check_of(ready_made(), "INV-04").query;
  CHECK_THAT(query, Contains("(e.\"enrolled_at\" IS NULL OR e.\"enrolled_at\" "
                             "OPERATOR(pg_catalog.>=) $1)"));
  CHECK_THAT(query, Contains("NOT EXISTS (SELECT FROM pg_catalog.unnest($2) AS b(enrollment)"));
  CHECK_THAT(unpaid_keys_query(ready_made(), tables), !Contains("$"));
}

TEST_CASE("another policy's rows in the same ledger name no enrollment of this one") {
  for (const char* id : {"INV-08", "INV-10"}) {
    CHECK_THAT(check_of(ready_made(), id).query,
               Contains(R"(l."enrollment_id" IS NOT NULL AND (l."a""b other"::pg_catalog.text )"
                        R"(OPERATOR(pg_catalog.=) E'it''s theirs' OR )"));
  }
}

TEST_CASE("a check of one's own is one statement, counted on lines of its own") {
  CHECK(own_check_statement("SELECT :since::date;") == "SELECT $1::date");
  CHECK_THAT(own_check_query("SELECT 1 -- all"), Contains("(\nSELECT 1 -- all\n)"));
  CHECK_THAT(own_check_query("SELECT 1"), !Contains("ORDER BY"));
  CHECK_THROWS_WITH(own_check_statement("SELECT 1; SELECT 2"),
                    Contains("query: ") && Contains("semicolon") && !Contains("policy"));
  CHECK_THROWS_WITH(own_check_statement("SELECT :user"), Contains("unknown placeholder"));
  CHECK_THROWS_AS(own_check_statement("SELECT 1) AS q, (SELECT 2"), PolicyError);
  CHECK_THROWS_AS(own_check_statement("SELECT $1"), PolicyError);
  CHECK_THROWS_AS(own_check_statement(" "), PolicyError);
}
