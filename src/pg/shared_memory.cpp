#include "pg/shared_memory.hpp"

namespace pg_enroll::pg {
namespace {

SharedMemory* shared = nullptr;
shmem_startup_hook_type next_startup = nullptr;

void request() {
  RequestAddinShmemSpace(shared->size());
  RequestNamedLWLockTranche(shared->name, 1);
}

void start() {
  if (next_startup != nullptr) next_startup();
  LWLockAcquire(AddinShmemInitLock, LW_EXCLUSIVE);
  bool found = false;
  shared->at = ShmemInitStruct(shared->name, shared->size(), &found);
  shared->lock = &GetNamedLWLockTranche(shared->name)->lock;
  if (!found) shared->initialize(shared->at);
  LWLockRelease(AddinShmemInitLock);
}

}  // namespace

bool is_preloading() { return process_shared_preload_libraries_in_progress; }

void share(SharedMemory& memory) {
  if (!is_preloading()) return;
  shared = &memory;
  at_shared_memory_request(request);
  next_startup = shmem_startup_hook;
  shmem_startup_hook = start;
}

}  // namespace pg_enroll::pg
