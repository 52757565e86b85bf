#include "engine/survey.hpp"

#include "engine/survey_parts.hpp"

extern "C" {
#include "catalog/objectaddress.h"
#include "catalog/pg_rewrite.h"
#include "rewrite/rewriteDefine.h"
#include "utils/formatting.h"
#include "utils/varlena.h"
}

namespace pg_enroll::engine {
namespace {

using rules::Role;

// ---- finding tables ----------------------------------------------------------------------------

// A table's name in the document: as the catalogs spell it, or as SQL quotes it.
struct Spelled {
  const char* schema = nullptr;
  const char* name = nullptr;  // null where it cannot be a table's name
};

Spelled spelled(const char* text) {
  char* copy = pstrdup(text);
  if (strchr(text, '"') == nullptr) {
    char* dot = strchr(copy, '.');
    if (dot == nullptr) return {nullptr, copy};
    *dot = '\0';
    return strchr(dot + 1, '.') == nullptr ? Spelled{copy, dot + 1} : Spelled{};
  }
  List* parts = NIL;
  if (!SplitIdentifierString(copy, '.', &parts) || list_length(parts) > 2) return {};
  const auto part = [&](int i) { return static_cast<const char*>(list_nth(parts, i)); };
  return list_length(parts) == 2 ? Spelled{part(0), part(1)} : Spelled{nullptr, part(0)};
}

Oid find_table(const char* text) {
  const Spelled table = spelled(text);
  if (table.name == nullptr) return InvalidOid;
  if (table.schema == nullptr) return RelnameGetRelid(table.name);
  const Oid schema = get_namespace_oid(table.schema, true);
  return OidIsValid(schema) ? get_relname_relid(table.name, schema) : InvalidOid;
}

bool is_table(Role role) {
  return role == Role::users_table || role == Role::tournaments_table ||
         role == Role::watched_table || role == Role::enrollments_table ||
         role == Role::ledger_table;
}

// ---- what kind of table it is ------------------------------------------------------------------

struct Kind {
  char kind, persistence;
  Oid owner;
  bool is_partition;
};

std::optional<Kind> kind_of(Oid relation) {
  const HeapTuple tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(relation));
  if (!HeapTupleIsValid(tuple)) return std::nullopt;
  const auto* form = reinterpret_cast<Form_pg_class>(GETSTRUCT(tuple));
  const Kind kind{form->relkind, form->relpersistence, form->relowner, form->relispartition};
  ReleaseSysCache(tuple);
  return kind;
}

// Why a relation cannot be a policy's table; null where it can.
const char* unfit_kind(Oid relation, const Kind& kind) {
  switch (kind.kind) {
    case RELKIND_RELATION:
    case RELKIND_PARTITIONED_TABLE:
      break;
    case RELKIND_VIEW:
      return "is a view: rows that reach its tables by another way could not be guarded";
    case RELKIND_MATVIEW:
      return "is a materialized view, which cannot be written";
    case RELKIND_FOREIGN_TABLE:
      return "is a foreign table, whose rows others write unguarded";
    default:
      return "is no table";
  }
  if (kind.persistence == RELPERSISTENCE_TEMP) {
    return "is a temporary table, which only one session sees";
  }
  if (kind.persistence == RELPERSISTENCE_UNLOGGED) {
    return "is unlogged: after a crash it is empty, and the seat counters are not";
  }
  if (kind.is_partition) return "is a partition: the whole table has to be named";
  if (kind.kind == RELKIND_RELATION && has_subclass(relation) &&
      find_inheritance_children(relation, NoLock) != NIL) {
    return "has tables that inherit from it, whose rows no index of its own keeps unique";
  }
  if (has_superclass(relation)) return "inherits from another table, which shows its rows too";
  return nullptr;
}

const char* unfit_partition(const Kind& kind) {
  if (kind.kind == RELKIND_FOREIGN_TABLE) {
    return "is a foreign table, whose rows others write unguarded";
  }
  if (kind.persistence == RELPERSISTENCE_UNLOGGED) {
    return "is unlogged: after a crash it is empty, and the seat counters are not";
  }
  return nullptr;
}

void look_at_partitions(Surveying& s, Oid table) {
  ListCell* cell;
  foreach (cell, with_partitions(table, AccessShareLock)) {
    const Oid partition = lfirst_oid(cell);
    const std::optional<Kind> kind = kind_of(partition);
    const char* reason = partition == table || !kind ? nullptr : unfit_partition(*kind);
    if (reason == nullptr) continue;
    refuse(s, table_of("partition", partition), reason,
           psprintf("ALTER TABLE %s DETACH PARTITION %s", qualified_name(table),
                    qualified_name(partition)));
  }
}

// "Did you mean": a table of nearly that name, in whatever schema.
const char* nearby_table(const char* meant) {
  const Spelled table = spelled(meant);
  const pg::Rows rows = pg::query(
      "SELECT c.relname::pg_catalog.text, pg_catalog.format('%s.%s', n.nspname, c.relname) FROM "
      "pg_catalog.pg_class AS c JOIN pg_catalog.pg_namespace AS n ON n.oid "
      "OPERATOR(pg_catalog.=) c.relnamespace WHERE c.relkind OPERATOR(pg_catalog.=) ANY "
      "('{r,p}'::pg_catalog.\"char\"[]) AND n.nspname OPERATOR(pg_catalog.<>) "
      "'information_schema' AND n.nspname OPERATOR(pg_catalog.!~) '^pg_' ORDER BY 2",
      0, nullptr, nullptr);
  List* names = NIL;
  for (uint64 row = 0; row < rows.count(); ++row) {
    names = lappend(names, TextDatumGetCString(rows.at(row, 1).datum));
  }
  const char* nearest = nearest_name(table.name == nullptr ? meant : table.name, names);
  for (uint64 row = 0; nearest != nullptr && row < rows.count(); ++row) {
    if (strcmp(TextDatumGetCString(rows.at(row, 1).datum), nearest) != 0) continue;
    return psprintf("Did you mean \"%s\"?", TextDatumGetCString(rows.at(row, 2).datum));
  }
  return nullptr;
}

void look_at_table(Surveying& s, const PolicyName& name, Oid table) {
  const std::optional<Kind> kind = OidIsValid(table) ? kind_of(table) : std::nullopt;
  if (!kind) {
    misfit(s, name.path, psprintf("table \"%s\" does not exist", name.text),
           nearby_table(name.text));
    return;
  }
  const char* reason = unfit_kind(table, *kind);
  if (reason != nullptr) {
    const bool unlogged =
        kind->kind == RELKIND_RELATION && kind->persistence == RELPERSISTENCE_UNLOGGED;
    const char* remedy = nullptr;
    if (unlogged) remedy = psprintf("ALTER TABLE %s SET LOGGED", qualified_name(table));
    if (kind->is_partition) {
      remedy = psprintf("Name %s.", qualified_name(root_of(table)));
    }
    misfit(s, name.path, psprintf("%s %s", qualified_name(table), reason), remedy);
    return;
  }
  look_at_partitions(s, table);
  if (!pg::owns_relation(table, GetUserId())) {
    refuse(s, name.path,
           psprintf("%s belongs to %s: only who owns all tables of a policy may attach it",
                    qualified_name(table), GetUserNameFromId(kind->owner, false)),
           psprintf("SET ROLE %s", quote_identifier(GetUserNameFromId(kind->owner, false))));
    s.caller_owns = false;
  } else if (OidIsValid(s.owner) && kind->owner != s.owner) {
    refuse(s, name.path,
           psprintf("%s and %s have different owners", qualified_name(table),
                    qualified_name(s.tables.enrollments)),
           psprintf("ALTER TABLE %s OWNER TO %s", qualified_name(table),
                    quote_identifier(GetUserNameFromId(s.owner, false))));
  }
}

Oid next_table(const Tables& tables, Role role, int* watched) {
  switch (role) {
    case Role::users_table:
      return tables.users;
    case Role::tournaments_table:
      return tables.tournaments;
    case Role::enrollments_table:
      return tables.enrollments;
    case Role::ledger_table:
      return tables.ledger;
    default:
      return list_nth_oid(tables.watched, (*watched)++);
  }
}

// Of two names of one table, the one under watch is the one too many.
void refuse_twice_used(Surveying& s, const PolicyName& earlier, const PolicyName& later,
                       Oid table) {
  const bool first = earlier.role == Role::watched_table && later.role != Role::watched_table;
  const PolicyName& one = first ? later : earlier;
  const PolicyName& other = first ? earlier : later;
  const char* remedy = nullptr;
  if (other.role == Role::watched_table) {
    remedy = table == s.tables.tournaments
                 ? "Take it out of watch: the tournaments are watched anyway."
                 : "Take it out of watch.";
  }
  misfit(s, other.path, psprintf("%s serves as %s already", qualified_name(table), one.path),
         remedy);
}

void refuse_twice_used(Surveying& s) {
  List* tables = NIL;
  List* names = NIL;
  int watched = 0;
  for (std::size_t i = 0; i < s.names.count; ++i) {
    PolicyName& name = s.names.at[i];
    if (!is_table(name.role)) continue;
    const Oid table = next_table(s.tables, name.role, &watched);
    if (!OidIsValid(table)) continue;
    ListCell* cell;
    ListCell* earlier;
    forboth(cell, tables, earlier, names) {
      if (lfirst_oid(cell) != table) continue;
      refuse_twice_used(s, *static_cast<const PolicyName*>(lfirst(earlier)), name, table);
      break;
    }
    tables = lappend_oid(tables, table);
    names = lappend(names, &name);
  }
}

void refuse_others_tables(Surveying& s) {
  ListCell* cell;
  foreach (cell, stored_policies(s.home)) {
    const auto* other = static_cast<const StoredPolicy*>(lfirst(cell));
    if (other->enrollments != s.tables.enrollments || strcmp(other->name, s.proposal.name) == 0) {
      continue;
    }
    refuse(s, name_of(s, Role::enrollments_table)->path,
           psprintf("%s belongs to policy \"%s\" already", qualified_name(s.tables.enrollments),
                    other->name),
           psprintf("SELECT enroll_detach(%s)", quote_literal_cstr(other->name)));
  }
  if (!s.stored) return;
  const Tables old{s.stored->users, s.stored->tournaments, s.stored->enrollments, s.stored->ledger,
                   s.stored->watched};
  foreach (cell, old.all()) {
    const Oid table = lfirst_oid(cell);
    if (get_rel_name(table) == nullptr || pg::owns_relation(table, GetUserId())) continue;
    refuse(s, psprintf("policy %s", quote_identifier(s.proposal.name)),
           psprintf("is attached to tables of another owner, %s among them", qualified_name(table)),
           "Give the policy another name.");
    return;
  }
}

// True where there are tables to look into.
bool look_at_tables(Surveying& s) {
  int watched = 0;
  for (std::size_t i = 0; i < s.names.count; ++i) {
    const PolicyName& name = s.names.at[i];
    if (is_table(name.role)) look_at_table(s, name, next_table(s.tables, name.role, &watched));
  }
  refuse_twice_used(s);
  if (OidIsValid(s.tables.enrollments)) refuse_others_tables(s);
  return s.fits;
}

// ---- rules -------------------------------------------------------------------------------------

// Calls write with ON CONFLICT and RETURNING, which do not go together with every rule.
bool stands_in_the_way(const RewriteRule& rule, bool of_users) {
  const bool fires = rule.enabled == RULE_FIRES_ON_ORIGIN || rule.enabled == RULE_FIRES_ALWAYS;
  if (of_users) return fires && rule.event == CMD_UPDATE && rule.isInstead;
  return fires && (rule.event == CMD_INSERT || rule.event == CMD_UPDATE);
}

void look_at_rules(Surveying& s) {
  for (const Oid table : {s.tables.users, s.tables.enrollments, s.tables.ledger}) {
    const Relation relation = table_open(table, AccessShareLock);
    const RuleLock* rules = relation->rd_rules;
    for (int i = 0; rules != nullptr && i < rules->numLocks; ++i) {
      const RewriteRule& rule = *rules->rules[i];
      if (!stands_in_the_way(rule, table == s.tables.users)) continue;
      const ObjectAddress address{RewriteRelationId, rule.ruleId, 0};
      const char* name = getObjectIdentity(&address, false);
      refuse(s, psprintf("rule %s", name), "would rewrite what a call writes",
             psprintf("DROP RULE %s", name));
    }
    table_close(relation, AccessShareLock);
  }
}

// ---- schemas -----------------------------------------------------------------------------------

const char* joined(List* texts) {
  StringInfoData list;
  initStringInfo(&list);
  ListCell* cell;
  foreach (cell, texts) {
    appendStringInfo(&list, "%s%s", list.len == 0 ? "" : ", ",
                     static_cast<const char*>(lfirst(cell)));
  }
  return list.data;
}

void look_at_schema(Surveying& s, Oid schema) {
  List* creators = creators_in(schema, s.owner);
  if (creators == NIL) return;
  const char* name = quote_identifier(get_namespace_name(schema));
  refuse(
      s, psprintf("schema %s", name),
      psprintf("lets %s create objects, one of which could take the place of one that the "
               "policy means",
               joined(creators)),
      psprintf("REVOKE CREATE ON SCHEMA %s FROM %s; from the schema's owner only ALTER SCHEMA "
               "%s OWNER TO %s takes it",
               name, joined(creators), name, quote_identifier(GetUserNameFromId(s.owner, false))));
}

void look_at_schemas(Surveying& s) {
  List* schemas = NIL;
  ListCell* cell;
  foreach (cell, s.tables.all()) {
    schemas = list_append_unique_oid(schemas, get_rel_namespace(lfirst_oid(cell)));
  }
  schemas = list_concat_unique_oid(schemas, s.proposal.schemas);
  foreach (cell, schemas) look_at_schema(s, lfirst_oid(cell));
}

// ---- the survey --------------------------------------------------------------------------------

Surveying begin(const Home& home, const Proposal& proposal) {
  Surveying s(home, proposal);
  s.names = policy_names(proposal.document);
  s.lists = policy_lists(proposal.document);
  s.stored = stored_policy(home, proposal.name);
  const Oid main = s.tables.enrollments;
  const std::optional<Kind> kind = OidIsValid(main) ? kind_of(main) : std::nullopt;
  if (kind) s.owner = kind->owner;
  s.caller_owns = kind && pg::owns_relation(main, GetUserId());
  s.role = s.caller_owns ? s.owner : GetUserId();
  s.path = kind ? path_over(main, proposal.schemas) : pg::bare_path;
  s.result.owner = s.owner;
  return s;
}

void begin_looking(Surveying& s) {
  // Found out while looking at the tables: one of them may be another's.
  s.role = s.caller_owns ? s.owner : GetUserId();
  s.probed.users = qualified_name(s.tables.users);
  s.probed.tournaments = qualified_name(s.tables.tournaments);
  s.probed.enrollments = qualified_name(s.tables.enrollments);
  s.probed.ledger = qualified_name(s.tables.ledger);
}

// Whether anything may be looked at that the tables' owner defined: in a schema that is open to
// others, their code could run with the owner's rights. Locks the tables.
bool may_look(Surveying& s) {
  ListCell* cell;
  foreach (cell, s.tables.all()) LockRelationOid(lfirst_oid(cell), AccessShareLock);
  if (!look_at_tables(s)) return false;
  const int before = s.result.refusals;
  look_at_schemas(s);
  return s.result.refusals == before;
}

void look_at_callers(Surveying& s) {
  for (std::size_t i = 0; i < s.names.count; ++i) {
    const PolicyName& name = s.names.at[i];
    if (name.role != Role::caller || OidIsValid(get_role_oid(name.text, true))) continue;
    const bool everybody = pg_strcasecmp(name.text, "public") == 0;
    refuse(s, name.path, psprintf("role \"%s\" does not exist", name.text),
           everybody ? "Leave callers out to let whoever may execute the functions use the policy."
                     : psprintf("CREATE ROLE %s", quote_identifier(name.text)));
  }
}

void look_at_notify(Surveying& s) {
  if (s.lists.notify != rules::Notify::message || XLogLogicalInfoActive()) return;
  warn(s, "$.notify", "nobody can read the messages while wal_level is not logical",
       "ALTER SYSTEM SET wal_level = 'logical', and restart the server");
}

}  // namespace

const char* action_name(Action action) {
  switch (action) {
    case Action::create:
      return "create";
    case Action::adopt:
      return "adopt";
    case Action::validate:
      return "validate";
    case Action::seed:
      return "seed";
    case Action::drop:
      return "drop";
    case Action::refuse:
      return "refuse";
    case Action::warn:
      return "warn";
  }
  return "";
}

List* Tables::all() const {
  List* found = NIL;
  const auto add_one = [&](Oid table) {
    if (OidIsValid(table)) found = lappend_oid(found, table);
  };
  add_one(users);
  add_one(tournaments);
  ListCell* cell;
  foreach (cell, watched) add_one(lfirst_oid(cell));
  add_one(enrollments);
  add_one(ledger);
  return found;
}

Tables find_tables(const char* document) {
  const pg::Items<PolicyName> names = policy_names(document);
  Tables tables;
  for (std::size_t i = 0; i < names.count; ++i) {
    const PolicyName& name = names.at[i];
    if (!is_table(name.role)) continue;
    const Oid table = find_table(name.text);
    if (name.role == Role::users_table) tables.users = table;
    if (name.role == Role::tournaments_table) tables.tournaments = table;
    if (name.role == Role::watched_table) tables.watched = lappend_oid(tables.watched, table);
    if (name.role == Role::enrollments_table) tables.enrollments = table;
    if (name.role == Role::ledger_table) tables.ledger = table;
  }
  return tables;
}

List* sources_of(const Tables& tables) {
  return list_concat_copy(list_make1_oid(tables.tournaments), tables.watched);
}

Survey survey(const Home& home, const Proposal& proposal) {
  Surveying s = begin(home, proposal);
  if (proposal.name[0] == '\0') refuse(s, "policy", "its name must not be empty");
  if (!may_look(s)) return s.result;
  begin_looking(s);
  look_at_columns(s);
  look_at_rules(s);
  look_at_callers(s);
  look_at_notify(s);
  if (s.balance.found()) look_at_expressions(s);
  if (!s.fits) return s.result;
  look_at_reenrolling(s);
  look_at_rows(s);
  look_at_access_paths(s);
  look_at_strictness(s);
  plan_guards(s);
  Item& seeding = add(s, Action::seed, table_of("seats of", s.tables.tournaments));
  seeding.lock = "SHARE ROW EXCLUSIVE";
  return s.result;
}

StrongLocks strong_locks(const Home& home, const Proposal& proposal) {
  Surveying s = begin(home, proposal);
  bool may = false;
  // Undone, for a lock that is held while a stronger one is waited for is a deadlock to come.
  auto asking = [&] { may = may_look(s); };
  if (pg::failure_of(asking) != nullptr || !may) return {};
  begin_looking(s);
  look_at_columns(s);
  return s.fits ? strong_locks(s) : StrongLocks{};
}

Item& add(Surveying& s, Action action, const char* object) {
  Item item;
  item.action = action;
  item.object = object;
  return s.result.items.add(item);
}

Item& refuse(Surveying& s, const char* object, const char* obstacle, const char* remedy) {
  for (std::size_t i = 0; i < s.result.items.count; ++i) {
    Item& said = s.result.items.at[i];
    if (said.obstacle != nullptr && strcmp(said.object, object) == 0 &&
        strcmp(said.obstacle, obstacle) == 0) {
      return said;
    }
  }
  ++s.result.refusals;
  Item& item = add(s, Action::refuse, object);
  item.obstacle = obstacle;
  item.remedy = remedy;
  return item;
}

void misfit(Surveying& s, const char* object, const char* obstacle, const char* remedy) {
  s.fits = false;
  refuse(s, object, obstacle, remedy);
}

Item& warn(Surveying& s, const char* object, const char* obstacle, const char* remedy) {
  Item& item = add(s, Action::warn, object);
  item.obstacle = obstacle;
  item.remedy = remedy;
  return item;
}

const PolicyName* name_of(const Surveying& s, rules::Role role) {
  for (std::size_t i = 0; i < s.names.count; ++i) {
    if (s.names.at[i].role == role) return &s.names.at[i];
  }
  return nullptr;
}

const char* table_of(const char* kind, Oid relation) {
  return psprintf("%s %s", kind, qualified_name(relation));
}

const char* nearest_name(const char* meant, List* candidates) {
  const auto lower = [](const char* text) { return asc_tolower(text, strlen(text)); };
  const char* wanted = lower(meant);
  const int most = 1 + static_cast<int>(strlen(meant)) / 4;
  const char* nearest = nullptr;
  int fewest = most + 1;
  ListCell* cell;
  foreach (cell, candidates) {
    const char* candidate = static_cast<const char*>(lfirst(cell));
    const int edits = pg::edit_distance(wanted, lower(candidate), most);
    if (edits >= fewest) continue;
    nearest = candidate;
    fewest = edits;
  }
  return nearest;
}

}  // namespace pg_enroll::engine
