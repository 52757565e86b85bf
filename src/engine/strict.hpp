// The strict ledger: no credit moves, and no enrollment becomes active, without its ledger row.
// Triggers note what each statement did, in memory that forgets what is rolled back; before the
// transaction commits, or is prepared, the notes of each user and enrollment must add up.
#pragma once

#include "engine/attachment.hpp"

namespace pg_enroll::engine {

// The trigger of the users table.
void note_balances(const Home& home, TriggerData* trigger);

// The trigger of the ledger: notes rows that come and refuses what would change or remove one.
void note_ledger(const Home& home, TriggerData* trigger);

// What a statement on the enrollments did, for a policy that is entered. For the door.
void note_enrollments(Attachment* policy, TriggerData* trigger);

// Lifts the policy's strict ledger until the end of the transaction, and records it. Raises 42501
// where the current user may not do what the tables' owner may, 55000 where the ledger is not
// strict.
void sanction(const Home& home, const char* policy, pg::Value reason);

// Where sanctions are recorded.
Oid sanction_table(const Home& home);

// To be called once, when the module is loaded.
void watch_commits();

}  // namespace pg_enroll::engine
