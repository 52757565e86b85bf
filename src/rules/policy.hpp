// The policy: one JSON document that says which tables and columns take part in an enrollment and
// which SQL expressions decide. Read once when a policy is stored or loaded; nothing is looked up
// in a database here, so an accepted policy is well formed, not yet proven to fit any table.
#pragma once

#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

namespace pg_enroll::rules {

// A column (as the catalogs spell it, unquoted) and the SQL expression it is given.
struct Assignment {
  std::string column;
  std::string expression;
};

// Names are unquoted and never empty. Expressions are SQL that may be spliced between parentheses:
// balanced, without an open quote or comment, without ";", "--" or "$1". All text is UTF-8.
struct Policy {
  struct Users {
    std::string table, key, balance;
  };
  struct Tournaments {
    std::string table, key;
    std::string capacity, cost, open;  // expressions; "NULL", "0", "TRUE" where left out
  };
  struct Enrollments {
    std::string table, key, user, tournament;
    std::string active;                        // expression
    std::optional<std::string> withdrawn;      // expression
    std::optional<std::string> time;           // column
    std::vector<Assignment> insert, withdraw;  // withdraw is never empty
  };
  struct Ledger {
    std::string table, amount, balance_after, enrollment;
    std::optional<std::string> user;
    std::string idempotency_key, order;
    // The column and the three distinct values that tell the operations apart.
    struct Type {
      std::string column, enroll, unenroll, waive;
    } type;
    // `insert` serves all three operations; the others add to it or override it.
    std::vector<Assignment> insert, enroll, unenroll, waive;
  };
  Users users;
  Tournaments tournaments;
  Enrollments enrollments;
  Ledger ledger;
  std::string refund;  // expression; "0" where left out
};

// A document that is no policy. what() is one line for the user and names the path.
class PolicyError : public std::runtime_error {
 public:
  PolicyError(std::string path, const std::string& problem, std::string hint);

  // The place in the document, such as $.ledger.type.enroll; "$" is the document itself.
  [[nodiscard]] const std::string& path() const { return path_; }
  // What to do about it; empty where there is nothing to add.
  [[nodiscard]] const std::string& hint() const { return hint_; }

 private:
  std::string path_;
  std::string hint_;
};

// Reads a policy from UTF-8 JSON text. Throws PolicyError at the first thing that is wrong.
// Columns keep the order that the document gives them.
Policy parse_policy(std::string_view document);

}  // namespace pg_enroll::rules
