#include "engine/own_checks.hpp"

#include "engine/install.hpp"
#include "pg/analyze.hpp"

namespace pg_enroll::engine {
namespace {

constexpr rules::Severity severities[] = {rules::Severity::error, rules::Severity::warning,
                                          rules::Severity::info};

std::optional<rules::Severity> severity_of(const char* name) {
  for (const rules::Severity severity : severities) {
    if (rules::severity_name(severity) == name) return severity;
  }
  return std::nullopt;
}

// Keeps a detach out until the end, so that nothing is stored for a policy that is gone. Comes
// after the locks on the tables, as in a detach.
void hold_policy(const Home& home, const char* policy) {
  LockRelationOid(home.policies, RowExclusiveLock);
  require_ownership(require_stored(home, policy));
}

[[noreturn]] void refuse_query(const char* name, const char* problem) {
  ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
                  errmsg("query of check \"%s\" %s", name, problem),
                  errhint("Give one SELECT that answers a row for each violation.")));
  pg_unreachable();
}

void require_sound_name(const char* name) {
  if (name[0] == '\0') {
    ereport(ERROR,
            (errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("check name must not be empty")));
  }
  if (pg_strncasecmp(name, "INV-", 4) == 0) {
    ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
                    errmsg("check name \"%s\" begins like a built-in one", name),
                    errhint("Names that begin with INV- are the extension's.")));
  }
}

// Analyses the query as it will run, with the owner's rights, and starts it without asking it for a
// row: privileges are looked at then.
void try_query(const Home& home, const char* policy, const OwnCheck& check) {
  const char* statement = own_check_statement(check.query);
  const char* problem = nullptr;
  const Entered entered = enter(home, policy, Access::read);
  const Oid owner = entered.policy->owner;
  auto trial = [&] {
    Oid types[] = {TIMESTAMPTZOID};
    Query* query = pg::analyze(statement, 1, types);
    if (!pg::only_reads(query)) {
      problem = "does more than read";
    } else if (pg::is_of_this_session(query)) {
      problem = "uses a temporary object, which only one session sees";
    } else {
      const char* sql = psprintf("SELECT FROM (%s) AS q LIMIT 0", own_check_query(check.query));
      pg::read(pg::prepare(sql, 1, types, owner), owner,
               {{pg::value(TimestampTzGetDatum(entered.policy->attached_at))}},
               GetActiveSnapshot());
    }
  };
  const ErrorData* error = pg::failure_of_look(owner, trial);
  leave(entered);
  if (problem != nullptr) refuse_query(check.name, problem);
  if (error == nullptr) return;
  ereport(ERROR, (errcode(error->sqlerrcode),
                  errmsg("query of check \"%s\" cannot be run: %s", check.name, error->message),
                  error->hint != nullptr ? errhint("%s", error->hint) : 0));
}

}  // namespace

rules::ProbedTables tables_of(const Attachment* policy) {
  return {qualified_name(policy->users), qualified_name(policy->tournaments),
          qualified_name(policy->enrollments), qualified_name(policy->ledger), ""};
}

Oid baseline_table(const Home& home) { return get_relname_relid("enroll_baseline", home.schema); }

Oid own_checks_table(const Home& home) {
  return get_relname_relid("enroll_own_check", home.schema);
}

pg::Items<OwnCheck> own_checks(const Home& home, const char* policy, Snapshot snapshot) {
  Oid types[] = {TEXTOID};
  pg::Rows rows = pg::read(
      pg::prepare(psprintf("SELECT c.name, c.severity, c.query, c.description FROM %s AS c WHERE "
                           "c.policy OPERATOR(pg_catalog.=) $1 ORDER BY c.name",
                           qualified_name(own_checks_table(home))),
                  1, types, home.owner),
      home.owner, {{pg::text_value(policy)}}, snapshot);
  pg::Items<OwnCheck> checks;
  for (uint64 row = 0; row < rows.count(); ++row) {
    const auto column = [&](int number) { return TextDatumGetCString(rows.at(row, number).datum); };
    checks.add(
        {column(1), severity_of(column(2)).value_or(rules::Severity::error), column(3), column(4)});
  }
  rows.release();
  return checks;
}

void add_check(const Home& home, const char* policy, const char* severity, const OwnCheck& check) {
  require_sound_name(check.name);
  if (!severity_of(severity)) {
    ereport(ERROR,
            (errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("unknown severity \"%s\"", severity),
             errhint("Severities are error, warning and info.")));
  }
  require_ownership(require_stored(home, policy));
  try_query(home, policy, check);
  hold_policy(home, policy);
  Oid types[] = {TEXTOID, TEXTOID, TEXTOID, TEXTOID, TEXTOID};
  const pg::Rows stored = write_own(
      home,
      psprintf("INSERT INTO %s AS c (policy, name, severity, query, description) VALUES ($1, $2, "
               "$3, $4, $5) ON CONFLICT (policy, name) DO NOTHING",
               qualified_name(own_checks_table(home))),
      5, types,
      {{pg::text_value(policy), pg::text_value(check.name), pg::text_value(severity),
        pg::text_value(check.query), pg::text_value(check.description)}});
  if (!stored.empty()) return;
  ereport(ERROR, (errcode(ERRCODE_DUPLICATE_OBJECT),
                  errmsg("check \"%s\" of policy \"%s\" already exists", check.name, policy),
                  errhint("Drop it first: enroll_drop_check().")));
}

void drop_check(const Home& home, const char* policy, const char* name) {
  hold_policy(home, policy);
  Oid types[] = {TEXTOID, TEXTOID};
  const pg::Rows dropped =
      write_own(home,
                psprintf("DELETE FROM %s AS c WHERE c.policy OPERATOR(pg_catalog.=) $1 AND c.name "
                         "OPERATOR(pg_catalog.=) $2",
                         qualified_name(own_checks_table(home))),
                2, types, {{pg::text_value(policy), pg::text_value(name)}});
  if (!dropped.empty()) return;
  ereport(ERROR, (errcode(ERRCODE_UNDEFINED_OBJECT),
                  errmsg("check \"%s\" of policy \"%s\" does not exist", name, policy),
                  errhint("enroll_check() lists the checks.")));
}

Datum accepted(const Home& home, const char* policy, Snapshot snapshot) {
  Oid types[] = {TEXTOID};
  pg::Rows rows =
      pg::read(pg::prepare(psprintf("SELECT COALESCE(pg_catalog.array_agg(b.enrollment), '{}') "
                                    "FROM %s AS b WHERE b.policy OPERATOR(pg_catalog.=) $1",
                                    qualified_name(baseline_table(home))),
                           1, types, home.owner),
               home.owner, {{pg::text_value(policy)}}, snapshot);
  const Datum keys = rows.keep(0, 1, CurrentMemoryContext).datum;
  rows.release();
  return keys;
}

int64 accept_baseline(const Home& home, const char* policy, pg::Value reason) {
  require_ownership(require_stored(home, policy));
  const Entered entered = enter(home, policy, Access::read);
  const Attachment* a = entered.policy;
  const rules::ProbedTables tables = tables_of(a);
  const pg::Restriction before = pg::become_restricted(a->owner);
  SPIPlanPtr plan = pg::prepare(unpaid_keys_query(a->document, tables), 0, nullptr, a->owner);
  const pg::Rows unpaid = pg::read(plan, a->owner, {}, GetActiveSnapshot());
  const pg::Value keys = unpaid.keep(0, 1, CurrentMemoryContext);
  pg::restore(before);
  leave(entered);
  hold_policy(home, policy);
  Oid types[] = {TEXTOID, TEXTARRAYOID, TEXTOID, TEXTOID};
  const pg::Rows stored = write_own(
      home,
      psprintf("INSERT INTO %s AS b (policy, enrollment, reason, accepted_by) SELECT $1, "
               "k.enrollment, $3, $4 FROM pg_catalog.unnest($2) AS k(enrollment) ON CONFLICT "
               "(policy, enrollment) DO NOTHING",
               qualified_name(baseline_table(home))),
      4, types,
      {{pg::text_value(policy), keys, reason,
        pg::text_value(GetUserNameFromId(GetUserId(), false))}});
  return static_cast<int64>(stored.count());
}

}  // namespace pg_enroll::engine
