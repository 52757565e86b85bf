// What a strict ledger asks of the tables, and of the policies that share them.
#include "engine/survey_parts.hpp"

namespace pg_enroll::engine {
namespace {

bool same_column(const PolicyTexts& one, const PolicyTexts& other, PolicyText name) {
  return strcmp(one[name], other[name]) == 0;
}

// Whether what either policy's calls write would look wrong to the other: the same balance booked
// elsewhere, or another balance booked in the same rows.
bool stand_apart(const Tables& mine, const PolicyTexts& my_texts, const StoredPolicy& other,
                 const PolicyTexts& other_texts) {
  const bool one_balance = other.users == mine.users &&
                           same_column(my_texts, other_texts, PolicyText::users_key) &&
                           same_column(my_texts, other_texts, PolicyText::users_balance);
  const bool one_booking = other.ledger == mine.ledger &&
                           same_column(my_texts, other_texts, PolicyText::ledger_user) &&
                           same_column(my_texts, other_texts, PolicyText::ledger_amount) &&
                           same_column(my_texts, other_texts, PolicyText::ledger_balance_after);
  return one_balance ? !one_booking : other.ledger == mine.ledger;
}

void look_at_sharing(Surveying& s) {
  const TableNames tables{"users", "enrollments"};
  const PolicyTexts mine = policy_texts(s.proposal.document, tables);
  ListCell* cell;
  foreach (cell, stored_policies(s.home)) {
    const auto* other = static_cast<const StoredPolicy*>(lfirst(cell));
    if (strcmp(other->name, s.proposal.name) == 0) continue;
    const bool strict = policy_lists(other->document).strict;
    if (!strict && !s.lists.strict) continue;
    if (!stand_apart(s.tables, mine, *other, policy_texts(other->document, tables))) continue;
    refuse(s, "$.ledger.strict",
           psprintf("shares the balances or the ledger with policy \"%s\", but not both: where "
                    "either is strict, each would refuse what the other's calls write",
                    other->name),
           "Give both policies the same users, balance, ledger, user and amounts, or neither "
           "balance nor ledger in common.");
  }
}

const char* change_of(char action) {
  switch (action) {
    case FKCONSTR_ACTION_CASCADE:
      return "CASCADE";
    case FKCONSTR_ACTION_SETNULL:
      return "SET NULL";
    case FKCONSTR_ACTION_SETDEFAULT:
      return "SET DEFAULT";
    default:
      return nullptr;
  }
}

// A cascade would change or remove rows that are there for good.
void warn_of_cascade(Surveying& s, Oid constraint) {
  const HeapTuple tuple = SearchSysCache1(CONSTROID, ObjectIdGetDatum(constraint));
  if (!HeapTupleIsValid(tuple)) return;
  const auto* form = reinterpret_cast<Form_pg_constraint>(GETSTRUCT(tuple));
  const char* change = change_of(form->confdeltype);
  const char* name = pstrdup(NameStr(form->conname));
  const Oid referenced = form->confrelid;
  ReleaseSysCache(tuple);
  if (change == nullptr) return;
  warn(s, psprintf("constraint %s on %s", quote_identifier(name), qualified_name(s.tables.ledger)),
       psprintf("ON DELETE %s would change ledger rows, which a strict ledger forbids: rows of %s "
                "that ledger rows name can no longer be deleted",
                change, qualified_name(referenced)),
       "Keep such rows and mark them, or call enroll_sanction before the DELETE.");
}

void look_at_cascades(Surveying& s) {
  const Relation ledger = table_open(s.tables.ledger, AccessShareLock);
  List* constraints = NIL;
  ListCell* cell;
  foreach (cell, RelationGetFKeyList(ledger)) {
    constraints = lappend_oid(constraints, static_cast<ForeignKeyCacheInfo*>(lfirst(cell))->conoid);
  }
  table_close(ledger, AccessShareLock);
  foreach (cell, constraints) warn_of_cascade(s, lfirst_oid(cell));
}

}  // namespace

void look_at_strictness(Surveying& s) {
  // Strangers learn nothing of what another policy says.
  if (s.caller_owns) look_at_sharing(s);
  if (s.lists.strict) look_at_cascades(s);
}

bool drops_strict_triggers(const Surveying& s, Oid table, Oid still) {
  if (!s.stored || !policy_lists(s.stored->document).strict) return false;
  return !(s.lists.strict && table == still) &&
         !is_strict_for_another(s.home, s.proposal.name, table);
}

}  // namespace pg_enroll::engine
