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

// What the steps behind the first read came to.
struct Attempt {
  std::optional<Outcome> rejection;  // no value: done, or the key is taken
  bool key_taken = false;
  Receipt receipt;
};

class Steps {
 public:
  explicit Steps(Call& call) : call_(call) {}

  Attempt attempt;

  // True where everything was done; what was written must be undone otherwise.
  bool operator()() { return withdraw() && credit() && write_ledger(); }

 private:
  // False where the call is to be answered, true where it is to go on.
  bool settle() {
    if (++call_.rounds > most_rounds) {
      attempt.rejection = Outcome::busy;
      return false;
    }
    const Snapshot snapshot = pg::fresh_snapshot(call_.start);
    attempt.key_taken = key_is_used(call_, snapshot);
    if (!attempt.key_taken) attempt.rejection = look(call_, snapshot, terms_);
    UnregisterSnapshot(snapshot);
    if (attempt.key_taken || attempt.rejection) return false;
    if (IsolationUsesXactSnapshot()) pg::raise_serialization_failure();
    return true;
  }

  // Locks the account, reads what the enrollment is worth, and only then withdraws it: nobody
  // else's call can change what was paid in between.
  bool withdraw() {
    for (int empty = 0;; ++empty) {
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
      if (!settle()) return false;
      if (empty > 0) raise_if_swallowed(call_.policy->enrollments);
    }
  }

  bool withdraw_row() {
    Frame frame{};
    frame.policy = call_.policy;
    frame.expected = Expected::withdrawal;
    frame.users = &call_.user;
    frame.count = 1;
    frame.tournament = call_.tournament;
    frame.tournament_text = call_.tournament_text;
    frame.start = call_.start;
    push_frame(frame);
    const pg::Rows rows =
        run(call_.policy, Statement::withdraw_enrollment,
            {{pg::value(call_.user), pg::value(call_.tournament), terms_.enrollment}});
    frame = pop_frame();
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
      balance_ = rows.keep(0, 1, call_.memory);
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
  call.start = begin_call();
  Snapshot snapshot = pg::statement_snapshot();
  // How often the key kept the ledger row away and yet was not there when looked for.
  int vanished = 0;
  for (;;) {
    if (const std::optional<Receipt> answer = answer_by_key(call, snapshot)) {
      UnregisterSnapshot(snapshot);
      return *answer;
    }
    Terms terms;
    const std::optional<Outcome> outcome = look(call, snapshot, terms);
    UnregisterSnapshot(snapshot);
    if (outcome) return reject(*outcome, facts_of(call), call.raises);

    Steps steps(call);
    const bool done = needs_undo(call) ? pg::in_subtransaction(steps) : steps();
    if (done) return steps.attempt.receipt;
    if (!steps.attempt.key_taken) {
      return reject(*steps.attempt.rejection, facts_of(call), call.raises);
    }
    if (++call.rounds > most_rounds) return reject(Outcome::busy, facts_of(call), call.raises);
    if (++vanished > 1) raise_if_swallowed(call.policy->ledger);
    snapshot = pg::fresh_snapshot(call.start);
  }
}

Receipt quote_unenroll(Call& call) {
  Terms terms;
  const std::optional<Outcome> outcome = look(call, GetActiveSnapshot(), terms);
  if (outcome) return reject(*outcome, facts_of(call), call.raises);
  const Seat seat = read_seat(call.policy, call.tournament_text, GetActiveSnapshot());
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
