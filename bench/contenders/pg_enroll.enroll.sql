SELECT * FROM enroll(:user::bigint, :tournament::bigint);
