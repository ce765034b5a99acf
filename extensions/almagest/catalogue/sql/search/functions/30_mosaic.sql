-- Mosaics: which items make a picture of a place, and the searches that have an address for that.

CREATE OR REPLACE FUNCTION almagest.mosaic_query(
    search jsonb, geometry_geojson jsonb, max_items int, exit_when_full boolean, skip_covered boolean
) RETURNS text
LANGUAGE sql STABLE SET search_path = pgstac, almagest, public, pg_temp
AS $$
    SELECT almagest.port_mosaic_query(
        almagest.port_where(search), almagest.order_by(k.expressions, k.descending, false),
        ST_SetSRID(ST_GeomFromGeoJSON(nullif(geometry_geojson, 'null')), 4326), max_items, exit_when_full, skip_covered)
    FROM almagest.port_sort_keys(search) AS k
$$;
COMMENT ON FUNCTION almagest.mosaic_query(jsonb, jsonb, int, boolean, boolean) IS
    'The statement by which mosaic_items finds its rows. Raises P0001 for what pgSTAC refuses.';


CREATE OR REPLACE FUNCTION almagest.mosaic_items(
    search jsonb, geometry_geojson jsonb, max_items int, exit_when_full boolean, skip_covered boolean
) RETURNS TABLE (item text, base text)
LANGUAGE plpgsql STABLE SET search_path = pgstac, almagest, public, pg_temp
AS $$
BEGIN
    RETURN QUERY EXECUTE almagest.mosaic_query(search, geometry_geojson, max_items, exit_when_full, skip_covered);
END;
$$;
COMMENT ON FUNCTION almagest.mosaic_items(jsonb, jsonb, int, boolean, boolean) IS
    'At most max_items items of a search that meet a geometry (NULL: all do), in the order of the search. item: JSON text '
    'with id, collection, bbox and assets, to be hydrated against the last base given. skip_covered leaves out what lies '
    'wholly behind earlier ones, exit_when_full ends where earlier ones cover everything; both rather take one too many. '
    'Raises P0001 for what pgSTAC refuses, 22xxx and XX000 for malformed values.';


CREATE OR REPLACE FUNCTION almagest.registered_search(search_id text) RETURNS jsonb
LANGUAGE sql STABLE SET search_path = almagest, public, pg_temp
AS $$
    SELECT jsonb_build_object('id', r.id, 'search', r.search, 'metadata', r.metadata, 'created', r.created_at)
    FROM almagest.registered_search AS r
    WHERE r.id = search_id
$$;
COMMENT ON FUNCTION almagest.registered_search(text) IS 'A registered search; NULL if there is none of this id.';


CREATE OR REPLACE FUNCTION almagest.register_search(search jsonb, metadata jsonb) RETURNS jsonb
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = almagest, public, pg_temp
AS $$
DECLARE
    -- What belongs to a request, not to a search. jsonb sorts keys and drops repeated ones: equal searches print equal.
    kept jsonb := jsonb_strip_nulls(search) - '{conf,token,limit,fields}'::text[];
    described jsonb := jsonb_strip_nulls(coalesce(metadata, '{}'));
    search_id text;
BEGIN
    -- One that can never be run is refused now, not on every tile.
    PERFORM almagest.port_where(kept), almagest.port_sort_keys(kept);
    search_id := encode(sha256(convert_to(jsonb_build_array(kept, described)::text, 'UTF8')), 'hex');
    INSERT INTO almagest.registered_search (id, search, metadata) VALUES (search_id, kept, described)
    ON CONFLICT (id) DO NOTHING;
    RETURN almagest.registered_search(search_id);
END;
$$;
COMMENT ON FUNCTION almagest.register_search(jsonb, jsonb) IS
    'Gives a search an address and returns it; the same search and metadata (NULL: none) have the same one. Definer, '
    'since nobody else may write the table. Raises P0001 for what pgSTAC refuses, 22xxx for malformed values.';
