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

// A list that grows; the rows of one COPY may be millions.
template <typename Item>
struct Items {
  Item* at = nullptr;
  std::size_t count = 0;
  std::size_t room = 0;

  Item& add(Item item) {
    if (count == room) {
      room = room == 0 ? 16 : room * 2;
      const Size size = sizeof(Item) * room;
      at = static_cast<Item*>(at == nullptr ? MemoryContextAllocHuge(CurrentMemoryContext, size)
                                            : repalloc_huge(at, size));
    }
    at[count] = item;
    return at[count++];
  }
};

// Raises 39P01 where the trigger does not fire as an AFTER STATEMENT trigger with the transition
// tables of its event.
void require_statement_trigger(TriggerData* trigger);

}  // namespace pg_enroll::pg
