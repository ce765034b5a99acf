-- What was there at a moment, for outsiders: judged by what they may see today.

CREATE OR REPLACE FUNCTION almagest.visible_collections_at(reached text[], moment timestamptz) RETURNS text[]
LANGUAGE plpgsql STABLE SET search_path = almagest, pg_temp
AS $$
BEGIN
    RETURN ARRAY(SELECT s.id FROM almagest.collection_states_at(reached, moment) AS s ORDER BY s.id);
END;
$$;
COMMENT ON FUNCTION almagest.visible_collections_at(text[], timestamptz) IS
    'Those that were there at a moment, of what public_collections_ever says.';


CREATE OR REPLACE FUNCTION almagest.public_page_at(
    narrowed jsonb, anchor jsonb, backward boolean, page_size int, moment timestamptz, reads_content boolean,
    policy almagest.audience_policy, suspicion text
) RETURNS TABLE (item text, base text, sort_values jsonb, collection text, id text, geometry text)
LANGUAGE plpgsql VOLATILE SET search_path = pgstac, almagest, public, pg_temp
AS $$
DECLARE
    period tstzrange;
    statement text;
    base_of_row text;
    base_is_suspect boolean := false;
    withdrawn jsonb;
BEGIN
    FOR period IN SELECT p FROM almagest.search_periods(narrowed, anchor, backward) AS p LOOP
        statement := almagest.search_query_at(narrowed, anchor, backward, page_size, period, moment);
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
            withdrawn := almagest.withdrawn_assets(collection, id);
            IF withdrawn IS NOT NULL THEN
                item := almagest.without_withdrawn(item::jsonb, base_of_row::jsonb, withdrawn)::text;
            END IF;
            IF base_is_suspect OR item ~* suspicion THEN
                item := almagest.public_item(item::jsonb, base_of_row::jsonb, collection, id, policy, suspicion)::text;
            END IF;
            RETURN NEXT;
            page_size := page_size - 1;
        END LOOP;
        EXIT WHEN page_size <= 0;
    END LOOP;
END;
$$;
COMMENT ON FUNCTION almagest.public_page_at(
    jsonb, jsonb, boolean, int, timestamptz, boolean, almagest.audience_policy, text
) IS 'As public_page, of what was there at a moment; assets that are withdrawn today are gone from what was then, too.';


CREATE OR REPLACE FUNCTION external.search_page_at(
    search jsonb, anchor jsonb, backward boolean, page_size int, moment timestamptz
) RETURNS TABLE (item text, base text, sort_values jsonb, collection text, id text, geometry text)
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pgstac, almagest, public, pg_temp SET enable_partition_pruning = on
SET standard_conforming_strings = on SET client_min_messages = error
AS $$
DECLARE
    policy almagest.audience_policy := almagest.audience_policy();
    suspicion text := almagest.suspicion(policy);
    narrowed jsonb := (SELECT s.narrowed FROM almagest.public_search(search, policy) AS s);
    reached text[];
    ids text[];
BEGIN
    PERFORM almagest.require_stable(moment, true);
    reached := almagest.public_collections_ever(CASE WHEN search ? 'collections' THEN
        ARRAY(SELECT jsonb_path_query(search->'collections', '$[*]') #>> '{}') END);
    PERFORM almagest.require_kept(moment, reached);
    ids := almagest.visible_collections_at(reached, moment);
    IF ids = '{}' THEN
        RETURN;
    END IF;
    -- Names may mean something else to collections that are gone.
    PERFORM almagest.check_public_names(narrowed, 'items', ids, policy);
    narrowed := narrowed || jsonb_build_object('collections', ids);
    IF NOT EXISTS (SELECT FROM almagest.read_paths(narrowed) AS keys WHERE keys IS NOT NULL) THEN
        RETURN QUERY
        SELECT * FROM almagest.public_page_at(narrowed, anchor, backward, page_size, moment, false, policy, suspicion);
    ELSE
        BEGIN
            RETURN QUERY
            SELECT * FROM almagest.public_page_at(narrowed, anchor, backward, page_size, moment, true, policy, suspicion);
        EXCEPTION WHEN data_exception THEN
            -- The message would say what the value is, and it may be one that is hidden.
            RAISE EXCEPTION USING ERRCODE = SQLSTATE, MESSAGE = 'A value is not of the kind that the search compares it with.';
        END;
    END IF;
    PERFORM almagest.require_kept(moment, reached);
END;
$$;
COMMENT ON FUNCTION external.search_page_at(jsonb, jsonb, boolean, int, timestamptz) IS
    'As almagest.search_page_at, for outsiders: of visible collections, by visible names, with what is visible of each item.';


CREATE OR REPLACE FUNCTION external.item_at(of_collection text, of_id text, moment timestamptz)
RETURNS TABLE (item text, base text)
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = almagest, public, pg_temp SET enable_partition_pruning = on
SET standard_conforming_strings = on SET client_min_messages = error
AS $$
BEGIN
    PERFORM almagest.require_stable(moment, true);
    RETURN QUERY SELECT r.item, r.base FROM external.item_row_at(of_collection, of_id, moment) AS r;
    IF NOT FOUND THEN
        PERFORM almagest.require_kept(moment, almagest.public_collections_ever(ARRAY[of_collection]));
    END IF;
END;
$$;
COMMENT ON FUNCTION external.item_at(text, text, timestamptz) IS 'As almagest.item_at, for outsiders.';


CREATE OR REPLACE FUNCTION external.collection_at(of_id text, moment timestamptz) RETURNS text
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = almagest, pg_temp
SET standard_conforming_strings = on SET client_min_messages = error
AS $$
DECLARE
    document jsonb;
BEGIN
    PERFORM almagest.require_stable(moment, true);
    document := external.collection_document_at(of_id, moment);
    IF document IS NULL THEN
        PERFORM almagest.require_kept(moment, almagest.public_collections_ever(ARRAY[of_id]));
    END IF;
    RETURN document::text;
END;
$$;
COMMENT ON FUNCTION external.collection_at(text, timestamptz) IS 'As almagest.collection_at, for outsiders.';


CREATE OR REPLACE FUNCTION almagest.public_collections_at(ids jsonb, moment timestamptz) RETURNS TABLE (
    id text, geometry geometry, collection text, datetime timestamptz, end_datetime timestamptz, content jsonb,
    collectionjson jsonb
)
LANGUAGE sql STABLE SET search_path = almagest, public, pg_temp
AS $$
    WITH there AS (
        SELECT array_agg(s.id) AS ids, array_agg(s.document) AS documents
        FROM almagest.collection_states_at(ARRAY(SELECT jsonb_array_elements_text($1)), $2) AS s
    )
    SELECT c.id, c.geometry, 'collections', c.datetime, c.end_datetime,
           jsonb_build_object('properties', d.document - '{links,assets,stac_version,stac_extensions}'::text[]), d.document
    FROM (SELECT p AS policy, almagest.suspicion(p) AS suspicion FROM almagest.audience_policy() AS p) AS s,
         there AS t, almagest.port_as_items(t.ids, t.documents) AS c,
         LATERAL almagest.public_document(c.document, 'collection', s.policy, s.suspicion) AS d(document)
$$;
COMMENT ON FUNCTION almagest.public_collections_at(jsonb, timestamptz) IS 'As public_collections, as they were at a moment.';


CREATE OR REPLACE FUNCTION external.collection_page_at(search jsonb, moment timestamptz) RETURNS jsonb
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = almagest, pg_temp
SET standard_conforming_strings = on SET client_min_messages = error
AS $$
DECLARE
    policy almagest.audience_policy := almagest.audience_policy();
    narrowed jsonb := almagest.public_collection_search(search, policy);
    reached CONSTANT text[] := almagest.public_collections_ever(CASE WHEN search ? 'ids' THEN
        ARRAY(SELECT jsonb_path_query(search->'ids', '$[*]') #>> '{}') END);
    ids text[];
    found jsonb;
BEGIN
    PERFORM almagest.require_stable(moment, true);
    PERFORM almagest.require_kept(moment, reached);
    ids := almagest.visible_collections_at(reached, moment);
    PERFORM almagest.check_public_names(narrowed, 'collections', ARRAY['collections'] || ids, policy);
    narrowed := narrowed || jsonb_build_object('ids', ids, 'collections', ARRAY['collections'] || ids);
    found := almagest.port_collection_search_in(
        format('almagest.public_collections_at(%L::jsonb, %L)', narrowed->'ids', moment), narrowed);
    PERFORM almagest.require_kept(moment, reached);
    RETURN found;
EXCEPTION WHEN data_exception THEN
    -- The message would say what the value is, and it may be one that is hidden.
    RAISE EXCEPTION USING ERRCODE = SQLSTATE, MESSAGE = 'A value is not of the kind that the search compares it with.';
END;
$$;
COMMENT ON FUNCTION external.collection_page_at(jsonb, timestamptz) IS 'As almagest.collection_page_at, for outsiders.';
