INSERT INTO twin.enrollments (user_id, tournament_id) VALUES (:user, :tournament);
