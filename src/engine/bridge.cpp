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
__attribute__((noinline)) Answer call_rules(const Job& job, char* workspace, std::size_t size) {
  Answer answer;
  try {
    write_texts(job(), workspace, size, answer);
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

// Rules read and write UTF-8, whatever the database's encoding. A long message may have been cut in
// the middle of a character.
const char* of_utf8(const char* text) {
  const auto length = static_cast<int>(strlen(text));
  const int whole = pg_encoding_mbcliplen(PG_UTF8, text, length, length);
  return pg_any_to_server(pnstrdup(text, static_cast<Size>(whole)), whole, PG_UTF8);
}

void raise_failure(const Answer& answer, const char* what) {
  if (answer.out_of_memory) {
    ereport(ERROR, (errcode(ERRCODE_OUT_OF_MEMORY), errmsg("out of memory")));
  }
  ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
                  errmsg("invalid %s: %s", what, of_utf8(answer.message)),
                  answer.hint[0] != '\0' ? errhint("%s", of_utf8(answer.hint)) : 0));
}

const char* to_utf8(const char* text) {
  return pg_server_to_any(text, static_cast<int>(strlen(text)), PG_UTF8);
}

template <typename Job>
const char* call_about(const char* what, const Job& job) {
  std::size_t size = std::size_t{32} * 1024;
  for (;;) {
    char* workspace = static_cast<char*>(palloc(size));
    const Answer answer = call_rules(job, workspace, size);
    if (answer.failed) raise_failure(answer, what);
    if (answer.needed <= size) return workspace;
    pfree(workspace);
    size = answer.needed;
  }
}

template <typename Job>
const char* call_until_it_fits(const Job& job, const char* text) {
  const char* document = to_utf8(text);
  return call_about("policy", [&] { return job(rules::parse_policy(document)); });
}

rules::Catalog in_utf8(rules::Catalog catalog) {
  for (std::string_view* text :
       {&catalog.users, &catalog.tournaments, &catalog.enrollments, &catalog.ledger, &catalog.seats,
        &catalog.balance_type, &catalog.key_cast, &catalog.active}) {
    *text = to_utf8(text->data());
  }
  return catalog;
}

rules::ProbedTables in_utf8(rules::ProbedTables tables) {
  for (std::string_view* text : {&tables.users, &tables.tournaments, &tables.enrollments,
                                 &tables.ledger, &tables.balance_type}) {
    *text = to_utf8(text->data());
  }
  return tables;
}

// Takes a workspace apart, text by text.
class Reader {
 public:
  explicit Reader(const char* workspace) : at_(workspace) {}

  const char* text() {
    const char* found = at_;
    at_ += strlen(at_) + 1;
    return pg_any_to_server(found, static_cast<int>(strlen(found)), PG_UTF8);
  }
  const char* optional_text() { return number() == 0 ? nullptr : text(); }
  int number() { return atoi(text()); }

  List* list() {
    List* texts = NIL;
    for (int count = number(); count > 0; --count) {
      texts = lappend(texts, const_cast<char*>(text()));
    }
    return texts;
  }

  PolicyRules rules() {
    const int count = number();
    auto* rules =
        static_cast<PolicyRule*>(palloc(sizeof(PolicyRule) * static_cast<Size>(count + 1)));
    for (int i = 0; i < count; ++i) {
      rules[i].name = text();
      rules[i].message = optional_text();
      rules[i].http_status = number();
    }
    return {rules, count};
  }

 private:
  const char* at_;
};

template <std::size_t N>
std::array<const char*, N> split(const char* workspace) {
  std::array<const char*, N> texts;
  Reader reader(workspace);
  for (const char*& text : texts) text = reader.text();
  return texts;
}

// The other side of the reader.
class Lines {
 public:
  void add(const std::string& text) { texts.push_back(text); }
  void add(int number) { texts.push_back(std::to_string(number)); }
  void add(const std::vector<std::string>& list) {
    add(static_cast<int>(list.size()));
    texts.insert(texts.end(), list.begin(), list.end());
  }
  void add(const std::vector<rules::Rule>& rules, rules::Rule::On on) {
    const auto applies = [&](const rules::Rule& rule) { return rule.on == on; };
    add(static_cast<int>(std::count_if(rules.begin(), rules.end(), applies)));
    for (const rules::Rule& rule : rules) {
      if (!applies(rule)) continue;
      add(rule.name);
      add(rule.message ? 1 : 0);
      if (rule.message) add(*rule.message);
      add(rule.http_status.value_or(0));
    }
  }

  std::vector<std::string> texts;
};

std::vector<std::string> lists_of(const rules::Policy& p) {
  std::vector<std::string> tables;
  std::vector<std::string> columns;
  for (const rules::Watch& watch : p.watch) {
    tables.push_back(watch.table);
    columns.push_back(watch.tournament);
  }
  Lines lines;
  lines.add(p.rules, rules::Rule::On::enroll);
  lines.add(p.rules, rules::Rule::On::unenroll);
  lines.add(p.on_enroll);
  lines.add(p.on_unenroll);
  lines.add(p.callers);
  lines.add(tables);
  lines.add(columns);
  lines.add(p.enrollments.reenroll == rules::Reenroll::reactivate ? 1 : 0);
  lines.add(p.run_as == rules::RunAs::caller ? 1 : 0);
  lines.add(p.ledger.strict ? 1 : 0);
  lines.add(static_cast<int>(p.notify));
  lines.add(p.stripes);
  lines.add(p.wait_ms.value_or(0));
  return lines.texts;
}

}  // namespace

PolicyTexts policy_texts(const char* document, const TableNames& names) {
  const TableNames tables{to_utf8(names.users), to_utf8(names.enrollments)};
  const auto job = [&](const rules::Policy& p) -> std::vector<std::string> {
    return {p.users.key,
            p.users.balance,
            p.tournaments.key,
            p.enrollments.key,
            p.enrollments.user,
            p.enrollments.tournament,
            p.ledger.amount,
            p.ledger.balance_after,
            p.ledger.enrollment,
            p.ledger.user.value_or(""),
            p.ledger.idempotency_key,
            p.ledger.order,
            p.ledger.type.column,
            p.ledger.type.enroll,
            p.ledger.type.unenroll,
            p.ledger.type.waive,
            rules::active_probe(p, tables.enrollments),
            rules::balance_probe(p, tables.users),
            p.enrollments.active};
  };
  return {split<policy_text_count>(call_until_it_fits(job, document))};
}

PolicyLists policy_lists(const char* document) {
  Reader reader(call_until_it_fits(lists_of, document));
  PolicyLists lists{};
  lists.enroll_rules = reader.rules();
  lists.unenroll_rules = reader.rules();
  lists.on_enroll = reader.list();
  lists.on_unenroll = reader.list();
  lists.callers = reader.list();
  lists.watched_tables = reader.list();
  lists.watched_columns = reader.list();
  lists.reactivates = reader.number() != 0;
  lists.runs_as_caller = reader.number() != 0;
  lists.strict = reader.number() != 0;
  lists.notify = static_cast<rules::Notify>(reader.number());
  lists.stripes = reader.number();
  const int wait_ms = reader.number();
  if (wait_ms > 0) lists.wait_ms = wait_ms;
  return lists;
}

std::array<const char*, rules::statement_count> statement_texts(const char* document,
                                                                const rules::Catalog& names) {
  const rules::Catalog catalog = in_utf8(names);
  const auto job = [&](const rules::Policy& policy) {
    std::vector<std::string> texts;
    for (std::size_t i = 0; i < rules::statement_count; ++i) {
      texts.push_back(rules::statement_text(static_cast<rules::Statement>(i), policy, catalog));
    }
    return texts;
  };
  return split<rules::statement_count>(call_until_it_fits(job, document));
}

pg::Items<PolicyName> policy_names(const char* document) {
  const auto job = [](const rules::Policy& policy) {
    const std::vector<rules::Name> names = rules::names_of(policy);
    Lines lines;
    lines.add(static_cast<int>(names.size()));
    for (const rules::Name& name : names) {
      lines.add(static_cast<int>(name.role));
      lines.add(name.path);
      lines.add(name.text);
    }
    return lines.texts;
  };
  Reader reader(call_until_it_fits(job, document));
  pg::Items<PolicyName> names;
  for (int count = reader.number(); count > 0; --count) {
    PolicyName& name = names.add({});
    name.role = static_cast<rules::Role>(reader.number());
    name.path = reader.text();
    name.text = reader.text();
  }
  return names;
}

pg::Items<PolicyProbe> policy_probes(const char* document, const rules::ProbedTables& names) {
  const rules::ProbedTables tables = in_utf8(names);
  const auto job = [&](const rules::Policy& policy) {
    const std::vector<rules::Probe> probes = rules::probes_of(policy, tables);
    Lines lines;
    lines.add(static_cast<int>(probes.size()));
    for (const rules::Probe& probe : probes) {
      lines.add(static_cast<int>(probe.kind));
      for (const std::string& text : {probe.path, probe.text, probe.column}) lines.add(text);
      lines.add(probe.inner ? 1 : 0);
      lines.add(probe.watched ? 1 : 0);
    }
    return lines.texts;
  };
  Reader reader(call_until_it_fits(job, document));
  pg::Items<PolicyProbe> probes;
  for (int count = reader.number(); count > 0; --count) {
    PolicyProbe& probe = probes.add({});
    probe.kind = static_cast<rules::ProbeKind>(reader.number());
    probe.path = reader.text();
    probe.text = reader.text();
    probe.column = reader.text();
    probe.inner = reader.number() != 0;
    probe.watched = reader.number() != 0;
  }
  return probes;
}

pg::Items<PolicyRowCheck> policy_row_checks(const char* document, const rules::ProbedTables& names,
                                            const rules::RowFacts& facts) {
  const rules::ProbedTables tables = in_utf8(names);
  const auto job = [&](const rules::Policy& policy) {
    const std::vector<rules::RowCheck> checks = rules::row_checks(policy, tables, facts);
    Lines lines;
    lines.add(static_cast<int>(checks.size()));
    for (const rules::RowCheck& check : checks) {
      lines.add(check.refuses ? 1 : 0);
      for (const std::string& text :
           {check.path, check.table, check.obstacle, check.query, check.remedy}) {
        lines.add(text);
      }
    }
    return lines.texts;
  };
  Reader reader(call_until_it_fits(job, document));
  pg::Items<PolicyRowCheck> checks;
  for (int count = reader.number(); count > 0; --count) {
    PolicyRowCheck& check = checks.add({});
    check.refuses = reader.number() != 0;
    check.path = reader.text();
    check.table = reader.text();
    check.obstacle = reader.text();
    check.query = reader.text();
    check.remedy = reader.text();
  }
  return checks;
}

namespace {

rules::CheckFacts in_utf8(rules::CheckFacts facts) {
  for (std::string_view* text : {&facts.functions, &facts.seats, &facts.policy}) {
    *text = to_utf8(text->data());
  }
  pg::Items<rules::ForeignRows> others;
  for (rules::ForeignRows other : facts.others) {
    for (std::string_view* text : {&other.column, &other.enroll, &other.unenroll, &other.waive}) {
      *text = to_utf8(text->data());
    }
    others.add(other);
  }
  facts.others = {others.at, others.count};
  return facts;
}

// The one text that rules make of a policy.
template <typename Job>
const char* text_of(const char* document, const Job& job) {
  const auto as_list = [&](const rules::Policy& policy) -> std::vector<std::string> {
    return {job(policy)};
  };
  return split<1>(call_until_it_fits(as_list, document))[0];
}

// The one that they make of the query of a check.
const char* text_of_check(const char* query, std::string (*make)(std::string_view)) {
  const char* text = to_utf8(query);
  const auto job = [&]() -> std::vector<std::string> { return {make(text)}; };
  return split<1>(call_about("check", job))[0];
}

}  // namespace

const char* finite_balance_probe(const char* document, const char* name) {
  const char* users = to_utf8(name);
  return text_of(document,
                 [&](const rules::Policy& p) { return rules::finite_balance_probe(p, users); });
}

pg::Items<PolicyCheck> policy_checks(const char* document, const rules::ProbedTables& names,
                                     const rules::CheckFacts& its_facts) {
  const rules::ProbedTables tables = in_utf8(names);
  const rules::CheckFacts facts = in_utf8(its_facts);
  const auto job = [&](const rules::Policy& policy) {
    const std::vector<rules::Check> checks = rules::checks_of(policy, tables, facts);
    Lines lines;
    lines.add(static_cast<int>(checks.size()));
    for (const rules::Check& check : checks) {
      lines.add(static_cast<int>(check.kind));
      lines.add(static_cast<int>(check.severity));
      for (const std::string& text :
           {check.id, check.title, check.query, check.detail, check.remedy}) {
        lines.add(text);
      }
    }
    return lines.texts;
  };
  Reader reader(call_until_it_fits(job, document));
  pg::Items<PolicyCheck> checks;
  for (int count = reader.number(); count > 0; --count) {
    PolicyCheck& check = checks.add({});
    check.kind = static_cast<rules::CheckKind>(reader.number());
    check.severity = static_cast<rules::Severity>(reader.number());
    check.id = reader.text();
    check.title = reader.text();
    check.query = reader.text();
    check.detail = reader.text();
    check.remedy = reader.text();
  }
  return checks;
}

const char* summary_query(const char* document, const rules::ProbedTables& names) {
  const rules::ProbedTables tables = in_utf8(names);
  return text_of(document, [&](const rules::Policy& p) { return rules::summary_query(p, tables); });
}

const char* unpaid_keys_query(const char* document, const rules::ProbedTables& names) {
  const rules::ProbedTables tables = in_utf8(names);
  return text_of(document,
                 [&](const rules::Policy& p) { return rules::unpaid_keys_query(p, tables); });
}

const char* own_check_statement(const char* query) {
  return text_of_check(query, rules::own_check_statement);
}

const char* own_check_query(const char* query) {
  return text_of_check(query, rules::own_check_query);
}

}  // namespace pg_enroll::engine
