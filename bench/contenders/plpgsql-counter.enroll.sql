SELECT twin.enroll_counted(:user, :tournament);
