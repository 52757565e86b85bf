#include "pg/transition.hpp"

namespace pg_enroll::pg {

TransitionRows::TransitionRows(Tuplestorestate* rows, TupleDesc description) : rows_(rows) {
  if (rows_ == nullptr) return;
  pointer_ = tuplestore_alloc_read_pointer(rows_, EXEC_FLAG_REWIND);
  tuplestore_select_read_pointer(rows_, pointer_);
  tuplestore_rescan(rows_);
  slot_ = MakeSingleTupleTableSlot(description, &TTSOpsMinimalTuple);
}

TupleTableSlot* TransitionRows::next() {
  if (rows_ == nullptr) return nullptr;
  tuplestore_select_read_pointer(rows_, pointer_);
  return tuplestore_gettupleslot(rows_, true, false, slot_) ? slot_ : nullptr;
}

void TransitionRows::close() {
  if (slot_ != nullptr) ExecDropSingleTupleTableSlot(slot_);
  slot_ = nullptr;
  rows_ = nullptr;
}

}  // namespace pg_enroll::pg
