-- Searches of outsiders: what they may name, and which collections they reach.

CREATE OR REPLACE FUNCTION almagest.is_public_path(keys text[], policy almagest.audience_policy) RETURNS boolean
LANGUAGE sql STABLE SET search_path = almagest, pg_temp
AS $$
    SELECT cardinality(keys) > 1 AND keys[1] = 'properties' AND NOT EXISTS (
        SELECT FROM unnest(keys[2:]) AS k(key)
        WHERE k.key = 'href' OR almagest.is_hidden_name(k.key, policy.hidden_properties))
      -- A name with dots in it may be the name of one property.
      AND NOT almagest.is_hidden_name(array_to_string(keys[2:], '.'), policy.hidden_properties)
$$;
COMMENT ON FUNCTION almagest.is_public_path(text[], almagest.audience_policy) IS
    'Whether outsiders may ask for what stands at this place in a stored document.';


CREATE OR REPLACE FUNCTION almagest.check_public_name(
    name text, purpose text, about text, ids text[], policy almagest.audience_policy
) RETURNS void
LANGUAGE plpgsql STABLE SET search_path = almagest, pg_temp
AS $$
DECLARE
    keys text[] := almagest.port_property_path(name, ids);
BEGIN
    IF strpos(name, '''') > 0 THEN
        RAISE EXCEPTION '%: `%` cannot be asked for here: no name holds a quotation mark.', purpose, left(name, 100);
    END IF;
    -- No keys: a column of its own, that is an id, a time or the geometry.
    IF keys IS NULL OR almagest.is_public_path(keys, policy) AND cardinality(keys) = (CASE
        -- Collections are searched as if all their members were properties.
        WHEN about = 'collections' AND keys[2] = 'summaries' THEN 3
        WHEN about = 'collections' AND keys[2] IN ('assets', 'item_assets', 'links', 'properties') THEN NULL
        -- No deeper: what stands beside a hidden href is hidden too.
        ELSE 2 END)
    THEN
        RETURN;
    END IF;
    RAISE EXCEPTION '%: `%` cannot be asked for here. Name id, collection, geometry, a datetime or a visible property.',
        purpose, left(name, 100);
END;
$$;
COMMENT ON FUNCTION almagest.check_public_name(text, text, text, text[], almagest.audience_policy) IS
    'Raises P0001 unless outsiders may filter and sort by a name. about: items or collections.';


CREATE OR REPLACE FUNCTION almagest.check_public_fields(fields jsonb, policy almagest.audience_policy) RETURNS void
LANGUAGE plpgsql STABLE SET search_path = almagest, pg_temp
AS $$
DECLARE
    name text;
    keys text[];
BEGIN
    FOR name IN SELECT jsonb_path_query(fields, '$.*[*]') #>> '{}' LOOP
        keys := string_to_array(name, '.');
        -- What is cut out of a thing has no href any more by which it would be judged.
        IF cardinality(keys) > (CASE WHEN keys[1] IN ('properties', 'summaries') THEN 2 ELSE 1 END) OR EXISTS (
            SELECT FROM unnest(keys || name) AS k(key)
            WHERE k.key = 'href' OR almagest.is_hidden_name(k.key, policy.hidden_properties)
        ) THEN
            RAISE EXCEPTION 'fields: `%` cannot be asked for here. Name a whole member or a visible property.', left(name, 100);
        END IF;
    END LOOP;
END;
$$;
COMMENT ON FUNCTION almagest.check_public_fields(jsonb, almagest.audience_policy) IS
    'Raises P0001 unless outsiders may choose these fields.';


CREATE OR REPLACE FUNCTION almagest.search_names(search jsonb) RETURNS TABLE (purpose text, name text)
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp
AS $$
    SELECT DISTINCT named.*
    FROM (
        SELECT 'filter', jsonb_path_query(search->'filter', '$.**.property') #>> '{}'
        UNION ALL
        SELECT 'query', jsonb_object_keys(CASE WHEN jsonb_typeof(search->'query') = 'object' THEN search->'query' END)
        UNION ALL
        -- An object where a value belongs would become part of the filter.
        SELECT 'query', jsonb_path_query(search->'query', '$.**.property') #>> '{}'
        UNION ALL
        SELECT 'sortby', jsonb_path_query(search->'sortby', '$[*].field') #>> '{}'
    ) AS named(purpose, name)
    WHERE named.name IS NOT NULL
$$;
COMMENT ON FUNCTION almagest.search_names(jsonb) IS
    'What a search filters and sorts by, and where it says so. It looks at what pgSTAC would look at: at any depth.';


CREATE OR REPLACE FUNCTION almagest.check_public_names(
    search jsonb, about text, ids text[], policy almagest.audience_policy
) RETURNS void
LANGUAGE plpgsql STABLE SET search_path = almagest, pg_temp
AS $$
BEGIN
    IF search ?| '{filter,query,sortby}' THEN
        PERFORM almagest.check_public_name(named.name, named.purpose, about, ids, policy)
        FROM almagest.search_names(search) AS named;
    END IF;
    IF search ? 'fields' THEN
        PERFORM almagest.check_public_fields(search->'fields', policy);
    END IF;
END;
$$;
COMMENT ON FUNCTION almagest.check_public_names(jsonb, text, text[], almagest.audience_policy) IS
    'Raises P0001 where a search names what outsiders may not ask for.';


CREATE OR REPLACE FUNCTION almagest.read_paths(search jsonb) RETURNS SETOF text[]
LANGUAGE plpgsql STABLE SET search_path = almagest, pg_temp
AS $$
BEGIN
    IF NOT search ?| '{filter,query,sortby,q}' THEN
        RETURN;
    END IF;
    RETURN QUERY
    SELECT almagest.port_property_path(
        named.name, ARRAY(SELECT jsonb_array_elements_text(search->'collections')))
    FROM almagest.search_names(search) AS named
    UNION
    SELECT ARRAY['properties', q.name]
    FROM jsonb_array_elements_text(coalesce(search->'q_in', '["title", "description", "keywords"]')) AS q(name)
    WHERE search ? 'q';
END;
$$;
COMMENT ON FUNCTION almagest.read_paths(jsonb) IS
    'What a narrowed search reads of the content of stored documents, as keys from the top.';


CREATE OR REPLACE FUNCTION almagest.public_property(value jsonb, suspicion text) RETURNS jsonb
LANGUAGE sql STABLE SET search_path = almagest, pg_temp
AS $$
    SELECT CASE WHEN value::text ~* suspicion
                THEN almagest.public_value(value, 'entry', NULL, almagest.audience_policy(), suspicion) ELSE value END
$$;
COMMENT ON FUNCTION almagest.public_property(jsonb, text) IS 'What is left of the value of a property for outsiders.';


CREATE OR REPLACE FUNCTION almagest.as_outsiders_read(statement text, search jsonb, suspicion text) RETURNS text
LANGUAGE plpgsql STABLE SET search_path = almagest, pg_temp
AS $$
DECLARE
    keys text[];
    path text;
    shown text;
    reader text;
BEGIN
    FOR keys IN SELECT r.keys FROM almagest.read_paths(search) AS r(keys) WHERE r.keys IS NOT NULL LOOP
        path := almagest.port_content_path(keys);
        -- A literal cannot be mistaken for a path: its quotes are doubled. One path is the beginning of no other, since no
        -- name with a quote in it gets as far as this.
        shown := format(
            $case$(CASE WHEN jsonb_typeof(%1$s) IN ('array', 'object') THEN almagest.public_property(%1$s, %2$L) ELSE %1$s END)$case$,
            path, suspicion);
        statement := replace(statement, path, shown);
        IF almagest.port_has_index_of_numbers(keys) THEN
            -- An index is of use only to the expression that it was made for, and of lists and objects a number says nothing.
            -- Where the same path is read as something else, it is read as outsiders see it.
            FOREACH reader IN ARRAY '{to_int,to_float,to_tstz}'::text[] LOOP
                statement := replace(statement, reader || '(' || shown || ')', reader || '(' || path || ')');
            END LOOP;
        END IF;
    END LOOP;
    RETURN statement;
END;
$$;
COMMENT ON FUNCTION almagest.as_outsiders_read(text, jsonb, text) IS
    'The statement of a narrowed search, so that it sees of lists and objects what outsiders see: to pgSTAC they are text, '
    'with all that stands in them.';


CREATE OR REPLACE FUNCTION almagest.public_search(
    search jsonb, policy almagest.audience_policy, OUT narrowed jsonb, OUT is_empty boolean
)
LANGUAGE plpgsql STABLE SET search_path = almagest, pg_temp
AS $$
DECLARE
    ids text[];
    name text;
BEGIN
    IF jsonb_typeof(search) IS DISTINCT FROM 'object' THEN
        RAISE EXCEPTION 'A search is a JSON object.';
    END IF;
    narrowed := '{}';
    FOREACH name IN ARRAY '{ids,datetime,bbox,intersects,filter,filter-lang,query,q,sortby,fields}'::text[] LOOP
        IF search ? name THEN
            narrowed := narrowed || jsonb_build_object(name, search->name);
        END IF;
    END LOOP;
    IF search ? 'collections' THEN
        ids := ARRAY(SELECT jsonb_path_query(search->'collections', '$[*]') #>> '{}');
    END IF;
    ids := almagest.visible_collections(ids);
    is_empty := ids = '{}';
    IF is_empty THEN
        -- pgSTAC takes an empty list for all collections in some places; this one names none that anybody would make.
        ids := ARRAY[E'\\x01'];
    END IF;
    PERFORM almagest.check_public_names(narrowed, 'items', ids, policy);
    narrowed := narrowed || jsonb_build_object('collections', ids);
    IF narrowed ? 'q' THEN
        narrowed := narrowed || jsonb_build_object('q_in', (
            SELECT coalesce(jsonb_agg(word), '[]')
            FROM unnest(ARRAY['title', 'description', 'keywords']) AS n(word)
            WHERE NOT almagest.is_hidden_name(word, policy.hidden_properties)));
    END IF;
END;
$$;
COMMENT ON FUNCTION almagest.public_search(jsonb, almagest.audience_policy) IS
    'An item search narrowed to what outsiders may name and reach. is_empty: it reaches no collection, though it may still '
    'be refused as malformed. Raises P0001.';


CREATE OR REPLACE FUNCTION almagest.public_collection_search(search jsonb, policy almagest.audience_policy) RETURNS jsonb
LANGUAGE plpgsql STABLE SET search_path = almagest, pg_temp
AS $$
DECLARE
    ids text[];
    narrowed jsonb;
BEGIN
    IF jsonb_typeof(search) IS DISTINCT FROM 'object' THEN
        RAISE EXCEPTION 'A search is a JSON object.';
    END IF;
    SELECT coalesce(jsonb_object_agg(key, value), '{}') INTO narrowed
    FROM jsonb_each(search)
    WHERE key IN ('datetime', 'bbox', 'intersects', 'filter', 'filter-lang', 'query', 'q', 'sortby', 'fields', 'limit', 'offset');
    IF narrowed ? 'q' AND EXISTS (
        SELECT FROM unnest(ARRAY['title', 'description', 'keywords']) AS n(name)
        WHERE almagest.is_hidden_name(name, policy.hidden_properties)
    ) THEN
        RAISE EXCEPTION 'q: free text reads titles, descriptions and keywords of collections, and not all of these are visible.';
    END IF;
    ids := almagest.visible_collections(CASE WHEN search ? 'ids' THEN
        ARRAY(SELECT jsonb_path_query(search->'ids', '$[*]') #>> '{}') END);
    -- To pgSTAC, collections are items of a collection called so; with these ids beside it, names mean what they mean for them.
    PERFORM almagest.check_public_names(narrowed, 'collections', ARRAY['collections'] || ids, policy);
    RETURN narrowed || jsonb_build_object('ids', ids, 'collections', ARRAY['collections'] || ids);
END;
$$;
COMMENT ON FUNCTION almagest.public_collection_search(jsonb, almagest.audience_policy) IS
    'A collection search narrowed to what outsiders may name and reach. Raises P0001.';


CREATE OR REPLACE FUNCTION almagest.public_collections(ids jsonb) RETURNS TABLE (
    id text, geometry geometry, collection text, datetime timestamptz, end_datetime timestamptz, content jsonb,
    collectionjson jsonb
)
LANGUAGE sql STABLE SET search_path = almagest, public, pg_temp
AS $$
    SELECT c.id, c.geometry, 'collections', c.datetime, c.end_datetime,
           jsonb_build_object('properties', d.document - '{links,assets,stac_version,stac_extensions}'::text[]), d.document
    FROM (SELECT p AS policy, almagest.suspicion(p) AS suspicion FROM almagest.audience_policy() AS p) AS s,
         almagest.port_collections_as_items(ARRAY(SELECT jsonb_array_elements_text(ids))) AS c,
         LATERAL almagest.public_document(c.document, 'collection', s.policy, s.suspicion) AS d(document)
$$;
COMMENT ON FUNCTION almagest.public_collections(jsonb) IS
    'What is left for outsiders of these collections, with the columns by which pgSTAC searches collections.';


CREATE OR REPLACE FUNCTION almagest.public_page(
    narrowed jsonb, anchor jsonb, backward boolean, page_size int, reads_content boolean,
    policy almagest.audience_policy, suspicion text
) RETURNS TABLE (item text, base text, sort_values jsonb, collection text, id text, geometry text)
LANGUAGE plpgsql STABLE SET search_path = pgstac, almagest, public, pg_temp
AS $$
DECLARE
    period tstzrange;
    statement text;
    base_of_row text;
    base_is_suspect boolean := false;
BEGIN
    FOR period IN SELECT p FROM almagest.search_periods(narrowed, anchor, backward) AS p LOOP
        statement := almagest.search_query(narrowed, anchor, backward, page_size, period);
        IF reads_content THEN
            statement := almagest.as_outsiders_read(statement, narrowed, suspicion);
        END IF;
        FOR item, base, sort_values, collection, id, geometry IN EXECUTE statement LOOP
            IF base IS NOT NULL THEN -- stands only where it differs from the row before
                base_of_row := base;
                base_is_suspect := base ~* suspicion;
                IF base_is_suspect THEN
                    base := almagest.public_document(base::jsonb, 'base', policy, suspicion)::text;
                END IF;
            END IF;
            IF base_is_suspect OR item ~* suspicion THEN
                item := almagest.public_item(item::jsonb, base_of_row::jsonb, collection, id, policy, suspicion)::text;
            END IF;
            RETURN NEXT;
            page_size := page_size - 1;
        END LOOP;
        EXIT WHEN page_size <= 0;
    END LOOP;
    PERFORM almagest.require_whole(narrowed);
END;
$$;
COMMENT ON FUNCTION almagest.public_page(jsonb, jsonb, boolean, int, boolean, almagest.audience_policy, text) IS
    'The page of a narrowed search, with what outsiders see of each item.';
