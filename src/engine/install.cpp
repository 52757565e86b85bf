#include "engine/install.hpp"

#include "engine/bridge.hpp"
#include "engine/door.hpp"
#include "engine/guards.hpp"
#include "rules/ready_made.hpp"

namespace pg_enroll::engine {
namespace {

// The four tables in the order in which everybody locks them.
struct Tables {
  Oid users, tournaments, enrollments, ledger;
  std::array<Oid, 4> all() const { return {users, tournaments, enrollments, ledger}; }
};

bool exists(Oid table) { return get_rel_name(table) != nullptr; }

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

void require_new_name(const Home& home, const char* policy) {
  if (policy[0] == '\0') {
    ereport(ERROR,
            (errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("policy name must not be empty")));
  }
  if (stored_policy(home, policy)) {
    ereport(ERROR,
            (errcode(ERRCODE_DUPLICATE_OBJECT), errmsg("policy \"%s\" already exists", policy),
             errhint("Give the new tables another policy name, or call enroll_detach "
                     "first.")));
  }
}

void require_lasting_schema(Oid schema) {
  if (!isAnyTempNamespace(schema)) return;
  ereport(ERROR,
          (errcode(ERRCODE_FEATURE_NOT_SUPPORTED), errmsg("temporary tables cannot be guarded"),
           errhint("Name a schema: SELECT enroll_create_tables('name').")));
}

// The schemas that the caller sees, for the triggers and expressions of the tables.
Datum safe_schemas(List* path) {
  auto** names = static_cast<const char**>(
      palloc(sizeof(char*) * static_cast<std::size_t>(list_length(path) + 1)));
  std::size_t count = 0;
  ListCell* cell;
  foreach (cell, path) {
    if (isAnyTempNamespace(lfirst_oid(cell))) continue;
    refuse_open_schema(lfirst_oid(cell), GetUserId());
    names[count++] = get_namespace_name(lfirst_oid(cell));
  }
  return pg::text_array(names, count);
}

void create_triggers(const Home& home, Oid table, const char* function,
                     const char* const (&names)[4]) {
  for (std::size_t i = 0; i < 4; ++i) {
    const TriggerKind& kind = trigger_kinds[i];
    pg::execute(
        psprintf("CREATE TRIGGER %s AFTER %s ON %s %s FOR EACH STATEMENT "
                 "EXECUTE FUNCTION %s.%s()",
                 names[i], kind.event, qualified_name(table), kind.referencing,
                 quote_identifier(get_namespace_name(home.schema)), function));
  }
}

// The guards of the policy, by its own words.
void create_guards(const Home& home, const char* document, const Tables& tables) {
  const PolicyTexts texts =
      policy_texts(document, {qualified_name(tables.users), qualified_name(tables.enrollments)});
  pg::execute(psprintf(
      "CREATE UNIQUE INDEX %s ON %s (%s, %s) WHERE (%s)", active_index_name,
      qualified_name(tables.enrollments), quote_identifier(texts[PolicyText::enrollments_user]),
      quote_identifier(texts[PolicyText::enrollments_tournament]), texts[PolicyText::active]));
  pg::execute(psprintf("ALTER TABLE %s ADD CONSTRAINT %s CHECK (%s OPERATOR(pg_catalog.>=) 0)",
                       qualified_name(tables.users), balance_check_name,
                       quote_identifier(texts[PolicyText::users_balance])));
  create_triggers(home, tables.tournaments, "enroll_gate", gate_names);
  create_triggers(home, tables.enrollments, "enroll_door", door_names);
}

void store_policy(const Home& home, const char* policy, const char* document, const Tables& tables,
                  Datum path) {
  Oid types[] = {TEXTOID, TEXTOID, OIDOID, OIDOID, OIDOID, OIDOID, TEXTARRAYOID, TEXTOID, TEXTOID};
  Datum values[] = {CStringGetTextDatum(policy),
                    CStringGetTextDatum(document),
                    ObjectIdGetDatum(tables.users),
                    ObjectIdGetDatum(tables.tournaments),
                    ObjectIdGetDatum(tables.enrollments),
                    ObjectIdGetDatum(tables.ledger),
                    path,
                    CStringGetTextDatum(active_index_name),
                    CStringGetTextDatum(balance_check_name)};
  const char* sql = psprintf(
      "INSERT INTO %s (name, document, users, tournaments, enrollments, ledger, search_path, "
      "built_index, built_check) VALUES ($1, $2::pg_catalog.jsonb, $3, $4, $5, $6, $7, $8, $9)",
      qualified_name(home.policies));
  const pg::Identity before = pg::become(home.owner);
  pg::query(sql, 9, types, values);
  pg::restore(before);
}

// Every session forgets what it knew of the tables, plans included.
void invalidate(const Tables& tables) {
  for (const Oid table : tables.all()) {
    if (exists(table)) CacheInvalidateRelcacheByRelid(table);
  }
}

void require_ownership(const Tables& tables) {
  for (const Oid table : tables.all()) {
    if (!exists(table) || pg::owns_relation(table, GetUserId())) continue;
    ereport(ERROR, (errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
                    errmsg("must be owner of table %s", get_rel_name(table))));
  }
}

void require_no_call_under_way() {
  if (!call_is_under_way()) return;
  ereport(ERROR, (errcode(ERRCODE_OBJECT_IN_USE),
                  errmsg("a policy cannot be detached by a trigger of a call that uses it")));
}

void drop_triggers(const Home& home, Oid table) {
  const Oid functions[] = {trigger_function(home, "enroll_door"),
                           trigger_function(home, "enroll_gate")};
  List* drops = NIL;
  const Relation relation = table_open(table, NoLock);
  const TriggerDesc* triggers = relation->trigdesc;
  for (int i = 0; triggers != nullptr && i < triggers->numtriggers; ++i) {
    const Trigger& trigger = triggers->triggers[i];
    if (trigger.tgfoid != functions[0] && trigger.tgfoid != functions[1]) continue;
    drops = lappend(drops, psprintf("DROP TRIGGER %s ON %s", quote_identifier(trigger.tgname),
                                    qualified_name(table)));
  }
  table_close(relation, NoLock);
  ListCell* cell;
  foreach (cell, drops) pg::execute(static_cast<const char*>(lfirst(cell)));
}

// What attaching built, where it still is; an index or check of the users' own stays.
void drop_built(const StoredPolicy& stored, const Tables& tables) {
  if (stored.built_index != nullptr && exists(tables.enrollments)) {
    const Oid index = get_relname_relid(stored.built_index, get_rel_namespace(tables.enrollments));
    if (OidIsValid(index) && IndexGetRelation(index, true) == tables.enrollments) {
      pg::execute(psprintf("DROP INDEX %s", qualified_name(index)));
    }
  }
  if (stored.built_check != nullptr && exists(tables.users) &&
      OidIsValid(get_relation_constraint_oid(tables.users, stored.built_check, true))) {
    pg::execute(psprintf("ALTER TABLE %s DROP CONSTRAINT %s", qualified_name(tables.users),
                         quote_identifier(stored.built_check)));
  }
}

void forget_policy(const Home& home, const char* policy) {
  Oid types[] = {TEXTOID};
  Datum values[] = {CStringGetTextDatum(policy)};
  const pg::Identity before = pg::become(home.owner);
  pg::query(
      psprintf("DELETE FROM %s WHERE policy OPERATOR(pg_catalog.=) $1", qualified_name(home.seats)),
      1, types, values);
  pg::query(psprintf("DELETE FROM %s WHERE name OPERATOR(pg_catalog.=) $1",
                     qualified_name(home.policies)),
            1, types, values);
  pg::restore(before);
}

}  // namespace

void create_tables(const Home& home, Oid schema, const char* policy) {
  require_new_name(home, policy);
  require_lasting_schema(schema);
  pg::check_can_create_in(schema, GetUserId());
  List* visible = fetch_search_path(false);
  const int level = pg::push_search_path(pg::bare_path);
  refuse_open_schema(schema, GetUserId());
  const Datum path = safe_schemas(visible);
  const char* quoted_schema = quote_identifier(get_namespace_name(schema));
  for (const char* pattern : rules::ready_made_tables) {
    pg::execute(with_schema(pattern, quoted_schema));
  }
  const Tables tables = {get_relname_relid(rules::ready_made_names[0], schema),
                         get_relname_relid(rules::ready_made_names[1], schema),
                         get_relname_relid(rules::ready_made_names[2], schema),
                         get_relname_relid(rules::ready_made_names[3], schema)};
  create_guards(home, rules::ready_made_policy, tables);
  store_policy(home, policy, rules::ready_made_policy, tables, path);
  pg::pop_search_path(level);
  invalidate(tables);
}

void detach(const Home& home, const char* policy) {
  const StoredPolicy stored = require_stored(home, policy);
  const Tables tables = {stored.users, stored.tournaments, stored.enrollments, stored.ledger};
  require_ownership(tables);
  require_no_call_under_way();
  const int level = pg::push_search_path(pg::bare_path);
  // All at once and in the order of every call: taken one by one they would deadlock with one.
  for (const Oid table : tables.all()) LockRelationOid(table, AccessExclusiveLock);
  drop_built(stored, tables);
  for (const Oid table : {tables.tournaments, tables.enrollments}) {
    if (exists(table)) drop_triggers(home, table);
  }
  forget_policy(home, policy);
  pg::pop_search_path(level);
  invalidate(tables);
  ereport(WARNING,
          (errmsg("policy \"%s\" is detached: nothing guards its tables any more", policy),
           errdetail("Capacity, one active enrollment per user and tournament, and balances of "
                     "at least 0 are no longer enforced by this policy.")));
}

}  // namespace pg_enroll::engine
