// Every SQL text of the engine. A policy's expressions are spliced in between parentheses; all
// else is qualified and quoted here, so that no search_path, table or column name changes it.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "rules/policy.hpp"

namespace pg_enroll::rules {

enum class Statement : std::uint8_t {
  // Reads for one user.
  read_enroll,
  read_unenroll,
  read_key,
  read_tournament,
  // Writes for one user.
  lock_account,
  debit,
  credit,
  insert_enrollment,
  insert_enrollment_or_fail,
  reactivate_enrollment,
  withdraw_enrollment,
  ledger_enroll,
  ledger_unenroll,
  ledger_waive,
  // The same for many users.
  read_enroll_many,
  read_key_many,
  lock_account_many,
  debit_many,
  insert_enrollment_many,
  insert_enrollment_many_or_fail,
  reactivate_enrollment_many,
  ledger_enroll_many,
  // For the triggers and for recounting.
  lock_users,
  lock_tournaments,
  list_tournaments,
  count_enrollments,
  // The seats, written as the extension's owner.
  seat_claim,
  seat_claim_read,
  seat_hold,
  seat_hold_free,
  seat_return,
  seat_split,
  seat_open,
  seat_open_taken,
  seat_lock,
  seat_lock_rest,
  seat_lock_all,
  seat_allot,
  seat_empty,
  seat_close,
  seat_compare,
  seat_recount,
  seat_remove,
  seat_unite,
  seat_renew,
};
inline constexpr std::size_t statement_count = static_cast<std::size_t>(Statement::seat_renew) + 1;

// The kinds of parameter; keys have the types that the users' tables give them.
enum class Parameter : std::uint8_t {
  none,
  user_key,
  user_keys,
  tournament_key,
  tournament_keys,
  enrollment_key,
  enrollment_keys,
  text,
  texts,
  numeric,
  numerics,
  bigint,
  bigints,
};

// Whose rights a statement runs with. A call's own statements run as the policy says; what the
// triggers do must see every row, and so runs as the tables' owner; the seats are the extension's.
enum class Actor : std::uint8_t { call, tables_owner, extension_owner };

struct Signature {
  std::array<Parameter, 8> parameters{};
  Actor actor = Actor::call;
};

Signature signature(Statement statement) noexcept;

// What the catalogs say of the policy's tables. Table names are qualified and quoted already. Each
// text ends with a zero.
struct Catalog {
  std::string_view users;
  std::string_view tournaments;
  std::string_view enrollments;
  std::string_view ledger;
  std::string_view seats;
  std::string_view balance_type;  // with its modifier, as in numeric(10,2)
  bool balance_is_numeric;        // and may be NaN or infinite
  std::string_view key_cast;      // to the type of the ledger's key; empty where text fits
  bool key_is_required;           // the ledger wants a key in every row
  std::string_view active;        // the active expression with each column qualified by e
};

std::string statement_text(Statement statement, const Policy& policy, const Catalog& catalog);

// Text that tells whether a row is active, for the catalogs to parse: SELECT FROM e WHERE active.
std::string active_probe(const Policy& policy, std::string_view enrollments);

// The same for the balance check.
std::string balance_probe(const Policy& policy, std::string_view users);

}  // namespace pg_enroll::rules
