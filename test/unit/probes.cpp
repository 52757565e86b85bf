#include "rules/probes.hpp"

#include <algorithm>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include <catch2/catch.hpp>

#include "rules/ready_made.hpp"

using pg_enroll::rules::finite_balance_probe;
using pg_enroll::rules::Name;
using pg_enroll::rules::names_of;
using pg_enroll::rules::parse_policy;
using pg_enroll::rules::Policy;
using pg_enroll::rules::Probe;
using pg_enroll::rules::ProbedTables;
using pg_enroll::rules::ProbeKind;
using pg_enroll::rules::probes_of;
using pg_enroll::rules::Reenroll;
using pg_enroll::rules::Role;
using pg_enroll::rules::row_checks;
using pg_enroll::rules::RowCheck;
using pg_enroll::rules::RowFacts;
using pg_enroll::rules::Rule;

using Catch::Matchers::Contains;

namespace {

const ProbedTables tables{.users = "s.users",
                          .tournaments = "s.tournaments",
                          .enrollments = "s.enrollments",
                          .ledger = "s.ledger",
                          .balance_type = "pg_catalog.numeric(10,2)"};

// A table of which every column wants its alias.
std::string twice(const std::string& table, const std::string& alias) {
  return table + " AS " + alias + " CROSS JOIN " + table + " AS \"another " + alias + "\"";
}

const std::string u = twice("s.users", "u");
const std::string t = twice("s.tournaments", "t");
const std::string e = twice("s.enrollments", "e");
const std::string ut = u + " CROSS JOIN " + t;
const std::string ute = ut + " CROSS JOIN " + e;

Policy ready_made() { return parse_policy(pg_enroll::rules::ready_made_policy); }

Policy complete() {
  Policy policy = ready_made();
  policy.watch = {{"rooms", "tournament"}, {"x.y", "t"}};
  policy.enrollments.insert = {{"a", "x_a"}, {"odd \"key\"", "x_b"}};
  policy.ledger.insert = {{"kept", "t.x_kept"}};
  policy.ledger.enroll = {{"own", "cost"}};
  policy.ledger.unenroll = {{"own", "operation"}};
  policy.ledger.waive = {{"own", "'no' || reason"}};
  policy.rules = {{"one", Rule::On::enroll, "x_one", {}, {}},
                  {"two", Rule::On::unenroll, "x_two", {}, {}}};
  policy.on_enroll = {"INSERT INTO f VALUES ($1)"};
  policy.on_unenroll = {"DELETE FROM f", "SELECT $3"};
  policy.callers = {"app", "other"};
  return policy;
}

std::vector<std::string> texts_of(Role role) {
  std::vector<std::string> texts;
  for (const Name& name : names_of(complete())) {
    if (name.role == role) texts.push_back(name.path + " = " + name.text);
  }
  return texts;
}

std::vector<Probe> probes_at(const Policy& policy, std::string_view path) {
  std::vector<Probe> found;
  for (const Probe& probe : probes_of(policy, tables)) {
    if (probe.path == path) found.push_back(probe);
  }
  return found;
}

Probe probe_at(const Policy& policy, std::string_view path) {
  const std::vector<Probe> found = probes_at(policy, path);
  REQUIRE(found.size() == 1);
  return found.front();
}

RowCheck check_of(const Policy& policy, const RowFacts& facts, std::string_view obstacle) {
  const std::vector<RowCheck> checks = row_checks(policy, tables, facts);
  const auto found = std::find_if(checks.begin(), checks.end(), [&](const RowCheck& check) {
    return check.obstacle.find(obstacle) != std::string::npos;
  });
  REQUIRE(found != checks.end());
  return *found;
}

void remove_all(std::string& text, std::string_view part) {
  for (std::size_t at = text.find(part); at != std::string::npos; at = text.find(part)) {
    text.erase(at, part.size());
  }
}

}  // namespace

TEST_CASE("every name of a document comes with its place in it") {
  using Texts = std::vector<std::string>;
  const std::map<Role, Texts> expected{
      {Role::users_table, {"$.users.table = users"}},
      {Role::users_key, {"$.users.key = id"}},
      {Role::users_balance, {"$.users.balance = credit_balance"}},
      {Role::tournaments_table, {"$.tournaments.table = tournaments"}},
      {Role::tournaments_key, {"$.tournaments.key = id"}},
      {Role::watched_table, {"$.watch[0].table = rooms", "$.watch[1].table = x.y"}},
      {Role::watched_tournament,
       {"$.watch[0].tournament = tournament", "$.watch[1].tournament = t"}},
      {Role::enrollments_table, {"$.enrollments.table = enrollments"}},
      {Role::enrollments_key, {"$.enrollments.key = id"}},
      {Role::enrollments_user, {"$.enrollments.user = user_id"}},
      {Role::enrollments_tournament, {"$.enrollments.tournament = tournament_id"}},
      {Role::enrollments_time, {"$.enrollments.time = enrolled_at"}},
      {Role::enrollments_insert,
       {"$.enrollments.insert.a = a", R"($.enrollments.insert["odd \"key\""] = odd "key")"}},
      {Role::enrollments_withdraw,
       {"$.enrollments.withdraw.status = status", "$.enrollments.withdraw.is_active = is_active",
        "$.enrollments.withdraw.withdrawn_at = withdrawn_at"}},
      {Role::ledger_table, {"$.ledger.table = credit_transactions"}},
      {Role::ledger_amount, {"$.ledger.amount = amount"}},
      {Role::ledger_balance_after, {"$.ledger.balance_after = balance_after"}},
      {Role::ledger_enrollment, {"$.ledger.enrollment = enrollment_id"}},
      {Role::ledger_user, {"$.ledger.user = user_id"}},
      {Role::ledger_idempotency_key, {"$.ledger.idempotency_key = idempotency_key"}},
      {Role::ledger_order, {"$.ledger.order = id"}},
      {Role::ledger_type, {"$.ledger.type.column = type"}},
      {Role::ledger_word,
       {"$.ledger.type.enroll = ENROLLMENT", "$.ledger.type.unenroll = REFUND",
        "$.ledger.type.waive = WAIVED"}},
      {Role::ledger_insert, {"$.ledger.insert.kept = kept"}},
      {Role::ledger_enroll, {"$.ledger.enroll.own = own"}},
      {Role::ledger_unenroll, {"$.ledger.unenroll.own = own"}},
      {Role::ledger_waive, {"$.ledger.waive.own = own"}},
      {Role::caller, {"$.callers[0] = app", "$.callers[1] = other"}},
  };
  std::size_t count = 0;
  for (const auto& [role, texts] : expected) {
    CAPTURE(static_cast<int>(role));
    CHECK(texts_of(role) == texts);
    count += texts.size();
  }
  CHECK(names_of(complete()).size() == count);
}

TEST_CASE("what the document leaves out is not named") {
  Policy policy = ready_made();
  policy.enrollments.time.reset();
  policy.ledger.user.reset();
  const std::vector<Name> names = names_of(policy);
  CHECK(std::none_of(names.begin(), names.end(), [](const Name& name) {
    return name.role == Role::enrollments_time || name.role == Role::ledger_user ||
           name.role == Role::caller || name.role == Role::watched_table;
  }));
}

TEST_CASE("a table is named before its columns") {
  const std::vector<Name> names = names_of(complete());
  CHECK(names.front().role == Role::users_table);
  const auto place = [&](Role role) {
    return std::find_if(names.begin(), names.end(),
                        [&](const Name& name) { return name.role == role; }) -
           names.begin();
  };
  CHECK(place(Role::tournaments_table) < place(Role::tournaments_key));
  CHECK(place(Role::watched_table) < place(Role::watched_tournament));
  CHECK(place(Role::enrollments_table) < place(Role::enrollments_key));
  CHECK(place(Role::ledger_table) < place(Role::ledger_amount));
}

TEST_CASE("an expression sees the rows that it may read, and no other") {
  struct Case {
    const char* path;
    ProbeKind kind;
    std::string text;
  };
  const auto given = GENERATE(values<Case>({
      {"$.tournaments.open", ProbeKind::boolean,
       "SELECT FROM " + t + " WHERE (t.status IN ('ENROLLMENT_OPEN', 'IN_PROGRESS'))"},
      {"$.tournaments.capacity", ProbeKind::integer, "SELECT (t.capacity) FROM " + t},
      {"$.tournaments.cost", ProbeKind::number, "SELECT (t.cost) FROM " + t},
      {"$.enrollments.active", ProbeKind::predicate, "is_active"},
      {"$.enrollments.withdrawn", ProbeKind::withdrawn,
       "SELECT FROM s.enrollments AS e WHERE (status = 'WITHDRAWN')"},
      {"$.enrollments.insert.a", ProbeKind::enrollment, "SELECT (x_a) FROM " + ut},
      {"$.enrollments.withdraw.status", ProbeKind::enrollment, "SELECT ('WITHDRAWN') FROM " + ute},
      {"$.refund", ProbeKind::number,
       "SELECT (SELECT (paid / 2) FROM (SELECT NULL::pg_catalog.numeric(10,2) AS paid) AS given) "
       "FROM " +
           ute},
      {"$.ledger.insert.kept", ProbeKind::ledger, "SELECT (t.x_kept) FROM " + ute},
      {"$.rules[0].require", ProbeKind::boolean, "SELECT FROM " + ut + " WHERE (x_one)"},
      {"$.rules[1].require", ProbeKind::boolean, "SELECT FROM " + ute + " WHERE (x_two)"},
      {"$.on_enroll[0]", ProbeKind::follow_up, "INSERT INTO f VALUES ($1)"},
      {"$.on_unenroll[1]", ProbeKind::follow_up, "SELECT $3"},
  }));
  CAPTURE(given.path);
  const Probe probe = probe_at(complete(), given.path);
  CHECK(probe.kind == given.kind);
  CHECK(probe.text == given.text);
}

TEST_CASE("an expression that is assigned says to which column") {
  CHECK(probe_at(complete(), R"($.enrollments.insert["odd \"key\""])").column == "odd \"key\"");
  CHECK(probe_at(complete(), "$.ledger.waive.own").column == "own");
  CHECK(probe_at(complete(), "$.tournaments.cost").column.empty());
}

TEST_CASE("an expression about the call stands in an inner level, as in the engine") {
  for (const char* path :
       {"$.refund", "$.ledger.enroll.own", "$.ledger.unenroll.own", "$.ledger.waive.own"}) {
    CAPTURE(path);
    const Probe probe = probe_at(complete(), path);
    CHECK(probe.inner);
    CHECK_THAT(probe.text, Contains(" AS given)"));
  }
  CHECK_FALSE(probe_at(complete(), "$.ledger.insert.kept").inner);
  CHECK_FALSE(probe_at(complete(), "$.tournaments.cost").inner);
}

TEST_CASE("open and capacity alone are what a tournament is watched for") {
  for (const Probe& probe : probes_of(complete(), tables)) {
    CAPTURE(probe.path);
    CHECK(probe.watched ==
          (probe.path == "$.tournaments.open" || probe.path == "$.tournaments.capacity"));
  }
}

TEST_CASE("what reactivates a row is looked at beside the row, too") {
  Policy policy = complete();
  policy.enrollments.reenroll = Reenroll::reactivate;
  const std::vector<Probe> probes = probes_at(policy, "$.enrollments.insert.a");
  REQUIRE(probes.size() == 2);
  CHECK_THAT(probes[0].text, !Contains("s.enrollments"));
  CHECK_THAT(probes[1].text, Contains("s.enrollments AS e"));
}

TEST_CASE("a check of rows answers a number and at most 20 of them") {
  const std::vector<RowCheck> checks = row_checks(complete(), tables, {});
  CHECK(checks.size() == 8);
  for (const RowCheck& check : checks) {
    CAPTURE(check.obstacle);
    CHECK_THAT(check.query, Contains("SELECT pg_catalog.count(*), ("));
    CHECK_THAT(check.query, Contains(" LIMIT 20)"));
    CHECK_THAT(check.path, Contains("$."));
    CHECK_FALSE(check.remedy.empty());
    CHECK((check.table == "s.users" || check.table == "s.tournaments" ||
           check.table == "s.enrollments"));
  }
}

TEST_CASE("duplicates and unsound balances refuse a policy, the rest warns") {
  for (const RowCheck& check : row_checks(complete(), tables, {})) {
    CAPTURE(check.obstacle);
    const bool refuses = check.obstacle.find("more than one active") != std::string::npos ||
                         check.obstacle.find("balances that are negative") != std::string::npos;
    CHECK(check.refuses == refuses);
  }
}

TEST_CASE("no check of rows looks an operator up on the search path") {
  Policy policy = complete();  // its expressions' own operators are not the generator's
  policy.tournaments.open = policy.tournaments.cost = policy.tournaments.capacity = "x";
  policy.enrollments.active = "x";
  for (const RowCheck& check : row_checks(policy, tables, {true, 2})) {
    std::string sql = check.query;
    CAPTURE(sql);
    CHECK(sql.find("count(") == sql.find("pg_catalog.count(") + 11);
    for (const char* op : {"=", "<", "<>", ">", ">="}) {
      remove_all(sql, std::string("OPERATOR(pg_catalog.") + op + ")");
    }
    CHECK(sql.find("OPERATOR") == std::string::npos);
    CHECK(sql.find_first_of("=<>+-/%|&!~#@^`?") == std::string::npos);
  }
}

TEST_CASE("a balance without bounds is looked for where there can be one") {
  const RowCheck exact = check_of(ready_made(), {}, "balances that are negative");
  CHECK_THAT(exact.query, !Contains("Infinity"));
  CHECK_THAT(exact.remedy, !Contains("Infinity"));
  const RowCheck numeric = check_of(ready_made(), {true, 2}, "balances that are negative");
  CHECK_THAT(numeric.query, Contains("OPERATOR(pg_catalog.>=) 'Infinity'"));
  CHECK_THAT(numeric.obstacle, Contains("NaN or infinite"));
}

TEST_CASE("a price is held against the balance's scale, where it has one") {
  CHECK_THAT(check_of(ready_made(), {true, 2}, "prices").query,
             Contains("pg_catalog.trunc(c.price, 2)"));
  CHECK_THAT(check_of(ready_made(), {true, std::nullopt}, "prices").query, !Contains("trunc"));
}

TEST_CASE("a remedy withdraws by the policy's own words") {
  const RowCheck plain = check_of(ready_made(), {}, "more than one active");
  CHECK_THAT(plain.remedy, Contains(R"(UPDATE s.enrollments AS e SET "status" = ('WITHDRAWN'), )"
                                    R"("is_active" = (FALSE))"));
  CHECK_THAT(plain.remedy, !Contains("s.users"));
  Policy policy = ready_made();
  policy.enrollments.withdraw = {{"note", "t.name || u.name"}};
  const std::string reads_both = check_of(policy, {}, "more than one active").remedy;
  CHECK_THAT(reads_both, Contains("FROM s.tournaments AS t, s.users AS u, "));
  CHECK_THAT(reads_both, Contains(R"(t."id" = e."tournament_id" AND u."id" = e."user_id")"));
  // What is not there cannot be joined.
  CHECK_THAT(check_of(policy, {}, "whose user is NULL").remedy,
             Contains("DELETE FROM s.enrollments AS e WHERE"));
}

TEST_CASE("a sound balance is neither negative nor without bounds") {
  CHECK(finite_balance_probe(ready_made(), "s.users") ==
        R"(SELECT FROM s.users AS u WHERE u."credit_balance" OPERATOR(pg_catalog.>=) 0 AND )"
        R"(u."credit_balance" OPERATOR(pg_catalog.<) 'Infinity')");
}
