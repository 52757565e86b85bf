// The module: magic block and what has to be set up once, in each session or where it is preloaded.
#include "engine/attachment.hpp"
#include "engine/door.hpp"
#include "engine/stats.hpp"
#include "engine/strict.hpp"

extern "C" {
PG_MODULE_MAGIC;
PGDLLEXPORT void _PG_init(void);
}

void _PG_init(void) {
  pg_enroll::engine::watch_invalidations();
  pg_enroll::engine::watch_aborts();
  pg_enroll::engine::watch_commits();
  pg_enroll::engine::prepare_counters();
}
