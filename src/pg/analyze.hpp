// Statements and expressions as the parser understands them: analysed, neither planned nor run.
#pragma once

#include "pg/prelude.hpp"

namespace pg_enroll::pg {

// Analyses one statement with parameters of these types. Raises what the parser raises, and 42601
// for none or several statements. The locks that it takes stay with the (sub)transaction.
Query* analyze(const char* sql, int parameters, Oid* types);

// The same, but a literal whose type nothing tells stays of type unknown, as a place that it is
// assigned to would find it.
Query* analyze_loosely(const char* sql);

// Raises what the rewriter raises: for a value of a generated column, say, or a view that cannot be
// written.
void require_rewritable(Query* query);

// An expression over bare column names of a table, as CREATE INDEX takes its predicate.
Node* analyze_predicate(Oid table, const char* expression);

// Whether a value may be assigned to a column of that type. Raises where a literal is none of it.
bool is_assignable(Node* value, Oid type, int32 modifier);

// Whether the expression reads a column that the system keeps, such as tableoid.
bool reads_system_column(Node* expression);

// Whether the expression's value depends on nothing but the row, once its functions are inlined.
bool is_immutable(Node* expression);

// Calls the visitor for every table, view and other relation that a query mentions, in
// sub-selects too.
using RelationVisitor = void (*)(void* state, Query* query, RangeTblEntry* entry);
void visit_relations(Query* query, RelationVisitor visit, void* state);

// Calls the visitor for every function that a query calls, operators' functions among them.
using FunctionVisitor = void (*)(void* state, Oid function);
void visit_functions(Query* query, FunctionVisitor visit, void* state);

// Whether a query uses a table, a type or a function that only this session sees.
bool is_of_this_session(Query* query);

// Whether a statement is a SELECT that neither writes nor locks rows, in sub-selects and WITH too.
bool only_reads(Query* query);

// The privileges that the query needs on the relation.
AclMode needed_privileges(Query* query, RangeTblEntry* entry);

// Whether the current user has them, on the whole relation or on the columns in question.
bool has_privileges(Query* query, RangeTblEntry* entry);

bool can_execute(Oid function, Oid role);

// Edits that turn one name into the other, at most so many; more than that where it takes more.
int edit_distance(const char* a, const char* b, int most);

}  // namespace pg_enroll::pg
