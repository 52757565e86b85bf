#include "rules/seats.hpp"

#include <limits>
#include <optional>

#include <catch2/catch.hpp>

using pg_enroll::rules::allotment;
using pg_enroll::rules::Count;
using pg_enroll::rules::has_room;
using pg_enroll::rules::most_stripes;
using pg_enroll::rules::seats_left;
using pg_enroll::rules::stripes_for;
using pg_enroll::rules::sum;

namespace {

constexpr Count least = std::numeric_limits<Count>::min();
constexpr Count most = std::numeric_limits<Count>::max();
constexpr std::optional<Count> unlimited = std::nullopt;

}  // namespace

TEST_CASE("a capacity allots itself, a negative one nothing, none at all no limit") {
  CHECK(allotment(unlimited) == unlimited);
  CHECK(allotment(0) == 0);
  CHECK(allotment(1) == 1);
  CHECK(allotment(most) == most);
  CHECK(allotment(-1) == 0);
  CHECK(allotment(least) == 0);
}

TEST_CASE("seats left are never below 0 and never wrap") {
  struct Case {
    std::optional<Count> allotted;
    Count taken;
    std::optional<Count> left;
  };
  const auto given = GENERATE(values<Case>({
      {10, 0, 10},
      {10, 9, 1},
      {10, 10, 0},
      {10, 11, 0},
      {0, 0, 0},
      {0, 1, 0},
      {10, most, 0},
      {0, most, 0},
      {most, 0, most},
      {most, 1, most - 1},
      {most, most, 0},
      {most, most - 1, 1},
      // One stripe of many may have given back more than it sold.
      {10, -5, 15},
      {0, -1, 1},
      {0, -most, most},
      {0, least, most},
      {1, -most, most},
      {most - 1, -1, most},
      {most, -1, most},
      {most, least, most},
      {unlimited, 0, unlimited},
      {unlimited, most, unlimited},
      {unlimited, least, unlimited},
  }));
  CAPTURE(given.allotted.value_or(-1), given.taken);
  CHECK(seats_left(given.allotted, given.taken) == given.left);
}

TEST_CASE("there is room for exactly the seats that are left") {
  CHECK(has_room(10, 9, 1));
  CHECK_FALSE(has_room(10, 9, 2));
  CHECK_FALSE(has_room(10, 10, 1));
  CHECK_FALSE(has_room(10, 11, 1));
  CHECK_FALSE(has_room(0, 0, 1));
  CHECK(has_room(10, 0, 10));
  CHECK_FALSE(has_room(10, 0, 11));
  CHECK(has_room(most, 0, most));
  CHECK_FALSE(has_room(most, 1, most));
  CHECK_FALSE(has_room(10, 0, most));
  CHECK_FALSE(has_room(10, most, most));
  CHECK(has_room(most, least, most));
  CHECK(has_room(unlimited, most, most));
  CHECK(has_room(0, 0, 0));
}

TEST_CASE("sums of counters never wrap") {
  CHECK(sum(2, -5) == -3);
  CHECK(sum(most, 1) == most);
  CHECK(sum(1, most) == most);
  CHECK(sum(least, -1) == least);
  CHECK(sum(most, least) == -1);
}

TEST_CASE("many seats are worth many stripes, few are not") {
  CHECK(stripes_for(unlimited, 0) == most_stripes);
  CHECK(stripes_for(unlimited, 5) == 5);
  CHECK(stripes_for(0, 0) == 1);
  CHECK(stripes_for(15, 0) == 1);
  CHECK(stripes_for(16, 0) == 2);
  CHECK(stripes_for(500, 0) == 62);
  CHECK(stripes_for(512, 0) == 64);
  CHECK(stripes_for(1000000, 0) == 64);
  CHECK(stripes_for(1000000, 200) == 200);
  CHECK(stripes_for(80, 200) == 10);
  CHECK(stripes_for(1000000, 1) == 1);
  CHECK(stripes_for(most, 0) == 64);
}
