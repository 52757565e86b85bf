#include "pg/transition.hpp"

namespace pg_enroll::pg {

TransitionRows::TransitionRows(Tuplestorestate* rows, TupleDesc description) : rows_(rows) {
  if (rows_ == nullptr) return;
  pointer_ = tuplestore_alloc_read_pointer(rows_, EXEC_FLAG_REWIND);
  tuplestore_select_read_pointer(rows_, pointer_);
  tuplestore_rescan(rows_);
  slot_ = MakeSingleTupleTableSlot(description, &TTSOpsMinimalTuple);
}

TupleTableSlot* TransitionRows::next() {
  if (rows_ == nullptr) return nullptr;
  tuplestore_select_read_pointer(rows_, pointer_);
  return tuplestore_gettupleslot(rows_, true, false, slot_) ? slot_ : nullptr;
}

void TransitionRows::close() {
  if (slot_ != nullptr) ExecDropSingleTupleTableSlot(slot_);
  slot_ = nullptr;
  rows_ = nullptr;
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
