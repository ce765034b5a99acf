-- Numbers for whoever watches.

CREATE OR REPLACE FUNCTION almagest.history_sizes() RETURNS TABLE (kind text, number bigint)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
    -- What the planner counted last may be old, what the statistics count is lost in a crash.
    SELECT h.kind, sum(greatest(c.reltuples, pg_stat_get_live_tuples(c.oid), 0))::bigint
    FROM (VALUES ('item', 'almagest.item_history'::regclass), ('collection', 'almagest.collection_history'::regclass))
             AS h(kind, parent),
         LATERAL pg_partition_tree(h.parent) AS t JOIN pg_class AS c ON c.oid = t.relid
    WHERE t.isleaf
    GROUP BY h.kind
$$;
COMMENT ON FUNCTION almagest.history_sizes() IS
    'How many former states of items and collections are kept, about: no table is read for it.';
