#include "engine/seats.hpp"

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

// The smallest epoch that no transaction before this one can have used.
int64 epoch_floor() {
  return static_cast<int64>(U64FromFullTransactionId(GetTopFullTransactionId()));
}

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
  // A statement of many tournaments comes here many times.
  rows.release();
  return seat;
}

}  // namespace

// An index scan of our own: one row by its key, without a plan to start up.
Seat read_seat(const Attachment* policy, const char* tournament, Snapshot snapshot) {
  ScanKeyData keys[3];
  ScanKeyInit(&keys[0], column_policy, BTEqualStrategyNumber, F_TEXTEQ,
              CStringGetTextDatum(policy->name));
  ScanKeyInit(&keys[1], column_tournament, BTEqualStrategyNumber, F_TEXTEQ,
              CStringGetTextDatum(tournament));
  ScanKeyInit(&keys[2], column_stripe, BTEqualStrategyNumber, F_INT4EQ, Int32GetDatum(0));
  const Relation table = table_open(policy->home.seats, AccessShareLock);
  const Oid index = pg::primary_key_index(table);
  const SysScanDesc scan = systable_beginscan(table, index, true, snapshot, 3, keys);
  const HeapTuple tuple = systable_getnext(scan);
  Seat seat;
  if (HeapTupleIsValid(tuple)) {
    const TupleDesc description = RelationGetDescr(table);
    seat.found = true;
    seat.taken = seat_column(tuple, description, column_taken).value_or(0);
    seat.allotted = seat_column(tuple, description, column_allotted);
    seat.capacity = seat_column(tuple, description, column_capacity);
    seat.epoch = seat_column(tuple, description, column_epoch).value_or(0);
  }
  systable_endscan(scan);
  table_close(table, AccessShareLock);
  return seat;
}

Seat read_seat_now(const Attachment* policy, const char* tournament) {
  CommandCounterIncrement();
  const Snapshot snapshot = pg::fresh_snapshot(GetCurrentCommandId(false));
  const Seat seat = read_seat(policy, tournament, snapshot);
  UnregisterSnapshot(snapshot);
  return seat;
}

std::optional<Seat> claim_seats(Attachment* policy, const char* tournament, int64 count) {
  return seat_of(
      run(policy, Statement::seat_claim,
          {{pg::text_value(policy->name), pg::text_value(tournament), pg::bigint(count)}}));
}

std::optional<Seat> claim_seats_as_read(Attachment* policy, const char* tournament, int64 count,
                                        int64 epoch, std::optional<int64> capacity) {
  return seat_of(run(policy, Statement::seat_claim_read,
                     {{pg::text_value(policy->name), pg::text_value(tournament), pg::bigint(count),
                       pg::bigint(epoch), pg::bigint(capacity)}}));
}

std::optional<Seat> return_seats(Attachment* policy, const char* tournament, int64 count) {
  return seat_of(
      run(policy, Statement::seat_return,
          {{pg::text_value(policy->name), pg::text_value(tournament), pg::bigint(count)}}));
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
  run_fresh(policy, Statement::seat_lock, {{name, pg::value(pg::text_array(texts, count))}});
  for (std::size_t i = 0; i < count; ++i) {
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

void lock_all_seats(Attachment* policy) {
  run_fresh(policy, Statement::seat_lock_all, {{pg::text_value(policy->name)}});
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
  correct_seats(policy, ignore, nullptr);
  run_fresh(policy, Statement::seat_renew,
            {{pg::text_value(policy->name), pg::bigint(epoch_floor())}});
}

void recount(Attachment* policy, void (*report)(void* state, const Recounted&), void* state) {
  lock_out_writers(policy);
  correct_seats(policy, report, state);
}

}  // namespace pg_enroll::engine
