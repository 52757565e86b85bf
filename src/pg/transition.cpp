#include "pg/transition.hpp"

namespace pg_enroll::pg {

Transition::Transition(TriggerData* trigger, Oid root)
    : description_(RelationGetDescr(trigger->tg_relation)) {
  const TupleDesc stored = description_;
  if (root != RelationGetRelid(trigger->tg_relation)) {
    root_ = table_open(root, AccessShareLock);
    description_ = RelationGetDescr(root_);
    map_ = convert_tuples_by_name(stored, description_);
  }
  old_rows_ = open(trigger->tg_oldtable, stored);
  new_rows_ = open(trigger->tg_newtable, stored);
}

Transition::Reader Transition::open(Tuplestorestate* rows, TupleDesc stored) const {
  if (rows == nullptr) return {};
  const int pointer = tuplestore_alloc_read_pointer(rows, EXEC_FLAG_REWIND);
  tuplestore_select_read_pointer(rows, pointer);
  tuplestore_rescan(rows);
  return {rows, pointer, MakeSingleTupleTableSlot(stored, &TTSOpsMinimalTuple),
          map_ == nullptr ? nullptr : MakeSingleTupleTableSlot(description_, &TTSOpsVirtual)};
}

TupleTableSlot* Transition::read(const Reader& reader) const {
  if (reader.rows == nullptr) return nullptr;
  tuplestore_select_read_pointer(reader.rows, reader.pointer);
  const bool found = tuplestore_gettupleslot(reader.rows, true, false, reader.slot);
  if (!found) return nullptr;
  return map_ == nullptr ? reader.slot
                         : execute_attr_map_slot(map_->attrMap, reader.slot, reader.as_root);
}

bool Transition::next() {
  CHECK_FOR_INTERRUPTS();
  before = read(old_rows_);
  after = read(new_rows_);
  return before != nullptr || after != nullptr;
}

void Transition::close() {
  for (const Reader& reader : {old_rows_, new_rows_}) {
    if (reader.slot != nullptr) ExecDropSingleTupleTableSlot(reader.slot);
    if (reader.as_root != nullptr) ExecDropSingleTupleTableSlot(reader.as_root);
  }
  if (map_ != nullptr) free_conversion_map(map_);
  if (root_ != nullptr) table_close(root_, NoLock);
}

void require_statement_trigger(TriggerData* trigger) {
  const bool truncates = TRIGGER_FIRED_BY_TRUNCATE(trigger->tg_event);
  const bool wants_new =
      TRIGGER_FIRED_BY_INSERT(trigger->tg_event) || TRIGGER_FIRED_BY_UPDATE(trigger->tg_event);
  const bool wants_old =
      TRIGGER_FIRED_BY_DELETE(trigger->tg_event) || TRIGGER_FIRED_BY_UPDATE(trigger->tg_event);
  const bool fits = TRIGGER_FIRED_AFTER(trigger->tg_event) &&
                    TRIGGER_FIRED_FOR_STATEMENT(trigger->tg_event) &&
                    (truncates || ((trigger->tg_newtable != nullptr) == wants_new &&
                                   (trigger->tg_oldtable != nullptr) == wants_old));
  if (!fits) {
    ereport(ERROR, (errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
                    errmsg("trigger \"%s\" was not made by pg_enroll", trigger->tg_trigger->tgname),
                    errhint("Drop it; attaching a policy creates the triggers it needs.")));
  }
}

}  // namespace pg_enroll::pg
