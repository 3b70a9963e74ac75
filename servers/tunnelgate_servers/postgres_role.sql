-- A PostgreSQL role that can read the tables of one server and do nothing else.
--
-- Run this once in the database of the server, before or after its first migration, as a superuser:
--     psql -v ON_ERROR_STOP=1 -f role.sql DATABASE
-- Then give the role a password with \password, and its URL to the server as the option database.
-- Give each server a database of its own: the role can read what its owner adds to the schema later.
BEGIN;
SET LOCAL tunnelgate.role = {role};
SET LOCAL tunnelgate.owner = {owner}; -- empty for the owner of the database
SET LOCAL tunnelgate.tables = {tables};
DO $do$
DECLARE
    reader text := current_setting('tunnelgate.role');
    owner text := coalesce(
        nullif(current_setting('tunnelgate.owner'), ''),
        (SELECT pg_get_userbyid(datdba) FROM pg_database WHERE datname = current_database())
    );
    name text;
BEGIN
    EXECUTE format('CREATE ROLE %I LOGIN NOINHERIT', reader);
    -- Defaults of its sessions, which they can change; that it cannot write is the privileges' rule.
    EXECUTE format('ALTER ROLE %I SET default_transaction_read_only = on', reader);
    EXECUTE format('ALTER ROLE %I SET statement_timeout = ''10s''', reader);
    EXECUTE format('ALTER ROLE %I SET idle_in_transaction_session_timeout = ''60s''', reader);
    -- What everybody may do in a database until somebody says otherwise.
    EXECUTE format('REVOKE TEMPORARY ON DATABASE %I FROM PUBLIC', current_database());
    EXECUTE format('GRANT USAGE, CREATE ON SCHEMA public TO %I', owner);
    REVOKE CREATE ON SCHEMA public FROM PUBLIC;
    REVOKE EXECUTE ON FUNCTION
        lo_creat(integer), lo_create(oid), lo_from_bytea(oid, bytea), lo_put(oid, bigint, bytea)
        FROM PUBLIC;
    EXECUTE format('GRANT CONNECT ON DATABASE %I TO %I', current_database(), reader);
    EXECUTE format('GRANT USAGE ON SCHEMA public TO %I', reader);
    FOREACH name IN ARRAY string_to_array(current_setting('tunnelgate.tables'), ' ') LOOP
        IF to_regclass(format('public.%I', name)) IS NOT NULL THEN
            EXECUTE format('GRANT SELECT ON TABLE public.%I TO %I', name, reader);
        END IF;
    END LOOP;
    EXECUTE format(
        'ALTER DEFAULT PRIVILEGES FOR ROLE %I IN SCHEMA public GRANT SELECT ON TABLES TO %I', owner, reader
    );
END
$do$;
COMMIT;
