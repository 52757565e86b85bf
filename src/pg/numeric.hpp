// Money: PostgreSQL's numeric, exact and checked, never a double.
#pragma once

#include "pg/spi.hpp"

namespace pg_enroll::pg {

// An amount of credits. The arithmetic is PostgreSQL's own, which raises 22003 on overflow.
class Money {
 public:
  explicit Money(Datum numeric) : numeric_(numeric) {}

  static Money zero() { return Money(DirectFunctionCall1(int8_numeric, Int64GetDatum(0))); }

  Datum datum() const { return numeric_; }
  Value value() const { return pg::value(numeric_); }
  const char* text() const { return DatumGetCString(DirectFunctionCall1(numeric_out, numeric_)); }

  bool is_finite() const {
    return !numeric_is_nan(DatumGetNumeric(numeric_)) && !numeric_is_inf(DatumGetNumeric(numeric_));
  }
  bool is_nan() const { return numeric_is_nan(DatumGetNumeric(numeric_)); }
  bool operator<(Money other) const {
    return DatumGetBool(DirectFunctionCall2(numeric_lt, numeric_, other.numeric_));
  }
  bool operator==(Money other) const {
    return DatumGetBool(DirectFunctionCall2(numeric_eq, numeric_, other.numeric_));
  }
  Money operator-() const { return Money(DirectFunctionCall1(numeric_uminus, numeric_)); }
  Money operator+(Money other) const {
    return Money(DirectFunctionCall2(numeric_add, numeric_, other.numeric_));
  }
  Money operator-(Money other) const {
    return Money(DirectFunctionCall2(numeric_sub, numeric_, other.numeric_));
  }

  // Cut off toward zero, to so many digits after the point.
  Money truncated(std::optional<int32> scale) const {
    if (!scale) return *this;
    return Money(DirectFunctionCall2(numeric_trunc, numeric_, Int32GetDatum(*scale)));
  }

 private:
  Datum numeric_;
};

}  // namespace pg_enroll::pg
