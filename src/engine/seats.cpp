#include "engine/seats.hpp"

#include "engine/stats.hpp"
#include "pg/direct.hpp"
#include "pg/memory.hpp"

namespace pg_enroll::engine {
namespace {

using rules::Statement;

enum SeatColumn : AttrNumber {
  column_policy = 1,
  column_tournament,
  column_stripe,
  column_taken,
  column_allotted,
  column_capacity,
  column_epoch,
};

uint64 this_transaction() { return U64FromFullTransactionId(GetTopFullTransactionId()); }

// The smallest epoch that no transaction before this one can have used.
int64 epoch_floor() { return static_cast<int64>(this_transaction()); }

std::optional<int64> seat_column(HeapTuple tuple, TupleDesc description, SeatColumn column) {
  bool null = false;
  const Datum datum = heap_getattr(tuple, column, description, &null);
  return null ? std::nullopt : std::optional<int64>(DatumGetInt64(datum));
}

std::optional<Seat> seat_of(pg::Rows rows) {
  if (rows.empty()) return std::nullopt;
  Seat seat;
  seat.found = true;
  seat.taken = DatumGetInt64(rows.at(0, 1).datum);
  seat.allotted = pg::as_bigint(rows.at(0, 2));
  seat.capacity = pg::as_bigint(rows.at(0, 3));
  // A statement of many tournaments comes here many times.
  rows.release();
  return seat;
}

// One row of a tournament's counter.
struct Stripe {
  ItemPointerData row;
  int32 number;
  int64 taken;
  std::optional<int64> allotted;
  std::optional<int64> capacity;
  int64 epoch;
  // Known only where somebody looked.
  bool held = false;  // by a transaction under way that is not this one
  bool mine = false;  // held or written by this one

  bool has_room(int64 wanted) const { return rules::has_room(allotted, taken, wanted); }
};

// Whether another transaction under way, or this one, has written or locked the version. What this
// one has written nobody else can hold.
void look_at_holder(Stripe& stripe, HeapTuple tuple, Buffer buffer) {
  const HeapTupleHeader header = tuple->t_data;
  stripe.mine = TransactionIdIsCurrentTransactionId(HeapTupleHeaderGetXmin(header));
  if (stripe.mine) return;
  LockBuffer(buffer, BUFFER_LOCK_SHARE);
  const uint16 mask = header->t_infomask;
  const TransactionId holder = HeapTupleHeaderGetRawXmax(header);
  LockBuffer(buffer, BUFFER_LOCK_UNLOCK);
  if ((mask & HEAP_XMAX_INVALID) != 0) return;
  // Several lockers: nobody has to know which of them are still there.
  stripe.held = (mask & HEAP_XMAX_IS_MULTI) != 0;
  if (stripe.held) return;
  stripe.mine = TransactionIdIsCurrentTransactionId(holder);
  stripe.held = !stripe.mine && TransactionIdIsInProgress(holder);
}

Stripe stripe_of(HeapTuple tuple, TupleDesc description) {
  bool null = false;
  const Datum number = heap_getattr(tuple, column_stripe, description, &null);
  return {tuple->t_self,
          DatumGetInt32(number),
          seat_column(tuple, description, column_taken).value_or(0),
          seat_column(tuple, description, column_allotted),
          seat_column(tuple, description, column_capacity),
          seat_column(tuple, description, column_epoch).value_or(0)};
}

// Visits a tournament's stripes in order, or the one of that number. An index scan of our own:
// rows by their key, without a plan to start up.
enum class Holders : std::uint8_t { ignored, asked };
template <typename Visitor>
void visit_stripes(const Attachment* policy, const char* tournament, Snapshot snapshot,
                   std::optional<int32> number, Holders holders, Visitor visit) {
  ScanKeyData keys[3];
  ScanKeyInit(&keys[0], column_policy, BTEqualStrategyNumber, F_TEXTEQ,
              CStringGetTextDatum(policy->name));
  ScanKeyInit(&keys[1], column_tournament, BTEqualStrategyNumber, F_TEXTEQ,
              CStringGetTextDatum(tournament));
  ScanKeyInit(&keys[2], column_stripe, BTEqualStrategyNumber, F_INT4EQ,
              Int32GetDatum(number.value_or(0)));
  const Relation table = table_open(policy->home.seats, AccessShareLock);
  const Oid index = pg::primary_key_index(table);
  const SysScanDesc scan = systable_beginscan(table, index, true, snapshot, number ? 3 : 2, keys);
  for (HeapTuple tuple = systable_getnext(scan); HeapTupleIsValid(tuple);
       tuple = systable_getnext(scan)) {
    Stripe stripe = stripe_of(tuple, RelationGetDescr(table));
    if (holders == Holders::asked) {
      const auto* slot = reinterpret_cast<BufferHeapTupleTableSlot*>(scan->slot);
      look_at_holder(stripe, tuple, slot->buffer);
    }
    visit(stripe);
  }
  systable_endscan(scan);
  table_close(table, AccessShareLock);
}

// How many stripes a tournament had when this session last saw all of them. A guess: tournaments
// may share a place here, and stripes come and go.
constexpr uint32 guesses = 1024;
int32 stripe_counts[guesses];

int32& stripe_count(const Attachment* policy, const char* tournament) {
  const auto hash = [](const char* text) {
    return hash_bytes(reinterpret_cast<const unsigned char*>(text), static_cast<int>(strlen(text)));
  };
  return stripe_counts[hash_combine(hash(policy->name), hash(tournament)) % guesses];
}

int32 own_stripe(const Attachment* policy, const char* tournament) {
  return pg::backend_number() % std::max(stripe_count(policy, tournament), 1);
}

Seat seat_of(const Stripe& stripe) {
  return {true, stripe.taken, stripe.allotted, stripe.capacity, stripe.epoch};
}

void add_stripe(Seat& seat, const Stripe& stripe) {
  if (!seat.found) {
    seat = seat_of(stripe);
    return;
  }
  seat.taken = rules::sum(seat.taken, stripe.taken);
  seat.allotted = seat.allotted && stripe.allotted
                      ? std::optional<int64>(rules::sum(*seat.allotted, *stripe.allotted))
                      : std::nullopt;
}

}  // namespace

Seat read_seat(const Attachment* policy, const char* tournament, Snapshot snapshot) {
  Seat seat;
  int32 count = 0;
  visit_stripes(policy, tournament, snapshot, std::nullopt, Holders::ignored,
                [&](const Stripe& stripe) {
                  add_stripe(seat, stripe);
                  ++count;
                });
  stripe_count(policy, tournament) = count;
  return seat;
}

Seat read_own_seat(const Attachment* policy, const char* tournament, Snapshot snapshot,
                   std::optional<int64> capacity) {
  Seat own;
  visit_stripes(policy, tournament, snapshot, own_stripe(policy, tournament), Holders::ignored,
                [&](const Stripe& stripe) { add_stripe(own, stripe); });
  const bool enough = own.found && own.has_room(1) && own.capacity == capacity;
  return enough ? own : read_seat(policy, tournament, snapshot);
}

Seat read_seat_now(const Attachment* policy, const char* tournament) {
  CommandCounterIncrement();
  const Snapshot snapshot = pg::fresh_snapshot(GetCurrentCommandId(false));
  const Seat seat = read_seat(policy, tournament, snapshot);
  UnregisterSnapshot(snapshot);
  return seat;
}

namespace {

// The transaction that last set out for a stripe: while it is under way it may hold some.
uint64 last_writer = 0;

// Where a claim or a give-back is to go.
struct Choice {
  std::optional<Stripe> stripe;
  int32 highest_mine = -1;  // of the stripes that the transaction holds already

  // Somebody may take it before we do, and wait for one that the transaction holds.
  bool lies_below() const { return stripe && !stripe->mine && stripe->number < highest_mine; }
};

// What a stripe is to one who chooses, the best first. Waiting for a holder is only for those above
// what the transaction holds already: two that wait upwards never wait for each other.
enum class Place : std::uint8_t { mine, free_above, free_below, held_above, held_below };

Place place_of(const Stripe& stripe, int32 highest_mine) {
  if (stripe.mine) return Place::mine;
  const bool above = stripe.number > highest_mine;
  if (stripe.held) return above ? Place::held_above : Place::held_below;
  return above ? Place::free_above : Place::free_below;
}

// Of those that are equally good the own one, or the next after it.
void choose_of_all(const pg::Items<Stripe>& all, int32 own, int64 wanted, Choice& choice) {
  const auto count = static_cast<int32>(all.count);
  for (const Place best : {Place::mine, Place::free_above, Place::free_below, Place::held_above}) {
    for (int32 i = 0; i < count && !choice.stripe; ++i) {
      const Stripe& stripe = all.at[(own + i) % count];
      const bool fits = place_of(stripe, choice.highest_mine) == best;
      if (fits && stripe.has_room(wanted)) choice.stripe = stripe;
    }
  }
}

// The own stripe where it has room and nobody holds it. Otherwise, and where the transaction may
// hold one already, all of them are looked at.
Choice choose_stripe(const Attachment* policy, const char* tournament, int64 wanted) {
  CommandCounterIncrement();
  const Snapshot snapshot = pg::fresh_snapshot(GetCurrentCommandId(false));
  Choice choice;
  if (last_writer != this_transaction()) {
    visit_stripes(policy, tournament, snapshot, own_stripe(policy, tournament), Holders::asked,
                  [&](const Stripe& stripe) {
                    if (!stripe.held && stripe.has_room(wanted)) choice.stripe = stripe;
                  });
  }
  if (!choice.stripe) {
    pg::Items<Stripe> all;
    visit_stripes(policy, tournament, snapshot, std::nullopt, Holders::asked,
                  [&](const Stripe& stripe) {
                    all.add(stripe);
                    if (stripe.mine) choice.highest_mine = stripe.number;
                  });
    stripe_count(policy, tournament) = static_cast<int32>(all.count);
    choose_of_all(all, own_stripe(policy, tournament), wanted, choice);
  }
  UnregisterSnapshot(snapshot);
  last_writer = this_transaction();
  return choice;
}

// What a call has read of the tournament; a raw writer claims whatever it says.
struct AsRead {
  int64 epoch;
  std::optional<int64> capacity;

  bool is(const Stripe& stripe) const {
    return stripe.epoch == epoch && stripe.capacity == capacity;
  }
};

std::optional<Seat> claim_at(Attachment* policy, const char* tournament, int32 stripe, int64 count,
                             const AsRead* as_read) {
  const pg::Value name = pg::text_value(policy->name);
  const pg::Value key = pg::text_value(tournament);
  if (as_read == nullptr) {
    return seat_of(
        run(policy, Statement::seat_claim, {{name, key, pg::bigint(stripe), pg::bigint(count)}}));
  }
  return seat_of(run(policy, Statement::seat_claim_read,
                     {{name, key, pg::bigint(stripe), pg::bigint(count), pg::bigint(as_read->epoch),
                       pg::bigint(as_read->capacity)}}));
}

// Locks a stripe: waits for whoever holds it, or not.
pg::Rows hold_stripe(Attachment* policy, const char* tournament, int32 stripe, bool waits) {
  return run(policy, waits ? Statement::seat_hold : Statement::seat_hold_free,
             {{pg::text_value(policy->name), pg::text_value(tournament), pg::bigint(stripe)}});
}

// Takes what each stripe has, upwards, as everybody does who waits while holding one; below what
// the transaction holds already, what is free. Who holds them all and is short has been refused
// rightly.
bool claim_upwards(Attachment* policy, const char* tournament, int64 count, const AsRead* as_read,
                   int32 highest_mine) {
  int64 wanted = count;
  const int32 stripes = stripe_count(policy, tournament);
  for (int32 number = 0; number < stripes && wanted > 0; ++number) {
    pg::Rows rows = hold_stripe(policy, tournament, number, number >= highest_mine);
    if (rows.empty()) continue;
    const int64 taken = DatumGetInt64(rows.at(0, 1).datum);
    const std::optional<int64> allotted = pg::as_bigint(rows.at(0, 2));
    rows.release();
    const int64 part = std::min(wanted, rules::seats_left(allotted, taken).value_or(wanted));
    if (part == 0) continue;
    if (!claim_at(policy, tournament, number, part, as_read)) return false;
    wanted -= part;
  }
  return wanted == 0;
}

// Who met others at the only stripe gives a share of what is left to new ones. They are added under
// the lock of the first, which was written just now, so nobody else is doing the same.
void split_seat(Attachment* policy, const char* tournament, const Seat& seat) {
  const int32 stripes = rules::stripes_for(seat.left(), policy->lists.stripes);
  if (stripes <= 1 || IsolationUsesXactSnapshot()) return;
  const std::optional<int64> left = seat.left();
  run_fresh(policy, Statement::seat_split,
            {{pg::text_value(policy->name), pg::text_value(tournament), pg::bigint(stripes - 1),
              pg::bigint(left ? *left / stripes : 0)}});
  stripe_count(policy, tournament) = stripes;
}

// Above READ COMMITTED a write must see whether the transaction's snapshot is too old for it, which
// the statement does.
bool is_free(const Stripe& stripe) { return !stripe.held && !IsolationUsesXactSnapshot(); }

enum class Direct : std::uint8_t { done, outrun, declined };

// Writes the row that a look has shown, with so many seats more taken or, where negative, given
// back. Where somebody else was quicker it leaves no lock behind, so one may look and choose anew.
// Declined where somebody has put triggers or indexes on the table: what the statement does there
// is what this must come to.
Direct change_directly(const Attachment* policy, const char* tournament, Stripe& stripe,
                       int64 seats) {
  int64 taken = 0;
  if (pg_add_s64_overflow(stripe.taken, seats, &taken)) return Direct::declined;
  const Relation table = table_open(policy->home.seats, RowExclusiveLock);
  std::optional<pg::Written> written;
  if (pg::is_plain_table(table)) {
    written = pg::update_row(
        table, stripe.row,
        {{pg::text_value(policy->name), pg::text_value(tournament),
          pg::value(Int32GetDatum(stripe.number)), pg::bigint(taken), pg::bigint(stripe.allotted),
          pg::bigint(stripe.capacity), pg::bigint(stripe.epoch)}});
  }
  table_close(table, NoLock);
  if (!written || *written == pg::Written::by_itself) return Direct::declined;
  if (*written == pg::Written::outrun) return Direct::outrun;
  stripe.taken = taken;
  return Direct::done;
}

// A stripe that turns out to have no room stays locked to the end of the transaction, and whoever
// waits for it then may hold one that is waited for next. So each attempt at one of several is a
// subtransaction, which lets go.
std::optional<Seat> claim_by_statement(Attachment* policy, const char* tournament, int64 count,
                                       const AsRead* as_read, const Choice& choice) {
  const std::optional<Stripe>& stripe = choice.stripe;
  if (stripe_count(policy, tournament) <= 1) {
    if (!stripe) return std::nullopt;
    begin_seat_wait(stripe->held);
    const std::optional<Seat> seat = claim_at(policy, tournament, stripe->number, count, as_read);
    end_seat_wait();
    if (!seat) return std::nullopt;
    if (stripe->held) split_seat(policy, tournament, *seat);
    return seat;
  }
  auto attempt = [&] {
    if (choice.lies_below()) {
      pg::Rows rows = hold_stripe(policy, tournament, stripe->number, false);
      if (rows.empty()) return false;
      rows.release();
    }
    if (stripe) return claim_at(policy, tournament, stripe->number, count, as_read).has_value();
    return count > 1 && claim_upwards(policy, tournament, count, as_read, choice.highest_mine);
  };
  begin_seat_wait(stripe && stripe->held);
  const bool claimed = pg::in_subtransaction(attempt);
  end_seat_wait();
  if (!claimed) return std::nullopt;
  if (!stripe || stripe->number != own_stripe(policy, tournament)) count_stripe_move();
  return read_seat_now(policy, tournament);
}

std::optional<Seat> claim(Attachment* policy, const char* tournament, int64 count,
                          const AsRead* as_read) {
  for (int round = 0; round < most_rounds; ++round) {
    Choice choice = choose_stripe(policy, tournament, count);
    std::optional<Stripe>& stripe = choice.stripe;
    if (!stripe || !is_free(*stripe) || choice.lies_below()) {
      return claim_by_statement(policy, tournament, count, as_read, choice);
    }
    if (as_read != nullptr && !as_read->is(*stripe)) return std::nullopt;
    switch (change_directly(policy, tournament, *stripe, count)) {
      case Direct::done:
        if (stripe->number != own_stripe(policy, tournament)) count_stripe_move();
        return seat_of(*stripe);
      case Direct::outrun:
        continue;
      case Direct::declined:
        return claim_by_statement(policy, tournament, count, as_read, choice);
    }
  }
  return std::nullopt;
}

}  // namespace

Seat whole_seat(const Attachment* policy, const char* tournament, const Seat& seat) {
  const bool whole = seat.allotted == rules::allotment(seat.capacity);
  return whole ? seat : read_seat_now(policy, tournament);
}

std::optional<Seat> claim_seats(Attachment* policy, const char* tournament, int64 count) {
  return claim(policy, tournament, count, nullptr);
}

std::optional<Seat> claim_seats_as_read(Attachment* policy, const char* tournament, int64 count,
                                        int64 epoch, std::optional<int64> capacity) {
  const AsRead as_read{epoch, capacity};
  return claim(policy, tournament, count, &as_read);
}

std::optional<Seat> return_seats(Attachment* policy, const char* tournament, int64 count) {
  for (int round = 0; round < most_rounds; ++round) {
    std::optional<Stripe> stripe = choose_stripe(policy, tournament, 0).stripe;
    if (!stripe) break;
    if (is_free(*stripe)) {
      const Direct given = change_directly(policy, tournament, *stripe, -count);
      if (given == Direct::done) return seat_of(*stripe);
      if (given == Direct::outrun) continue;
    }
    begin_seat_wait(stripe->held);
    const std::optional<Seat> seat =
        seat_of(run(policy, Statement::seat_return,
                    {{pg::text_value(policy->name), pg::text_value(tournament),
                      pg::bigint(stripe->number), pg::bigint(count)}}));
    end_seat_wait();
    if (seat) return seat;
  }
  return std::nullopt;
}

pg::Items<const char*> open_seats(Attachment* policy, const char* const* tournaments,
                                  std::size_t count) {
  pg::Items<const char*> opened;
  if (count == 0) return opened;
  const pg::Rows rows =
      run(policy, Statement::seat_open,
          {{pg::text_value(policy->name), pg::value(pg::text_array(tournaments, count)),
            pg::bigint(epoch_floor())}});
  for (uint64 row = 0; row < rows.count(); ++row) {
    opened.add(TextDatumGetCString(rows.at(row, 1).datum));
  }
  return opened;
}

void remove_seats(Attachment* policy, const char* const* tournaments, std::size_t count) {
  if (count == 0) return;
  run_fresh(policy, Statement::seat_remove,
            {{pg::text_value(policy->name), pg::value(pg::text_array(tournaments, count))}});
}

bool open_taken_seats(Attachment* policy, const char* tournament, int64 taken,
                      std::optional<int64> capacity) {
  const pg::Rows rows = run(
      policy, Statement::seat_open_taken,
      {{pg::text_value(policy->name), pg::text_value(tournament), pg::bigint(taken),
        pg::bigint(rules::allotment(capacity)), pg::bigint(capacity), pg::bigint(epoch_floor())}});
  return !rows.empty();
}

void reallot(Attachment* policy, const Datum* named, std::size_t named_count, Absent absent) {
  struct Tournament {
    Datum key;
    const char* text;
  };
  auto* list = pg::array_of<Tournament>(named_count);
  for (std::size_t i = 0; i < named_count; ++i) {
    list[i] = {named[i], pg::key_text(policy->tournament_key, named[i])};
  }
  // Many rows of a watched table may name one tournament.
  std::sort(list, list + named_count,
            [](const Tournament& a, const Tournament& b) { return strcmp(a.text, b.text) < 0; });
  Tournament* end = std::unique(
      list, list + named_count,
      [](const Tournament& a, const Tournament& b) { return strcmp(a.text, b.text) == 0; });
  const auto count = static_cast<std::size_t>(end - list);
  auto** texts = pg::array_of<const char*>(count);
  for (std::size_t i = 0; i < count; ++i) texts[i] = list[i].text;
  const pg::Value name = pg::text_value(policy->name);
  const pg::Value epoch = pg::bigint(epoch_floor());
  for (std::size_t i = 0; i < count; ++i) {
    // Whoever adds a stripe holds the first: once that is ours, the rest are all there are.
    for (const Statement lock : {Statement::seat_lock, Statement::seat_lock_rest}) {
      run_fresh(policy, lock, {{name, pg::text_value(texts[i])}}).release();
    }
    pg::Rows rows = run_fresh(policy, Statement::read_tournament, {{pg::value(list[i].key)}});
    const bool found = !rows.empty();
    const std::optional<int64> capacity = found ? pg::as_bigint(rows.at(0, 2)) : 0;
    rows.release();
    if (!found && absent == Absent::to_come) continue;
    run_fresh(policy, Statement::seat_allot,
              {{name, pg::text_value(texts[i]), pg::bigint(rules::allotment(capacity)),
                pg::bigint(capacity), epoch}});
  }
}

namespace {

// The second time for the stripes that were added while the first one waited.
void lock_all_seats(Attachment* policy) {
  for (int i = 0; i < 2; ++i) {
    run_fresh(policy, Statement::seat_lock_all, {{pg::text_value(policy->name)}}).release();
  }
}

}  // namespace

void reallot_all(Attachment* policy) {
  lock_all_seats(policy);
  const pg::Rows rows = run_fresh(policy, Statement::list_tournaments, {});
  auto* tournaments = pg::array_of<Datum>(rows.count());
  for (uint64 row = 0; row < rows.count(); ++row) tournaments[row] = rows.at(row, 1).datum;
  reallot(policy, tournaments, rows.count());
}

void empty_seats(Attachment* policy) {
  lock_all_seats(policy);
  run_fresh(policy, Statement::seat_empty,
            {{pg::text_value(policy->name), pg::bigint(epoch_floor())}});
}

void close_seats(Attachment* policy) {
  lock_all_seats(policy);
  run_fresh(policy, Statement::seat_close,
            {{pg::text_value(policy->name), pg::bigint(epoch_floor())}});
}

// Writes what a comparison found: counters that differ, and those that nothing needs any more.
class Correction {
 public:
  explicit Correction(uint64 rows)
      : kept_(pg::array_of<const char*>(rows)),
        taken_(pg::array_of<pg::Value>(rows)),
        capacities_(pg::array_of<pg::Value>(rows)),
        removed_(pg::array_of<const char*>(rows)) {}

  void add(const char* tournament, pg::Value taken, pg::Value capacity) {
    if (taken.null) {
      removed_[removed_count_++] = tournament;
    } else {
      kept_[count_] = tournament;
      taken_[count_] = taken;
      capacities_[count_++] = capacity;
    }
  }

  void write(Attachment* policy) const {
    const pg::Value name = pg::text_value(policy->name);
    run_fresh(policy, Statement::seat_recount,
              {{name, pg::value(pg::text_array(kept_, count_)),
                pg::value(pg::bigint_array(taken_, count_)),
                pg::value(pg::bigint_array(capacities_, count_)), pg::bigint(epoch_floor())}});
    remove_seats(policy, removed_, removed_count_);
  }

 private:
  const char** kept_;
  pg::Value* taken_;
  pg::Value* capacities_;
  const char** removed_;
  std::size_t count_ = 0;
  std::size_t removed_count_ = 0;
};

namespace {

void correct_seats(Attachment* policy, void (*report)(void* state, const Recounted&), void* state) {
  const pg::Rows counted = run_fresh(policy, Statement::count_enrollments, {});
  const pg::Rows changes = run_fresh(
      policy, Statement::seat_compare,
      {{pg::text_value(policy->name), counted.at(0, 1), counted.at(0, 2), counted.at(0, 3)}});
  Correction correction(changes.count());
  for (uint64 row = 0; row < changes.count(); ++row) {
    const pg::Value tournament = changes.at(row, 1);
    const pg::Value taken_after = changes.at(row, 3);
    report(state,
           {tournament, changes.at(row, 2), taken_after, changes.at(row, 4), changes.at(row, 5)});
    correction.add(TextDatumGetCString(tournament.datum), taken_after, changes.at(row, 6));
  }
  correction.write(policy);
}

void ignore(void* /*state*/, const Recounted& /*counter*/) {}

void lock_out_writers(const Attachment* policy) {
  for (int i = 0; i < policy->source_count; ++i) {
    with_partitions(policy->sources[i].table, ShareRowExclusiveLock);
  }
  with_partitions(policy->enrollments, ShareRowExclusiveLock);
}

}  // namespace

// The other partitions' writers go on: they are shut out by the counters that they need.
void recount_taken(Attachment* policy) {
  lock_all_seats(policy);
  correct_seats(policy, ignore, nullptr);
}

void seed_seats(Attachment* policy) {
  lock_out_writers(policy);
  // The policy may allow fewer stripes than there are.
  run_fresh(policy, Statement::seat_unite, {{pg::text_value(policy->name)}});
  correct_seats(policy, ignore, nullptr);
  run_fresh(policy, Statement::seat_renew,
            {{pg::text_value(policy->name), pg::bigint(epoch_floor())}});
}

void recount(Attachment* policy, void (*report)(void* state, const Recounted&), void* state) {
  lock_out_writers(policy);
  correct_seats(policy, report, state);
}

}  // namespace pg_enroll::engine
