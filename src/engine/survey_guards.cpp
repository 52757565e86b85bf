// The guards of a policy as attaching would leave them: what is adopted, built and dropped.
#include "engine/survey_parts.hpp"

namespace pg_enroll::engine {
namespace {

// ---- names -------------------------------------------------------------------------------------

// The name itself where it is free, else with the policy's behind it, else with a number too.
template <typename Taken>
const char* free_name(const char* base, const char* policy, Taken taken) {
  if (!taken(base)) return base;
  for (int number = 1;; ++number) {
    const char* suffix = number == 1 ? "" : psprintf("_%d", number);
    char* name = psprintf("%s_%s", base, policy);
    const auto room = static_cast<int>(NAMEDATALEN - 1 - strlen(suffix));
    name[pg_mbcliplen(name, static_cast<int>(strlen(name)), room)] = '\0';
    const char* candidate = psprintf("%s%s", name, suffix);
    if (!taken(candidate)) return candidate;
  }
}

bool has_trigger(Relation relation, const char* name) {
  const TriggerDesc* triggers = relation->trigdesc;
  for (int i = 0; triggers != nullptr && i < triggers->numtriggers; ++i) {
    if (strcmp(triggers->triggers[i].tgname, name) == 0) return true;
  }
  return false;
}

// ---- the active index --------------------------------------------------------------------------

void drop_index(Surveying& s, Oid index) {
  Item& item = add(s, Action::drop, table_of("index", index));
  item.lock = "ACCESS EXCLUSIVE";
  item.sql = psprintf("DROP INDEX %s", qualified_name(index));
}

void require_create(Surveying& s, Oid schema) {
  if (pg::can_create_in(schema, s.owner)) return;
  const char* name = quote_identifier(get_namespace_name(schema));
  const char* owner = quote_identifier(GetUserNameFromId(s.owner, false));
  refuse(s, psprintf("schema %s", name),
         psprintf("does not let the tables' owner %s create the index", owner),
         psprintf("GRANT CREATE ON SCHEMA %s TO %s", name, owner));
}

void create_index(Surveying& s, Oid dropped) {
  const Oid table = s.tables.enrollments;
  const Oid schema = get_rel_namespace(table);
  require_create(s, schema);
  const char* name = free_name(active_index_name, s.proposal.name, [&](const char* candidate) {
    const Oid found = get_relname_relid(candidate, schema);
    return OidIsValid(found) && found != dropped;
  });
  Item& item =
      add(s, Action::create,
          psprintf("index %s", quote_qualified_identifier(get_namespace_name(schema), name)));
  item.lock = "SHARE";
  const PolicyTexts texts =
      policy_texts(s.proposal.document, {qualified_name(s.tables.users), qualified_name(table)});
  item.sql = psprintf("CREATE UNIQUE INDEX %s ON %s (%s, %s) WHERE (%s)", quote_identifier(name),
                      qualified_name(table), quote_identifier(texts[PolicyText::enrollments_user]),
                      quote_identifier(texts[PolicyText::enrollments_tournament]),
                      texts[PolicyText::active]);
  item.as_owner = true;
  s.result.built_index = name;
}

// The partition's own index that is as the whole table's and belongs to none yet; InvalidOid where
// there is none.
Oid attachable_index(Relation partition, Relation whole, IndexInfo* wanted) {
  const Relation table = table_open(IndexGetRelation(RelationGetRelid(whole), false), NoLock);
  AttrMap* columns = pg::columns_by_name(partition, table);
  table_close(table, NoLock);
  Oid found = InvalidOid;
  ListCell* cell;
  foreach (cell, RelationGetIndexList(partition)) {
    const Relation index = index_open(lfirst_oid(cell), AccessShareLock);
    const bool sound = index->rd_index->indisvalid && !index->rd_rel->relispartition;
    if (sound &&
        CompareIndexInfo(BuildIndexInfo(index), wanted, index->rd_indcollation,
                         whole->rd_indcollation, index->rd_opfamily, whole->rd_opfamily, columns)) {
      found = RelationGetRelid(index);
    }
    index_close(index, AccessShareLock);
  }
  return found;
}

// The statements that attach to an index of the whole table what its partitions still owe it; null
// where they have no such index.
const char* attach_partitions_command(Oid index) {
  const Relation whole = index_open(index, AccessShareLock);
  IndexInfo* wanted = BuildIndexInfo(whole);
  StringInfoData command;
  initStringInfo(&command);
  bool complete = true;
  ListCell* cell;
  foreach (cell, find_inheritance_children(IndexGetRelation(index, false), AccessShareLock)) {
    const Relation partition = table_open(lfirst_oid(cell), NoLock);
    if (!OidIsValid(index_get_partition(partition, index))) {
      const Oid own = attachable_index(partition, whole, wanted);
      complete = complete && OidIsValid(own);
      if (complete) {
        appendStringInfo(&command, "%sALTER INDEX %s ATTACH PARTITION %s",
                         command.len == 0 ? "" : "; ", qualified_name(index), qualified_name(own));
      }
    }
    table_close(partition, NoLock);
  }
  index_close(whole, AccessShareLock);
  return complete && command.len > 0 ? command.data : nullptr;
}

void refuse_partitioned_index(Surveying& s, Oid index) {
  const char* name = qualified_name(index);
  const char* command = nullptr;
  look_as_owner(s, [&] { command = attach_partitions_command(index); });
  refuse(s, psprintf("index %s", name),
         "is invalid, as CREATE INDEX ON ONLY leaves one until an index of every partition is "
         "attached to it",
         command == nullptr ? psprintf("DROP INDEX %s", name) : command);
}

void refuse_index(Surveying& s, Oid index) {
  const char* name = qualified_name(index);
  bool immediate = false;
  const HeapTuple tuple = SearchSysCache1(INDEXRELID, ObjectIdGetDatum(index));
  if (HeapTupleIsValid(tuple)) {
    immediate = reinterpret_cast<Form_pg_index>(GETSTRUCT(tuple))->indimmediate;
    ReleaseSysCache(tuple);
  }
  if (immediate && get_rel_relkind(index) == RELKIND_PARTITIONED_INDEX) {
    refuse_partitioned_index(s, index);
    return;
  }
  refuse(s, psprintf("index %s", name),
         immediate ? "is invalid, as CREATE INDEX CONCURRENTLY leaves one that failed"
                   : "is deferrable, and so judges too late",
         immediate ? psprintf("DROP INDEX CONCURRENTLY %s", name)
                   : psprintf("ALTER TABLE %s DROP CONSTRAINT %s",
                              qualified_name(IndexGetRelation(index, true)),
                              quote_identifier(get_rel_name(index))));
}

FoundIndex find_active_index(const Surveying& s, Oid built) {
  const AttrNumber pair[] = {s.enrollments_user.number, s.enrollments_tournament.number};
  const char* preferred = OidIsValid(built) ? s.stored->built_index : nullptr;
  FoundIndex found;
  look_as_owner(
      s, [&] { found = find_unique_index(s.tables.enrollments, pair, 2, s.active, preferred); });
  return found;
}

// Where the name is gone, the index that does its work is taken for the one that was built.
bool index_is_renamed(const Surveying& s, Oid built) {
  return !OidIsValid(built) && s.stored && s.stored->built_index != nullptr &&
         s.stored->enrollments == s.tables.enrollments;
}

void plan_index(Surveying& s) {
  const Oid built = built_index(s);
  const FoundIndex found = find_active_index(s, built);
  if (OidIsValid(built) && built != found.oid) drop_index(s, built);
  switch (found.state) {
    case GuardState::ok:
      add(s, Action::adopt, table_of("index", found.oid));
      if (found.oid == built || index_is_renamed(s, built)) {
        s.result.built_index = get_rel_name(found.oid);
      }
      break;
    case GuardState::missing:
      create_index(s, built);
      break;
    default:
      refuse_index(s, found.oid);
  }
}

// ---- the balance check -------------------------------------------------------------------------

List* wanted_check(const Surveying& s, const char* probe) {
  List* wanted = NIL;
  look(s, [&] { wanted = conditions_of(pg::analyze(probe, 0, nullptr)->jointree->quals, true); });
  return wanted;
}

const char* built_check(const Surveying& s) {
  if (!s.stored || s.stored->built_check == nullptr) return nullptr;
  if (get_rel_name(s.stored->users) == nullptr) return nullptr;
  const Oid check = get_relation_constraint_oid(s.stored->users, s.stored->built_check, true);
  return OidIsValid(check) ? s.stored->built_check : nullptr;
}

// Whether the table's checks say that much together.
bool checks_imply(Oid table, List* wanted) {
  List* stated = NIL;
  const Relation relation = table_open(table, AccessShareLock);
  const TupleConstr* constraints = RelationGetDescr(relation)->constr;
  for (int i = 0; constraints != nullptr && i < constraints->num_check; ++i) {
    const ConstrCheck& check = constraints->check[i];
    if (!check.ccvalid || !pg::check_is_enforced(check)) continue;
    stated =
        list_concat(stated, conditions_of(static_cast<Node*>(stringToNode(check.ccbin)), true));
  }
  table_close(relation, AccessShareLock);
  return predicate_implied_by(wanted, stated, true);
}

struct BalanceCheck {
  FoundCheck found;
  bool strong = false;          // NaN and infinity are forbidden, where there are any
  const char* built = nullptr;  // on this very table, by an earlier attach under this name
};

BalanceCheck balance_check(const Surveying& s) {
  const char* users = qualified_name(s.tables.users);
  const PolicyTexts texts =
      policy_texts(s.proposal.document, {users, qualified_name(s.tables.enrollments)});
  const bool here = s.stored && s.stored->users == s.tables.users;
  BalanceCheck check;
  check.built = here ? built_check(s) : nullptr;
  List* weak = wanted_check(s, texts[PolicyText::balance_probe]);
  List* strong = wanted_check(s, finite_balance_probe(s.proposal.document, users));
  if (weak == NIL) return check;
  look_as_owner(s, [&] {
    FoundCheck found;
    if (s.balance.base == NUMERICOID) found = find_check(s.tables.users, strong, check.built);
    check.strong = found.state != GuardState::missing;
    if (!check.strong) found = find_check(s.tables.users, weak, check.built);
    check.found = found;
    check.strong =
        check.strong || s.balance.base != NUMERICOID || checks_imply(s.tables.users, strong);
  });
  return check;
}

// False where another policy that relies on it inherits it.
bool drop_check(Surveying& s, Oid users, const char* name) {
  const PolicyTexts texts = policy_texts(s.stored->document, {"users", "enrollments"});
  const char* balance = texts[PolicyText::users_balance];
  if (heir_of_check(s.home, s.proposal.name, users, balance) != nullptr) return false;
  Item& item = add(s, Action::drop,
                   psprintf("constraint %s on %s", quote_identifier(name), qualified_name(users)));
  item.lock = "ACCESS EXCLUSIVE";
  item.sql =
      psprintf("ALTER TABLE %s DROP CONSTRAINT %s", qualified_name(users), quote_identifier(name));
  return true;
}

void validate_check(Surveying& s, const char* name) {
  const char* users = qualified_name(s.tables.users);
  Item& item =
      add(s, Action::validate, psprintf("constraint %s on %s", quote_identifier(name), users));
  item.lock = "SHARE UPDATE EXCLUSIVE";
  item.as_owner = true;  // it runs whatever functions the check calls
  item.sql = psprintf("ALTER TABLE %s VALIDATE CONSTRAINT %s", users, quote_identifier(name));
}

void create_check(Surveying& s, const char* dropped) {
  const Oid table = s.tables.users;
  const char* users = qualified_name(table);
  const char* name = free_name(balance_check_name, s.proposal.name, [&](const char* candidate) {
    return OidIsValid(get_relation_constraint_oid(table, candidate, true)) &&
           (dropped == nullptr || strcmp(candidate, dropped) != 0);
  });
  const char* balance = quote_identifier(name_of(s, rules::Role::users_balance)->text);
  const char* finite = s.balance.base == NUMERICOID
                           ? psprintf(" AND %s OPERATOR(pg_catalog.<) 'Infinity'", balance)
                           : "";
  Item& item =
      add(s, Action::create, psprintf("constraint %s on %s", quote_identifier(name), users));
  item.lock = "ACCESS EXCLUSIVE";
  item.sql = psprintf(
      "ALTER TABLE %s ADD CONSTRAINT %s CHECK (%s OPERATOR(pg_catalog.>=) 0%s) "
      "NOT VALID",
      users, quote_identifier(name), balance, finite);
  s.result.built_check = name;
  validate_check(s, name);
}

bool is_validated(Oid table, const char* name) {
  const Oid check = get_relation_constraint_oid(table, name, true);
  const HeapTuple tuple = SearchSysCache1(CONSTROID, ObjectIdGetDatum(check));
  if (!HeapTupleIsValid(tuple)) return false;
  const bool validated = reinterpret_cast<Form_pg_constraint>(GETSTRUCT(tuple))->convalidated;
  ReleaseSysCache(tuple);
  return validated;
}

void adopt_check(Surveying& s, const BalanceCheck& check) {
  const char* name = check.found.name;
  const char* users = qualified_name(s.tables.users);
  const char* object = psprintf("constraint %s on %s", quote_identifier(name), users);
  const bool renamed = check.built == nullptr && s.stored && s.stored->built_check != nullptr &&
                       s.stored->users == s.tables.users;
  const bool ours = check.built != nullptr && strcmp(check.built, name) == 0;
  if (renamed || ours) s.result.built_check = name;
  if (!is_validated(s.tables.users, name)) {
    validate_check(s, name);
  } else if (check.found.state == GuardState::ok) {
    add(s, Action::adopt, object);
  } else {
    refuse(s, object, "is not enforced",
           psprintf("ALTER TABLE %s ALTER CONSTRAINT %s ENFORCED", users, quote_identifier(name)));
  }
  if (check.strong) return;
  const char* balance = quote_identifier(name_of(s, rules::Role::users_balance)->text);
  warn(s, object, "lets a balance be NaN or infinite, which pays every price",
       psprintf("ALTER TABLE %s ADD CHECK (%s < 'Infinity')", users, balance));
}

// A check of our own that does not say enough any more is built anew.
bool is_outgrown(const BalanceCheck& check) {
  return check.built != nullptr && check.found.name != nullptr && !check.strong &&
         strcmp(check.built, check.found.name) == 0;
}

void plan_check(Surveying& s) {
  const BalanceCheck check = balance_check(s);
  const bool outgrown = is_outgrown(check);
  const bool adopts = check.found.state != GuardState::missing && !outgrown;
  const char* built = built_check(s);
  const bool keeps = adopts && check.built != nullptr && strcmp(check.built, check.found.name) == 0;
  const bool dropped = built != nullptr && !keeps && drop_check(s, s.stored->users, built);
  if (adopts) {
    adopt_check(s, check);
  } else {
    create_check(s, dropped ? check.built : nullptr);
  }
}

// ---- triggers ----------------------------------------------------------------------------------

void plan_trigger(Surveying& s, Relation relation, Oid function, const char* function_name,
                  const char* base, const TriggerKind& kind) {
  const char* table = qualified_name(RelationGetRelid(relation));
  const FoundTrigger found = find_trigger(relation, function, kind);
  const char* name = found.name;
  if (found.state == GuardState::missing) {
    name = free_name(base, s.proposal.name,
                     [&](const char* candidate) { return has_trigger(relation, candidate); });
  }
  const char* object = psprintf("trigger %s on %s", quote_identifier(name), table);
  switch (found.state) {
    case GuardState::ok:
      add(s, Action::adopt, object);
      return;
    case GuardState::disabled:
      refuse(s, object, "is disabled",
             psprintf("ALTER TABLE %s ENABLE TRIGGER %s", table, quote_identifier(name)));
      return;
    case GuardState::invalid:
      refuse(s, object, "is not as attaching makes it, or there are two of it",
             psprintf("DROP TRIGGER %s ON %s", quote_identifier(name), table));
      return;
    case GuardState::missing:
      break;
  }
  Item& item = add(s, Action::create, object);
  item.lock = "SHARE ROW EXCLUSIVE";
  item.sql =
      psprintf("CREATE TRIGGER %s AFTER %s ON %s %s FOR EACH STATEMENT EXECUTE FUNCTION %s.%s()",
               quote_identifier(name), kind.event, table, kind.referencing,
               quote_identifier(get_namespace_name(s.home.schema)), function_name);
}

void plan_triggers(Surveying& s, Oid root, const char* function_name,
                   const char* const (&names)[4]) {
  const Oid function = trigger_function(s.home, function_name);
  ListCell* cell;
  foreach (cell, with_partitions(root, AccessShareLock)) {
    const Relation relation = table_open(lfirst_oid(cell), AccessShareLock);
    for (std::size_t i = 0; i < 4; ++i) {
      plan_trigger(s, relation, function, function_name, names[i], trigger_kinds[i]);
    }
    table_close(relation, AccessShareLock);
  }
}

// The triggers of an earlier attach under this name, on tables that it no longer names.
void plan_drops(Surveying& s) {
  if (!s.stored) return;
  const Tables old{s.stored->users, s.stored->tournaments, s.stored->enrollments, s.stored->ledger,
                   s.stored->watched};
  List* drops = NIL;
  if (old.enrollments != s.tables.enrollments) {
    drops = list_concat(drops, triggers_on(s.home, old.enrollments, "enroll_door"));
  }
  ListCell* cell;
  foreach (cell, sources_of(old)) {
    const Oid source = lfirst_oid(cell);
    if (list_member_oid(sources_of(s.tables), source)) continue;
    if (serves_another(s.home, s.proposal.name, source)) continue;
    drops = list_concat(drops, triggers_on(s.home, source, "enroll_gate"));
  }
  if (drops_strict_triggers(s, old.users, s.tables.users)) {
    drops = list_concat(drops, triggers_on(s.home, old.users, "enroll_balance"));
  }
  if (drops_strict_triggers(s, old.ledger, s.tables.ledger)) {
    drops = list_concat(drops, triggers_on(s.home, old.ledger, "enroll_ledger"));
  }
  foreach (cell, drops) {
    const auto* trigger = static_cast<const TriggerOn*>(lfirst(cell));
    const char* table = qualified_name(trigger->table);
    Item& item =
        add(s, Action::drop, psprintf("trigger %s on %s", quote_identifier(trigger->name), table));
    item.lock = "ACCESS EXCLUSIVE";
    item.sql = psprintf("DROP TRIGGER %s ON %s", quote_identifier(trigger->name), table);
  }
}

}  // namespace

Oid built_index(const Surveying& s) {
  if (!s.stored || s.stored->built_index == nullptr) return InvalidOid;
  const Oid table = s.stored->enrollments;
  if (get_rel_name(table) == nullptr) return InvalidOid;
  const Oid index = get_relname_relid(s.stored->built_index, get_rel_namespace(table));
  return OidIsValid(index) && IndexGetRelation(index, true) == table ? index : InvalidOid;
}

void plan_guards(Surveying& s) {
  plan_drops(s);
  plan_index(s);
  plan_check(s);
  ListCell* cell;
  foreach (cell, sources_of(s.tables)) {
    plan_triggers(s, lfirst_oid(cell), "enroll_gate", gate_names);
  }
  plan_triggers(s, s.tables.enrollments, "enroll_door", door_names);
  if (!s.lists.strict) return;
  plan_triggers(s, s.tables.users, "enroll_balance", balance_names);
  plan_triggers(s, s.tables.ledger, "enroll_ledger", ledger_names);
}

StrongLocks strong_locks(Surveying& s) {
  StrongLocks strong{};
  const BalanceCheck check = balance_check(s);
  strong.users = check.found.state == GuardState::missing || is_outgrown(check) ||
                 (check.built != nullptr && strcmp(check.built, check.found.name) != 0) ||
                 (s.stored && s.stored->users == s.tables.users &&
                  drops_strict_triggers(s, s.stored->users, s.tables.users));
  strong.ledger = s.stored && s.stored->ledger == s.tables.ledger &&
                  drops_strict_triggers(s, s.stored->ledger, s.tables.ledger);
  const PolicyTexts texts = policy_texts(
      s.proposal.document, {qualified_name(s.tables.users), qualified_name(s.tables.enrollments)});
  const ErrorData* error = look(s, [&] {
    s.active = conditions_of(pg::analyze_predicate(s.tables.enrollments, texts[PolicyText::active]),
                             false);
  });
  const Oid built = built_index(s);
  strong.enrollments = error == nullptr && OidIsValid(built) &&
                       s.stored->enrollments == s.tables.enrollments &&
                       find_active_index(s, built).oid != built;
  return strong;
}

}  // namespace pg_enroll::engine
