SELECT twin.enroll_unlocked(:user, :tournament);
