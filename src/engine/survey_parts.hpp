// What the parts of a survey share. Each part adds to the items; later ones rely on earlier ones.
#pragma once

#include "engine/guards.hpp"
#include "engine/survey.hpp"
#include "pg/analyze.hpp"

namespace pg_enroll::engine {

// A column that the policy names.
struct Column {
  AttrNumber number = InvalidAttrNumber;
  Oid type = InvalidOid;  // as declared, and with its modifier
  int32 modifier = -1;
  Oid base = InvalidOid;  // of a domain; likewise
  int32 base_modifier = -1;
  Oid collation = InvalidOid;
  bool not_null = false;

  bool found() const { return number != InvalidAttrNumber; }
};

struct Surveying {
  Surveying(const Home& its_home, const Proposal& what)
      : home(its_home), proposal(what), tables(what.tables) {}

  const Home& home;
  const Proposal& proposal;
  const Tables& tables;
  pg::Items<PolicyName> names;
  PolicyLists lists{};
  std::optional<StoredPolicy> stored;  // what is attached under the name now

  Oid owner = InvalidOid;    // of the tables
  bool caller_owns = false;  // may do what the owner may
  // With whose rights the document's expressions are looked at: nothing of the caller's may run
  // with the owner's, unless they are the caller's anyway.
  Oid role = InvalidOid;
  const char* path = nullptr;
  rules::ProbedTables probed;

  // Once the columns are known. False where rows and guards cannot be looked at.
  bool fits = true;
  Column users_key, balance, tournaments_key, enrollments_key, enrollments_user,
      enrollments_tournament, ledger_enrollment;
  std::optional<int32> balance_scale;
  List* active = NIL;     // conditions
  List* withdrawn = NIL;  // likewise

  Survey result;
};

Item& add(Surveying& s, Action action, const char* object);
Item& refuse(Surveying& s, const char* object, const char* obstacle, const char* remedy = nullptr);
Item& warn(Surveying& s, const char* object, const char* obstacle, const char* remedy = nullptr);

// Refuses what makes later parts of the survey meaningless.
void misfit(Surveying& s, const char* object, const char* obstacle, const char* remedy = nullptr);

// The first name of that role; null where the document leaves it out.
const PolicyName* name_of(const Surveying& s, rules::Role role);

// Takes a step with the rights and the search path that the document's expressions are looked at
// with. It writes nothing, and whatever it did is undone; what it ran into is answered.
template <typename Step>
const ErrorData* look(const Surveying& s, Step step) {
  auto looking = [&] {
    // Lasts until the subtransaction ends, as the role does.
    pg::push_settings(s.path);
    step();
  };
  return pg::failure_of_look(s.role, looking);
}

// The same with the rights of the tables' owner, for what is the owner's.
template <typename Step>
void look_as_owner(const Surveying& s, Step step) {
  const pg::Restriction before = pg::become_restricted(s.owner);
  step();
  pg::restore(before);
}

void look_at_columns(Surveying& s);
void look_at_expressions(Surveying& s);
void look_at_reenrolling(Surveying& s);
void look_at_rows(Surveying& s);
void look_at_access_paths(Surveying& s);
void look_at_strictness(Surveying& s);
void plan_guards(Surveying& s);
StrongLocks strong_locks(Surveying& s);

// Whether the triggers of a strict ledger go from a table that an earlier attach under this name
// put them on. `still` is the table that this one names in its place.
bool drops_strict_triggers(const Surveying& s, Oid table, Oid still);

// The index that attaching built under this name before, where it is still there.
Oid built_index(const Surveying& s);

// The nearest of the candidates to what was meant; null where none is near.
const char* nearest_name(const char* meant, List* candidates);

const char* table_of(const char* kind, Oid relation);

}  // namespace pg_enroll::engine
