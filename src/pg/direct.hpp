// An update of one row of a plain table of our own, past the executor: no plan, no parameters, no
// trigger. For READ COMMITTED alone: above it, what a transaction may update depends on its
// snapshot, and the executor is who checks that.
#pragma once

#include "pg/spi.hpp"

namespace pg_enroll::pg {

// Whether the table has nothing that only the executor serves: triggers, or indexes beside its
// primary key.
bool is_plain_table(Relation table);

enum class Written : std::uint8_t {
  done,
  outrun,    // somebody else has written or removed the version, and no lock is left on it
  by_itself  // this command has written it already
};

// Writes a new version of the row, with all its columns, waiting for whoever holds it. The table
// must be open with RowExclusiveLock.
Written update_row(Relation table, ItemPointerData row, Values columns);

}  // namespace pg_enroll::pg
