#include "pg/direct.hpp"

namespace pg_enroll::pg {
namespace {

// A version that does not share its page with the one before is found by entries of its own.
void insert_index_entry(Relation table, TupleTableSlot* row) {
  const Relation index = index_open(primary_key_index(table), RowExclusiveLock);
  IndexInfo* info = BuildIndexInfo(index);
  Datum values[INDEX_MAX_KEYS];
  bool nulls[INDEX_MAX_KEYS];
  FormIndexDatum(info, row, nullptr, values, nulls);
  index_insert(index, values, nulls, &row->tts_tid, table, UNIQUE_CHECK_YES, false, info);
  index_close(index, NoLock);
}

}  // namespace

bool is_plain_table(Relation table) {
  List* indexes = RelationGetIndexList(table);
  const bool plain = table->rd_rel->relkind == RELKIND_RELATION && table->trigdesc == nullptr &&
                     list_length(indexes) == 1 && linitial_oid(indexes) == primary_key_index(table);
  list_free(indexes);
  return plain;
}

Written update_row(Relation table, ItemPointerData row, Values columns) {
  Datum values[MaxHeapAttributeNumber];
  bool nulls[MaxHeapAttributeNumber];
  for (std::size_t i = 0; i < columns.count; ++i) {
    values[i] = columns.at[i].datum;
    nulls[i] = columns.at[i].null;
  }
  TupleTableSlot* slot = MakeSingleTupleTableSlot(RelationGetDescr(table), &TTSOpsHeapTuple);
  HeapTuple tuple = heap_form_tuple(RelationGetDescr(table), values, nulls);
  ExecStoreHeapTuple(tuple, slot, false);
  TM_FailureData failure;
  LockTupleMode lock;
  UpdatedIndexes updated{};
  const TM_Result result =
      table_tuple_update(table, &row, slot, GetCurrentCommandId(true), InvalidSnapshot,
                         InvalidSnapshot, true, &failure, &lock, &updated);
  if (result == TM_Ok && writes_index(updated)) insert_index_entry(table, slot);
  ExecDropSingleTupleTableSlot(slot);
  heap_freetuple(tuple);
  switch (result) {
    case TM_Ok:
      CommandCounterIncrement();
      return Written::done;
    case TM_SelfModified:
      return Written::by_itself;
    case TM_Updated:
    case TM_Deleted:
      return Written::outrun;
    case TM_Invisible:
    case TM_BeingModified:
    case TM_WouldBlock:
      break;
  }
  elog(ERROR, "unexpected result %d of an update of table \"%s\"", result,
       RelationGetRelationName(table));
}

}  // namespace pg_enroll::pg
