#include "engine/strict.hpp"

#include "engine/rejection.hpp"
#include "pg/errors.hpp"
#include "pg/memory.hpp"
#include "pg/numeric.hpp"
#include "pg/transition.hpp"

namespace pg_enroll::engine {
namespace {

constexpr const char* strict_constraint = "enroll_strict_ledger";
constexpr const char* append_only_constraint = "enroll_append_only_ledger";
constexpr const char* strict_hint =
    "Write the ledger row in the same transaction, or SELECT enroll_sanction('why') as the "
    "tables' owner.";

// A user's balance moved, a ledger row was written for a user, an enrollment became active or
// ceased to be, a ledger row says so.
enum class Note : std::uint8_t { moved, booked, activity, recorded };

struct Entry {
  Attachment* policy;  // lives as long as the transaction
  const char* key;     // the user's, or the enrollment's
  SubTransactionId level;
  Note note;
  std::int8_t sign;         // activity, recorded: 1 or -1
  pg::Value first, second;  // moved: balance before and after; booked: amount and balance_after
  pg::Value order;          // booked
  std::size_t number;       // in which order they came
};

struct Sanction {
  const char* policy;
  SubTransactionId level;
};

// Of the transaction that is under way. What a subtransaction added goes with it: whatever has
// been added since it began is of a level at least as high as its own.
struct Journal {
  MemoryContext memory;
  pg::Items<Entry> entries;
  pg::Items<Sanction> sanctions;
};
Journal* journal = nullptr;

Journal& current_journal() {
  if (journal == nullptr) {
    const MemoryContext memory = AllocSetContextCreate(
        TopTransactionContext, "pg_enroll strict ledger", ALLOCSET_DEFAULT_SIZES);
    auto* begun = static_cast<Journal*>(MemoryContextAllocZero(memory, sizeof(Journal)));
    begun->memory = memory;
    journal = begun;
  }
  return *journal;
}

bool is_sanctioned(const Attachment* policy) {
  for (std::size_t i = 0; journal != nullptr && i < journal->sanctions.count; ++i) {
    if (strcmp(journal->sanctions.at[i].policy, policy->name) == 0) return true;
  }
  return false;
}

void add_entry(Entry entry) {
  Journal& into = current_journal();
  entry.level = GetCurrentSubTransactionId();
  entry.number = into.entries.count;
  const MemoryContext before = MemoryContextSwitchTo(into.memory);
  into.entries.add(entry);
  MemoryContextSwitchTo(before);
}

// ---- values of a row, as the journal keeps them -------------------------------------------------

pg::Value column_value(TupleTableSlot* row, AttrNumber column) {
  pg::Value value;
  value.datum = slot_getattr(row, column, &value.null);
  return value;
}

// Copied, since some output functions leave a kilobyte of room behind the text. A key that is NULL
// once its column may be is no key of another row.
const char* kept_key(const pg::KeyType& type, pg::Value key) {
  const MemoryContext memory = current_journal().memory;
  if (key.null) return MemoryContextStrdup(memory, "");
  const char* text = pg::key_text(type, key.datum);
  const char* kept = MemoryContextStrdup(memory, text);
  pfree(const_cast<char*>(text));
  return kept;
}

bool same_key(const pg::KeyType& type, pg::Value a, pg::Value b) {
  if (a.null || b.null) return a.null && b.null;
  return pg::same_key(type, a.datum, b.datum);
}

// Whatever the column's type, as a numeric; NULL is 0.
pg::Value kept_money(Oid type, pg::Value amount) {
  const MemoryContext before = MemoryContextSwitchTo(current_journal().memory);
  pg::Value money;
  if (amount.null) {
    money = pg::Money::zero().value();
  } else if (type == NUMERICOID) {
    money = pg::value(PointerGetDatum(DatumGetNumericCopy(amount.datum)));
  } else if (type == INT8OID) {
    money = pg::value(DirectFunctionCall1(int8_numeric, amount.datum));
  } else if (type == INT4OID) {
    money = pg::value(DirectFunctionCall1(int4_numeric, amount.datum));
  } else {
    money = pg::value(DirectFunctionCall1(int2_numeric, amount.datum));
  }
  MemoryContextSwitchTo(before);
  return money;
}

pg::Value kept_order(const StrictLedger& strict, pg::Value order) {
  if (order.null) return order;
  int16 length = 0;
  bool by_value = false;
  get_typlenbyval(strict.order_type, &length, &by_value);
  const MemoryContext before = MemoryContextSwitchTo(current_journal().memory);
  const Datum copy = length == -1 ? PointerGetDatum(PG_DETOAST_DATUM_COPY(order.datum))
                                  : datumCopy(order.datum, by_value, length);
  MemoryContextSwitchTo(before);
  return pg::value(copy);
}

void forget(pg::Value value) {
  if (!value.null) pfree(DatumGetPointer(value.datum));
}

// ---- what the statements did --------------------------------------------------------------------

struct Account {
  pg::Value key;
  pg::Value balance;
};

std::optional<Account> account_of(const StrictLedger& strict, TupleTableSlot* row) {
  if (row == nullptr) return std::nullopt;
  return Account{column_value(row, strict.users_key), column_value(row, strict.users_balance)};
}

bool same_balance(const StrictLedger& strict, pg::Value a, pg::Value b) {
  if (a.null || b.null) return a.null && b.null;
  int16 length = 0;
  bool by_value = false;
  get_typlenbyval(strict.balance_type, &length, &by_value);
  return datum_image_eq(a.datum, b.datum, by_value, length);
}

void note_move(Attachment* policy, pg::Value key, pg::Value before, pg::Value after) {
  const StrictLedger& strict = *policy->strict;
  Entry entry{};
  entry.policy = policy;
  entry.key = kept_key(policy->user_key, key);
  entry.note = Note::moved;
  entry.first = kept_money(strict.balance_type, before);
  entry.second = kept_money(strict.balance_type, after);
  add_entry(entry);
}

// A user who comes had nothing, and one who goes has nothing any more. Most updates leave the
// balance as it is.
void note_accounts(Attachment* policy, TriggerData* trigger) {
  const StrictLedger& strict = *policy->strict;
  pg::Transition rows(trigger, policy->users);
  while (rows.next()) {
    const std::optional<Account> before = account_of(strict, rows.before);
    const std::optional<Account> after = account_of(strict, rows.after);
    if (before && after && same_key(policy->user_key, before->key, after->key)) {
      if (!same_balance(strict, before->balance, after->balance)) {
        note_move(policy, after->key, before->balance, after->balance);
      }
      continue;
    }
    if (before) note_move(policy, before->key, before->balance, {});
    if (after) note_move(policy, after->key, {}, after->balance);
  }
  rows.close();
}

// 1 where the word says that a place was taken, -1 that it was given back, 0 where it is another.
std::int8_t meaning_of(const StrictLedger& strict, pg::Value word) {
  if (word.null) return 0;
  int16 length = 0;
  bool by_value = false;
  get_typlenbyval(strict.word_type, &length, &by_value);
  const auto is = [&](Datum known) { return datum_image_eq(word.datum, known, by_value, length); };
  if (is(strict.enroll) || is(strict.waive)) return 1;
  return is(strict.unenroll) ? -1 : 0;
}

// A row of no user moves nobody's credits.
void note_booking(Attachment* policy, TupleTableSlot* row) {
  const StrictLedger& strict = *policy->strict;
  const pg::Value user = column_value(row, strict.user);
  if (user.null) return;
  const pg::Value after = column_value(row, strict.balance_after);
  Entry entry{};
  entry.policy = policy;
  entry.key = kept_key(strict.user_key, user);
  entry.note = Note::booked;
  entry.first = kept_money(strict.amount_type, column_value(row, strict.amount));
  if (!after.null) entry.second = kept_money(strict.balance_after_type, after);
  entry.order = kept_order(strict, column_value(row, strict.order));
  add_entry(entry);
}

void note_place(Attachment* policy, const pg::KeyType& type, pg::Value key, Note note,
                std::int8_t sign) {
  Entry entry{};
  entry.policy = policy;
  entry.key = kept_key(type, key);
  entry.note = note;
  entry.sign = sign;
  add_entry(entry);
}

void note_rows(Attachment* policy, TriggerData* trigger) {
  const StrictLedger& strict = *policy->strict;
  pg::Transition rows(trigger, policy->ledger);
  while (rows.next()) {
    note_booking(policy, rows.after);
    const pg::Value enrollment = column_value(rows.after, strict.enrollment);
    const std::int8_t sign = meaning_of(strict, column_value(rows.after, strict.type));
    if (enrollment.null || sign == 0) continue;
    note_place(policy, strict.enrollment_key, enrollment, Note::recorded, sign);
  }
  rows.close();
}

bool has_rows(TriggerData* trigger, Oid root) {
  pg::Transition rows(trigger, root);
  const bool any = rows.next();
  rows.close();
  return any;
}

[[noreturn]] void raise_append_only(const Attachment* policy) {
  pg::raise({"23001", "ledger rows cannot be changed or removed",
             facts_json(facts_about(policy, std::nullopt, std::nullopt)),
             "Write a correcting row. A cascade from a deleted row counts, too: keep what ledger "
             "rows name, or SELECT enroll_sanction('why') as the tables' owner.",
             policy->ledger, append_only_constraint});
}

// ---- what they must add up to -------------------------------------------------------------------

bool is_of_account(const Entry& entry) {
  return entry.note == Note::moved || entry.note == Note::booked;
}

// Policies may have been loaded twice meanwhile, so they are told apart by name.
int compare_subjects(const Entry& a, const Entry& b) {
  const int policies = a.policy == b.policy ? 0 : strcmp(a.policy->name, b.policy->name);
  if (policies != 0) return policies;
  if (is_of_account(a) != is_of_account(b)) return is_of_account(a) ? -1 : 1;
  return strcmp(a.key, b.key);
}

[[noreturn]] void raise_unbooked(const Facts& facts, const char* message, Oid relation) {
  pg::raise({"23514", message, facts_json(facts), strict_hint, relation, strict_constraint});
}

Facts facts_about_user(const Entry& entry) {
  Facts facts = facts_about(entry.policy, std::nullopt, std::nullopt);
  facts.user_text = entry.key;
  return facts;
}

// The balance in the end, where the moves tell. They mostly follow one another; where a trigger's
// own statement moved the balance on, its move is noted before the one that set it off. Two moves
// that undo one another may have come either way round.
class Course {
 public:
  void add(pg::Money before, pg::Money after) {
    if (!first_) {
      first_ = before;
      last_ = after;
      return;
    }
    const bool follows = before == *last_;
    const bool precedes = after == *first_;
    known_ = known_ && follows != precedes;
    if (follows) {
      last_ = after;
    } else if (precedes) {
      first_ = before;
    }
  }
  std::optional<pg::Money> end() const { return known_ ? last_ : std::nullopt; }

 private:
  std::optional<pg::Money> first_, last_;
  bool known_ = true;
};

// As they came, where the column's type, or that it is never NULL, has been altered between them.
bool is_later(const Entry& a, const Entry& b) {
  const StrictLedger& strict = *a.policy->strict;
  const bool comparable = strict.order_type == b.policy->strict->order_type;
  if (!comparable || a.order.null || b.order.null) return a.number > b.number;
  TypeCacheEntry* type = lookup_type_cache(strict.order_type, TYPECACHE_CMP_PROC_FINFO);
  if (!OidIsValid(type->cmp_proc)) return a.number > b.number;
  return DatumGetInt32(FunctionCall2Coll(&type->cmp_proc_finfo, strict.order_collation,
                                         a.order.datum, b.order.datum)) > 0;
}

// The entries of one user, in the order in which they came.
void check_account(const Entry* entries, std::size_t count) {
  pg::Money moved = pg::Money::zero();
  pg::Money booked = pg::Money::zero();
  Course course;
  const Entry* last = nullptr;
  for (const Entry* entry = entries; entry < entries + count; ++entry) {
    const pg::Money first(entry->first.datum);
    if (entry->note == Note::moved) {
      const pg::Money second(entry->second.datum);
      moved = moved + (second - first);
      course.add(first, second);
    } else {
      booked = booked + first;
      if (last == nullptr || is_later(*entry, *last)) last = entry;
    }
  }
  Facts facts = facts_about_user(*entries);
  if (!(moved == booked)) {
    facts.balance_change = moved.value();
    facts.ledger_sum = booked.value();
    raise_unbooked(facts, "a balance and its ledger do not move together", entries->policy->users);
  }
  const std::optional<pg::Money> balance = course.end();
  if (last == nullptr || !balance) return;
  if (!last->second.null && pg::Money(last->second.datum) == *balance) return;
  facts.balance = balance->value();
  facts.balance_after = last->second;
  raise_unbooked(facts, "the last ledger row does not say the balance", entries->policy->ledger);
}

// The entries of one enrollment. A place that is given back and taken again within the transaction
// needs a row of its own where giving it back had one.
void check_enrollment(const Entry* entries, std::size_t count) {
  int activity = 0;
  int recorded = 0;
  bool activated = false;
  for (const Entry* entry = entries; entry < entries + count; ++entry) {
    const bool active = entry->note == Note::activity;
    (active ? activity : recorded) += entry->sign;
    activated = activated || (active && entry->sign > 0);
  }
  if (!activated || activity <= recorded) return;
  Facts facts = facts_about(entries->policy, std::nullopt, std::nullopt);
  facts.enrollment_text = entries->key;
  raise_unbooked(facts, "an enrollment became active without its ledger row",
                 entries->policy->enrollments);
}

void check_journal() {
  pg::Items<Entry>& all = journal->entries;
  std::sort(all.at, all.at + all.count, [](const Entry& a, const Entry& b) {
    const int order = compare_subjects(a, b);
    return order != 0 ? order < 0 : a.number < b.number;
  });
  std::size_t begin = 0;
  for (std::size_t end = 1; end <= all.count; ++end) {
    if (end < all.count && compare_subjects(all.at[begin], all.at[end]) == 0) continue;
    CHECK_FOR_INTERRUPTS();
    const Entry* subject = all.at + begin;
    if (!is_sanctioned(subject->policy)) {
      if (is_of_account(*subject)) {
        check_account(subject, end - begin);
      } else {
        check_enrollment(subject, end - begin);
      }
    }
    begin = end;
  }
}

// Nothing of anybody's runs any more once this is called, so that what is noted is all there is.
void check_before_commit(XactEvent event, void* /*argument*/) {
  switch (event) {
    case XACT_EVENT_PRE_COMMIT:
    case XACT_EVENT_PRE_PREPARE:
      if (journal != nullptr) check_journal();
      return;
    case XACT_EVENT_COMMIT:
    case XACT_EVENT_PREPARE:
    case XACT_EVENT_ABORT:
      journal = nullptr;
      return;
    default:
      return;
  }
}

void drop_aborted_notes(SubXactEvent event, SubTransactionId mine, SubTransactionId /*parent*/,
                        void* /*argument*/) {
  if (event != SUBXACT_EVENT_ABORT_SUB || journal == nullptr) return;
  pg::Items<Entry>& entries = journal->entries;
  while (entries.count > 0 && entries.at[entries.count - 1].level >= mine) {
    const Entry& last = entries.at[--entries.count];
    pfree(const_cast<char*>(last.key));
    forget(last.first);
    forget(last.second);
  }
  pg::Items<Sanction>& sanctions = journal->sanctions;
  while (sanctions.count > 0 && sanctions.at[sanctions.count - 1].level >= mine) --sanctions.count;
}

void record_sanction(const Home& home, const char* policy, pg::Value reason) {
  const char* role = GetUserNameFromId(GetUserId(), false);
  const char* login = GetUserNameFromId(GetSessionUserId(), false);
  Oid types[] = {TEXTOID, TEXTOID, TEXTOID, TEXTOID};
  write_own(home,
            psprintf("INSERT INTO %s (policy, xid, role, login, reason) VALUES ($1, "
                     "pg_catalog.pg_current_xact_id(), $2, $3, $4)",
                     qualified_name(sanction_table(home))),
            4, types,
            {{pg::text_value(policy), pg::text_value(role), pg::text_value(login), reason}});
}

}  // namespace

Oid sanction_table(const Home& home) { return get_relname_relid("enroll_sanction", home.schema); }

void note_balances(const Home& home, TriggerData* trigger) {
  pg::require_statement_trigger(trigger);
  const Oid relation = RelationGetRelid(trigger->tg_relation);
  ListCell* cell;
  foreach (cell, strict_policies_of(home, relation)) {
    auto* policy = static_cast<Attachment*>(lfirst(cell));
    if (policy->users != root_of(relation) || is_sanctioned(policy)) continue;
    if (TRIGGER_FIRED_BY_TRUNCATE(trigger->tg_event)) {
      raise_unbooked(facts_about(policy, std::nullopt, std::nullopt),
                     "balances cannot be truncated", policy->users);
    }
    note_accounts(policy, trigger);
  }
}

void note_ledger(const Home& home, TriggerData* trigger) {
  pg::require_statement_trigger(trigger);
  const Oid relation = RelationGetRelid(trigger->tg_relation);
  ListCell* cell;
  foreach (cell, strict_policies_of(home, relation)) {
    auto* policy = static_cast<Attachment*>(lfirst(cell));
    if (policy->ledger != root_of(relation) || is_sanctioned(policy)) continue;
    if (TRIGGER_FIRED_BY_INSERT(trigger->tg_event)) {
      note_rows(policy, trigger);
    } else if (TRIGGER_FIRED_BY_TRUNCATE(trigger->tg_event) || has_rows(trigger, policy->ledger)) {
      raise_append_only(policy);
    }
  }
}

void note_enrollments(Attachment* policy, TriggerData* trigger) {
  if (is_sanctioned(policy)) return;
  const AttrNumber key = policy->strict->enrollments_key;
  const auto note = [&](TupleTableSlot* row, std::int8_t sign) {
    note_place(policy, policy->enrollment_key, column_value(row, key), Note::activity, sign);
  };
  pg::Transition rows(trigger, policy->enrollments);
  while (rows.next()) {
    const bool was_active = rows.before != nullptr && is_active(policy, rows.before);
    const bool active = rows.after != nullptr && is_active(policy, rows.after);
    const bool stays = was_active && active &&
                       same_key(policy->enrollment_key, column_value(rows.before, key),
                                column_value(rows.after, key));
    if (stays) continue;
    if (was_active) note(rows.before, -1);
    if (active) note(rows.after, 1);
  }
  rows.close();
}

void sanction(const Home& home, const char* name, pg::Value reason) {
  const Entered entered = enter(home, name, Access::read);
  const Attachment* policy = entered.policy;
  require_owner(policy);
  if (policy->strict == nullptr) {
    ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
                    errmsg("the ledger of policy \"%s\" is not strict", name),
                    errhint("There is nothing to lift.")));
  }
  record_sanction(home, policy->name, reason);
  Journal& into = current_journal();
  const MemoryContext before = MemoryContextSwitchTo(into.memory);
  into.sanctions.add({pstrdup(policy->name), GetCurrentSubTransactionId()});
  MemoryContextSwitchTo(before);
  leave(entered);
}

void watch_commits() {
  RegisterXactCallback(check_before_commit, nullptr);
  RegisterSubXactCallback(drop_aborted_notes, nullptr);
}

}  // namespace pg_enroll::engine
