#include "engine/checks.hpp"

#include "engine/bridge.hpp"
#include "engine/guards.hpp"
#include "engine/own_checks.hpp"
#include "engine/strict.hpp"
#include "pg/errors.hpp"
#include "rules/outcome.hpp"

namespace pg_enroll::engine {
namespace {

using rules::Severity;

constexpr uint64 most_in_sample = 20;

// What all checks of a run share.
struct Run {
  const Home& home;
  Attachment* policy;
  Snapshot snapshot;
  TimestampTz since;  // the beginning of the window
  rules::ProbedTables tables;
};

TimestampTz ago(const Interval* span) {
  const Datum now = TimestampTzGetDatum(GetCurrentTransactionStartTimestamp());
  return DatumGetTimestampTz(
      DirectFunctionCall2(timestamptz_mi_interval, now, PointerGetDatum(span)));
}

void require_sound_window(const Interval* since) {
  const Interval none{};
  if (!DatumGetBool(
          DirectFunctionCall2(interval_lt, PointerGetDatum(since), PointerGetDatum(&none)))) {
    return;
  }
  ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("since must not be negative"),
                  errhint("Say how far to look back, such as '7 days'.")));
}

// Takes the step as the tables' owner, whose expressions it evaluates.
template <typename Step>
const ErrorData* look(const Run& run, Step step) {
  return pg::failure_of_look(run.policy->owner, step);
}

// What is not known to hold is as bad as what is known not to.
void fail_to_run(Finding& finding, const ErrorData* error) {
  finding.severity = Severity::error;
  finding.status = CheckStatus::failed;
  finding.detail = psprintf("The check could not be run: %s", error->message);
  finding.remedy = error->hint;
}

void count(Finding& finding, const pg::Rows& rows) {
  finding.violations = DatumGetInt64(rows.at(0, 1).datum);
  if (*finding.violations > 0) finding.status = CheckStatus::failed;
  const pg::Value sample = rows.at(0, 2);
  if (sample.null) return;
  Jsonb* json = DatumGetJsonbP(sample.datum);
  finding.sample = JsonbToCString(nullptr, &json->root, static_cast<int>(VARSIZE(json)));
}

// ---- the built-in checks -----------------------------------------------------------------------

// What was written before the guards were there is nobody's fault now.
pg::Rows query_rows(const Run& run, const char* sql, Datum baseline) {
  const TimestampTz from = std::max(run.since, run.policy->attached_at);
  Oid types[] = {TIMESTAMPTZOID, TEXTARRAYOID};
  const Oid owner = run.policy->owner;
  return pg::read(pg::prepare(sql, 2, types, owner), owner,
                  {{pg::value(TimestampTzGetDatum(from)), pg::value(baseline)}}, run.snapshot);
}

// The rows are counted as the tables' owner, and compared as the extension's.
pg::Rows query_seats(const Run& run, const char* sql) {
  const pg::Rows counted = read(run.policy, rules::Statement::count_enrollments, {}, run.snapshot);
  Oid types[] = {TEXTOID, TEXTARRAYOID, INT8ARRAYOID};
  const Oid owner = run.home.owner;
  return pg::read(pg::prepare(sql, 3, types, owner), owner,
                  {{pg::text_value(run.policy->name), counted.at(0, 1), counted.at(0, 2)}},
                  run.snapshot);
}

// What attaching again would refuse about a guard, and the command that makes it agree; null where
// there is nothing.
const char* repair_of(const Guard& guard) {
  const char* table = qualified_name(guard.relation);
  const char* name = quote_identifier(guard.name);
  if (OidIsValid(get_trigger_oid(guard.relation, guard.name, true))) {
    return guard.state == GuardState::disabled
               ? psprintf("ALTER TABLE %s ENABLE TRIGGER %s; ", table, name)
               : psprintf("DROP TRIGGER %s ON %s; ", name, table);
  }
  const Oid index = get_relname_relid(guard.name, get_rel_namespace(guard.relation));
  const bool invalid = guard.state == GuardState::invalid && OidIsValid(index) &&
                       IndexGetRelation(index, true) == guard.relation;
  return invalid ? psprintf("DROP INDEX %s; ", qualified_name(index)) : nullptr;
}

struct GuardSample {
  Finding& finding;
  StringInfoData json, repair;
};

void note_guard(void* state, const Guard& guard) {
  if (guard.state == GuardState::ok) return;
  auto* sample = static_cast<GuardSample*>(state);
  int64 violations = sample->finding.violations.value_or(0);
  if (static_cast<uint64>(violations) < most_in_sample) {
    appendStringInfoString(&sample->json, violations == 0 ? "[" : ", ");
    appendStringInfoString(&sample->json, "{\"guard\": ");
    escape_json(&sample->json, guard.name);
    appendStringInfoString(&sample->json, ", \"table\": ");
    escape_json(&sample->json, qualified_name(guard.relation));
    appendStringInfo(&sample->json, ", \"state\": \"%s\"}", state_name(guard.state));
    const char* repair = repair_of(guard);
    if (repair != nullptr) appendStringInfoString(&sample->repair, repair);
  }
  sample->finding.violations = ++violations;
  sample->finding.status = CheckStatus::failed;
}

void check_guards(const Run& run, const char* attach, Finding& finding) {
  GuardSample sample{finding, {}, {}};
  initStringInfo(&sample.json);
  initStringInfo(&sample.repair);
  finding.violations = 0;
  visit_guards(run.policy, note_guard, &sample);
  if (finding.status == CheckStatus::ok) return;
  appendStringInfoChar(&sample.json, ']');
  finding.sample = sample.json.data;
  appendStringInfoString(&sample.repair, attach);
  finding.remedy = sample.repair.data;
}

Finding run_check(const Run& run, const PolicyCheck& check, Datum baseline) {
  Finding finding;
  finding.id = check.id;
  finding.title = check.title;
  finding.severity = check.severity;
  const bool skipped = check.kind != rules::CheckKind::guards && check.query[0] == '\0';
  if (skipped) {
    finding.status = CheckStatus::skipped;
    finding.detail = check.detail;
    return finding;
  }
  const ErrorData* error = look(run, [&] {
    switch (check.kind) {
      case rules::CheckKind::rows:
        return count(finding, query_rows(run, check.query, baseline));
      case rules::CheckKind::seats:
        return count(finding, query_seats(run, check.query));
      case rules::CheckKind::guards:
        return check_guards(run, check.remedy, finding);
    }
  });
  if (error != nullptr) {
    fail_to_run(finding, error);
  } else if (finding.status == CheckStatus::failed) {
    finding.detail = check.detail;
    if (finding.remedy == nullptr) finding.remedy = check.remedy;
  }
  return finding;
}

// ---- checks of one's own -----------------------------------------------------------------------

Finding run_own_check(const Run& run, const OwnCheck& check) {
  Finding finding;
  finding.id = check.name;
  finding.title = check.description;
  finding.severity = check.severity;
  const ErrorData* error = look(run, [&] {
    Oid types[] = {TIMESTAMPTZOID};
    const Oid owner = run.policy->owner;
    count(finding, pg::read(pg::prepare(own_check_query(check.query), 1, types, owner), owner,
                            {{pg::value(TimestampTzGetDatum(run.since))}}, run.snapshot));
  });
  if (error != nullptr) fail_to_run(finding, error);
  return finding;
}

// ---- a run -------------------------------------------------------------------------------------

// The marks of the policies that write into the same ledger.
pg::Items<rules::ForeignRows> foreign_rows(const Run& run) {
  pg::Items<rules::ForeignRows> others;
  ListCell* cell;
  foreach (cell, stored_policies(run.home)) {
    const auto* other = static_cast<const StoredPolicy*>(lfirst(cell));
    if (other->ledger != run.policy->ledger || strcmp(other->name, run.policy->name) == 0) continue;
    const PolicyTexts texts = policy_texts(other->document, {"users", "enrollments"});
    others.add({texts[PolicyText::ledger_type], texts[PolicyText::ledger_type_enroll],
                texts[PolicyText::ledger_type_unenroll], texts[PolicyText::ledger_type_waive]});
  }
  return others;
}

pg::Items<Finding> run_all(const Run& run) {
  const char* policy = run.policy->name;
  const AttrNumber balance = get_attnum(
      run.policy->users,
      policy_texts(run.policy->document, {"users", "enrollments"})[PolicyText::users_balance]);
  rules::CheckFacts facts;
  facts.functions = quote_identifier(get_namespace_name(run.home.schema));
  const char* seats = qualified_name(run.home.seats);
  facts.seats = seats;
  facts.policy = policy;
  facts.balance_is_numeric = getBaseType(get_atttype(run.policy->users, balance)) == NUMERICOID;
  const pg::Items<rules::ForeignRows> others = foreign_rows(run);
  facts.others = {others.at, others.count};
  const pg::Items<PolicyCheck> checks = policy_checks(run.policy->document, run.tables, facts);
  const Datum baseline = accepted(run.home, policy, run.snapshot);
  pg::Items<Finding> findings;
  for (std::size_t i = 0; i < checks.count; ++i) {
    findings.add(run_check(run, checks.at[i], baseline));
  }
  const pg::Items<OwnCheck> own = own_checks(run.home, policy, run.snapshot);
  for (std::size_t i = 0; i < own.count; ++i) findings.add(run_own_check(run, own.at[i]));
  return findings;
}

// Enters the policy and takes the step with what a run needs.
template <typename Step>
void with_run(const Home& home, const CheckRequest& request, Step step) {
  require_sound_window(request.since);
  const Entered entered = enter(home, request.policy, Access::read);
  Attachment* policy = entered.policy;
  require_caller(policy);
  const Run run{home, policy, GetActiveSnapshot(), ago(request.since), tables_of(policy)};
  step(run);
  leave(entered);
}

bool fails(const Finding& finding, bool strict) {
  return finding.status == CheckStatus::failed &&
         (finding.severity == Severity::error || (strict && finding.severity == Severity::warning));
}

// ---- the report --------------------------------------------------------------------------------

struct Lines {
  void (*visit)(void* state, const char* line);
  void* state;

  // What a name or a message holds must not begin a line of its own.
  void add(char* line) const {
    for (char* at = line; *at != '\0'; ++at) {
      if (static_cast<unsigned char>(*at) < ' ') *at = ' ';
    }
    visit(state, line);
  }
};

const char* label_of(Severity severity) {
  switch (severity) {
    case Severity::error:
      return "ERROR";
    case Severity::warning:
      return "WARNING";
    case Severity::info:
      return "INFO";
  }
  return "";
}

void add_finding(const Lines& lines, const Finding& finding) {
  if (finding.status == CheckStatus::ok) {
    lines.add(psprintf("%s ok: %s", finding.id, finding.title));
    return;
  }
  if (finding.status == CheckStatus::skipped) {
    lines.add(psprintf("%s skipped: %s. %s", finding.id, finding.title, finding.detail));
    return;
  }
  const char* found = "could not be run";
  if (finding.violations) {
    const auto violations = static_cast<long long>(*finding.violations);
    found = psprintf("%lld violation%s", violations, violations == 1 ? "" : "s");
  }
  lines.add(
      psprintf("%s: %s %s: %s", label_of(finding.severity), finding.id, finding.title, found));
  if (finding.sample != nullptr) lines.add(psprintf("  sample: %s", finding.sample));
  if (finding.detail != nullptr) lines.add(psprintf("  detail: %s", finding.detail));
  if (finding.remedy != nullptr) lines.add(psprintf("  remedy: %s", finding.remedy));
}

// What people have let pass, with their reasons: every accepted baseline, and the sanctions of the
// window.
void add_exceptions(const Run& run, const Lines& lines) {
  Oid types[] = {TEXTOID, TIMESTAMPTZOID};
  const Oid owner = run.home.owner;
  pg::Rows rows = pg::read(
      pg::prepare(
          psprintf("SELECT line FROM (SELECT pg_catalog.format('Accepted without a ledger row "
                   "(%%s), on %%s by %%s: %%s', pg_catalog.count(*), "
                   "pg_catalog.to_char(b.accepted_at, 'YYYY-MM-DD'), b.accepted_by, b.reason), 1, "
                   "b.accepted_at FROM %s AS b WHERE b.policy OPERATOR(pg_catalog.=) $1 GROUP BY "
                   "b.accepted_at, b.accepted_by, b.reason UNION ALL SELECT "
                   "pg_catalog.format('Strict ledger lifted on %%s by %%s: %%s', "
                   "pg_catalog.to_char(s.sanctioned_at, 'YYYY-MM-DD'), s.role, s.reason), 2, "
                   "s.sanctioned_at FROM %s AS s WHERE s.policy OPERATOR(pg_catalog.=) $1 AND "
                   "s.sanctioned_at OPERATOR(pg_catalog.>=) $2) AS l(line, kind, at) "
                   "ORDER BY kind, at, line",
                   qualified_name(baseline_table(run.home)),
                   qualified_name(sanction_table(run.home))),
          2, types, owner),
      owner, {{pg::text_value(run.policy->name), pg::value(TimestampTzGetDatum(run.since))}},
      run.snapshot);
  for (uint64 row = 0; row < rows.count(); ++row) {
    lines.add(TextDatumGetCString(rows.at(row, 1).datum));
  }
  rows.release();
}

void add_summary(const Run& run, const Lines& lines) {
  char* numbers[2] = {};
  const ErrorData* error = look(run, [&] {
    Oid types[] = {TIMESTAMPTZOID};
    const Oid owner = run.policy->owner;
    const pg::Rows rows =
        pg::read(pg::prepare(summary_query(run.policy->document, run.tables), 1, types, owner),
                 owner, {{pg::value(TimestampTzGetDatum(run.since))}}, run.snapshot);
    for (int i = 0; i < 2; ++i) numbers[i] = TextDatumGetCString(rows.at(0, i + 1).datum);
  });
  if (error != nullptr) {
    lines.add(psprintf("The numbers could not be counted: %s", error->message));
    return;
  }
  for (char* line : numbers) lines.add(line);
}

const char* verdict_on(const pg::Items<Finding>& findings) {
  bool warned = false;
  for (std::size_t i = 0; i < findings.count; ++i) {
    if (fails(findings.at[i], false)) return "FAILED";
    warned = warned || fails(findings.at[i], true);
  }
  return warned ? "PASSED WITH WARNINGS" : "ALL CHECKS PASSED";
}

// ---- the assertion -----------------------------------------------------------------------------

void append_failure(StringInfo json, const Finding& finding) {
  appendStringInfoString(json, "{\"id\": ");
  escape_json(json, finding.id);
  if (finding.violations) {
    appendStringInfo(json, ", \"violations\": %lld", static_cast<long long>(*finding.violations));
  }
  if (finding.sample != nullptr) appendStringInfo(json, ", \"sample\": %s", finding.sample);
  appendStringInfoChar(json, '}');
}

}  // namespace

const char* status_name(CheckStatus status) {
  switch (status) {
    case CheckStatus::ok:
      return "ok";
    case CheckStatus::failed:
      return "failed";
    case CheckStatus::skipped:
      return "skipped";
  }
  return "";
}

pg::Items<Finding> check(const Home& home, const CheckRequest& request) {
  pg::Items<Finding> findings;
  with_run(home, request, [&](const Run& run) { findings = run_all(run); });
  return findings;
}

void assert_checks(const Home& home, const CheckRequest& request, bool strict) {
  const pg::Items<Finding> findings = check(home, request);
  StringInfoData ids;
  StringInfoData failed;
  initStringInfo(&ids);
  initStringInfo(&failed);
  for (std::size_t i = 0; i < findings.count; ++i) {
    const Finding& finding = findings.at[i];
    if (!fails(finding, strict)) continue;
    const char* separator = ids.len == 0 ? "" : ", ";
    appendStringInfo(&ids, "%s%s", separator, finding.id);
    appendStringInfoString(&failed, separator);
    append_failure(&failed, finding);
  }
  if (ids.len == 0) return;
  StringInfoData detail;
  initStringInfo(&detail);
  appendStringInfoString(&detail, "{\"policy\": ");
  escape_json(&detail, request.policy);
  appendStringInfo(&detail, ", \"failed\": [%s]}", failed.data);
  const rules::Contract contract = rules::contract(rules::Outcome::checks_failed);
  pg::raise({contract.sqlstate.data(), psprintf("%s: %s", contract.message.data(), ids.data),
             detail.data, "SELECT enroll_report() says what they mean and how to repair them."});
}

void report(const Home& home, const CheckRequest& request,
            void (*visit)(void* state, const char* line), void* state) {
  const Lines lines{visit, state};
  with_run(home, request, [&](const Run& run) {
    lines.add(psprintf(
        "Policy %s, the last %s", run.policy->name,
        DatumGetCString(DirectFunctionCall1(interval_out, PointerGetDatum(request.since)))));
    const pg::Items<Finding> findings = run_all(run);
    for (std::size_t i = 0; i < findings.count; ++i) add_finding(lines, findings.at[i]);
    add_exceptions(run, lines);
    add_summary(run, lines);
    lines.add(pstrdup(verdict_on(findings)));
  });
}

}  // namespace pg_enroll::engine
