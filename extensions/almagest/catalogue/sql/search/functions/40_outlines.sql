-- When and where the items of a search are, and nothing else: what is compared by the million has no time for documents.

CREATE OR REPLACE FUNCTION almagest.outlines(search jsonb, span tstzrange, property text)
RETURNS TABLE (
    collection text, id text, begins bigint, ends bigint, value text, footprint bytea
)
LANGUAGE plpgsql STABLE SET search_path = pgstac, almagest, public, pg_temp
AS $$
DECLARE
    predicate text := format('(%s)', almagest.port_where(search));
BEGIN
    predicate := predicate || almagest.within_period(span);
    RETURN QUERY EXECUTE almagest.port_outlines_query(predicate) USING property;
    PERFORM almagest.require_whole(search);
END;
$$;
COMMENT ON FUNCTION almagest.outlines(jsonb, tstzrange, text) IS
    'Of each item that a search finds and that begins within a span: its times, one of its properties as text, and '
    'its footprint (WKB). Times are microseconds since 1970. In no order. Raises P0001 for what pgSTAC refuses.';
