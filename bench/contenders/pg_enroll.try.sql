SELECT * FROM try_enroll(:user::bigint, :tournament::bigint);
