// The expressions and statements of a policy: that the parser takes them, that they are of the type
// that is wanted, that the tables' owner may do what they do, and what they read.
#include "engine/survey_parts.hpp"

extern "C" {
#include "utils/regproc.h"
#include "utils/varlena.h"
}

namespace pg_enroll::engine {
namespace {

using rules::ProbeKind;

// What one look at an expression is about, and what came of it.
struct Examination {
  Surveying& s;
  const PolicyProbe& probe;
  const char* obstacle = nullptr;
  const char* remedy = nullptr;
};

// ---- privileges --------------------------------------------------------------------------------

const char* privileges_text(AclMode needed) {
  StringInfoData text;
  initStringInfo(&text);
  const std::pair<AclMode, const char*> names[] = {{ACL_SELECT, "SELECT"},
                                                   {ACL_INSERT, "INSERT"},
                                                   {ACL_UPDATE, "UPDATE"},
                                                   {ACL_DELETE, "DELETE"}};
  for (const auto& [bit, name] : names) {
    if ((needed & bit) != 0) appendStringInfo(&text, "%s%s", text.len == 0 ? "" : ", ", name);
  }
  return text.data;
}

void require_privileges(void* state, Query* query, RangeTblEntry* entry) {
  const auto* examined = static_cast<const Examination*>(state);
  Surveying& s = examined->s;
  // Asks the catalogs only.
  const pg::Identity before = pg::become(s.owner);
  const bool granted = pg::has_privileges(query, entry);
  pg::restore(before);
  if (granted) return;
  const char* owner = GetUserNameFromId(s.owner, false);
  const char* needed = privileges_text(pg::needed_privileges(query, entry));
  const char* relation = qualified_name(entry->relid);
  refuse(s, examined->probe.path,
         psprintf("the tables' owner %s lacks %s on %s", owner, needed, relation),
         psprintf("GRANT %s ON %s TO %s", needed, relation, quote_identifier(owner)));
}

void require_execute(void* state, Oid function) {
  const auto* examined = static_cast<const Examination*>(state);
  Surveying& s = examined->s;
  if (pg::can_execute(function, s.owner)) return;
  const char* owner = GetUserNameFromId(s.owner, false);
  const char* name = format_procedure_qualified(function);
  refuse(s, examined->probe.path, psprintf("the tables' owner %s may not execute %s", owner, name),
         psprintf("GRANT EXECUTE ON FUNCTION %s TO %s", name, quote_identifier(owner)));
}

// ---- types -------------------------------------------------------------------------------------

Node* value_of(Query* query) {
  return reinterpret_cast<Node*>(static_cast<TargetEntry*>(linitial(query->targetList))->expr);
}

// The level of the query that the expression itself stands in.
const Query* level_of(Query* query, bool inner) {
  if (!inner) return query;
  const Node* value = value_of(query);
  if (!IsA(value, SubLink)) return query;
  return reinterpret_cast<const Query*>(reinterpret_cast<const SubLink*>(value)->subselect);
}

// Why the expression does not answer once for each row; null where it does.
const char* unfit_level(const Query* level) {
  if (level->hasAggs) return "an aggregate, which is about many rows, stands outside a sub-select";
  if (level->hasWindowFuncs) return "a window function stands outside a sub-select";
  if (level->hasTargetSRFs) return "a function that returns a set stands outside a sub-select";
  return nullptr;
}

void require_number(Examination& x, Node* value, bool integer) {
  const Oid type = exprType(value);
  const Oid base = getBaseType(type);
  const bool whole = base == INT2OID || base == INT4OID || base == INT8OID;
  if (whole || (!integer && base == NUMERICOID)) return;
  if (type == UNKNOWNOID) {
    // Raises where the literal is no such number.
    pg::is_assignable(value, integer ? INT8OID : NUMERICOID, -1);
    return;
  }
  x.obstacle = integer ? psprintf("is of type %s, expected a whole number", format_type_be(type))
                       : psprintf("is of type %s, expected an exact number", format_type_be(type));
  x.remedy = integer ? "Cast it to bigint: (...)::bigint" : "Cast it to numeric: (...)::numeric";
}

void require_assignable(Examination& x, Node* value, Oid table) {
  const AttrNumber column = get_attnum(table, x.probe.column);
  // That it does not exist was said with the columns.
  if (column <= InvalidAttrNumber) return;
  Oid type = InvalidOid;
  int32 modifier = -1;
  Oid collation = InvalidOid;
  get_atttypetypmodcoll(table, column, &type, &modifier, &collation);
  if (pg::is_assignable(value, type, modifier)) return;
  x.obstacle = psprintf("is of type %s, the column of type %s", format_type_be(exprType(value)),
                        format_type_be(type));
  // Without its length, to which a cast would cut silently.
  x.remedy = psprintf("Cast it: (...)::%s", format_type_with_typemod(type, -1));
}

// ---- columns without their alias ---------------------------------------------------------------

// The name that begins at that character of an expression, as it is spelled there.
char* name_at(const char* text, int position) {
  const auto length = static_cast<int>(strlen(text));
  const char* begin = text + pg_mbcharcliplen(text, length, position - 1);
  const char* end = begin + 1;
  if (*begin == '"') {
    while (*end != '\0' && (*end != '"' || end[1] == '"')) end += *end == '"' ? 2 : 1;
    if (*end == '"') ++end;
  } else {
    while (IS_HIGHBIT_SET(*end) || isalnum(static_cast<unsigned char>(*end)) || *end == '_' ||
           *end == '$') {
      ++end;
    }
  }
  return pnstrdup(begin, static_cast<Size>(end - begin));
}

// The column whose name is spelled so, behind the alias of a table that has it; null where none
// has.
const char* with_alias(const Surveying& s, const char* spelled) {
  List* parts = NIL;
  if (!SplitIdentifierString(pstrdup(spelled), '.', &parts) || list_length(parts) != 1) {
    return nullptr;
  }
  const std::pair<const char*, Oid> tables[] = {
      {"t", s.tables.tournaments}, {"u", s.tables.users}, {"e", s.tables.enrollments}};
  for (const auto& [alias, table] : tables) {
    const AttrNumber column = get_attnum(table, static_cast<const char*>(linitial(parts)));
    if (column != InvalidAttrNumber) return psprintf("%s.%s", alias, spelled);
  }
  return nullptr;
}

void refuse_failure(Surveying& s, const PolicyProbe& probe, const ErrorData* error) {
  const bool ambiguous = error->sqlerrcode == ERRCODE_AMBIGUOUS_COLUMN &&
                         probe.kind != ProbeKind::follow_up && error->cursorpos > 0 &&
                         error->internalquery == nullptr;
  const char* name = ambiguous ? name_at(probe.text, error->cursorpos) : nullptr;
  const char* column = ambiguous ? with_alias(s, name) : nullptr;
  if (column == nullptr) {
    refuse(s, probe.path, error->message, error->hint);
    return;
  }
  refuse(s, probe.path, psprintf("names column %s without its alias", name),
         psprintf("Write the alias before it, such as %s.", column));
}

// ---- temporary objects -------------------------------------------------------------------------

// What only this session sees means nothing in another, or something else.
void refuse_temporary_objects(Examination& x, Query* query) {
  if (pg::is_of_this_session(query))
    x.obstacle = "uses a temporary object, which only one session sees";
}

// ---- one expression ----------------------------------------------------------------------------

Query* examine_value(Examination& x) {
  Query* query = pg::analyze_loosely(x.probe.text);
  if (list_length(query->targetList) != 1) {
    x.obstacle = "is a row of several values, expected one";
    return query;
  }
  x.obstacle = unfit_level(level_of(query, x.probe.inner));
  if (x.obstacle != nullptr) return query;
  Node* value = value_of(query);
  switch (x.probe.kind) {
    case ProbeKind::integer:
      require_number(x, value, true);
      break;
    case ProbeKind::number:
      require_number(x, value, false);
      break;
    case ProbeKind::enrollment:
      require_assignable(x, value, x.s.tables.enrollments);
      break;
    default:
      require_assignable(x, value, x.s.tables.ledger);
  }
  return query;
}

Query* examine_statement(Examination& x) {
  Oid types[] = {x.s.users_key.type, x.s.tournaments_key.type, x.s.enrollments_key.type};
  Query* query = pg::analyze(x.probe.text, 3, types);
  if (query->commandType == CMD_UTILITY) {
    x.obstacle = "is neither SELECT, INSERT, UPDATE, DELETE nor MERGE";
  }
  return query;
}

void examine_predicate(Examination& x) {
  Node* predicate = pg::analyze_predicate(x.s.tables.enrollments, x.probe.text);
  if (pg::reads_system_column(predicate)) {
    x.obstacle = "reads a system column, which no index knows";
    return;
  }
  Query* alone = makeNode(Query);
  alone->jointree = makeFromExpr(NIL, predicate);
  refuse_temporary_objects(x, alone);
  if (x.obstacle != nullptr) return;
  if (!pg::is_immutable(predicate)) {
    x.obstacle = "is not immutable, as the predicate of an index has to be";
    x.remedy = "Make it of the row's columns alone, with functions that are IMMUTABLE.";
    return;
  }
  x.s.active = conditions_of(predicate, false);
  if (contain_var_clause(reinterpret_cast<Node*>(x.s.active))) return;
  x.obstacle = "is the same for every row";
  x.remedy = "Make it of the columns that the withdraw expressions change.";
}

Query* examine_withdrawn(Examination& x) {
  Query* query = pg::analyze(x.probe.text, 0, nullptr);
  x.s.withdrawn = conditions_of(query->jointree->quals, false);
  return query;
}

// Null for what is no statement.
Query* examine_kind(Examination& x) {
  switch (x.probe.kind) {
    case ProbeKind::boolean:
      return pg::analyze(x.probe.text, 0, nullptr);
    case ProbeKind::withdrawn:
      return examine_withdrawn(x);
    case ProbeKind::predicate:
      examine_predicate(x);
      return nullptr;
    case ProbeKind::follow_up:
      return examine_statement(x);
    default:
      return examine_value(x);
  }
}

// ---- what open and capacity read ---------------------------------------------------------------

struct Reading {
  Surveying& s;
  const char* path;
  List* read;  // tables, by their OIDs
  List* functions;
};

const char* column_names(Query* query, RangeTblEntry* entry) {
  StringInfoData names;
  initStringInfo(&names);
  const Bitmapset* selected = pg::selected_columns(query, entry);
  for (int member = bms_next_member(selected, -1); member >= 0;
       member = bms_next_member(selected, member)) {
    const auto column = static_cast<AttrNumber>(member + FirstLowInvalidHeapAttributeNumber);
    if (column <= InvalidAttrNumber) continue;
    appendStringInfo(&names, "%s%s", names.len == 0 ? "" : ", ",
                     quote_identifier(get_attname(entry->relid, column, false)));
  }
  return names.len == 0 ? "rows" : names.data;
}

// A text as the document would write it.
const char* in_json(const char* text) {
  StringInfoData json;
  initStringInfo(&json);
  escape_json(&json, text);
  return json.data;
}

// The column by which a table refers to the tournaments; null where no foreign key tells.
const char* referring_column(Oid table, Oid tournaments) {
  const char* column = nullptr;
  const Relation relation = table_open(table, AccessShareLock);
  ListCell* cell;
  foreach (cell, RelationGetFKeyList(relation)) {
    const auto* key = static_cast<ForeignKeyCacheInfo*>(lfirst(cell));
    if (key->confrelid == tournaments && key->nkeys == 1 && column == nullptr) {
      column = get_attname(table, key->conkey[0], false);
    }
  }
  table_close(relation, AccessShareLock);
  return column;
}

void note_relation(void* state, Query* query, RangeTblEntry* entry) {
  auto* reading = static_cast<Reading*>(state);
  Surveying& s = reading->s;
  const Oid table = root_of(entry->relid);
  if (table == s.tables.tournaments || list_member_oid(reading->read, table)) return;
  reading->read = lappend_oid(reading->read, table);
  if (list_member_oid(s.tables.watched, table)) return;
  const char* name = qualified_name(table);
  const char* columns = column_names(query, entry);
  const char kind = get_rel_relkind(table);
  if (kind != RELKIND_RELATION && kind != RELKIND_PARTITIONED_TABLE) {
    warn(s, reading->path,
         psprintf("reads %s of %s, which is no table and cannot be watched: what changes there is "
                  "seen by a call's first look only",
                  columns, name),
         "Read the tables themselves, and list them under watch.");
    return;
  }
  const bool own = list_member_oid(s.tables.all(), table);
  const char* column = referring_column(table, s.tables.tournaments);
  warn(s, reading->path,
       psprintf("reads %s of %s, which is not watched: what changes there is seen by a call's "
                "first look only",
                columns, name),
       own ? "Keep what it reads in the tournaments or in a table of its own."
           : psprintf("\"watch\": [{\"table\": %s, \"tournament\": %s}]", in_json(name),
                      column == nullptr ? "..." : in_json(column)));
}

void note_function(void* state, Oid function) {
  auto* reading = static_cast<Reading*>(state);
  const bool builtin = function < FirstNormalObjectId;
  if (builtin || func_volatile(function) == PROVOLATILE_IMMUTABLE ||
      list_member_oid(reading->functions, function)) {
    return;
  }
  reading->functions = lappend_oid(reading->functions, function);
  warn(reading->s, reading->path,
       psprintf("calls %s: tables that it may read cannot be watched",
                format_procedure_qualified(function)),
       "Write what it reads as a sub-select, and list its tables under watch.");
}

void examine(Surveying& s, const PolicyProbe& probe, Reading& reading) {
  Examination x{s, probe};
  const int before = s.result.refusals;
  const ErrorData* error = look(s, [&] {
    Query* query = examine_kind(x);
    if (query == nullptr || x.obstacle != nullptr) return;
    refuse_temporary_objects(x, query);
    if (x.obstacle != nullptr) return;
    if (probe.watched) {
      reading.path = probe.path;
      pg::visit_relations(query, note_relation, &reading);
      pg::visit_functions(query, note_function, &reading);
    }
    if (!s.lists.runs_as_caller) {
      pg::visit_relations(query, require_privileges, &x);
      pg::visit_functions(query, require_execute, &x);
    }
    pg::require_rewritable(query);
  });
  if (error != nullptr) refuse_failure(s, probe, error);
  if (x.obstacle != nullptr) refuse(s, probe.path, x.obstacle, x.remedy);
  // Rows are counted by these.
  const bool counts = probe.kind == ProbeKind::predicate || probe.kind == ProbeKind::integer ||
                      probe.kind == ProbeKind::number;
  if (counts && s.result.refusals > before) s.fits = false;
}

}  // namespace

void look_at_expressions(Surveying& s) {
  const pg::Items<PolicyProbe> probes = policy_probes(s.proposal.document, s.probed);
  Reading reading{s, nullptr, NIL, NIL};
  const int before = s.result.refusals;
  const bool keys = s.users_key.found() && s.tournaments_key.found() && s.enrollments_key.found();
  for (std::size_t i = 0; i < probes.count; ++i) {
    // Keys that do not exist were said not to.
    if (probes.at[i].kind == ProbeKind::follow_up && !keys) continue;
    examine(s, probes.at[i], reading);
  }
  if (s.result.refusals > before) return;
  ListCell* cell;
  foreach (cell, s.tables.watched) {
    const Oid table = lfirst_oid(cell);
    if (list_member_oid(reading.read, table)) continue;
    warn(s, table_of("table", table), "is watched, yet neither open nor capacity reads it",
         "Take it out of watch.");
  }
}

}  // namespace pg_enroll::engine
