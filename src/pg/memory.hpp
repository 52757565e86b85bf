// Arrays in the current memory context that may outgrow a palloc: one COPY brings millions of rows.
#pragma once

#include "pg/prelude.hpp"

namespace pg_enroll::pg {

// Room for so many items, uninitialised; never empty, so that 0 is a size like any other.
template <typename Item>
Item* array_of(std::size_t count) {
  return static_cast<Item*>(
      MemoryContextAllocHuge(CurrentMemoryContext, sizeof(Item) * (count + 1)));
}

// A list that grows.
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

}  // namespace pg_enroll::pg
