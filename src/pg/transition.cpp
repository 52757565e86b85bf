#include "pg/transition.hpp"

namespace pg_enroll::pg {

Transition::Transition(TriggerData* trigger)
    : old_rows_(open(trigger->tg_oldtable, RelationGetDescr(trigger->tg_relation))),
      new_rows_(open(trigger->tg_newtable, RelationGetDescr(trigger->tg_relation))) {}

Transition::Reader Transition::open(Tuplestorestate* rows, TupleDesc description) {
  if (rows == nullptr) return {};
  const int pointer = tuplestore_alloc_read_pointer(rows, EXEC_FLAG_REWIND);
  tuplestore_select_read_pointer(rows, pointer);
  tuplestore_rescan(rows);
  return {rows, pointer, MakeSingleTupleTableSlot(description, &TTSOpsMinimalTuple)};
}

TupleTableSlot* Transition::read(const Reader& reader) {
  if (reader.rows == nullptr) return nullptr;
  tuplestore_select_read_pointer(reader.rows, reader.pointer);
  const bool found = tuplestore_gettupleslot(reader.rows, true, false, reader.slot);
  return found ? reader.slot : nullptr;
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
  }
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
