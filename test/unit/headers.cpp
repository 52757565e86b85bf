// The rules know nothing of PostgreSQL, and a PostgreSQL header that is included behind them finds
// nothing in its way: none of their names is one of its macros.
#include "every_rule.hpp"

#if defined(PG_VERSION_NUM) || defined(ereport) || defined(PG_TRY) || defined(POSTGRES_H)
#error "a header in src/rules includes a PostgreSQL header"
#endif

#if __has_include("postgres.h")
extern "C" {
#include "postgres.h"
}
static_assert(PG_VERSION_NUM >= 140000);
#endif
