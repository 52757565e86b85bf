#include "rules/outcome.hpp"

#include <algorithm>
#include <cstddef>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include <catch2/catch.hpp>

using pg_enroll::rules::Contract;
using pg_enroll::rules::contract;
using pg_enroll::rules::EnrollFacts;
using pg_enroll::rules::is_done;
using pg_enroll::rules::judge;
using pg_enroll::rules::Outcome;
using pg_enroll::rules::UnenrollFacts;

namespace {

struct Row {
  Outcome outcome;
  std::string code;
  std::string sqlstate;
  int http_status;
};

// The error contract, written down once more: a change of either side alone is noticed.
const std::vector<Row> contract_rows{
    {Outcome::enrolled, "ENROLLED", "00000", 200},
    {Outcome::unenrolled, "UNENROLLED", "00000", 200},
    {Outcome::eligible, "ELIGIBLE", "00000", 200},
    {Outcome::refundable, "REFUNDABLE", "00000", 200},
    {Outcome::idempotency_mismatch, "IDEMPOTENCY_MISMATCH", "NR016", 422},
    {Outcome::tournament_not_found, "TOURNAMENT_NOT_FOUND", "NR010", 404},
    {Outcome::user_not_found, "USER_NOT_FOUND", "NR011", 404},
    {Outcome::not_enrolled, "NOT_ENROLLED", "NR012", 404},
    {Outcome::not_open, "NOT_OPEN", "NR005", 409},
    {Outcome::already_enrolled, "ALREADY_ENROLLED", "23505", 409},
    {Outcome::not_eligible, "NOT_ELIGIBLE", "NR015", 422},
    {Outcome::full, "FULL", "NR001", 409},
    {Outcome::price_changed, "PRICE_CHANGED", "NR008", 409},
    {Outcome::insufficient_credits, "INSUFFICIENT_CREDITS", "NR004", 402},
    {Outcome::not_refundable, "NOT_REFUNDABLE", "NR017", 409},
    {Outcome::busy, "BUSY", "NR020", 503},
    {Outcome::guard_missing, "GUARD_MISSING", "NR090", 500},
    {Outcome::checks_failed, "CHECKS_FAILED", "NR091", 500},
};

// A rejection and the fact that makes it true, in order of precedence.
template <typename Facts>
struct Rejection {
  Outcome outcome;
  void (*make_true)(Facts&);
};

const std::vector<Rejection<EnrollFacts>> enroll_rejections{
    {Outcome::tournament_not_found, [](EnrollFacts& f) { f.tournament_found = false; }},
    {Outcome::user_not_found, [](EnrollFacts& f) { f.user_found = false; }},
    {Outcome::not_open, [](EnrollFacts& f) { f.open = false; }},
    {Outcome::already_enrolled, [](EnrollFacts& f) { f.already_enrolled = true; }},
    {Outcome::full, [](EnrollFacts& f) { f.seat_free = false; }},
    {Outcome::price_changed, [](EnrollFacts& f) { f.price_above_maximum = true; }},
    {Outcome::insufficient_credits, [](EnrollFacts& f) { f.balance_too_low = true; }},
};

const std::vector<Rejection<UnenrollFacts>> unenroll_rejections{
    {Outcome::tournament_not_found, [](UnenrollFacts& f) { f.tournament_found = false; }},
    {Outcome::user_not_found, [](UnenrollFacts& f) { f.user_found = false; }},
    {Outcome::not_enrolled, [](UnenrollFacts& f) { f.enrolled = false; }},
};

EnrollFacts all_is_well(EnrollFacts facts) {
  facts.tournament_found = facts.user_found = facts.open = facts.seat_free = true;
  return facts;
}

UnenrollFacts all_is_well(UnenrollFacts facts) {
  facts.tournament_found = facts.user_found = facts.enrolled = true;
  return facts;
}

template <typename Facts>
void check_pairs(const std::vector<Rejection<Facts>>& rejections) {
  for (std::size_t upper = 0; upper < rejections.size(); ++upper) {
    for (std::size_t lower = upper + 1; lower < rejections.size(); ++lower) {
      Facts facts = all_is_well(Facts{});
      rejections[upper].make_true(facts);
      rejections[lower].make_true(facts);
      CAPTURE(contract(rejections[upper].outcome).code, contract(rejections[lower].outcome).code);
      CHECK(judge(facts) == rejections[upper].outcome);
    }
  }
}

// Whatever is true together, the answer is the uppermost.
template <typename Facts>
void check_subsets(const std::vector<Rejection<Facts>>& rejections) {
  for (unsigned subset = 0; subset < 1U << rejections.size(); ++subset) {
    Facts facts = all_is_well(Facts{});
    std::optional<Outcome> uppermost;
    for (std::size_t i = 0; i < rejections.size(); ++i) {
      if ((subset >> i & 1U) == 0) continue;
      rejections[i].make_true(facts);
      if (!uppermost) uppermost = rejections[i].outcome;
    }
    CAPTURE(subset);
    CHECK(judge(facts) == uppermost);
  }
}

}  // namespace

TEST_CASE("each outcome has its code, SQLSTATE and HTTP status") {
  for (const auto& row : contract_rows) {
    const Contract given = contract(row.outcome);
    CHECK(given.code == row.code);
    CHECK(given.sqlstate == row.sqlstate);
    CHECK(given.http_status == row.http_status);
  }
}

TEST_CASE("the contract leaves no outcome out") {
  CHECK(contract_rows.size() == static_cast<std::size_t>(Outcome::checks_failed) + 1);
  for (std::size_t i = 0; i < contract_rows.size(); ++i) {
    CHECK(contract_rows[i].outcome == static_cast<Outcome>(i));
  }
}

TEST_CASE("codes, messages and the SQLSTATEs of rejections are each given once") {
  std::set<std::string> codes;
  std::set<std::string> messages;
  std::set<std::string> sqlstates;
  for (const auto& row : contract_rows) {
    const Contract given = contract(row.outcome);
    CHECK(codes.emplace(given.code).second);
    CHECK(messages.emplace(given.message).second);
    CHECK_FALSE(given.message.empty());
    if (!is_done(row.outcome)) {
      CHECK(sqlstates.emplace(given.sqlstate).second);
    }
  }
}

TEST_CASE("a SQLSTATE is five characters, and a class of our own where no standard one fits") {
  for (const auto& row : contract_rows) {
    const std::string sqlstate(contract(row.outcome).sqlstate);
    CHECK(sqlstate.size() == 5);
    CHECK((sqlstate == "00000" || sqlstate == "23505" || sqlstate.substr(0, 2) == "NR"));
  }
}

TEST_CASE("an outcome is done exactly where the HTTP status says success") {
  for (const auto& row : contract_rows) {
    CAPTURE(row.code);
    CHECK(is_done(row.outcome) == (row.http_status == 200));
  }
}

TEST_CASE("the enumeration is in order of precedence") {
  const auto in_order = [](const auto& rejections) {
    return std::is_sorted(rejections.begin(), rejections.end(),
                          [](const auto& a, const auto& b) { return a.outcome < b.outcome; });
  };
  CHECK(in_order(enroll_rejections));
  CHECK(in_order(unenroll_rejections));
}

TEST_CASE("where nothing stands in the way, enroll and unenroll go on") {
  CHECK(judge(all_is_well(EnrollFacts{})) == std::nullopt);
  CHECK(judge(all_is_well(UnenrollFacts{})) == std::nullopt);
}

TEST_CASE("facts that were never filled in reject") {
  CHECK(judge(EnrollFacts{}) == Outcome::tournament_not_found);
  CHECK(judge(UnenrollFacts{}) == Outcome::tournament_not_found);
}

TEST_CASE("each rejection is answered where it alone is true") {
  for (const auto& rejection : enroll_rejections) {
    EnrollFacts facts = all_is_well(EnrollFacts{});
    rejection.make_true(facts);
    CHECK(judge(facts) == rejection.outcome);
  }
  for (const auto& rejection : unenroll_rejections) {
    UnenrollFacts facts = all_is_well(UnenrollFacts{});
    rejection.make_true(facts);
    CHECK(judge(facts) == rejection.outcome);
  }
}

TEST_CASE("of two rejections true at once the upper one is answered") {
  check_pairs(enroll_rejections);
  check_pairs(unenroll_rejections);
}

TEST_CASE("of any rejections true at once the uppermost is answered") {
  check_subsets(enroll_rejections);
  check_subsets(unenroll_rejections);
}
