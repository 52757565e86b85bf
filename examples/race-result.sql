-- What the race left behind, counted from the tables.
\set ON_ERROR_STOP on
\pset footer off
\set ECHO queries

SELECT code, count(*) AS told FROM race_answers GROUP BY code ORDER BY code;

SELECT t.name, t.capacity,
       (SELECT count(*) FROM enrollments WHERE tournament_id = t.id AND is_active) AS rows,
       (SELECT sum(taken) FROM enroll_seat WHERE tournament = t.id::text) AS seats_taken,
       (SELECT count(*) FROM users WHERE id >= 9 AND credit_balance < 500) AS charged
FROM tournaments AS t WHERE t.id = 3;

