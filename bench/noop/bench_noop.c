/* A function that returns: what a call costs before it does anything. */
#include "postgres.h"

#include "fmgr.h"

PG_MODULE_MAGIC;

PG_FUNCTION_INFO_V1(bench_noop);

Datum bench_noop(PG_FUNCTION_ARGS) {
  PG_RETURN_INT64(0);
}
