// The checks of a policy: all of them under one snapshot, none of them writing or waiting for a
// writer, and each by itself, so that one that cannot be run hides no other.
#pragma once

#include "engine/attachment.hpp"
#include "pg/memory.hpp"
#include "rules/checks.hpp"

namespace pg_enroll::engine {

enum class CheckStatus : std::uint8_t { ok, failed, skipped };
const char* status_name(CheckStatus status);

// What came of one check. Texts are palloc'd or constant; null where there is nothing to say.
struct Finding {
  const char* id = nullptr;
  const char* title = nullptr;
  rules::Severity severity = rules::Severity::error;
  CheckStatus status = CheckStatus::ok;
  std::optional<int64> violations;  // no value: skipped, or it could not be run
  const char* sample = nullptr;     // a few of them, jsonb as text
  const char* detail = nullptr;
  const char* remedy = nullptr;
};

// What is asked of them: the window is the time between now and so long ago.
struct CheckRequest {
  const char* policy;
  const Interval* since;
};

// Runs the built-in checks and then the policy's own. Raises 42704 and 42501 as a call does.
pg::Items<Finding> check(const Home& home, const CheckRequest& request);

// Raises CHECKS_FAILED where one of severity error has failed; where it is strict, a warning too.
void assert_checks(const Home& home, const CheckRequest& request, bool strict);

// The same as lines of text for people.
void report(const Home& home, const CheckRequest& request,
            void (*visit)(void* state, const char* line), void* state);

}  // namespace pg_enroll::engine
