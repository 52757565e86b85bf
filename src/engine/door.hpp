// The door: every row of the enrollments table comes in and goes out through it, a call's own
// rows too. A call announces in a frame what it is about to write. The statement that fires the
// door one level deeper than the call stands is the announced one, and must bring just those rows;
// any other is a raw writer's.
#pragma once

#include "engine/attachment.hpp"
#include "rules/outcome.hpp"

namespace pg_enroll::engine {

enum class Expected : std::uint8_t { enrollments, reactivations, withdrawal };

struct Frame {
  Attachment* policy;
  Expected expected;
  const Datum* users;
  std::size_t count;
  Datum tournament;
  const char* tournament_text;
  CommandId start;                // the call's own work begins here
  int64 epoch = 0;                // what the call read
  std::optional<int64> capacity;  // likewise
  // Seats to claim for all of the call's rows, where they come by several statements: the last of
  // them claims for all.
  std::size_t seats = 0;

  // What the door made of it.
  bool passed = false;
  std::optional<rules::Outcome> refusal;
  std::optional<int64> seats_left;
  std::optional<int64> allotted, taken;
  bool changed = false;  // the rows that came are not those that the call wrote

  Frame* outer = nullptr;
  int level = 0;          // of subtransactions
  int trigger_depth = 0;  // where the call itself stands
};

// A frame lives in the transaction's memory and not on the stack: an error may have unwound the
// stack by the time an abort looks at the frames.
void push_frame(const Frame& frame);

// The innermost frame, with what the door made of it.
Frame pop_frame();

// Whether some call of this session waits for what its own write brings to the door.
bool call_is_under_way();

// The trigger of the enrollments table.
void door(const Home& home, TriggerData* trigger);

// To be called once, when the module is loaded: frames go with their (sub)transaction.
void watch_aborts();

}  // namespace pg_enroll::engine
