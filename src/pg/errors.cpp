#include "pg/errors.hpp"

namespace pg_enroll::pg {

void raise(const Report& report) {
  const char* s = report.sqlstate;
  const char* table = OidIsValid(report.relation) ? get_rel_name(report.relation) : nullptr;
  const char* schema =
      table != nullptr ? get_namespace_name(get_rel_namespace(report.relation)) : nullptr;
  ereport(
      ERROR,
      (errcode(MAKE_SQLSTATE(s[0], s[1], s[2], s[3], s[4])), errmsg_internal("%s", report.message),
       report.detail != nullptr ? errdetail_internal("%s", report.detail) : 0,
       report.hint != nullptr ? errhint("%s", report.hint) : 0,
       schema != nullptr ? err_generic_string(PG_DIAG_SCHEMA_NAME, schema) : 0,
       table != nullptr ? err_generic_string(PG_DIAG_TABLE_NAME, table) : 0,
       report.constraint != nullptr ? err_generic_string(PG_DIAG_CONSTRAINT_NAME, report.constraint)
                                    : 0));
  pg_unreachable();
}

void raise_serialization_failure() {
  ereport(ERROR, (errcode(ERRCODE_T_R_SERIALIZATION_FAILURE),
                  errmsg("could not serialize access due to concurrent update")));
  pg_unreachable();
}

void tell_failure(void (*step)(void*), void (*failed)(void*), void* state) {
  PG_TRY();
  { step(state); }
  PG_CATCH();
  {
    failed(state);
    PG_RE_THROW();
  }
  PG_END_TRY();
}

}  // namespace pg_enroll::pg
