-- Run by the migration runner before anything else, every time: roles, schema and ledger. Idempotent.
-- Roles belong to the cluster, so they cannot live in the ledger of one database.

DO $$
DECLARE
    role_name text;
BEGIN
    FOREACH role_name IN ARRAY ARRAY['almagest_admin', 'almagest_reader', 'almagest_writer'] LOOP
        IF to_regrole(role_name) IS NULL THEN
            BEGIN
                EXECUTE format('CREATE ROLE %I NOLOGIN', role_name);
            EXCEPTION WHEN duplicate_object OR unique_violation THEN
                NULL; -- another database of this cluster was migrated at the same moment
            END;
        END IF;
    END LOOP;
END;
$$;

-- The admin owns what we add and may read what pgSTAC owns; the writer writes through pgSTAC's own ingest role.
GRANT pgstac_admin TO almagest_admin;
GRANT pgstac_read TO almagest_reader;
GRANT pgstac_ingest TO almagest_writer;
GRANT almagest_admin TO CURRENT_USER;

CREATE SCHEMA IF NOT EXISTS almagest AUTHORIZATION almagest_admin;

-- Nothing we create is for everybody; grants.sql names who may do what.
ALTER DEFAULT PRIVILEGES FOR ROLE almagest_admin REVOKE EXECUTE ON FUNCTIONS FROM PUBLIC;

CREATE TABLE IF NOT EXISTS almagest.ledger (
    set_name text NOT NULL,
    name text NOT NULL,
    kind text NOT NULL CHECK (kind IN ('migration', 'function')),
    sha256 text NOT NULL,
    applied_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    app_version text NOT NULL,
    pgstac_version text NOT NULL,
    PRIMARY KEY (set_name, name)
);
ALTER TABLE almagest.ledger OWNER TO almagest_admin;
COMMENT ON TABLE almagest.ledger IS 'Every SQL file applied to this database, with the hash of what was applied.';
