#include "engine/bridge.hpp"

#include <exception>
#include <new>
#include <string>
#include <vector>

#include "rules/policy.hpp"

namespace pg_enroll::engine {
namespace {

// What came of a call into rules, as plain data. Texts stand in the workspace one after the
// other, each with its terminating zero; `needed` tells how large a workspace would have done.
struct Answer {
  std::size_t needed = 0;
  bool failed = false;
  bool out_of_memory = false;
  char message[512] = "";
  char hint[256] = "";
};

void copy_text(char* to, std::size_t size, const char* from) {
  std::strncpy(to, from, size - 1);
  to[size - 1] = '\0';
}

void write_texts(const std::vector<std::string>& texts, char* workspace, std::size_t size,
                 Answer& answer) {
  for (const std::string& text : texts) {
    const std::size_t with_zero = text.size() + 1;
    if (answer.needed + with_zero <= size) {
      std::memcpy(workspace + answer.needed, text.c_str(), with_zero);
    }
    answer.needed += with_zero;
  }
}

// The frame that no exception leaves, and that PostgreSQL never jumps over: it calls nothing of
// PostgreSQL's.
template <typename Job>
__attribute__((noinline)) Answer call_rules(const Job& job, const char* document, char* workspace,
                                            std::size_t size) {
  Answer answer;
  try {
    write_texts(job(rules::parse_policy(document)), workspace, size, answer);
  } catch (const rules::PolicyError& error) {
    answer.failed = true;
    copy_text(answer.message, sizeof answer.message, error.what());
    copy_text(answer.hint, sizeof answer.hint, error.hint().c_str());
  } catch (const std::bad_alloc&) {
    answer.failed = answer.out_of_memory = true;
  } catch (const std::exception& error) {
    answer.failed = true;
    copy_text(answer.message, sizeof answer.message, error.what());
  }
  return answer;
}

void raise_failure(const Answer& answer) {
  if (answer.out_of_memory) {
    ereport(ERROR, (errcode(ERRCODE_OUT_OF_MEMORY), errmsg("out of memory")));
  }
  // A long message may have been cut in the middle of a character.
  const int length = pg_mbcliplen(answer.message, static_cast<int>(strlen(answer.message)),
                                  static_cast<int>(sizeof answer.message));
  ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
                  errmsg("invalid policy: %.*s", length, answer.message),
                  answer.hint[0] != '\0' ? errhint("%s", answer.hint) : 0));
}

template <typename Job>
const char* call_until_it_fits(const Job& job, const char* document) {
  std::size_t size = std::size_t{32} * 1024;
  for (;;) {
    char* workspace = static_cast<char*>(palloc(size));
    const Answer answer = call_rules(job, document, workspace, size);
    if (answer.failed) raise_failure(answer);
    if (answer.needed <= size) return workspace;
    pfree(workspace);
    size = answer.needed;
  }
}

template <std::size_t N>
std::array<const char*, N> split(const char* workspace) {
  std::array<const char*, N> texts;
  for (const char*& text : texts) {
    text = workspace;
    workspace += strlen(workspace) + 1;
  }
  return texts;
}

}  // namespace

PolicyTexts policy_texts(const char* document, const TableNames& tables) {
  const auto job = [&](const rules::Policy& p) -> std::vector<std::string> {
    return {p.users.key,
            p.users.balance,
            p.tournaments.key,
            p.enrollments.key,
            p.enrollments.user,
            p.enrollments.tournament,
            p.ledger.idempotency_key,
            p.ledger.type.enroll,
            p.ledger.type.unenroll,
            p.ledger.type.waive,
            rules::active_probe(p, tables.enrollments),
            rules::balance_probe(p, tables.users),
            p.enrollments.active};
  };
  return {split<policy_text_count>(call_until_it_fits(job, document))};
}

std::array<const char*, rules::statement_count> statement_texts(const char* document,
                                                                const rules::Catalog& catalog) {
  const auto job = [&](const rules::Policy& policy) {
    std::vector<std::string> texts;
    for (std::size_t i = 0; i < rules::statement_count; ++i) {
      texts.push_back(rules::statement_text(static_cast<rules::Statement>(i), policy, catalog));
    }
    return texts;
  };
  return split<rules::statement_count>(call_until_it_fits(job, document));
}

}  // namespace pg_enroll::engine
