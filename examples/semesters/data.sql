-- What has come together in the academy's tables, the dirt included. Dates are relative to today,
-- so that open tournaments stay open. Run once, in empty tables, in one transaction.
SET timezone = 'UTC';

INSERT INTO campuses (name, city, is_active, created_at) VALUES
  ('North Park', 'Budapest', true, now() - interval '900 days'),
  ('Riverside', 'Budapest', true, now() - interval '900 days'),
  ('Old Barracks', 'Debrecen', true, now() - interval '300 days');

-- Users 1 to 5 are staff. "bought" is what a student has paid in, "licence" what the first license
-- looks like: ok, none, inactive, or new (onboarding not done).
CREATE TEMP TABLE person (
  id serial, name text, role userrole, age text, bought integer, licence text);
INSERT INTO person (name, role, age, bought, licence) VALUES
  ('Agnes Toth',       'ADMIN',      '44 years',           0, 'none'),
  ('Bence Kiraly',     'INSTRUCTOR', '38 years',         600, 'ok'),
  ('Clara Simon',      'INSTRUCTOR', '31 years',           0, 'none'),
  ('Daniel Lukacs',    'INSTRUCTOR', '29 years',           0, 'none'),
  ('Emma Balogh',      'INSTRUCTOR', '35 years',           0, 'none'),
  ('Ferenc Vass',      'STUDENT',    '5 years 4 months',  200, 'ok'),
  ('Greta Hegyi',      'STUDENT',    '6 years 2 months',  200, 'ok'),
  ('Hanna Orban',      'STUDENT',    '8 years 5 months',  900, 'ok'),
  ('Imre Fodor',       'STUDENT',    '9 years 1 month',   900, 'ok'),
  ('Julia Szabo',      'STUDENT',    '9 years 8 months',  900, 'ok'),
  ('Karim Haddad',     'STUDENT',    '10 years 3 months', 900, 'ok'),
  ('Lili Varga',       'STUDENT',    '11 years',         1000, 'ok'),
  ('Marton Kis',       'STUDENT',    '11 years 6 months', 100, 'ok'),
  ('Noemi Pal',        'STUDENT',    '12 years',          900, 'inactive'),
  ('Oliver Nagy',      'STUDENT',    '12 years 7 months', 900, 'new'),
  ('Petra Lakatos',    'STUDENT',    '13 years 2 months', 900, 'none'),
  ('Quentin Berger',   'STUDENT',    '13 years 4 months', 900, 'ok'),
  ('Rita Bodnar',      'STUDENT',    '15 years',         1500, 'ok'),
  ('Samuel Novak',     'STUDENT',    '15 years 9 months', 1500, 'ok'),
  ('Tamas Gal',        'STUDENT',    '16 years 1 month',  1500, 'ok'),
  ('Ursula Antal',     'STUDENT',    '16 years 8 months', 1500, 'ok'),
  ('Viktor Halasz',    'STUDENT',    '17 years 3 months', 1500, 'ok'),
  ('Wanda Illes',      'STUDENT',    '17 years 5 months', 1500, 'ok'),
  ('Xenia Marton',     'STUDENT',    '19 years',         2000, 'ok'),
  ('Yusuf Demir',      'STUDENT',    '20 years',         2000, 'ok'),
  ('Zoltan Barta',     'STUDENT',    '21 years',         2000, 'ok'),
  ('Adel Fekete',      'STUDENT',    '22 years',         2000, 'ok'),
  ('Balazs Juhasz',    'STUDENT',    '22 years 6 months', 2000, 'ok'),
  ('Csilla Erdos',     'STUDENT',    '23 years',         1600, 'ok'),
  ('David Sipos',      'STUDENT',    '24 years',          850, 'ok'),
  ('Eszter Mezei',     'STUDENT',    '24 years 3 months', 1600, 'ok'),
  ('Fanni Csonka',     'STUDENT',    '25 years',         1600, 'ok'),
  ('Gabor Dudas',      'STUDENT',    '26 years',         1600, 'ok'),
  ('Helga Rozsa',      'STUDENT',    '27 years',         1600, 'ok'),
  ('Istvan Pasztor',   'STUDENT',    '28 years',         1600, 'ok'),
  ('Judit Somogyi',    'STUDENT',    '29 years',         1600, 'ok'),
  ('Kristof Biro',     'STUDENT',    '30 years',         1600, 'ok'),
  ('Laura Veres',      'STUDENT',    NULL,               1600, 'ok'),
  ('Mate Bognar',      'STUDENT',    '18 years 6 months', 1200, 'ok'),
  ('Nora Katona',      'STUDENT',    '18 years 8 months', 1200, 'ok'),
  ('Otto Keller',      'STUDENT',    '33 years',          900, 'ok'),
  ('Piroska Nemes',    'STUDENT',    '34 years',          900, 'ok'),
  ('Robert Orsos',     'STUDENT',    '35 years',          900, 'ok');

INSERT INTO users (email, name, password_hash, role, is_active, date_of_birth, credit_balance,
                   created_at, updated_at)
SELECT lower(replace(name, ' ', '.')) || '@academy.example', name, '!', role, true,
       (current_date - age::interval)::date, 0,
       now() - interval '400 days', now() - interval '400 days'
FROM person ORDER BY id;

-- A player's license for whoever has one, and a second one for those who coach as well.
INSERT INTO user_licenses (user_id, specialization_type, current_level, is_active,
                           onboarding_completed, onboarding_completed_at, created_at, updated_at)
SELECT id, 'LFA_FOOTBALL_PLAYER', 1 + id % 5, licence <> 'inactive', licence <> 'new',
       CASE WHEN licence <> 'new' THEN now() - interval '380 days' END,
       now() - interval '390 days', now() - interval '390 days'
FROM person WHERE licence <> 'none' ORDER BY id;
INSERT INTO user_licenses (user_id, specialization_type, current_level, is_active,
                           onboarding_completed, onboarding_completed_at, created_at, updated_at)
SELECT id, 'LFA_COACH', 1, true, true,
       now() - interval '200 days', now() - interval '210 days', now() - interval '210 days'
FROM person WHERE name IN ('Csilla Erdos', 'Eszter Mezei', 'Fanni Csonka') ORDER BY id;

INSERT INTO semesters (code, name, start_date, end_date, tournament_status, age_group,
                       enrollment_cost, campus_id, master_instructor_id, created_at, updated_at)
SELECT code, name, current_date + first_day, current_date + first_day + 30, status, age_group,
       cost, campus, instructor, now() - interval '120 days', now() - interval '30 days'
FROM (VALUES
  ('YOUTH-CUP',    'Youth Cup',           20, 'ENROLLMENT_OPEN', 'YOUTH',   250, 1,    2),
  ('AMATEUR-OPEN', 'Amateur Open',        30, 'ENROLLMENT_OPEN', 'AMATEUR', 500, 2,    3),
  ('LITTLE-KICKS', 'Little Kickers Day',  15, 'ENROLLMENT_OPEN', 'PRE',       0, 1,    4),
  ('LEAGUE',       'Academy League',       3, 'IN_PROGRESS',     NULL,      125, 2,    2),
  ('CITY-32',      'City Knockout of 32',  5, 'IN_PROGRESS',     NULL,      200, 3,    5),
  ('MASTERS',      'Masters Final',       10, 'ENROLLMENT_OPEN', NULL,      300, 1,    3),
  ('PRO-TRIAL',    'Professional Trial',  25, 'DRAFT',           'PRO',     800, NULL, 2),
  ('SUMMER',       'Summer Trophy',      -90, 'COMPLETED',       NULL,      150, 1,    4),
  ('WINTER',       'Winter Trophy',       40, 'CANCELLED',       NULL,      150, 3,    5),
  ('TONIGHT',      'Floodlight Night',     0, 'ENROLLMENT_OPEN', NULL,       50, 2,    3)
) AS s (code, name, first_day, status, age_group, cost, campus, instructor);

-- No row at all, as for the Little Kickers, and max_players NULL both mean 999 places.
INSERT INTO tournament_configurations (semester_id, participant_type, is_multi_day, max_players,
                                       created_at, updated_at)
SELECT id, 'INDIVIDUAL', true, seats, now() - interval '120 days', now() - interval '120 days'
FROM semesters JOIN (VALUES
  ('YOUTH-CUP', 8), ('AMATEUR-OPEN', NULL), ('LEAGUE', 40), ('CITY-32', 32), ('MASTERS', 4),
  ('PRO-TRIAL', 16), ('SUMMER', 20), ('WINTER', 20), ('TONIGHT', 10)
) AS c (code, seats) USING (code) ORDER BY id;

-- Three sessions a week apart; the Floodlight Night kicks off in half an hour.
INSERT INTO sessions (semester_id, title, date_start, date_end, campus_id, instructor_id,
                      created_at, updated_at)
SELECT s.id, s.name || ', day ' || n,
       start + (n - 1) * interval '7 days', start + (n - 1) * interval '7 days 2 hours',
       CASE WHEN s.code = 'WINTER' THEN NULL ELSE s.campus_id END, s.master_instructor_id,
       now() - interval '60 days', now() - interval '60 days'
FROM semesters AS s
CROSS JOIN LATERAL (SELECT CASE WHEN s.code = 'TONIGHT' THEN now() + interval '30 minutes'
                                ELSE s.start_date + interval '17 hours' END) AS first (start)
CROSS JOIN generate_series(1, 3) AS n
ORDER BY s.id, n;

INSERT INTO credit_transactions (user_id, transaction_type, amount, balance_after, description,
                                 idempotency_key, created_at)
SELECT id, 'CREDIT_PURCHASE', bought, 0, 'Credits bought', gen_random_uuid(),
       now() - interval '370 days'
FROM person WHERE bought > 0 ORDER BY id;

-- Who was enrolled in what, by which license, and how many days ago. A batch of 64 came from an
-- older helper: 32 players in each of two tournaments, and not a credit moved.
CREATE TEMP TABLE entrant (
  id serial, code text, user_id integer, license text, days integer, batch boolean DEFAULT false);
INSERT INTO entrant (code, user_id, license, days, batch)
SELECT code, p.id, 'LFA_FOOTBALL_PLAYER', 45, true
FROM person AS p CROSS JOIN (VALUES ('LEAGUE'), ('CITY-32')) AS s (code)
WHERE p.id BETWEEN 6 AND 40 AND p.licence <> 'none' AND p.name NOT IN ('Lili Varga', 'David Sipos')
ORDER BY code DESC, p.id;
INSERT INTO entrant (code, user_id, license, days)
SELECT code, unnest(users), license, days
FROM (VALUES
  ('SUMMER',       '{18,19,24,25,26,27}'::int[], 'LFA_FOOTBALL_PLAYER', 110),
  ('YOUTH-CUP',    '{8,9,10,11,17}',             'LFA_FOOTBALL_PLAYER',  20),
  ('AMATEUR-OPEN', '{18,19,20,29,31,30}',        'LFA_FOOTBALL_PLAYER',  19),
  -- Dirt: Csilla and Eszter once more, by their coaching license.
  ('AMATEUR-OPEN', '{29,31}',                    'LFA_COACH',            18),
  -- Dirt: five players in a final of four; and David, who was sent to the final and to the league
  -- at the same moment, when both debits saw his last 350 credits.
  ('MASTERS',      '{24,25,26,27,30}',           'LFA_FOOTBALL_PLAYER',  17),
  ('LEAGUE',       '{30}',                       'LFA_FOOTBALL_PLAYER',  17)
) AS e (code, users, license, days);

INSERT INTO semester_enrollments (
  user_id, semester_id, user_license_id, request_status, requested_at, approved_at, approved_by,
  payment_verified, is_active, enrolled_at, age_category, age_category_overridden, created_at,
  updated_at)
SELECT x.user_id, s.id, l.id, 'APPROVED', at, at, x.user_id, true, true, at,
       COALESCE(s.age_group, 'AMATEUR'), false, at, at
FROM entrant AS x
JOIN semesters AS s USING (code)
JOIN user_licenses AS l ON l.user_id = x.user_id AND l.specialization_type = x.license
CROSS JOIN LATERAL (
  SELECT now() - x.days * interval '1 day' + x.id * interval '1 minute') AS t (at)
ORDER BY x.id;

INSERT INTO credit_transactions (user_license_id, transaction_type, amount, balance_after,
                                 description, idempotency_key, semester_id, enrollment_id,
                                 created_at)
SELECT e.user_license_id, 'TOURNAMENT_ENROLLMENT', -s.enrollment_cost, 0,
       'Tournament enrollment: ' || s.name || ' (' || s.code || ')', gen_random_uuid(), s.id, e.id,
       e.created_at
FROM entrant AS x
JOIN semesters AS s USING (code)
JOIN user_licenses AS l ON l.user_id = x.user_id AND l.specialization_type = x.license
JOIN semester_enrollments AS e ON e.semester_id = s.id AND e.user_license_id = l.id
WHERE NOT x.batch
ORDER BY e.created_at;

-- Quentin withdrew from the Youth Cup and had half the price back.
INSERT INTO credit_transactions (user_id, transaction_type, amount, balance_after, description,
                                 idempotency_key, semester_id, enrollment_id, created_at)
SELECT user_id, 'TOURNAMENT_UNENROLL_REFUND', 125, 0,
       'Tournament withdrawal, half the price back: Youth Cup (YOUTH-CUP)', gen_random_uuid(),
       semester_id, id, now() - interval '11 days'
FROM semester_enrollments WHERE user_id = 17 AND semester_id = 1;
UPDATE semester_enrollments
SET request_status = 'WITHDRAWN', is_active = false, updated_at = now() - interval '11 days'
WHERE user_id = 17 AND semester_id = 1;

INSERT INTO bookings (user_id, session_id, enrollment_id, status, created_at)
SELECT e.user_id, s.id, min(e.id), 'CONFIRMED', min(e.created_at)
FROM semester_enrollments AS e JOIN sessions AS s USING (semester_id)
WHERE e.is_active
GROUP BY e.user_id, s.id ORDER BY min(e.id), s.id;

-- Requests that never became active.
INSERT INTO semester_enrollments (
  user_id, semester_id, user_license_id, request_status, requested_at, approved_by,
  rejection_reason, payment_verified, is_active, age_category_overridden, created_at, updated_at)
SELECT user_id, 2, id, status::enrollmentstatus, now() - interval '9 days', staff, reason, false,
       false, false, now() - interval '9 days', now() - interval '8 days'
FROM user_licenses JOIN (VALUES
  (21, 'REJECTED', 1, 'Suspended until the end of the month'), (22, 'PENDING', NULL, NULL)
) AS r (user_id, status, staff, reason) USING (user_id);

-- Dirt: three enrollments in a tournament that was deleted, which no foreign key hindered.
INSERT INTO semester_enrollments (
  user_id, semester_id, user_license_id, request_status, requested_at, payment_verified, is_active,
  age_category_overridden, created_at, updated_at)
SELECT user_id, 4711, id, 'APPROVED', now() - interval '300 days', true, true, false,
       now() - interval '300 days', now() - interval '300 days'
FROM user_licenses WHERE user_id IN (34, 35, 36) AND specialization_type = 'LFA_FOOTBALL_PLAYER'
ORDER BY user_id;

INSERT INTO system_events (level, event_type, user_id, payload, resolved, created_at) VALUES
  ('WARNING', 'LOGIN_FAILED', 13, '{"attempts": 5}', true, now() - interval '6 days'),
  ('INFO', 'TOURNAMENT_CANCELLED', 1, '{"code": "WINTER"}', true, now() - interval '5 days'),
  ('WARNING', 'SESSION_WITHOUT_CAMPUS', NULL, '{"code": "WINTER"}', false,
   now() - interval '5 days');

-- The balances follow from the ledger, line by line.
UPDATE credit_transactions AS c SET balance_after = r.balance
FROM (SELECT t.id, sum(t.amount) OVER (PARTITION BY COALESCE(t.user_id, l.user_id)
                                       ORDER BY t.created_at, t.id) AS balance
      FROM credit_transactions AS t LEFT JOIN user_licenses AS l ON l.id = t.user_license_id) AS r
WHERE r.id = c.id;
UPDATE users AS u SET credit_balance = r.balance
FROM (SELECT COALESCE(t.user_id, l.user_id) AS user_id, sum(t.amount) AS balance
      FROM credit_transactions AS t LEFT JOIN user_licenses AS l ON l.id = t.user_license_id
      GROUP BY 1) AS r
WHERE r.user_id = u.id;

ANALYZE users, user_licenses, semesters, tournament_configurations, semester_enrollments,
  credit_transactions, sessions, bookings;
