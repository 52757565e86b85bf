// Every function that SQL can call: arguments in, engine, result out. Nothing of src/rules that
// could throw is called from here; the engine's bridge is the one place that does.
#include "engine/attachment.hpp"
#include "engine/call.hpp"
#include "engine/checks.hpp"
#include "engine/door.hpp"
#include "engine/gate.hpp"
#include "engine/guards.hpp"
#include "engine/install.hpp"
#include "engine/own_checks.hpp"
#include "engine/seats.hpp"
#include "engine/stats.hpp"
#include "engine/strict.hpp"
#include "pg/errors.hpp"

namespace pg_enroll {
namespace {

using engine::Access;
using engine::Attachment;
using engine::Call;
using engine::Entered;
using engine::ManyCall;
using engine::Receipt;
using engine::Tally;

constexpr int longest_key = 255;  // characters

// Where a function takes its arguments from; negative: it has none.
struct Positions {
  int key = -1;
  int max_price = -1;
  int reason = -1;
  int policy = -1;
};

Oid first_argument_type(FunctionCallInfo fcinfo) {
  Oid* types = nullptr;
  int count = 0;
  get_func_signature(fcinfo->flinfo->fn_oid, &types, &count);
  return types[0];
}

void require_not_null(FunctionCallInfo fcinfo, int position, const char* name) {
  if (!PG_ARGISNULL(position)) return;
  ereport(ERROR, (errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED), errmsg("%s must not be NULL", name)));
}

pg::Value optional_argument(FunctionCallInfo fcinfo, int position) {
  if (position < 0 || PG_ARGISNULL(position)) return {};
  return pg::value(PG_GETARG_DATUM(position));
}

const char* policy_argument(FunctionCallInfo fcinfo, int position) {
  require_not_null(fcinfo, position, "policy");
  return TextDatumGetCString(PG_GETARG_DATUM(position));
}

// The document and the name under which it is, or is to be, attached.
const char* document_argument(FunctionCallInfo fcinfo, int position) {
  require_not_null(fcinfo, position, "policy");
  Jsonb* document = PG_GETARG_JSONB_P(position);
  return JsonbToCString(nullptr, &document->root, static_cast<int>(VARSIZE(document)));
}

const char* name_argument(FunctionCallInfo fcinfo, int position) {
  require_not_null(fcinfo, position, "name");
  return TextDatumGetCString(PG_GETARG_DATUM(position));
}

void require_sound_key(pg::Value key) {
  if (key.null) return;
  const text* string = DatumGetTextPP(key.datum);
  const int length = pg_mbstrlen_with_len(VARDATA_ANY(string), VARSIZE_ANY_EXHDR(string));
  if (length >= 1 && length <= longest_key) return;
  ereport(ERROR,
          (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
           errmsg("idempotency key has %d characters, allowed are 1 to %d", length, longest_key),
           errhint("Pass a UUID, or NULL for no key.")));
}

bool is_blank(const char* text) { return text[strspn(text, " \t\r\n\f\v")] == '\0'; }

void require_sound_reason(pg::Value reason, const char* hint) {
  if (reason.null || !is_blank(TextDatumGetCString(reason.datum))) return;
  ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("reason must not be blank"),
                  errhint("%s", hint)));
}

// NaN is above every price, so it would allow any.
void require_sound_price(pg::Value max_price) {
  if (max_price.null || !pg::Money(max_price.datum).is_nan()) return;
  ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("max_price must be a number"),
                  errhint("Pass the highest price to pay, or NULL for any.")));
}

// A scalar is a row of one column.
TupleDesc result_type(FunctionCallInfo fcinfo) {
  TupleDesc type = nullptr;
  Oid scalar = InvalidOid;
  if (get_call_result_type(fcinfo, &scalar, &type) != TYPEFUNC_COMPOSITE) {
    type = CreateTemplateTupleDesc(1);
    TupleDescInitEntry(type, 1, "line", scalar, -1, 0);
  }
  return BlessTupleDesc(type);
}

void set_column(Datum* datums, bool* nulls, int column, pg::Value value) {
  datums[column] = value.datum;
  nulls[column] = value.null;
}

pg::Value constant_text(std::string_view text) {
  return pg::value(
      PointerGetDatum(cstring_to_text_with_len(text.data(), static_cast<int>(text.size()))));
}

pg::Value json_value(const char* json) {
  if (json == nullptr) return {};
  return pg::value(DirectFunctionCall1(jsonb_in, CStringGetDatum(json)));
}

constexpr int receipt_columns = 11;

// A rule has its own words for what it forbids.
const char* message_of(const Receipt& receipt) {
  const bool own = receipt.rule != nullptr && receipt.rule->message != nullptr;
  return own ? receipt.rule->message : rules::contract(receipt.outcome).message.data();
}

int http_status_of(const Receipt& receipt) {
  const bool own = receipt.rule != nullptr && receipt.rule->http_status != 0;
  return own ? receipt.rule->http_status : rules::contract(receipt.outcome).http_status;
}

// The receipt's columns, from `first` on.
void fill_receipt(const Attachment* policy, Oid key_type, const Receipt& receipt, Datum* datums,
                  bool* nulls, int first) {
  const rules::Contract contract = rules::contract(receipt.outcome);
  pg::Value enrollment = receipt.enrollment;
  if (!enrollment.null) {
    enrollment.datum = pg::key_to_call(policy->enrollment_key, key_type, enrollment.datum);
  }
  const pg::Value columns[receipt_columns] = {
      pg::value(BoolGetDatum(rules::is_done(receipt.outcome))),
      constant_text(contract.code),
      enrollment,
      receipt.amount,
      receipt.balance_after,
      pg::bigint(receipt.seats_left),
      pg::value(BoolGetDatum(receipt.replayed)),
      constant_text(contract.sqlstate),
      pg::value(Int32GetDatum(http_status_of(receipt))),
      pg::text_value(message_of(receipt)),
      json_value(receipt.details),
  };
  for (int i = 0; i < receipt_columns; ++i) set_column(datums, nulls, first + i, columns[i]);
}

// Runs what a call does, within the policy's `wait` where it writes. False where that was used up:
// a call that raises is then to raise, the work of one that answers is undone. A call that only
// looks leaves nothing behind, whatever the policy's expressions do.
template <typename Answer>
bool in_time(const engine::Home& home, const char* name, Access access, bool raises,
             Answer& answer) {
  if (access == Access::read) {
    const pg::Restriction before = pg::become_restricted(InvalidOid);
    const bool answered = answer();
    pg::restore(before);
    return answered;
  }
  const std::optional<int32> wait = engine::wait_of(home, name);
  if (!wait) return answer();
  return pg::finishes_in_time(*wait, raises ? pg::Undo::no : pg::Undo::yes, answer);
}

using Operate = Receipt (*)(Call& call);

// One user, one tournament.
Datum answer_one(FunctionCallInfo fcinfo, Operate operate, Call call, Access access,
                 const Positions& positions) {
  require_not_null(fcinfo, 0, "user_id");
  require_not_null(fcinfo, 1, "tournament_id");
  if (positions.reason >= 0) require_not_null(fcinfo, positions.reason, "reason");
  call.reason = optional_argument(fcinfo, positions.reason);
  call.key = optional_argument(fcinfo, positions.key);
  call.max_price = optional_argument(fcinfo, positions.max_price);
  const char* name = policy_argument(fcinfo, positions.policy);
  const Oid key_type = first_argument_type(fcinfo);
  call.memory = CurrentMemoryContext;

  SPI_connect();
  const engine::Home home = engine::home_of(fcinfo->flinfo->fn_oid);
  Receipt receipt;
  Tally tally;
  tally.work = access == Access::write ? engine::Work::call : engine::Work::look;
  auto answer = [&] {
    const Entered entered = engine::enter(home, name, access);
    call.policy = entered.policy;
    engine::count_for(tally, call.policy);
    engine::require_caller(call.policy);
    pg::require_call_type(call.policy->enrollment_key, key_type);
    call.user = pg::key_from_call(call.policy->user_key, key_type, PG_GETARG_DATUM(0));
    call.tournament = pg::key_from_call(call.policy->tournament_key, key_type, PG_GETARG_DATUM(1));
    call.tournament_text = pg::key_text(call.policy->tournament_key, call.tournament);
    require_sound_reason(call.reason, "Say why the place is free; the ledger keeps it.");
    require_sound_key(call.key);
    require_sound_price(call.max_price);
    engine::require_guards(call.policy);
    receipt = operate(call);
    engine::leave(entered);
    return true;
  };
  auto work = [&] {
    if (in_time(home, name, access, call.raises, answer)) return;
    engine::count_for(tally, name);
    receipt = engine::reject(rules::Outcome::busy, engine::facts_of_busy(call, name), call.raises);
  };
  engine::tally_failure(tally, work);
  engine::count_answer(tally, receipt.outcome, receipt.replayed);

  MemoryContextSwitchTo(call.memory);
  Datum datums[receipt_columns];
  bool nulls[receipt_columns];
  fill_receipt(call.policy, key_type, receipt, datums, nulls, 0);
  const HeapTuple tuple = heap_form_tuple(result_type(fcinfo), datums, nulls);
  SPI_finish();
  return HeapTupleGetDatum(tuple);
}

Call call_of(engine::Operation operation, bool raises) {
  Call call;
  call.operation = operation;
  call.raises = raises;
  return call;
}

struct Elements {
  Datum* datums = nullptr;
  bool* nulls = nullptr;
  int count = 0;
};

Elements elements_of(Datum array, Oid type) {
  Elements elements;
  int16 length = 0;
  bool by_value = false;
  char alignment = 0;
  get_typlenbyvalalign(type, &length, &by_value, &alignment);
  deconstruct_array(DatumGetArrayTypeP(array), type, length, by_value, alignment, &elements.datums,
                    &elements.nulls, &elements.count);
  return elements;
}

void require_no_nulls(const Elements& elements, const char* name) {
  for (int i = 0; i < elements.count; ++i) {
    if (!elements.nulls[i]) continue;
    ereport(ERROR, (errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
                    errmsg("%s must not contain NULL, element %d does", name, i + 1)));
  }
}

// One key for each user; all NULL where none are given.
pg::Value* keys_of(const Elements& given, int users) {
  auto* keys = static_cast<pg::Value*>(palloc(sizeof(pg::Value) * (users + 1)));
  for (int i = 0; i < users; ++i) keys[i] = {};
  if (given.datums == nullptr) return keys;
  if (given.count != users) {
    ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
                    errmsg("idempotency_keys has %d elements, user_ids has %d", given.count, users),
                    errhint("Give one key for each user, or NULL for none.")));
  }
  for (int i = 0; i < users; ++i) {
    keys[i] = pg::value(given.datums[i]);
    require_sound_key(keys[i]);
  }
  return keys;
}

// A set that is put into a tuplestore whole. Versions 14 and 15 differ in what helps with that.
struct Set {
  Tuplestorestate* rows;
  TupleDesc type;
};

Set begin_set(FunctionCallInfo fcinfo) {
  auto* info = reinterpret_cast<ReturnSetInfo*>(fcinfo->resultinfo);
  if (info == nullptr || !IsA(info, ReturnSetInfo) ||
      (info->allowedModes & SFRM_Materialize) == 0) {
    ereport(ERROR, (errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
                    errmsg("set-valued function called where a set cannot be accepted")));
  }
  const MemoryContext before = MemoryContextSwitchTo(info->econtext->ecxt_per_query_memory);
  Set set;
  set.type = result_type(fcinfo);
  set.rows =
      tuplestore_begin_heap((info->allowedModes & SFRM_Materialize_Random) != 0, false, work_mem);
  info->returnMode = SFRM_Materialize;
  info->setResult = set.rows;
  info->setDesc = set.type;
  MemoryContextSwitchTo(before);
  return set;
}

template <std::size_t N>
void add_row(const Set& set, const pg::Value (&columns)[N]) {
  Datum datums[N];
  bool nulls[N];
  for (std::size_t i = 0; i < N; ++i) {
    set_column(datums, nulls, static_cast<int>(i), columns[i]);
  }
  tuplestore_putvalues(set.rows, set.type, datums, nulls);
}

Datum answer_many(FunctionCallInfo fcinfo, bool raises) {
  constexpr int users_position = 0;
  constexpr int tournament_position = 1;
  constexpr int keys_position = 2;
  constexpr int price_position = 3;
  constexpr int policy_position = 4;
  require_not_null(fcinfo, users_position, "user_ids");
  require_not_null(fcinfo, tournament_position, "tournament_id");
  const Oid key_type = get_element_type(first_argument_type(fcinfo));
  const Elements ids = elements_of(PG_GETARG_DATUM(users_position), key_type);
  require_no_nulls(ids, "user_ids");
  Elements keys;
  if (!PG_ARGISNULL(keys_position)) {
    keys = elements_of(PG_GETARG_DATUM(keys_position), TEXTOID);
    require_no_nulls(keys, "idempotency_keys");
  }
  const char* name = policy_argument(fcinfo, policy_position);
  const Set set = begin_set(fcinfo);
  ManyCall call;
  call.raises = raises;
  call.max_price = optional_argument(fcinfo, price_position);
  call.count = static_cast<std::size_t>(ids.count);
  call.memory = CurrentMemoryContext;

  SPI_connect();
  const engine::Home home = engine::home_of(fcinfo->flinfo->fn_oid);
  auto* users = static_cast<Datum*>(palloc(sizeof(Datum) * (call.count + 1)));
  const Receipt* receipts = nullptr;
  Tally tally;
  auto answer = [&] {
    const Entered entered = engine::enter(home, name, Access::write);
    call.policy = entered.policy;
    engine::count_for(tally, call.policy);
    engine::require_caller(call.policy);
    pg::require_call_type(call.policy->enrollment_key, key_type);
    for (std::size_t i = 0; i < call.count; ++i) {
      users[i] = pg::key_from_call(call.policy->user_key, key_type, ids.datums[i]);
    }
    call.users = users;
    call.tournament = pg::key_from_call(call.policy->tournament_key, key_type,
                                        PG_GETARG_DATUM(tournament_position));
    call.tournament_text = pg::key_text(call.policy->tournament_key, call.tournament);
    call.keys = keys_of(keys, ids.count);
    require_sound_price(call.max_price);
    engine::require_guards(call.policy);
    receipts = engine::enroll_many(call);
    engine::leave(entered);
    return true;
  };
  auto work = [&] {
    if (in_time(home, name, Access::write, raises, answer)) return;
    engine::count_for(tally, name);
    receipts = engine::answer_busy(call, name);
  };
  engine::tally_failure(tally, work);

  for (std::size_t i = 0; i < call.count; ++i) {
    engine::count_answer(tally, receipts[i].outcome, receipts[i].replayed);
    Datum datums[receipt_columns + 1];
    bool nulls[receipt_columns + 1];
    set_column(datums, nulls, 0, pg::value(ids.datums[i]));
    fill_receipt(call.policy, key_type, receipts[i], datums, nulls, 1);
    tuplestore_putvalues(set.rows, set.type, datums, nulls);
  }
  SPI_finish();
  return static_cast<Datum>(0);
}

Oid schema_argument(FunctionCallInfo fcinfo, int position) {
  if (!PG_ARGISNULL(position)) {
    return get_namespace_oid(NameStr(*PG_GETARG_NAME(position)), false);
  }
  List* path = fetch_search_path(false);
  if (path == NIL) {
    ereport(ERROR,
            (errcode(ERRCODE_UNDEFINED_SCHEMA), errmsg("no schema has been selected to create in"),
             errhint("Name one: SELECT enroll_create_tables('name').")));
  }
  return linitial_oid(path);
}

// Since when, and of which policy.
engine::CheckRequest check_request(FunctionCallInfo fcinfo, int policy_position) {
  require_not_null(fcinfo, 0, "since");
  return {policy_argument(fcinfo, policy_position), PG_GETARG_INTERVAL_P(0)};
}

const char* text_argument(FunctionCallInfo fcinfo, int position, const char* name) {
  require_not_null(fcinfo, position, name);
  return TextDatumGetCString(PG_GETARG_DATUM(position));
}

TriggerData* trigger_data(FunctionCallInfo fcinfo) {
  if (!CALLED_AS_TRIGGER(fcinfo)) {
    ereport(ERROR, (errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
                    errmsg("this function is a trigger and cannot be called otherwise")));
  }
  return reinterpret_cast<TriggerData*>(fcinfo->context);
}

}  // namespace
}  // namespace pg_enroll

using namespace pg_enroll;  // NOLINT: the functions below are C's

extern "C" {

PG_FUNCTION_INFO_V1(pg_enroll_enroll);
Datum pg_enroll_enroll(PG_FUNCTION_ARGS) {
  PreventCommandIfReadOnly("enroll()");
  return answer_one(fcinfo, engine::enroll, call_of(engine::Operation::enroll, true), Access::write,
                    {.key = 2, .max_price = 3, .policy = 4});
}

PG_FUNCTION_INFO_V1(pg_enroll_try_enroll);
Datum pg_enroll_try_enroll(PG_FUNCTION_ARGS) {
  PreventCommandIfReadOnly("try_enroll()");
  return answer_one(fcinfo, engine::enroll, call_of(engine::Operation::enroll, false),
                    Access::write, {.key = 2, .max_price = 3, .policy = 4});
}

PG_FUNCTION_INFO_V1(pg_enroll_enroll_waived);
Datum pg_enroll_enroll_waived(PG_FUNCTION_ARGS) {
  PreventCommandIfReadOnly("enroll_waived()");
  return answer_one(fcinfo, engine::enroll, call_of(engine::Operation::waive, true), Access::write,
                    {.key = 3, .reason = 2, .policy = 4});
}

PG_FUNCTION_INFO_V1(pg_enroll_unenroll);
Datum pg_enroll_unenroll(PG_FUNCTION_ARGS) {
  PreventCommandIfReadOnly("unenroll()");
  return answer_one(fcinfo, engine::unenroll, call_of(engine::Operation::unenroll, true),
                    Access::write, {.key = 2, .policy = 3});
}

PG_FUNCTION_INFO_V1(pg_enroll_try_unenroll);
Datum pg_enroll_try_unenroll(PG_FUNCTION_ARGS) {
  PreventCommandIfReadOnly("try_unenroll()");
  return answer_one(fcinfo, engine::unenroll, call_of(engine::Operation::unenroll, false),
                    Access::write, {.key = 2, .policy = 3});
}

PG_FUNCTION_INFO_V1(pg_enroll_can_enroll);
Datum pg_enroll_can_enroll(PG_FUNCTION_ARGS) {
  return answer_one(fcinfo, engine::can_enroll, call_of(engine::Operation::enroll, false),
                    Access::read, {.policy = 2});
}

PG_FUNCTION_INFO_V1(pg_enroll_quote_unenroll);
Datum pg_enroll_quote_unenroll(PG_FUNCTION_ARGS) {
  return answer_one(fcinfo, engine::quote_unenroll, call_of(engine::Operation::unenroll, false),
                    Access::read, {.policy = 2});
}

PG_FUNCTION_INFO_V1(pg_enroll_enroll_many);
Datum pg_enroll_enroll_many(PG_FUNCTION_ARGS) {
  PreventCommandIfReadOnly("enroll_many()");
  return answer_many(fcinfo, true);
}

PG_FUNCTION_INFO_V1(pg_enroll_try_enroll_many);
Datum pg_enroll_try_enroll_many(PG_FUNCTION_ARGS) {
  PreventCommandIfReadOnly("try_enroll_many()");
  return answer_many(fcinfo, false);
}

PG_FUNCTION_INFO_V1(pg_enroll_create_tables);
Datum pg_enroll_create_tables(PG_FUNCTION_ARGS) {
  PreventCommandIfReadOnly("enroll_create_tables()");
  const char* policy = policy_argument(fcinfo, 1);
  const Oid schema = schema_argument(fcinfo, 0);
  SPI_connect();
  engine::create_tables(engine::home_of(fcinfo->flinfo->fn_oid), schema, policy);
  SPI_finish();
  PG_RETURN_VOID();
}

PG_FUNCTION_INFO_V1(pg_enroll_precheck);
Datum pg_enroll_precheck(PG_FUNCTION_ARGS) {
  const char* document = document_argument(fcinfo, 0);
  const char* name = name_argument(fcinfo, 1);
  Set set = begin_set(fcinfo);
  SPI_connect();
  engine::precheck(
      engine::home_of(fcinfo->flinfo->fn_oid), document, name,
      [](void* state, const engine::Item& item) {
        add_row(
            *static_cast<Set*>(state),
            {pg::text_value(item.object), pg::text_value(engine::action_name(item.action)),
             pg::text_value(item.lock), pg::text_value(item.obstacle), pg::bigint(item.violations),
             json_value(item.sample), pg::text_value(item.remedy)});
      },
      &set);
  SPI_finish();
  return static_cast<Datum>(0);
}

PG_FUNCTION_INFO_V1(pg_enroll_attach);
Datum pg_enroll_attach(PG_FUNCTION_ARGS) {
  PreventCommandIfReadOnly("enroll_attach()");
  const char* document = document_argument(fcinfo, 0);
  const char* name = name_argument(fcinfo, 1);
  SPI_connect();
  engine::attach(engine::home_of(fcinfo->flinfo->fn_oid), document, name);
  SPI_finish();
  PG_RETURN_VOID();
}

PG_FUNCTION_INFO_V1(pg_enroll_detach);
Datum pg_enroll_detach(PG_FUNCTION_ARGS) {
  PreventCommandIfReadOnly("enroll_detach()");
  const char* policy = policy_argument(fcinfo, 0);
  SPI_connect();
  engine::detach(engine::home_of(fcinfo->flinfo->fn_oid), policy);
  SPI_finish();
  PG_RETURN_VOID();
}

PG_FUNCTION_INFO_V1(pg_enroll_reconcile);
Datum pg_enroll_reconcile(PG_FUNCTION_ARGS) {
  PreventCommandIfReadOnly("enroll_reconcile()");
  const char* name = policy_argument(fcinfo, 0);
  Set set = begin_set(fcinfo);
  SPI_connect();
  const pg::Restriction before = pg::become_restricted(InvalidOid);
  // Locks that keep writers out are taken later; stronger ones now would only meet there.
  const Entered entered =
      engine::enter(engine::home_of(fcinfo->flinfo->fn_oid), name, Access::read);
  engine::require_caller(entered.policy);
  engine::recount(
      entered.policy,
      [](void* state, const engine::Recounted& counter) {
        add_row(*static_cast<Set*>(state),
                {counter.tournament, counter.taken_before, counter.taken_after,
                 counter.allotted_before, counter.allotted_after});
      },
      &set);
  engine::leave(entered);
  pg::restore(before);
  SPI_finish();
  return static_cast<Datum>(0);
}

PG_FUNCTION_INFO_V1(pg_enroll_sanction);
Datum pg_enroll_sanction(PG_FUNCTION_ARGS) {
  PreventCommandIfReadOnly("enroll_sanction()");
  require_not_null(fcinfo, 0, "reason");
  const pg::Value reason = pg::value(PG_GETARG_DATUM(0));
  require_sound_reason(reason, "Say why; enroll_sanction keeps it.");
  const char* name = policy_argument(fcinfo, 1);
  SPI_connect();
  engine::sanction(engine::home_of(fcinfo->flinfo->fn_oid), name, reason);
  SPI_finish();
  PG_RETURN_VOID();
}

PG_FUNCTION_INFO_V1(pg_enroll_guards);
Datum pg_enroll_guards(PG_FUNCTION_ARGS) {
  const char* name = policy_argument(fcinfo, 0);
  Set set = begin_set(fcinfo);
  SPI_connect();
  engine::visit_guards(
      engine::home_of(fcinfo->flinfo->fn_oid), name,
      [](void* state, const engine::Guard& guard) {
        add_row(*static_cast<Set*>(state),
                {pg::text_value(guard.name), pg::value(ObjectIdGetDatum(guard.relation)),
                 pg::text_value(engine::state_name(guard.state))});
      },
      &set);
  SPI_finish();
  return static_cast<Datum>(0);
}

PG_FUNCTION_INFO_V1(pg_enroll_check);
Datum pg_enroll_check(PG_FUNCTION_ARGS) {
  const engine::CheckRequest request = check_request(fcinfo, 1);
  const Set set = begin_set(fcinfo);
  SPI_connect();
  const pg::Items<engine::Finding> findings =
      engine::check(engine::home_of(fcinfo->flinfo->fn_oid), request);
  for (std::size_t i = 0; i < findings.count; ++i) {
    const engine::Finding& finding = findings.at[i];
    add_row(set, {pg::text_value(finding.id), pg::text_value(finding.title),
                  constant_text(rules::severity_name(finding.severity)),
                  pg::text_value(engine::status_name(finding.status)),
                  pg::bigint(finding.violations), json_value(finding.sample),
                  pg::text_value(finding.detail), pg::text_value(finding.remedy)});
  }
  SPI_finish();
  return static_cast<Datum>(0);
}

PG_FUNCTION_INFO_V1(pg_enroll_assert);
Datum pg_enroll_assert(PG_FUNCTION_ARGS) {
  const engine::CheckRequest request = check_request(fcinfo, 2);
  require_not_null(fcinfo, 1, "strict");
  SPI_connect();
  engine::assert_checks(engine::home_of(fcinfo->flinfo->fn_oid), request, PG_GETARG_BOOL(1));
  SPI_finish();
  PG_RETURN_VOID();
}

PG_FUNCTION_INFO_V1(pg_enroll_report);
Datum pg_enroll_report(PG_FUNCTION_ARGS) {
  const engine::CheckRequest request = check_request(fcinfo, 1);
  Set set = begin_set(fcinfo);
  SPI_connect();
  engine::report(
      engine::home_of(fcinfo->flinfo->fn_oid), request,
      [](void* state, const char* line) {
        add_row(*static_cast<Set*>(state), {pg::text_value(line)});
      },
      &set);
  SPI_finish();
  return static_cast<Datum>(0);
}

PG_FUNCTION_INFO_V1(pg_enroll_accept_baseline);
Datum pg_enroll_accept_baseline(PG_FUNCTION_ARGS) {
  PreventCommandIfReadOnly("enroll_accept_baseline()");
  require_not_null(fcinfo, 0, "reason");
  const pg::Value reason = pg::value(PG_GETARG_DATUM(0));
  const char* policy = policy_argument(fcinfo, 1);
  require_sound_reason(reason, "Say why no credits moved; the report shows it.");
  SPI_connect();
  const int64 accepted =
      engine::accept_baseline(engine::home_of(fcinfo->flinfo->fn_oid), policy, reason);
  SPI_finish();
  PG_RETURN_INT64(accepted);
}

PG_FUNCTION_INFO_V1(pg_enroll_add_check);
Datum pg_enroll_add_check(PG_FUNCTION_ARGS) {
  PreventCommandIfReadOnly("enroll_add_check()");
  engine::OwnCheck check{};
  check.name = text_argument(fcinfo, 0, "name");
  const char* severity = text_argument(fcinfo, 1, "severity");
  check.query = text_argument(fcinfo, 2, "query");
  check.description = text_argument(fcinfo, 3, "description");
  const char* policy = policy_argument(fcinfo, 4);
  SPI_connect();
  engine::add_check(engine::home_of(fcinfo->flinfo->fn_oid), policy, severity, check);
  SPI_finish();
  PG_RETURN_VOID();
}

PG_FUNCTION_INFO_V1(pg_enroll_drop_check);
Datum pg_enroll_drop_check(PG_FUNCTION_ARGS) {
  PreventCommandIfReadOnly("enroll_drop_check()");
  const char* name = text_argument(fcinfo, 0, "name");
  const char* policy = policy_argument(fcinfo, 1);
  SPI_connect();
  engine::drop_check(engine::home_of(fcinfo->flinfo->fn_oid), policy, name);
  SPI_finish();
  PG_RETURN_VOID();
}

PG_FUNCTION_INFO_V1(pg_enroll_stats);
Datum pg_enroll_stats(PG_FUNCTION_ARGS) {
  Set set = begin_set(fcinfo);
  engine::visit_counters(
      [](void* state, const engine::CountersRow& row) {
        const auto real = [](double number) { return pg::value(Float8GetDatum(number)); };
        add_row(*static_cast<Set*>(state),
                {pg::text_value(row.database), pg::text_value(row.policy), pg::bigint(row.calls),
                 json_value(row.outcomes), pg::bigint(row.errors), pg::bigint(row.replays),
                 pg::bigint(row.looks), pg::bigint(row.seat_waits), real(row.seat_wait_ms),
                 real(row.seat_wait_max_ms), pg::bigint(row.stripe_moves),
                 pg::bigint(row.guard_rejections),
                 constant_text(engine::counters_are_shared() ? "server" : "session"),
                 pg::value(TimestampTzGetDatum(row.since))});
      },
      &set);
  return static_cast<Datum>(0);
}

PG_FUNCTION_INFO_V1(pg_enroll_stats_reset);
Datum pg_enroll_stats_reset(PG_FUNCTION_ARGS) {
  engine::reset_counters(engine::home_of(fcinfo->flinfo->fn_oid));
  PG_RETURN_VOID();
}

PG_FUNCTION_INFO_V1(pg_enroll_door);
Datum pg_enroll_door(PG_FUNCTION_ARGS) {
  TriggerData* trigger = trigger_data(fcinfo);
  SPI_connect();
  engine::door(engine::home_of(fcinfo->flinfo->fn_oid), trigger);
  SPI_finish();
  return PointerGetDatum(nullptr);
}

PG_FUNCTION_INFO_V1(pg_enroll_gate);
Datum pg_enroll_gate(PG_FUNCTION_ARGS) {
  TriggerData* trigger = trigger_data(fcinfo);
  SPI_connect();
  engine::gate(engine::home_of(fcinfo->flinfo->fn_oid), trigger);
  SPI_finish();
  return PointerGetDatum(nullptr);
}

PG_FUNCTION_INFO_V1(pg_enroll_balance);
Datum pg_enroll_balance(PG_FUNCTION_ARGS) {
  TriggerData* trigger = trigger_data(fcinfo);
  SPI_connect();
  engine::note_balances(engine::home_of(fcinfo->flinfo->fn_oid), trigger);
  SPI_finish();
  return PointerGetDatum(nullptr);
}

PG_FUNCTION_INFO_V1(pg_enroll_ledger);
Datum pg_enroll_ledger(PG_FUNCTION_ARGS) {
  TriggerData* trigger = trigger_data(fcinfo);
  SPI_connect();
  engine::note_ledger(engine::home_of(fcinfo->flinfo->fn_oid), trigger);
  SPI_finish();
  return PointerGetDatum(nullptr);
}

PG_FUNCTION_INFO_V1(pg_enroll_append_only);
Datum pg_enroll_append_only(PG_FUNCTION_ARGS) {
  const TriggerData* trigger = trigger_data(fcinfo);
  pg::raise({"23001", "rows of this table cannot be changed or removed", nullptr, nullptr,
             RelationGetRelid(trigger->tg_relation), trigger->tg_trigger->tgname});
}

}  // extern "C"
