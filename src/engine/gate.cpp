// The gate: changes of the tournaments, and of the tables that a policy watches. Each takes the
// tournament's seats, evaluates its capacity in a snapshot taken after, allots it and moves the
// epoch, so that no enrollment in flight slips in behind a change that has committed.
#include "engine/gate.hpp"

#include "engine/seats.hpp"
#include "pg/memory.hpp"
#include "pg/transition.hpp"

namespace pg_enroll::engine {
namespace {

// Tournaments whose row changed in a way that matters, to be opened and allotted anew.
struct Touched {
  pg::Items<Datum> changed;
  pg::Items<const char*> opened;
};

// A watched row may name a tournament that no tournament's key can be.
std::optional<Datum> tournament_of(const Attachment* policy, const Source& source,
                                   TupleTableSlot* row) {
  if (row == nullptr) return std::nullopt;
  bool null = false;
  const Datum key = slot_getattr(row, source.tournament, &null);
  if (null || !pg::fits_key(policy->tournament_key, key)) return std::nullopt;
  return key;
}

// Compares the columns that open and capacity mention, never the values of the expressions: two
// changes may leave a value alone singly and yet not both.
bool watched_column_changed(const Source& source, TupleDesc description, TupleTableSlot* before,
                            TupleTableSlot* after) {
  const bool whole_row = bms_is_member(-FirstLowInvalidHeapAttributeNumber, source.columns);
  for (int i = 1; i <= description->natts; ++i) {
    const Form_pg_attribute column = TupleDescAttr(description, i - 1);
    if (column->attisdropped) continue;
    if (!whole_row && !bms_is_member(i - FirstLowInvalidHeapAttributeNumber, source.columns)) {
      continue;
    }
    bool null_before = false;
    bool null_after = false;
    const Datum value_before = slot_getattr(before, i, &null_before);
    const Datum value_after = slot_getattr(after, i, &null_after);
    if (null_before != null_after) return true;
    if (!null_before &&
        !datum_image_eq(value_before, value_after, column->attbyval, column->attlen)) {
      return true;
    }
  }
  return false;
}

Touched touched_tournaments(const Attachment* policy, const Source& source, TriggerData* trigger) {
  Touched touched;
  const pg::KeyType& type = policy->tournament_key;
  const bool is_watched = source.table != policy->tournaments;
  pg::Transition rows(trigger, source.table);
  while (rows.next()) {
    const std::optional<Datum> before = tournament_of(policy, source, rows.before);
    const std::optional<Datum> after = tournament_of(policy, source, rows.after);
    const bool stays = before && after && pg::same_key(type, *before, *after);
    if (stays && !watched_column_changed(source, rows.description(), rows.before, rows.after)) {
      continue;
    }
    if (after) touched.changed.add(pg::copy_key(type, *after));
    if (after && (is_watched || !stays)) touched.opened.add(pg::key_text(type, *after));
    if (!before || stays) continue;
    touched.changed.add(pg::copy_key(type, *before));
    if (is_watched) touched.opened.add(pg::key_text(type, *before));
  }
  rows.close();
  return touched;
}

void gate_for(Attachment* policy, TriggerData* trigger) {
  const Oid relation = RelationGetRelid(trigger->tg_relation);
  const Source* source = source_of(policy, relation);
  // The policy was attached anew without the table while this statement waited for it.
  if (source == nullptr) return;
  if (TRIGGER_FIRED_BY_TRUNCATE(trigger->tg_event)) {
    close_seats(policy);
    if (relation != policy->tournaments) reallot_all(policy);
    return;
  }
  const Touched touched = touched_tournaments(policy, *source, trigger);
  if (touched.changed.count == 0) return;
  const pg::Items<const char*> opened = open_seats(policy, touched.opened.at, touched.opened.count);
  const bool is_watched = source->table != policy->tournaments;
  reallot(policy, touched.changed.at, touched.changed.count,
          is_watched ? Absent::to_come : Absent::gone);
  // The tournament of a watched row may be one that another transaction is inserting. Opening its
  // counter waits for that one, or makes it wait, so that who comes second evaluates with both rows
  // in sight; of its own a watched row has no counter.
  if (is_watched) remove_seats(policy, opened.at, opened.count);
}

}  // namespace

void gate(const Home& home, TriggerData* trigger) {
  pg::require_statement_trigger(trigger);
  List* names = policies_of_source(home, RelationGetRelid(trigger->tg_relation));
  ListCell* cell;
  foreach (cell, names) {
    const Entered entered = enter(home, static_cast<const char*>(lfirst(cell)), Access::read);
    gate_for(entered.policy, trigger);
    leave(entered);
  }
}

}  // namespace pg_enroll::engine
