#include "pg/spi.hpp"

namespace pg_enroll::pg {
namespace {

constexpr std::size_t most_parameters = 8;

Rows execute_plan(SPIPlanPtr plan, Oid role, Values parameters, Snapshot snapshot,
                  Snapshot crosscheck, bool read_only) {
  Datum datums[most_parameters] = {};
  char nulls[most_parameters + 1] = {};
  for (std::size_t i = 0; i < parameters.count; ++i) {
    datums[i] = parameters.at[i].datum;
    nulls[i] = parameters.at[i].null ? 'n' : ' ';
  }
  const MemoryContext context = CurrentMemoryContext;
  const Identity before = become(role);
  const int result =
      SPI_execute_snapshot(plan, datums, nulls, snapshot, crosscheck, read_only, true, 0);
  restore(before);
  MemoryContextSwitchTo(context);
  if (result < 0) elog(ERROR, "SPI_execute_snapshot: %s", SPI_result_code_string(result));
  return {SPI_tuptable, SPI_processed};
}

}  // namespace

Value Rows::at(uint64 row, int column) const {
  Value v;
  v.datum = SPI_getbinval(table_->vals[row], table_->tupdesc, column, &v.null);
  return v;
}

Value Rows::keep(uint64 row, int column, MemoryContext context) const {
  Value v = at(row, column);
  if (v.null) return v;
  const Form_pg_attribute attribute = TupleDescAttr(table_->tupdesc, column - 1);
  const MemoryContext before = MemoryContextSwitchTo(context);
  v.datum = datumCopy(v.datum, attribute->attbyval, attribute->attlen);
  MemoryContextSwitchTo(before);
  return v;
}

void Rows::release() {
  if (table_ != nullptr) SPI_freetuptable(table_);
  table_ = nullptr;
  count_ = 0;
}

int push_search_path(const char* path) {
  if (strcmp(namespace_search_path, path) == 0) return 0;
  const int level = NewGUCNestLevel();
  set_config_option("search_path", path, PGC_USERSET, PGC_S_SESSION, GUC_ACTION_SAVE, true, 0,
                    false);
  return level;
}

void pop_search_path(int level) {
  if (level > 0) AtEOXact_GUC(true, level);
}

Identity become_restricted(Oid role) {
  const Identity before = become(role);
  Identity now;
  GetUserIdAndSecContext(&now.user, &now.security);
  SetUserIdAndSecContext(role, now.security | SECURITY_RESTRICTED_OPERATION);
  return before;
}

Identity become(Oid role) {
  Identity before;
  GetUserIdAndSecContext(&before.user, &before.security);
  SetUserIdAndSecContext(role,
                         before.security | SECURITY_LOCAL_USERID_CHANGE | SECURITY_NOFORCE_RLS);
  return before;
}

void restore(Identity identity) { SetUserIdAndSecContext(identity.user, identity.security); }

SPIPlanPtr prepare(const char* sql, int parameters, Oid* types, Oid role) {
  const MemoryContext context = CurrentMemoryContext;
  const Identity before = become(role);
  SPIPlanPtr plan = SPI_prepare_cursor(sql, parameters, types, CURSOR_OPT_GENERIC_PLAN);
  restore(before);
  MemoryContextSwitchTo(context);
  if (plan == nullptr) elog(ERROR, "SPI_prepare: %s", SPI_result_code_string(SPI_result));
  return plan;
}

Query* query_of(SPIPlanPtr plan) {
  auto* source = static_cast<CachedPlanSource*>(linitial(SPI_plan_get_plan_sources(plan)));
  return static_cast<Query*>(linitial(source->query_list));
}

void keep(SPIPlanPtr plan) {
  if (SPI_keepplan(plan) != 0) elog(ERROR, "SPI_keepplan failed");
}

Rows run(SPIPlanPtr plan, Oid role, Values parameters) {
  return execute_plan(plan, role, parameters, InvalidSnapshot, InvalidSnapshot, false);
}

Rows read(SPIPlanPtr plan, Oid role, Values parameters, Snapshot snapshot) {
  return execute_plan(plan, role, parameters, snapshot, InvalidSnapshot, true);
}

Rows run_fresh(SPIPlanPtr plan, Oid role, Values parameters) {
  const Snapshot crosscheck =
      IsolationUsesXactSnapshot() ? GetTransactionSnapshot() : InvalidSnapshot;
  CommandCounterIncrement();
  return execute_plan(plan, role, parameters, GetLatestSnapshot(), crosscheck, false);
}

Rows query(const char* sql, int parameters, Oid* types, Datum* values) {
  const MemoryContext context = CurrentMemoryContext;
  const int result = SPI_execute_with_args(sql, parameters, types, values, nullptr, false, 0);
  MemoryContextSwitchTo(context);
  if (result < 0) elog(ERROR, "SPI_execute_with_args: %s", SPI_result_code_string(result));
  return {SPI_tuptable, SPI_processed};
}

void execute(const char* sql) {
  const MemoryContext context = CurrentMemoryContext;
  const int result = SPI_execute(sql, false, 0);
  MemoryContextSwitchTo(context);
  if (result < 0) elog(ERROR, "SPI_execute: %s", SPI_result_code_string(result));
}

Snapshot fresh_snapshot(CommandId before) {
  // The latest snapshot is one static struct; registering copies it, and the copy is ours alone.
  const Snapshot snapshot = RegisterSnapshot(GetLatestSnapshot());
  snapshot->curcid = before;
  return snapshot;
}

Snapshot statement_snapshot() { return RegisterSnapshot(GetTransactionSnapshot()); }

namespace {

bool is_missing_object(const ErrorData* error) {
  return ERRCODE_TO_CATEGORY(error->sqlerrcode) == MAKE_SQLSTATE('4', '2', '0', '0', '0');
}

bool run_subtransaction(bool (*step)(void*), void* state, bool forgives_missing_objects) {
  const MemoryContext context = CurrentMemoryContext;
  const ResourceOwner owner = CurrentResourceOwner;
  volatile bool keep = false;

  BeginInternalSubTransaction(nullptr);
  MemoryContextSwitchTo(context);
  PG_TRY();
  {
    keep = step(state);
    if (keep) {
      ReleaseCurrentSubTransaction();
    } else {
      RollbackAndReleaseCurrentSubTransaction();
    }
  }
  PG_CATCH();
  {
    MemoryContextSwitchTo(context);
    ErrorData* error = CopyErrorData();
    FlushErrorState();
    RollbackAndReleaseCurrentSubTransaction();
    MemoryContextSwitchTo(context);
    CurrentResourceOwner = owner;
    if (!forgives_missing_objects || !is_missing_object(error)) ReThrowError(error);
    keep = false;
  }
  PG_END_TRY();
  MemoryContextSwitchTo(context);
  CurrentResourceOwner = owner;
  return keep;
}

}  // namespace

bool in_subtransaction(bool (*step)(void*), void* state) {
  return run_subtransaction(step, state, false);
}

bool finds_all_objects(bool (*step)(void*), void* state) {
  return run_subtransaction(step, state, true);
}

int trigger_depth() {
  return DatumGetInt32(DirectFunctionCall1(pg_trigger_depth, static_cast<Datum>(0)));
}

}  // namespace pg_enroll::pg
