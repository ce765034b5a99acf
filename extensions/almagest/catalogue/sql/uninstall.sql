-- Takes back what bootstrap.sql does to a database, but for the roles; run after the triggers are gone.

DROP EVENT TRIGGER IF EXISTS almagest_guard;
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
