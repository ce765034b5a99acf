-- Rows of items for what is counted.

CREATE OR REPLACE FUNCTION almagest.port_item_rows()
RETURNS TABLE (collection text, id text, datetime timestamptz, geometry geometry, properties jsonb)
LANGUAGE sql STABLE -- without settings, so that it is planned as part of the statement that asks
AS $$ SELECT i.collection, i.id, i.datetime, i.geometry, i.content->'properties' FROM pgstac.items AS i $$;
COMMENT ON FUNCTION almagest.port_item_rows() IS 'Every item that is stored, with what can be counted of it.';


CREATE OR REPLACE FUNCTION almagest.port_matching_query(predicate text) RETURNS text
LANGUAGE sql IMMUTABLE
AS $$
    SELECT format($query$
        SELECT collection, datetime, geometry, content->'properties' AS properties
        FROM pgstac.items
        WHERE %s
        OFFSET 0 -- or properties would be looked for in the whole content as often as they are named
    $query$, predicate)
$$;
COMMENT ON FUNCTION almagest.port_matching_query(text) IS 'Statement that finds what can be counted of the items for which a predicate of port_where holds.';
