SELECT twin.unenroll_locked(:user, :tournament);
