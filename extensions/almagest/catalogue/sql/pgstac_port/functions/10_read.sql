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


CREATE OR REPLACE FUNCTION almagest.port_place(search jsonb) RETURNS jsonb
LANGUAGE plpgsql STABLE SET search_path = pgstac, public, pg_temp
AS $$
DECLARE
    corners CONSTANT float8[] := (SELECT array_agg(c::float8) FROM jsonb_array_elements_text(search->'bbox') AS c);
    half CONSTANT int := cardinality(corners) / 2;
BEGIN
    -- Of a box with heights PostGIS makes a body, which no footprint can be compared with.
    IF half = 3 THEN
        search := search || jsonb_build_object('bbox', ARRAY[corners[1], corners[2], corners[4], corners[5]]);
    END IF;
    -- pgSTAC takes a bbox across the antimeridian for the one round the rest of the globe.
    IF half IN (2, 3) AND corners[1] > corners[half + 1] AND NOT search ? 'intersects' THEN
        search := search || jsonb_build_object('intersects', public.ST_AsGeoJSON(public.ST_Collect(
            public.ST_MakeEnvelope(corners[1], corners[2], 180, corners[half + 2]),
            public.ST_MakeEnvelope(-180, corners[2], corners[half + 1], corners[half + 2])), 15));
    END IF;
    RETURN search;
END;
$$;
COMMENT ON FUNCTION almagest.port_place(jsonb) IS 'A search with its bbox as pgSTAC must be told it.';


CREATE OR REPLACE FUNCTION almagest.port_where(search jsonb) RETURNS text
LANGUAGE plpgsql STABLE SET search_path = pgstac, public, pg_temp
AS $$
DECLARE
    asked jsonb := almagest.port_place(search - '{conf,token,limit,fields,sortby,q,q_in}'::text[]);
    predicate text;
BEGIN
    IF NOT search ? 'filter' THEN
        asked := asked || '{"filter-lang": "cql2-json"}'; -- or it looks up which one goes without saying
    END IF;
    predicate := pgstac.stac_search_to_where(asked);
    IF search ? 'q' THEN
        -- pgSTAC's own predicate is NULL, and so never true, for an item without a description.
        predicate := predicate || format(
            $predicate$ AND to_tsvector('english', concat_ws(' ', NULL%s)) @@ %L$predicate$,
            (SELECT string_agg(format($property$, (%s)#>>'{}'$property$, almagest.port_content_path(ARRAY['properties', name])),
                               '' ORDER BY n)
             FROM jsonb_array_elements_text(coalesce(search->'q_in', '["title", "description", "keywords"]'))
                  WITH ORDINALITY AS p(name, n)),
            pgstac.q_to_tsquery(search->'q'));
    END IF;
    RETURN predicate;
END;
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


CREATE OR REPLACE FUNCTION almagest.port_sort_keys(
    search jsonb, OUT expressions text[], OUT descending boolean[], OUT nullable boolean[]
)
LANGUAGE plpgsql STABLE SET search_path = pgstac, public, pg_temp
AS $$
BEGIN
    IF coalesce(search->'sortby', '[]') IN ('[]', 'null') THEN -- as nearly always
        expressions := '{datetime,collection,id}'; descending := '{t,t,t}'; nullable := '{f,f,f}';
        RETURN;
    END IF;
    SELECT array_agg(k.expression ORDER BY k.n),
           array_agg(pgstac.parse_sort_dir(k.direction) = 'DESC' ORDER BY k.n),
           array_agg(k.expression NOT IN ('id', 'collection', 'datetime', 'end_datetime', 'geometry') ORDER BY k.n)
    INTO expressions, descending, nullable
    FROM (
        SELECT s.n, s.value->>'direction' AS direction, coalesce(
            pgstac.queryable_column(s.value->>'field'),
            -- Only what has no column of its own: to look it up takes longer than to read a row.
            (SELECT q.expression FROM pgstac.queryable(s.value->>'field', pgstac.to_text_array(search->'collections')) AS q)
        ) AS expression
        FROM jsonb_array_elements(pgstac.sortby_with_tiebreakers(search->'sortby')) WITH ORDINALITY AS s(value, n)
    ) AS k
    WHERE k.expression IS NOT NULL;
END;
$$;
COMMENT ON FUNCTION almagest.port_sort_keys(jsonb) IS
    'Sort keys of a search in order, tie-breakers (collection, id) included, as SQL over the columns of items. '
    'Raises P0001 for a malformed sortby.';


CREATE OR REPLACE FUNCTION almagest.port_periods(search jsonb, span tstzrange, latest_first boolean)
RETURNS SETOF tstzrange
LANGUAGE plpgsql STABLE SET search_path = pgstac, public, pg_temp
AS $$
DECLARE
    few CONSTANT int := 16; -- planned for in two milliseconds
    collection_ids CONSTANT text[] := CASE WHEN search ? 'collections' THEN pgstac.to_text_array(search->'collections') END;
    starts timestamptz[];
BEGIN
    IF search ? 'datetime' THEN
        -- Where something begins says nothing of where it ends.
        span := span * tstzrange(NULL, upper(pgstac.parse_dtrange(search->'datetime')), '[]');
    END IF;
    starts := ARRAY(
        SELECT lower(p.partition_dtrange) FROM pgstac.partition_stats AS p
        WHERE (collection_ids IS NULL OR p.collection = ANY (collection_ids)) AND p.partition_dtrange && span
          AND lower(p.partition_dtrange) > '-infinity'); -- the others have all that their collection has
    IF cardinality(starts) <= few THEN
        RETURN NEXT tstzrange(NULL, NULL);
        RETURN;
    END IF;
    RETURN QUERY
    WITH shelved AS (
        SELECT u.start, floor(ln(1 + sum(count(*)) OVER (
                   ORDER BY extract(epoch FROM u.start) * CASE WHEN latest_first THEN -1 ELSE 1 END) / few::float8)
                   / ln(2::float8)) AS shelf
        FROM unnest(starts) AS u(start)
        GROUP BY u.start
    ), shelves AS (
        SELECT s.shelf, min(s.start) AS start FROM shelved AS s GROUP BY s.shelf
    )
    SELECT tstzrange(CASE WHEN row_number() OVER in_time > 1 THEN s.start END, lead(s.start) OVER in_time)
    FROM shelves AS s
    WINDOW in_time AS (ORDER BY s.start)
    ORDER BY s.shelf;
END;
$$;
COMMENT ON FUNCTION almagest.port_periods(jsonb, tstzrange, boolean) IS
    'All time, cut where partitions begin, in the order in which a search by time meets it: the first period has a few of the '
    'partitions that it may find something in, each further one twice as many. span: what lies beyond is not asked for, and not '
    'cut. PostgreSQL plans for each partition of a period, which takes longer than to look into it.';


CREATE OR REPLACE FUNCTION almagest.port_base_item(collection_id text, tag text) RETURNS jsonb
LANGUAGE plpgsql STABLE SET search_path = pgstac, public, pg_temp
AS $$
DECLARE
    base jsonb;
BEGIN
    -- As pgSTAC's own collection_base_item finds it, with plans that are kept.
    IF tag IS NULL THEN
        SELECT b.base_item INTO base FROM pgstac.base_items AS b WHERE b.collection = collection_id ORDER BY b.id LIMIT 1;
    ELSIF tag ~ '^\d{1,9}$' THEN
        SELECT b.base_item INTO base FROM pgstac.base_items AS b WHERE b.collection = collection_id AND b.id = tag::int;
    END IF;
    IF base IS NULL THEN
        -- A tag that names nothing: pgSTAC falls back to the present base item, and so do we.
        SELECT c.base_item INTO base FROM pgstac.collections AS c WHERE c.id = collection_id;
    END IF;
    RETURN base;
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


CREATE OR REPLACE FUNCTION almagest.port_item_text(id text, collection text, geometry geometry, content jsonb) RETURNS text
LANGUAGE sql STABLE
AS $$
    -- content never holds the other four members.
    SELECT almagest.item_text(id, collection, ST_AsGeoJSON(geometry, 20), content - 'pgstac:base_item')
$$;
COMMENT ON FUNCTION almagest.port_item_text(text, text, geometry, jsonb) IS 'A stored item as JSON text, not yet hydrated.';


CREATE OR REPLACE FUNCTION almagest.port_page_query(predicate text, order_by text, sort_values text, page_size int) RETURNS text
LANGUAGE sql STABLE
AS $$
    SELECT format($query$
        SELECT r.content::text,
               -- Only where it changes from row to row: pages are mostly of one collection.
               CASE WHEN (r.collection, r.content->>'pgstac:base_item')
                         IS DISTINCT FROM lag((r.collection, r.content->>'pgstac:base_item')) OVER ()
                    THEN coalesce(almagest.port_base_item(r.collection, r.content->>'pgstac:base_item')::text, '{}')
               END,
               %3$s, r.collection, r.id, ST_AsGeoJSON(r.geometry, 20)
        FROM (
            SELECT id, collection, datetime, end_datetime, geometry, content
            FROM pgstac.items
            WHERE %1$s
            ORDER BY %2$s
            LIMIT %4$s
        ) AS r
    $query$, predicate, order_by, sort_values, page_size)
$$;
COMMENT ON FUNCTION almagest.port_page_query(text, text, text, int) IS
    'The one row query behind every search. Rows are formatted after the page is chosen, and what the reader can put together '
    'is not glued to a text here.';


CREATE OR REPLACE FUNCTION almagest.port_marker() RETURNS jsonb
LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $$ SELECT '"𒍟※"'::jsonb $$;
COMMENT ON FUNCTION almagest.port_marker() IS
    'What stands in a stored item for a member that its base item has and the item has not.';


CREATE OR REPLACE FUNCTION almagest.port_require_tables(collection_ids text[]) RETURNS void
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    -- Names are looked up as they are at this moment, rows of pg_class as they were when the statement began.
    IF EXISTS (
        SELECT FROM pgstac.collections AS c
        JOIN pg_class AS t ON t.relnamespace = 'pgstac'::regnamespace AND t.relname = '_items_' || c.key
        WHERE (collection_ids IS NULL OR c.id = ANY (collection_ids))
          AND to_regclass('pgstac._items_' || c.key) IS DISTINCT FROM t.oid
    ) THEN
        RAISE serialization_failure USING
            MESSAGE = 'Items have been put into other tables while they were read.', HINT = 'Ask once more.';
    END IF;
END;
$$;
COMMENT ON FUNCTION almagest.port_require_tables(text[]) IS
    'To be called in the same statement by which items of these collections (NULL: of all) were read before. Raises 40001 where '
    'pgSTAC has dropped their tables since the statement began, and made others: it waits for them, and then sees no row of what '
    'came later. So nothing follows from what it did not find.';


CREATE OR REPLACE FUNCTION almagest.port_hold_tables() RETURNS void
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    LOCK TABLE ONLY pgstac.items IN ACCESS SHARE MODE; -- which a partition is taken from, and given to, by nobody else
END;
$$;
COMMENT ON FUNCTION almagest.port_hold_tables() IS
    'Where port_require_tables has to be called after a statement, this may be called before it: no tables of items are dropped '
    'or made until the transaction ends.';


CREATE OR REPLACE FUNCTION almagest.port_item(collection_id text, item_id text)
RETURNS TABLE (item text, base text)
LANGUAGE plpgsql STABLE SET search_path = pgstac, public, pg_temp
SET plan_cache_mode = force_generic_plan -- to plan for all partitions takes much longer than to look
AS $$
BEGIN
    RETURN QUERY
    SELECT almagest.port_item_text(i.id, i.collection, i.geometry, i.content),
           almagest.port_base_item(i.collection, i.content->>'pgstac:base_item')::text
    FROM pgstac.items AS i
    WHERE i.collection = collection_id AND i.id = item_id
    LIMIT 1;
    IF NOT FOUND THEN
        PERFORM almagest.port_require_tables(ARRAY[collection_id]);
    END IF;
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
    IF NOT FOUND THEN
        PERFORM almagest.port_require_tables(ARRAY[collection_id]);
    END IF;
END;
$$;
COMMENT ON FUNCTION almagest.port_row(text, text) IS 'The row of an item as it is stored.';
