-- All that the external audience can call. Named and shaped like the functions of schema almagest that the services call,
-- so that the same program serves both audiences. Each runs as almagest_external_definer, with its settings pinned: a
-- session may set what it likes. Pruning is pinned too: with it, rows of hidden collections are never even looked at.

CREATE OR REPLACE FUNCTION external.port_version() RETURNS text
LANGUAGE sql STABLE SECURITY DEFINER
SET search_path = almagest, pg_temp
SET standard_conforming_strings = on SET client_min_messages = error
AS $$ SELECT almagest.port_version() $$;
COMMENT ON FUNCTION external.port_version() IS 'Version of the installed pgSTAC.';


CREATE OR REPLACE FUNCTION external.search_page(
    search jsonb, anchor jsonb, backward boolean, page_size int
) RETURNS TABLE (item text, base text, sort_values jsonb, collection text, id text, geometry text)
LANGUAGE plpgsql STABLE SECURITY DEFINER
SET search_path = pgstac, almagest, public, pg_temp SET enable_partition_pruning = on
SET standard_conforming_strings = on SET client_min_messages = error
AS $$
DECLARE
    policy almagest.audience_policy := almagest.audience_policy();
    suspicion text := almagest.suspicion(policy);
    narrowed jsonb;
    is_empty boolean;
BEGIN
    SELECT s.narrowed, s.is_empty INTO narrowed, is_empty FROM almagest.public_search(search, policy) AS s;
    IF is_empty THEN
        RETURN;
    END IF;
    IF NOT EXISTS (SELECT FROM almagest.read_paths(narrowed) AS keys WHERE keys IS NOT NULL) THEN
        -- Apart, because a block that catches errors costs a quarter of what ten items do.
        RETURN QUERY SELECT * FROM almagest.public_page(narrowed, anchor, backward, page_size, false, policy, suspicion);
        RETURN;
    END IF;
    BEGIN
        RETURN QUERY SELECT * FROM almagest.public_page(narrowed, anchor, backward, page_size, true, policy, suspicion);
    EXCEPTION WHEN data_exception THEN
        -- The message would say what the value is, and it may be one that is hidden.
        RAISE EXCEPTION USING ERRCODE = SQLSTATE, MESSAGE = 'A value is not of the kind that the search compares it with.';
    END;
END;
$$;
COMMENT ON FUNCTION external.search_page(jsonb, jsonb, boolean, int) IS
    'As almagest.search_page, for outsiders: of visible collections, by visible names, with what is visible of each item.';


CREATE OR REPLACE FUNCTION external.item_row(collection text, id text) RETURNS TABLE (item text, base text)
LANGUAGE sql STABLE SECURITY DEFINER
SET search_path = almagest, public, pg_temp SET enable_partition_pruning = on
SET standard_conforming_strings = on SET client_min_messages = error
AS $$
    SELECT CASE WHEN r.item ~* s.suspicion OR r.base ~* s.suspicion
                THEN almagest.public_item_text(r.item::jsonb, r.base::jsonb, $1, $2, s.policy, s.suspicion)
                ELSE r.item END,
           almagest.public_document(r.base::jsonb, 'base', s.policy, s.suspicion)::text
    FROM (SELECT p AS policy, almagest.suspicion(p) AS suspicion FROM almagest.audience_policy() AS p) AS s,
         LATERAL almagest.item_row($1, $2) AS r
    WHERE NOT almagest.is_internal($1)
$$;
COMMENT ON FUNCTION external.item_row(text, text) IS 'As almagest.item_row, for outsiders.';


CREATE OR REPLACE FUNCTION external.item_document(collection text, id text) RETURNS jsonb
LANGUAGE sql STABLE SECURITY DEFINER
SET search_path = almagest, public, pg_temp
SET standard_conforming_strings = on SET client_min_messages = error
AS $$ SELECT almagest.port_hydrate(r.item::jsonb, r.base::jsonb) FROM external.item_row($1, $2) AS r $$;
COMMENT ON FUNCTION external.item_document(text, text) IS 'As almagest.item_document, for outsiders.';


CREATE OR REPLACE FUNCTION external.asset_location(
    collection text, item text, key text, OUT location text, OUT media_type text
) RETURNS SETOF record
LANGUAGE sql STABLE SECURITY DEFINER
SET search_path = almagest, public, pg_temp
SET standard_conforming_strings = on SET client_min_messages = error
AS $$
    SELECT a.location, a.media_type
    FROM almagest.asset_location($1, $2, $3) AS a
    JOIN almagest.exposed AS e ON (e.collection, e.item, e.key) = ($1, $2, $3) AND e.location = a.location
    CROSS JOIN almagest.audience_policy() AS p
    WHERE NOT almagest.is_internal($1) AND NOT almagest.is_hidden_name($3, p.hidden_properties)
$$;
COMMENT ON FUNCTION external.asset_location(text, text, text) IS
    'As almagest.asset_location, for outsiders: where an exposed asset lies, as long as it is the one that was exposed.';


CREATE OR REPLACE FUNCTION external.collection_ids() RETURNS SETOF text
LANGUAGE sql STABLE SECURITY DEFINER
SET search_path = almagest, pg_temp
SET standard_conforming_strings = on SET client_min_messages = error
AS $$ SELECT unnest(almagest.visible_collections(NULL)) $$;
COMMENT ON FUNCTION external.collection_ids() IS 'As almagest.collection_ids, for outsiders.';


CREATE OR REPLACE FUNCTION external.collection_document(id text) RETURNS jsonb
LANGUAGE sql STABLE SECURITY DEFINER
SET search_path = almagest, pg_temp
SET standard_conforming_strings = on SET client_min_messages = error
AS $$
    SELECT almagest.public_document(almagest.collection_document($1), 'collection', p, almagest.suspicion(p))
    FROM almagest.audience_policy() AS p
    WHERE NOT almagest.is_internal($1)
$$;
COMMENT ON FUNCTION external.collection_document(text) IS 'As almagest.collection_document, for outsiders.';


CREATE OR REPLACE FUNCTION external.collection_page(search jsonb) RETURNS jsonb
LANGUAGE plpgsql STABLE SECURITY DEFINER
SET search_path = almagest, pg_temp
SET standard_conforming_strings = on SET client_min_messages = error
AS $$
DECLARE
    policy almagest.audience_policy := almagest.audience_policy();
    suspicion text := almagest.suspicion(policy);
    narrowed jsonb := almagest.public_collection_search(search, policy);
    -- Every search of ours names the type, which is a word.
    reads_content boolean := EXISTS (SELECT FROM almagest.read_paths(narrowed) AS keys WHERE keys <> '{properties,type}');
    found jsonb;
BEGIN
    IF reads_content THEN
        -- Filters and sorts must see of a collection what outsiders see.
        RETURN almagest.port_collection_search_in(format('almagest.public_collections(%L::jsonb)', narrowed->'ids'), narrowed);
    END IF;
    found := almagest.collection_page(narrowed);
    RETURN jsonb_set(found, '{collections}', (
        SELECT coalesce(jsonb_agg(
            almagest.public_document(c.document, 'collection', policy, suspicion) ORDER BY n), '[]')
        FROM (
            -- Of a member that is not there pgSTAC's fields make a null; of one that is hidden nothing is left.
            SELECT CASE WHEN narrowed ? 'fields' THEN jsonb_strip_nulls(e.document) ELSE e.document END AS document, e.n
            FROM jsonb_array_elements(found->'collections') WITH ORDINALITY AS e(document, n)
        ) AS c));
EXCEPTION WHEN data_exception THEN
    IF NOT reads_content THEN
        RAISE;
    END IF;
    -- The message would say what the value is, and it may be one that is hidden.
    RAISE EXCEPTION USING ERRCODE = SQLSTATE, MESSAGE = 'A value is not of the kind that the search compares it with.';
END;
$$;
COMMENT ON FUNCTION external.collection_page(jsonb) IS 'As almagest.collection_page, for outsiders.';


CREATE OR REPLACE FUNCTION external.queryables(collection_ids text[]) RETURNS jsonb
LANGUAGE sql STABLE SECURITY DEFINER
SET search_path = almagest, pg_temp
SET standard_conforming_strings = on SET client_min_messages = error
AS $$
    SELECT jsonb_set(found, '{properties}', (
        SELECT coalesce(jsonb_object_agg(q.key, q.value), '{}')
        FROM jsonb_each(found->'properties') AS q,
             LATERAL almagest.port_property_path(q.key, ids) AS keys
        WHERE keys IS NULL OR almagest.is_public_path(keys, p)))
    FROM almagest.audience_policy() AS p,
         almagest.visible_collections($1) AS ids,
         LATERAL almagest.queryables(ids) AS found
    -- For pgSTAC, no collections are all.
    WHERE ids <> '{}'
$$;
COMMENT ON FUNCTION external.queryables(text[]) IS 'As almagest.queryables, for outsiders: of visible collections, without hidden names.';


CREATE OR REPLACE FUNCTION external.registered_search(search_id text) RETURNS jsonb
LANGUAGE plpgsql STABLE SECURITY DEFINER
SET search_path = almagest, pg_temp
SET standard_conforming_strings = on SET client_min_messages = error
AS $$
DECLARE
    found jsonb;
BEGIN
    SELECT almagest.registered_search(r.id) INTO found
    FROM almagest.registered_search AS r
    WHERE r.id = search_id AND r.audience = 'public'
      AND NOT EXISTS (SELECT FROM almagest.internal_collections(
          ARRAY(SELECT jsonb_path_query(r.search->'collections', '$[*]') #>> '{}')));
    PERFORM almagest.public_search(found->'search', almagest.audience_policy()) WHERE found IS NOT NULL;
    RETURN found;
EXCEPTION WHEN raise_exception THEN
    RETURN NULL; -- it names what outsiders may not ask for
END;
$$;
COMMENT ON FUNCTION external.registered_search(text) IS
    'As almagest.registered_search, for outsiders: one that was made public and names nothing hidden.';


CREATE OR REPLACE FUNCTION external.mosaic_items(
    search jsonb, geometry_geojson jsonb, max_items int, exit_when_full boolean, skip_covered boolean
) RETURNS TABLE (item text, base text)
LANGUAGE plpgsql STABLE SECURITY DEFINER
SET search_path = pgstac, almagest, public, pg_temp SET enable_partition_pruning = on
SET standard_conforming_strings = on SET client_min_messages = error
AS $$
DECLARE
    policy almagest.audience_policy := almagest.audience_policy();
    suspicion text := almagest.suspicion(policy);
    narrowed jsonb;
    is_empty boolean;
    document jsonb;
    reads_content boolean := false;
    base_of_row text;
    base_is_suspect boolean := false;
BEGIN
    SELECT s.narrowed, s.is_empty INTO narrowed, is_empty FROM almagest.public_search(search, policy) AS s;
    IF is_empty THEN
        RETURN;
    END IF;
    reads_content := EXISTS (SELECT FROM almagest.read_paths(narrowed) AS keys WHERE keys IS NOT NULL);
    FOR item, base IN EXECUTE almagest.as_outsiders_read(
        almagest.mosaic_query(narrowed, geometry_geojson, max_items, exit_when_full, skip_covered), narrowed, suspicion)
    LOOP
        IF base IS NOT NULL THEN
            base_of_row := base;
            base_is_suspect := base ~* suspicion;
            IF base_is_suspect THEN
                base := almagest.public_document(base::jsonb, 'base', policy, suspicion)::text;
            END IF;
        END IF;
        IF base_is_suspect OR item ~* suspicion THEN
            document := item::jsonb;
            item := almagest.public_item(
                document, base_of_row::jsonb, document->>'collection', document->>'id', policy, suspicion)::text;
        END IF;
        RETURN NEXT;
    END LOOP;
EXCEPTION WHEN data_exception THEN
    IF NOT reads_content THEN
        RAISE;
    END IF;
    -- The message would say what the value is, and it may be one that is hidden.
    RAISE EXCEPTION USING ERRCODE = SQLSTATE, MESSAGE = 'A value is not of the kind that the search compares it with.';
END;
$$;
COMMENT ON FUNCTION external.mosaic_items(jsonb, jsonb, int, boolean, boolean) IS 'As almagest.mosaic_items, for outsiders.';
