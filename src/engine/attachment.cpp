#include "engine/attachment.hpp"

#include "engine/bridge.hpp"
#include "engine/guards.hpp"
#include "engine/rejection.hpp"
#include "engine/stats.hpp"
#include "pg/errors.hpp"

namespace pg_enroll::engine {
namespace {

// Known policies of this session, newest first. Stale ones stay until the transaction ends, since
// a call further up the stack may still be using them.
Attachment* attachments = nullptr;

// Which policies hold a table to a strict ledger, by name: known so that not every statement has to
// read them all. Attaching and detaching invalidate the table.
struct StrictTable {
  StrictTable* next;
  MemoryContext memory;
  Oid policies;  // enroll_policy
  Oid table;     // the root where it is partitioned
  List* names;
  bool ready, stale;
};
StrictTable* strict_tables = nullptr;

void mark_stale(Datum /*argument*/, Oid relation) {
  for (StrictTable* t = strict_tables; t != nullptr; t = t->next) {
    t->stale = t->stale || !OidIsValid(relation) || relation == t->table || relation == t->policies;
  }
  for (Attachment* a = attachments; a != nullptr; a = a->next) {
    const bool concerned =
        !OidIsValid(relation) || relation == a->users || relation == a->tournaments ||
        relation == a->enrollments || relation == a->ledger || relation == a->home.seats ||
        relation == a->home.policies || list_member_oid(a->watched_tables, relation);
    if (concerned) a->stale = true;
  }
}

// A renamed schema changes the texts of all statements.
void mark_all_stale(Datum argument, int /*cache*/, uint32 /*hash*/) {
  mark_stale(argument, InvalidOid);
}

void forget(SPIPlanPtr plan) {
  if (plan != nullptr) SPI_freeplan(plan);
}

void forget_stale(XactEvent event, void* /*argument*/) {
  if (event != XACT_EVENT_COMMIT && event != XACT_EVENT_ABORT && event != XACT_EVENT_PREPARE) {
    return;
  }
  Attachment** link = &attachments;
  while (*link != nullptr) {
    Attachment* a = *link;
    if (a->ready && !a->stale) {
      link = &a->next;
      continue;
    }
    *link = a->next;
    for (SPIPlanPtr plan : a->plans) forget(plan);
    for (const FollowUps& statements : {a->on_enroll, a->on_unenroll}) {
      for (int i = 0; i < statements.count; ++i) forget(statements.plans[i]);
    }
    MemoryContextDelete(a->memory);
  }
}

enum PolicyColumn : AttrNumber {
  column_name = 1,
  column_document,
  column_users,
  column_tournaments,
  column_enrollments,
  column_ledger,
  column_watched,
  column_search_path,
  column_time_zone,
  column_built_index,
  column_built_check,
  column_attached_at,
};

Datum policy_column(HeapTuple tuple, TupleDesc description, PolicyColumn column) {
  bool null = false;
  const Datum datum = heap_getattr(tuple, column, description, &null);
  if (null) elog(ERROR, "enroll_policy: column %d is NULL", column);
  return datum;
}

const char* policy_name_column(HeapTuple tuple, TupleDesc description, PolicyColumn column) {
  bool null = false;
  const Datum datum = heap_getattr(tuple, column, description, &null);
  return null ? nullptr : TextDatumGetCString(datum);
}

StoredPolicy read_policy(HeapTuple tuple, TupleDesc description) {
  const auto get = [&](PolicyColumn column) { return policy_column(tuple, description, column); };
  StoredPolicy stored;
  stored.name = TextDatumGetCString(get(column_name));
  Jsonb* document = DatumGetJsonbP(get(column_document));
  stored.document = JsonbToCString(nullptr, &document->root, VARSIZE(document));
  stored.users = DatumGetObjectId(get(column_users));
  stored.tournaments = DatumGetObjectId(get(column_tournaments));
  stored.enrollments = DatumGetObjectId(get(column_enrollments));
  stored.ledger = DatumGetObjectId(get(column_ledger));
  stored.time_zone = TextDatumGetCString(get(column_time_zone));
  stored.built_index = policy_name_column(tuple, description, column_built_index);
  stored.built_check = policy_name_column(tuple, description, column_built_check);
  stored.attached_at = DatumGetTimestampTz(get(column_attached_at));
  Datum* tables = nullptr;
  int count = 0;
  deconstruct_array(DatumGetArrayTypeP(get(column_watched)), REGCLASSOID, sizeof(Oid), true,
                    TYPALIGN_INT, &tables, nullptr, &count);
  stored.watched = NIL;
  for (int i = 0; i < count; ++i) {
    stored.watched = lappend_oid(stored.watched, DatumGetObjectId(tables[i]));
  }
  stored.search_path = NIL;
  Datum* schemas = nullptr;
  deconstruct_array(DatumGetArrayTypeP(get(column_search_path)), TEXTOID, -1, false, TYPALIGN_INT,
                    &schemas, nullptr, &count);
  for (int i = 0; i < count; ++i) {
    stored.search_path = lappend(stored.search_path, TextDatumGetCString(schemas[i]));
  }
  return stored;
}

// Visits the stored policies under a snapshot taken now: a transaction older than an attach must
// see its guards' policy all the same. Stops where the visitor returns false.
template <typename Visitor>
void visit_policies(const Home& home, Visitor visit) {
  CommandCounterIncrement();
  const Relation table = table_open(home.policies, AccessShareLock);
  const Snapshot snapshot = RegisterSnapshot(GetLatestSnapshot());
  const SysScanDesc scan = systable_beginscan(table, InvalidOid, false, snapshot, 0, nullptr);
  for (HeapTuple tuple = systable_getnext(scan); HeapTupleIsValid(tuple);
       tuple = systable_getnext(scan)) {
    if (!visit(read_policy(tuple, RelationGetDescr(table)))) break;
  }
  systable_endscan(scan);
  UnregisterSnapshot(snapshot);
  table_close(table, AccessShareLock);
}

AttrNumber column_of(Oid relation, const char* column) {
  const AttrNumber number = get_attnum(relation, column);
  if (number == InvalidAttrNumber) {
    ereport(ERROR, (errcode(ERRCODE_UNDEFINED_COLUMN),
                    errmsg("column \"%s\" of table %s, which the policy names, does not exist",
                           column, get_rel_name(relation)),
                    errhint("Rename it back, or detach the policy and attach it anew.")));
  }
  return number;
}

Oid owner_of(Oid relation) {
  const HeapTuple tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(relation));
  if (!HeapTupleIsValid(tuple)) elog(ERROR, "cache lookup failed for relation %u", relation);
  const Oid owner = reinterpret_cast<Form_pg_class>(GETSTRUCT(tuple))->relowner;
  ReleaseSysCache(tuple);
  return owner;
}

// The tables' own schema, whatever it is called by now, then those that were on the path when the
// tables were attached. Any of them may have changed hands since, so each is looked at anew.
const char* path_of(const Attachment* a, List* names) {
  List* schemas = list_make1_oid(get_rel_namespace(a->enrollments));
  ListCell* cell;
  foreach (cell, names) {
    const Oid schema = get_namespace_oid(static_cast<const char*>(lfirst(cell)), true);
    if (OidIsValid(schema)) schemas = list_append_unique_oid(schemas, schema);
  }
  foreach (cell, schemas) refuse_open_schema(lfirst_oid(cell), a->owner);
  return path_over(a->enrollments, schemas);
}

void require_one_owner(const Attachment* a) {
  for (const Oid table : {a->users, a->tournaments, a->ledger}) {
    if (owner_of(table) == a->owner) continue;
    ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
                    errmsg("tables \"%s\" and \"%s\" of policy \"%s\" have different owners",
                           get_rel_name(a->enrollments), get_rel_name(table), a->name),
                    errhint("Give all four tables of the policy one owner.")));
  }
}

struct Mentioned {
  Oid relation;
  Bitmapset* columns;
};

bool collect_mentioned(Node* node, void* state) {
  if (node == nullptr) return false;
  auto* mentioned = static_cast<Mentioned*>(state);
  if (!IsA(node, Query)) return pg::walk_parts(node, collect_mentioned, state);
  auto* query = reinterpret_cast<Query*>(node);
  ListCell* cell;
  foreach (cell, query->rtable) {
    auto* entry = static_cast<RangeTblEntry*>(lfirst(cell));
    if (entry->rtekind != RTE_RELATION || entry->relid != mentioned->relation) continue;
    mentioned->columns = bms_add_members(mentioned->columns, pg::selected_columns(query, entry));
  }
  return pg::walk_parts(node, collect_mentioned, state);
}

Oid parameter_type(const Attachment* a, rules::Parameter parameter) {
  switch (parameter) {
    case rules::Parameter::none:
      return InvalidOid;
    case rules::Parameter::user_key:
      return a->user_key.type;
    case rules::Parameter::user_keys:
      return a->user_key.array;
    case rules::Parameter::tournament_key:
      return a->tournament_key.type;
    case rules::Parameter::tournament_keys:
      return a->tournament_key.array;
    case rules::Parameter::enrollment_key:
      return a->enrollment_key.type;
    case rules::Parameter::enrollment_keys:
      return a->enrollment_key.array;
    case rules::Parameter::text:
      return TEXTOID;
    case rules::Parameter::texts:
      return TEXTARRAYOID;
    case rules::Parameter::numeric:
      return NUMERICOID;
    case rules::Parameter::numerics:
      return get_array_type(NUMERICOID);
    case rules::Parameter::bigint:
      return INT8OID;
    case rules::Parameter::bigints:
      return INT8ARRAYOID;
  }
  return InvalidOid;
}

// Invalid where a call's own statements run as whoever calls.
Oid role_of_calls(const Attachment* a) { return a->lists.runs_as_caller ? InvalidOid : a->owner; }

Oid role_of(const Attachment* a, rules::Statement statement) {
  switch (rules::signature(statement).actor) {
    case rules::Actor::call:
      return role_of_calls(a);
    case rules::Actor::tables_owner:
      return a->owner;
    case rules::Actor::extension_owner:
      return a->home.owner;
  }
  return a->owner;
}

// What an error says besides its own words, where a policy does not fit its tables any more.
void tell_what_to_do(void* policy) {
  errcontext("policy \"%s\": undo the change of its tables, or attach a policy that fits them",
             static_cast<const Attachment*>(policy)->name);
}

// Prepares and keeps a statement.
SPIPlanPtr kept_plan(Attachment* a, const char* text, int parameters, Oid* types, Oid role) {
  // A load says it already.
  ErrorContextCallback context{error_context_stack, tell_what_to_do, a};
  if (a->ready) error_context_stack = &context;
  SPIPlanPtr plan = pg::prepare(text, parameters, types, role);
  error_context_stack = a->ready ? context.previous : error_context_stack;
  pg::keep(plan);
  return plan;
}

SPIPlanPtr plan_of(Attachment* a, rules::Statement statement) {
  const auto index = static_cast<std::size_t>(statement);
  if (a->plans[index] != nullptr) return a->plans[index];
  const rules::Signature signature = rules::signature(statement);
  Oid types[8] = {};
  int count = 0;
  for (const rules::Parameter parameter : signature.parameters) {
    if (parameter == rules::Parameter::none) break;
    types[count++] = parameter_type(a, parameter);
  }
  a->plans[index] = kept_plan(a, a->texts[index], count, types, role_of(a, statement));
  return a->plans[index];
}

SPIPlanPtr plan_of(Attachment* a, FollowUps& statements, int i) {
  if (statements.plans[i] != nullptr) return statements.plans[i];
  Oid types[] = {a->user_key.type, a->tournament_key.type, a->enrollment_key.type};
  statements.plans[i] = kept_plan(a, statements.texts[i], 3, types, role_of_calls(a));
  return statements.plans[i];
}

FollowUps follow_ups_of(List* texts) {
  FollowUps statements{list_length(texts), nullptr, nullptr};
  const auto count = static_cast<Size>(statements.count + 1);
  statements.texts = static_cast<const char**>(palloc(sizeof(char*) * count));
  statements.plans = static_cast<SPIPlanPtr*>(palloc0(sizeof(SPIPlanPtr) * count));
  for (int i = 0; i < statements.count; ++i) {
    statements.texts[i] = static_cast<const char*>(list_nth(texts, i));
  }
  return statements;
}

// The type of a column that refers to a key; integers of different widths still meet.
pg::KeyType referring_type(Oid table, AttrNumber column, const pg::KeyType& key) {
  const pg::KeyType type = pg::key_type(get_atttype(table, column));
  const bool fits =
      type.type == key.type || (type.family == key.family && type.family == pg::KeyFamily::integer);
  if (!fits) {
    ereport(ERROR, (errcode(ERRCODE_DATATYPE_MISMATCH),
                    errmsg("column \"%s\" of table %s is of type %s, the key it refers to of %s",
                           get_attname(table, column, false), get_rel_name(table),
                           format_type_be(type.type), format_type_be(key.type)),
                    errhint("Give both the same type.")));
  }
  return type;
}

void load_sources(Attachment* a, AttrNumber tournaments_key) {
  a->sources = static_cast<Source*>(
      palloc0(sizeof(Source) * static_cast<Size>(list_length(a->watched_tables) + 1)));
  a->sources[a->source_count++] = {a->tournaments, tournaments_key, a->tournament_key, nullptr};
  ListCell* table;
  ListCell* name;
  forboth(table, a->watched_tables, name, a->lists.watched_columns) {
    const Oid watched = lfirst_oid(table);
    const AttrNumber column = column_of(watched, static_cast<const char*>(lfirst(name)));
    const pg::KeyType type = referring_type(watched, column, a->tournament_key);
    a->sources[a->source_count++] = {watched, column, type, nullptr};
  }
}

void load_columns(Attachment* a, const PolicyTexts& texts) {
  const AttrNumber users_key = column_of(a->users, texts[PolicyText::users_key]);
  const AttrNumber tournaments_key = column_of(a->tournaments, texts[PolicyText::tournaments_key]);
  const AttrNumber enrollments_key = column_of(a->enrollments, texts[PolicyText::enrollments_key]);
  a->enrollments_user = column_of(a->enrollments, texts[PolicyText::enrollments_user]);
  a->enrollments_tournament = column_of(a->enrollments, texts[PolicyText::enrollments_tournament]);
  a->user_key = pg::key_type(get_atttype(a->users, users_key));
  a->tournament_key = pg::key_type(get_atttype(a->tournaments, tournaments_key));
  a->enrollment_key = pg::key_type(get_atttype(a->enrollments, enrollments_key));
  a->enrolled_user = referring_type(a->enrollments, a->enrollments_user, a->user_key);
  a->enrolled_tournament =
      referring_type(a->enrollments, a->enrollments_tournament, a->tournament_key);
  load_sources(a, tournaments_key);
}

// Lets the catalogs parse the active expression, for the door to run and the guards to compare.
const char* load_active(Attachment* a, const char* probe) {
  Node* quals = pg::query_of(pg::prepare(probe, 0, nullptr, a->owner))->jointree->quals;
  a->active = conditions_of(quals, false);
  List* prepared = reinterpret_cast<List*>(
      expression_planner(reinterpret_cast<Expr*>(copyObjectImpl(a->active))));
  a->active_state = ExecInitQual(prepared, nullptr);
  a->active_context = CreateStandaloneExprContext();
  List* context = deparse_context_for("e", a->enrollments);
  return deparse_expression(quals, context, true, false);
}

// What no amount of the type, which is no domain, comes up to; NULL where it sets no limit.
pg::Value limit_of(Oid type, int32 modifier) {
  const char* limit = nullptr;
  if (type == INT2OID) limit = "32768";
  if (type == INT4OID) limit = "2147483648";
  if (type == INT8OID) limit = "9223372036854775808";
  if (type == NUMERICOID && modifier >= static_cast<int32>(VARHDRSZ)) {
    const int32 precision = ((modifier - VARHDRSZ) >> 16) & 0xffff;
    limit = psprintf("1e%d", precision - *scale_of(type, modifier));
  }
  if (limit == nullptr) return {};
  return pg::value(DirectFunctionCall3(numeric_in, CStringGetDatum(limit), 0, Int32GetDatum(-1)));
}

void load_statements(Attachment* a, const PolicyTexts& texts) {
  const AttrNumber balance = column_of(a->users, texts[PolicyText::users_balance]);
  Oid type = InvalidOid;
  int32 modifier = -1;
  Oid collation = InvalidOid;
  get_atttypetypmodcoll(a->users, balance, &type, &modifier, &collation);
  rules::Catalog catalog;
  catalog.users = qualified_name(a->users);
  catalog.tournaments = qualified_name(a->tournaments);
  catalog.enrollments = qualified_name(a->enrollments);
  catalog.ledger = qualified_name(a->ledger);
  catalog.seats = qualified_name(a->home.seats);
  catalog.balance_type =
      format_type_extended(type, modifier, FORMAT_TYPE_TYPEMOD_GIVEN | FORMAT_TYPE_FORCE_QUALIFY);
  const Oid base = getBaseTypeAndTypmod(type, &modifier);
  a->balance_scale = scale_of(base, modifier);
  a->balance_limit = limit_of(base, modifier);
  catalog.balance_is_numeric = base == NUMERICOID;
  const AttrNumber key = column_of(a->ledger, texts[PolicyText::ledger_idempotency_key]);
  const bool uuid = getBaseType(get_atttype(a->ledger, key)) == UUIDOID;
  catalog.key_cast = uuid ? "::pg_catalog.uuid" : "";
  catalog.key_is_required = pg::is_not_null(a->ledger, key);
  catalog.active = load_active(a, texts[PolicyText::active_probe]);
  a->texts = statement_texts(a->document, catalog);
}

// A word as the ledger's type column holds it, blanks of a bpchar and all.
Datum word_of(Oid type, int32 modifier, const char* word) {
  Oid input = InvalidOid;
  Oid parameter = InvalidOid;
  getTypeInputInfo(type, &input, &parameter);
  return OidInputFunctionCall(input, pstrdup(word), parameter, modifier);
}

void load_strict(Attachment* a, const PolicyTexts& texts) {
  const auto of_ledger = [&](PolicyText name) { return column_of(a->ledger, texts[name]); };
  auto* s = static_cast<StrictLedger*>(palloc0(sizeof(StrictLedger)));
  s->users_key = column_of(a->users, texts[PolicyText::users_key]);
  s->users_balance = column_of(a->users, texts[PolicyText::users_balance]);
  s->enrollments_key = column_of(a->enrollments, texts[PolicyText::enrollments_key]);
  s->user = of_ledger(PolicyText::ledger_user);
  s->amount = of_ledger(PolicyText::ledger_amount);
  s->balance_after = of_ledger(PolicyText::ledger_balance_after);
  s->enrollment = of_ledger(PolicyText::ledger_enrollment);
  s->order = of_ledger(PolicyText::ledger_order);
  s->type = of_ledger(PolicyText::ledger_type);
  s->user_key = referring_type(a->ledger, s->user, a->user_key);
  s->enrollment_key = referring_type(a->ledger, s->enrollment, a->enrollment_key);
  s->balance_type = getBaseType(get_atttype(a->users, s->users_balance));
  s->amount_type = getBaseType(get_atttype(a->ledger, s->amount));
  s->balance_after_type = getBaseType(get_atttype(a->ledger, s->balance_after));
  int32 modifier = -1;
  get_atttypetypmodcoll(a->ledger, s->order, &s->order_type, &modifier, &s->order_collation);
  Oid collation = InvalidOid;
  get_atttypetypmodcoll(a->ledger, s->type, &s->word_type, &modifier, &collation);
  s->word_type = getBaseTypeAndTypmod(s->word_type, &modifier);
  s->enroll = word_of(s->word_type, modifier, a->type_enroll);
  s->unenroll = word_of(s->word_type, modifier, a->type_unenroll);
  s->waive = word_of(s->word_type, modifier, a->type_waive);
  a->strict = s;
}

void load_mentioned_columns(Attachment* a) {
  Query* query = pg::query_of(plan_of(a, rules::Statement::read_tournament));
  for (int i = 0; i < a->source_count; ++i) {
    Mentioned mentioned{a->sources[i].table, nullptr};
    collect_mentioned(reinterpret_cast<Node*>(query), &mentioned);
    a->sources[i].columns = bms_copy(mentioned.columns);
  }
}

void lock_tables(const Attachment* a, Access access) {
  // The tournaments are not written, yet their triggers must not go while a call relies on them.
  const LOCKMODE mode = access == Access::write ? RowExclusiveLock : AccessShareLock;
  LockRelationOid(a->users, mode);
  LockRelationOid(a->tournaments, mode);
  ListCell* cell;
  foreach (cell, a->watched_tables) LockRelationOid(lfirst_oid(cell), mode);
  LockRelationOid(a->enrollments, mode);
  LockRelationOid(a->ledger, mode);
}

Attachment* load(const Home& home, const StoredPolicy& stored) {
  const MemoryContext memory =
      AllocSetContextCreate(TopMemoryContext, "pg_enroll policy", ALLOCSET_DEFAULT_SIZES);
  const MemoryContext before = MemoryContextSwitchTo(memory);
  auto* a = static_cast<Attachment*>(palloc0(sizeof(Attachment)));
  a->memory = memory;
  a->home = home;
  a->name = pstrdup(stored.name);
  a->document = pstrdup(stored.document);
  a->attached_at = stored.attached_at;
  a->users = stored.users;
  a->tournaments = stored.tournaments;
  a->enrollments = stored.enrollments;
  a->ledger = stored.ledger;
  a->watched_tables = list_copy(stored.watched);
  // Known from here on, so that whatever changes during the load marks it stale, and that after
  // an error the end of the transaction frees it.
  a->next = attachments;
  attachments = a;

  // In the order of every call, before the parser locks them in its own.
  lock_tables(a, Access::read);
  const TableNames tables{qualified_name(a->users), qualified_name(a->enrollments)};
  qualified_name(a->tournaments);
  qualified_name(a->ledger);
  ListCell* cell;
  foreach (cell, a->watched_tables) qualified_name(lfirst_oid(cell));
  a->owner = owner_of(a->enrollments);
  require_one_owner(a);
  ErrorContextCallback context{error_context_stack, tell_what_to_do, a};
  error_context_stack = &context;
  // Nothing of the caller's path may be met with the owner's rights.
  const int bare = pg::push_settings(pg::bare_path);
  // What is looked at below belongs to the tables' owner: expressions, checks, functions in them.
  const pg::Restriction caller = pg::become_restricted(a->owner);
  a->path = path_of(a, stored.search_path);
  a->time_zone = pstrdup(stored.time_zone);
  const int level = pg::push_settings(a->path, a->time_zone);
  const PolicyTexts texts = policy_texts(a->document, tables);
  a->type_enroll = texts[PolicyText::ledger_type_enroll];
  a->type_unenroll = texts[PolicyText::ledger_type_unenroll];
  a->type_waive = texts[PolicyText::ledger_type_waive];
  a->lists = policy_lists(a->document);
  a->on_enroll = follow_ups_of(a->lists.on_enroll);
  a->on_unenroll = follow_ups_of(a->lists.on_unenroll);
  load_columns(a, texts);
  load_statements(a, texts);
  load_mentioned_columns(a);
  if (a->lists.strict) load_strict(a, texts);
  inspect_guards(a, texts);
  a->ready = true;
  pg::pop_settings(level);
  pg::restore(caller);
  pg::pop_settings(bare);
  error_context_stack = context.previous;
  MemoryContextSwitchTo(before);
  return a;
}

template <typename Matches>
Attachment* known(const Home& home, Matches matches) {
  for (Attachment* a = attachments; a != nullptr; a = a->next) {
    if (a->ready && !a->stale && a->home.policies == home.policies && matches(a)) return a;
  }
  return nullptr;
}

// Finds a policy among the known ones or loads it; null where it is not stored. The load itself
// may be overtaken by a change, hence the loop.
template <typename Matches>
Attachment* find(const Home& home, Matches matches) {
  for (;;) {
    Attachment* a = known(home, matches);
    if (a != nullptr) return a;
    std::optional<StoredPolicy> stored;
    visit_policies(home, [&](const StoredPolicy& candidate) {
      if (matches(&candidate)) stored = candidate;
      return !stored.has_value();
    });
    if (!stored) return nullptr;
    a = load(home, *stored);
    if (!a->stale) return a;
  }
}

[[noreturn]] void raise_unknown_policy(const char* name) {
  ereport(ERROR, (errcode(ERRCODE_UNDEFINED_OBJECT), errmsg("policy \"%s\" does not exist", name),
                  errhint("SELECT policy FROM enroll_policies lists the attached policies; "
                          "enroll_create_tables() makes one with ready-made tables.")));
  pg_unreachable();
}

auto has_name(const char* name) {
  return [name](const auto* policy) { return strcmp(policy->name, name) == 0; };
}

Attachment* named(const Home& home, const char* name) {
  Attachment* a = find(home, has_name(name));
  if (a == nullptr) raise_unknown_policy(name);
  return a;
}

[[noreturn]] void raise_not_attached(Oid relation) {
  ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
                  errmsg("table \"%s\" belongs to no attached policy", get_rel_name(relation)),
                  errhint("Attach a policy to the table, or drop its enroll_ triggers.")));
  pg_unreachable();
}

const StrictTable* strict_table(const Home& home, Oid root) {
  StrictTable** link = &strict_tables;
  while (*link != nullptr) {
    StrictTable* known = *link;
    if (known->ready && !known->stale) {
      if (known->policies == home.policies && known->table == root) return known;
      link = &known->next;
      continue;
    }
    *link = known->next;
    MemoryContextDelete(known->memory);
  }
  const MemoryContext memory =
      AllocSetContextCreate(TopMemoryContext, "pg_enroll strict table", ALLOCSET_SMALL_SIZES);
  auto* table = static_cast<StrictTable*>(MemoryContextAllocZero(memory, sizeof(StrictTable)));
  *table = {strict_tables, memory, home.policies, root, NIL, false, false};
  strict_tables = table;
  visit_policies(home, [&](const StoredPolicy& stored) {
    if ((stored.users != root && stored.ledger != root) || !policy_lists(stored.document).strict) {
      return true;
    }
    const MemoryContext before = MemoryContextSwitchTo(memory);
    table->names = lappend(table->names, pstrdup(stored.name));
    MemoryContextSwitchTo(before);
    return true;
  });
  table->ready = table->names != NIL;
  return table;
}

}  // namespace

std::optional<int32> scale_of(Oid type, int32 modifier) {
  if (type != NUMERICOID) return 0;
  if (modifier < static_cast<int32>(VARHDRSZ)) return std::nullopt;
  // As numeric's own modifier is laid out: eleven bits, signed.
  return (((modifier - VARHDRSZ) & 0x7ff) ^ 1024) - 1024;
}

const char* path_over(Oid enrollments, List* schemas) {
  List* all = list_make1_oid(get_rel_namespace(enrollments));
  all = list_concat_unique_oid(all, schemas);
  StringInfoData path;
  initStringInfo(&path);
  appendStringInfoString(&path, "pg_catalog");
  ListCell* cell;
  foreach (cell, all) {
    appendStringInfo(&path, ", %s", quote_identifier(get_namespace_name(lfirst_oid(cell))));
  }
  appendStringInfoString(&path, ", pg_temp");
  return path.data;
}

const char* qualified_name(Oid relation) {
  const char* name = get_rel_name(relation);
  if (name == nullptr) {
    ereport(ERROR, (errcode(ERRCODE_UNDEFINED_TABLE),
                    errmsg("a table that the policy names does not exist any more"),
                    errhint("SELECT enroll_detach() forgets a policy whose tables are gone.")));
  }
  return quote_qualified_identifier(get_namespace_name(get_rel_namespace(relation)), name);
}

Home home_of(Oid function) {
  Home home;
  home.schema = get_func_namespace(function);
  home.policies = get_relname_relid("enroll_policy", home.schema);
  home.seats = get_relname_relid("enroll_seat", home.schema);
  if (!OidIsValid(home.policies) || !OidIsValid(home.seats)) {
    ereport(ERROR, (errcode(ERRCODE_UNDEFINED_TABLE),
                    errmsg("the tables of extension pg_enroll are not where its functions are"),
                    errhint("Create the extension anew; its objects must not be moved singly.")));
  }
  home.owner = owner_of(home.seats);
  return home;
}

std::optional<int32> wait_of(const Home& home, const char* name) {
  const Attachment* a = known(home, has_name(name));
  if (a != nullptr) return a->lists.wait_ms;
  return policy_lists(require_stored(home, name).document).wait_ms;
}

Entered enter(const Home& home, const char* name, Access access) {
  for (;;) {
    Attachment* a = named(home, name);
    // Whoever drops or weakens a guard takes a lock that ours excludes, or tells us by an
    // invalidation that is read with the lock: what is not stale now stays true to the end.
    lock_tables(a, access);
    if (a->stale) continue;
    return {a, pg::push_settings(a->path, a->time_zone)};
  }
}

Oid root_of(Oid relation) {
  if (!get_rel_relispartition(relation)) return relation;
  return llast_oid(get_partition_ancestors(relation));
}

List* with_partitions(Oid table, LOCKMODE mode) {
  if (mode != NoLock) LockRelationOid(table, mode);
  return find_all_inheritors(table, mode, nullptr);
}

Entered enter_by_enrollments(const Home& home, Oid relation) {
  const Oid root = root_of(relation);
  Attachment* a = find(home, [&](const auto* p) { return p->enrollments == root; });
  if (a == nullptr) raise_not_attached(relation);
  return {a, pg::push_settings(a->path, a->time_zone)};
}

void leave(const Entered& entered) { pg::pop_settings(entered.level); }

List* policies_of_source(const Home& home, Oid relation) {
  const Oid root = root_of(relation);
  List* names = NIL;
  visit_policies(home, [&](const StoredPolicy& stored) {
    if (stored.tournaments == root || list_member_oid(stored.watched, root)) {
      names = lappend(names, pstrdup(stored.name));
    }
    return true;
  });
  if (names == NIL) raise_not_attached(relation);
  return names;
}

List* strict_policies_of(const Home& home, Oid relation) {
  const Oid root = root_of(relation);
  List* policies = NIL;
  ListCell* cell;
  foreach (cell, strict_table(home, root)->names) {
    Attachment* a = find(home, has_name(static_cast<const char*>(lfirst(cell))));
    const bool holds =
        a != nullptr && a->strict != nullptr && (a->users == root || a->ledger == root);
    if (holds) policies = lappend(policies, a);
  }
  if (policies == NIL) raise_not_attached(relation);
  return policies;
}

const Source* source_of(const Attachment* policy, Oid relation) {
  const Oid root = root_of(relation);
  for (int i = 0; i < policy->source_count; ++i) {
    if (policy->sources[i].table == root) return &policy->sources[i];
  }
  return nullptr;
}

std::optional<StoredPolicy> stored_policy(const Home& home, const char* name) {
  std::optional<StoredPolicy> found;
  visit_policies(home, [&](const StoredPolicy& stored) {
    if (strcmp(stored.name, name) == 0) found = stored;
    return !found.has_value();
  });
  return found;
}

List* stored_policies(const Home& home) {
  List* all = NIL;
  visit_policies(home, [&](const StoredPolicy& stored) {
    auto* kept = static_cast<StoredPolicy*>(palloc(sizeof(StoredPolicy)));
    *kept = stored;
    all = lappend(all, kept);
    return true;
  });
  return all;
}

StoredPolicy require_stored(const Home& home, const char* name) {
  const std::optional<StoredPolicy> stored = stored_policy(home, name);
  if (!stored) raise_unknown_policy(name);
  return *stored;
}

pg::Rows run(Attachment* policy, rules::Statement statement, pg::Values parameters) {
  return pg::run(plan_of(policy, statement), role_of(policy, statement), parameters);
}

pg::Rows run_fresh(Attachment* policy, rules::Statement statement, pg::Values parameters) {
  return pg::run_fresh(plan_of(policy, statement), role_of(policy, statement), parameters);
}

pg::Rows write_own(const Home& home, const char* sql, int count, Oid* types, pg::Values values) {
  return pg::run_fresh(pg::prepare(sql, count, types, home.owner), home.owner, values);
}

pg::Rows read(Attachment* policy, rules::Statement statement, pg::Values parameters,
              Snapshot snapshot) {
  return pg::read(plan_of(policy, statement), role_of(policy, statement), parameters, snapshot);
}

void follow_up(Attachment* policy, FollowUps& statements, Datum user, Datum tournament,
               Datum enrollment) {
  for (int i = 0; i < statements.count; ++i) {
    pg::Rows rows = pg::run(plan_of(policy, statements, i), role_of_calls(policy),
                            {{pg::value(user), pg::value(tournament), pg::value(enrollment)}});
    rows.release();
  }
}

void prepare_all(Attachment* policy) {
  for (std::size_t i = 0; i < rules::statement_count; ++i) {
    const auto statement = static_cast<rules::Statement>(i);
    const bool reactivates = statement == rules::Statement::reactivate_enrollment ||
                             statement == rules::Statement::reactivate_enrollment_many;
    if (!reactivates || policy->lists.reactivates) plan_of(policy, statement);
  }
  for (FollowUps* statements : {&policy->on_enroll, &policy->on_unenroll}) {
    for (int i = 0; i < statements->count; ++i) plan_of(policy, *statements, i);
  }
}

void require_caller(const Attachment* policy) {
  if (policy->lists.callers == NIL || GetUserId() == policy->owner) return;
  ListCell* cell;
  foreach (cell, policy->lists.callers) {
    const Oid role = get_role_oid(static_cast<const char*>(lfirst(cell)), true);
    if (OidIsValid(role) && has_privs_of_role(GetUserId(), role)) return;
  }
  ereport(ERROR, (errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
                  errmsg("role \"%s\" is no caller of policy \"%s\"",
                         GetUserNameFromId(GetUserId(), false), policy->name),
                  errhint("Name the role, or one that it is a member of, under callers in the "
                          "policy, and attach it anew.")));
}

void require_owner(const Attachment* policy) {
  if (has_privs_of_role(GetUserId(), policy->owner)) return;
  ereport(ERROR, (errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
                  errmsg("must be owner of the tables of policy \"%s\"", policy->name)));
}

bool is_active(Attachment* policy, TupleTableSlot* row) {
  ResetExprContext(policy->active_context);
  policy->active_context->ecxt_scantuple = row;
  return ExecQual(policy->active_state, policy->active_context);
}

void require_guards(const Attachment* policy) {
  for (std::size_t i = 0; i < policy->guards_used; ++i) {
    const Guard& guard = policy->guards[i];
    if (guard.state != GuardState::ok) {
      raise_guard_missing(policy, guard.name, guard.relation,
                          "SELECT guards FROM enroll_policies shows each guard's state; put the "
                          "guard back, or detach and attach the policy.");
    }
  }
}

void raise_seat_missing(const Attachment* policy) {
  raise_guard_missing(policy, "enroll_seat", policy->home.seats,
                      "A tournament has no seat counter, as after replication or a load with "
                      "triggers off: SELECT * FROM enroll_reconcile() recounts.");
}

void raise_guard_missing(const Attachment* policy, const char* guard, Oid relation,
                         const char* hint) {
  Facts facts = facts_about(policy, std::nullopt, std::nullopt);
  facts.guard = guard;
  note_refusal(rules::Outcome::guard_missing);
  const rules::Contract contract = rules::contract(rules::Outcome::guard_missing);
  pg::raise({contract.sqlstate.data(), contract.message.data(), facts_json(facts), hint, relation,
             guard});
}

void watch_invalidations() {
  CacheRegisterRelcacheCallback(mark_stale, 0);
  CacheRegisterSyscacheCallback(NAMESPACEOID, mark_all_stale, 0);
  RegisterXactCallback(forget_stale, nullptr);
}

}  // namespace pg_enroll::engine
