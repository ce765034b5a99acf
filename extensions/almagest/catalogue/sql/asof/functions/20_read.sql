-- What was there at a moment. Functions that a request calls make sure first that nothing can be added to it any more.

CREATE OR REPLACE FUNCTION almagest.collection_states_at(ids text[], moment timestamptz)
RETURNS TABLE (id text, document jsonb)
LANGUAGE plpgsql STABLE SET search_path = almagest, public, pg_temp SET plan_cache_mode = force_generic_plan
AS $$
#variable_conflict use_column
BEGIN
    RETURN QUERY
    SELECT h.id, almagest.port_collection(h.id) FROM almagest.collection_head AS h
    WHERE NOT h.deleted AND h.valid_from <= moment AND ($1 IS NULL OR h.id = ANY ($1))
    UNION ALL
    SELECT h.id, h.content FROM almagest.collection_history AS h
    WHERE h.valid_from <= moment AND h.valid_to > moment AND h.content IS NOT NULL AND ($1 IS NULL OR h.id = ANY ($1));
END;
$$;
COMMENT ON FUNCTION almagest.collection_states_at(text[], timestamptz) IS
    'Those of these collections (NULL: of all) that were there at a moment, as they were.';


CREATE OR REPLACE FUNCTION almagest.search_query_at(
    search jsonb, anchor jsonb, backward boolean, page_size int, period tstzrange, moment timestamptz
) RETURNS text
LANGUAGE plpgsql STABLE SET search_path = pgstac, almagest, public, pg_temp
AS $$
DECLARE
    predicate text := format('(%s)', almagest.port_where(search));
    keys record := almagest.port_sort_keys(search);
BEGIN
    IF search ? 'ids' AND NOT search ? 'collections' THEN
        -- The key of history begins with the collection.
        predicate := predicate || format(' AND collection = ANY (%L)', ARRAY(SELECT h.id FROM almagest.collection_head AS h));
    END IF;
    IF anchor IS NOT NULL THEN
        predicate := predicate || ' AND '
            || almagest.keyset_predicate(keys.expressions, keys.descending, keys.nullable, anchor, backward);
    END IF;
    predicate := predicate || almagest.within_period(period);
    RETURN almagest.port_page_query_at(
        predicate, almagest.order_by(keys.expressions, keys.descending, backward),
        'jsonb_build_array((' || array_to_string(keys.expressions, ')::text, (') || ')::text)', page_size, moment);
END;
$$;
COMMENT ON FUNCTION almagest.search_query_at(jsonb, jsonb, boolean, int, tstzrange, timestamptz) IS
    'As search_query, of what was there at a moment.';


CREATE OR REPLACE FUNCTION almagest.search_page_at(
    search jsonb, anchor jsonb, backward boolean, page_size int, moment timestamptz
) RETURNS TABLE (item text, base text, sort_values jsonb, collection text, id text, geometry text)
LANGUAGE plpgsql VOLATILE SET search_path = pgstac, almagest, public, pg_temp
AS $$
DECLARE
    reached CONSTANT text[] := nullif(ARRAY(SELECT jsonb_path_query(search->'collections', '$[*]') #>> '{}'), '{}');
    period tstzrange;
    found_now int;
BEGIN
    PERFORM almagest.require_stable(moment, false);
    PERFORM almagest.require_kept(moment, reached);
    FOR period IN SELECT p FROM almagest.search_periods(search, anchor, backward) AS p LOOP
        RETURN QUERY EXECUTE almagest.search_query_at(search, anchor, backward, page_size, period, moment);
        GET DIAGNOSTICS found_now = ROW_COUNT;
        page_size := page_size - found_now;
        EXIT WHEN page_size <= 0;
    END LOOP;
    PERFORM almagest.require_kept(moment, reached);
END;
$$;
COMMENT ON FUNCTION almagest.search_page_at(jsonb, jsonb, boolean, int, timestamptz) IS
    'As search_page, of what was there at a moment. Raises AM409 where that may still change, AM410 where it may have been '
    'forgotten.';


CREATE OR REPLACE FUNCTION almagest.item_at(of_collection text, of_id text, moment timestamptz)
RETURNS TABLE (item text, base text)
LANGUAGE plpgsql VOLATILE SET search_path = almagest, public, pg_temp
AS $$
BEGIN
    PERFORM almagest.require_stable(moment, false);
    RETURN QUERY SELECT r.item, r.base FROM almagest.item_row_at(of_collection, of_id, moment) AS r;
    IF NOT FOUND THEN
        PERFORM almagest.require_kept(moment, ARRAY[of_collection]);
    END IF;
END;
$$;
COMMENT ON FUNCTION almagest.item_at(text, text, timestamptz) IS
    'An item as it was at a moment, as text, with the base it hydrates against; no row if there was none. Raises AM409 where '
    'that may still change, AM410 where it may have been forgotten.';


CREATE OR REPLACE FUNCTION almagest.collection_at(of_id text, moment timestamptz) RETURNS text
LANGUAGE plpgsql VOLATILE SET search_path = almagest, public, pg_temp
AS $$
DECLARE
    document jsonb;
BEGIN
    PERFORM almagest.require_stable(moment, false);
    document := almagest.collection_document_at(of_id, moment);
    IF document IS NULL THEN
        PERFORM almagest.require_kept(moment, ARRAY[of_id]);
    END IF;
    RETURN document::text;
END;
$$;
COMMENT ON FUNCTION almagest.collection_at(text, timestamptz) IS
    'A collection as it was at a moment, as text; NULL if there was none. Raises as item_at.';


CREATE OR REPLACE FUNCTION almagest.collections_at(moment timestamptz) RETURNS TABLE (
    id text, geometry geometry, collection text, datetime timestamptz, end_datetime timestamptz, content jsonb,
    collectionjson jsonb
)
LANGUAGE sql STABLE SET search_path = almagest, public, pg_temp
AS $$
    WITH there AS (
        SELECT array_agg(s.id) AS ids, array_agg(s.document) AS documents FROM almagest.collection_states_at(NULL, $1) AS s
    )
    SELECT c.id, c.geometry, 'collections', c.datetime, c.end_datetime,
           jsonb_build_object(
               'properties', c.document - '{links,assets,stac_version,stac_extensions}'::text[], 'links', c.document->'links',
               'assets', c.document->'assets', 'stac_version', c.document->'stac_version',
               'stac_extensions', c.document->'stac_extensions'),
           c.document
    FROM there AS t, almagest.port_as_items(t.ids, t.documents) AS c
$$;
COMMENT ON FUNCTION almagest.collections_at(timestamptz) IS
    'Collections as they were at a moment, with the columns by which pgSTAC searches collections.';


CREATE OR REPLACE FUNCTION almagest.collection_page_at(search jsonb, moment timestamptz) RETURNS jsonb
LANGUAGE plpgsql VOLATILE SET search_path = almagest, public, pg_temp
AS $$
DECLARE
    found jsonb;
BEGIN
    PERFORM almagest.require_stable(moment, false);
    PERFORM almagest.require_kept(moment, NULL);
    found := almagest.port_collection_search_in(format('almagest.collections_at(%L)', moment), search);
    PERFORM almagest.require_kept(moment, NULL);
    RETURN found;
END;
$$;
COMMENT ON FUNCTION almagest.collection_page_at(jsonb, timestamptz) IS
    'As collection_page, of the collections that were there at a moment. Raises as search_page_at.';
