#include "engine/stats.hpp"

#include "pg/memory.hpp"
#include "pg/shared_memory.hpp"

namespace pg_enroll::engine {

using rules::Outcome;

namespace {

enum class Counter : std::uint8_t {
  errors,
  replays,
  looks,
  seat_waits,
  seat_wait_us,
  seat_wait_max_us,
  stripe_moves,
  guard_rejections,
};
constexpr std::size_t counter_count = static_cast<std::size_t>(Counter::guard_rejections) + 1;
constexpr std::size_t number_count = rules::outcome_count + counter_count;

constexpr std::size_t index_of(Outcome outcome) { return static_cast<std::size_t>(outcome); }
constexpr std::size_t index_of(Counter counter) {
  return rules::outcome_count + static_cast<std::size_t>(counter);
}

// Names may be of any length; so much of one is kept to be shown.
constexpr int shown_name = 128;

}  // namespace

// Numbers are added without a lock. The rest is written under the table's lock.
struct Counters {
  Oid database;   // InvalidOid: free
  uint64 policy;  // hash of its name
  int encoding;   // of the name
  char name[shown_name];
  TimestampTz since;
  pg_atomic_uint64 numbers[number_count];
};

namespace {

struct Table {
  pg_atomic_uint32 generation;  // moves when counters are given up
  int room;
  bool full;          // and that was said
  Counters overflow;  // of those for whom there was no room
  Counters at[FLEXIBLE_ARRAY_MEMBER];
};

int most_policies = 1000;
constexpr int most_policies_of_session = 32;
Table* session_table = nullptr;
Tally* innermost = nullptr;

Size size_of(int room) {
  return add_size(offsetof(Table, at), mul_size(sizeof(Counters), static_cast<Size>(room)));
}

void clear(Counters& counters) {
  counters.since = GetCurrentTimestamp();
  for (pg_atomic_uint64& number : counters.numbers) pg_atomic_write_u64(&number, 0);
}

void initialize(Table& table, int room) {
  pg_atomic_init_u32(&table.generation, 1);
  table.room = room;
  table.full = false;
  for (int i = -1; i < room; ++i) {
    Counters& counters = i < 0 ? table.overflow : table.at[i];
    counters = {};
    for (pg_atomic_uint64& number : counters.numbers) pg_atomic_init_u64(&number, 0);
    counters.since = GetCurrentTimestamp();
  }
}

pg::SharedMemory memory{"pg_enroll", [] { return size_of(most_policies); },
                        [](void* at) { initialize(*static_cast<Table*>(at), most_policies); }};

Table& table() {
  if (memory.at != nullptr) return *static_cast<Table*>(memory.at);
  if (session_table == nullptr) {
    session_table = static_cast<Table*>(
        MemoryContextAlloc(TopMemoryContext, size_of(most_policies_of_session)));
    initialize(*session_table, most_policies_of_session);
  }
  return *session_table;
}

// Keeps others from taking or giving up counters, where there are others.
template <typename Step>
void with_lock(LWLockMode mode, Step step) {
  if (memory.lock != nullptr) LWLockAcquire(memory.lock, mode);
  step();
  if (memory.lock != nullptr) LWLockRelease(memory.lock);
}

uint64 hash_of(const char* policy) {
  return hash_bytes_extended(reinterpret_cast<const unsigned char*>(policy),
                             static_cast<int>(strlen(policy)), 0);
}

// The policy's counters in this database, or free ones where the hash is not given.
Counters* find(Table& table, std::optional<uint64> policy) {
  const Oid database = policy ? MyDatabaseId : InvalidOid;
  for (int i = 0; i < table.room; ++i) {
    Counters& counters = table.at[i];
    if (counters.database == database && (!policy || counters.policy == *policy)) return &counters;
  }
  return nullptr;
}

Counters* take(Table& table, const char* policy) {
  Counters* free = find(table, std::nullopt);
  if (free == nullptr) return nullptr;
  free->database = MyDatabaseId;
  free->policy = hash_of(policy);
  free->encoding = GetDatabaseEncoding();
  const auto length = static_cast<int>(strlen(policy));
  const int shown = pg_mbcliplen(policy, length, shown_name - 1);
  memcpy(free->name, policy, static_cast<Size>(shown));
  free->name[shown] = '\0';
  clear(*free);
  return free;
}

void give_up(Table& table, Counters& counters) {
  counters.database = InvalidOid;
  pg_atomic_fetch_add_u32(&table.generation, 1);
}

// The policy's counters. It must be attached: whoever asks could otherwise use up all the room.
Counters* counters_of(const char* policy) {
  Table& all = table();
  const uint64 hash = hash_of(policy);
  Counters* found = nullptr;
  with_lock(LW_SHARED, [&] { found = find(all, hash); });
  if (found != nullptr) return found;
  bool says_full = false;
  with_lock(LW_EXCLUSIVE, [&] {
    found = find(all, hash);
    if (found == nullptr) found = take(all, policy);
    says_full = found == nullptr && !all.full;
    all.full = all.full || says_full;
  });
  if (says_full && memory.at != nullptr) {
    ereport(LOG, (errmsg("pg_enroll counts %d policies apart, and the others together", all.room),
                  errhint("Increase pg_enroll.stats_max.")));
  }
  return found != nullptr ? found : &all.overflow;
}

template <typename Index>
void add(Counters* counters, Index index, uint64 number = 1) {
  if (counters == nullptr) return;
  pg_atomic_fetch_add_u64(&counters->numbers[index_of(index)], static_cast<int64>(number));
}

void raise_to(Counters* counters, Counter counter, uint64 number) {
  if (counters == nullptr) return;
  pg_atomic_uint64* at = &counters->numbers[index_of(counter)];
  uint64 before = pg_atomic_read_u64(at);
  while (before < number && !pg_atomic_compare_exchange_u64(at, &before, number)) {
  }
}

void end_wait(Tally& tally) {
  if (!tally.waits_since) return;
  instr_time waited;
  INSTR_TIME_SET_CURRENT(waited);
  INSTR_TIME_SUBTRACT(waited, *tally.waits_since);
  const uint64 us = INSTR_TIME_GET_MICROSEC(waited);
  tally.waits_since = std::nullopt;
  add(tally.counters, Counter::seat_waits);
  add(tally.counters, Counter::seat_wait_us, us);
  raise_to(tally.counters, Counter::seat_wait_max_us, us);
}

void count_failed(const Tally& tally) {
  switch (tally.work) {
    case Work::call:
      if (tally.refusal) {
        add(tally.counters, *tally.refusal);
      } else {
        add(tally.counters, Counter::errors);
      }
      return;
    case Work::look:
      return;
    case Work::other_writer:
      if (tally.refusal) add(tally.counters, Counter::guard_rejections);
      return;
  }
}

}  // namespace

void begin_tally(Tally& tally) {
  tally.outer = innermost;
  innermost = &tally;
}

void end_tally(Tally& tally) {
  innermost = tally.outer;
  end_wait(tally);
}

void end_failed_tally(Tally& tally) {
  end_tally(tally);
  count_failed(tally);
}

void count_for(Tally& tally, Attachment* policy) {
  const uint32 generation = pg_atomic_read_u32(&table().generation);
  if (policy->counters == nullptr || policy->counters_generation != generation) {
    policy->counters = counters_of(policy->name);
    policy->counters_generation = generation;
  }
  tally.counters = policy->counters;
  if (tally.work == Work::look) add(tally.counters, Counter::looks);
}

void count_for(Tally& tally, const char* policy) {
  if (tally.counters == nullptr) tally.counters = counters_of(policy);
}

void count_answer(const Tally& tally, Outcome outcome, bool replayed) {
  if (tally.work == Work::look) return;
  add(tally.counters, outcome);
  if (replayed) add(tally.counters, Counter::replays);
}

void note_refusal(Outcome outcome) {
  if (innermost != nullptr) innermost->refusal = outcome;
}

void begin_seat_wait(bool held) {
  if (!held || innermost == nullptr) return;
  instr_time now;
  INSTR_TIME_SET_CURRENT(now);
  innermost->waits_since = now;
}

void end_seat_wait() {
  if (innermost != nullptr) end_wait(*innermost);
}

void count_stripe_move() {
  if (innermost != nullptr) add(innermost->counters, Counter::stripe_moves);
}

// ---- showing -----------------------------------------------------------------------------------

namespace {

// What is shown of counters, taken from the table as they are at one moment.
struct Shown {
  Oid database;
  int encoding;
  char name[shown_name];
  TimestampTz since;
  std::array<int64, number_count> numbers;

  int64 operator[](Counter counter) const { return numbers[index_of(counter)]; }
};

Shown shown_of(Counters& counters) {
  Shown shown{counters.database, counters.encoding, {}, counters.since, {}};
  strlcpy(shown.name, counters.name, shown_name);
  for (std::size_t i = 0; i < number_count; ++i) {
    shown.numbers[i] = static_cast<int64>(pg_atomic_read_u64(&counters.numbers[i]));
  }
  return shown;
}

bool is_used(const Shown& shown) {
  return std::any_of(shown.numbers.begin(), shown.numbers.end(),
                     [](int64 number) { return number != 0; });
}

// A name of a database with another encoding shows "?" for what that may spell differently.
const char* name_of(const Shown& shown) {
  char* name = pstrdup(shown.name);
  if (shown.encoding == GetDatabaseEncoding()) return name;
  for (char* at = name; *at != '\0'; ++at) {
    if (IS_HIGHBIT_SET(*at)) *at = '?';
  }
  return name;
}

// Looking only is no attempt, and has no outcome.
bool is_of_attempts(Outcome outcome) {
  return outcome != Outcome::eligible && outcome != Outcome::refundable;
}

CountersRow row_of(const Shown& shown, const char* database) {
  constexpr double us_in_ms = 1000;
  CountersRow row;
  row.database = database;
  row.policy = database == nullptr ? nullptr : name_of(shown);
  StringInfoData json;
  initStringInfo(&json);
  for (std::size_t i = 0; i < rules::outcome_count; ++i) {
    const auto outcome = static_cast<Outcome>(i);
    if (!is_of_attempts(outcome)) continue;
    row.calls += shown.numbers[i];
    appendStringInfo(&json, "%s\"%s\": " INT64_FORMAT, json.len == 0 ? "{" : ", ",
                     rules::contract(outcome).code.data(), shown.numbers[i]);
  }
  appendStringInfoChar(&json, '}');
  row.outcomes = json.data;
  row.errors = shown[Counter::errors];
  row.calls += row.errors;
  row.replays = shown[Counter::replays];
  row.looks = shown[Counter::looks];
  row.seat_waits = shown[Counter::seat_waits];
  row.seat_wait_ms = static_cast<double>(shown[Counter::seat_wait_us]) / us_in_ms;
  row.seat_wait_max_ms = static_cast<double>(shown[Counter::seat_wait_max_us]) / us_in_ms;
  row.stripe_moves = shown[Counter::stripe_moves];
  row.guard_rejections = shown[Counter::guard_rejections];
  row.since = shown.since;
  return row;
}

// Nothing tells us when a database is dropped; whoever looks at the counters finds it gone.
void forget_database(Oid database) {
  Table& all = table();
  with_lock(LW_EXCLUSIVE, [&] {
    for (int i = 0; i < all.room; ++i) {
      if (all.at[i].database == database) give_up(all, all.at[i]);
    }
  });
}

}  // namespace

void visit_counters(void (*visit)(void* state, const CountersRow&), void* state) {
  Table& all = table();
  pg::Items<Shown> shown;
  with_lock(LW_SHARED, [&] {
    for (int i = 0; i < all.room; ++i) {
      if (OidIsValid(all.at[i].database)) shown.add(shown_of(all.at[i]));
    }
  });
  const bool sees_all =
      !counters_are_shared() || has_privs_of_role(GetUserId(), ROLE_PG_READ_ALL_STATS);
  for (std::size_t i = 0; i < shown.count; ++i) {
    const Oid database = shown.at[i].database;
    if (!sees_all && database != MyDatabaseId) continue;
    const char* name = get_database_name(database);
    if (name == nullptr) {
      forget_database(database);
    } else {
      visit(state, row_of(shown.at[i], name));
    }
  }
  const Shown rest = shown_of(all.overflow);
  if (sees_all && is_used(rest)) visit(state, row_of(rest, nullptr));
}

bool counters_are_shared() { return memory.at != nullptr; }

// ---- beginning anew ----------------------------------------------------------------------------

void reset_counters(const Home& home) {
  List* stored = stored_policies(home);
  pg::Items<uint64> attached;
  ListCell* cell;
  foreach (cell, stored) attached.add(hash_of(static_cast<StoredPolicy*>(lfirst(cell))->name));
  Table& all = table();
  with_lock(LW_EXCLUSIVE, [&] {
    for (int i = 0; i < all.room; ++i) {
      Counters& counters = all.at[i];
      if (counters.database != MyDatabaseId) continue;
      const uint64* end = attached.at + attached.count;
      if (std::find(attached.at, const_cast<uint64*>(end), counters.policy) == end) {
        give_up(all, counters);
      } else {
        clear(counters);
      }
    }
    clear(all.overflow);
    all.full = false;
  });
}

void forget_counters(const char* policy) {
  Table& all = table();
  with_lock(LW_EXCLUSIVE, [&] {
    Counters* counters = find(all, hash_of(policy));
    if (counters != nullptr) give_up(all, *counters);
  });
}

void prepare_counters() {
  if (!pg::is_preloading()) return;
  constexpr int most = 100'000;
  DefineCustomIntVariable("pg_enroll.stats_max",
                          "Sets how many policies of all databases enroll_stats counts apart.",
                          nullptr, &most_policies, most_policies, 1, most, PGC_POSTMASTER, 0,
                          nullptr, nullptr, nullptr);
  pg::reserve_settings("pg_enroll");
  pg::share(memory);
}

}  // namespace pg_enroll::engine
