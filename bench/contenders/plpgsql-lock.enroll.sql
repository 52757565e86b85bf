SELECT twin.enroll_locked(:user, :tournament);
