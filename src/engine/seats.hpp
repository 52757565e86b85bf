// The seat counters: rows of enroll_seat, written as the extension's owner. A conditional write
// that changes no row is not an answer; whoever made it reads again.
#pragma once

#include "engine/attachment.hpp"
#include "pg/memory.hpp"
#include "rules/seats.hpp"

namespace pg_enroll::engine {

// At most so many times does a call read again before it gives up as BUSY.
inline constexpr int most_rounds = 10;

struct Seat {
  bool found = false;
  int64 taken = 0;
  std::optional<int64> allotted;  // no value: unlimited
  std::optional<int64> capacity;  // what it was allotted from
  int64 epoch = 0;

  std::optional<int64> left() const { return rules::seats_left(allotted, taken); }
  bool has_room(int64 wanted) const { return rules::has_room(allotted, taken, wanted); }
};

// A tournament's seats as the snapshot shows them: the sum of all stripes.
Seat read_seat(const Attachment* policy, const char* tournament, Snapshot snapshot);

// The session's own stripe alone where it has a seat to give and was allotted from that capacity;
// else the sum.
Seat read_own_seat(const Attachment* policy, const char* tournament, Snapshot snapshot,
                   std::optional<int64> capacity);

// The same as a snapshot taken now shows them, this transaction's work included.
Seat read_seat_now(const Attachment* policy, const char* tournament);

// The sum of all stripes, where the seat is one of several.
Seat whole_seat(const Attachment* policy, const char* tournament, const Seat& seat);

// Claims seats where there is room, and answers the stripe; nothing where no row changed.
std::optional<Seat> claim_seats(Attachment* policy, const char* tournament, int64 count);

// The same, yet only where the tournament is still as it was read.
std::optional<Seat> claim_seats_as_read(Attachment* policy, const char* tournament, int64 count,
                                        int64 epoch, std::optional<int64> capacity);

// Gives seats back, and answers the stripe; nothing where the tournament has no counter.
std::optional<Seat> return_seats(Attachment* policy, const char* tournament, int64 count);

// Opens counters for tournaments that have none yet, with no seat to give until they are allotted.
// Answers which had none.
pg::Items<const char*> open_seats(Attachment* policy, const char* const* tournaments,
                                  std::size_t count);

void remove_seats(Attachment* policy, const char* const* tournaments, std::size_t count);

// Opens a counter that starts with seats taken; false where somebody else opened it meanwhile.
bool open_taken_seats(Attachment* policy, const char* tournament, int64 taken,
                      std::optional<int64> capacity);

// Locks the counters of these tournaments, then evaluates their capacity in a snapshot taken
// after, allots it and moves the epoch. A tournament that is not there is allotted 0 where it is
// gone, and nothing where it may be still to come.
enum class Absent : std::uint8_t { gone, to_come };
void reallot(Attachment* policy, const Datum* tournaments, std::size_t count,
             Absent absent = Absent::gone);

// The same for every tournament.
void reallot_all(Attachment* policy);

// After a TRUNCATE of the enrollments, of one of their partitions, of the tournaments.
void empty_seats(Attachment* policy);
void recount_taken(Attachment* policy);
void close_seats(Attachment* policy);

// One counter that a recount had to change. No value in taken_after: it was removed.
struct Recounted {
  pg::Value tournament, taken_before, taken_after, allotted_before, allotted_after;
};

// Counts the rows of a policy that is being attached, and opens its counters. Every epoch moves.
void seed_seats(Attachment* policy);

// Counts all rows under locks that keep writers out, and sets the counters right.
void recount(Attachment* policy, void (*report)(void* state, const Recounted&), void* state);

}  // namespace pg_enroll::engine
