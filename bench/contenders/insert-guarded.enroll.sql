INSERT INTO guarded.enrollments (user_id, tournament_id) VALUES (:user, :tournament);
