// Attaching policies to tables and detaching them again.
#pragma once

#include "engine/attachment.hpp"
#include "engine/survey.hpp"

namespace pg_enroll::engine {

// Creates the ready-made tables in the schema and attaches them as that policy.
void create_tables(const Home& home, Oid schema, const char* policy);

// Shows what attaching would do and what stands in its way. Writes nothing.
void precheck(const Home& home, const char* document, const char* policy,
              void (*visit)(void* state, const Item&), void* state);

// Installs the guards on the tables that the document names and stores it under the name, in the
// place of what is attached under it now. Raises 55000 where something stands in the way.
void attach(const Home& home, const char* document, const char* policy);

// Takes the guards away that attaching brought, and forgets the policy and its seats. Needs no
// policy that still loads: tables may be gone, columns renamed.
void detach(const Home& home, const char* policy);

// Raises 42501 where the current user does not own every table of the policy that is still there.
void require_ownership(const StoredPolicy& stored);

}  // namespace pg_enroll::engine
