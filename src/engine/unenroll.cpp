// unenroll and quote_unenroll for one user.
#include "engine/call.hpp"
#include "pg/errors.hpp"

namespace pg_enroll::engine {
namespace {

using pg::Money;
using rules::Outcome;
using rules::Statement;

// What a read found about withdrawing one user.
struct Terms {
  rules::UnenrollFacts facts;
  pg::Value balance;
  pg::Value enrollment;
  pg::Value paid;
  pg::Value refund;
  pg::Value price;
};

std::optional<Outcome> look(Call& call, Snapshot snapshot, Terms& terms) {
  const pg::Rows rows = read(call.policy, Statement::read_unenroll,
                             {{pg::value(call.user), pg::value(call.tournament)}}, snapshot);
  terms.facts.tournament_found = pg::as_bool(rows.at(0, 1));
  terms.facts.user_found = pg::as_bool(rows.at(0, 2));
  terms.balance = rows.keep(0, 3, call.memory);
  terms.enrollment = rows.keep(0, 4, call.memory);
  terms.paid = rows.keep(0, 5, call.memory);
  terms.refund = rows.keep(0, 6, call.memory);
  terms.price = rows.keep(0, 7, call.memory);
  terms.facts.enrolled = !terms.enrollment.null;
  return rules::judge(terms.facts);
}

// The policy's refund, held within 0 and what was paid. NULL is 0.
Money refund_of(const Attachment* policy, const Terms& terms) {
  const Money zero = Money::zero();
  if (terms.refund.null) return zero;
  const Money paid(terms.paid.datum);
  const Money wanted = Money(terms.refund.datum).truncated(policy->balance_scale);
  const bool too_little = wanted.is_nan() || wanted < zero;
  const bool too_much = !too_little && paid < wanted;
  if (!too_little && !too_much) return wanted;
  const Money held = too_little ? zero : paid;
  ereport(WARNING, (errmsg("refund %s lies outside 0 to %s and is taken as %s", wanted.text(),
                           paid.text(), held.text()),
                    errhint("Correct the policy's refund expression.")));
  return held;
}

class Steps {
 public:
  explicit Steps(Call& call) : call_(call) { attempt.facts = facts_of(call); }

  Attempt attempt;

  // True where everything was done; what was written must be undone otherwise.
  bool operator()() { return withdraw() && credit() && write_ledger(); }

 private:
  // A row stayed away. False where the call is to be answered, true where it is to try again.
  bool settle(Oid table, int times) {
    if (++call_.rounds > most_rounds) {
      attempt.rejection = Outcome::busy;
      return false;
    }
    const Snapshot snapshot = pg::fresh_snapshot(call_.start);
    attempt.rejection = look(call_, snapshot, terms_);
    UnregisterSnapshot(snapshot);
    if (attempt.rejection) return false;
    // In one snapshot the first read found what the write did not: no rival explains that.
    if (IsolationUsesXactSnapshot() || times > 2) raise_if_swallowed(table);
    if (IsolationUsesXactSnapshot()) pg::raise_serialization_failure();
    return true;
  }

  // Locks the account, reads what the enrollment is worth, and only then withdraws it: nobody
  // else's call can change what was paid in between.
  bool withdraw() {
    for (int times = 1;; ++times) {
      const pg::Rows account =
          run(call_.policy, Statement::lock_account, {{pg::value(call_.user)}});
      if (!account.empty()) {
        balance_ = account.keep(0, 1, call_.memory);
        CommandCounterIncrement();
        const Snapshot snapshot = pg::statement_snapshot();
        const std::optional<Outcome> gone = look(call_, snapshot, terms_);
        UnregisterSnapshot(snapshot);
        if (!gone && withdraw_row()) return true;
      }
      const Oid missed = account.empty() ? call_.policy->users : call_.policy->enrollments;
      if (!settle(missed, times)) return false;
    }
  }

  bool withdraw_row() {
    push_frame(frame_of(call_, Expected::withdrawal));
    const pg::Rows rows =
        run(call_.policy, Statement::withdraw_enrollment,
            {{pg::value(call_.user), pg::value(call_.tournament), terms_.enrollment}});
    const Frame frame = pop_frame();
    require_unchanged(frame);
    if (rows.empty()) return false;
    if (!pg::as_bool(rows.at(0, 2))) raise_row_changed(call_.policy->enrollments);
    require_passed(frame);
    attempt.receipt.seats_left = frame.seats_left;
    return true;
  }

  bool credit() {
    const Money refund = refund_of(call_.policy, terms_);
    attempt.receipt.outcome = Outcome::unenrolled;
    attempt.receipt.enrollment = terms_.enrollment;
    attempt.receipt.amount = refund.value();
    if (!(refund == Money::zero())) {
      const pg::Rows rows =
          run(call_.policy, Statement::credit, {{pg::value(call_.user), refund.value()}});
      // The account is locked, so no rival can have kept the row away.
      if (rows.empty()) raise_row_swallowed(call_.policy->users);
      const pg::Value after = rows.keep(0, 1, call_.memory);
      require_balance(call_.policy, balance_, refund, after);
      balance_ = after;
    }
    attempt.receipt.balance_after = balance_;
    return true;
  }

  bool write_ledger() {
    const pg::Rows rows =
        run(call_.policy, Statement::ledger_unenroll,
            {{pg::value(call_.user), pg::value(call_.tournament), terms_.enrollment,
              attempt.receipt.amount, balance_, call_.key, terms_.price, call_.reason}});
    if (!rows.empty()) return true;
    if (call_.key.null) raise_row_swallowed(call_.policy->ledger);
    attempt.key_taken = true;
    return false;
  }

  Call& call_;
  Terms terms_;
  pg::Value balance_;
};

}  // namespace

Receipt unenroll(Call& call) {
  const auto first_read = [&](Snapshot snapshot) -> std::optional<Receipt> {
    Terms terms;
    const std::optional<Outcome> outcome = look(call, snapshot, terms);
    if (!outcome) return std::nullopt;
    return reject(*outcome, facts_of(call), call.raises);
  };
  return carry_out(call, first_read, [&] { return Steps(call); });
}

Receipt quote_unenroll(Call& call) {
  Terms terms;
  const std::optional<Outcome> outcome = look(call, GetActiveSnapshot(), terms);
  if (outcome) return reject(*outcome, facts_of(call), call.raises);
  const Seat seat = read_seat(call.policy, call.tournament_text, GetActiveSnapshot());
  if (!seat.found) raise_seat_missing(call.policy);
  const Money refund = refund_of(call.policy, terms);
  Receipt receipt;
  receipt.outcome = Outcome::refundable;
  receipt.enrollment = terms.enrollment;
  receipt.amount = refund.value();
  if (!terms.balance.null) {
    receipt.balance_after = (Money(terms.balance.datum) + refund).value();
  }
  receipt.seats_left = rules::seats_left(seat.allotted, seat.taken - 1);
  return receipt;
}

}  // namespace pg_enroll::engine
