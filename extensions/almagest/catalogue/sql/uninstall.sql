-- Takes back what bootstrap.sql does to a database, but for the roles; run after the triggers are gone.

DROP EVENT TRIGGER IF EXISTS almagest_guard;
DROP EVENT TRIGGER IF EXISTS almagest_withhold;

-- What writers have no use for, and pgSTAC grants all the same.
DO $$
DECLARE
    withheld regclass;
BEGIN
    FOR withheld IN
        SELECT c.oid FROM pg_class AS c
        WHERE c.relnamespace = 'pgstac'::regnamespace AND c.relkind IN ('r', 'p') AND c.relowner = 'pgstac_admin'::regrole
          AND has_table_privilege('pgstac_ingest', c.oid, 'INSERT')
    LOOP
        EXECUTE format('GRANT TRUNCATE, TRIGGER ON %s TO pgstac_ingest', withheld);
    END LOOP;
    EXECUTE format('GRANT UPDATE, DELETE ON %I.base_items TO pgstac_ingest', 'pgstac');
    GRANT CREATE ON SCHEMA pgstac TO pgstac_ingest;
END;
$$;

DROP SCHEMA external, almagest CASCADE;
ALTER DEFAULT PRIVILEGES FOR ROLE almagest_admin GRANT EXECUTE ON FUNCTIONS TO PUBLIC;

DO $$
BEGIN
    EXECUTE format('GRANT TEMPORARY ON DATABASE %I TO PUBLIC', current_database());
    EXECUTE format('REVOKE TEMPORARY ON DATABASE %I FROM pgstac_admin, pgstac_read, pgstac_ingest', current_database());
END;
$$;

DO $$
DECLARE
    teller regprocedure;
BEGIN
    FOR teller IN
        SELECT p.oid FROM pg_proc AS p
        WHERE p.proname IN ('_postgis_stats', '_postgis_selectivity', '_postgis_join_selectivity',
                            '_postgis_index_extent', 'st_estimatedextent', 'st_findextent', 'postgis_extensions_upgrade')
          AND NOT has_function_privilege('public', p.oid, 'EXECUTE')
    LOOP
        EXECUTE format('GRANT EXECUTE ON FUNCTION %s TO PUBLIC', teller);
        EXECUTE format('REVOKE EXECUTE ON FUNCTION %s FROM pgstac_read', teller);
    END LOOP;
END;
$$;
