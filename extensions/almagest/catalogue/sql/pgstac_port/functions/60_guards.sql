-- TRUNCATE fires no row trigger: what it empties would leave no version, and so it is refused, to the owner too.

CREATE OR REPLACE FUNCTION almagest.port_unguarded() RETURNS SETOF regclass
LANGUAGE sql STABLE SET search_path = pgstac, public, pg_temp
AS $$
    SELECT r.relid::regclass
    FROM (
        SELECT p.relid FROM pg_partition_tree('pgstac.items') AS p
        UNION ALL
        VALUES ('pgstac.collections'::regclass), ('pgstac.base_items')
    ) AS r
    WHERE NOT EXISTS (
        SELECT FROM pg_trigger AS t
        WHERE t.tgrelid = r.relid AND t.tgname = 'almagest_no_truncate' AND t.tgenabled IN ('O', 'A'))
    ORDER BY r.relid
$$;
COMMENT ON FUNCTION almagest.port_unguarded() IS 'Tables that may be truncated though versions are kept of what is in them.';


CREATE OR REPLACE FUNCTION almagest.port_hold_table(relation regclass) RETURNS void
LANGUAGE plpgsql VOLATILE SET search_path = pgstac, public, pg_temp
AS $$
BEGIN
    EXECUTE format('LOCK TABLE ONLY %s IN SHARE ROW EXCLUSIVE MODE', relation);
END;
$$;
COMMENT ON FUNCTION almagest.port_hold_table(regclass) IS 'As port_hold_writers, of one table or partition.';


CREATE OR REPLACE FUNCTION almagest.port_guard(relation regclass) RETURNS void
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    EXECUTE format(
        'CREATE OR REPLACE TRIGGER almagest_no_truncate BEFORE TRUNCATE ON %s'
        ' FOR EACH STATEMENT EXECUTE FUNCTION almagest.refuse_truncate()', relation);
END;
$$;
COMMENT ON FUNCTION almagest.port_guard(regclass) IS 'Sees to it that a table is not truncated.';


CREATE OR REPLACE FUNCTION almagest.port_is_partition(relation oid) RETURNS boolean
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$ SELECT coalesce(pg_partition_root(relation) = to_regclass('pgstac.items') AND relation <> to_regclass('pgstac.items'), false) $$;
COMMENT ON FUNCTION almagest.port_is_partition(oid) IS 'Whether a table is a partition of items.';
