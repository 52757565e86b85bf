// The rows that a statement inserted, updated or deleted, read straight from the transition
// tables of an AFTER STATEMENT trigger.
#pragma once

#include "pg/prelude.hpp"

namespace pg_enroll::pg {

// Reads one transition table from its start. Several readers do not disturb one another.
class TransitionRows {
 public:
  // rows may be null, which reads as an empty table.
  TransitionRows(Tuplestorestate* rows, TupleDesc description);

  // The next row, valid until the call after; null at the end.
  TupleTableSlot* next();
  void close();

 private:
  Tuplestorestate* rows_;
  int pointer_ = -1;
  TupleTableSlot* slot_ = nullptr;
};

}  // namespace pg_enroll::pg
