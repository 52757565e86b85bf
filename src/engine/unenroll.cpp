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
  const PolicyRule* broken_rule = nullptr;
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
  terms.broken_rule = rule_of(call.policy->lists.unenroll_rules, rows.at(0, 8));
  terms.facts.rule_broken = terms.broken_rule != nullptr;
  return rules::judge(terms.facts);
}

Facts facts_of(const Call& call, const Terms& terms) {
  Facts facts = facts_of(call);
  facts.rule = terms.broken_rule;
  return facts;
}

// What the ledger is told of the tournament's price of today, which plays no other part: NULL where
// it is none that a balance could pay.
pg::Value price_for_ledger(const Attachment* policy, pg::Value price) {
  if (price.null || !Money(price.datum).is_finite()) return {};
  const Money cost(price.datum);
  if (!(cost.truncated(policy->balance_scale) == cost)) return {};
  if (policy->balance_limit.null) return price;
  const Money limit(policy->balance_limit.datum);
  return cost < limit && -limit < cost ? price : pg::Value{};
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

// A refund that the balance cannot take would be lost.
void require_refundable(const Call& call, pg::Value balance, Money refund) {
  require_finite_balance(call.policy, call.user, balance);
  if (!balance.null || refund == Money::zero()) return;
  raise_unusable_balance(call.policy, call.user, "is NULL");
}

class Steps {
 public:
  explicit Steps(Call& call) : call_(call) { attempt.facts = facts_of(call); }

  Attempt attempt;

  // True where everything was done; what was written must be undone otherwise.
  bool operator()() {
    if (!withdraw() || !credit() || !write_ledger()) return false;
    follow_up(call_.policy, call_.policy->on_unenroll, call_.user, call_.tournament,
              terms_.enrollment.datum);
    tell_others(call_.policy, call_.operation, call_.user, call_.tournament, attempt.receipt);
    return true;
  }

 private:
  // A row stayed away. False where the call is to be answered, true where it is to try again.
  bool settle(Oid table, int times) {
    if (++call_.rounds > most_rounds) {
      attempt.rejection = Outcome::busy;
      attempt.facts = facts_of(call_);
      return false;
    }
    const Snapshot snapshot = pg::fresh_snapshot(call_.start);
    attempt.rejection = look(call_, snapshot, terms_);
    UnregisterSnapshot(snapshot);
    attempt.facts = facts_of(call_, terms_);
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
    require_refundable(call_, balance_, refund);
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
    const pg::Rows rows = run(call_.policy, Statement::ledger_unenroll,
                              {{pg::value(call_.user), pg::value(call_.tournament),
                                terms_.enrollment, attempt.receipt.amount, balance_, call_.key,
                                price_for_ledger(call_.policy, terms_.price), call_.reason}});
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
    return reject(*outcome, facts_of(call, terms), call.raises);
  };
  return carry_out(call, first_read, [&] { return Steps(call); });
}

Receipt quote_unenroll(Call& call) {
  Terms terms;
  const std::optional<Outcome> outcome = look(call, GetActiveSnapshot(), terms);
  if (outcome) return reject(*outcome, facts_of(call, terms), call.raises);
  const Money refund = refund_of(call.policy, terms);
  require_refundable(call, terms.balance, refund);
  const Seat seat = read_seat(call.policy, call.tournament_text, GetActiveSnapshot());
  if (!seat.found) raise_seat_not_seen(call.policy, call.tournament_text);
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
