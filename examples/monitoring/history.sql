-- What every run of the checks found, for as long as you like to keep it.
CREATE SCHEMA monitoring;

CREATE TABLE monitoring.check_history (
  checked_at timestamptz NOT NULL,
  policy text NOT NULL,
  id text NOT NULL,
  title text NOT NULL,
  severity text NOT NULL,
  status text NOT NULL,
  violations bigint,
  sample jsonb,
  detail text,
  remedy text,
  PRIMARY KEY (policy, checked_at, id)
);

-- The findings of each policy's last run.
CREATE VIEW monitoring.latest_checks AS
  SELECT h.*
  FROM monitoring.check_history h
  JOIN (SELECT policy, max(checked_at) AS checked_at
        FROM monitoring.check_history GROUP BY policy) last USING (policy, checked_at);

-- One run over all policies that are attached.
CREATE PROCEDURE monitoring.run_checks(since interval DEFAULT '7 days') LANGUAGE sql AS $$
  INSERT INTO monitoring.check_history
  SELECT pg_catalog.now(), p.policy, c.id, c.title, c.severity, c.status, c.violations, c.sample,
         c.detail, c.remedy
  FROM enroll_policies p CROSS JOIN LATERAL enroll_check(since, p.policy) c;
$$;
