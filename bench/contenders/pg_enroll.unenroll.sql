SELECT * FROM unenroll(:user::bigint, :tournament::bigint);
