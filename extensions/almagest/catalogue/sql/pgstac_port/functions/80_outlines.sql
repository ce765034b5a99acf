-- Rows of items for what is compared with others in time and space.

CREATE OR REPLACE FUNCTION almagest.port_outlines_query(predicate text) RETURNS text
LANGUAGE sql IMMUTABLE
AS $$
    SELECT format($query$
        SELECT i.collection, i.id, i.datetime, i.end_datetime, i.content->'properties'->>$1,
               coalesce(h.valid_from, v.installed_at), ST_AsBinary(i.geometry)
        FROM (
            SELECT id, collection, datetime, end_datetime, geometry, content FROM pgstac.items WHERE %s
        ) AS i
        LEFT JOIN almagest.item_head AS h ON h.collection = i.collection AND h.id = i.id
        CROSS JOIN almagest.versioning AS v
    $query$, predicate)
$$;
COMMENT ON FUNCTION almagest.port_outlines_query(text) IS
    'Statement for the outlines of items for which a predicate of port_where holds; $1: name of a property.';
