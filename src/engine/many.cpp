// enroll_many: many users into one tournament, in phases and not user by user, so that everybody
// locks in one order: all accounts by key, the tournament, all enrollment rows, the seats in one
// claim, the ledger. A round that falls short anywhere is rolled back whole and read again.
#include "engine/call.hpp"
#include "pg/errors.hpp"
#include "pg/memory.hpp"

namespace pg_enroll::engine {
namespace {

using pg::array_of;
using pg::Money;
using rules::Outcome;
using rules::Statement;

struct Rejection {
  Outcome outcome;
  Facts facts;
};

// One user's part of the call.
struct Entry {
  Reading reading;
  std::optional<Rejection> rejection;
  bool replayed = false;
  // An earlier entry that takes part, where this one names its user again.
  std::optional<std::size_t> repeats;
  Receipt receipt;

  bool takes_part() const { return !rejection && !replayed; }
};

void reject_entry(const ManyCall& call, Entry& entry, std::size_t i, Outcome outcome) {
  entry.rejection = Rejection{
      outcome, facts_of(call.policy, call.users[i], call.tournament, entry.reading, outcome)};
}

// For each text the position of the first one that is equal to it.
std::size_t* first_equals(const char* const* texts, std::size_t count) {
  auto* order = array_of<std::size_t>(count);
  auto* first = array_of<std::size_t>(count);
  for (std::size_t i = 0; i < count; ++i) order[i] = i;
  std::sort(order, order + count, [&](std::size_t a, std::size_t b) {
    const int compared = strcmp(texts[a], texts[b]);
    return compared != 0 ? compared < 0 : a < b;
  });
  for (std::size_t k = 0; k < count; ++k) {
    const bool repeated = k > 0 && strcmp(texts[order[k - 1]], texts[order[k]]) == 0;
    first[order[k]] = repeated ? first[order[k - 1]] : order[k];
  }
  return first;
}

class Round {
 public:
  Round(ManyCall& call, Entry* entries)
      : call_(call),
        entries_(entries),
        kept_away_(array_of<bool>(call.count)),
        hidden_(array_of<bool>(call.count)) {
    std::fill(kept_away_, kept_away_ + call.count, false);
    std::fill(hidden_, hidden_ + call.count, false);
  }

  void read_all(Snapshot snapshot) {
    for (std::size_t i = 0; i < call_.count; ++i) entries_[i] = Entry{};
    read_keys(snapshot);
    read_users(snapshot);
    judge_in_order();
  }

  const Entry* first_rejected() const {
    for (std::size_t i = 0; i < call_.count; ++i) {
      if (entries_[i].rejection) return &entries_[i];
    }
    return nullptr;
  }

  int inserts_short() const { return inserts_short_; }

  std::size_t takers() const {
    std::size_t count = 0;
    for (std::size_t i = 0; i < call_.count; ++i) count += entries_[i].takes_part() ? 1 : 0;
    return count;
  }

  // The steps 2 to 5 for all who take part. False where any fell short.
  bool operator()() {
    collect();
    if (!lock_accounts() || !debit() || !place() || !write_ledger()) return false;
    for (std::size_t k = 0; k < count_; ++k) {
      follow_up(call_.policy, call_.policy->on_enroll, users_[k], call_.tournament,
                enrollments_[k]);
      tell_others(call_.policy, Operation::enroll, users_[k], call_.tournament,
                  entries_[members_[k]].receipt);
    }
    return true;
  }

 private:
  pg::Value users_of_call() const {
    return pg::value(pg::key_array(call_.policy->user_key, call_.users, call_.count));
  }

  bool has_keys() const { return call_.count > 0 && !call_.keys[0].null; }

  const char* const* key_texts() const {
    auto** texts = array_of<const char*>(call_.count);
    for (std::size_t i = 0; i < call_.count; ++i) {
      texts[i] = TextDatumGetCString(call_.keys[i].datum);
    }
    return texts;
  }

  const char* const* user_texts() const {
    auto** texts = array_of<const char*>(call_.count);
    for (std::size_t i = 0; i < call_.count; ++i) {
      texts[i] = pg::key_text(call_.policy->user_key, call_.users[i]);
    }
    return texts;
  }

  void read_keys(Snapshot snapshot) {
    if (!has_keys()) return;
    const pg::Rows rows = read(call_.policy, Statement::read_key_many,
                               {{pg::value(pg::text_array(key_texts(), call_.count)),
                                 users_of_call(), pg::value(call_.tournament)}},
                               snapshot);
    for (uint64 row = 0; row < rows.count(); ++row) {
      const std::size_t i = ordinal_of(rows, row);
      Entry& entry = entries_[i];
      if (use_of_key(call_.policy, Operation::enroll, rows, row, 2) == KeyUse::same_call) {
        entry.replayed = true;
        entry.receipt = replay(Operation::enroll, rows, row, 2, call_.memory);
      } else {
        reject_entry(call_, entry, i, Outcome::idempotency_mismatch);
      }
    }
  }

  void read_users(Snapshot snapshot) {
    const pg::Rows rows = read(call_.policy, Statement::read_enroll_many,
                               {{users_of_call(), pg::value(call_.tournament)}}, snapshot);
    seat_ = read_seat(call_.policy, call_.tournament_text, snapshot);
    for (uint64 row = 0; row < rows.count(); ++row) {
      const std::size_t i = ordinal_of(rows, row);
      entries_[i].reading = reading_of(call_.policy, rows, row, 2, call_.memory);
      entries_[i].reading.seat = seat_;
      if (hidden_[i]) entries_[i].reading.facts.already_enrolled = true;
    }
  }

  // As if the users came one after the other: each finds the seats, the enrollment and the key
  // that those before have taken.
  void judge_in_order() {
    const std::size_t none = call_.count;
    const std::size_t* same_user = first_equals(user_texts(), call_.count);
    const std::size_t* same_key = has_keys() ? first_equals(key_texts(), call_.count) : nullptr;
    auto* taker_of_user = array_of<std::size_t>(call_.count);
    auto* taker_of_key = array_of<std::size_t>(call_.count);
    std::fill(taker_of_user, taker_of_user + call_.count, none);
    std::fill(taker_of_key, taker_of_key + call_.count, none);
    int64 taken = 0;
    for (std::size_t i = 0; i < call_.count; ++i) {
      Entry& entry = entries_[i];
      if (!entry.takes_part()) continue;
      const std::size_t by_key = same_key == nullptr ? none : taker_of_key[same_key[i]];
      const std::size_t by_user = taker_of_user[same_user[i]];
      if (by_key != none) {
        repeat_key(entry, i, by_key, same_user);
        continue;
      }
      if (by_user != none) {
        entry.repeats = by_user;
        entry.reading.facts.already_enrolled = true;
      }
      entry.reading.seat.taken += taken;
      const std::optional<Outcome> outcome =
          judge_reading(call_.policy, call_.users[i], call_.tournament, entry.reading,
                        call_.max_price, PriceRule::payable);
      if (outcome) {
        reject_entry(call_, entry, i, *outcome);
        continue;
      }
      ++taken;
      taker_of_user[same_user[i]] = i;
      if (same_key != nullptr) taker_of_key[same_key[i]] = i;
    }
  }

  // A key that an earlier entry uses: the same call once more, or a mismatch.
  void repeat_key(Entry& entry, std::size_t i, std::size_t taker, const std::size_t* same_user) {
    if (same_user[i] == same_user[taker]) {
      entry.replayed = true;
      entry.repeats = taker;
    } else {
      reject_entry(call_, entry, i, Outcome::idempotency_mismatch);
    }
  }

  // Whether as many rows came as were meant to. Where the same table falls short for the same users
  // again, though the look in between found no reason, a trigger may have kept its rows away.
  bool complete(uint64 came, std::size_t meant, Oid table) {
    if (came == meant) return true;
    const bool again = OidIsValid(table) && table == fell_short_ && count_ == count_before_ &&
                       std::equal(members_, members_ + count_, members_before_);
    if (again) raise_if_swallowed(table);
    fell_short_ = table;
    return false;
  }

  void collect() {
    members_before_ = members_;
    count_before_ = count_;
    count_ = takers();
    members_ = array_of<std::size_t>(count_);
    users_ = array_of<Datum>(count_);
    prices_ = array_of<pg::Value>(count_);
    balances_ = array_of<pg::Value>(count_);
    std::size_t next = 0;
    for (std::size_t i = 0; i < call_.count; ++i) {
      if (!entries_[i].takes_part()) continue;
      members_[next] = i;
      users_[next] = call_.users[i];
      prices_[next++] = entries_[i].reading.price;
    }
    user_array_ = pg::value(pg::key_array(call_.policy->user_key, users_, count_));
  }

  static std::size_t ordinal_of(const pg::Rows& rows, uint64 row) {
    return static_cast<std::size_t>(DatumGetInt64(rows.at(row, 1).datum)) - 1;
  }

  bool lock_accounts() {
    const pg::Rows rows = run(call_.policy, Statement::lock_account_many, {{user_array_}});
    for (uint64 row = 0; row < rows.count(); ++row) {
      balances_[ordinal_of(rows, row)] = rows.keep(row, 2, call_.memory);
    }
    return complete(rows.count(), count_, InvalidOid);
  }

  bool debit() {
    auto* payers = array_of<std::size_t>(count_);
    auto* users = array_of<Datum>(count_);
    auto* prices = array_of<pg::Value>(count_);
    std::size_t paying = 0;
    for (std::size_t k = 0; k < count_; ++k) {
      if (Money(prices_[k].datum) == Money::zero()) continue;
      payers[paying] = k;
      users[paying] = users_[k];
      prices[paying++] = prices_[k];
    }
    if (paying == 0) return true;
    const pg::Rows rows = run(call_.policy, Statement::debit_many,
                              {{pg::value(pg::key_array(call_.policy->user_key, users, paying)),
                                pg::value(pg::numeric_array(prices, paying))}});
    for (uint64 row = 0; row < rows.count(); ++row) {
      const std::size_t k = payers[ordinal_of(rows, row)];
      const pg::Value after = rows.keep(row, 2, call_.memory);
      require_balance(call_.policy, balances_[k], -Money(prices_[k].datum), after);
      balances_[k] = after;
    }
    return complete(rows.count(), paying, call_.policy->users);
  }

  // One statement's part of the rows: those of the members whose withdrawn row becomes active
  // again, or those that get a new one.
  struct Part {
    std::size_t* members;
    Datum* users;
    Datum* withdrawn;
    std::size_t count = 0;
  };

  Part part(bool reactivated) const {
    Part part{array_of<std::size_t>(count_), array_of<Datum>(count_), array_of<Datum>(count_)};
    for (std::size_t k = 0; k < count_; ++k) {
      const pg::Value withdrawn = entries_[members_[k]].reading.withdrawn;
      if (withdrawn.null == reactivated) continue;
      part.members[part.count] = k;
      part.users[part.count] = users_[k];
      part.withdrawn[part.count++] = withdrawn.datum;
    }
    return part;
  }

  // Every row comes with its user, in whatever order the statement met them.
  void keep_enrollments(const pg::Rows& rows, const Part& part) {
    const pg::KeyType& type = call_.policy->user_key;
    auto* order = array_of<std::size_t>(part.count);
    for (std::size_t i = 0; i < part.count; ++i) order[i] = i;
    const auto before = [&](std::size_t a, Datum user) {
      return pg::compare_images(type, part.users[a], user) < 0;
    };
    std::sort(order, order + part.count,
              [&](std::size_t a, std::size_t b) { return before(a, part.users[b]); });
    for (uint64 row = 0; row < rows.count(); ++row) {
      const pg::Value user = rows.at(row, 3);
      const std::size_t* found =
          user.null ? order + part.count
                    : std::lower_bound(order, order + part.count, user.datum, before);
      const bool known = found != order + part.count &&
                         pg::same_key(type, part.users[*found], user.datum) &&
                         pg::as_bool(rows.at(row, 2));
      if (!known) raise_row_changed(call_.policy->enrollments);
      enrollments_[part.members[*found]] = rows.keep(row, 1, call_.memory).datum;
      kept_away_[members_[part.members[*found]]] = false;
    }
  }

  bool place() {
    enrollments_ = array_of<Datum>(count_);
    const Part again = part(true);
    const Part anew = part(false);
    return write_unless_duplicate([&] {
      // The seats go in one claim, with the last of the rows.
      const bool last = anew.count == 0;
      return write(Expected::reactivations, again, last ? count_ : 0) &&
             (last || write(Expected::enrollments, anew, count_));
    });
  }

  bool names_index() const { return inserts_short_ >= most_duplicates; }

  template <typename Write>
  bool write_unless_duplicate(Write write) {
    bool all = false;
    auto write_rows = [&] {
      all = write();
      return true;
    };
    bool met_duplicate = false;
    if (names_index()) {
      // Those enrollments are there, yet the caller's row security hides them.
      met_duplicate = !pg::meets_no_duplicate(write_rows, active_key(call_.policy));
      for (std::size_t i = 0; met_duplicate && i < call_.count; ++i) {
        hidden_[i] = hidden_[i] || kept_away_[i];
      }
    } else {
      std::fill(kept_away_, kept_away_ + call_.count, false);
      if (call_.policy->lists.reactivates) {
        met_duplicate = !pg::meets_no_duplicate(write_rows, any_key(call_.policy));
      } else {
        write_rows();
      }
    }
    if (met_duplicate) ++inserts_short_;
    return all;
  }

  bool write(Expected expected, const Part& part, std::size_t seats) {
    if (part.count == 0) return true;
    Frame frame{};
    frame.policy = call_.policy;
    frame.expected = expected;
    frame.users = part.users;
    frame.count = part.count;
    frame.seats = seats;
    frame.tournament = call_.tournament;
    frame.tournament_text = call_.tournament_text;
    frame.start = call_.start;
    frame.epoch = seat_.epoch;
    frame.capacity = entries_[members_[0]].reading.capacity;
    push_frame(frame);
    const pg::Rows rows = write_rows(expected, part);
    frame = pop_frame();
    require_unchanged(frame);
    if (frame.refusal) return complete(0, part.count, InvalidOid);
    const bool inserts = expected == Expected::enrollments;
    for (std::size_t i = 0; inserts && i < part.count; ++i) {
      kept_away_[members_[part.members[i]]] = true;
    }
    keep_enrollments(rows, part);
    // A row that an insert has not brought may be there already, out of sight.
    const Oid table = inserts && !names_index() ? InvalidOid : call_.policy->enrollments;
    if (!complete(rows.count(), part.count, table)) {
      if (inserts) ++inserts_short_;
      return false;
    }
    require_passed(frame);
    seats_left_ = frame.seats_left;
    return true;
  }

  pg::Rows write_rows(Expected expected, const Part& part) {
    const pg::Value users =
        pg::value(pg::key_array(call_.policy->user_key, part.users, part.count));
    const pg::Value tournament = pg::value(call_.tournament);
    if (expected == Expected::enrollments) {
      return run(call_.policy,
                 names_index() ? Statement::insert_enrollment_many_or_fail
                               : Statement::insert_enrollment_many,
                 {{users, tournament}});
    }
    const pg::Value withdrawn =
        pg::value(pg::key_array(call_.policy->enrollment_key, part.withdrawn, part.count));
    return run(call_.policy, Statement::reactivate_enrollment_many,
               {{users, tournament, withdrawn}});
  }

  bool write_ledger() {
    auto* amounts = array_of<pg::Value>(count_);
    auto** keys = array_of<const char*>(count_);
    for (std::size_t k = 0; k < count_; ++k) {
      amounts[k] = (-Money(prices_[k].datum)).value();
      const pg::Value key = call_.keys[members_[k]];
      keys[k] = key.null ? nullptr : TextDatumGetCString(key.datum);
    }
    const pg::Rows rows = run(
        call_.policy, Statement::ledger_enroll_many,
        {{user_array_, pg::value(call_.tournament),
          pg::value(pg::key_array(call_.policy->enrollment_key, enrollments_, count_)),
          pg::value(pg::numeric_array(amounts, count_)),
          pg::value(pg::numeric_array(balances_, count_)), pg::value(pg::text_array(keys, count_)),
          pg::value(pg::numeric_array(prices_, count_))}});
    if (!complete(rows.count(), count_, call_.policy->ledger)) return false;
    for (std::size_t k = 0; k < count_; ++k) {
      Receipt& receipt = entries_[members_[k]].receipt;
      receipt.outcome = Outcome::enrolled;
      receipt.enrollment = pg::value(enrollments_[k]);
      receipt.amount = amounts[k];
      receipt.balance_after = balances_[k];
      receipt.seats_left = seats_left_;
    }
    return true;
  }

  ManyCall& call_;
  Entry* entries_;
  Seat seat_;
  std::size_t count_ = 0;
  std::size_t* members_ = nullptr;  // input positions of those who take part
  Datum* users_ = nullptr;
  pg::Value* prices_ = nullptr;
  pg::Value* balances_ = nullptr;
  Datum* enrollments_ = nullptr;
  pg::Value user_array_;
  std::optional<int64> seats_left_;
  // The round before: who took part, and the table that fell short.
  const std::size_t* members_before_ = nullptr;
  std::size_t count_before_ = 0;
  Oid fell_short_ = InvalidOid;
  int inserts_short_ = 0;  // rounds in which new enrollments did not all come
  bool* kept_away_;        // whose did not come; like hidden_, by input position
  bool* hidden_;           // who has one that no look shows
};

Receipt receipt_of(const Entry* entries, std::size_t i) {
  const Entry& entry = entries[i];
  if (!entry.rejection && entry.repeats) {
    Receipt receipt = entries[*entry.repeats].receipt;
    receipt.replayed = true;
    receipt.seats_left = std::nullopt;
    return receipt;
  }
  if (!entry.rejection) return entry.receipt;
  Receipt receipt = reject(entry.rejection->outcome, entry.rejection->facts, false);
  if (receipt.outcome == Outcome::already_enrolled) {
    receipt.enrollment =
        entry.repeats ? entries[*entry.repeats].receipt.enrollment : entry.reading.enrollment;
  }
  return receipt;
}

Receipt* receipts_of(const ManyCall& call, const Entry* entries) {
  auto* receipts = array_of<Receipt>(call.count);
  for (std::size_t i = 0; i < call.count; ++i) receipts[i] = receipt_of(entries, i);
  return receipts;
}

}  // namespace

Receipt* answer_busy(const ManyCall& call, const char* policy) {
  auto* receipts = array_of<Receipt>(call.count);
  Call one;
  one.policy = call.policy;
  one.tournament = call.tournament;
  one.tournament_text = call.tournament_text;
  for (std::size_t i = 0; i < call.count; ++i) {
    if (call.tournament_text != nullptr) one.user = call.users[i];
    receipts[i] = reject(Outcome::busy, facts_of_busy(one, policy), call.raises);
  }
  return receipts;
}

Receipt* enroll_many(ManyCall& call) {
  call.start = begin_call();
  auto* entries = array_of<Entry>(call.count);
  Round round(call, entries);
  Snapshot snapshot = pg::statement_snapshot();
  for (int rounds = 0;; ++rounds) {
    round.read_all(snapshot);
    UnregisterSnapshot(snapshot);
    const Entry* rejected = round.first_rejected();
    if (call.raises && rejected != nullptr) {
      raise_rejection(rejected->rejection->outcome, rejected->rejection->facts);
    }
    if (round.takers() == 0 || pg::in_subtransaction(round)) break;
    // In one snapshot a second look explains a rival, but not a duplicate out of its sight.
    if (IsolationUsesXactSnapshot() && rounds > round.inserts_short())
      pg::raise_serialization_failure();
    if (rounds == most_rounds) {
      if (call.raises) {
        raise_rejection(Outcome::busy, facts_about(call.policy, std::nullopt, call.tournament));
      }
      for (std::size_t i = 0; i < call.count; ++i) {
        if (entries[i].takes_part()) reject_entry(call, entries[i], i, Outcome::busy);
      }
      break;
    }
    snapshot = pg::fresh_snapshot(call.start);
  }
  return receipts_of(call, entries);
}

}  // namespace pg_enroll::engine
