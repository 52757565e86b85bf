// What attaching a policy would do to its tables, and what stands in its way. One survey serves the
// dry run, which shows it, and the attaching, which carries it out: what the one says the other
// does.
#pragma once

#include "engine/attachment.hpp"
#include "engine/bridge.hpp"
#include "pg/memory.hpp"

namespace pg_enroll::engine {

enum class Action : std::uint8_t { create, adopt, validate, seed, drop, refuse, warn };

// One thing that would be done, or one that stands in the way (refuse, warn). Texts are palloc'd
// or constant; null where there is nothing to say.
struct Item {
  Action action = Action::refuse;
  const char* object = nullptr;  // of the database, or a place in the document
  const char* lock = nullptr;    // what the DDL takes
  const char* obstacle = nullptr;
  std::optional<int64> violations;  // how many rows
  const char* sample = nullptr;     // a few of them, jsonb as text
  const char* remedy = nullptr;
  const char* sql = nullptr;  // what attaching executes
  bool as_owner = false;  // and with the rights of the tables' owner, whose expressions it holds
};

const char* action_name(Action action);

// The tables of a policy. InvalidOid where the name leads nowhere.
struct Tables {
  Oid users = InvalidOid, tournaments = InvalidOid, enrollments = InvalidOid, ledger = InvalidOid;
  List* watched = NIL;  // in the document's order

  // In the order in which everybody locks them; without those that were not found.
  List* all() const;
};

// Finds the tables by the session's search path, as the caller sees it.
Tables find_tables(const char* document);

// A policy that is to be attached.
struct Proposal {
  const char* document;
  const char* name;
  List* schemas;  // OIDs: the search path that it is to keep
  Tables tables;
};

struct Survey {
  pg::Items<Item> items;
  int refusals = 0;
  Oid owner = InvalidOid;  // of the tables
  // Objects that attaching would build or has built; null where it adopts one.
  const char* built_index = nullptr;
  const char* built_check = nullptr;
};

// Surveys under a snapshot taken now, and writes nothing. Takes ACCESS SHARE locks on the tables;
// raises 22023 for a document that is none. The session's search path must be the bare one.
Survey survey(const Home& home, const Proposal& proposal);

// The tables on which something would be dropped or a check added, which takes the strongest lock:
// to be known before any lock is taken. For a caller who owns the tables. None where the survey
// would refuse before it looks at what that depends on.
struct StrongLocks {
  bool users, enrollments, ledger;
};
StrongLocks strong_locks(const Home& home, const Proposal& proposal);

// The tables whose changes may open, close or resize a tournament: the tournaments and the watched.
List* sources_of(const Tables& tables);

}  // namespace pg_enroll::engine
