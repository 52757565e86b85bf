// The guards inside the database, found and judged by their definition.
#pragma once

#include "engine/attachment.hpp"
#include "engine/bridge.hpp"

namespace pg_enroll::engine {

// What the guards are called where attaching makes them.
inline constexpr const char* active_index_name = "uq_active_enrollment";
inline constexpr const char* balance_check_name = "chk_credit_balance_non_negative";
inline constexpr const char* door_names[] = {"enroll_door_insert", "enroll_door_update",
                                             "enroll_door_delete", "enroll_door_truncate"};
inline constexpr const char* gate_names[] = {"enroll_gate_insert", "enroll_gate_update",
                                             "enroll_gate_delete", "enroll_gate_truncate"};
inline constexpr const char* balance_names[] = {"enroll_balance_insert", "enroll_balance_update",
                                                "enroll_balance_delete", "enroll_balance_truncate"};
inline constexpr const char* ledger_names[] = {"enroll_ledger_insert", "enroll_ledger_update",
                                               "enroll_ledger_delete", "enroll_ledger_truncate"};

// One statement trigger for each event, in the order of the names above.
struct TriggerKind {
  const char* event;
  const char* referencing;
  int16 type;
  bool wants_old, wants_new;
};
inline constexpr TriggerKind trigger_kinds[] = {
    {"INSERT", "REFERENCING NEW TABLE AS new_rows", TRIGGER_TYPE_INSERT, false, true},
    {"UPDATE", "REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows", TRIGGER_TYPE_UPDATE, true,
     true},
    {"DELETE", "REFERENCING OLD TABLE AS old_rows", TRIGGER_TYPE_DELETE, true, false},
    {"TRUNCATE", "", TRIGGER_TYPE_TRUNCATE, false, false},
};

Oid trigger_function(const Home& home, const char* name);

// The trigger of the relation that runs the function for that event.
struct FoundTrigger {
  const char* name = nullptr;
  GuardState state = GuardState::missing;
};
FoundTrigger find_trigger(Relation relation, Oid function, const TriggerKind& kind);

// The unique index on just these columns whose predicate says the same as the conditions. A sound
// one is preferred, and among the sound the one of that name.
struct FoundIndex {
  Oid oid = InvalidOid;
  GuardState state = GuardState::missing;
};
FoundIndex find_unique_index(Oid table, const AttrNumber* columns, int count, List* conditions,
                             const char* preferred);

// A check of the table's that implies what is wanted, whatever its name and wording. A sound one is
// preferred, and among the sound the one of that name.
struct FoundCheck {
  const char* name = nullptr;
  GuardState state = GuardState::missing;
};
FoundCheck find_check(Oid table, List* wanted, const char* preferred);

// An expression of the catalogs' parser in the form that the planner compares: a list of
// conditions, constants folded. NULL counts as true where it is a check.
List* conditions_of(Node* expression, bool is_check);

// Fills in the state of every guard, by what the catalogs say now.
void inspect_guards(Attachment* policy, const PolicyTexts& texts);

const char* state_name(GuardState state);

// Shows every guard of a policy that the session has entered.
void visit_guards(const Attachment* policy, void (*visit)(void* state, const Guard&), void* state);

// The same for one that may not fit its tables any more. Where tables of it are gone, those are
// what is missing.
void visit_guards(const Home& home, const char* policy, void (*visit)(void* state, const Guard&),
                  void* state);

// A trigger that runs one of our functions.
struct TriggerOn {
  Oid table;
  const char* name;
};

// Those that run this function on a table and its partitions, as a list of TriggerOn. None where
// the table is gone.
List* triggers_on(const Home& home, Oid table, const char* function);

// Whether another policy than this needs the gates of the table.
bool serves_another(const Home& home, const char* policy, Oid table);

// Whether another policy than this has the table as its users, or as its ledger, and holds it to a
// strict ledger.
bool is_strict_for_another(const Home& home, const char* policy, Oid table);

// Another policy that relies on a check which attaching this one built; null where none does.
const char* heir_of_check(const Home& home, const char* policy, Oid users, const char* balance);

// The roles other than the owner that may create in the schema, as GRANT names them. Superusers and
// the database's owner are trusted.
List* creators_in(Oid schema, Oid owner);

// Raises 42501 where others than the owner may create in the schema: an object of theirs could
// slip under an expression of the policy.
void refuse_open_schema(Oid schema, Oid owner);

}  // namespace pg_enroll::engine
