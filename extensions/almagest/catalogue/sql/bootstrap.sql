-- Run by the migration runner before anything else, every time: roles, schema and ledger. Idempotent.
-- Roles belong to the cluster, so they cannot live in the ledger of one database.

DO $$
DECLARE
    role_name text;
BEGIN
    FOREACH role_name IN ARRAY ARRAY[
        'almagest_admin', 'almagest_reader', 'almagest_writer', 'almagest_worker', 'almagest_ops',
        'almagest_external', 'almagest_external_definer'
    ] LOOP
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
-- What a worker publishes it writes as everybody does.
GRANT almagest_writer TO almagest_worker;
GRANT almagest_admin TO CURRENT_USER;
-- Whoever calls a function of schema external reads as this role, which can do nothing else and cannot log in. The admin
-- is a member, so that it may give functions to it.
GRANT pgstac_read TO almagest_external_definer;
GRANT almagest_external_definer TO almagest_admin;
-- Since when others are at it: what was when is known of earlier moments alone. Where this may not be granted, it is known
-- of fewer moments while somebody writes.
DO $$
BEGIN
    GRANT pg_read_all_stats TO almagest_admin;
EXCEPTION WHEN insufficient_privilege THEN
    RAISE NOTICE 'almagest_admin cannot be told since when others are writing.';
END;
$$;

CREATE SCHEMA IF NOT EXISTS almagest AUTHORIZATION almagest_admin;
CREATE SCHEMA IF NOT EXISTS external AUTHORIZATION almagest_admin;

-- PostgreSQL lets everybody make temporary things, and some functions of pgSTAC look for their tables there first: a view
-- of an outsider in the place of one of them would be read with the rights of whoever runs the function.
DO $$
BEGIN
    EXECUTE format('REVOKE TEMPORARY ON DATABASE %I FROM PUBLIC', current_database());
    EXECUTE format('GRANT TEMPORARY ON DATABASE %I TO pgstac_admin, pgstac_read, pgstac_ingest', current_database());
END;
$$;

-- PostGIS lets everybody read the statistics of any table, and with them where hidden items lie.
DO $$
DECLARE
    teller regprocedure;
BEGIN
    FOR teller IN
        SELECT p.oid FROM pg_proc AS p
        WHERE p.proname IN ('_postgis_stats', '_postgis_selectivity', '_postgis_join_selectivity',
                            '_postgis_index_extent', 'st_estimatedextent', 'st_findextent', 'postgis_extensions_upgrade')
          AND has_function_privilege('public', p.oid, 'EXECUTE')
    LOOP
        EXECUTE format('REVOKE EXECUTE ON FUNCTION %s FROM PUBLIC', teller);
        EXECUTE format('GRANT EXECUTE ON FUNCTION %s TO pgstac_read', teller);
    END LOOP;
END;
$$;

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

-- The one clock of whatever is stored or shown. A test may replace it.
CREATE OR REPLACE FUNCTION almagest.clock() RETURNS timestamptz
LANGUAGE sql VOLATILE PARALLEL SAFE
-- Nothing but this: it is asked for every row that is written, and so becomes part of the statement that asks.
AS $$ SELECT pg_catalog.clock_timestamp() $$;
ALTER FUNCTION almagest.clock() OWNER TO almagest_admin;
REVOKE EXECUTE ON FUNCTION almagest.clock() FROM PUBLIC;
COMMENT ON FUNCTION almagest.clock() IS 'Now; moves on within a transaction.';

-- pgSTAC grants everything on each partition that it makes; a part of it is taken back in the same transaction.
CREATE OR REPLACE FUNCTION almagest.withhold() RETURNS event_trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF to_regprocedure('almagest.port_withhold()') IS NOT NULL THEN -- which comes later
        PERFORM almagest.port_withhold();
    END IF;
EXCEPTION WHEN OTHERS THEN
    -- What somebody else grants must not fail by it; `db migrate` does it again.
    RAISE WARNING 'almagest: %', SQLERRM;
END;
$$;
ALTER FUNCTION almagest.withhold() OWNER TO almagest_admin;
REVOKE EXECUTE ON FUNCTION almagest.withhold() FROM PUBLIC;
COMMENT ON FUNCTION almagest.withhold() IS 'Somebody was granted something.';
DO $$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_event_trigger AS t WHERE t.evtname = 'almagest_withhold') THEN
        CREATE EVENT TRIGGER almagest_withhold ON ddl_command_end WHEN TAG IN ('GRANT') EXECUTE FUNCTION almagest.withhold();
    END IF;
END;
$$;
