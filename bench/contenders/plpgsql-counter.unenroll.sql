SELECT twin.unenroll_counted(:user, :tournament);
