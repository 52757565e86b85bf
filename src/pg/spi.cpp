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

namespace {

void set_for_now(const char* setting, const char* value) {
  set_config_option(setting, value, PGC_USERSET, PGC_S_SESSION, GUC_ACTION_SAVE, true, 0, false);
}

}  // namespace

int push_search_path(const char* path) {
  const bool path_differs = strcmp(namespace_search_path, path) != 0;
  if (!path_differs && standard_conforming_strings) return 0;
  const int level = NewGUCNestLevel();
  if (path_differs) set_for_now("search_path", path);
  if (!standard_conforming_strings) set_for_now("standard_conforming_strings", "on");
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
  if (!OidIsValid(role)) return before;
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

Rows query(const char* sql, int parameters, Oid* types, Datum* values, const char* nulls) {
  const MemoryContext context = CurrentMemoryContext;
  const int result = SPI_execute_with_args(sql, parameters, types, values, nulls, false, 0);
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

// Judges whether an error is answered instead of flying on.
struct Forgiveness {
  bool (*forgives)(const ErrorData* error, const void* about);
  const void* about;
  ErrorData* forgiven;
};

bool run_subtransaction(bool (*step)(void*), void* state, Forgiveness* forgiveness) {
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
    if (forgiveness == nullptr || !forgiveness->forgives(error, forgiveness->about)) {
      ReThrowError(error);
    }
    forgiveness->forgiven = error;
    keep = false;
  }
  PG_END_TRY();
  MemoryContextSwitchTo(context);
  CurrentResourceOwner = owner;
  return keep;
}

bool is_missing_object(const ErrorData* error, const void* /*about*/) {
  return ERRCODE_TO_CATEGORY(error->sqlerrcode) == MAKE_SQLSTATE('4', '2', '0', '0', '0');
}

bool is_duplicate_of(const ErrorData* error, const void* table) {
  const Oid relation = *static_cast<const Oid*>(table);
  if (error->sqlerrcode != ERRCODE_UNIQUE_VIOLATION || error->table_name == nullptr) return false;
  // A row of a partition is reported as the partition's.
  const Oid schema = get_namespace_oid(error->schema_name, true);
  const Oid found = get_relname_relid(error->table_name, schema);
  return found == relation || (get_rel_relispartition(found) &&
                               list_member_oid(get_partition_ancestors(found), relation));
}

bool is_of_the_step(const ErrorData* error, const void* /*about*/) {
  const int category = ERRCODE_TO_CATEGORY(error->sqlerrcode);
  return category != ERRCODE_TO_CATEGORY(ERRCODE_OPERATOR_INTERVENTION) &&
         category != ERRCODE_TO_CATEGORY(ERRCODE_INSUFFICIENT_RESOURCES) &&
         category != ERRCODE_TO_CATEGORY(ERRCODE_IO_ERROR) &&
         category != ERRCODE_TO_CATEGORY(ERRCODE_T_R_SERIALIZATION_FAILURE) &&
         category != ERRCODE_TO_CATEGORY(ERRCODE_INTERNAL_ERROR);
}

// When the innermost call's time is over; 0: no limit.
TimestampTz deadline = 0;
volatile sig_atomic_t deadline_passed = 0;

// Runs in a signal handler: as a cancel that somebody sends.
void cancel_at_deadline() {
  deadline_passed = 1;
  InterruptPending = 1;
  QueryCancelPending = 1;
  SetLatch(MyLatch);
}

TimeoutId deadline_timer() {
  // Registered on first use, since a preloaded module starts where no timers can be registered.
  static bool registered = false;
  static TimeoutId timer;
  if (!registered) timer = RegisterTimeout(USER_TIMEOUT, cancel_at_deadline);
  registered = true;
  return timer;
}

void set_deadline(TimestampTz at) {
  deadline = at;
  deadline_passed = 0;
  if (at != 0) enable_timeout_at(deadline_timer(), at);
}

// A cancel that came too late to stop anything must not stop what follows.
void end_deadline(TimestampTz outer) {
  disable_timeout(deadline_timer(), false);
  if (deadline_passed != 0) QueryCancelPending = 0;
  set_deadline(outer);
}

bool is_past_deadline(const ErrorData* error, const void* /*about*/) {
  return deadline_passed != 0 && error->sqlerrcode == ERRCODE_QUERY_CANCELED;
}

bool run_or_give_up(bool (*step)(void*), void* state) {
  const MemoryContext context = CurrentMemoryContext;
  volatile bool done = true;
  PG_TRY();
  { step(state); }
  PG_CATCH();
  {
    MemoryContextSwitchTo(context);
    ErrorData* error = CopyErrorData();
    if (!is_past_deadline(error, nullptr)) PG_RE_THROW();
    FlushErrorState();
    done = false;
  }
  PG_END_TRY();
  return done;
}

}  // namespace

bool in_subtransaction(bool (*step)(void*), void* state) {
  return run_subtransaction(step, state, nullptr);
}

bool finds_all_objects(bool (*step)(void*), void* state) {
  Forgiveness forgiveness{is_missing_object, nullptr, nullptr};
  return run_subtransaction(step, state, &forgiveness);
}

bool meets_no_duplicate(bool (*step)(void*), void* state, Oid table) {
  Forgiveness forgiveness{is_duplicate_of, &table, nullptr};
  return run_subtransaction(step, state, &forgiveness);
}

const ErrorData* failure_of(void (*step)(void*), void* state) {
  struct Trial {
    void (*step)(void*);
    void* state;
  } trial{step, state};
  Forgiveness forgiveness{is_of_the_step, nullptr, nullptr};
  run_subtransaction(
      [](void* argument) {
        const auto* t = static_cast<Trial*>(argument);
        t->step(t->state);
        return false;
      },
      &trial, &forgiveness);
  return forgiveness.forgiven;
}

bool finishes_in_time(int32 milliseconds, Undo undo, bool (*step)(void*), void* state) {
  const TimestampTz outer = deadline;
  const TimestampTz mine = TimestampTzPlusMilliseconds(GetCurrentTimestamp(), milliseconds);
  set_deadline(outer != 0 && outer < mine ? outer : mine);
  Forgiveness forgiveness{is_past_deadline, nullptr, nullptr};
  volatile bool done = false;
  PG_TRY();
  {
    done = undo == Undo::yes ? run_subtransaction(step, state, &forgiveness)
                             : run_or_give_up(step, state);
  }
  PG_CATCH();
  {
    end_deadline(outer);
    PG_RE_THROW();
  }
  PG_END_TRY();
  end_deadline(outer);
  return done;
}

int trigger_depth() {
  return DatumGetInt32(DirectFunctionCall1(pg_trigger_depth, static_cast<Datum>(0)));
}

}  // namespace pg_enroll::pg
