// The calls: what each function does once its arguments are known.
//
// One lock order for every writer: account, tournament (FOR KEY SHARE), enrollment, seats by
// (tournament, stripe), the rest. An enroll goes
//   1. first read, no locks: every rejection that is true already is answered here
//   2. account: the conditional debit
//   3. tournament and enrollment: one INSERT ... SELECT ... ON CONFLICT DO NOTHING
//   4. seat: in the door, the trigger that the INSERT fires
//   5. ledger row, the policy's follow-up statements, receipt
// and an unenroll: account lock, tournament and enrollment, seat (in the door), credit, ledger,
// follow-up statements. Where the policy reactivates rows, step 3 is an UPDATE of the user's
// withdrawn row, and an INSERT where there is none.
// Where a conditional write changes no row the first read runs again in a snapshot taken now, and
// the call answers from that or goes on.
#pragma once

#include "engine/attachment.hpp"
#include "engine/door.hpp"
#include "engine/rejection.hpp"
#include "engine/seats.hpp"
#include "pg/numeric.hpp"
#include "rules/outcome.hpp"

namespace pg_enroll::engine {

enum class Operation : std::uint8_t { enroll, waive, unenroll };

struct Call {
  Attachment* policy = nullptr;
  Operation operation = Operation::enroll;
  bool raises = true;  // a rejection is an error; else it is a receipt that leaves no trace
  Datum user = 0;
  Datum tournament = 0;
  const char* tournament_text = nullptr;
  pg::Value key;  // idempotency key, text
  pg::Value max_price;
  pg::Value reason;                // text
  MemoryContext memory = nullptr;  // where receipts live: the caller's

  CommandId start = 0;  // the call's own work begins with this command
  int rounds = 0;
};

// What a call answers. Enrollment is of the enrollments table's key type.
struct Receipt {
  rules::Outcome outcome = rules::Outcome::busy;
  pg::Value enrollment;
  pg::Value amount;
  pg::Value balance_after;
  std::optional<int64> seats_left;
  bool replayed = false;
  const char* details = nullptr;
  const PolicyRule* rule = nullptr;  // that was broken
};

Receipt enroll(Call& call);
Receipt can_enroll(Call& call);
Receipt unenroll(Call& call);
Receipt quote_unenroll(Call& call);

struct ManyCall {
  Attachment* policy = nullptr;
  bool raises = true;
  const Datum* users = nullptr;
  const pg::Value* keys = nullptr;  // one a user, or all NULL
  std::size_t count = 0;
  Datum tournament = 0;
  const char* tournament_text = nullptr;
  pg::Value max_price;
  MemoryContext memory = nullptr;

  CommandId start = 0;
};

// A receipt for each user, in their order.
Receipt* enroll_many(ManyCall& call);

// What the calls answer whose policy's `wait` was used up; raised where the call raises.
Receipt* answer_busy(const ManyCall& call, const char* policy);

// What the calls share -------------------------------------------------------------------------

// Moves the command counter on, so that a second call in one statement sees the first.
CommandId begin_call();

// What a read found for enrolling one user.
struct Reading {
  rules::EnrollFacts facts;
  std::optional<int64> capacity;
  pg::Value price;
  pg::Value balance;
  pg::Value enrollment;
  const PolicyRule* broken_rule = nullptr;
  pg::Value withdrawn;  // the row that is to become active again
  Seat seat;
};

// Takes row `row` of a read apart, whose columns start at `column`.
Reading reading_of(const Attachment* policy, const pg::Rows& rows, uint64 row, int column,
                   MemoryContext memory);

// The rule whose number, from 1, a read gives; null where it gives none.
const PolicyRule* rule_of(const PolicyRules& rules, pg::Value number);

// What the price has to do with it: it must be payable; it is waived, yet must be a price; it is
// settled, since it was debited already.
enum class PriceRule : std::uint8_t { payable, waived, settled };

// Judges what was read, in order of precedence. Raises 22023 for a price that is none,
// GUARD_MISSING for a tournament without seats.
std::optional<rules::Outcome> judge_reading(Attachment* policy, Datum user, Datum tournament,
                                            Reading& reading, pg::Value max_price, PriceRule rule);

// Raises the rejection, or answers it as a receipt.
Receipt reject(rules::Outcome outcome, const Facts& facts, bool raises);

// So often is a duplicate that keeps an enrollment away taken for a rival's who came and went:
// three in a row were met where raw writers insert and delete the rows of a few users all the time.
// Then the row is inserted without ON CONFLICT, which speaks for every unique index that its target
// infers and does not say which, so that the index that is met is named.
inline constexpr int most_duplicates = 7;

// What such an insert may meet: the active index, another enrollment of the same user.
pg::UniqueKey active_key(const Attachment* policy);

// What an insert with ON CONFLICT may meet where rows are reactivated: any of the table's own
// constraints, behind which a rival's row stays that has been withdrawn again.
pg::UniqueKey any_key(const Attachment* policy);

Facts facts_of(const Call& call);

// The same where time may have been over before the policy and the keys were looked at.
Facts facts_of_busy(const Call& call, const char* policy);

// The facts that go with the outcome of a read.
Facts facts_of(const Attachment* policy, Datum user, Datum tournament, const Reading& reading,
               rules::Outcome outcome);

// What a key was used for before, from one row of read_key whose columns start at `column`.
enum class KeyUse : std::uint8_t { same_call, other_call };
KeyUse use_of_key(const Attachment* policy, Operation operation, const pg::Rows& rows, uint64 row,
                  int column);
Receipt replay(Operation operation, const pg::Rows& rows, uint64 row, int column,
               MemoryContext memory);

// The answer that the call's idempotency key gives: its first receipt, or a mismatch. Nothing
// where there is no key or it was not used yet.
std::optional<Receipt> answer_by_key(const Call& call, Snapshot snapshot);

// A rejection met behind the first read leaves no trace: either it is raised, or its work is
// undone. That the key is another call's may turn out only at the last step.
inline bool needs_undo(const Call& call) { return !call.raises || !call.key.null; }

// What the steps behind the first read came to.
struct Attempt {
  std::optional<rules::Outcome> rejection;  // no value: done, or the key is taken
  bool key_taken = false;
  Facts facts;      // of the rejection
  Receipt receipt;  // of a rejection, only the enrollment that it names
};

// Raises GUARD_MISSING for a tournament whose counter the snapshot does not show, or 40001 where a
// newer one does.
[[noreturn]] void raise_seat_not_seen(Attachment* policy, const char* tournament);

// Raises 09000 where the table has a trigger or rule that can keep a row away. To be asked where a
// row stayed away though a fresh look finds no reason: above READ COMMITTED at once, below it only
// once it has happened too often to be rivals that come and go.
void raise_if_swallowed(Oid relation);

// Raises 22023 where a balance is NaN or infinite.
void require_finite_balance(const Attachment* policy, Datum user, pg::Value balance);

[[noreturn]] void raise_unusable_balance(const Attachment* policy, Datum user, const char* problem);

// Raises 09000: a user's trigger swallowed or changed the call's own row.
[[noreturn]] void raise_row_swallowed(Oid relation);
[[noreturn]] void raise_row_changed(Oid relation);

// The frame of every call: the key's answer, else that of `look` at a snapshot, else the steps
// that `make_steps` gives, in a subtransaction where a rejection has to be undone. A key that
// turns out to be taken at the last step starts it over.
template <typename Look, typename MakeSteps>
Receipt carry_out(Call& call, Look look, MakeSteps make_steps) {
  call.start = begin_call();
  Snapshot snapshot = pg::statement_snapshot();
  for (int taken = 0;; ++taken) {
    std::optional<Receipt> answer = answer_by_key(call, snapshot);
    if (!answer) answer = look(snapshot);
    UnregisterSnapshot(snapshot);
    if (answer) return *answer;
    // The key kept the ledger row away, twice, and yet was not there when looked for: a trigger did
    // it, or the row that holds the key is hidden from the caller.
    if (taken > 1) {
      raise_if_swallowed(call.policy->ledger);
      return reject(rules::Outcome::idempotency_mismatch, facts_of(call), call.raises);
    }
    if (call.rounds++ > most_rounds) {
      return reject(rules::Outcome::busy, facts_of(call), call.raises);
    }
    auto steps = make_steps();
    const bool done = needs_undo(call) ? pg::in_subtransaction(steps) : steps();
    const Attempt& attempt = steps.attempt;
    if (done) return attempt.receipt;
    snapshot = pg::fresh_snapshot(call.start);
    if (attempt.key_taken) continue;
    // The key first: the same call may have been done elsewhere while this one waited.
    answer = answer_by_key(call, snapshot);
    UnregisterSnapshot(snapshot);
    if (answer) return *answer;
    Receipt receipt = reject(*attempt.rejection, attempt.facts, call.raises);
    receipt.enrollment = attempt.receipt.enrollment;
    return receipt;
  }
}

// What the policy's `notify` sends of a user's enrollment or withdrawal; it goes where the
// transaction commits, and as the call's last step, so that a call which is undone sends nothing.
void tell_others(const Attachment* policy, Operation operation, Datum user, Datum tournament,
                 const Receipt& receipt);

// What a call for one user announces to the door.
Frame frame_of(const Call& call, Expected expected);

// After a call's own write: the door must have seen it, and seen what the call wrote.
void require_unchanged(const Frame& frame);
void require_passed(const Frame& frame);

// What a write made of a balance must be what was asked; else a trigger changed it.
void require_balance(const Attachment* policy, pg::Value before, pg::Money change, pg::Value after);

}  // namespace pg_enroll::engine
