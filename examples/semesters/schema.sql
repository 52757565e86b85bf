-- The tables of a sports academy, as its ORM created them over the years. A tournament is a row of
-- "semesters"; its capacity stands in "tournament_configurations". Times are UTC without a zone,
-- and most NOT NULL columns have no default, since the ORM fills them in.
--
-- Three things are wrong here, as they are in many a database of that age: semester_enrollments
-- has lost the foreign key of its semester_id, credit_transactions has no index on enrollment_id,
-- and nothing keeps a user from being active in one semester twice, by two licenses.

CREATE TYPE userrole AS ENUM ('ADMIN', 'INSTRUCTOR', 'STUDENT');
CREATE TYPE enrollmentstatus AS ENUM ('PENDING', 'APPROVED', 'REJECTED', 'WITHDRAWN');
CREATE TYPE bookingstatus AS ENUM ('CONFIRMED', 'WAITLISTED', 'CANCELLED');

CREATE TABLE campuses (
  id serial PRIMARY KEY,
  name varchar(100) NOT NULL,
  city varchar(100),
  is_active boolean NOT NULL,
  created_at timestamp NOT NULL,
  CONSTRAINT uq_campuses_name UNIQUE (name)
);

CREATE TABLE users (
  id serial PRIMARY KEY,
  email varchar(255) NOT NULL,
  name varchar(200) NOT NULL,
  password_hash varchar(255) NOT NULL,
  role userrole NOT NULL,
  is_active boolean NOT NULL,
  date_of_birth date,
  phone varchar(40),
  credit_balance integer NOT NULL,
  created_at timestamp NOT NULL,
  updated_at timestamp NOT NULL
);
CREATE UNIQUE INDEX ix_users_email ON users (email);

-- A trigger of the academy's own: it goes on firing for whoever changes a balance.
CREATE FUNCTION touch_updated_at() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  NEW.updated_at := now() AT TIME ZONE 'UTC';
  RETURN NEW;
END
$$;
CREATE TRIGGER users_touch_updated_at BEFORE UPDATE ON users
  FOR EACH ROW EXECUTE FUNCTION touch_updated_at();

CREATE TABLE user_licenses (
  id serial PRIMARY KEY,
  user_id integer NOT NULL REFERENCES users (id) ON DELETE CASCADE,
  specialization_type varchar(50) NOT NULL,
  current_level integer NOT NULL,
  is_active boolean NOT NULL,
  onboarding_completed boolean NOT NULL,
  onboarding_completed_at timestamp,
  expires_at timestamp,
  created_at timestamp NOT NULL,
  updated_at timestamp NOT NULL
);
CREATE INDEX ix_user_licenses_user_id ON user_licenses (user_id);

CREATE TABLE semesters (
  id serial PRIMARY KEY,
  code varchar(50) NOT NULL,
  name varchar(255) NOT NULL,
  start_date date NOT NULL,
  end_date date NOT NULL,
  tournament_status varchar(50) NOT NULL,
  age_group varchar(20),
  enrollment_cost integer NOT NULL,
  campus_id integer REFERENCES campuses (id),
  master_instructor_id integer REFERENCES users (id),
  created_at timestamp NOT NULL,
  updated_at timestamp NOT NULL
);
CREATE UNIQUE INDEX ix_semesters_code ON semesters (code);

CREATE TABLE tournament_configurations (
  id serial PRIMARY KEY,
  semester_id integer NOT NULL REFERENCES semesters (id) ON DELETE CASCADE,
  participant_type varchar(50) NOT NULL,
  is_multi_day boolean NOT NULL,
  max_players integer,
  created_at timestamp NOT NULL,
  updated_at timestamp NOT NULL,
  CONSTRAINT uq_tournament_configurations_semester UNIQUE (semester_id)
);

CREATE TABLE semester_enrollments (
  id serial PRIMARY KEY,
  user_id integer NOT NULL REFERENCES users (id) ON DELETE CASCADE,
  semester_id integer NOT NULL,
  user_license_id integer NOT NULL REFERENCES user_licenses (id) ON DELETE CASCADE,
  request_status enrollmentstatus NOT NULL,
  requested_at timestamp NOT NULL,
  approved_at timestamp,
  approved_by integer REFERENCES users (id),
  rejection_reason text,
  payment_verified boolean NOT NULL,
  is_active boolean NOT NULL,
  enrolled_at timestamp,
  age_category varchar(20),
  age_category_overridden boolean NOT NULL,
  created_at timestamp NOT NULL,
  updated_at timestamp NOT NULL,
  CONSTRAINT uq_semester_enrollments_user_semester_license
    UNIQUE (user_id, semester_id, user_license_id)
);
CREATE INDEX ix_semester_enrollments_semester_id ON semester_enrollments (semester_id);
CREATE INDEX ix_semester_enrollments_user_license_id ON semester_enrollments (user_license_id);

CREATE TABLE credit_transactions (
  id serial PRIMARY KEY,
  user_id integer REFERENCES users (id) ON DELETE CASCADE,
  user_license_id integer REFERENCES user_licenses (id) ON DELETE CASCADE,
  transaction_type varchar(50) NOT NULL,
  amount integer NOT NULL,
  balance_after integer NOT NULL,
  description text,
  idempotency_key varchar(255) NOT NULL,
  semester_id integer REFERENCES semesters (id) ON DELETE SET NULL,
  enrollment_id integer REFERENCES semester_enrollments (id) ON DELETE SET NULL,
  created_at timestamp NOT NULL,
  CONSTRAINT uq_credit_transactions_idempotency_key UNIQUE (idempotency_key),
  CONSTRAINT ck_credit_transactions_one_owner
    CHECK ((user_id IS NOT NULL) <> (user_license_id IS NOT NULL))
);
CREATE INDEX ix_credit_transactions_user_id ON credit_transactions (user_id);
CREATE INDEX ix_credit_transactions_user_license_id ON credit_transactions (user_license_id);

CREATE TABLE sessions (
  id serial PRIMARY KEY,
  semester_id integer NOT NULL REFERENCES semesters (id) ON DELETE CASCADE,
  title varchar(200) NOT NULL,
  date_start timestamp NOT NULL,
  date_end timestamp NOT NULL,
  campus_id integer REFERENCES campuses (id),
  instructor_id integer REFERENCES users (id),
  created_at timestamp NOT NULL,
  updated_at timestamp NOT NULL
);
CREATE INDEX ix_sessions_semester_id ON sessions (semester_id);

CREATE TABLE bookings (
  id serial PRIMARY KEY,
  user_id integer NOT NULL REFERENCES users (id) ON DELETE CASCADE,
  session_id integer NOT NULL REFERENCES sessions (id) ON DELETE CASCADE,
  enrollment_id integer REFERENCES semester_enrollments (id) ON DELETE CASCADE,
  status bookingstatus NOT NULL,
  created_at timestamp NOT NULL,
  CONSTRAINT uq_bookings_user_session UNIQUE (user_id, session_id)
);
CREATE INDEX ix_bookings_session_id ON bookings (session_id);
CREATE INDEX ix_bookings_enrollment_id ON bookings (enrollment_id);

CREATE TABLE system_events (
  id serial PRIMARY KEY,
  level varchar(20) NOT NULL,
  event_type varchar(100) NOT NULL,
  user_id integer REFERENCES users (id) ON DELETE SET NULL,
  payload jsonb,
  resolved boolean NOT NULL,
  created_at timestamp NOT NULL
);
CREATE INDEX ix_system_events_created_at ON system_events (created_at);

GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO academy_app;
GRANT USAGE ON ALL SEQUENCES IN SCHEMA public TO academy_app;
