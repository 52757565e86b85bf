// PostgreSQL's headers as C++ sees them, and every difference between its versions 14 to 18.
#pragma once

// The standard headers come first: PostgreSQL defines printf and its kin as macros.
#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <optional>
#include <string_view>

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wregister"
#pragma GCC diagnostic ignored "-Wunused-parameter"
#pragma GCC diagnostic ignored "-Wsign-compare"
#pragma GCC diagnostic ignored "-Wmissing-field-initializers"
#pragma GCC diagnostic ignored "-Wdeprecated"
extern "C" {
#include "postgres.h"

#include "access/attmap.h"
#include "access/genam.h"
#include "access/htup_details.h"
#include "access/relscan.h"
#include "access/table.h"
#include "access/tupconvert.h"
#include "access/xact.h"
#include "access/xlog.h"
#include "catalog/index.h"
#include "catalog/namespace.h"
#include "catalog/partition.h"
#include "catalog/pg_authid.h"
#include "catalog/pg_class.h"
#include "catalog/pg_constraint.h"
#include "catalog/pg_inherits.h"
#include "catalog/pg_namespace.h"
#include "catalog/pg_proc.h"
#include "catalog/pg_trigger.h"
#include "catalog/pg_type.h"
#include "commands/async.h"
#include "commands/dbcommands.h"
#include "commands/trigger.h"
#include "common/hashfn.h"
#include "executor/executor.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "funcapi.h"
#include "lib/stringinfo.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "optimizer/optimizer.h"
#include "parser/parser.h"
#include "pgtime.h"
#include "port/atomics.h"
#include "portability/instr_time.h"
#include "replication/message.h"
#include "storage/bufmgr.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "storage/lmgr.h"
#include "storage/lwlock.h"
#include "storage/proc.h"
#include "storage/procarray.h"
#include "storage/shmem.h"
#include "utils/acl.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/datum.h"
#include "utils/fmgroids.h"
#include "utils/fmgrprotos.h"
#include "utils/guc.h"
#include "utils/inval.h"
#include "utils/json.h"
#include "utils/jsonb.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/numeric.h"
#include "utils/plancache.h"
#include "utils/rel.h"
#include "utils/ruleutils.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"
#include "utils/timeout.h"
#include "utils/timestamp.h"
#include "utils/tuplestore.h"
#include "utils/typcache.h"
}
#pragma GCC diagnostic pop

namespace pg_enroll::pg {

// The columns of a relation that one query level selects, as attribute numbers less
// FirstLowInvalidHeapAttributeNumber.
inline Bitmapset* selected_columns([[maybe_unused]] Query* query, RangeTblEntry* entry) {
#if PG_VERSION_NUM < 160000
  return entry->selectedCols;
#else
  return getRTEPermissionInfo(query->rteperminfos, entry)->selectedCols;
#endif
}

// Walks an expression's or a query's parts; before version 16 the walker has no prototype.
using Walker = bool (*)(Node*, void*);

inline bool walk_parts(Node* node, Walker walker, void* state) {
#if PG_VERSION_NUM < 160000
  const auto unprototyped = reinterpret_cast<bool (*)()>(reinterpret_cast<void*>(walker));
#else
  const Walker unprototyped = walker;
#endif
  if (IsA(node, Query)) {
    return query_tree_walker(reinterpret_cast<Query*>(node), unprototyped, state, 0);
  }
  return expression_tree_walker(node, unprototyped, state);
}

// The columns of one table by the numbers that another has for columns of their names.
inline AttrMap* columns_by_name(Relation from, Relation to) {
#if PG_VERSION_NUM < 160000
  return build_attrmap_by_name(RelationGetDescr(from), RelationGetDescr(to));
#else
  return build_attrmap_by_name(RelationGetDescr(from), RelationGetDescr(to), false);
#endif
}

// A small number that no other backend has at the same time.
inline int32 backend_number() {
#if PG_VERSION_NUM < 170000
  return MyProc->pgprocno;
#else
  return MyProcNumber;
#endif
}

// Calls the function while a server that starts asks what shared memory it needs; only during
// _PG_init() of a preloaded library.
inline void at_shared_memory_request(void (*request)()) {
#if PG_VERSION_NUM < 150000
  request();
#else
  static shmem_request_hook_type next;
  static void (*ours)();
  next = shmem_request_hook;
  ours = request;
  shmem_request_hook = [] {
    if (next != nullptr) next();
    ours();
  };
#endif
}

// No other setting may begin with the prefix.
inline void reserve_settings(const char* prefix) {
#if PG_VERSION_NUM < 150000
  EmitWarningsOnPlaceholders(prefix);
#else
  MarkGUCPrefixReserved(prefix);
#endif
}

// Writes a message into the WAL that logical decoding shows where the transaction commits.
inline void log_message(const char* prefix, const char* message) {
#if PG_VERSION_NUM < 170000
  LogLogicalMessage(prefix, message, strlen(message), true);
#else
  LogLogicalMessage(prefix, message, strlen(message), true, false);
#endif
}

// What an update says of the indexes.
#if PG_VERSION_NUM < 160000
using UpdatedIndexes = bool;
inline bool writes_index(UpdatedIndexes updated) { return updated; }
#else
using UpdatedIndexes = TU_UpdateIndexes;
inline bool writes_index(UpdatedIndexes updated) { return updated == TU_All; }
#endif

inline Oid primary_key_index(Relation relation) {
#if PG_VERSION_NUM < 180000
  return RelationGetPrimaryKeyIndex(relation);
#else
  return RelationGetPrimaryKeyIndex(relation, false);
#endif
}

inline bool is_not_null(Oid relation, AttrNumber column) {
  const HeapTuple tuple = SearchSysCacheAttNum(relation, column);
  const bool not_null =
      HeapTupleIsValid(tuple) && reinterpret_cast<Form_pg_attribute>(GETSTRUCT(tuple))->attnotnull;
  if (HeapTupleIsValid(tuple)) ReleaseSysCache(tuple);
  return not_null;
}

inline bool check_is_enforced([[maybe_unused]] const ConstrCheck& check) {
#if PG_VERSION_NUM < 180000
  return true;
#else
  return check.ccenforced;
#endif
}

inline bool owns_relation(Oid relation, Oid role) {
#if PG_VERSION_NUM < 160000
  return pg_class_ownercheck(relation, role);
#else
  return object_ownercheck(RelationRelationId, relation, role);
#endif
}

inline bool can_create_in(Oid schema, Oid role) {
#if PG_VERSION_NUM < 160000
  return pg_namespace_aclcheck(schema, role, ACL_CREATE) == ACLCHECK_OK;
#else
  return object_aclcheck(NamespaceRelationId, schema, role, ACL_CREATE) == ACLCHECK_OK;
#endif
}

inline void check_can_create_in(Oid schema, Oid role) {
  if (can_create_in(schema, role)) return;
  aclcheck_error(ACLCHECK_NO_PRIV, OBJECT_SCHEMA, get_namespace_name(schema));
}

}  // namespace pg_enroll::pg
