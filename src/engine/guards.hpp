// The guards inside the database: found and judged by their definition, installed and taken away.
#pragma once

#include "engine/attachment.hpp"
#include "engine/bridge.hpp"

namespace pg_enroll::engine {

// An expression of the catalogs' parser in the form that the planner compares: a list of
// conditions, constants folded. NULL counts as true where it is a check.
List* conditions_of(Node* expression, bool is_check);

// Fills in the state of every guard, by what the catalogs say now.
void inspect_guards(Attachment* policy, const PolicyTexts& texts);

// Shows every guard of a policy. Where tables of it are gone, those are what is missing.
void visit_guards(const Home& home, const char* policy, void (*visit)(void* state, const Guard&),
                  void* state);

// Creates the ready-made tables in the schema, attaches them and seeds their seats. Acts as the
// current user.
void create_tables(const Home& home, Oid schema, const char* policy);

// Takes the guards away that attaching brought, and forgets the policy and its seats.
void detach(const Home& home, const char* policy);

}  // namespace pg_enroll::engine
