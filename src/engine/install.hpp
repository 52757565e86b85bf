// Installing the guards and taking them away again: the DDL, run as the current user.
#pragma once

#include "engine/attachment.hpp"

namespace pg_enroll::engine {

// Creates the ready-made tables in the schema and attaches them as that policy.
void create_tables(const Home& home, Oid schema, const char* policy);

// Takes the guards away that attaching brought, and forgets the policy and its seats. Needs no
// policy that still loads: tables may be gone, columns renamed.
void detach(const Home& home, const char* policy);

}  // namespace pg_enroll::engine
