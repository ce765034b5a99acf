-- Reading rows: what an item is in pgSTAC's tables, and how a search becomes SQL.

CREATE OR REPLACE FUNCTION almagest.port_version() RETURNS text
LANGUAGE sql STABLE SET search_path = pgstac, public, pg_temp
AS $$ SELECT pgstac.get_version() $$;
COMMENT ON FUNCTION almagest.port_version() IS 'Version of the installed pgSTAC.';


CREATE OR REPLACE FUNCTION almagest.port_content_path(keys text[]) RETURNS text
LANGUAGE sql IMMUTABLE SET search_path = pgstac, public, pg_temp
AS $$ SELECT pgstac.content_path(keys) $$;
COMMENT ON FUNCTION almagest.port_content_path(text[]) IS
    'What stands under these keys in stored content, as SQL; written so wherever a search reads it.';


CREATE OR REPLACE FUNCTION almagest.port_has_index_of_numbers(keys text[]) RETURNS boolean
LANGUAGE sql STABLE SET search_path = pgstac, public, pg_temp
AS $$
    SELECT EXISTS (
        SELECT FROM pgstac.queryables AS q
        WHERE q.property_index_type IS NOT NULL AND pgstac.queryable_keys(q.name, q.property_path) = keys
          AND pgstac.queryable_wrapper(q.property_wrapper, q.definition) IN ('to_int', 'to_float', 'to_tstz'))
$$;
COMMENT ON FUNCTION almagest.port_has_index_of_numbers(text[]) IS
    'Whether what stands under these keys is indexed as a number or a time.';


CREATE OR REPLACE FUNCTION almagest.port_where(search jsonb) RETURNS text
LANGUAGE sql STABLE SET search_path = pgstac, public, pg_temp
AS $$
    SELECT concat_ws(' AND ',
        pgstac.stac_search_to_where(
            search - '{conf,token,limit,fields,sortby,q,q_in}'::text[]
            -- pgSTAC takes a bbox across the antimeridian for the one round the rest of the globe.
            || coalesce((
                SELECT jsonb_build_object('intersects', public.ST_AsGeoJSON(public.ST_Collect(
                    public.ST_MakeEnvelope(west, south, 180, north), public.ST_MakeEnvelope(-180, south, east, north)), 15))
                FROM (SELECT (box->>0)::float8, (box->>1)::float8, (box->>(size / 2))::float8, (box->>(size / 2 + 1))::float8
                      FROM (SELECT search->'bbox' AS box, jsonb_array_length(search->'bbox') AS size) AS given
                      WHERE size IN (4, 6)) AS corners (west, south, east, north)
                WHERE west > east AND NOT search ? 'intersects'), '{}')),
        -- pgSTAC's own predicate is NULL, and so never true, for an item without a description.
        CASE WHEN search ? 'q' THEN format(
            $predicate$to_tsvector('english', concat_ws(' ', NULL%s)) @@ %L$predicate$,
            (SELECT string_agg(format($property$, (%s)#>>'{}'$property$, almagest.port_content_path(ARRAY['properties', name])),
                               '' ORDER BY n)
             FROM jsonb_array_elements_text(coalesce(search->'q_in', '["title", "description", "keywords"]'))
                  WITH ORDINALITY AS p(name, n)),
            pgstac.q_to_tsquery(search->'q')) END)
$$;
COMMENT ON FUNCTION almagest.port_where(jsonb) IS
    'WHERE clause over the columns of items for a STAC search; pgSTAC''s own, so filters mean what they mean there. '
    'Free text reads title, description and keywords, or the properties that q_in lists. '
    'Raises P0001 with a sentence for a search that pgSTAC refuses, 22xxx for malformed values.';


CREATE OR REPLACE FUNCTION almagest.port_property_path(name text, collection_ids text[]) RETURNS text[]
LANGUAGE sql STABLE SET search_path = pgstac, public, pg_temp
AS $$
    SELECT CASE WHEN pgstac.queryable_column(name) IS NULL THEN coalesce((
        SELECT k.keys
        FROM (
            SELECT pgstac.queryable_path_elements(name) AS keys
            UNION ALL
            SELECT r.property_path FROM pgstac.queryables AS r WHERE r.name = pgstac.strip_properties_prefix($1)
        ) AS k
        WHERE pgstac.content_path(k.keys) = q.path
        LIMIT 1), '{}') END
    FROM pgstac.queryable(name, collection_ids) AS q
$$;
COMMENT ON FUNCTION almagest.port_property_path(text, text[]) IS
    'Where in a stored document the values of a name are looked for, in a search of these collections, as keys from the top; '
    'NULL for what has a column of its own and for what is no name at all; empty if that cannot be told.';


CREATE OR REPLACE FUNCTION almagest.port_sort(search jsonb)
RETURNS TABLE ("position" int, expression text, descending boolean, nullable boolean)
LANGUAGE sql STABLE SET search_path = pgstac, public, pg_temp
AS $$
    SELECT s.n::int,
           q.expression,
           pgstac.parse_sort_dir(s.value->>'direction') = 'DESC',
           q.expression NOT IN ('id', 'collection', 'datetime', 'end_datetime', 'geometry')
    FROM jsonb_array_elements(pgstac.sortby_with_tiebreakers(search->'sortby')) WITH ORDINALITY AS s(value, n),
         LATERAL pgstac.queryable(s.value->>'field', pgstac.to_text_array(search->'collections')) AS q
    ORDER BY s.n
$$;
COMMENT ON FUNCTION almagest.port_sort(jsonb) IS
    'Sort keys of a search in order, tie-breakers (collection, id) included, as SQL over the columns of items. '
    'Raises P0001 for a malformed sortby.';


CREATE OR REPLACE FUNCTION almagest.port_order_by(search jsonb, backward boolean DEFAULT false) RETURNS text
LANGUAGE sql STABLE SET search_path = pgstac, public, pg_temp
AS $$
    SELECT string_agg(k.expression || CASE WHEN k.descending <> backward THEN ' DESC' ELSE ' ASC' END, ', '
                      ORDER BY k.position)
    FROM almagest.port_sort(search) AS k
$$;
COMMENT ON FUNCTION almagest.port_order_by(jsonb, boolean) IS
    'ORDER BY list of a search; backward reverses every key, and with it where NULLs stand.';


CREATE OR REPLACE FUNCTION almagest.port_base_item(collection_id text, tag text) RETURNS jsonb
LANGUAGE plpgsql STABLE SET search_path = pgstac, public, pg_temp
AS $$
DECLARE
    base jsonb;
BEGIN
    IF tag IS NULL OR tag ~ '^\d{1,9}$' THEN
        base := pgstac.collection_base_item(collection_id, tag::int);
    END IF;
    -- A tag that names nothing: pgSTAC falls back to the present base item, and so do we.
    RETURN coalesce(base, (SELECT c.base_item FROM pgstac.collections c WHERE c.id = collection_id));
END;
$$;
COMMENT ON FUNCTION almagest.port_base_item(text, text) IS
    'What a stored item of this collection hydrates against; tag is its pgstac:base_item, NULL for the first one.';


CREATE OR REPLACE FUNCTION almagest.item_text(id text, collection text, geometry text, others jsonb) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $$
    -- Text is glued, not parsed and printed again.
    SELECT '{"type":"Feature","id":' || to_json(id) || ',"collection":' || to_json(collection) || ',"geometry":' || geometry
        || coalesce(',' || nullif(substr(others::text, 2), '}'), '}')
$$;
COMMENT ON FUNCTION almagest.item_text(text, text, text, jsonb) IS
    'An item as JSON text. geometry: as GeoJSON; others: the members that are not named here.';


CREATE OR REPLACE FUNCTION almagest.port_item_text(
    id text, collection text, geometry geometry, content jsonb, fields jsonb
) RETURNS text
LANGUAGE sql STABLE
AS $$
    SELECT CASE
        WHEN fields IS NULL THEN
            -- content never holds the other four members.
            almagest.item_text(id, collection, ST_AsGeoJSON(geometry, 20), content - 'pgstac:base_item')
        ELSE pgstac.jsonb_fields(
            jsonb_build_object('type', 'Feature', 'id', id, 'collection', collection,
                               'geometry', ST_AsGeoJSON(geometry, 20)::jsonb)
            || (content - 'pgstac:base_item'), fields)::text
    END
$$;
COMMENT ON FUNCTION almagest.port_item_text(text, text, geometry, jsonb, jsonb) IS
    'A stored item as JSON text, not yet hydrated; fields is the fields extension''s object or NULL for all.';


CREATE OR REPLACE FUNCTION almagest.port_page_query(
    predicate text, order_by text, sort_values text, page_size int, fields jsonb
) RETURNS text
LANGUAGE sql STABLE
AS $$
    SELECT format($query$
        SELECT almagest.port_item_text(r.id, r.collection, r.geometry, r.content, %5$L::jsonb) AS item,
               -- Only where it changes from row to row: pages are mostly of one collection.
               CASE WHEN (r.collection, r.content->>'pgstac:base_item')
                         IS DISTINCT FROM lag((r.collection, r.content->>'pgstac:base_item')) OVER ()
                    THEN almagest.port_fields(almagest.port_base_item(r.collection, r.content->>'pgstac:base_item'),
                                              %5$L::jsonb)::text
               END AS base,
               r.sort_values, r.collection, r.id
        FROM (
            SELECT id, collection, geometry, content, %3$s AS sort_values
            FROM pgstac.items
            WHERE %1$s
            ORDER BY %2$s
            LIMIT %4$s
        ) AS r
    $query$, predicate, order_by, sort_values, page_size, fields)
$$;
COMMENT ON FUNCTION almagest.port_page_query(text, text, text, int, jsonb) IS
    'The one row query behind every search. Rows are formatted after the page is chosen.';


CREATE OR REPLACE FUNCTION almagest.port_marker() RETURNS jsonb
LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $$ SELECT '"𒍟※"'::jsonb $$;
COMMENT ON FUNCTION almagest.port_marker() IS
    'What stands in a stored item for a member that its base item has and the item has not.';


CREATE OR REPLACE FUNCTION almagest.port_fields(document jsonb, fields jsonb) RETURNS jsonb
LANGUAGE sql STABLE SET search_path = pgstac, public, pg_temp
AS $$ SELECT CASE WHEN fields IS NULL THEN document ELSE pgstac.jsonb_fields(document, fields) END $$;
COMMENT ON FUNCTION almagest.port_fields(jsonb, jsonb) IS
    'The fields extension applied to a document; NULL fields leave it whole.';


CREATE OR REPLACE FUNCTION almagest.port_item(collection_id text, item_id text)
RETURNS TABLE (item text, base text)
LANGUAGE plpgsql STABLE SET search_path = pgstac, public, pg_temp
SET plan_cache_mode = force_generic_plan -- to plan for all partitions takes much longer than to look
AS $$
BEGIN
    RETURN QUERY
    SELECT almagest.port_item_text(i.id, i.collection, i.geometry, i.content, NULL),
           almagest.port_base_item(i.collection, i.content->>'pgstac:base_item')::text
    FROM pgstac.items AS i
    WHERE i.collection = collection_id AND i.id = item_id
    LIMIT 1;
END;
$$;
COMMENT ON FUNCTION almagest.port_item(text, text) IS
    'One stored item and its base item as text; no row if there is none.';


CREATE OR REPLACE FUNCTION almagest.port_joined(item jsonb, base jsonb) RETURNS jsonb
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE SET search_path = almagest, pg_temp
AS $$
DECLARE
    result jsonb;
BEGIN
    IF item IS NULL THEN
        RETURN base;
    ELSIF item = almagest.port_marker() THEN
        RETURN NULL;
    ELSIF jsonb_typeof(item) = 'object' AND jsonb_typeof(base) = 'object' THEN
        SELECT coalesce(jsonb_object_agg(m.key, m.value), '{}') INTO result
        FROM (
            SELECT k.key, almagest.port_joined(item->k.key, base->k.key) AS value
            FROM jsonb_object_keys(base || item) AS k(key)
        ) AS m
        WHERE m.value IS NOT NULL;
        RETURN result;
    ELSIF jsonb_typeof(item) = 'array' AND jsonb_typeof(base) = 'array'
          AND jsonb_array_length(item) = jsonb_array_length(base) THEN
        SELECT coalesce(jsonb_agg(almagest.port_joined(item->n, base->n) ORDER BY n), '[]') INTO result
        FROM generate_series(0, jsonb_array_length(item) - 1) AS n;
        RETURN result;
    END IF;
    RETURN item;
END;
$$;
COMMENT ON FUNCTION almagest.port_joined(jsonb, jsonb) IS
    'A stored value joined with that of the base item; NULL where it is marked as missing. Unlike pgSTAC''s own, it keeps nulls.';


CREATE OR REPLACE FUNCTION almagest.port_hydrate(item jsonb, base jsonb) RETURNS jsonb
LANGUAGE plpgsql STABLE SET search_path = almagest, pg_temp
AS $$
DECLARE
    document CONSTANT jsonb := almagest.port_joined(
        item, (SELECT jsonb_object_agg(key, value) FROM jsonb_each(base) WHERE value <> 'null'));
BEGIN
    RETURN CASE WHEN jsonb_typeof(document) = 'object' THEN almagest.port_whole(document) ELSE document END;
END;
$$;
COMMENT ON FUNCTION almagest.port_hydrate(jsonb, jsonb) IS
    'A stored item joined with its base item, as readers see it. For single documents; pages are hydrated by the reader.';


CREATE OR REPLACE FUNCTION almagest.port_item_keys() RETURNS TABLE (collection text, id text)
LANGUAGE sql STABLE -- without settings, so that it is planned as part of the statement that asks
AS $$ SELECT i.collection, i.id FROM pgstac.items AS i $$;
COMMENT ON FUNCTION almagest.port_item_keys() IS 'Every item that is stored, by name.';


CREATE OR REPLACE FUNCTION almagest.port_row(collection_id text, item_id text)
RETURNS TABLE (datetime timestamptz, end_datetime timestamptz, geometry geometry, content jsonb)
LANGUAGE plpgsql STABLE SET search_path = pgstac, public, pg_temp SET plan_cache_mode = force_generic_plan
AS $$
BEGIN
    RETURN QUERY
    SELECT i.datetime, i.end_datetime, i.geometry, i.content
    FROM pgstac.items AS i WHERE i.collection = collection_id AND i.id = item_id LIMIT 1;
END;
$$;
COMMENT ON FUNCTION almagest.port_row(text, text) IS 'The row of an item as it is stored.';
