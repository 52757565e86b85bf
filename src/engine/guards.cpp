#include "engine/guards.hpp"

#include "engine/seats.hpp"
#include "pg/errors.hpp"
#include "rules/ready_made.hpp"

namespace pg_enroll::engine {
namespace {

constexpr const char* active_index = "uq_active_enrollment";
constexpr const char* balance_check = "chk_credit_balance_non_negative";

struct TriggerKind {
  const char* suffix;
  const char* event;
  const char* referencing;
  int16 type;
  bool wants_old, wants_new;
};

constexpr TriggerKind trigger_kinds[] = {
    {"insert", "INSERT", "REFERENCING NEW TABLE AS new_rows", TRIGGER_TYPE_INSERT, false, true},
    {"update", "UPDATE", "REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows",
     TRIGGER_TYPE_UPDATE, true, true},
    {"delete", "DELETE", "REFERENCING OLD TABLE AS old_rows", TRIGGER_TYPE_DELETE, true, false},
    {"truncate", "TRUNCATE", "", TRIGGER_TYPE_TRUNCATE, false, false},
};

constexpr const char* door_names[] = {"enroll_door_insert", "enroll_door_update",
                                      "enroll_door_delete", "enroll_door_truncate"};
constexpr const char* gate_names[] = {"enroll_gate_insert", "enroll_gate_update",
                                      "enroll_gate_delete", "enroll_gate_truncate"};

Oid trigger_function(const Home& home, const char* name) {
  const oidvector* none = buildoidvector(nullptr, 0);
  return GetSysCacheOid3(PROCNAMEARGSNSP, Anum_pg_proc_oid, CStringGetDatum(name),
                         PointerGetDatum(none), ObjectIdGetDatum(home.schema));
}

// A trigger guards where its definition is ours, be its name whatever it likes: no condition, no
// column list, and switched on for ordinary sessions.
GuardState trigger_state(const Relation relation, Oid function, const TriggerKind& kind) {
  const TriggerDesc* triggers = relation->trigdesc;
  GuardState best = GuardState::missing;
  for (int i = 0; triggers != nullptr && i < triggers->numtriggers; ++i) {
    const Trigger& trigger = triggers->triggers[i];
    if (trigger.tgfoid != function || trigger.tgtype != kind.type) continue;
    const bool whole = trigger.tgqual == nullptr && trigger.tgnattr == 0 &&
                       (trigger.tgoldtable != nullptr) == kind.wants_old &&
                       (trigger.tgnewtable != nullptr) == kind.wants_new;
    const bool on =
        trigger.tgenabled == TRIGGER_FIRES_ON_ORIGIN || trigger.tgenabled == TRIGGER_FIRES_ALWAYS;
    if (whole && on) return GuardState::ok;
    best = whole ? GuardState::disabled : GuardState::invalid;
  }
  return best;
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

// Creation ------------------------------------------------------------------------------------

const char* with_schema(const char* pattern, const char* schema) {
  StringInfoData sql;
  initStringInfo(&sql);
  for (const char* at = pattern; *at != '\0'; ++at) {
    if (at[0] == '%' && at[1] == 'S') {
      appendStringInfoString(&sql, schema);
      ++at;
    } else {
      appendStringInfoChar(&sql, *at);
    }
  }
  return sql.data;
}

const char* qualified(Oid relation) {
  return quote_qualified_identifier(get_namespace_name(get_rel_namespace(relation)),
                                    get_rel_name(relation));
}

void create_triggers(const Home& home, Oid table, const char* function,
                     const char* const (&names)[4]) {
  for (std::size_t i = 0; i < 4; ++i) {
    const TriggerKind& kind = trigger_kinds[i];
    pg::execute(
        psprintf("CREATE TRIGGER %s AFTER %s ON %s %s FOR EACH STATEMENT "
                 "EXECUTE FUNCTION %s.%s()",
                 names[i], kind.event, qualified(table), kind.referencing,
                 quote_identifier(get_namespace_name(home.schema)), function));
  }
}

// A schema in which others may create could slip a function of theirs under an expression.
void refuse_open_schema(Oid schema, Oid owner) {
  pg::Value parameters[] = {pg::value(ObjectIdGetDatum(schema)),
                            pg::value(ObjectIdGetDatum(owner))};
  Oid types[] = {OIDOID, OIDOID};
  Datum datums[] = {parameters[0].datum, parameters[1].datum};
  SPI_execute_with_args(
      "SELECT FROM pg_catalog.pg_namespace AS n CROSS JOIN LATERAL pg_catalog.aclexplode("
      "COALESCE(n.nspacl, pg_catalog.acldefault('n', n.nspowner))) AS a "
      "WHERE n.oid OPERATOR(pg_catalog.=) $1 AND a.privilege_type OPERATOR(pg_catalog.=) "
      "'CREATE' AND a.grantee OPERATOR(pg_catalog.<>) n.nspowner AND a.grantee "
      "OPERATOR(pg_catalog.<>) $2 AND NOT EXISTS (SELECT FROM pg_catalog.pg_roles AS r WHERE "
      "r.oid OPERATOR(pg_catalog.=) a.grantee AND r.rolsuper)",
      2, types, datums, nullptr, true, 0);
  if (SPI_processed == 0) return;
  const char* name = get_namespace_name(schema);
  ereport(ERROR,
          (errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
           errmsg("schema \"%s\" lets other roles create objects", name),
           errdetail("An object of theirs could take the place of one that the policy means."),
           errhint("Use another schema, or REVOKE CREATE ON SCHEMA %s from them.",
                   quote_identifier(name))));
}

// The schemas that the caller sees now and that are safe to see, the tables' own first.
const char* const* path_of_caller(Oid schema, int* count) {
  List* path = list_make1_oid(schema);
  ListCell* cell;
  foreach (cell, fetch_search_path(false)) {
    if (!isAnyTempNamespace(lfirst_oid(cell)))
      path = list_append_unique_oid(path, lfirst_oid(cell));
  }
  auto** names = static_cast<const char**>(
      palloc(sizeof(char*) * static_cast<std::size_t>(list_length(path))));
  *count = 0;
  foreach (cell, path) {
    refuse_open_schema(lfirst_oid(cell), GetUserId());
    names[(*count)++] = get_namespace_name(lfirst_oid(cell));
  }
  return names;
}

void store_policy(const Home& home, const char* policy, const Oid (&tables)[4], Datum path) {
  Oid types[] = {TEXTOID, TEXTOID, OIDOID, OIDOID, OIDOID, OIDOID, TEXTARRAYOID};
  Datum values[] = {CStringGetTextDatum(policy),
                    CStringGetTextDatum(rules::ready_made_policy),
                    ObjectIdGetDatum(tables[0]),
                    ObjectIdGetDatum(tables[1]),
                    ObjectIdGetDatum(tables[2]),
                    ObjectIdGetDatum(tables[3]),
                    path};
  const char* sql = psprintf(
      "INSERT INTO %s (name, document, users, tournaments, enrollments, ledger, search_path, "
      "owns_index, owns_check) VALUES ($1, $2::pg_catalog.jsonb, $3, $4, $5, $6, $7, TRUE, TRUE)",
      qualified(home.policies));
  const pg::Identity before = pg::become(home.owner);
  const int result = SPI_execute_with_args(sql, 7, types, values, nullptr, false, 0);
  pg::restore(before);
  if (result < 0) elog(ERROR, "SPI_execute_with_args: %s", SPI_result_code_string(result));
}

// Every session forgets what it knew of the tables, plans included.
void invalidate(const Oid (&tables)[4]) {
  for (const Oid table : tables) {
    if (get_rel_name(table) != nullptr) CacheInvalidateRelcacheByRelid(table);
  }
}

void drop_triggers(const Home& home, Oid table) {
  const Oid functions[] = {trigger_function(home, "enroll_door"),
                           trigger_function(home, "enroll_gate")};
  const char* name = qualified(table);
  List* drops = NIL;
  const Relation relation = table_open(table, AccessExclusiveLock);
  const TriggerDesc* triggers = relation->trigdesc;
  for (int i = 0; triggers != nullptr && i < triggers->numtriggers; ++i) {
    const Trigger& trigger = triggers->triggers[i];
    if (trigger.tgfoid != functions[0] && trigger.tgfoid != functions[1]) continue;
    drops =
        lappend(drops, psprintf("DROP TRIGGER %s ON %s", quote_identifier(trigger.tgname), name));
  }
  table_close(relation, NoLock);
  ListCell* cell;
  foreach (cell, drops) pg::execute(static_cast<const char*>(lfirst(cell)));
}

void require_ownership(const Oid (&tables)[4]) {
  for (const Oid table : tables) {
    if (get_rel_name(table) == nullptr || pg::owns_relation(table, GetUserId())) continue;
    ereport(ERROR, (errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
                    errmsg("must be owner of table %s", get_rel_name(table))));
  }
}

// Takes away the index and the check where attaching brought them.
void drop_owned_constraints(const Home& home, const StoredPolicy& stored) {
  Attachment* policy = enter(home, stored.name, Access::read);
  if (stored.owns_index && OidIsValid(policy->active_index)) {
    pg::execute(psprintf("DROP INDEX %s", qualified(policy->active_index)));
  }
  if (stored.owns_check && policy->balance_check_name != nullptr) {
    pg::execute(psprintf("ALTER TABLE %s DROP CONSTRAINT %s", qualified(policy->users),
                         quote_identifier(policy->balance_check_name)));
  }
  leave(policy);
}

void forget_policy(const Home& home, const char* policy) {
  Oid types[] = {TEXTOID};
  Datum values[] = {CStringGetTextDatum(policy)};
  const pg::Identity before = pg::become(home.owner);
  for (const char* sql :
       {psprintf("DELETE FROM %s WHERE policy OPERATOR(pg_catalog.=) $1", qualified(home.seats)),
        psprintf("DELETE FROM %s WHERE name OPERATOR(pg_catalog.=) $1",
                 qualified(home.policies))}) {
    SPI_execute_with_args(sql, 1, types, values, nullptr, false, 0);
  }
  pg::restore(before);
}

}  // namespace

List* conditions_of(Node* expression, bool is_check) {
  Node* node = eval_const_expressions(nullptr, static_cast<Node*>(copyObjectImpl(expression)));
  node = reinterpret_cast<Node*>(canonicalize_qual(reinterpret_cast<Expr*>(node), is_check));
  return make_ands_implicit(reinterpret_cast<Expr*>(node));
}

void inspect_guards(Attachment* policy, const PolicyTexts& texts) {
  const AttrNumber pair[] = {policy->enrollments_user, policy->enrollments_tournament};
  const FoundIndex index = find_unique_index(policy->enrollments, pair, 2, policy->active);
  policy->active_index = index.oid;
  policy->active_index_name = OidIsValid(index.oid) ? get_rel_name(index.oid) : active_index;
  policy->guards[0] = {policy->active_index_name, policy->enrollments, index.state};

  const FoundCheck check = find_balance_check(policy, texts[PolicyText::balance_probe]);
  policy->balance_check_name = check.name != nullptr ? check.name : balance_check;
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
  Attachment* policy = enter(home, name, Access::read);
  for (const Guard& guard : policy->guards) visit(state, guard);
  leave(policy);
}

void create_tables(const Home& home, Oid schema, const char* policy) {
  if (isAnyTempNamespace(schema)) {
    ereport(ERROR,
            (errcode(ERRCODE_FEATURE_NOT_SUPPORTED), errmsg("temporary tables cannot be guarded"),
             errhint("Name a schema: SELECT enroll_create_tables('name').")));
  }
  if (policy[0] == '\0') {
    ereport(ERROR,
            (errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("policy name must not be empty")));
  }
  pg::check_can_create_in(schema, GetUserId());
  if (stored_policy(home, policy)) {
    ereport(ERROR,
            (errcode(ERRCODE_DUPLICATE_OBJECT), errmsg("policy \"%s\" already exists", policy),
             errhint("Give the new tables another policy name, or call enroll_detach "
                     "first.")));
  }
  int count = 0;
  const char* const* path = path_of_caller(schema, &count);
  const char* quoted_schema = quote_identifier(get_namespace_name(schema));
  pg::SearchPath only_catalog = pg::make_search_path(NIL);
  pg::push_search_path(only_catalog);
  for (const char* pattern : rules::ready_made_tables) {
    pg::execute(with_schema(pattern, quoted_schema));
  }
  Oid tables[4];
  for (std::size_t i = 0; i < 4; ++i) {
    tables[i] = get_relname_relid(rules::ready_made_names[i], schema);
  }
  pg::execute(
      with_schema("CREATE UNIQUE INDEX uq_active_enrollment ON %S.enrollments "
                  "(user_id, tournament_id) WHERE is_active",
                  quoted_schema));
  pg::execute(
      with_schema("ALTER TABLE %S.users ADD CONSTRAINT chk_credit_balance_non_negative "
                  "CHECK (credit_balance >= 0)",
                  quoted_schema));
  create_triggers(home, tables[1], "enroll_gate", gate_names);
  create_triggers(home, tables[2], "enroll_door", door_names);
  store_policy(home, policy, tables, pg::text_array(path, static_cast<std::size_t>(count)));
  pg::pop_search_path(only_catalog);
  invalidate(tables);
}

void detach(const Home& home, const char* policy) {
  const StoredPolicy stored = require_stored(home, policy);
  const Oid tables[4] = {stored.users, stored.tournaments, stored.enrollments, stored.ledger};
  require_ownership(tables);
  bool complete = true;
  for (const Oid table : tables) complete = complete && get_rel_name(table) != nullptr;
  if (complete) drop_owned_constraints(home, stored);
  for (const Oid table : tables) {
    if (get_rel_name(table) != nullptr) drop_triggers(home, table);
  }
  forget_policy(home, policy);
  invalidate(tables);
  ereport(WARNING,
          (errmsg("policy \"%s\" is detached: nothing guards its tables any more", policy),
           errdetail("Capacity, one active enrollment per user and tournament, and balances of "
                     "at least 0 are no longer enforced by this policy.")));
}

}  // namespace pg_enroll::engine
