// The policy: one JSON document that says which tables and columns take part in an enrollment and
// which SQL expressions decide. Read once when a policy is stored or loaded; nothing is looked up
// in a database here, so an accepted policy is well formed, not yet proven to fit any table.
#pragma once

#include <cstdint>
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

// Whether a user who comes back gets a new row or the withdrawn one again.
enum class Reenroll : std::uint8_t { insert, reactivate };

// Whose rights a call's own statements have: the tables' owner's, or the caller's, so that row
// security applies to the caller.
enum class RunAs : std::uint8_t { owner, caller };

// What each enrollment and withdrawal sends to whoever feeds other systems, where it commits.
enum class Notify : std::uint8_t { none, notify, message };

// A condition of the policy's own; false or NULL rejects the operation.
struct Rule {
  enum class On : std::uint8_t { enroll, unenroll };
  std::string name;
  On on = On::enroll;
  std::string require;                 // expression over u and t, for unenroll also e
  std::optional<std::string> message;  // else the outcome's own
  std::optional<int> http_status;      // 400 to 599; else the outcome's own
};

// A table besides the tournaments that `open` and `capacity` read, and its column that holds the
// tournament's key.
struct Watch {
  std::string table, tournament;
};

// Columns are unquoted, as the catalogs spell them, and never empty. A table is spelled the same
// way, with its schema and a dot before it where it is not on the search path; where either holds a
// dot or a double quote, both are written as SQL quotes them. Expressions are SQL that may be
// spliced between parentheses: balanced, without an open quote or comment, without ";", "--" or
// "$1". All text is UTF-8.
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
    Reenroll reenroll = Reenroll::insert;
  };
  struct Ledger {
    std::string table, amount, balance_after, enrollment;
    std::optional<std::string> user;
    std::string idempotency_key, order;
    bool strict = false;  // no credit moves without its row; there is a user then
    // The column and the three distinct values that tell the operations apart.
    struct Type {
      std::string column, enroll, unenroll, waive;
    } type;
    // `insert` serves all three operations; the others add to it or override it.
    std::vector<Assignment> insert, enroll, unenroll, waive;
  };
  Users users;
  Tournaments tournaments;
  std::vector<Watch> watch;
  Enrollments enrollments;
  Ledger ledger;
  std::string refund;  // expression; "0" where left out
  std::vector<Rule> rules;
  // Statements to run once a call's own work is done, with $1, $2 and $3 for the keys of user,
  // tournament and enrollment.
  std::vector<std::string> on_enroll, on_unenroll;
  std::vector<std::string> callers;  // roles that may use the policy; empty: whoever may execute
  RunAs run_as = RunAs::owner;
  Notify notify = Notify::none;
  std::int32_t stripes = 0;             // of a tournament that many want, at most; 0: by its seats
  std::optional<std::int32_t> wait_ms;  // bounds a call; no value: the caller's lock_timeout rules
};

// A document that is no policy. what() is one line for the user and names the path.
class PolicyError : public std::runtime_error {
 public:
  PolicyError(std::string path, const std::string& problem, std::string hint);

  // The place in the document, such as $.ledger.type.enroll; "$" is the document itself. What does
  // not begin so is SQL that stands in no document.
  [[nodiscard]] const std::string& path() const { return path_; }
  // What to do about it; empty where there is nothing to add.
  [[nodiscard]] const std::string& hint() const { return hint_; }

 private:
  std::string path_;
  std::string hint_;
};

// A place in the document, as messages name it: an element of an array, a key of an object.
std::string element(const std::string& path, std::size_t index);
std::string child(const std::string& path, std::string_view key);

// Reads a policy from UTF-8 JSON text. Throws PolicyError at the first thing that is wrong.
// Columns keep the order that the document gives them.
Policy parse_policy(std::string_view document);

}  // namespace pg_enroll::rules
