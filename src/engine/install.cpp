#include "engine/install.hpp"

#include "engine/bridge.hpp"
#include "engine/door.hpp"
#include "engine/guards.hpp"
#include "engine/own_checks.hpp"
#include "engine/seats.hpp"
#include "engine/stats.hpp"
#include "pg/errors.hpp"
#include "rules/ready_made.hpp"

namespace pg_enroll::engine {
namespace {

bool exists(Oid table) { return get_rel_name(table) != nullptr; }

bool owns_all(List* tables) {
  ListCell* cell;
  foreach (cell, tables) {
    const Oid table = lfirst_oid(cell);
    if (exists(table) && !pg::owns_relation(table, GetUserId())) return false;
  }
  return true;
}

Tables tables_of(const StoredPolicy& stored) {
  return {stored.users, stored.tournaments, stored.enrollments, stored.ledger, stored.watched};
}

// Every session forgets what it knew of the tables, plans included.
void invalidate(List* tables) {
  ListCell* cell;
  foreach (cell, tables) {
    if (exists(lfirst_oid(cell))) CacheInvalidateRelcacheByRelid(lfirst_oid(cell));
  }
}

void require_no_call_under_way(const char* done) {
  if (!call_is_under_way()) return;
  ereport(ERROR, (errcode(ERRCODE_OBJECT_IN_USE),
                  errmsg("a policy cannot be %s by a trigger of a call that uses it", done)));
}

// ---- creating the ready-made tables ------------------------------------------------------------

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
List* visible_schemas() {
  List* lasting = NIL;
  ListCell* cell;
  foreach (cell, fetch_search_path(false)) {
    if (!isAnyTempNamespace(lfirst_oid(cell))) lasting = lappend_oid(lasting, lfirst_oid(cell));
  }
  return lasting;
}

// ---- locks -------------------------------------------------------------------------------------

void lock_all(Oid table, LOCKMODE mode) {
  if (OidIsValid(table) && exists(table)) with_partitions(table, mode);
}

LOCKMODE mode_of(bool strong) { return strong ? AccessExclusiveLock : ShareRowExclusiveLock; }

// The tables that the policy of that name guards now; those that it is to guard where there is
// none.
Tables guarded_tables(const Home& home, const Proposal& proposal) {
  const std::optional<StoredPolicy> stored = stored_policy(home, proposal.name);
  return stored ? tables_of(*stored) : proposal.tables;
}

bool is_strict(const Home& home, const char* policy) {
  const std::optional<StoredPolicy> stored = stored_policy(home, policy);
  return stored && policy_lists(stored->document).strict;
}

// Locks that keep writers out until the end, in the order of every call: taken one by one as they
// are needed they would deadlock with one. What an earlier attach under the name guarded and this
// one does not is locked in its place. Raises 40001 where somebody attached or detached meanwhile,
// so that other locks are needed: taking those now could deadlock.
void lock_tables(const Home& home, const Proposal& proposal) {
  const Tables& tables = proposal.tables;
  const StrongLocks strong = strong_locks(home, proposal);
  const Tables old = guarded_tables(home, proposal);
  const bool strict_now = policy_lists(proposal.document).strict;
  const bool strict_before = is_strict(home, proposal.name);
  lock_all(tables.users, mode_of(strong.users));
  if (old.users != tables.users) lock_all(old.users, AccessExclusiveLock);
  List* sources = sources_of(tables);
  ListCell* cell;
  foreach (cell, sources) lock_all(lfirst_oid(cell), ShareRowExclusiveLock);
  foreach (cell, sources_of(old)) {
    if (!list_member_oid(sources, lfirst_oid(cell)))
      lock_all(lfirst_oid(cell), AccessExclusiveLock);
  }
  lock_all(tables.enrollments, mode_of(strong.enrollments));
  if (old.enrollments != tables.enrollments) lock_all(old.enrollments, AccessExclusiveLock);
  if (strict_now || strong.ledger) {
    lock_all(tables.ledger, mode_of(strong.ledger));
  } else {
    LockRelationOid(tables.ledger, RowExclusiveLock);
  }
  if (old.ledger != tables.ledger && strict_before) lock_all(old.ledger, AccessExclusiveLock);
  // Nobody else attaches or detaches from here on: what other policies need is settled.
  LockRelationOid(home.policies, ShareRowExclusiveLock);
  const StrongLocks needed = strong_locks(home, proposal);
  const bool too_weak =
      (needed.users && !strong.users) || (needed.enrollments && !strong.enrollments) ||
      (needed.ledger && !strong.ledger) || (is_strict(home, proposal.name) && !strict_before);
  if (too_weak || !equal(guarded_tables(home, proposal).all(), old.all())) {
    pg::raise_serialization_failure();
  }
}

// ---- carrying a survey out ---------------------------------------------------------------------

const char* counted(const Item& item) {
  if (!item.violations) return item.obstacle;
  const auto rows = static_cast<long long>(*item.violations);
  return psprintf("%s (%lld row%s)", item.obstacle, rows, rows == 1 ? "" : "s");
}

void raise_obstacles(const Survey& survey, const Proposal& proposal) {
  constexpr int most = 20;
  StringInfoData lines;
  initStringInfo(&lines);
  int shown = 0;
  for (std::size_t i = 0; i < survey.items.count && shown < most; ++i) {
    const Item& item = survey.items.at[i];
    if (item.action != Action::refuse) continue;
    appendStringInfo(&lines, "%s%s: %s", shown++ == 0 ? "" : "\n", item.object, counted(item));
  }
  if (survey.refusals > shown) {
    appendStringInfo(&lines, "\nand %d more", survey.refusals - shown);
  }
  ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
                  errmsg_plural("policy \"%s\" cannot be attached: %d obstacle",
                                "policy \"%s\" cannot be attached: %d obstacles",
                                static_cast<unsigned long>(survey.refusals), proposal.name,
                                survey.refusals),
                  errdetail("%s", lines.data),
                  errhint("SELECT * FROM enroll_precheck(...) shows samples and remedies.")));
}

void tell_warnings(const Survey& survey) {
  for (std::size_t i = 0; i < survey.items.count; ++i) {
    const Item& item = survey.items.at[i];
    if (item.action != Action::warn) continue;
    ereport(WARNING, (errmsg("%s: %s", item.object, counted(item)),
                      item.remedy != nullptr ? errhint("%s", item.remedy) : 0));
  }
}

void build(const Survey& survey) {
  for (std::size_t i = 0; i < survey.items.count; ++i) {
    const Item& item = survey.items.at[i];
    if (item.sql == nullptr) continue;
    if (!item.as_owner) {
      pg::execute(item.sql);
      continue;
    }
    const pg::Restriction before = pg::become_restricted(survey.owner);
    pg::execute(item.sql);
    pg::restore(before);
  }
}

Datum schema_names(List* schemas) {
  auto** names = static_cast<const char**>(
      palloc(sizeof(char*) * static_cast<std::size_t>(list_length(schemas) + 1)));
  std::size_t count = 0;
  ListCell* cell;
  foreach (cell, schemas) names[count++] = get_namespace_name(lfirst_oid(cell));
  return pg::text_array(names, count);
}

Datum oid_array(List* oids) {
  auto* datums =
      static_cast<Datum*>(palloc(sizeof(Datum) * static_cast<std::size_t>(list_length(oids) + 1)));
  int count = 0;
  ListCell* cell;
  foreach (cell, oids) datums[count++] = ObjectIdGetDatum(lfirst_oid(cell));
  return PointerGetDatum(
      construct_array(datums, count, REGCLASSOID, sizeof(Oid), true, TYPALIGN_INT));
}

void forget_rows(const Home& home, Oid table, const char* column, const char* policy) {
  Oid types[] = {TEXTOID};
  write_own(
      home,
      psprintf("DELETE FROM %s WHERE %s OPERATOR(pg_catalog.=) $1", qualified_name(table), column),
      1, types, {{pg::text_value(policy)}});
}

void store_policy(const Home& home, const Proposal& proposal, const Survey& survey) {
  const Tables& tables = proposal.tables;
  const auto oid = [](Oid table) { return pg::value(ObjectIdGetDatum(table)); };
  Oid types[] = {TEXTOID,          TEXTOID,      OIDOID,  OIDOID,  OIDOID, OIDOID,
                 REGCLASSARRAYOID, TEXTARRAYOID, TEXTOID, TEXTOID, TEXTOID};
  write_own(
      home,
      psprintf("INSERT INTO %s AS p (name, document, users, tournaments, enrollments, ledger, "
               "watched, search_path, time_zone, built_index, built_check) VALUES ($1, "
               "$2::pg_catalog.jsonb, $3, $4, $5, $6, $7, $8, $9, $10, $11) ON CONFLICT (name) DO "
               "UPDATE SET document = EXCLUDED.document, users = EXCLUDED.users, tournaments = "
               "EXCLUDED.tournaments, enrollments = EXCLUDED.enrollments, ledger = "
               "EXCLUDED.ledger, watched = EXCLUDED.watched, search_path = "
               "EXCLUDED.search_path, time_zone = EXCLUDED.time_zone, built_index = "
               "EXCLUDED.built_index, built_check = EXCLUDED.built_check, attached_at = CASE "
               "WHEN p.enrollments OPERATOR(pg_catalog.=) EXCLUDED.enrollments THEN "
               "p.attached_at ELSE EXCLUDED.attached_at END",
               qualified_name(home.policies)),
      11, types,
      {{pg::text_value(proposal.name), pg::text_value(proposal.document), oid(tables.users),
        oid(tables.tournaments), oid(tables.enrollments), oid(tables.ledger),
        pg::value(oid_array(tables.watched)), pg::value(schema_names(proposal.schemas)),
        pg::text_value(pg::session_time_zone()), pg::text_value(survey.built_index),
        pg::text_value(survey.built_check)}});
}

// A check that another policy relies on becomes that one's own.
void hand_check_over(const Home& home, const StoredPolicy& stored) {
  if (stored.built_check == nullptr) return;
  const PolicyTexts texts = policy_texts(stored.document, {"users", "enrollments"});
  const char* heir =
      heir_of_check(home, stored.name, stored.users, texts[PolicyText::users_balance]);
  if (heir == nullptr) return;
  Oid types[] = {TEXTOID, TEXTOID};
  write_own(home,
            psprintf("UPDATE %s SET built_check = $2 WHERE name OPERATOR(pg_catalog.=) $1",
                     qualified_name(home.policies)),
            2, types, {{pg::text_value(heir), pg::text_value(stored.built_check)}});
}

// Seeds the seats, and prepares every statement of the policy: what the survey missed fails now.
void start(const Home& home, const char* policy) {
  // Expressions of the tables' owner run on every row, whoever attaches.
  const pg::Restriction before = pg::become_restricted(InvalidOid);
  const Entered entered = enter(home, policy, Access::write);
  seed_seats(entered.policy);
  prepare_all(entered.policy);
  require_guards(entered.policy);
  leave(entered);
  pg::restore(before);
}

void carry_out(const Home& home, const Proposal& proposal) {
  const std::optional<StoredPolicy> stored = stored_policy(home, proposal.name);
  const Survey found = survey(home, proposal);
  if (found.refusals > 0) raise_obstacles(found, proposal);
  tell_warnings(found);
  // The index's predicate is read as the policy's other expressions are.
  const int level = pg::push_settings(path_over(proposal.tables.enrollments, proposal.schemas));
  build(found);
  pg::pop_settings(level);
  const bool keeps_check = stored && stored->built_check != nullptr &&
                           found.built_check != nullptr && stored->users == proposal.tables.users &&
                           strcmp(stored->built_check, found.built_check) == 0;
  if (stored && !keeps_check) hand_check_over(home, *stored);
  // What was accepted is of the enrollments that were guarded.
  if (stored && stored->enrollments != proposal.tables.enrollments) {
    forget_rows(home, baseline_table(home), "policy", proposal.name);
  }
  store_policy(home, proposal, found);
  if (stored) invalidate(tables_of(*stored).all());
  invalidate(proposal.tables.all());
  CommandCounterIncrement();
  start(home, proposal.name);
}

// ---- detaching ---------------------------------------------------------------------------------

void drop_triggers(const Home& home, Oid table, const char* function) {
  ListCell* cell;
  foreach (cell, triggers_on(home, table, function)) {
    const auto* trigger = static_cast<const TriggerOn*>(lfirst(cell));
    pg::execute(psprintf("DROP TRIGGER %s ON %s", quote_identifier(trigger->name),
                         qualified_name(trigger->table)));
  }
}

void drop_all_triggers(const Home& home, const char* policy, const Tables& tables) {
  drop_triggers(home, tables.enrollments, "enroll_door");
  ListCell* cell;
  foreach (cell, sources_of(tables)) {
    const Oid source = lfirst_oid(cell);
    if (!serves_another(home, policy, source)) drop_triggers(home, source, "enroll_gate");
  }
  if (!is_strict_for_another(home, policy, tables.users)) {
    drop_triggers(home, tables.users, "enroll_balance");
  }
  if (!is_strict_for_another(home, policy, tables.ledger)) {
    drop_triggers(home, tables.ledger, "enroll_ledger");
  }
}

bool has_index(Oid table, const char* name) {
  const Oid index = exists(table) ? get_relname_relid(name, get_rel_namespace(table)) : InvalidOid;
  return OidIsValid(index) && IndexGetRelation(index, true) == table;
}

bool has_constraint(Oid table, const char* name) {
  return exists(table) && OidIsValid(get_relation_constraint_oid(table, name, true));
}

// What attaching built may have been renamed since: then it is what guards in its place. Left as it
// is where the policy does not fit its tables any more.
void follow_renames(const Home& home, StoredPolicy& stored) {
  const bool index_gone =
      stored.built_index != nullptr && !has_index(stored.enrollments, stored.built_index);
  const bool check_gone =
      stored.built_check != nullptr && !has_constraint(stored.users, stored.built_check);
  if (!index_gone && !check_gone) return;
  auto look = [&] {
    const Entered entered = enter(home, stored.name, Access::read);
    if (index_gone) stored.built_index = pstrdup(entered.policy->active_index_name);
    if (check_gone) stored.built_check = pstrdup(entered.policy->balance_check_name);
    leave(entered);
  };
  pg::failure_of(look);
}

void drop_index(const StoredPolicy& stored) {
  if (stored.built_index == nullptr || !has_index(stored.enrollments, stored.built_index)) return;
  const Oid index = get_relname_relid(stored.built_index, get_rel_namespace(stored.enrollments));
  pg::execute(psprintf("DROP INDEX %s", qualified_name(index)));
}

void drop_check(const Home& home, const StoredPolicy& stored) {
  if (stored.built_check == nullptr || !has_constraint(stored.users, stored.built_check)) return;
  const PolicyTexts texts = policy_texts(stored.document, {"users", "enrollments"});
  if (heir_of_check(home, stored.name, stored.users, texts[PolicyText::users_balance]) != nullptr) {
    hand_check_over(home, stored);
    return;
  }
  pg::execute(psprintf("ALTER TABLE %s DROP CONSTRAINT %s", qualified_name(stored.users),
                       quote_identifier(stored.built_check)));
}

void forget_policy(const Home& home, const char* policy) {
  forget_rows(home, home.seats, "policy", policy);
  forget_rows(home, baseline_table(home), "policy", policy);
  forget_rows(home, own_checks_table(home), "policy", policy);
  forget_rows(home, home.policies, "name", policy);
}

}  // namespace

void require_ownership(const StoredPolicy& stored) {
  ListCell* cell;
  foreach (cell, tables_of(stored).all()) {
    const Oid table = lfirst_oid(cell);
    if (!exists(table) || pg::owns_relation(table, GetUserId())) continue;
    ereport(ERROR, (errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
                    errmsg("must be owner of table %s", get_rel_name(table))));
  }
}

void create_tables(const Home& home, Oid schema, const char* policy) {
  require_new_name(home, policy);
  require_lasting_schema(schema);
  pg::check_can_create_in(schema, GetUserId());
  List* visible = visible_schemas();
  const int level = pg::push_settings(pg::bare_path);
  refuse_open_schema(schema, GetUserId());
  ListCell* cell;
  foreach (cell, visible) refuse_open_schema(lfirst_oid(cell), GetUserId());
  const char* quoted_schema = quote_identifier(get_namespace_name(schema));
  for (const char* pattern : rules::ready_made_tables) {
    pg::execute(with_schema(pattern, quoted_schema));
  }
  const auto created = [&](std::size_t i) {
    return get_relname_relid(rules::ready_made_names[i], schema);
  };
  const Tables tables{created(0), created(1), created(2), created(3), NIL};
  carry_out(home, {rules::ready_made_policy, policy, visible, tables});
  pg::pop_settings(level);
}

void precheck(const Home& home, const char* document, const char* policy,
              void (*visit)(void* state, const Item&), void* state) {
  const Proposal proposal{document, policy, visible_schemas(), find_tables(document)};
  const int level = pg::push_settings(pg::bare_path);
  const Survey found = survey(home, proposal);
  pg::pop_settings(level);
  for (std::size_t i = 0; i < found.items.count; ++i) visit(state, found.items.at[i]);
}

void attach(const Home& home, const char* document, const char* policy) {
  require_no_call_under_way("attached");
  const Proposal proposal{document, policy, visible_schemas(), find_tables(document)};
  const int level = pg::push_settings(pg::bare_path);
  List* tables = proposal.tables.all();
  const bool complete = list_length(tables) == 4 + list_length(proposal.tables.watched);
  const std::optional<StoredPolicy> stored = stored_policy(home, policy);
  const bool owns = owns_all(tables) && (!stored || owns_all(tables_of(*stored).all()));
  // Strangers do not get to keep the writers out; the survey tells them what else they lack.
  if (complete && owns) lock_tables(home, proposal);
  carry_out(home, proposal);
  pg::pop_settings(level);
}

void detach(const Home& home, const char* policy) {
  const StoredPolicy stored = require_stored(home, policy);
  const Tables tables = tables_of(stored);
  require_ownership(stored);
  require_no_call_under_way("detached");
  const int level = pg::push_settings(pg::bare_path);
  // All at once and in the order of every call: taken one by one they would deadlock with one.
  ListCell* cell;
  foreach (cell, tables.all()) lock_all(lfirst_oid(cell), AccessExclusiveLock);
  LockRelationOid(home.policies, ShareRowExclusiveLock);
  StoredPolicy now = require_stored(home, policy);
  if (!equal(tables_of(now).all(), tables.all())) pg::raise_serialization_failure();
  follow_renames(home, now);
  drop_index(now);
  drop_check(home, now);
  drop_all_triggers(home, policy, tables);
  const bool strict = policy_lists(now.document).strict;
  forget_policy(home, policy);
  forget_counters(policy);
  pg::pop_settings(level);
  invalidate(tables.all());
  ereport(WARNING,
          (errmsg("policy \"%s\" is detached: nothing guards its tables any more", policy),
           errdetail("Capacity, one active enrollment per user and tournament, and balances of "
                     "at least 0 are no longer enforced by this policy%s",
                     strict ? ". Credits may move without a ledger row, and ledger rows may be "
                              "changed."
                            : ".")));
}

}  // namespace pg_enroll::engine
