SELECT bench.noop(:user, :tournament);
