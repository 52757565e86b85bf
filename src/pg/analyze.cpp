#include "pg/analyze.hpp"

#include "pg/spi.hpp"

extern "C" {
#include "nodes/parsenodes.h"
#include "parser/analyze.h"
#include "parser/parse_clause.h"
#include "parser/parse_coerce.h"
#include "parser/parse_collate.h"
#include "parser/parse_node.h"
#include "parser/parse_param.h"
#include "parser/parse_relation.h"
#include "rewrite/rewriteHandler.h"
#include "utils/varlena.h"
}

namespace pg_enroll::pg {
namespace {

RawStmt* parse_one(const char* sql) {
  List* statements = raw_parser(sql, RAW_PARSE_DEFAULT);
  if (list_length(statements) != 1) {
    ereport(ERROR, (errcode(ERRCODE_SYNTAX_ERROR),
                    errmsg("expected one statement, found %d", list_length(statements))));
  }
  return static_cast<RawStmt*>(linitial(statements));
}

ParseState* parse_state(const char* sql) {
  ParseState* state = make_parsestate(nullptr);
  state->p_sourcetext = sql;
  return state;
}

void fix_parameters(ParseState* state, int count, Oid* types) {
#if PG_VERSION_NUM < 150000
  parse_fixed_parameters(state, types, count);
#else
  setup_parse_fixed_parameters(state, types, count);
#endif
}

struct RelationVisit {
  RelationVisitor visit;
  void* state;
};

bool walk_relations(Node* node, void* argument) {
  if (node == nullptr) return false;
  if (IsA(node, Query)) {
    auto* query = reinterpret_cast<Query*>(node);
    const auto* visit = static_cast<const RelationVisit*>(argument);
    ListCell* cell;
    foreach (cell, query->rtable) {
      auto* entry = static_cast<RangeTblEntry*>(lfirst(cell));
      if (entry->rtekind == RTE_RELATION) visit->visit(visit->state, query, entry);
    }
  }
  return walk_parts(node, walk_relations, argument);
}

struct FunctionVisit {
  FunctionVisitor visit;
  void* state;
};

bool visit_function(Oid function, void* argument) {
  const auto* visit = static_cast<const FunctionVisit*>(argument);
  visit->visit(visit->state, function);
  return false;
}

bool walk_functions(Node* node, void* argument) {
  if (node == nullptr) return false;
  // A query is no expression; its parts are.
  if (!IsA(node, Query)) check_functions_in_node(node, visit_function, argument);
  return walk_parts(node, walk_functions, argument);
}

void note_temporary(void* found, Oid function) {
  if (isAnyTempNamespace(get_func_namespace(function))) *static_cast<bool*>(found) = true;
}

bool finds_more_than_reading(Node* node, void* state) {
  if (node == nullptr) return false;
  if (IsA(node, Query)) {
    const auto* query = reinterpret_cast<Query*>(node);
    if (query->commandType != CMD_SELECT || query->rowMarks != NIL) return true;
  }
  return walk_parts(node, finds_more_than_reading, state);
}

}  // namespace

Query* analyze(const char* sql, int parameters, Oid* types) {
  RawStmt* statement = parse_one(sql);
  ParseState* state = parse_state(sql);
  if (parameters > 0) fix_parameters(state, parameters, types);
  Query* query = transformTopLevelStmt(state, statement);
  free_parsestate(state);
  return query;
}

Query* analyze_loosely(const char* sql) {
  RawStmt* statement = parse_one(sql);
  ParseState* state = parse_state(sql);
  state->p_resolve_unknowns = false;
  Query* query = transformTopLevelStmt(state, statement);
  free_parsestate(state);
  return query;
}

void require_rewritable(Query* query) { QueryRewrite(static_cast<Query*>(copyObjectImpl(query))); }

Node* analyze_predicate(Oid table, const char* expression) {
  const char* sql = psprintf("SELECT (%s)", expression);
  auto* select = reinterpret_cast<SelectStmt*>(parse_one(sql)->stmt);
  const auto* target = static_cast<const ResTarget*>(linitial(select->targetList));
  ParseState* state = parse_state(sql);
  const Relation relation = table_open(table, AccessShareLock);
  ParseNamespaceItem* columns =
      addRangeTableEntryForRelation(state, relation, AccessShareLock, nullptr, false, true);
  // Columns by their bare names only: the index knows no alias.
  addNSItemToQuery(state, columns, false, false, true);
  Node* predicate =
      transformWhereClause(state, target->val, EXPR_KIND_INDEX_PREDICATE, "an index predicate");
  assign_expr_collations(state, predicate);
  free_parsestate(state);
  table_close(relation, NoLock);
  return predicate;
}

bool is_assignable(Node* value, Oid type, int32 modifier) {
  ParseState* state = make_parsestate(nullptr);
  const Node* assigned =
      coerce_to_target_type(state, static_cast<Node*>(copyObjectImpl(value)), exprType(value), type,
                            modifier, COERCION_ASSIGNMENT, COERCE_IMPLICIT_CAST, -1);
  free_parsestate(state);
  return assigned != nullptr;
}

bool reads_system_column(Node* expression) {
  Bitmapset* columns = nullptr;
  pull_varattnos(expression, 1, &columns);
  const int first = bms_next_member(columns, -1);
  return first >= 0 && first + FirstLowInvalidHeapAttributeNumber < 0;
}

bool is_immutable(Node* expression) {
  const auto planned =
      expression_planner(static_cast<Expr*>(static_cast<void*>(copyObjectImpl(expression))));
  return !contain_mutable_functions(reinterpret_cast<Node*>(planned));
}

void visit_relations(Query* query, RelationVisitor visit, void* state) {
  RelationVisit all{visit, state};
  walk_relations(reinterpret_cast<Node*>(query), &all);
}

void visit_functions(Query* query, FunctionVisitor visit, void* state) {
  FunctionVisit all{visit, state};
  walk_functions(reinterpret_cast<Node*>(query), &all);
}

bool is_of_this_session(Query* query) {
  bool found = uses_temporary_objects(query);
  visit_functions(query, note_temporary, &found);
  return found;
}

bool only_reads(Query* query) {
  return !finds_more_than_reading(reinterpret_cast<Node*>(query), nullptr);
}

AclMode needed_privileges([[maybe_unused]] Query* query, RangeTblEntry* entry) {
#if PG_VERSION_NUM < 160000
  return entry->requiredPerms;
#else
  return getRTEPermissionInfo(query->rteperminfos, entry)->requiredPerms;
#endif
}

bool has_privileges([[maybe_unused]] Query* query, RangeTblEntry* entry) {
#if PG_VERSION_NUM < 160000
  return ExecCheckRTPerms(list_make1(entry), false);
#else
  return ExecCheckPermissions(query->rtable,
                              list_make1(getRTEPermissionInfo(query->rteperminfos, entry)), false);
#endif
}

bool can_execute(Oid function, Oid role) {
#if PG_VERSION_NUM < 160000
  return pg_proc_aclcheck(function, role, ACL_EXECUTE) == ACLCHECK_OK;
#else
  return object_aclcheck(ProcedureRelationId, function, role, ACL_EXECUTE) == ACLCHECK_OK;
#endif
}

int edit_distance(const char* a, const char* b, int most) {
  const auto length = [](const char* text) { return static_cast<int>(strlen(text)); };
  return varstr_levenshtein_less_equal(a, length(a), b, length(b), 1, 1, 1, most, true);
}

}  // namespace pg_enroll::pg
