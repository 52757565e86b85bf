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
  Values(const Value* values, std::size_t size) : at(values), count(size) {}
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

// Sets search_path for what follows, and the time zone unless that is null, as a function's SET
// clause does: functions below may set their own. Strings, dates and intervals are read in one way,
// whatever the caller has set. Answers the level to end it by; 0 where all was so already. An abort
// ends it, too.
inline constexpr const char* bare_path = "pg_catalog, pg_temp";
int push_settings(const char* path, const char* time_zone = nullptr);
void pop_settings(int level);

const char* session_time_zone();

struct Identity {
  Oid user;
  int security;
};

// Acts as a role the way foreign-key triggers do: the row security of the role's own tables is
// not forced on it, yet deferred constraints stay allowed. InvalidOid stays whoever it is. An abort
// undoes it, too.
Identity become(Oid role);
void restore(Identity identity);

// The same for what a role has defined and somebody else sets off: a security-restricted operation,
// as CREATE INDEX is one. Nothing that runs meanwhile outlives it: no deferred trigger, no
// temporary table, no setting.
struct Restriction {
  Identity before;
  int level;
};
Restriction become_restricted(Oid role);
void restore(const Restriction& restriction);

// SPI leaves its own memory context behind it; everything here restores the caller's.

// Prepares a statement with the role's rights, for this SPI connection unless it is kept.
SPIPlanPtr prepare(const char* sql, int parameters, Oid* types, Oid role);
void keep(SPIPlanPtr plan);

// The query tree of a statement that was prepared just now.
Query* query_of(SPIPlanPtr plan);

// Whether a query uses a table or a type of a temporary schema, in sub-selects too.
bool uses_temporary_objects(Query* query);

// Runs a statement with the transaction's own snapshot rules.
Rows run(SPIPlanPtr plan, Oid role, Values parameters);

// Runs a query under exactly this snapshot; it must not write.
Rows read(SPIPlanPtr plan, Oid role, Values parameters, Snapshot snapshot);

// Runs a statement that writes under a snapshot taken now, at every isolation level. What it
// would change must be visible to the transaction's own snapshot too, else it is 40001.
Rows run_fresh(SPIPlanPtr plan, Oid role, Values parameters);

// A statement that is used once, as the current user.
Rows query(const char* sql, int parameters, Oid* types, Datum* values, const char* nulls = nullptr);

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

// The same, but a 23505 of the table's index, or of any where none is named, is answered by false.
struct UniqueKey {
  Oid table;
  Oid index = InvalidOid;
};
bool meets_no_duplicate(bool (*step)(void*), void* state, const UniqueKey& key);

// The error that the step ran into, in the current memory context; null where it ran to its end.
// What it did is undone in any case. Errors that are nobody's fault (a cancel, a full disk) fly on.
const ErrorData* failure_of(void (*step)(void*), void* state);

// Runs the step until its end, or for so many milliseconds, waits and all: false where they are
// over. Then its work is undone where it is to be; where not, the caller must raise an error at
// once. A call inside another one ends with it.
enum class Undo : std::uint8_t { yes, no };
bool finishes_in_time(int32 milliseconds, Undo undo, bool (*step)(void*), void* state);

// How deep in triggers the session is: 0 outside of any.
int trigger_depth();

// The same for things that are called without arguments.
template <typename Step>
bool call_step(void* step) {
  return (*static_cast<Step*>(step))();
}

template <typename Step>
bool in_subtransaction(Step& step) {
  return in_subtransaction(call_step<Step>, &step);
}

template <typename Step>
bool meets_no_duplicate(Step& step, const UniqueKey& key) {
  return meets_no_duplicate(call_step<Step>, &step, key);
}

template <typename Step>
bool finishes_in_time(int32 milliseconds, Undo undo, Step& step) {
  return finishes_in_time(milliseconds, undo, call_step<Step>, &step);
}

template <typename Step>
const ErrorData* failure_of(Step& step) {
  return failure_of([](void* state) { (*static_cast<Step*>(state))(); }, &step);
}

// The same for a step that only looks, with a role's rights and in a security-restricted operation.
template <typename Step>
const ErrorData* failure_of_look(Oid role, Step& step) {
  auto looking = [&] {
    // The caller's statement would take an error's position for one in its own text.
    error_context_stack = nullptr;
    // Both last until the subtransaction ends.
    XactReadOnly = true;
    become_restricted(role);
    step();
  };
  return failure_of(looking);
}

}  // namespace pg_enroll::pg
