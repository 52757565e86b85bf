// enroll, enroll_waived and can_enroll for one user.
#include "engine/call.hpp"
#include "pg/errors.hpp"

namespace pg_enroll::engine {
namespace {

using pg::Money;
using rules::Outcome;
using rules::Statement;

Facts facts_of(const Call& call, const Reading& reading, Outcome outcome) {
  return facts_of(call.policy, call.user, call.tournament, reading, outcome);
}

PriceRule price_rule(const Call& call) {
  return call.operation == Operation::waive ? PriceRule::waived : PriceRule::payable;
}

std::optional<Outcome> look(const Call& call, Snapshot snapshot, PriceRule rule, Reading& reading) {
  const pg::Rows rows = read(call.policy, Statement::read_enroll,
                             {{pg::value(call.user), pg::value(call.tournament)}}, snapshot);
  reading = reading_of(call.policy, rows, 0, 1, call.memory);
  if (reading.facts.tournament_found) {
    reading.seat = read_own_seat(call.policy, call.tournament_text, snapshot, reading.capacity);
  }
  return judge_reading(call.policy, call.user, call.tournament, reading, call.max_price, rule);
}

Receipt reject_reading(const Call& call, Outcome outcome, const Reading& reading) {
  Receipt receipt = reject(outcome, facts_of(call, reading, outcome), call.raises);
  if (outcome == Outcome::already_enrolled) receipt.enrollment = reading.enrollment;
  return receipt;
}

// The steps 2 to 5, each of which reads again where its write changed no row.
class Steps {
 public:
  Steps(Call& call, const Reading& reading) : call_(call), reading_(reading) {}

  Attempt attempt;

  // True where everything was done; what was written must be undone otherwise.
  bool operator()() {
    if (!debit() || !place() || !write_ledger()) return false;
    follow_up(call_.policy, call_.policy->on_enroll, call_.user, call_.tournament,
              enrollment_.datum);
    tell_others(call_.policy, call_.operation, call_.user, call_.tournament, attempt.receipt);
    return true;
  }

 private:
  bool free() const {
    return call_.operation == Operation::waive || Money(reading_.price.datum) == Money::zero();
  }

  bool rejected(Outcome outcome) {
    attempt.rejection = outcome;
    attempt.facts = facts_of(call_, reading_, outcome);
    if (outcome == Outcome::already_enrolled) attempt.receipt.enrollment = reading_.enrollment;
    return false;
  }

  // A row stayed away from the table. False where the call is to be answered, true where it is to
  // try again.
  bool settle(PriceRule rule, Oid table, int times) {
    if (++call_.rounds > most_rounds) return rejected(Outcome::busy);
    const pg::Value price_before = reading_.price;
    const Snapshot snapshot = pg::fresh_snapshot(call_.start);
    const std::optional<Outcome> outcome = look(call_, snapshot, rule, reading_);
    UnregisterSnapshot(snapshot);
    if (rule == PriceRule::settled) reading_.price = price_before;
    if (outcome) return rejected(*outcome);
    // A duplicate that kept the row away: ON CONFLICT has raised 40001 for one that is too new.
    if (table == call_.policy->enrollments && reading_.withdrawn.null) return true;
    // In one snapshot the first read found what the write did not: no rival explains that.
    if (IsolationUsesXactSnapshot() || times > 2) raise_if_swallowed(table);
    if (IsolationUsesXactSnapshot()) pg::raise_serialization_failure();
    return true;
  }

  bool debit() {
    const Oid users = call_.policy->users;
    const bool charged = !free();
    for (int times = 1;; ++times) {
      pg::Rows rows;
      if (!charged || call_.policy->users_triggered) {
        rows = run(call_.policy, Statement::lock_account, {{pg::value(call_.user)}});
        if (!rows.empty()) balance_ = rows.keep(0, 1, call_.memory);
      }
      if (charged) {
        rows = run(call_.policy, Statement::debit, {{pg::value(call_.user), reading_.price}});
      }
      if (!rows.empty()) {
        const pg::Value after = rows.keep(0, 1, call_.memory);
        if (charged && call_.policy->users_triggered) {
          require_balance(call_.policy, balance_, -Money(reading_.price.datum), after);
        }
        balance_ = after;
        return true;
      }
      if (!settle(price_rule(call_), users, times)) return false;
    }
  }

  Frame frame(Expected expected) const {
    Frame frame = frame_of(call_, expected);
    frame.epoch = reading_.seat.epoch;
    frame.capacity = reading_.capacity;
    return frame;
  }

  bool refused(const Frame& frame) {
    rejected(*frame.refusal);
    if (*frame.refusal == Outcome::full) {
      attempt.facts.capacity = frame.allotted;
      attempt.facts.count = frame.taken;
    }
    return false;
  }

  // Writes the active row, be it new or the user's withdrawn one.
  bool place() {
    for (int times = 1;; ++times) {
      placed_ = pg::Value{};
      frame_ = Frame{};
      const bool names_index = times > most_duplicates;
      const bool met_duplicate = !write_unless_duplicate(names_index);
      if (frame_.refusal) return refused(frame_);
      if (!placed_.null) {
        enrollment_ = placed_;
        attempt.receipt.seats_left = frame_.seats_left;
        return true;
      }
      if (!settle(PriceRule::settled, call_.policy->enrollments, times)) return false;
      // The user's enrollment is there, yet the caller's row security hides it.
      if (names_index && met_duplicate) return rejected(Outcome::already_enrolled);
      if (names_index) raise_if_swallowed(call_.policy->enrollments);
    }
  }

  void write(Expected expected, Statement statement, pg::Value withdrawn) {
    push_frame(frame(expected));
    const pg::Value keys[] = {pg::value(call_.user), pg::value(call_.tournament), withdrawn};
    const bool takes_row = expected == Expected::reactivations;
    const pg::Rows rows = run(call_.policy, statement, pg::Values(keys, takes_row ? 3 : 2));
    frame_ = pop_frame();
    require_unchanged(frame_);
    if (frame_.refusal || rows.empty()) return;
    if (!pg::as_bool(rows.at(0, 2))) raise_row_changed(call_.policy->enrollments);
    require_passed(frame_);
    placed_ = rows.keep(0, 1, call_.memory);
  }

  // False where it met a duplicate: of the active index, where that is to be told from others.
  bool write_unless_duplicate(bool names_index) {
    const bool reactivates = !reading_.withdrawn.null;
    auto write_row = [&] {
      if (reactivates) {
        write(Expected::reactivations, Statement::reactivate_enrollment, reading_.withdrawn);
      } else {
        write(Expected::enrollments,
              names_index ? Statement::insert_enrollment_or_fail : Statement::insert_enrollment,
              {});
      }
      return true;
    };
    if (names_index) return pg::meets_no_duplicate(write_row, active_key(call_.policy));
    if (!call_.policy->lists.reactivates) return write_row();
    return pg::meets_no_duplicate(write_row, any_key(call_.policy));
  }

  bool write_ledger() {
    const bool waives = call_.operation == Operation::waive;
    const Money amount = free() ? Money::zero() : -Money(reading_.price.datum);
    const pg::Rows rows =
        run(call_.policy, waives ? Statement::ledger_waive : Statement::ledger_enroll,
            {{pg::value(call_.user), pg::value(call_.tournament), enrollment_, amount.value(),
              balance_, call_.key, reading_.price, call_.reason}});
    if (rows.empty()) {
      if (call_.key.null) raise_row_swallowed(call_.policy->ledger);
      attempt.key_taken = true;
      return false;
    }
    attempt.receipt.outcome = Outcome::enrolled;
    attempt.receipt.enrollment = enrollment_;
    attempt.receipt.amount = amount.value();
    attempt.receipt.balance_after = balance_;
    return true;
  }

  Call& call_;
  Reading reading_;
  pg::Value balance_;
  pg::Value enrollment_;
  // What the last write of the enrollment came to.
  Frame frame_{};
  pg::Value placed_;
};

}  // namespace

Receipt enroll(Call& call) {
  Reading reading;
  const auto first_read = [&](Snapshot snapshot) -> std::optional<Receipt> {
    const std::optional<Outcome> outcome = look(call, snapshot, price_rule(call), reading);
    if (!outcome) return std::nullopt;
    return reject_reading(call, *outcome, reading);
  };
  return carry_out(call, first_read, [&] { return Steps(call, reading); });
}

Receipt can_enroll(Call& call) {
  Reading reading;
  const std::optional<Outcome> outcome =
      look(call, GetActiveSnapshot(), PriceRule::payable, reading);
  if (outcome) return reject_reading(call, *outcome, reading);
  Receipt receipt;
  const Money price(reading.price.datum);
  receipt.outcome = Outcome::eligible;
  receipt.amount = (-price).value();
  if (!reading.balance.null) {
    receipt.balance_after = (Money(reading.balance.datum) - price).value();
  }
  const Seat all = read_seat(call.policy, call.tournament_text, GetActiveSnapshot());
  const std::optional<int64> left =
      rules::seats_left(rules::allotment(reading.capacity), all.taken);
  if (left) receipt.seats_left = *left - 1;
  return receipt;
}

}  // namespace pg_enroll::engine
