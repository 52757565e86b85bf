// Errors with their fields, raised through PostgreSQL.
#pragma once

#include "pg/prelude.hpp"

namespace pg_enroll::pg {

// What an error carries. Texts are palloc'd or constant; relation fills the schema and table
// fields, and may be InvalidOid.
struct Report {
  const char* sqlstate;
  const char* message;
  const char* detail = nullptr;
  const char* hint = nullptr;
  Oid relation = InvalidOid;
  const char* constraint = nullptr;
};

[[noreturn]] void raise(const Report& report);

// The error that a transaction above READ COMMITTED gets where it would have to act on something
// newer than its snapshot. The client retries the transaction.
[[noreturn]] void raise_serialization_failure();

// Runs the step. An error of its flies on once `failed`, which must not raise one itself, has been
// told. Both get the state.
void tell_failure(void (*step)(void*), void (*failed)(void*), void* state);

}  // namespace pg_enroll::pg
