// The rows that stand in a policy's way, the constraints that would forbid its rows, and the
// indexes that its reads want.
#include "engine/survey_parts.hpp"

extern "C" {
#include "catalog/pg_am.h"
#include "rewrite/rewriteHandler.h"
}

namespace pg_enroll::engine {
namespace {

using rules::Role;

// ---- indexes -----------------------------------------------------------------------------------

// Calls the visitor for each index of a table, opened.
template <typename Visitor>
void visit_indexes(Oid table, Visitor visit) {
  const Relation relation = table_open(table, AccessShareLock);
  ListCell* cell;
  foreach (cell, RelationGetIndexList(relation)) {
    const Relation index = index_open(lfirst_oid(cell), AccessShareLock);
    visit(index);
    index_close(index, AccessShareLock);
  }
  table_close(relation, AccessShareLock);
}

bool covers(const Form_pg_index index, AttrNumber column) {
  for (int i = 0; i < index->indnkeyatts; ++i) {
    if (index->indkey.values[i] == column) return true;
  }
  return false;
}

// Whether a column makes every row another one: a time, or a default that is new each time.
bool tells_rows_apart(Oid table, AttrNumber column) {
  const Oid type = getBaseType(get_atttype(table, column));
  if (type == DATEOID || type == TIMESTAMPOID || type == TIMESTAMPTZOID) return true;
  const Relation relation = table_open(table, AccessShareLock);
  Node* filled = build_column_default(relation, column);
  table_close(relation, AccessShareLock);
  return filled != nullptr && contain_volatile_functions(filled);
}

// Whether the index tells a user's rows for a tournament from one another by nothing that differs.
bool keeps_pairs_unique(const Surveying& s, Relation index) {
  const Form_pg_index form = index->rd_index;
  if (!form->indisunique || !covers(form, s.enrollments_user.number) ||
      !covers(form, s.enrollments_tournament.number)) {
    return false;
  }
  for (int i = 0; i < form->indnkeyatts; ++i) {
    const AttrNumber column = form->indkey.values[i];
    if (column == InvalidAttrNumber) return false;
    if (column != s.enrollments_user.number && column != s.enrollments_tournament.number &&
        tells_rows_apart(form->indrelid, column)) {
      return false;
    }
  }
  return true;
}

Node* not_null_test(const Column& column) {
  NullTest* test = makeNode(NullTest);
  test->arg = reinterpret_cast<Expr*>(
      makeVar(1, column.number, column.type, column.modifier, column.collation, 0));
  test->nulltesttype = IS_NOT_NULL;
  test->location = -1;
  return reinterpret_cast<Node*>(test);
}

enum class Covers : std::uint8_t { no, perhaps, yes };

// Whether a user's withdrawn row is in the index, as far as its predicate tells.
Covers covers_withdrawn(const Surveying& s, Relation index) {
  List* predicate = RelationGetIndexPredicate(index);
  // One that holds active rows only is the guard.
  if (predicate_implied_by(s.active, predicate, false)) return Covers::no;
  if (s.withdrawn != NIL && predicate_refuted_by(predicate, s.withdrawn, true)) return Covers::no;
  List* known = list_concat_copy(s.withdrawn, list_make2(not_null_test(s.enrollments_user),
                                                         not_null_test(s.enrollments_tournament)));
  return predicate_implied_by(predicate, known, false) ? Covers::yes : Covers::perhaps;
}

void look_at_unique_index(Surveying& s, Relation index) {
  const char* object = table_of("index", RelationGetRelid(index));
  const char* remedy = "\"reenroll\": \"reactivate\" writes the withdrawn row anew.";
  switch (covers_withdrawn(s, index)) {
    case Covers::no:
      return;
    case Covers::yes:
      refuse(s, object,
             "allows a user one row for a tournament, withdrawn or not: nobody who has withdrawn "
             "could enroll again",
             remedy);
      return;
    case Covers::perhaps:
      warn(s, object,
           s.withdrawn == NIL
               ? "may hold withdrawn rows, whose users could not enroll again: "
                 "$.enrollments.withdrawn, which would tell, is left out"
               : "may hold withdrawn rows, whose users could not enroll again: nothing proves that "
                 "$.enrollments.withdrawn keeps them out of it",
           remedy);
  }
}

// Whether an index leads from the column's value to all rows that meet the conditions.
bool has_access_path(Oid table, AttrNumber column, List* conditions) {
  bool found = false;
  visit_indexes(table, [&](Relation index) {
    const Form_pg_index form = index->rd_index;
    const bool ordinary =
        index->rd_rel->relam == BTREE_AM_OID || index->rd_rel->relam == HASH_AM_OID;
    found = found || (ordinary && form->indisvalid && form->indkey.values[0] == column &&
                      predicate_implied_by(RelationGetIndexPredicate(index), conditions, false));
  });
  return found;
}

void want_access_path(Surveying& s, Oid table, AttrNumber column, List* conditions,
                      const char* what) {
  bool found = false;
  look_as_owner(s, [&] { found = has_access_path(table, column, conditions); });
  if (found) return;
  const bool partitioned = get_rel_relkind(table) == RELKIND_PARTITIONED_TABLE;
  const char* name = get_attname(table, column, false);
  warn(s, table_of("table", table),
       psprintf("no index leads with column \"%s\": %s reads the whole table", name, what),
       psprintf("CREATE INDEX %sON %s (%s)", partitioned ? "" : "CONCURRENTLY ",
                qualified_name(table), quote_identifier(name)));
}

// Whether deleting a user changes the enrollments.
bool follows_users(const Surveying& s) {
  bool follows = false;
  const Relation relation = table_open(s.tables.enrollments, AccessShareLock);
  ListCell* cell;
  foreach (cell, RelationGetFKeyList(relation)) {
    const auto* key = static_cast<ForeignKeyCacheInfo*>(lfirst(cell));
    const HeapTuple tuple = SearchSysCache1(CONSTROID, ObjectIdGetDatum(key->conoid));
    if (!HeapTupleIsValid(tuple)) continue;
    const char action = reinterpret_cast<Form_pg_constraint>(GETSTRUCT(tuple))->confdeltype;
    ReleaseSysCache(tuple);
    follows = follows || (key->confrelid == s.tables.users && action != FKCONSTR_ACTION_NOACTION &&
                          action != FKCONSTR_ACTION_RESTRICT);
  }
  table_close(relation, AccessShareLock);
  return follows;
}

// ---- rows --------------------------------------------------------------------------------------

struct Count {
  int64 rows = 0;
  const char* sample = nullptr;
};

Count count_rows(const char* query) {
  Oid nobody_else = InvalidOid;
  const Snapshot snapshot = pg::fresh_snapshot(GetCurrentCommandId(false));
  pg::Rows rows = pg::read(pg::prepare(query, 0, nullptr, nobody_else), nobody_else, {}, snapshot);
  UnregisterSnapshot(snapshot);
  Count count;
  count.rows = DatumGetInt64(rows.at(0, 1).datum);
  const pg::Value sample = rows.at(0, 2);
  if (!sample.null) {
    Jsonb* json = DatumGetJsonbP(sample.datum);
    count.sample = JsonbToCString(nullptr, &json->root, static_cast<int>(VARSIZE(json)));
  }
  rows.release();
  return count;
}

void look_at_row_check(Surveying& s, const PolicyRowCheck& check) {
  Count count;
  const ErrorData* error = look(s, [&] { count = count_rows(check.query); });
  if (error != nullptr) {
    refuse(s, check.path, psprintf("cannot be looked at row by row: %s", error->message),
           error->hint);
    return;
  }
  if (count.rows == 0) return;
  const char* object = psprintf("table %s", check.table);
  Item& item = check.refuses ? refuse(s, object, check.obstacle, check.remedy)
                             : warn(s, object, check.obstacle, check.remedy);
  item.violations = count.rows;
  item.sample = count.sample;
}

}  // namespace

void look_at_reenrolling(Surveying& s) {
  if (s.lists.reactivates) return;
  look_as_owner(s, [&] {
    visit_indexes(s.tables.enrollments, [&](Relation index) {
      if (index->rd_index->indisexclusion) {
        warn(s, table_of("index", RelationGetRelid(index)),
             "belongs to an exclusion constraint, which may forbid a user's second row");
      } else if (RelationGetRelid(index) != built_index(s) && keeps_pairs_unique(s, index)) {
        look_at_unique_index(s, index);
      }
    });
  });
}

void look_at_rows(Surveying& s) {
  const rules::RowFacts facts{s.balance.base == NUMERICOID, s.balance_scale};
  const pg::Items<PolicyRowCheck> checks = policy_row_checks(s.proposal.document, s.probed, facts);
  for (std::size_t i = 0; i < checks.count; ++i) look_at_row_check(s, checks.at[i]);
}

void look_at_access_paths(Surveying& s) {
  const Tables& tables = s.tables;
  int number = 0;
  for (std::size_t i = 0; i < s.names.count; ++i) {
    if (s.names.at[i].role != Role::watched_tournament) continue;
    const Oid table = list_nth_oid(tables.watched, number++);
    want_access_path(s, table, get_attnum(table, s.names.at[i].text), NIL, "judging a tournament");
  }
  want_access_path(s, tables.enrollments, s.enrollments_tournament.number, s.active,
                   "deleting or counting a tournament");
  if (s.lists.reactivates || follows_users(s)) {
    want_access_path(s, tables.enrollments, s.enrollments_user.number, NIL,
                     s.lists.reactivates ? "enrolling" : "deleting a user");
  }
  want_access_path(s, tables.ledger, s.ledger_enrollment.number, NIL, "unenrolling");
}

}  // namespace pg_enroll::engine
