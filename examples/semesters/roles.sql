-- The academy's two roles: one owns the tables and runs migrations, the other is the web
-- application. Roles belong to the whole server, so this runs once, before schema.sql.
CREATE ROLE academy_owner;
CREATE ROLE academy_app LOGIN;
