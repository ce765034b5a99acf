-- What was when. A version is a state in which there was something; it goes by the moment when it began.

CREATE OR REPLACE FUNCTION almagest.item_states(of_collection text, of_id text)
RETURNS TABLE (
    valid_from timestamptz, valid_to timestamptz, deleted boolean,
    login text, actor text, key_id text, request_id text, job text
)
LANGUAGE sql STABLE SET search_path = almagest, public, pg_temp
AS $$
    SELECT h.valid_from, NULL::timestamptz, h.deleted, h.login, h.actor, h.key_id, h.request_id, h.job
    FROM almagest.item_head AS h
    WHERE h.collection = of_collection AND h.id = of_id
    UNION ALL
    -- As it has been since versions are kept.
    SELECT v.installed_at, NULL, false, NULL::text, NULL::text, NULL::text, NULL::text, NULL::text
    FROM almagest.versioning AS v
    WHERE NOT EXISTS (SELECT FROM almagest.item_head AS h WHERE h.collection = of_collection AND h.id = of_id)
      AND EXISTS (SELECT FROM almagest.port_item(of_collection, of_id))
    UNION ALL
    SELECT h.valid_from, h.valid_to, h.deleted, h.login, h.actor, h.key_id, h.request_id, h.job
    FROM almagest.item_history AS h
    WHERE h.collection = of_collection AND h.id = of_id
    ORDER BY 1 DESC
$$;
COMMENT ON FUNCTION almagest.item_states(text, text) IS
    'All states of an item, the present one first, and who made it so. No row: there never was one.';


CREATE OR REPLACE FUNCTION almagest.item_row_at(of_collection text, of_id text, moment timestamptz)
RETURNS TABLE (item text, base text)
LANGUAGE sql STABLE SET search_path = almagest, public, pg_temp
AS $$
    SELECT almagest.port_item_text(h.id, h.collection, h.geometry, h.content, NULL),
           almagest.base_item_of(h.base_key, h.content)::text
    FROM almagest.item_history AS h
    WHERE h.collection = of_collection AND h.id = of_id AND NOT h.deleted
      AND h.valid_from <= moment AND h.valid_to > moment
    UNION ALL
    SELECT r.item, r.base
    FROM almagest.port_item(of_collection, of_id) AS r
    WHERE moment >= coalesce(
        (SELECT h.valid_from FROM almagest.item_head AS h WHERE h.collection = of_collection AND h.id = of_id),
        (SELECT v.installed_at FROM almagest.versioning AS v))
$$;
COMMENT ON FUNCTION almagest.item_row_at(text, text, timestamptz) IS
    'An item as it was at a moment, as text, with the base it hydrates against; no row if there was none.';


CREATE OR REPLACE FUNCTION almagest.collection_states(of_id text)
RETURNS TABLE (
    valid_from timestamptz, valid_to timestamptz, deleted boolean,
    login text, actor text, key_id text, request_id text, job text
)
LANGUAGE sql STABLE SET search_path = almagest, public, pg_temp
AS $$
    SELECT h.valid_from, NULL::timestamptz, h.deleted, h.login, h.actor, h.key_id, h.request_id, h.job
    FROM almagest.collection_head AS h
    WHERE h.id = of_id
    UNION ALL
    SELECT h.valid_from, h.valid_to, h.content IS NULL, h.login, h.actor, h.key_id, h.request_id, h.job
    FROM almagest.collection_history AS h
    WHERE h.id = of_id
    ORDER BY 1 DESC
$$;
COMMENT ON FUNCTION almagest.collection_states(text) IS 'All states of a collection; as item_states.';


CREATE OR REPLACE FUNCTION almagest.collection_document_at(of_id text, moment timestamptz) RETURNS jsonb
LANGUAGE sql STABLE SET search_path = almagest, public, pg_temp
AS $$
    SELECT h.content FROM almagest.collection_history AS h
    WHERE h.id = of_id AND h.valid_from <= moment AND h.valid_to > moment
    UNION ALL
    SELECT almagest.port_collection(of_id)
    FROM almagest.collection_head AS h
    WHERE h.id = of_id AND h.valid_from <= moment AND NOT h.deleted
$$;
COMMENT ON FUNCTION almagest.collection_document_at(text, timestamptz) IS
    'A collection as it was at a moment; NULL if there was none.';
