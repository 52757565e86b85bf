#include "engine/guards.hpp"

namespace pg_enroll::engine {
namespace {

// The worst of a guard over several tables, each of which needs it.
void worsen(Guard& guard, const Guard& other) {
  if (guard.state == GuardState::ok) guard = other;
}

void inspect_triggers(const Home& home, Oid table, const char* function_name,
                      const char* const (&names)[4], Guard* guards) {
  const Oid function = trigger_function(home, function_name);
  const Relation relation = table_open(table, AccessShareLock);
  for (std::size_t i = 0; i < 4; ++i) {
    guards[i] = {names[i], table, find_trigger(relation, function, trigger_kinds[i]).state};
  }
  table_close(relation, AccessShareLock);
}

void inspect_gates(const Attachment* policy, Guard* guards) {
  inspect_triggers(policy->home, policy->tournaments, "enroll_gate", gate_names, guards);
  ListCell* cell;
  foreach (cell, policy->watched_tables) {
    Guard watched[4];
    inspect_triggers(policy->home, lfirst_oid(cell), "enroll_gate", gate_names, watched);
    for (int i = 0; i < 4; ++i) worsen(guards[i], watched[i]);
  }
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

// A trigger guards where its definition is ours, be its name whatever it likes: no condition, no
// column list, and switched on for ordinary sessions. A second one would count every row twice.
FoundTrigger find_trigger(const Relation relation, Oid function, const TriggerKind& kind) {
  const TriggerDesc* triggers = relation->trigdesc;
  FoundTrigger found;
  for (int i = 0; triggers != nullptr && i < triggers->numtriggers; ++i) {
    const Trigger& trigger = triggers->triggers[i];
    if (trigger.tgfoid != function || (trigger.tgtype & kind.type) == 0) continue;
    const bool another = found.state != GuardState::missing;
    found.name = pstrdup(trigger.tgname);
    const bool whole = trigger.tgtype == kind.type && trigger.tgqual == nullptr &&
                       trigger.tgnattr == 0 && (trigger.tgoldtable != nullptr) == kind.wants_old &&
                       (trigger.tgnewtable != nullptr) == kind.wants_new;
    const bool on =
        trigger.tgenabled == TRIGGER_FIRES_ON_ORIGIN || trigger.tgenabled == TRIGGER_FIRES_ALWAYS;
    found.state = on ? GuardState::ok : GuardState::disabled;
    if (another || !whole) found.state = GuardState::invalid;
    if (found.state == GuardState::invalid) break;
  }
  return found;
}

FoundIndex find_unique_index(Oid table, const AttrNumber* columns, int count, List* conditions,
                             const char* preferred) {
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
    const bool named =
        preferred != nullptr && strcmp(RelationGetRelationName(index), preferred) == 0;
    if (fits && (found.state != GuardState::ok || (sound && named))) {
      found = {RelationGetRelid(index), sound ? GuardState::ok : GuardState::invalid};
    }
    index_close(index, AccessShareLock);
  }
  table_close(relation, AccessShareLock);
  return found;
}

FoundCheck find_check(Oid table, List* wanted, const char* preferred) {
  FoundCheck found;
  const Relation relation = table_open(table, AccessShareLock);
  const TupleConstr* constraints = RelationGetDescr(relation)->constr;
  for (int i = 0; constraints != nullptr && i < constraints->num_check; ++i) {
    const ConstrCheck& check = constraints->check[i];
    List* stated = conditions_of(static_cast<Node*>(stringToNode(check.ccbin)), true);
    if (!predicate_implied_by(wanted, stated, true)) continue;
    const bool sound = check.ccvalid && pg::check_is_enforced(check);
    const bool named = preferred != nullptr && strcmp(check.ccname, preferred) == 0;
    if (found.state != GuardState::ok || (sound && named)) {
      found = {pstrdup(check.ccname), sound ? GuardState::ok : GuardState::invalid};
    }
  }
  table_close(relation, AccessShareLock);
  return found;
}

List* conditions_of(Node* expression, bool is_check) {
  Node* node = eval_const_expressions(nullptr, static_cast<Node*>(copyObjectImpl(expression)));
  node = reinterpret_cast<Node*>(canonicalize_qual(reinterpret_cast<Expr*>(node), is_check));
  return make_ands_implicit(reinterpret_cast<Expr*>(node));
}

void inspect_guards(Attachment* policy, const PolicyTexts& texts) {
  const AttrNumber pair[] = {policy->enrollments_user, policy->enrollments_tournament};
  const FoundIndex index = find_unique_index(policy->enrollments, pair, 2, policy->active, nullptr);
  policy->active_index_name = OidIsValid(index.oid) ? get_rel_name(index.oid) : active_index_name;
  policy->guards[0] = {policy->active_index_name, policy->enrollments, index.state};

  const Query* balance =
      pg::query_of(pg::prepare(texts[PolicyText::balance_probe], 0, nullptr, policy->owner));
  List* wanted = conditions_of(balance->jointree->quals, true);
  const FoundCheck check = find_check(policy->users, wanted, nullptr);
  policy->balance_check_name = check.name != nullptr ? check.name : balance_check_name;
  policy->guards[1] = {policy->balance_check_name, policy->users, check.state};

  const char* key_name = texts[PolicyText::ledger_idempotency_key];
  const AttrNumber key[] = {get_attnum(policy->ledger, key_name)};
  const FoundIndex unique = find_unique_index(policy->ledger, key, 1, NIL, nullptr);
  const char* unique_name = OidIsValid(unique.oid) ? get_rel_name(unique.oid) : key_name;
  policy->guards[2] = {unique_name, policy->ledger, unique.state};

  inspect_triggers(policy->home, policy->enrollments, "enroll_door", door_names,
                   &policy->guards[3]);
  inspect_gates(policy, &policy->guards[7]);
  policy->guards_used = guard_count;
  if (policy->strict != nullptr) {
    inspect_triggers(policy->home, policy->users, "enroll_balance", balance_names,
                     &policy->guards[11]);
    inspect_triggers(policy->home, policy->ledger, "enroll_ledger", ledger_names,
                     &policy->guards[15]);
    policy->guards_used = strict_guard_count;
  }
  policy->users_deferrable = has_deferrable_key(policy->enrollments, policy->users);
  policy->tournaments_deferrable = has_deferrable_key(policy->enrollments, policy->tournaments);
  policy->users_triggered = has_before_update(policy->users);
}

List* triggers_on(const Home& home, Oid table, const char* function) {
  if (get_rel_name(table) == nullptr) return NIL;
  const Oid wanted = trigger_function(home, function);
  List* found = NIL;
  ListCell* cell;
  foreach (cell, find_all_inheritors(table, AccessShareLock, nullptr)) {
    const Relation relation = table_open(lfirst_oid(cell), AccessShareLock);
    const TriggerDesc* triggers = relation->trigdesc;
    for (int i = 0; triggers != nullptr && i < triggers->numtriggers; ++i) {
      if (triggers->triggers[i].tgfoid != wanted) continue;
      auto* trigger = static_cast<TriggerOn*>(palloc(sizeof(TriggerOn)));
      *trigger = {RelationGetRelid(relation), pstrdup(triggers->triggers[i].tgname)};
      found = lappend(found, trigger);
    }
    table_close(relation, AccessShareLock);
  }
  return found;
}

bool serves_another(const Home& home, const char* policy, Oid table) {
  ListCell* cell;
  foreach (cell, stored_policies(home)) {
    const auto* other = static_cast<const StoredPolicy*>(lfirst(cell));
    if (strcmp(other->name, policy) == 0) continue;
    if (other->tournaments == table || list_member_oid(other->watched, table)) return true;
  }
  return false;
}

bool is_strict_for_another(const Home& home, const char* policy, Oid table) {
  ListCell* cell;
  foreach (cell, stored_policies(home)) {
    const auto* other = static_cast<const StoredPolicy*>(lfirst(cell));
    if (strcmp(other->name, policy) == 0 || (other->users != table && other->ledger != table)) {
      continue;
    }
    if (policy_lists(other->document).strict) return true;
  }
  return false;
}

const char* heir_of_check(const Home& home, const char* policy, Oid users, const char* balance) {
  ListCell* cell;
  foreach (cell, stored_policies(home)) {
    const auto* other = static_cast<const StoredPolicy*>(lfirst(cell));
    if (strcmp(other->name, policy) == 0 || other->users != users ||
        other->built_check != nullptr) {
      continue;
    }
    const PolicyTexts texts = policy_texts(other->document, {"users", "enrollments"});
    if (strcmp(texts[PolicyText::users_balance], balance) == 0) return other->name;
  }
  return nullptr;
}

List* creators_in(Oid schema, Oid owner) {
  Oid types[] = {OIDOID, OIDOID};
  SPIPlanPtr plan = pg::prepare(
      "SELECT DISTINCT COALESCE(pg_catalog.quote_ident(r.rolname), 'PUBLIC') FROM "
      "pg_catalog.pg_namespace AS n CROSS JOIN LATERAL (SELECT n.nspowner UNION ALL "
      "SELECT a.grantee FROM pg_catalog.aclexplode(n.nspacl) AS a WHERE a.privilege_type "
      "OPERATOR(pg_catalog.=) 'CREATE') AS c(creator) LEFT JOIN pg_catalog.pg_roles AS r ON "
      "r.oid OPERATOR(pg_catalog.=) c.creator WHERE n.oid OPERATOR(pg_catalog.=) $1 AND "
      "c.creator OPERATOR(pg_catalog.<>) $2 AND r.rolsuper IS NOT TRUE AND "
      "(r.rolname OPERATOR(pg_catalog.=) 'pg_database_owner') IS NOT TRUE ORDER BY 1",
      2, types, InvalidOid);
  // As it is now: a transaction's older snapshot does not know who was let in since.
  const Snapshot snapshot = pg::fresh_snapshot(GetCurrentCommandId(false));
  const pg::Rows rows = pg::read(
      plan, InvalidOid, {{pg::value(ObjectIdGetDatum(schema)), pg::value(ObjectIdGetDatum(owner))}},
      snapshot);
  UnregisterSnapshot(snapshot);
  List* names = NIL;
  for (uint64 row = 0; row < rows.count(); ++row) {
    names = lappend(names, TextDatumGetCString(rows.at(row, 1).datum));
  }
  return names;
}

void refuse_open_schema(Oid schema, Oid owner) {
  if (creators_in(schema, owner) == NIL) return;
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

// A statement on a partition fires the partition's own triggers. Only those that are not sound are
// shown: what goes through the whole table is guarded without them.
void visit_partitions(const Home& home, Oid table, const char* function,
                      const char* const (&names)[4], void (*visit)(void* state, const Guard&),
                      void* state) {
  ListCell* cell;
  foreach (cell, find_all_inheritors(table, AccessShareLock, nullptr)) {
    if (lfirst_oid(cell) == table) continue;
    Guard guards[4];
    inspect_triggers(home, lfirst_oid(cell), function, names, guards);
    for (const Guard& guard : guards) {
      if (guard.state != GuardState::ok) visit(state, guard);
    }
  }
}

struct Visit {
  const Home& home;
  const char* policy;
  void (*visit)(void* state, const Guard&);
  void* state;
};

bool visit_loaded(const Visit& visit) {
  const Entered entered = enter(visit.home, visit.policy, Access::read);
  visit_guards(entered.policy, visit.visit, visit.state);
  leave(entered);
  return true;
}

}  // namespace

const char* state_name(GuardState state) {
  switch (state) {
    case GuardState::ok:
      return "ok";
    case GuardState::missing:
      return "missing";
    case GuardState::disabled:
      return "disabled";
    case GuardState::invalid:
      return "invalid";
  }
  return "";
}

void visit_guards(const Attachment* policy, void (*visit)(void* state, const Guard&), void* state) {
  for (std::size_t i = 0; i < policy->guards_used; ++i) visit(state, policy->guards[i]);
  visit_partitions(policy->home, policy->enrollments, "enroll_door", door_names, visit, state);
  visit_partitions(policy->home, policy->tournaments, "enroll_gate", gate_names, visit, state);
  ListCell* cell;
  foreach (cell, policy->watched_tables) {
    visit_partitions(policy->home, lfirst_oid(cell), "enroll_gate", gate_names, visit, state);
  }
  if (policy->strict == nullptr) return;
  visit_partitions(policy->home, policy->users, "enroll_balance", balance_names, visit, state);
  visit_partitions(policy->home, policy->ledger, "enroll_ledger", ledger_names, visit, state);
}

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
