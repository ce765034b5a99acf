-- Collections and queryables.

CREATE OR REPLACE FUNCTION almagest.port_collection(collection_id text) RETURNS jsonb
LANGUAGE sql STABLE SET search_path = pgstac, public, pg_temp
-- Not get_collection: its search_path lets temporary tables of the session stand for pgSTAC's.
AS $$ SELECT c.content FROM pgstac.collections AS c WHERE c.id = collection_id $$;
COMMENT ON FUNCTION almagest.port_collection(text) IS 'A collection document; NULL if there is none.';


CREATE OR REPLACE FUNCTION almagest.port_collection_search(search jsonb) RETURNS jsonb
LANGUAGE sql STABLE SET search_path = pgstac, public, pg_temp
AS $$ SELECT pgstac.collection_search(almagest.port_place(search - '{conf,token}'::text[])) $$;
COMMENT ON FUNCTION almagest.port_collection_search(jsonb) IS
    'Collections that match, with numberMatched, numberReturned and paging links by offset. Raises P0001.';


CREATE OR REPLACE FUNCTION almagest.port_collection_search_in(source text, search jsonb) RETURNS jsonb
LANGUAGE plpgsql STABLE SET search_path = pgstac, public, pg_temp
AS $$
DECLARE
    page_size int := pgstac.search_limit(search);
    page_offset int := pgstac.search_offset(search);
    found jsonb;
    matched bigint;
BEGIN
    EXECUTE format(
        $query$
            WITH matching AS MATERIALIZED (
                SELECT collectionjson, row_number() OVER (ORDER BY %3$s) AS place FROM %1$s AS c WHERE %2$s
            )
            SELECT (SELECT count(*) FROM matching),
                   (SELECT coalesce(jsonb_agg(pgstac.jsonb_fields(collectionjson, %4$L) ORDER BY place), '[]')
                    FROM matching WHERE place > %5$s AND place - %5$s <= %6$s)
        $query$,
        source, pgstac.stac_search_to_where(almagest.port_place(search - '{conf,token}'::text[])),
        pgstac.sort_sqlorderby(search, false, '{id}'), coalesce(search->'fields', '{}'), page_offset, page_size
    ) INTO matched, found;
    RETURN jsonb_build_object(
        'collections', found, 'numberMatched', matched, 'numberReturned', jsonb_array_length(found),
        'links', CASE WHEN page_offset > 0 THEN jsonb_build_array(jsonb_build_object('rel', 'prev', 'body', jsonb_build_object(
                     'offset', greatest(least(page_offset, matched) - greatest(page_size, 1), 0)))) ELSE '[]' END
                 || CASE WHEN page_size > 0 AND page_offset + page_size < matched THEN jsonb_build_array(jsonb_build_object(
                     'rel', 'next', 'body', jsonb_build_object('offset', page_offset + page_size))) ELSE '[]' END);
END;
$$;
COMMENT ON FUNCTION almagest.port_collection_search_in(text, jsonb) IS
    'As port_collection_search, over another source: something that can stand in FROM, with the columns of pgSTAC''s '
    'collections_asitems. Raises P0001.';


CREATE OR REPLACE FUNCTION almagest.port_collections_as_items(ids text[])
RETURNS TABLE (id text, geometry geometry, datetime timestamptz, end_datetime timestamptz, document jsonb)
LANGUAGE sql STABLE SET search_path = pgstac, public, pg_temp
AS $$
    SELECT c.id, c.geometry, c.datetime, c.end_datetime, c.content FROM pgstac.collections AS c WHERE c.id = ANY(ids)
$$;
COMMENT ON FUNCTION almagest.port_collections_as_items(text[]) IS 'These collections with what pgSTAC searches them by.';


CREATE OR REPLACE FUNCTION almagest.port_queryables(collection_ids text[]) RETURNS jsonb
LANGUAGE sql STABLE SET search_path = pgstac, public, pg_temp
AS $$ SELECT pgstac.get_queryables(collection_ids) $$;
COMMENT ON FUNCTION almagest.port_queryables(text[]) IS
    'Queryables as a JSON schema; NULL ids mean every collection; NULL if none of the collections exists.';


CREATE OR REPLACE FUNCTION almagest.port_collection_ids() RETURNS SETOF text
LANGUAGE plpgsql STABLE SET search_path = pgstac, public, pg_temp
AS $$
BEGIN
    RETURN QUERY SELECT c.id FROM pgstac.collections AS c ORDER BY c.id;
END;
$$;
COMMENT ON FUNCTION almagest.port_collection_ids() IS 'Ids of all collections, in order.';
