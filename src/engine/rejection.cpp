#include "engine/rejection.hpp"

#include "engine/stats.hpp"
#include "pg/errors.hpp"
#include "pg/numeric.hpp"

namespace pg_enroll::engine {
namespace {

using rules::Outcome;

void append_name(StringInfo json, const char* name) {
  appendStringInfoString(json, json->len == 1 ? "" : ", ");
  escape_json(json, name);
  appendStringInfoString(json, ": ");
}

void append_text(StringInfo json, const char* name, const char* text) {
  append_name(json, name);
  escape_json(json, text);
}

void append_number(StringInfo json, const char* name, std::optional<int64> number) {
  if (!number) return;
  append_name(json, name);
  appendStringInfo(json, INT64_FORMAT, *number);
}

void append_key(StringInfo json, const char* name, const pg::KeyType& type, const char* text) {
  if (text == nullptr) return;
  append_name(json, name);
  if (type.family == pg::KeyFamily::integer) {
    appendStringInfoString(json, text);
  } else {
    escape_json(json, text);
  }
}

// JSON has no number for what is not finite.
void append_money(StringInfo json, const char* name, pg::Value amount) {
  if (amount.null) return;
  const pg::Money money(amount.datum);
  if (money.is_finite()) {
    append_name(json, name);
    appendStringInfoString(json, money.text());
  } else {
    append_text(json, name, money.text());
  }
}

const char* hint_of(Outcome outcome) {
  switch (outcome) {
    case Outcome::idempotency_mismatch:
      return "Use a new key for each new operation.";
    case Outcome::price_changed:
      return "Show the price and call again with a max_price that allows it.";
    case Outcome::insufficient_credits:
      return "Top up the balance and call again; the same idempotency key may be used.";
    case Outcome::busy:
      return "Call again; nothing was done.";
    case Outcome::enrolled:
    case Outcome::unenrolled:
    case Outcome::eligible:
    case Outcome::refundable:
    case Outcome::tournament_not_found:
    case Outcome::user_not_found:
    case Outcome::not_enrolled:
    case Outcome::not_open:
    case Outcome::already_enrolled:
    case Outcome::not_eligible:
    case Outcome::full:
    case Outcome::not_refundable:
    case Outcome::guard_missing:
    case Outcome::checks_failed:
      return nullptr;
  }
  return nullptr;
}

// The table, and where there is one the guard, that stands behind a rejection.
void set_place(pg::Report& report, Outcome outcome, const Attachment& policy) {
  switch (outcome) {
    case Outcome::idempotency_mismatch:
      report.relation = policy.ledger;
      return;
    case Outcome::tournament_not_found:
    case Outcome::not_open:
    case Outcome::price_changed:
      report.relation = policy.tournaments;
      return;
    case Outcome::user_not_found:
      report.relation = policy.users;
      return;
    case Outcome::insufficient_credits:
      report.relation = policy.users;
      report.constraint = policy.balance_check_name;
      return;
    case Outcome::already_enrolled:
      report.relation = policy.enrollments;
      report.constraint = policy.active_index_name;
      return;
    case Outcome::full:
      report.relation = policy.enrollments;
      report.constraint = "enroll_capacity";
      return;
    case Outcome::not_enrolled:
    case Outcome::not_eligible:
    case Outcome::not_refundable:
      report.relation = policy.enrollments;
      return;
    case Outcome::enrolled:
    case Outcome::unenrolled:
    case Outcome::eligible:
    case Outcome::refundable:
    case Outcome::busy:
    case Outcome::guard_missing:
    case Outcome::checks_failed:
      return;
  }
}

}  // namespace

const char* facts_json(const Facts& facts) {
  StringInfoData json;
  initStringInfo(&json);
  appendStringInfoChar(&json, '{');
  append_text(&json, "policy", facts.policy_name);
  if (facts.operation != nullptr) append_text(&json, "operation", facts.operation);
  if (facts.code != nullptr) append_text(&json, "code", facts.code);
  const auto key = [&](const char* name, const pg::KeyType& type, std::optional<Datum> datum) {
    if (datum) append_key(&json, name, type, pg::key_text(type, *datum));
  };
  if (facts.policy != nullptr) {
    key("user", facts.policy->user_key, facts.user);
    append_key(&json, "user", facts.policy->user_key, facts.user_text);
    key("tournament", facts.policy->tournament_key, facts.tournament);
    key("enrollment", facts.policy->enrollment_key, facts.enrollment);
    append_key(&json, "enrollment", facts.policy->enrollment_key, facts.enrollment_text);
  }
  append_money(&json, "amount", facts.amount);
  if (facts.rule != nullptr) append_text(&json, "rule", facts.rule->name);
  append_number(&json, "capacity", facts.capacity);
  append_number(&json, "count", facts.count);
  append_money(&json, "price", facts.price);
  append_money(&json, "balance_change", facts.balance_change);
  append_money(&json, "ledger_sum", facts.ledger_sum);
  append_money(&json, "balance", facts.balance);
  append_money(&json, "balance_after", facts.balance_after);
  if (facts.guard != nullptr) append_text(&json, "guard", facts.guard);
  appendStringInfoChar(&json, '}');
  return json.data;
}

void raise_rejection(Outcome outcome, const Facts& facts) {
  note_refusal(outcome);
  const rules::Contract contract = rules::contract(outcome);
  pg::Report report{contract.sqlstate.data(), contract.message.data()};
  if (facts.rule != nullptr && facts.rule->message != nullptr) report.message = facts.rule->message;
  report.detail = facts_json(facts);
  report.hint = hint_of(outcome);
  if (facts.policy != nullptr) set_place(report, outcome, *facts.policy);
  pg::raise(report);
}

}  // namespace pg_enroll::engine
