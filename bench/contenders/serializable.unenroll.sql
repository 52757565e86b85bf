SELECT twin.unenroll_unlocked(:user, :tournament);
