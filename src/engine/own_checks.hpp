// What the tables' owner adds to the checks of a policy: checks of their own, and enrollments
// without a ledger row that are accepted as they are. Both live in tables of the extension.
#pragma once

#include "engine/attachment.hpp"
#include "pg/memory.hpp"
#include "rules/checks.hpp"

namespace pg_enroll::engine {

// The policy's tables, as the queries of checks name them.
rules::ProbedTables tables_of(const Attachment* policy);

Oid baseline_table(const Home& home);
Oid own_checks_table(const Home& home);

struct OwnCheck {
  const char* name;
  rules::Severity severity;
  const char *query, *description;
};

// Those of a policy, by name, as the snapshot shows them.
pg::Items<OwnCheck> own_checks(const Home& home, const char* policy, Snapshot snapshot);

// Stores a check. Only for the owner of the tables, as whom its query runs. Raises 22023 where the
// query is no SELECT that only reads, or the severity none; 42710 where the name is taken.
void add_check(const Home& home, const char* policy, const char* severity, const OwnCheck& check);

// Raises 42704 where there is no such check.
void drop_check(const Home& home, const char* policy, const char* name);

// The keys of the accepted enrollments, text[].
Datum accepted(const Home& home, const char* policy, Snapshot snapshot);

// Accepts the active enrollments that have no ledger row now, and answers how many are new. Only
// for the owner of the tables.
int64 accept_baseline(const Home& home, const char* policy, pg::Value reason);

}  // namespace pg_enroll::engine
