// What a call can answer: the codes in order of precedence, what each is called outside, and the
// judgement that turns the facts of a read into one of them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

namespace pg_enroll::rules {

// Rejections stand in order of precedence: where two are true at once, the upper one is answered.
// BUSY and what follows it stand outside that order, since no judgement of facts yields them.
enum class Outcome : std::uint8_t {
  enrolled,
  unenrolled,
  eligible,
  refundable,
  idempotency_mismatch,
  tournament_not_found,
  user_not_found,
  not_enrolled,
  not_open,
  already_enrolled,
  not_eligible,
  full,
  price_changed,
  insufficient_credits,
  not_refundable,
  busy,
  guard_missing,
  checks_failed,
};
inline constexpr std::size_t outcome_count = static_cast<std::size_t>(Outcome::guard_missing) + 1;

struct Contract {
  std::string_view code;
  std::string_view sqlstate;
  int http_status;
  std::string_view message;
};

// The contract of one outcome. The texts must not change: logs are grouped by them.
constexpr Contract contract(Outcome outcome) noexcept {
  switch (outcome) {
    case Outcome::enrolled:
      return {"ENROLLED", "00000", 200, "enrolled"};
    case Outcome::unenrolled:
      return {"UNENROLLED", "00000", 200, "withdrawn"};
    case Outcome::eligible:
      return {"ELIGIBLE", "00000", 200, "enroll would succeed now"};
    case Outcome::refundable:
      return {"REFUNDABLE", "00000", 200, "unenroll would succeed now"};
    case Outcome::idempotency_mismatch:
      return {"IDEMPOTENCY_MISMATCH", "NR016", 422, "idempotency key was used for another call"};
    case Outcome::tournament_not_found:
      return {"TOURNAMENT_NOT_FOUND", "NR010", 404, "tournament does not exist"};
    case Outcome::user_not_found:
      return {"USER_NOT_FOUND", "NR011", 404, "user does not exist"};
    case Outcome::not_enrolled:
      return {"NOT_ENROLLED", "NR012", 404, "user is not enrolled in this tournament"};
    case Outcome::not_open:
      return {"NOT_OPEN", "NR005", 409, "tournament is not open for enrollment"};
    case Outcome::already_enrolled:
      return {"ALREADY_ENROLLED", "23505", 409, "user is already enrolled in this tournament"};
    case Outcome::not_eligible:
      return {"NOT_ELIGIBLE", "NR015", 422, "user is not eligible for this tournament"};
    case Outcome::full:
      return {"FULL", "NR001", 409, "tournament is full"};
    case Outcome::price_changed:
      return {"PRICE_CHANGED", "NR008", 409, "price is above the given maximum"};
    case Outcome::insufficient_credits:
      return {"INSUFFICIENT_CREDITS", "NR004", 402, "not enough credits"};
    case Outcome::not_refundable:
      return {"NOT_REFUNDABLE", "NR017", 409, "enrollment cannot be withdrawn now"};
    case Outcome::busy:
      return {"BUSY", "NR020", 503, "too much contention, try again"};
    case Outcome::guard_missing:
      return {"GUARD_MISSING", "NR090", 500, "a guard is missing, refusing rather than racing"};
    case Outcome::checks_failed:
      return {"CHECKS_FAILED", "NR091", 500, "integrity checks failed"};
  }
  return {};
}

constexpr bool is_done(Outcome outcome) noexcept { return contract(outcome).sqlstate == "00000"; }

// What a read found about enrolling one user. The price's part is left false once the price is
// settled: a debit that was made is not judged again.
struct EnrollFacts {
  bool tournament_found = false;
  bool user_found = false;
  bool open = false;
  bool already_enrolled = false;
  bool rule_broken = false;
  bool seat_free = false;
  bool price_above_maximum = false;
  bool balance_too_low = false;
};

// The first rejection in order of precedence, or nothing where enroll may go on.
constexpr std::optional<Outcome> judge(const EnrollFacts& facts) noexcept {
  if (!facts.tournament_found) return Outcome::tournament_not_found;
  if (!facts.user_found) return Outcome::user_not_found;
  if (!facts.open) return Outcome::not_open;
  if (facts.already_enrolled) return Outcome::already_enrolled;
  if (facts.rule_broken) return Outcome::not_eligible;
  if (!facts.seat_free) return Outcome::full;
  if (facts.price_above_maximum) return Outcome::price_changed;
  if (facts.balance_too_low) return Outcome::insufficient_credits;
  return std::nullopt;
}

struct UnenrollFacts {
  bool tournament_found = false;
  bool user_found = false;
  bool enrolled = false;
  bool rule_broken = false;
};

constexpr std::optional<Outcome> judge(const UnenrollFacts& facts) noexcept {
  if (!facts.tournament_found) return Outcome::tournament_not_found;
  if (!facts.user_found) return Outcome::user_not_found;
  if (!facts.enrolled) return Outcome::not_enrolled;
  if (facts.rule_broken) return Outcome::not_refundable;
  return std::nullopt;
}

}  // namespace pg_enroll::rules
