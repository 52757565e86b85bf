// The rows that a statement inserted, updated or deleted, read straight from the transition
// tables of an AFTER STATEMENT trigger.
#pragma once

#include "pg/prelude.hpp"

namespace pg_enroll::pg {

// Reads the old and the new rows of a trigger in step, as an UPDATE brings them; an INSERT has no
// old rows, a DELETE no new ones. Several readers do not disturb one another. Rows of a partition
// are shown as rows of the root it belongs to, whose columns may stand in another order.
class Transition {
 public:
  Transition(TriggerData* trigger, Oid root);

  // What the rows look like.
  TupleDesc description() const { return description_; }

  // The next pair, valid until the call after; false at the end. Either row may be null.
  bool next();
  void close();

  TupleTableSlot* before = nullptr;
  TupleTableSlot* after = nullptr;

 private:
  struct Reader {
    Tuplestorestate* rows;
    int pointer;
    TupleTableSlot* slot;
    TupleTableSlot* as_root;  // null: the row is shown as it is
  };
  Reader open(Tuplestorestate* rows, TupleDesc stored) const;
  TupleTableSlot* read(const Reader& reader) const;

  Relation root_ = nullptr;  // open, where it is not the table that fires
  TupleDesc description_;
  TupleConversionMap* map_ = nullptr;
  Reader old_rows_;
  Reader new_rows_;
};

// Raises 39P01 where the trigger does not fire as an AFTER STATEMENT trigger with the transition
// tables of its event.
void require_statement_trigger(TriggerData* trigger);

}  // namespace pg_enroll::pg
