// An attached policy as this session knows it: its tables, keys, guards and statements, read from
// the catalogs once and again whenever one of its tables changes.
#pragma once

#include "engine/bridge.hpp"
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

// The active index, the balance check, the ledger's key index, four doors and four gates; where the
// ledger is strict, four triggers on the balances and four on the ledger besides.
inline constexpr std::size_t guard_count = 11;
inline constexpr std::size_t strict_guard_count = 19;

// A table whose changes may open, close or resize a tournament: the tournaments table itself, or
// one that the policy watches.
struct Source {
  Oid table;
  AttrNumber tournament;  // the column that holds the tournament's key
  pg::KeyType key;        // its type
  Bitmapset* columns;     // those that open and capacity mention, offset
};

// Statements of the policy's own that follow a call's work.
struct FollowUps {
  int count;
  const char** texts;
  SPIPlanPtr* plans;
};

// What a strict ledger is held by: columns of users, enrollments and ledger.
struct StrictLedger {
  AttrNumber users_key, users_balance, enrollments_key;
  AttrNumber user, amount, balance_after, enrollment, order, type;
  pg::KeyType user_key, enrollment_key;               // as the ledger's columns have them
  Oid balance_type, amount_type, balance_after_type;  // integers or numeric
  Oid order_type, order_collation;
  // The words of the type column, as it holds them.
  Oid word_type;
  Datum enroll, unenroll, waive;
};

// See stats.hpp.
struct Counters;

struct Attachment {
  Attachment* next;
  MemoryContext memory;
  bool ready;  // loaded to the end
  bool stale;  // something it was read from has changed since

  Home home;
  const char* name;
  const char* document;
  TimestampTz attached_at;
  Oid users, tournaments, enrollments, ledger;
  List* watched_tables;  // of OIDs, in the document's order
  Oid owner;             // of all four tables; the engine acts as it
  PolicyLists lists;

  pg::KeyType user_key, tournament_key, enrollment_key;
  // As the enrollments' columns have them, which may be narrower or wider integers.
  pg::KeyType enrolled_user, enrolled_tournament;
  AttrNumber enrollments_user, enrollments_tournament;
  std::optional<int32> balance_scale;  // digits after the point; no value: no limit
  pg::Value balance_limit;             // numeric, greater than every balance; NULL: none
  const char *type_enroll, *type_unenroll, *type_waive;  // the ledger's words

  List* active;             // the active expression, as a list of conditions
  ExprState* active_state;  // the same, ready to run on a row
  ExprContext* active_context;
  Source* sources;  // the tournaments table, then the watched ones
  int source_count;
  const StrictLedger* strict;  // null where the ledger is not
  std::array<Guard, strict_guard_count> guards;
  std::size_t guards_used;
  const char* active_index_name;
  const char* balance_check_name;
  bool users_deferrable, tournaments_deferrable;  // foreign keys that a writer may defer

  bool users_triggered;  // a BEFORE UPDATE trigger may change what is debited
  const char* path;      // search_path while the engine runs
  const char* time_zone;
  std::array<const char*, rules::statement_count> texts;
  std::array<SPIPlanPtr, rules::statement_count> plans;
  FollowUps on_enroll, on_unenroll;

  Counters* counters;  // as this session has found them
  uint32 counters_generation;
};

// What a caller will do with the tables: decides the locks taken on them.
enum class Access : std::uint8_t { read, write };

// A policy that the session has entered: its search path is set until leave().
struct Entered {
  Attachment* policy;
  int level;
};

// How long a call of the policy may take, in milliseconds; no value: as long as it likes. Waits for
// no table. Raises 42704 where there is no policy of that name.
std::optional<int32> wait_of(const Home& home, const char* name);

// The policy of that name, its tables locked and its knowledge as new as the locks. Raises 42704
// where there is none. Takes the session into the policy's search path until leave().
Entered enter(const Home& home, const char* name, Access access);

// The policy whose enrollments table this is, or is a partition of. Raises 55000 where there is
// none. Enters it as above; the statement that fired the trigger holds the locks already.
Entered enter_by_enrollments(const Home& home, Oid relation);

void leave(const Entered& entered);

// The names of the policies that have this table, or the one it is a partition of, among their
// sources, as a list of C strings. Raises 55000 where there is none.
List* policies_of_source(const Home& home, Oid relation);

// The policies with a strict ledger that have this table, or the one it is a partition of, as their
// users or their ledger: a list of Attachment, not entered. Raises 55000 where there is none.
List* strict_policies_of(const Home& home, Oid relation);

// The source that this table is, or is a partition of; null where it is none any more.
const Source* source_of(const Attachment* policy, Oid relation);

// The root of a partition's tree, or the table itself.
Oid root_of(Oid relation);

// The table and its partitions, itself first, each locked in that mode.
List* with_partitions(Oid table, LOCKMODE mode);

// The scale that amounts of a type may have, which is no domain; no value where it sets none.
std::optional<int32> scale_of(Oid type, int32 modifier);

// The search path that a policy's expressions are read by: the enrollments' own schema, then these,
// given by their OIDs.
const char* path_over(Oid enrollments, List* schemas);

// A table's name, qualified and quoted. Raises 42P01 where it is gone.
const char* qualified_name(Oid relation);

// All rows of enroll_policy that a caller may want to know, without the tables being there.
struct StoredPolicy {
  const char* name;
  const char* document;
  Oid users, tournaments, enrollments, ledger;
  List* watched;      // of OIDs, in the document's order
  List* search_path;  // of C strings: what follows the tables' own schema
  const char* time_zone;
  const char* built_index;  // names of what attaching built; null: adopted
  const char* built_check;
  TimestampTz attached_at;
};
std::optional<StoredPolicy> stored_policy(const Home& home, const char* name);
StoredPolicy require_stored(const Home& home, const char* name);  // raises 42704

// All of them, as a list of StoredPolicy.
List* stored_policies(const Home& home);

// Runs a statement of the policy with the rights that it is meant to have.
pg::Rows run(Attachment* policy, rules::Statement statement, pg::Values parameters);
pg::Rows run_fresh(Attachment* policy, rules::Statement statement, pg::Values parameters);

// Writes a table of the extension's: as its owner, who alone may, and under a snapshot taken now,
// since the transaction may be older than the row.
pg::Rows write_own(const Home& home, const char* sql, int count, Oid* types, pg::Values values);
pg::Rows read(Attachment* policy, rules::Statement statement, pg::Values parameters,
              Snapshot snapshot);

// Runs the policy's own statements for one enrollment.
void follow_up(Attachment* policy, FollowUps& statements, Datum user, Datum tournament,
               Datum enrollment);

// Prepares every statement that the policy may need, so that what does not fit its tables is told
// now and not by the first call.
void prepare_all(Attachment* policy);

// Raises 42501 where the policy lists its callers and the current user is none of them.
void require_caller(const Attachment* policy);

// Whether a row of the enrollments table is active.
bool is_active(Attachment* policy, TupleTableSlot* row);

// Raises 42501 where the current user may not do what the tables' owner may.
void require_owner(const Attachment* policy);

// Raises GUARD_MISSING where a guard is missing, disabled or invalid.
void require_guards(const Attachment* policy);

// Raises GUARD_MISSING: the tournament has no counter, as after a load with triggers off.
[[noreturn]] void raise_seat_missing(const Attachment* policy);
[[noreturn]] void raise_guard_missing(const Attachment* policy, const char* guard, Oid relation,
                                      const char* hint);

// To be called once, when the module is loaded.
void watch_invalidations();

}  // namespace pg_enroll::engine
