-- What was when. A version is a state in which there was something; it goes by the moment when it began. Functions that a
-- request calls are written in PL/pgSQL, which keeps its plans: to plan for all partitions takes longer than to look.

CREATE OR REPLACE FUNCTION almagest.item_states(
    of_collection text, of_id text, before timestamptz DEFAULT NULL, few int DEFAULT NULL
)
RETURNS TABLE (
    valid_from timestamptz, valid_to timestamptz, deleted boolean,
    login text, actor text, key_id text, request_id text, job text
)
LANGUAGE plpgsql STABLE
SET search_path = almagest, public, pg_temp SET plan_cache_mode = force_generic_plan
AS $$
#variable_conflict use_column
BEGIN
    RETURN QUERY
    SELECT * FROM (
        SELECT h.valid_from, NULL::timestamptz AS valid_to, h.deleted, h.login, h.actor, h.key_id, h.request_id, h.job
        FROM almagest.item_head AS h
        WHERE before IS NULL AND h.collection = of_collection AND h.id = of_id
        UNION ALL
        -- As it has been since versions are kept.
        SELECT v.installed_at, NULL, false, NULL::text, NULL::text, NULL::text, NULL::text, NULL::text
        FROM almagest.versioning AS v
        WHERE before IS NULL
          AND NOT EXISTS (SELECT FROM almagest.item_head AS h WHERE h.collection = of_collection AND h.id = of_id)
          AND EXISTS (SELECT FROM almagest.port_item(of_collection, of_id))
        UNION ALL
        SELECT h.valid_from, h.valid_to, h.deleted, h.login, h.actor, h.key_id, h.request_id, h.job
        FROM almagest.item_history AS h
        WHERE h.collection = of_collection AND h.id = of_id AND h.valid_to <= coalesce(before, 'infinity')
    ) AS s
    ORDER BY s.valid_to DESC LIMIT few;
END;
$$;
COMMENT ON FUNCTION almagest.item_states(text, text, timestamptz, int) IS
    'States of an item, the present one first, and who made it so; the first few (NULL: all) of those that had ended by '
    'then (NULL: all). No row at all: there never was one.';


CREATE OR REPLACE FUNCTION almagest.item_row_at(of_collection text, of_id text, moment timestamptz)
RETURNS TABLE (item text, base text)
LANGUAGE plpgsql STABLE
SET search_path = almagest, public, pg_temp SET plan_cache_mode = force_generic_plan
AS $$
#variable_conflict use_column
BEGIN
    RETURN QUERY
    SELECT almagest.port_item_text(h.id, h.collection, h.geometry, h.content),
           almagest.base_item_of(h.base_key, h.content)::text
    FROM (
        -- States follow one another: the first that ended later is the one, or there was none.
        SELECT * FROM almagest.item_history AS h
        WHERE h.collection = of_collection AND h.id = of_id AND h.valid_to > moment
        ORDER BY h.valid_to LIMIT 1
    ) AS h
    WHERE h.valid_from <= moment AND NOT h.deleted;
    IF FOUND THEN
        RETURN;
    END IF;
    RETURN QUERY
    SELECT r.item, r.base
    FROM almagest.port_item(of_collection, of_id) AS r
    WHERE moment >= coalesce(
        (SELECT h.valid_from FROM almagest.item_head AS h WHERE h.collection = of_collection AND h.id = of_id),
        (SELECT v.installed_at FROM almagest.versioning AS v));
END;
$$;
COMMENT ON FUNCTION almagest.item_row_at(text, text, timestamptz) IS
    'An item as it was at a moment, as text, with the base it hydrates against; no row if there was none.';


CREATE OR REPLACE FUNCTION almagest.item_with_past(
    of_collection text, of_id text, OUT item text, OUT base text, OUT predecessor timestamptz, OUT is_gone boolean
)
LANGUAGE plpgsql STABLE
SET search_path = almagest, public, pg_temp SET plan_cache_mode = force_generic_plan
AS $$
BEGIN
    SELECT r.item, r.base INTO item, base FROM almagest.port_item(of_collection, of_id) AS r;
    predecessor := (
        SELECT h.valid_from FROM almagest.item_history AS h
        WHERE h.collection = of_collection AND h.id = of_id AND NOT h.deleted
        ORDER BY h.valid_to DESC LIMIT 1);
    is_gone := item IS NULL AND predecessor IS NOT NULL;
END;
$$;
COMMENT ON FUNCTION almagest.item_with_past(text, text) IS
    'An item as it is, as text, with the base it hydrates against and the version before it; NULL where there is none. '
    'is_gone: there was one.';


CREATE OR REPLACE FUNCTION almagest.collection_states(
    of_id text, before timestamptz DEFAULT NULL, few int DEFAULT NULL
)
RETURNS TABLE (
    valid_from timestamptz, valid_to timestamptz, deleted boolean,
    login text, actor text, key_id text, request_id text, job text
)
LANGUAGE plpgsql STABLE
SET search_path = almagest, public, pg_temp SET plan_cache_mode = force_generic_plan
AS $$
#variable_conflict use_column
BEGIN
    RETURN QUERY
    SELECT * FROM (
        SELECT h.valid_from, NULL::timestamptz AS valid_to, h.deleted, h.login, h.actor, h.key_id, h.request_id, h.job
        FROM almagest.collection_head AS h
        WHERE before IS NULL AND h.id = of_id
        UNION ALL
        SELECT h.valid_from, h.valid_to, h.content IS NULL, h.login, h.actor, h.key_id, h.request_id, h.job
        FROM almagest.collection_history AS h
        WHERE h.id = of_id AND h.valid_to <= coalesce(before, 'infinity')
    ) AS s
    ORDER BY s.valid_to DESC LIMIT few;
END;
$$;
COMMENT ON FUNCTION almagest.collection_states(text, timestamptz, int) IS 'States of a collection; as item_states.';


CREATE OR REPLACE FUNCTION almagest.collection_document_at(of_id text, moment timestamptz) RETURNS jsonb
LANGUAGE plpgsql STABLE
SET search_path = almagest, public, pg_temp SET plan_cache_mode = force_generic_plan
AS $$
DECLARE
    former almagest.collection_history;
BEGIN
    SELECT * INTO former FROM almagest.collection_history AS h
    WHERE h.id = of_id AND h.valid_to > moment
    ORDER BY h.valid_to LIMIT 1;
    IF FOUND THEN
        RETURN CASE WHEN former.valid_from <= moment THEN former.content END;
    END IF;
    RETURN (
        SELECT almagest.port_collection(of_id)
        FROM almagest.collection_head AS h
        WHERE h.id = of_id AND h.valid_from <= moment AND NOT h.deleted);
END;
$$;
COMMENT ON FUNCTION almagest.collection_document_at(text, timestamptz) IS
    'A collection as it was at a moment; NULL if there was none.';


CREATE OR REPLACE FUNCTION almagest.collection_with_past(
    of_id text, OUT document text, OUT predecessor timestamptz, OUT is_gone boolean
)
LANGUAGE plpgsql STABLE
SET search_path = almagest, public, pg_temp SET plan_cache_mode = force_generic_plan
AS $$
BEGIN
    document := almagest.port_collection(of_id)::text;
    predecessor := (
        SELECT h.valid_from FROM almagest.collection_history AS h
        WHERE h.id = of_id AND h.content IS NOT NULL
        ORDER BY h.valid_to DESC LIMIT 1);
    is_gone := document IS NULL AND predecessor IS NOT NULL;
END;
$$;
COMMENT ON FUNCTION almagest.collection_with_past(text) IS 'A collection as it is, as text; else as item_with_past.';


CREATE OR REPLACE FUNCTION almagest.stored_states(
    of_collection text, of_id text, ends_after timestamptz, ends_by timestamptz
)
RETURNS TABLE (
    valid_from timestamptz, valid_to timestamptz, deleted boolean, base_key bigint, geometry geometry, content jsonb
)
LANGUAGE sql STABLE -- without settings: it becomes part of the statement that asks, which reads no more than it needs
AS $$
    SELECT h.valid_from, h.valid_to, h.deleted, h.base_key, h.geometry, h.content
    FROM almagest.item_history AS h
    WHERE h.collection = of_collection AND h.id = of_id AND h.valid_to > ends_after AND h.valid_to <= ends_by
    UNION ALL
    SELECT coalesce(h.valid_from, v.installed_at), NULL, i.content IS NULL, almagest.port_collection_key(of_collection),
           i.geometry, i.content
    FROM almagest.versioning AS v
    LEFT JOIN almagest.item_head AS h ON h.collection = of_collection AND h.id = of_id
    LEFT JOIN almagest.port_row(of_collection, of_id) AS i ON true
    WHERE ends_by = 'infinity' AND of_id IS NOT NULL AND (h.id IS NOT NULL OR i.content IS NOT NULL)
    UNION ALL
    SELECT h.valid_from, h.valid_to, h.content IS NULL, NULL, NULL, h.content
    FROM almagest.collection_history AS h
    WHERE of_id IS NULL AND h.id = of_collection AND h.valid_to > ends_after AND h.valid_to <= ends_by
    UNION ALL
    SELECT h.valid_from, NULL, h.deleted, NULL, NULL, CASE WHEN NOT h.deleted THEN almagest.port_collection(h.id) END
    FROM almagest.collection_head AS h
    WHERE ends_by = 'infinity' AND of_id IS NULL AND h.id = of_collection
$$;
COMMENT ON FUNCTION almagest.stored_states(text, text, timestamptz, timestamptz) IS
    'States of an item, or (without an id) of a collection, that ended between two moments; that of today ends at infinity. '
    'What it was, as it is stored.';


CREATE OR REPLACE FUNCTION almagest.is_version(of_collection text, of_id text, moment timestamptz) RETURNS boolean
LANGUAGE plpgsql STABLE
SET search_path = almagest, public, pg_temp SET plan_cache_mode = force_generic_plan
AS $$
BEGIN
    RETURN coalesce((
        SELECT s.valid_from = moment AND NOT s.deleted
        FROM almagest.stored_states(of_collection, of_id, moment, 'infinity') AS s
        ORDER BY s.valid_to LIMIT 1), false);
END;
$$;
COMMENT ON FUNCTION almagest.is_version(text, text, timestamptz) IS
    'Whether a version of an item, or (without an id) of a collection, begins at this moment.';


CREATE OR REPLACE FUNCTION almagest.neighbours(
    of_collection text, of_id text, moment timestamptz,
    OUT predecessor timestamptz, OUT successor timestamptz, OUT is_latest boolean
)
LANGUAGE plpgsql STABLE
SET search_path = almagest, public, pg_temp SET plan_cache_mode = force_generic_plan
AS $$
DECLARE
    later record;
BEGIN
    predecessor := (
        SELECT s.valid_from FROM almagest.stored_states(of_collection, of_id, '-infinity', moment) AS s
        WHERE NOT s.deleted
        ORDER BY s.valid_to DESC LIMIT 1);
    is_latest := true;
    FOR later IN
        SELECT s.valid_from, s.deleted FROM almagest.stored_states(of_collection, of_id, moment, 'infinity') AS s
        WHERE s.valid_from > moment
        ORDER BY s.valid_to LIMIT 2
    LOOP
        is_latest := false;
        IF NOT later.deleted THEN
            successor := later.valid_from;
            RETURN;
        END IF;
    END LOOP;
END;
$$;
COMMENT ON FUNCTION almagest.neighbours(text, text, timestamptz) IS
    'The versions before and after the one that begins at this moment, and whether nothing came after it, not even a deletion.';
