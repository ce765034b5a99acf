-- Rows of items for what is compared with others in time and space.

CREATE OR REPLACE FUNCTION almagest.port_microseconds(moment timestamptz) RETURNS bigint
LANGUAGE sql STABLE PARALLEL SAFE
-- Of a float there is a quarter of a microsecond left: date_part is five times as fast as extract, which makes a numeric.
AS $$ SELECT (date_part('epoch', moment) * 1e6)::bigint $$;
COMMENT ON FUNCTION almagest.port_microseconds(timestamptz) IS 'Since 1970, of a time between 1900 and 2100.';


CREATE OR REPLACE FUNCTION almagest.port_outlines_query(predicate text) RETURNS text
LANGUAGE sql IMMUTABLE
AS $$
    SELECT format($query$
        SELECT i.collection, i.id, almagest.port_microseconds(i.datetime), almagest.port_microseconds(i.end_datetime),
               i.content->'properties'->>$1, ST_AsBinary(ST_Force2D(i.geometry))
        FROM (
            SELECT id, collection, datetime, end_datetime, geometry, content FROM pgstac.items WHERE %s
        ) AS i
    $query$, predicate)
$$;
COMMENT ON FUNCTION almagest.port_outlines_query(text) IS
    'Statement for the outlines of items for which a predicate of port_where holds; $1: name of a property.';
