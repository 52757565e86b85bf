-- One of 32 pgbench clients: waits at the line, then calls for the last seat of tournament 3.
\set user_id 9 + :client_id
SELECT pg_advisory_lock_shared(1);
INSERT INTO race_answers SELECT :user_id, code FROM try_enroll(:user_id, 3);
