#include "engine/guards.hpp"

namespace pg_enroll::engine {
namespace {

// A trigger guards where its definition is ours, be its name whatever it likes: no condition, no
// column list, and switched on for ordinary sessions. A second one would count every row twice.
GuardState trigger_state(const Relation relation, Oid function, const TriggerKind& kind) {
  const TriggerDesc* triggers = relation->trigdesc;
  GuardState state = GuardState::missing;
  for (int i = 0; triggers != nullptr && i < triggers->numtriggers; ++i) {
    const Trigger& trigger = triggers->triggers[i];
    if (trigger.tgfoid != function || (trigger.tgtype & kind.type) == 0) continue;
    if (state != GuardState::missing) return GuardState::invalid;
    const bool whole = trigger.tgtype == kind.type && trigger.tgqual == nullptr &&
                       trigger.tgnattr == 0 && (trigger.tgoldtable != nullptr) == kind.wants_old &&
                       (trigger.tgnewtable != nullptr) == kind.wants_new;
    const bool on =
        trigger.tgenabled == TRIGGER_FIRES_ON_ORIGIN || trigger.tgenabled == TRIGGER_FIRES_ALWAYS;
    if (!whole) return GuardState::invalid;
    state = on ? GuardState::ok : GuardState::disabled;
  }
  return state;
}

void inspect_triggers(Attachment* policy, Oid table, const char* function_name,
                      const char* const (&names)[4], Guard* guards) {
  const Oid function = trigger_function(policy->home, function_name);
  const Relation relation = table_open(table, AccessShareLock);
  for (std::size_t i = 0; i < 4; ++i) {
    guards[i] = {names[i], table, trigger_state(relation, function, trigger_kinds[i])};
  }
  table_close(relation, AccessShareLock);
}

bool covers_exactly(const Form_pg_index index, const AttrNumber* columns, int count) {
  if (index->indnkeyatts != count) return false;
  for (int i = 0; i < count; ++i) {
    bool found = false;
    for (int k = 0; k < count; ++k) found = found || index->indkey.values[k] == columns[i];
    if (!found) return false;
  }
  return true;
}

struct FoundIndex {
  Oid oid = InvalidOid;
  GuardState state = GuardState::missing;
};

// The unique index on just these columns whose predicate says the same as the conditions.
FoundIndex find_unique_index(Oid table, const AttrNumber* columns, int count, List* conditions) {
  FoundIndex found;
  const Relation relation = table_open(table, AccessShareLock);
  ListCell* cell;
  foreach (cell, RelationGetIndexList(relation)) {
    const Relation index = index_open(lfirst_oid(cell), AccessShareLock);
    const Form_pg_index form = index->rd_index;
    List* predicate = RelationGetIndexPredicate(index);
    const bool fits = form->indisunique && covers_exactly(form, columns, count) &&
                      predicate_implied_by(conditions, predicate, false) &&
                      predicate_implied_by(predicate, conditions, false);
    const bool sound = form->indisvalid && form->indisready && form->indimmediate;
    if (fits && found.state != GuardState::ok) {
      found = {RelationGetRelid(index), sound ? GuardState::ok : GuardState::invalid};
    }
    index_close(index, AccessShareLock);
  }
  table_close(relation, AccessShareLock);
  return found;
}

struct FoundCheck {
  const char* name = nullptr;
  GuardState state = GuardState::missing;
};

// A check that implies the balance to be at least 0, whatever its name and wording.
FoundCheck find_balance_check(Attachment* policy, const char* probe) {
  const Query* query = pg::query_of(pg::prepare(probe, 0, nullptr, policy->owner));
  List* wanted = conditions_of(query->jointree->quals, true);

  FoundCheck found;
  const Relation relation = table_open(policy->users, AccessShareLock);
  const TupleConstr* constraints = RelationGetDescr(relation)->constr;
  for (int i = 0; constraints != nullptr && i < constraints->num_check; ++i) {
    const ConstrCheck& check = constraints->check[i];
    List* stated = conditions_of(static_cast<Node*>(stringToNode(check.ccbin)), true);
    if (!predicate_implied_by(wanted, stated, true)) continue;
    const bool sound = check.ccvalid && pg::check_is_enforced(check);
    if (found.state != GuardState::ok) {
      found = {pstrdup(check.ccname), sound ? GuardState::ok : GuardState::invalid};
    }
  }
  table_close(relation, AccessShareLock);
  return found;
}

// Whether a foreign key of the enrollments leads to the table that a transaction may defer.
bool has_deferrable_key(Oid enrollments, Oid to) {
  bool deferrable = false;
  const Relation relation = table_open(enrollments, AccessShareLock);
  ListCell* cell;
  foreach (cell, RelationGetFKeyList(relation)) {
    const auto* key = static_cast<ForeignKeyCacheInfo*>(lfirst(cell));
    if (key->confrelid != to) continue;
    const HeapTuple tuple = SearchSysCache1(CONSTROID, ObjectIdGetDatum(key->conoid));
    if (!HeapTupleIsValid(tuple)) continue;
    deferrable =
        deferrable || reinterpret_cast<Form_pg_constraint>(GETSTRUCT(tuple))->condeferrable;
    ReleaseSysCache(tuple);
  }
  table_close(relation, AccessShareLock);
  return deferrable;
}

bool has_before_update(Oid table) {
  const Relation relation = table_open(table, AccessShareLock);
  const bool has = relation->trigdesc != nullptr && relation->trigdesc->trig_update_before_row;
  table_close(relation, AccessShareLock);
  return has;
}

}  // namespace

Oid trigger_function(const Home& home, const char* name) {
  const oidvector* none = buildoidvector(nullptr, 0);
  return GetSysCacheOid3(PROCNAMEARGSNSP, Anum_pg_proc_oid, CStringGetDatum(name),
                         PointerGetDatum(none), ObjectIdGetDatum(home.schema));
}

List* conditions_of(Node* expression, bool is_check) {
  Node* node = eval_const_expressions(nullptr, static_cast<Node*>(copyObjectImpl(expression)));
  node = reinterpret_cast<Node*>(canonicalize_qual(reinterpret_cast<Expr*>(node), is_check));
  return make_ands_implicit(reinterpret_cast<Expr*>(node));
}

void inspect_guards(Attachment* policy, const PolicyTexts& texts) {
  const AttrNumber pair[] = {policy->enrollments_user, policy->enrollments_tournament};
  const FoundIndex index = find_unique_index(policy->enrollments, pair, 2, policy->active);
  policy->active_index_name = OidIsValid(index.oid) ? get_rel_name(index.oid) : active_index_name;
  policy->guards[0] = {policy->active_index_name, policy->enrollments, index.state};

  const FoundCheck check = find_balance_check(policy, texts[PolicyText::balance_probe]);
  policy->balance_check_name = check.name != nullptr ? check.name : balance_check_name;
  policy->guards[1] = {policy->balance_check_name, policy->users, check.state};

  const char* key_name = texts[PolicyText::ledger_idempotency_key];
  const AttrNumber key[] = {get_attnum(policy->ledger, key_name)};
  const FoundIndex unique = find_unique_index(policy->ledger, key, 1, NIL);
  const char* unique_name = OidIsValid(unique.oid) ? get_rel_name(unique.oid) : key_name;
  policy->guards[2] = {unique_name, policy->ledger, unique.state};

  inspect_triggers(policy, policy->enrollments, "enroll_door", door_names, &policy->guards[3]);
  inspect_triggers(policy, policy->tournaments, "enroll_gate", gate_names, &policy->guards[7]);
  policy->users_deferrable = has_deferrable_key(policy->enrollments, policy->users);
  policy->tournaments_deferrable = has_deferrable_key(policy->enrollments, policy->tournaments);
  policy->users_triggered = has_before_update(policy->users);
}

void refuse_open_schema(Oid schema, Oid owner) {
  Oid types[] = {OIDOID, OIDOID};
  Datum values[] = {ObjectIdGetDatum(schema), ObjectIdGetDatum(owner)};
  const pg::Rows open = pg::query(
      "SELECT FROM pg_catalog.pg_namespace AS n CROSS JOIN LATERAL (SELECT n.nspowner UNION ALL "
      "SELECT a.grantee FROM pg_catalog.aclexplode(n.nspacl) AS a WHERE a.privilege_type "
      "OPERATOR(pg_catalog.=) 'CREATE') AS c(creator) LEFT JOIN pg_catalog.pg_roles AS r ON "
      "r.oid OPERATOR(pg_catalog.=) c.creator WHERE n.oid OPERATOR(pg_catalog.=) $1 AND "
      "c.creator OPERATOR(pg_catalog.<>) $2 AND r.rolsuper IS NOT TRUE AND "
      "(r.rolname OPERATOR(pg_catalog.=) 'pg_database_owner') IS NOT TRUE",
      2, types, values);
  if (open.empty()) return;
  const char* name = get_namespace_name(schema);
  ereport(ERROR,
          (errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
           errmsg("schema \"%s\" lets other roles create objects", name),
           errdetail("An object of theirs could take the place of one that the policy means."),
           errhint("Give the schema to the tables' owner and REVOKE CREATE ON SCHEMA %s from "
                   "others, or use another schema.",
                   quote_identifier(name))));
}

namespace {

struct Visit {
  const Home& home;
  const char* policy;
  void (*visit)(void* state, const Guard&);
  void* state;
};

bool visit_loaded(const Visit& visit) {
  const Entered entered = enter(visit.home, visit.policy, Access::read);
  for (const Guard& guard : entered.policy->guards) visit.visit(visit.state, guard);
  leave(entered);
  return true;
}

}  // namespace

void visit_guards(const Home& home, const char* name, void (*visit)(void* state, const Guard&),
                  void* state) {
  const StoredPolicy stored = require_stored(home, name);
  const Guard tables[] = {{"users table", stored.users, GuardState::missing},
                          {"tournaments table", stored.tournaments, GuardState::missing},
                          {"enrollments table", stored.enrollments, GuardState::missing},
                          {"ledger table", stored.ledger, GuardState::missing}};
  bool complete = true;
  for (const Guard& table : tables) {
    if (get_rel_name(table.relation) != nullptr) continue;
    complete = false;
    visit(state, table);
  }
  if (!complete) return;
  Visit loaded{home, name, visit, state};
  const bool found = pg::finds_all_objects(
      [](void* argument) { return visit_loaded(*static_cast<Visit*>(argument)); }, &loaded);
  // A renamed column, say: the first call tells which.
  if (!found) visit(state, {"policy", stored.enrollments, GuardState::invalid});
}

}  // namespace pg_enroll::engine
