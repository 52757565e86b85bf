#include "engine/call.hpp"

#include "pg/errors.hpp"

namespace pg_enroll::engine {

using rules::Outcome;

CommandId begin_call() {
  CommandCounterIncrement();
  return GetCurrentCommandId(false);
}

const PolicyRule* rule_of(const PolicyRules& rules, pg::Value number) {
  return number.null ? nullptr : &rules.at[DatumGetInt32(number.datum) - 1];
}

Reading reading_of(const Attachment* policy, const pg::Rows& rows, uint64 row, int column,
                   MemoryContext memory) {
  Reading reading;
  reading.facts.tournament_found = pg::as_bool(rows.at(row, column));
  reading.facts.user_found = pg::as_bool(rows.at(row, column + 1));
  reading.facts.open = pg::as_bool(rows.at(row, column + 2));
  reading.capacity = pg::as_bigint(rows.at(row, column + 3));
  reading.price = rows.keep(row, column + 4, memory);
  reading.balance = rows.keep(row, column + 5, memory);
  reading.enrollment = rows.keep(row, column + 6, memory);
  reading.facts.already_enrolled = !reading.enrollment.null;
  reading.broken_rule = rule_of(policy->lists.enroll_rules, rows.at(row, column + 7));
  reading.facts.rule_broken = reading.broken_rule != nullptr;
  if (policy->lists.reactivates) reading.withdrawn = rows.keep(row, column + 8, memory);
  return reading;
}

namespace {

// The price as the balance's type has it: 2.00 is 2 where credits are whole.
void require_price(const Attachment* policy, Datum tournament, Reading& reading) {
  const char* problem = nullptr;
  if (reading.price.null) {
    problem = "is NULL";
  } else if (!pg::Money(reading.price.datum).is_finite()) {
    problem = "is not a finite number";
  } else if (pg::Money(reading.price.datum) < pg::Money::zero()) {
    problem = "is negative";
  } else {
    const pg::Money price(reading.price.datum);
    const pg::Money held = price.truncated(policy->balance_scale);
    if (held == price) {
      reading.price = held.value();
      return;
    }
    problem = "is finer than a balance can hold";
  }
  Facts facts = facts_about(policy, std::nullopt, tournament);
  facts.price = reading.price;
  pg::raise({"22023",
             psprintf("price of tournament %s %s", pg::key_text(policy->tournament_key, tournament),
                      problem),
             facts_json(facts), "Correct the tournament's price; 0 is a free place.",
             policy->tournaments});
}

// Where nobody watches what the capacity is read from, the counter may have been allotted from an
// older one: then what was read now rules.
bool seat_is_free(const Reading& reading) {
  const bool current = reading.capacity == reading.seat.capacity;
  const std::optional<int64> allotted =
      current ? reading.seat.allotted : rules::allotment(reading.capacity);
  return rules::has_room(allotted, reading.seat.taken, 1);
}

}  // namespace

void raise_seat_not_seen(Attachment* policy, const char* tournament) {
  // The transaction may be older than the attach that opened the counter.
  if (IsolationUsesXactSnapshot() && read_seat_now(policy, tournament).found) {
    pg::raise_serialization_failure();
  }
  raise_seat_missing(policy);
}

std::optional<Outcome> judge_reading(Attachment* policy, Datum user, Datum tournament,
                                     Reading& reading, pg::Value max_price, PriceRule rule) {
  if (reading.facts.tournament_found && !reading.seat.found) {
    raise_seat_not_seen(policy, pg::key_text(policy->tournament_key, tournament));
  }
  reading.facts.seat_free = seat_is_free(reading);
  const std::optional<Outcome> outcome = rules::judge(reading.facts);
  if (outcome || rule == PriceRule::settled) return outcome;
  require_price(policy, tournament, reading);
  require_finite_balance(policy, user, reading.balance);
  if (rule == PriceRule::waived) return std::nullopt;
  const pg::Money price(reading.price.datum);
  reading.facts.price_above_maximum = !max_price.null && pg::Money(max_price.datum) < price;
  reading.facts.balance_too_low =
      !(price == pg::Money::zero()) &&
      (reading.balance.null || pg::Money(reading.balance.datum) < price);
  return rules::judge(reading.facts);
}

void require_finite_balance(const Attachment* policy, Datum user, pg::Value balance) {
  if (balance.null || pg::Money(balance.datum).is_finite()) return;
  raise_unusable_balance(policy, user, "is not a finite number");
}

void raise_unusable_balance(const Attachment* policy, Datum user, const char* problem) {
  pg::raise({"22023",
             psprintf("balance of user %s %s", pg::key_text(policy->user_key, user), problem),
             facts_json(facts_about(policy, user, std::nullopt)),
             "Correct the user's balance, and forbid such values by a constraint of the table.",
             policy->users});
}

pg::UniqueKey active_key(const Attachment* policy) {
  const Oid schema = get_rel_namespace(policy->enrollments);
  return {policy->enrollments, get_relname_relid(policy->active_index_name, schema)};
}

pg::UniqueKey any_key(const Attachment* policy) { return {policy->enrollments, InvalidOid}; }

Receipt reject(Outcome outcome, const Facts& facts, bool raises) {
  if (raises) raise_rejection(outcome, facts);
  Receipt receipt;
  receipt.outcome = outcome;
  receipt.details = facts_json(facts);
  receipt.rule = facts.rule;
  return receipt;
}

Facts facts_of_busy(const Call& call, const char* policy) {
  if (call.tournament_text != nullptr) return facts_of(call);
  Facts facts;
  facts.policy_name = policy;
  return facts;
}

KeyUse use_of_key(const Attachment* policy, Operation operation, const pg::Rows& rows, uint64 row,
                  int column) {
  const char* made_by = nullptr;
  switch (operation) {
    case Operation::enroll:
      made_by = policy->type_enroll;
      break;
    case Operation::waive:
      made_by = policy->type_waive;
      break;
    case Operation::unenroll:
      made_by = policy->type_unenroll;
      break;
  }
  const pg::Value type = rows.at(row, column);
  const bool same_operation = !type.null && strcmp(TextDatumGetCString(type.datum), made_by) == 0;
  const bool same_pair = pg::as_bool(rows.at(row, column + 4));
  return same_operation && same_pair ? KeyUse::same_call : KeyUse::other_call;
}

Receipt replay(Operation operation, const pg::Rows& rows, uint64 row, int column,
               MemoryContext memory) {
  Receipt receipt;
  receipt.outcome = operation == Operation::unenroll ? Outcome::unenrolled : Outcome::enrolled;
  receipt.amount = rows.keep(row, column + 1, memory);
  receipt.balance_after = rows.keep(row, column + 2, memory);
  receipt.enrollment = rows.keep(row, column + 3, memory);
  receipt.replayed = true;
  return receipt;
}

Facts facts_of(const Call& call) { return facts_about(call.policy, call.user, call.tournament); }

Facts facts_of(const Attachment* policy, Datum user, Datum tournament, const Reading& reading,
               Outcome outcome) {
  Facts facts = facts_about(policy, user, tournament);
  if (outcome == Outcome::full) {
    facts.capacity = rules::allotment(reading.capacity);
    facts.count = reading.seat.taken;
  }
  if (outcome == Outcome::not_eligible) facts.rule = reading.broken_rule;
  if (outcome == Outcome::price_changed || outcome == Outcome::insufficient_credits) {
    facts.price = reading.price;
  }
  return facts;
}

std::optional<Receipt> answer_by_key(const Call& call, Snapshot snapshot) {
  if (call.key.null) return std::nullopt;
  const pg::Rows rows =
      read(call.policy, rules::Statement::read_key,
           {{call.key, pg::value(call.user), pg::value(call.tournament)}}, snapshot);
  if (rows.empty()) return std::nullopt;
  if (use_of_key(call.policy, call.operation, rows, 0, 1) == KeyUse::same_call) {
    return replay(call.operation, rows, 0, 1, call.memory);
  }
  return reject(Outcome::idempotency_mismatch, facts_of(call), call.raises);
}

namespace {

constexpr const char* channel = "pg_enroll";

const char* name_of(Operation operation) {
  switch (operation) {
    case Operation::enroll:
      return "enroll";
    case Operation::waive:
      return "waive";
    case Operation::unenroll:
      return "unenroll";
  }
  return "";
}

// As the server itself sets the limit.
void require_fitting_payload(const char* payload) {
  constexpr std::size_t most = BLCKSZ - NAMEDATALEN - 128 - 1;
  if (strlen(payload) <= most) return;
  ereport(ERROR, (errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
                  errmsg("notification of %zu bytes is too long", strlen(payload)),
                  errdetail("A notification holds at most %zu bytes.", most),
                  errhint("Set the policy's notify to \"message\", which has no such limit.")));
}

}  // namespace

void tell_others(const Attachment* policy, Operation operation, Datum user, Datum tournament,
                 const Receipt& receipt) {
  if (policy->lists.notify == rules::Notify::none) return;
  Facts facts = facts_about(policy, user, tournament);
  facts.operation = name_of(operation);
  facts.code = rules::contract(receipt.outcome).code.data();
  facts.enrollment = receipt.enrollment.datum;
  facts.amount = receipt.amount;
  const char* payload = facts_json(facts);
  if (policy->lists.notify == rules::Notify::message) {
    pg::log_message(channel, payload);
  } else {
    require_fitting_payload(payload);
    Async_Notify(channel, payload);
  }
}

void raise_if_swallowed(Oid oid) {
  const Relation relation = table_open(oid, NoLock);
  const TriggerDesc* triggers = relation->trigdesc;
  const bool may_swallow = relation->rd_rules != nullptr ||
                           (triggers != nullptr &&
                            (triggers->trig_insert_before_row || triggers->trig_update_before_row));
  table_close(relation, NoLock);
  if (may_swallow) raise_row_swallowed(oid);
}

void raise_row_swallowed(Oid relation) {
  pg::raise({"09000", psprintf("a row for table \"%s\" never arrived", get_rel_name(relation)),
             nullptr, "A BEFORE trigger or a rule of the table swallowed it; let it pass the row.",
             relation});
}

void raise_row_changed(Oid relation) {
  pg::raise({"09000", psprintf("a row for table \"%s\" arrived changed", get_rel_name(relation)),
             nullptr,
             "A BEFORE trigger of the table, or the policy's own insert or withdraw, changed what "
             "the call wrote: a balance, or the user, tournament or activity of an enrollment.",
             relation});
}

Frame frame_of(const Call& call, Expected expected) {
  Frame frame{};
  frame.policy = call.policy;
  frame.expected = expected;
  frame.users = &call.user;
  frame.count = 1;
  frame.seats = 1;
  frame.tournament = call.tournament;
  frame.tournament_text = call.tournament_text;
  frame.start = call.start;
  return frame;
}

void require_unchanged(const Frame& frame) {
  if (frame.changed) raise_row_changed(frame.policy->enrollments);
}

void require_balance(const Attachment* policy, pg::Value before, pg::Money change,
                     pg::Value after) {
  const bool right = before.null == after.null &&
                     (before.null || pg::Money(before.datum) + change == pg::Money(after.datum));
  if (!right) raise_row_changed(policy->users);
}

void require_passed(const Frame& frame) {
  if (frame.passed) return;
  const bool inserts = frame.expected == Expected::enrollments;
  raise_guard_missing(frame.policy, inserts ? "enroll_door_insert" : "enroll_door_update",
                      frame.policy->enrollments,
                      "The trigger did not fire: session_replication_role must be origin.");
}

}  // namespace pg_enroll::engine
