// An attached policy as this session knows it: its tables, keys, guards and statements, read from
// the catalogs once and again whenever one of its tables changes.
#pragma once

#include "pg/keys.hpp"
#include "pg/spi.hpp"
#include "rules/sql.hpp"

namespace pg_enroll::engine {

// Where the extension lives: found from the function that was called, so that no name is resolved
// through anybody's search_path.
struct Home {
  Oid schema;
  Oid policies;  // enroll_policy
  Oid seats;     // enroll_seat
  Oid owner;
};

Home home_of(Oid function);

enum class GuardState : std::uint8_t { ok, missing, disabled, invalid };

struct Guard {
  const char* name = nullptr;
  Oid relation = InvalidOid;
  GuardState state = GuardState::missing;
};

// The active index, the balance check, the ledger's key index, four doors and four gates.
inline constexpr std::size_t guard_count = 11;

struct Attachment {
  Attachment* next;
  MemoryContext memory;
  bool ready;  // loaded to the end
  bool stale;  // something it was read from has changed since

  Home home;
  const char* name;
  const char* document;
  Oid users, tournaments, enrollments, ledger;
  Oid owner;  // of all four tables; the engine acts as it

  pg::KeyType user_key, tournament_key, enrollment_key;
  AttrNumber tournaments_key;  // column of the tournaments table
  AttrNumber enrollments_user, enrollments_tournament;
  std::optional<int32> balance_scale;  // digits after the point; no value: no limit
  const char *type_enroll, *type_unenroll, *type_waive;  // the ledger's words

  List* active;             // the active expression, as a list of conditions
  ExprState* active_state;  // the same, ready to run on a row
  ExprContext* active_context;
  Bitmapset* watched;  // tournaments' columns that open and capacity mention, offset
  std::array<Guard, guard_count> guards;
  const char* active_index_name;
  const char* balance_check_name;
  bool users_deferrable, tournaments_deferrable;  // foreign keys that a writer may defer

  bool users_triggered;  // a BEFORE UPDATE trigger may change what is debited
  const char* path;      // search_path while the engine runs
  std::array<const char*, rules::statement_count> texts;
  std::array<SPIPlanPtr, rules::statement_count> plans;
};

// What a caller will do with the tables: decides the locks taken on them.
enum class Access : std::uint8_t { read, write };

// A policy that the session has entered: its search path is set until leave().
struct Entered {
  Attachment* policy;
  int level;
};

// The policy of that name, its tables locked and its knowledge as new as the locks. Raises 42704
// where there is none. Takes the session into the policy's search path until leave().
Entered enter(const Home& home, const char* name, Access access);

// The policy whose enrollments table this is. Raises 55000 where there is none. Enters it as
// above; the statement that fired the trigger holds the locks already.
Entered enter_by_enrollments(const Home& home, Oid relation);

void leave(const Entered& entered);

// The names of the policies whose tournaments table this is, as a list of C strings. Raises 55000
// where there is none.
List* policies_of_tournaments(const Home& home, Oid relation);

// A table's name, qualified and quoted. Raises 42P01 where it is gone.
const char* qualified_name(Oid relation);

// All rows of enroll_policy that a caller may want to know, without the tables being there.
struct StoredPolicy {
  const char* name;
  const char* document;
  Oid users, tournaments, enrollments, ledger;
  List* search_path;        // of C strings: what follows the tables' own schema
  const char* built_index;  // names of what attaching built; null: adopted
  const char* built_check;
};
std::optional<StoredPolicy> stored_policy(const Home& home, const char* name);
StoredPolicy require_stored(const Home& home, const char* name);  // raises 42704

// Runs a statement of the policy with the rights that it is meant to have.
pg::Rows run(Attachment* policy, rules::Statement statement, pg::Values parameters);
pg::Rows run_fresh(Attachment* policy, rules::Statement statement, pg::Values parameters);
pg::Rows read(Attachment* policy, rules::Statement statement, pg::Values parameters,
              Snapshot snapshot);

// Whether a row of the enrollments table is active.
bool is_active(Attachment* policy, TupleTableSlot* row);

// Raises GUARD_MISSING where a guard is missing, disabled or invalid.
void require_guards(const Attachment* policy);

// Raises GUARD_MISSING: the tournament has no counter, as after a load with triggers off.
[[noreturn]] void raise_seat_missing(const Attachment* policy);
[[noreturn]] void raise_guard_missing(const Attachment* policy, const char* guard, Oid relation,
                                      const char* hint);

// To be called once, when the module is loaded.
void watch_invalidations();

}  // namespace pg_enroll::engine
