// Arithmetic of a tournament's seats. Nothing here overflows: counts near the type's limits come
// from hostile data, and a wrapped sum would sell seats that do not exist.
#pragma once

#include <cstdint>
#include <limits>
#include <optional>

namespace pg_enroll::rules {

using Count = std::int64_t;

// What a capacity allots: no value is unlimited, a negative capacity counts as 0.
constexpr std::optional<Count> allotment(std::optional<Count> capacity) noexcept {
  if (!capacity) return std::nullopt;
  return *capacity < 0 ? 0 : *capacity;
}

// Seats that are left to give, never below 0; no value where unlimited.
constexpr std::optional<Count> seats_left(std::optional<Count> allotted, Count taken) noexcept {
  if (!allotted) return std::nullopt;
  if (taken >= *allotted) return 0;
  const bool beyond = taken < 0 && *allotted > std::numeric_limits<Count>::max() + taken;
  return beyond ? std::numeric_limits<Count>::max() : *allotted - taken;
}

constexpr bool has_room(std::optional<Count> allotted, Count taken, Count wanted) noexcept {
  const std::optional<Count> left = seats_left(allotted, taken);
  return !left || *left >= wanted;
}

constexpr Count sum(Count a, Count b) noexcept {
  Count result = 0;
  if (!__builtin_add_overflow(a, b, &result)) return result;
  return a < 0 ? std::numeric_limits<Count>::min() : std::numeric_limits<Count>::max();
}

inline constexpr std::int32_t most_stripes = 64;     // where the policy leaves it open
inline constexpr Count least_seats_of_a_stripe = 8;  // else the last seats are hard to find

// Into how many stripes the seats that are left are worth dividing; `wished` of 0 leaves it open.
constexpr std::int32_t stripes_for(std::optional<Count> left, std::int32_t wished) noexcept {
  const Count most = wished > 0 ? wished : most_stripes;
  if (!left) return static_cast<std::int32_t>(most);
  const Count fit = *left / least_seats_of_a_stripe;
  return static_cast<std::int32_t>(fit < 1 ? 1 : fit < most ? fit : most);
}

}  // namespace pg_enroll::rules
