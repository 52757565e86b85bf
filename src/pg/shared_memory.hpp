// A piece of shared memory for the library, which it has where it is preloaded.
#pragma once

#include "pg/prelude.hpp"

namespace pg_enroll::pg {

struct SharedMemory {
  const char* name;
  Size (*size)();             // asked once the configuration has been read
  void (*initialize)(void*);  // of a server that starts, or starts over after a crash
  void* at = nullptr;         // null: not preloaded
  LWLock* lock = nullptr;     // guards whatever its owner says
};

// To be called from _PG_init(); the struct must last. Does nothing where the library is loaded by a
// session of its own.
void share(SharedMemory& memory);

bool is_preloading();

}  // namespace pg_enroll::pg
