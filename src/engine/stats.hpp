// What calls and triggers come to, counted for each policy: in shared memory where the library is
// preloaded, else in this session alone. Counters are no part of a transaction: what is rolled back
// was counted all the same.
#pragma once

#include "engine/attachment.hpp"
#include "pg/errors.hpp"
#include "rules/outcome.hpp"

namespace pg_enroll::engine {

// Who is at work: a call that writes, one that only looks, a statement of another writer.
enum class Work : std::uint8_t { call, look, other_writer };

// A piece of work under way. It may call others, through the users' triggers, which have tallies of
// their own.
struct Tally {
  Work work = Work::call;
  Counters* counters = nullptr;           // null: its policy is not known yet
  std::optional<rules::Outcome> refusal;  // is on its way out as an error
  std::optional<instr_time> waits_since;  // for whoever holds a stripe
  Tally* outer = nullptr;
};

void begin_tally(Tally& tally);
void end_tally(Tally& tally);
void end_failed_tally(Tally& tally);

// Takes the step. An error is counted before it flies on: as the refusal that it is, else as an
// error. What was answered without one is the caller's to count.
template <typename Step>
void tally_failure(Tally& tally, Step& step) {
  struct Watched {
    Tally& tally;
    Step& step;
  } watched{tally, step};
  begin_tally(tally);
  pg::tell_failure([](void* state) { static_cast<Watched*>(state)->step(); },
                   [](void* state) { end_failed_tally(static_cast<Watched*>(state)->tally); },
                   &watched);
  end_tally(tally);
}

// Whose work it is, as soon as that is known. The second form is for a call that ended before its
// policy was entered.
void count_for(Tally& tally, Attachment* policy);
void count_for(Tally& tally, const char* policy);

// One answer of a call.
void count_answer(const Tally& tally, rules::Outcome outcome, bool replayed);

// An outcome that is about to be raised.
void note_refusal(rules::Outcome outcome);

// A wait for the holder of a stripe, if it is held, and its end. One that an error ends is counted
// too.
void begin_seat_wait(bool held);
void end_seat_wait();

// A claim went to another stripe than the session's own.
void count_stripe_move();

// One policy's counters, or where `policy` is null those of all for which there was no room.
struct CountersRow {
  const char* database = nullptr;
  const char* policy = nullptr;
  const char* outcomes = nullptr;  // JSON: code and number
  int64 calls = 0, errors = 0, replays = 0, looks = 0;
  int64 seat_waits = 0;
  double seat_wait_ms = 0, seat_wait_max_ms = 0;
  int64 stripe_moves = 0, guard_rejections = 0;
  TimestampTz since = 0;
};

// Other databases' counters are shown to members of pg_read_all_stats.
void visit_counters(void (*visit)(void* state, const CountersRow&), void* state);

// Whether all sessions count together.
bool counters_are_shared();

// Begins anew in this database, and forgets its policies that are attached no more.
void reset_counters(const Home& home);

// A policy that is detached is counted no more.
void forget_counters(const char* policy);

// To be called once, when the module is loaded.
void prepare_counters();

}  // namespace pg_enroll::engine
