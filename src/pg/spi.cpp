#include "pg/spi.hpp"

namespace pg_enroll::pg {
namespace {

constexpr std::size_t most_parameters = 16;

// When the innermost call's time is over; 0: no limit.
TimestampTz deadline = 0;
volatile sig_atomic_t deadline_passed = 0;

// The cancel comes once. A function of the users' that catches it goes on, but not for long.
void require_time() {
  if (deadline_passed == 0) return;
  ereport(ERROR,
          (errcode(ERRCODE_QUERY_CANCELED), errmsg("the time that a call may take is over")));
}

bool is_temporary_type(Oid type) {
  const HeapTuple tuple = SearchSysCache1(TYPEOID, ObjectIdGetDatum(type));
  if (!HeapTupleIsValid(tuple)) return false;
  const Oid schema = reinterpret_cast<Form_pg_type>(GETSTRUCT(tuple))->typnamespace;
  ReleaseSysCache(tuple);
  return isAnyTempNamespace(schema);
}

bool is_temporary(Node* node, void* /*state*/);

bool uses_temporary(Query* query) {
  ListCell* cell;
  foreach (cell, query->rtable) {
    const auto* entry = static_cast<RangeTblEntry*>(lfirst(cell));
    if (entry->rtekind == RTE_RELATION && isAnyTempNamespace(get_rel_namespace(entry->relid))) {
      return true;
    }
  }
  return walk_parts(reinterpret_cast<Node*>(query), is_temporary, nullptr);
}

bool is_expression(const Node* node) {
  return IsA(node, Const) || IsA(node, RelabelType) || IsA(node, CoerceViaIO) ||
         IsA(node, ArrayCoerceExpr) || IsA(node, ConvertRowtypeExpr) || IsA(node, CoerceToDomain) ||
         IsA(node, RowExpr) || IsA(node, FuncExpr);
}

bool is_temporary(Node* node, void* state) {
  if (node == nullptr) return false;
  if (IsA(node, Query)) return uses_temporary(reinterpret_cast<Query*>(node));
  if (is_expression(node) && is_temporary_type(exprType(node))) return true;
  return walk_parts(node, is_temporary, state);
}

// A name that a policy uses and that is not there any more may be taken by anybody's temporary
// object, whose triggers and checks would run with the rights of the tables' owner. No setting
// keeps temporary schemas out of sight.
void refuse_temporary_objects(SPIPlanPtr plan) {
  Oid temporary = InvalidOid;
  Oid temporary_toast = InvalidOid;
  GetTempNamespaceState(&temporary, &temporary_toast);
  if (!OidIsValid(temporary)) return;
  auto* source = static_cast<CachedPlanSource*>(linitial(SPI_plan_get_plan_sources(plan)));
  // What was analyzed before something changed is analyzed anew.
  ReleaseCachedPlan(GetCachedPlan(source, nullptr, nullptr, nullptr), nullptr);
  ListCell* cell;
  foreach (cell, source->query_list) {
    if (!uses_temporary(static_cast<Query*>(lfirst(cell)))) continue;
    source->is_valid =
        false;  // looked at anew next time: the name may mean the right thing by then
    ereport(ERROR, (errcode(ERRCODE_UNDEFINED_OBJECT),
                    errmsg("a temporary object has the name of one that a policy uses"),
                    errhint("What the policy means is not there any more: put it back, or attach "
                            "the policy anew.")));
  }
}

Rows execute_plan(SPIPlanPtr plan, Oid role, Values parameters, Snapshot snapshot,
                  Snapshot crosscheck, bool read_only) {
  Datum datums[most_parameters] = {};
  char nulls[most_parameters + 1] = {};
  for (std::size_t i = 0; i < parameters.count; ++i) {
    datums[i] = parameters.at[i].datum;
    nulls[i] = parameters.at[i].null ? 'n' : ' ';
  }
  require_time();
  const MemoryContext context = CurrentMemoryContext;
  const Identity before = become(role);
  if (OidIsValid(role)) refuse_temporary_objects(plan);
  const int result =
      SPI_execute_snapshot(plan, datums, nulls, snapshot, crosscheck, read_only, true, 0);
  restore(before);
  MemoryContextSwitchTo(context);
  if (result < 0) elog(ERROR, "SPI_execute_snapshot: %s", SPI_result_code_string(result));
  return {SPI_tuptable, SPI_processed};
}

}  // namespace

bool uses_temporary_objects(Query* query) { return uses_temporary(query); }

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

int push_settings(const char* path, const char* time_zone) {
  const bool path_differs = strcmp(namespace_search_path, path) != 0;
  const bool zone_differs = time_zone != nullptr && strcmp(session_time_zone(), time_zone) != 0;
  const bool dates_differ = DateStyle != USE_ISO_DATES || DateOrder != DATEORDER_MDY;
  const bool intervals_differ = IntervalStyle != INTSTYLE_POSTGRES;
  if (!path_differs && !zone_differs && !dates_differ && !intervals_differ &&
      standard_conforming_strings) {
    return 0;
  }
  const int level = NewGUCNestLevel();
  if (path_differs) set_for_now("search_path", path);
  if (zone_differs) set_for_now("TimeZone", time_zone);
  if (dates_differ) set_for_now("DateStyle", "ISO, MDY");
  if (intervals_differ) set_for_now("IntervalStyle", "postgres");
  if (!standard_conforming_strings) set_for_now("standard_conforming_strings", "on");
  return level;
}

const char* session_time_zone() { return pg_get_timezone_name(session_timezone); }

void pop_settings(int level) {
  if (level > 0) AtEOXact_GUC(true, level);
}

Restriction become_restricted(Oid role) {
  const Identity before = become(role);
  Identity now;
  GetUserIdAndSecContext(&now.user, &now.security);
  SetUserIdAndSecContext(now.user, now.security | SECURITY_RESTRICTED_OPERATION);
  return {before, NewGUCNestLevel()};
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

void restore(const Restriction& restriction) {
  AtEOXact_GUC(false, restriction.level);
  restore(restriction.before);
}

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

// A row of a partition is reported as the partition's.
bool is_or_belongs_to(const char* name, Oid schema, Oid relation) {
  if (name == nullptr) return false;
  const Oid found = get_relname_relid(name, schema);
  return found == relation || (get_rel_relispartition(found) &&
                               list_member_oid(get_partition_ancestors(found), relation));
}

bool is_duplicate_of(const ErrorData* error, const void* about) {
  const auto* key = static_cast<const UniqueKey*>(about);
  // A function of the users' may raise one, and say what it likes.
  if (error->sqlerrcode != ERRCODE_UNIQUE_VIOLATION || error->schema_name == nullptr) return false;
  const Oid schema = get_namespace_oid(error->schema_name, true);
  return is_or_belongs_to(error->table_name, schema, key->table) &&
         (!OidIsValid(key->index) || is_or_belongs_to(error->constraint_name, schema, key->index));
}

bool is_of_the_step(const ErrorData* error, const void* /*about*/) {
  const int category = ERRCODE_TO_CATEGORY(error->sqlerrcode);
  return category != ERRCODE_TO_CATEGORY(ERRCODE_OPERATOR_INTERVENTION) &&
         category != ERRCODE_TO_CATEGORY(ERRCODE_INSUFFICIENT_RESOURCES) &&
         category != ERRCODE_TO_CATEGORY(ERRCODE_IO_ERROR) &&
         category != ERRCODE_TO_CATEGORY(ERRCODE_T_R_SERIALIZATION_FAILURE) &&
         category != ERRCODE_TO_CATEGORY(ERRCODE_INTERNAL_ERROR);
}

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

bool meets_no_duplicate(bool (*step)(void*), void* state, const UniqueKey& key) {
  Forgiveness forgiveness{is_duplicate_of, &key, nullptr};
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
  struct Timed {
    bool (*step)(void*);
    void* state;
  } timed{step, state};
  const auto in_time = [](void* argument) {
    const auto* t = static_cast<Timed*>(argument);
    const bool keep = t->step(t->state);
    require_time();
    return keep;
  };
  const TimestampTz outer = deadline;
  const TimestampTz mine = TimestampTzPlusMilliseconds(GetCurrentTimestamp(), milliseconds);
  set_deadline(outer != 0 && outer < mine ? outer : mine);
  Forgiveness forgiveness{is_past_deadline, nullptr, nullptr};
  volatile bool done = false;
  PG_TRY();
  {
    done = undo == Undo::yes ? run_subtransaction(in_time, &timed, &forgiveness)
                             : run_or_give_up(in_time, &timed);
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
