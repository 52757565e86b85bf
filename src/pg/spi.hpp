// Statements over SPI: values in, rows out, run with a stated role's rights and a stated snapshot.
#pragma once

#include "pg/prelude.hpp"

namespace pg_enroll::pg {

// A datum that may be NULL.
struct Value {
  Datum datum = 0;
  bool null = true;
};

inline Value value(Datum datum) { return {datum, false}; }
inline Value bigint(int64 number) { return {Int64GetDatum(number), false}; }
inline Value bigint(std::optional<int64> number) { return number ? bigint(*number) : Value{}; }
inline std::optional<int64> as_bigint(Value v) {
  if (v.null) return std::nullopt;
  return DatumGetInt64(v.datum);
}
inline bool as_bool(Value v) { return !v.null && DatumGetBool(v.datum); }
inline Value text_value(const char* string) {
  return string == nullptr ? Value{} : value(CStringGetTextDatum(string));
}

// A few values in a row, as parameters of a statement.
struct Values {
  const Value* at = nullptr;
  std::size_t count = 0;

  Values() = default;
  template <std::size_t N>
  Values(const Value (&values)[N]) : at(values), count(N) {}  // NOLINT: reads as a list
};

// What a statement returned. Lives in the SPI connection, or shorter: in the subtransaction.
class Rows {
 public:
  Rows() = default;
  Rows(SPITupleTable* table, uint64 count) : table_(table), count_(count) {}

  uint64 count() const { return count_; }
  bool empty() const { return count_ == 0; }
  // Columns count from 1, rows from 0.
  Value at(uint64 row, int column) const;
  // The same, copied into a memory context that outlives the statement.
  Value keep(uint64 row, int column, MemoryContext context) const;
  void release();

 private:
  SPITupleTable* table_ = nullptr;
  uint64 count_ = 0;
};

// Sets search_path for what follows, as a function's SET clause does: functions below may set their
// own. Answers the level to end it by; 0 where the path was that already. An abort ends it, too.
inline constexpr const char* bare_path = "pg_catalog, pg_temp";
int push_search_path(const char* path);
void pop_search_path(int level);

struct Identity {
  Oid user;
  int security;
};

// Acts as a role the way foreign-key triggers do: the row security of the role's own tables is
// not forced on it, yet deferred constraints stay allowed. An abort undoes it, too.
Identity become(Oid role);
void restore(Identity identity);

// The same for looking at what a role has defined: nothing that runs meanwhile can outlive it.
Identity become_restricted(Oid role);

// SPI leaves its own memory context behind it; everything here restores the caller's.

// Prepares a statement with the role's rights, for this SPI connection unless it is kept.
SPIPlanPtr prepare(const char* sql, int parameters, Oid* types, Oid role);
void keep(SPIPlanPtr plan);

// The query tree of a statement that was prepared just now.
Query* query_of(SPIPlanPtr plan);

// Runs a statement with the transaction's own snapshot rules.
Rows run(SPIPlanPtr plan, Oid role, Values parameters);

// Runs a query under exactly this snapshot; it must not write.
Rows read(SPIPlanPtr plan, Oid role, Values parameters, Snapshot snapshot);

// Runs a statement that writes under a snapshot taken now, at every isolation level. What it
// would change must be visible to the transaction's own snapshot too, else it is 40001.
Rows run_fresh(SPIPlanPtr plan, Oid role, Values parameters);

// A statement that is used once, as the current user.
Rows query(const char* sql, int parameters, Oid* types, Datum* values);

// Utility commands, as the current user.
void execute(const char* sql);

// A snapshot taken now, at every isolation level, that sees of this transaction's work only what
// came before the command. Registered: to be unregistered by whoever asked.
Snapshot fresh_snapshot(CommandId before);

// The snapshot that a statement of this transaction would take now. Registered.
Snapshot statement_snapshot();

// Runs the step in a subtransaction of its own and keeps its work where the step says so. An
// error rolls the subtransaction back and flies on.
bool in_subtransaction(bool (*step)(void*), void* state);

// The same, but an error of class 42 (an undefined or inaccessible object) is answered by false.
bool finds_all_objects(bool (*step)(void*), void* state);

// How deep in triggers the session is: 0 outside of any.
int trigger_depth();

template <typename Step>
bool in_subtransaction(Step& step) {
  return in_subtransaction([](void* state) { return (*static_cast<Step*>(state))(); }, &step);
}

}  // namespace pg_enroll::pg
