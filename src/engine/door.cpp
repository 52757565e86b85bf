#include "engine/door.hpp"

#include "engine/rejection.hpp"
#include "engine/seats.hpp"
#include "engine/stats.hpp"
#include "engine/strict.hpp"
#include "pg/errors.hpp"
#include "pg/memory.hpp"
#include "pg/transition.hpp"

namespace pg_enroll::engine {
namespace {

using rules::Outcome;
using rules::Statement;

Frame* frames = nullptr;

void drop_frames(XactEvent event, void* /*argument*/) {
  if (event == XACT_EVENT_COMMIT || event == XACT_EVENT_ABORT || event == XACT_EVENT_PREPARE) {
    frames = nullptr;
  }
}

void drop_aborted_frames(SubXactEvent event, SubTransactionId /*mine*/, SubTransactionId /*parent*/,
                         void* /*argument*/) {
  if (event != SUBXACT_EVENT_ABORT_SUB) return;
  while (frames != nullptr && frames->level >= GetCurrentTransactionNestLevel()) pop_frame();
}

// A row that is active, as the door counts it. A row of no user takes a seat, too.
struct Place {
  std::optional<Datum> user;
  Datum tournament;
};

std::optional<Place> place_of(Attachment* policy, TupleTableSlot* row) {
  if (row == nullptr || !is_active(policy, row)) return std::nullopt;
  bool no_user = false;
  bool no_tournament = false;
  const Datum user = slot_getattr(row, policy->enrollments_user, &no_user);
  const Datum tournament = slot_getattr(row, policy->enrollments_tournament, &no_tournament);
  if (no_tournament) return std::nullopt;
  return Place{no_user ? std::nullopt : std::optional<Datum>(user), tournament};
}

// How many seats of one tournament a statement takes, or gives back where negative.
struct Change {
  Datum tournament;
  const char* text;
  int64 seats;
};

struct Changes {
  pg::Items<Change> tournaments;
  pg::Items<Datum> users;  // of the rows that come in
};

bool same_tournament(const Attachment* policy, Datum a, Datum b) {
  return pg::same_key(policy->enrolled_tournament, a, b);
}

// Rows of one tournament mostly come one after the other, and then share one entry.
void add_change(const Attachment* policy, Changes& changes, Datum tournament, int64 seats) {
  pg::Items<Change>& list = changes.tournaments;
  if (list.count > 0) {
    Change& last = list.at[list.count - 1];
    if (same_tournament(policy, last.tournament, tournament)) {
      last.seats += seats;
      return;
    }
  }
  list.add({pg::copy_key(policy->enrolled_tournament, tournament), nullptr, seats});
}

// Old and new rows of an UPDATE come in step, and most updates leave a row where it is.
Changes changes_of(Attachment* policy, TriggerData* trigger) {
  Changes changes;
  pg::Transition rows(trigger, policy->enrollments);
  while (rows.next()) {
    const std::optional<Place> before = place_of(policy, rows.before);
    const std::optional<Place> after = place_of(policy, rows.after);
    if (before && after && same_tournament(policy, before->tournament, after->tournament)) {
      continue;
    }
    if (before) add_change(policy, changes, before->tournament, -1);
    if (!after) continue;
    add_change(policy, changes, after->tournament, 1);
    if (policy->users_deferrable && after->user && pg::fits_key(policy->user_key, *after->user)) {
      changes.users.add(pg::copy_key(policy->user_key, *after->user));
    }
  }
  rows.close();
  return changes;
}

// One entry a tournament, in the order in which everybody locks seats.
void sort_by_tournament(const Attachment* policy, pg::Items<Change>& list) {
  for (std::size_t i = 0; i < list.count; ++i) {
    list.at[i].text = pg::key_text(policy->enrolled_tournament, list.at[i].tournament);
  }
  std::sort(list.at, list.at + list.count,
            [](const Change& a, const Change& b) { return strcmp(a.text, b.text) < 0; });
  std::size_t kept = 0;
  for (std::size_t i = 0; i < list.count; ++i) {
    if (kept > 0 && strcmp(list.at[kept - 1].text, list.at[i].text) == 0) {
      list.at[kept - 1].seats += list.at[i].seats;
    } else {
      list.at[kept++] = list.at[i];
    }
  }
  list.count = kept;
}

// A deferred foreign key locks its row at commit, after the seats: a deadlock with a DELETE that
// comes the other way. So the rows are locked now, in the order of every writer. A key that is
// not deferrable has locked them already.
void lock_deferred_parents(Attachment* policy, const Changes& changes) {
  if (changes.users.count > 0) {
    run(policy, Statement::lock_users,
        {{pg::value(pg::key_array(policy->user_key, changes.users.at, changes.users.count))}});
  }
  if (!policy->tournaments_deferrable) return;
  pg::Items<Datum> keys;
  for (std::size_t i = 0; i < changes.tournaments.count; ++i) {
    const Change& change = changes.tournaments.at[i];
    const bool may_exist = pg::fits_key(policy->tournament_key, change.tournament);
    if (change.seats > 0 && may_exist) keys.add(change.tournament);
  }
  if (keys.count == 0) return;
  run(policy, Statement::lock_tournaments,
      {{pg::value(pg::key_array(policy->tournament_key, keys.at, keys.count))}});
}

struct TournamentNow {
  bool found = false;
  bool open = false;
  std::optional<int64> capacity;
};

// The tournament as a snapshot taken now shows it, with this transaction's work up to the command.
TournamentNow read_tournament(Attachment* policy, Datum tournament, CommandId before) {
  if (!pg::fits_key(policy->tournament_key, tournament)) return {};
  const Snapshot snapshot = pg::fresh_snapshot(before);
  const pg::Rows rows =
      read(policy, Statement::read_tournament, {{pg::value(tournament)}}, snapshot);
  UnregisterSnapshot(snapshot);
  if (rows.empty()) return {};
  return {true, pg::as_bool(rows.at(0, 1)), pg::as_bigint(rows.at(0, 2))};
}

[[noreturn]] void raise_over_capacity(const Attachment* policy, const Change& change,
                                      std::optional<int64> capacity, int64 taken) {
  note_refusal(Outcome::full);
  Facts facts = facts_about(policy, std::nullopt, change.tournament);
  facts.capacity = capacity;
  facts.count = taken;
  pg::raise({"23514", "enrollment exceeds the capacity of its tournament", facts_json(facts),
             "Withdraw enrollments or raise the tournament's capacity first.", policy->enrollments,
             "enroll_capacity"});
}

// A counter that is not there: the tournament is this transaction's own and its gate has yet to
// open the seats, or it does not exist yet and the seats stay unlimited until it comes. One that
// others have committed should have had its counter from the start. False where somebody else
// opened it meanwhile.
bool open_for_raw_writer(Attachment* policy, const Change& change) {
  if (read_tournament(policy, change.tournament, FirstCommandId).found) {
    raise_seat_missing(policy);
  }
  const TournamentNow own = read_tournament(policy, change.tournament, GetCurrentCommandId(false));
  if (own.found && !rules::has_room(rules::allotment(own.capacity), 0, change.seats)) {
    raise_over_capacity(policy, change, rules::allotment(own.capacity), 0);
  }
  return open_taken_seats(policy, change.text, change.seats, own.capacity);
}

// A conditional write that changes no row is not an answer: look again in a snapshot taken now.
void claim_for_raw_writer(Attachment* policy, const Change& change) {
  for (int round = 0; round < most_rounds; ++round) {
    if (claim_seats(policy, change.text, change.seats)) return;
    const Seat seat = read_seat_now(policy, change.text);
    if (!seat.found) {
      if (open_for_raw_writer(policy, change)) return;
      continue;
    }
    if (!seat.has_room(change.seats)) {
      raise_over_capacity(policy, change, seat.allotted, seat.taken);
    }
    if (IsolationUsesXactSnapshot()) pg::raise_serialization_failure();
  }
  raise_rejection(Outcome::busy, facts_about(policy, std::nullopt, change.tournament));
}

Seat give_back(Attachment* policy, const char* tournament, int64 count) {
  const std::optional<Seat> seat = return_seats(policy, tournament, count);
  if (seat) return *seat;
  if (IsolationUsesXactSnapshot() && read_seat_now(policy, tournament).found) {
    pg::raise_serialization_failure();
  }
  raise_seat_missing(policy);
}

void pass_raw_writer(Attachment* policy, Changes& changes) {
  sort_by_tournament(policy, changes.tournaments);
  lock_deferred_parents(policy, changes);
  for (std::size_t i = 0; i < changes.tournaments.count; ++i) {
    const Change& change = changes.tournaments.at[i];
    if (change.seats > 0) {
      claim_for_raw_writer(policy, change);
    } else if (change.seats < 0) {
      give_back(policy, change.text, -change.seats);
    }
  }
}

void pass_counted(Attachment* policy, Changes& changes) {
  Tally tally;
  tally.work = Work::other_writer;
  count_for(tally, policy);
  auto pass = [&] { pass_raw_writer(policy, changes); };
  tally_failure(tally, pass);
}

// Whether the place is one that the frame's call takes or gives back.
bool is_expected(const Frame& frame, const std::optional<Place>& place) {
  return place && place->user && same_tournament(frame.policy, frame.tournament, place->tournament);
}

// Whether just the frame's users came, in whatever order an UPDATE found their rows.
bool are_expected(const Frame& frame, pg::Items<Datum>& users) {
  if (users.count != frame.count) return false;
  auto* wanted = pg::array_of<Datum>(frame.count);
  std::copy(frame.users, frame.users + frame.count, wanted);
  const auto before = [&](Datum a, Datum b) {
    return pg::compare_images(frame.policy->user_key, a, b) < 0;
  };
  std::sort(wanted, wanted + frame.count, before);
  std::sort(users.at, users.at + users.count, before);
  return std::equal(wanted, wanted + frame.count, users.at,
                    [&](Datum a, Datum b) { return pg::same_key(frame.policy->user_key, a, b); });
}

// Whether the trigger fires for the statement that the innermost frame announced: one of its kind,
// as deep in triggers as the call's own statement is. A companion row that a trigger of the users
// adds comes from one level deeper.
bool is_announced(TriggerData* trigger, const Frame& frame) {
  const bool kind = frame.expected == Expected::enrollments
                        ? TRIGGER_FIRED_BY_INSERT(trigger->tg_event)
                        : TRIGGER_FIRED_BY_UPDATE(trigger->tg_event);
  return kind && !frame.passed && !frame.refusal && !frame.changed &&
         frame.policy->enrollments == RelationGetRelid(trigger->tg_relation) &&
         pg::trigger_depth() == frame.trigger_depth + 1;
}

enum class Arrival : std::uint8_t { none, as_announced, changed };

// What came of the announced rows. Where some met a rival, none or fewer come: the call reads
// again, and undoes what did come.
Arrival arrival_of(TriggerData* trigger, const Frame& frame) {
  const bool enrolls = frame.expected != Expected::withdrawal;
  pg::Transition rows(trigger, frame.policy->enrollments);
  bool matches = true;
  std::size_t count = 0;
  pg::Items<Datum> users;
  for (; rows.next(); ++count) {
    const std::optional<Place> before = place_of(frame.policy, rows.before);
    const std::optional<Place> after = place_of(frame.policy, rows.after);
    const std::optional<Place>& moved = enrolls ? after : before;
    const std::optional<Place>& other = enrolls ? before : after;
    matches = matches && is_expected(frame, moved) && !other;
    if (matches) users.add(pg::copy_key(frame.policy->user_key, *moved->user));
  }
  rows.close();
  if (count < frame.count) return Arrival::none;
  return matches && are_expected(frame, users) ? Arrival::as_announced : Arrival::changed;
}

// What the call read has moved on: is it still open, is there still room? The seats are read with
// all of this transaction's work, the tournament's openness as it was when the call began: a
// trigger that closes it after the last seat must not turn away who took that seat.
std::optional<Outcome> look_again(Frame& frame) {
  Attachment* policy = frame.policy;
  CommandCounterIncrement();
  const TournamentNow then = read_tournament(policy, frame.tournament, frame.start);
  if (!then.found) return Outcome::tournament_not_found;
  if (!then.open) return Outcome::not_open;
  Seat seat = read_seat_now(policy, frame.tournament_text);
  const TournamentNow now = read_tournament(policy, frame.tournament, GetCurrentCommandId(false));
  if (seat.found && now.found && now.capacity != seat.capacity) {
    reallot(policy, &frame.tournament, 1);
    seat = read_seat_now(policy, frame.tournament_text);
  }
  if (!seat.found) raise_seat_missing(policy);
  frame.allotted = seat.allotted;
  frame.taken = seat.taken;
  frame.epoch = seat.epoch;
  frame.capacity = seat.capacity;
  if (!seat.has_room(static_cast<int64>(frame.seats))) return Outcome::full;
  return std::nullopt;
}

void claim_for_call(Frame& frame) {
  for (int round = 0; round < most_rounds; ++round) {
    const std::optional<Seat> seat =
        claim_seats_as_read(frame.policy, frame.tournament_text, static_cast<int64>(frame.seats),
                            frame.epoch, frame.capacity);
    if (seat) {
      frame.seats_left = whole_seat(frame.policy, frame.tournament_text, *seat).left();
      frame.passed = true;
      return;
    }
    // The second look has shown the newest state already; only the snapshot can still be old.
    if (round > 0 && IsolationUsesXactSnapshot()) pg::raise_serialization_failure();
    frame.refusal = look_again(frame);
    if (frame.refusal) return;
  }
  frame.refusal = Outcome::busy;
}

void pass_call(Frame& frame) {
  const auto count = static_cast<int64>(frame.count);
  if (frame.expected == Expected::withdrawal) {
    const Seat seat = give_back(frame.policy, frame.tournament_text, count);
    frame.seats_left = whole_seat(frame.policy, frame.tournament_text, seat).left();
    frame.passed = true;
  } else if (frame.seats > 0) {
    claim_for_call(frame);
  } else {
    frame.passed = true;  // another statement of the call claims for this one
  }
}

void pass_announced(Frame& frame, TriggerData* trigger) {
  switch (arrival_of(trigger, frame)) {
    case Arrival::none:
      return;
    case Arrival::as_announced:
      return pass_call(frame);
    case Arrival::changed:
      frame.changed = true;
  }
}

}  // namespace

void push_frame(const Frame& frame) {
  auto* kept = static_cast<Frame*>(MemoryContextAlloc(TopTransactionContext, sizeof(Frame)));
  *kept = frame;
  kept->outer = frames;
  kept->level = GetCurrentTransactionNestLevel();
  kept->trigger_depth = pg::trigger_depth();
  frames = kept;
}

Frame pop_frame() {
  const Frame frame = *frames;
  pfree(frames);
  frames = frame.outer;
  return frame;
}

bool call_is_under_way() { return frames != nullptr; }

void door(const Home& home, TriggerData* trigger) {
  pg::require_statement_trigger(trigger);
  const Entered entered = enter_by_enrollments(home, RelationGetRelid(trigger->tg_relation));
  Attachment* policy = entered.policy;
  // The active expression is the owner's, and runs with the owner's rights.
  const pg::Identity caller = pg::become(policy->owner);
  if (TRIGGER_FIRED_BY_TRUNCATE(trigger->tg_event)) {
    if (policy->enrollments == RelationGetRelid(trigger->tg_relation)) {
      empty_seats(policy);
    } else {
      recount_taken(policy);
    }
  } else if (frames != nullptr && is_announced(trigger, *frames)) {
    pass_announced(*frames, trigger);
  } else {
    Changes changes = changes_of(policy, trigger);
    pass_counted(policy, changes);
  }
  if (policy->strict != nullptr && !TRIGGER_FIRED_BY_TRUNCATE(trigger->tg_event)) {
    note_enrollments(policy, trigger);
  }
  pg::restore(caller);
  leave(entered);
}

void watch_aborts() {
  RegisterXactCallback(drop_frames, nullptr);
  RegisterSubXactCallback(drop_aborted_frames, nullptr);
}

}  // namespace pg_enroll::engine
