// The rows that a statement inserted, updated or deleted, read straight from the transition
// tables of an AFTER STATEMENT trigger.
#pragma once

#include "pg/prelude.hpp"

namespace pg_enroll::pg {

// Reads the old and the new rows of a trigger in step, as an UPDATE brings them; an INSERT has no
// old rows, a DELETE no new ones. Several readers do not disturb one another.
class Transition {
 public:
  explicit Transition(TriggerData* trigger);

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
  };
  static Reader open(Tuplestorestate* rows, TupleDesc description);
  static TupleTableSlot* read(const Reader& reader);

  Reader old_rows_;
  Reader new_rows_;
};

// Raises 39P01 where the trigger does not fire as an AFTER STATEMENT trigger with the transition
// tables of its event.
void require_statement_trigger(TriggerData* trigger);

}  // namespace pg_enroll::pg
