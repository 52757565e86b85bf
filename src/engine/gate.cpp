// The gate: changes of the tournaments. Each takes the tournament's seats, evaluates its capacity
// in a snapshot taken after, allots it and moves the epoch, so that no enrollment in flight slips
// in behind a change that has committed.
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

std::optional<Datum> tournament_of(const Attachment* policy, TupleTableSlot* row) {
  if (row == nullptr) return std::nullopt;
  bool null = false;
  const Datum key = slot_getattr(row, policy->tournaments_key, &null);
  return null ? std::nullopt : std::optional<Datum>(key);
}

// Compares the columns that open and capacity mention, never the values of the expressions: two
// changes may leave a value alone singly and yet not both.
bool watched_column_changed(const Attachment* policy, TupleDesc description, TupleTableSlot* before,
                            TupleTableSlot* after) {
  const bool whole_row = bms_is_member(-FirstLowInvalidHeapAttributeNumber, policy->watched);
  for (int i = 1; i <= description->natts; ++i) {
    const Form_pg_attribute column = TupleDescAttr(description, i - 1);
    if (column->attisdropped) continue;
    if (!whole_row && !bms_is_member(i - FirstLowInvalidHeapAttributeNumber, policy->watched)) {
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

Touched touched_tournaments(const Attachment* policy, TriggerData* trigger) {
  Touched touched;
  const pg::KeyType& type = policy->tournament_key;
  const TupleDesc description = RelationGetDescr(trigger->tg_relation);
  pg::Transition rows(trigger);
  while (rows.next()) {
    const std::optional<Datum> before = tournament_of(policy, rows.before);
    const std::optional<Datum> after = tournament_of(policy, rows.after);
    const bool stays = before && after && pg::same_key(type, *before, *after);
    if (stays && !watched_column_changed(policy, description, rows.before, rows.after)) continue;
    if (after) touched.changed.add(pg::copy_key(type, *after));
    if (stays) continue;
    if (before) touched.changed.add(pg::copy_key(type, *before));
    if (after) touched.opened.add(pg::key_text(type, *after));
  }
  rows.close();
  return touched;
}

void gate_for(Attachment* policy, TriggerData* trigger) {
  if (TRIGGER_FIRED_BY_TRUNCATE(trigger->tg_event)) return close_seats(policy);
  const Touched touched = touched_tournaments(policy, trigger);
  if (touched.opened.count > 0) open_seats(policy, touched.opened.at, touched.opened.count);
  if (touched.changed.count > 0) reallot(policy, touched.changed.at, touched.changed.count);
}

}  // namespace

void gate(const Home& home, TriggerData* trigger) {
  pg::require_statement_trigger(trigger);
  List* names = policies_of_tournaments(home, RelationGetRelid(trigger->tg_relation));
  ListCell* cell;
  foreach (cell, names) {
    const Entered entered = enter(home, static_cast<const char*>(lfirst(cell)), Access::read);
    gate_for(entered.policy, trigger);
    leave(entered);
  }
}

}  // namespace pg_enroll::engine
