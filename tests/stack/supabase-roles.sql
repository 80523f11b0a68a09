-- The roles of a Supabase project, as its own image creates them. Passwords are set by postgres.mjs.
create role postgres with login createdb createrole replication bypassrls;
create role anon nologin noinherit;
create role authenticated nologin noinherit;
create role service_role nologin noinherit bypassrls;
create role authenticator login noinherit;
grant anon, authenticated, service_role to authenticator;
create role supabase_auth_admin login noinherit createrole;

-- `postgres` acts as these in tests of row level security, and hands them privileges.
grant anon, authenticated, service_role to postgres with admin option;

alter role postgres set search_path to "$user", public, extensions;
alter role supabase_auth_admin set search_path to auth;
