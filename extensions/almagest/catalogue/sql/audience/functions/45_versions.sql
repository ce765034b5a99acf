-- What was when, for outsiders. States that they cannot tell apart are one; so where one begins is found by comparing
-- neighbours, and a long row of hidden changes is walked through. Such a step is made as short as can be: what two rows
-- have in common looks the same and is not projected. A walk ends as soon as what was asked for is known.

CREATE OR REPLACE FUNCTION almagest.withdrawn_assets(of_collection text, of_id text) RETURNS jsonb
LANGUAGE plpgsql STABLE SET search_path = almagest, pg_temp
AS $$
DECLARE
    present record;
BEGIN
    IF NOT EXISTS (SELECT FROM almagest.exposed AS e WHERE (e.collection, e.item) = (of_collection, of_id)) THEN
        RETURN NULL;
    END IF;
    -- As external.asset_location has it, of all of them at once.
    SELECT r.item::jsonb->'assets' AS assets, r.base::jsonb->'assets' AS base_assets INTO present
    FROM almagest.port_item(of_collection, of_id) AS r;
    RETURN (
        SELECT jsonb_object_agg(e.key, e.location)
        FROM almagest.exposed AS e, almagest.audience_policy() AS p,
             almagest.port_hydrate(present.assets->e.key, present.base_assets->e.key) AS asset
        WHERE (e.collection, e.item) = (of_collection, of_id)
          AND (asset->>'href' IS DISTINCT FROM e.location OR e.location !~ '^(file:///|s3://)'
               OR almagest.is_hidden_name(e.key, p.hidden_properties)));
END;
$$;
COMMENT ON FUNCTION almagest.withdrawn_assets(text, text) IS
    'Keys and places of assets of an item that were exposed and are not served any more: their address would lead nowhere. '
    'NULL: there are none.';


CREATE OR REPLACE FUNCTION almagest.without_withdrawn(item jsonb, base jsonb, withdrawn jsonb) RETURNS jsonb
LANGUAGE sql IMMUTABLE SET search_path = almagest, pg_temp
AS $$
    SELECT CASE WHEN w.marks IS NULL OR jsonb_typeof(item->'assets') <> 'object' THEN item
                ELSE jsonb_set(item, '{assets}', coalesce(item->'assets', '{}') || w.marks) END
    FROM (
        SELECT jsonb_object_agg(w.key, almagest.port_marker()) AS marks FROM jsonb_each_text(withdrawn) AS w
        WHERE coalesce(item->'assets'->w.key->>'href', base->'assets'->w.key->>'href') = w.value
    ) AS w
$$;
COMMENT ON FUNCTION almagest.without_withdrawn(jsonb, jsonb, jsonb) IS
    'A stored item, in which assets that are withdrawn are marked as missing.';


CREATE OR REPLACE FUNCTION almagest.without_shared(one jsonb, other jsonb) RETURNS jsonb
LANGUAGE plpgsql IMMUTABLE -- without settings, which cost more than the rest
AS $$
DECLARE
    member text;
BEGIN
    one := one - ARRAY(SELECT e.key FROM jsonb_each(one) AS e WHERE other->e.key = e.value);
    FOREACH member IN ARRAY ARRAY['properties', 'assets'] LOOP
        IF jsonb_typeof(one->member) = 'object' AND jsonb_typeof(other->member) = 'object' THEN
            one := jsonb_set(one, ARRAY[member], (one->member) - ARRAY(
                SELECT e.key FROM jsonb_each(one->member) AS e WHERE other->member->e.key = e.value));
        END IF;
    END LOOP;
    RETURN one;
END;
$$;
COMMENT ON FUNCTION almagest.without_shared(jsonb, jsonb) IS
    'A document without the members, properties and assets that another has just so.';


CREATE OR REPLACE FUNCTION almagest.without_hidden(
    document jsonb, base jsonb, exposed_keys text[], policy almagest.audience_policy
) RETURNS jsonb
LANGUAGE plpgsql STABLE
AS $$
BEGIN
    IF jsonb_typeof(document->'properties') = 'object' THEN
        document := jsonb_set(document, '{properties}', (document->'properties') - ARRAY(
            SELECT k.key FROM jsonb_object_keys(document->'properties') AS k(key)
            WHERE almagest.is_hidden_name(k.key, policy.hidden_properties)));
    END IF;
    IF jsonb_typeof(document->'assets') = 'object' THEN
        document := jsonb_set(document, '{assets}', (document->'assets') - ARRAY(
            SELECT e.key FROM jsonb_each(document->'assets') AS e
            WHERE NOT coalesce(base->'assets' ? e.key, false) AND e.key <> ALL (exposed_keys)
              AND jsonb_typeof(e.value->'href') = 'string' AND almagest.public_href(e.value->>'href', policy) IS NULL));
    END IF;
    RETURN document;
END;
$$;
COMMENT ON FUNCTION almagest.without_hidden(jsonb, jsonb, text[], almagest.audience_policy) IS
    'Members of a stored item without the properties and assets that are plainly hidden; others may be too.';


CREATE OR REPLACE FUNCTION almagest.public_part(
    document jsonb, base jsonb, of_collection text, of_id text, policy almagest.audience_policy, suspicion text
) RETURNS jsonb
LANGUAGE plpgsql STABLE SET search_path = almagest, pg_temp
AS $$
BEGIN
    RETURN CASE WHEN of_id IS NULL THEN almagest.public_document(document, 'collection', policy, suspicion)
                WHEN document::text ~* suspicion OR base::text ~* suspicion
                THEN almagest.public_item(document, base, of_collection, of_id, policy, suspicion)
                ELSE document END;
END;
$$;
COMMENT ON FUNCTION almagest.public_part(jsonb, jsonb, text, text, almagest.audience_policy, text) IS
    'What is left for outsiders of a stored item, or (without an id) of a collection, or of some of its members.';


CREATE OR REPLACE FUNCTION almagest.looks_alike(
    one jsonb, one_geometry geometry, one_base jsonb, other jsonb, other_geometry geometry, other_base jsonb,
    of_collection text, of_id text, exposed_keys text[], policy almagest.audience_policy, suspicion text
) RETURNS boolean
LANGUAGE plpgsql STABLE -- without settings; of its own names all are qualified
AS $$
DECLARE
    part jsonb;
    other_part jsonb;
BEGIN
    IF one IS NULL OR other IS NULL THEN
        RETURN one IS NULL AND other IS NULL;
    ELSIF one_geometry::bytea <> other_geometry::bytea
          AND public.ST_AsGeoJSON(one_geometry, 20)::jsonb <> public.ST_AsGeoJSON(other_geometry, 20)::jsonb THEN
        RETURN false;
    ELSIF one_base IS NOT DISTINCT FROM other_base THEN
        part := almagest.without_shared(one, other);
        other_part := almagest.without_shared(other, one);
        IF of_id IS NOT NULL THEN
            -- What is hidden differs most often, and needs no closer look; then a property that everybody sees.
            part := almagest.without_hidden(part, one_base, exposed_keys, policy);
            other_part := almagest.without_hidden(other_part, other_base, exposed_keys, policy);
            IF part = other_part THEN
                RETURN true;
            ELSIF part->'properties' <> other_part->'properties' AND NOT coalesce(one_base ? 'properties', false)
                  AND part->>'properties' !~* suspicion AND other_part->>'properties' !~* suspicion THEN
                RETURN false;
            END IF;
        END IF;
        IF almagest.public_part(part, one_base, of_collection, of_id, policy, suspicion)
           = almagest.public_part(other_part, other_base, of_collection, of_id, policy, suspicion) THEN
            RETURN true;
        END IF;
    END IF;
    RETURN almagest.port_hydrate(
            almagest.public_part(one, one_base, of_collection, of_id, policy, suspicion),
            almagest.public_document(one_base, 'base', policy, suspicion))
        = almagest.port_hydrate(
            almagest.public_part(other, other_base, of_collection, of_id, policy, suspicion),
            almagest.public_document(other_base, 'base', policy, suspicion));
END;
$$;
COMMENT ON FUNCTION almagest.looks_alike(
    jsonb, geometry, jsonb, jsonb, geometry, jsonb, text, text, text[], almagest.audience_policy, text
) IS
    'Whether outsiders see the same of two stored states, each with its base item; NULL: there was nothing.';


CREATE OR REPLACE FUNCTION almagest.public_changes(
    of_collection text, of_id text, ends_after timestamptz, ends_by timestamptz, forward boolean, few int
)
RETURNS TABLE (moment timestamptz, deleted boolean)
LANGUAGE plpgsql STABLE
SET search_path = almagest, public, pg_temp SET enable_partition_pruning = on
SET plan_cache_mode = force_generic_plan
AS $$
DECLARE
    policy CONSTANT almagest.audience_policy := almagest.audience_policy();
    suspicion CONSTANT text := almagest.suspicion(policy);
    withdrawn CONSTANT jsonb := almagest.withdrawn_assets(of_collection, of_id);
    exposed_keys CONSTANT text[] := ARRAY(
        SELECT e.key FROM almagest.exposed AS e WHERE (e.collection, e.item) = (of_collection, of_id));
    walk refcursor; -- is planned to be left early, as the query of a loop is not
    here record;
    last record;
    item jsonb;
    last_item jsonb;
    base jsonb;
    last_base jsonb;
    is_first boolean := true;
BEGIN
    IF almagest.is_internal(of_collection) THEN
        RETURN;
    ELSIF forward THEN
        OPEN walk FOR
            SELECT s.*, almagest.port_tag(s.content) AS tag
            FROM almagest.stored_states(of_collection, of_id, ends_after, ends_by) AS s ORDER BY s.valid_to;
    ELSE
        OPEN walk FOR
            SELECT s.*, almagest.port_tag(s.content) AS tag
            FROM almagest.stored_states(of_collection, of_id, ends_after, ends_by) AS s ORDER BY s.valid_to DESC;
    END IF;
    LOOP
        FETCH walk INTO here;
        EXIT WHEN NOT FOUND;
        IF is_first THEN
            last := here;
        END IF;
        IF of_id IS NULL THEN
            item := here.content;
        ELSE
            IF is_first OR (here.base_key, here.tag) IS DISTINCT FROM (last.base_key, last.tag) THEN
                base := almagest.base_item_of(here.base_key, here.content);
            END IF;
            item := almagest.port_whole(here.content);
            IF withdrawn IS NOT NULL THEN
                item := almagest.without_withdrawn(item, base, withdrawn);
            END IF;
        END IF;
        IF is_first THEN
            is_first := false;
        ELSIF NOT almagest.looks_alike(
                item, here.geometry, base, last_item, last.geometry, last_base, of_collection, of_id, exposed_keys, policy,
                suspicion) THEN
            -- What begins between the two is the later one.
            moment := CASE WHEN forward THEN here.valid_from ELSE last.valid_from END;
            deleted := CASE WHEN forward THEN here.deleted ELSE last.deleted END;
            RETURN NEXT;
            few := few - 1;
            EXIT WHEN few = 0;
        END IF;
        last := here; last_item := item; last_base := base;
    END LOOP;
    CLOSE walk;
    IF NOT (forward OR is_first) AND few IS DISTINCT FROM 0 THEN
        moment := coalesce((
            SELECT s.since FROM almagest.seen_since AS s
            WHERE (s.collection, s.item, s.valid_from) = (of_collection, coalesce(of_id, ''), last.valid_from)
        ), last.valid_from);
        deleted := last.deleted;
        RETURN NEXT;
    END IF;
END;
$$;
COMMENT ON FUNCTION almagest.public_changes(text, text, timestamptz, timestamptz, boolean, int) IS
    'When something new began for outsiders, and whether it was a deletion, among the states that ended between two moments: '
    'the first few times (NULL: all) from the earliest state on (forward; its own beginning is none) or from the latest back '
    '(the beginning of the earliest is one).';


CREATE OR REPLACE FUNCTION almagest.public_predecessor(of_collection text, of_id text, moment timestamptz)
RETURNS timestamptz
LANGUAGE plpgsql STABLE SET search_path = almagest, pg_temp
AS $$
DECLARE
    number CONSTANT int := CASE WHEN moment = 'infinity' THEN 2 ELSE 1 END;
    earlier record;
BEGIN
    SELECT * INTO earlier FROM almagest.public_changes(of_collection, of_id, '-infinity', moment, false, number)
    OFFSET number - 1;
    IF earlier.deleted THEN
        SELECT * INTO earlier FROM almagest.public_changes(of_collection, of_id, '-infinity', earlier.moment, false, 1);
    END IF;
    RETURN earlier.moment;
END;
$$;
COMMENT ON FUNCTION almagest.public_predecessor(text, text, timestamptz) IS
    'The version that outsiders see before the one that begins at this moment, or at infinity: before the present one.';


CREATE OR REPLACE FUNCTION almagest.stored_moment(of_collection text, of_id text, moment timestamptz) RETURNS timestamptz
LANGUAGE plpgsql STABLE SET search_path = almagest, pg_temp
AS $$
BEGIN
    RETURN coalesce((
        SELECT s.valid_from FROM almagest.seen_since AS s
        WHERE (s.collection, s.item) = (of_collection, coalesce(of_id, '')) AND s.since <= moment AND s.valid_from > moment
    ), moment);
END;
$$;
COMMENT ON FUNCTION almagest.stored_moment(text, text, timestamptz) IS
    'A moment at which an item, or (without an id) a collection, looked to outsiders as it did then, and of which the state '
    'has not been forgotten, if there is one.';


CREATE OR REPLACE FUNCTION external.item_row_at(of_collection text, of_id text, moment timestamptz)
RETURNS TABLE (item text, base text)
LANGUAGE sql STABLE SECURITY DEFINER
SET search_path = almagest, public, pg_temp SET enable_partition_pruning = on
SET standard_conforming_strings = on SET client_min_messages = error
AS $$
    WITH former AS (
        SELECT r.base, CASE WHEN w.assets IS NULL THEN r.item
                            ELSE almagest.without_withdrawn(r.item::jsonb, r.base::jsonb, w.assets)::text END AS item
        FROM almagest.item_row_at($1, $2, almagest.stored_moment($1, $2, $3)) AS r, almagest.withdrawn_assets($1, $2) AS w(assets)
        WHERE NOT almagest.is_internal($1)
    )
    SELECT CASE WHEN r.item ~* s.suspicion OR r.base ~* s.suspicion
                THEN almagest.public_item_text(r.item::jsonb, r.base::jsonb, $1, $2, s.policy, s.suspicion)
                ELSE r.item END,
           almagest.public_document(r.base::jsonb, 'base', s.policy, s.suspicion)::text
    FROM (SELECT p AS policy, almagest.suspicion(p) AS suspicion FROM almagest.audience_policy() AS p) AS s, former AS r
$$;
COMMENT ON FUNCTION external.item_row_at(text, text, timestamptz) IS
    'As almagest.item_row_at, for outsiders: judged by what they may see today.';


CREATE OR REPLACE FUNCTION external.collection_document_at(of_id text, moment timestamptz) RETURNS jsonb
LANGUAGE sql STABLE SECURITY DEFINER
SET search_path = almagest, pg_temp
SET standard_conforming_strings = on SET client_min_messages = error
AS $$
    SELECT almagest.public_document(
        almagest.collection_document_at($1, almagest.stored_moment($1, NULL, $2)), 'collection', p, almagest.suspicion(p))
    FROM almagest.audience_policy() AS p
    WHERE NOT almagest.is_internal($1)
$$;
COMMENT ON FUNCTION external.collection_document_at(text, timestamptz) IS
    'As almagest.collection_document_at, for outsiders: judged by what they may see today.';


CREATE OR REPLACE FUNCTION external.item_states(
    of_collection text, of_id text, before timestamptz DEFAULT NULL, few int DEFAULT NULL
)
RETURNS TABLE (
    valid_from timestamptz, valid_to timestamptz, deleted boolean,
    login text, actor text, key_id text, request_id text, job text
)
LANGUAGE sql STABLE SECURITY DEFINER
SET search_path = almagest, public, pg_temp SET enable_partition_pruning = on
SET standard_conforming_strings = on SET client_min_messages = error
AS $$
    WITH changes AS (
        SELECT c.moment, lag(c.moment) OVER age AS ended, c.deleted, row_number() OVER age AS number
        -- Backwards from the state that holds at that moment; what it belongs to had not ended.
        FROM almagest.public_changes($1, $2, '-infinity', coalesce((
                 SELECT s.valid_to FROM almagest.stored_states($1, $2, $3, 'infinity') AS s ORDER BY s.valid_to LIMIT 1
             ), 'infinity'), false, $4 + ($3 IS NOT NULL)::int) AS c
        WINDOW age AS (ORDER BY c.moment DESC)
    )
    SELECT c.moment, c.ended, c.deleted, NULL, NULL, NULL, NULL, NULL
    FROM changes AS c
    WHERE c.number > ($3 IS NOT NULL)::int
    ORDER BY 1 DESC
$$;
COMMENT ON FUNCTION external.item_states(text, text, timestamptz, int) IS
    'As almagest.item_states, for outsiders: what they could have seen, and not who did it. Without an id: of the collection.';


CREATE OR REPLACE FUNCTION external.collection_states(
    of_id text, before timestamptz DEFAULT NULL, few int DEFAULT NULL
)
RETURNS TABLE (
    valid_from timestamptz, valid_to timestamptz, deleted boolean,
    login text, actor text, key_id text, request_id text, job text
)
LANGUAGE sql STABLE SECURITY DEFINER
SET search_path = almagest, pg_temp
SET standard_conforming_strings = on SET client_min_messages = error
AS $$ SELECT * FROM external.item_states($1, NULL, $2, $3) $$;
COMMENT ON FUNCTION external.collection_states(text, timestamptz, int) IS
    'As almagest.collection_states, for outsiders: what they could have seen, and not who did it.';


CREATE OR REPLACE FUNCTION external.is_version(of_collection text, of_id text, moment timestamptz) RETURNS boolean
LANGUAGE sql STABLE SECURITY DEFINER
SET search_path = almagest, public, pg_temp SET enable_partition_pruning = on
SET standard_conforming_strings = on SET client_min_messages = error
AS $$
    -- Of the states that had not ended before: the one that ended then and the one that began.
    SELECT EXISTS (
        SELECT FROM almagest.public_changes($1, $2, $3 - interval '1 microsecond', coalesce((
            SELECT s.valid_to FROM almagest.stored_states($1, $2, $3, 'infinity') AS s ORDER BY s.valid_to LIMIT 1
        ), 'infinity'), false, 1) AS c
        WHERE c.moment = $3 AND NOT c.deleted)
$$;
COMMENT ON FUNCTION external.is_version(text, text, timestamptz) IS 'As almagest.is_version, for outsiders.';


CREATE OR REPLACE FUNCTION external.neighbours(
    of_collection text, of_id text, moment timestamptz,
    OUT predecessor timestamptz, OUT successor timestamptz, OUT is_latest boolean
)
LANGUAGE sql STABLE SECURITY DEFINER
SET search_path = almagest, public, pg_temp SET enable_partition_pruning = on
SET standard_conforming_strings = on SET client_min_messages = error
AS $$
    SELECT almagest.public_predecessor($1, $2, $3),
           CASE WHEN NOT later.deleted THEN later.moment ELSE (
               SELECT c.moment FROM almagest.public_changes($1, $2, later.moment, 'infinity', true, 1) AS c) END,
           later.moment IS NULL
    FROM (VALUES (true)) AS one
    LEFT JOIN almagest.public_changes($1, $2, $3, 'infinity', true, 1) AS later ON true
$$;
COMMENT ON FUNCTION external.neighbours(text, text, timestamptz) IS 'As almagest.neighbours, for outsiders.';


CREATE OR REPLACE FUNCTION external.item_with_past(
    of_collection text, of_id text, OUT item text, OUT base text, OUT predecessor timestamptz, OUT is_gone boolean
)
LANGUAGE plpgsql STABLE SECURITY DEFINER
SET search_path = almagest, public, pg_temp SET enable_partition_pruning = on
SET standard_conforming_strings = on SET client_min_messages = error
AS $$
BEGIN
    SELECT r.item, r.base INTO item, base FROM external.item_row(of_collection, of_id) AS r;
    is_gone := NOT FOUND AND NOT almagest.is_internal(of_collection)
        AND (SELECT p.is_gone FROM almagest.item_with_past(of_collection, of_id) AS p);
    IF item IS NOT NULL THEN
        predecessor := almagest.public_predecessor(of_collection, of_id, 'infinity');
    END IF;
END;
$$;
COMMENT ON FUNCTION external.item_with_past(text, text) IS 'As almagest.item_with_past, for outsiders.';


CREATE OR REPLACE FUNCTION external.collection_with_past(
    of_id text, OUT document text, OUT predecessor timestamptz, OUT is_gone boolean
)
LANGUAGE plpgsql STABLE SECURITY DEFINER
SET search_path = almagest, pg_temp
SET standard_conforming_strings = on SET client_min_messages = error
AS $$
BEGIN
    document := external.collection_document(of_id)::text;
    is_gone := document IS NULL AND NOT almagest.is_internal(of_id)
        AND (SELECT p.is_gone FROM almagest.collection_with_past(of_id) AS p);
    IF document IS NOT NULL THEN
        predecessor := almagest.public_predecessor(of_id, NULL, 'infinity');
    END IF;
END;
$$;
COMMENT ON FUNCTION external.collection_with_past(text) IS 'As almagest.collection_with_past, for outsiders.';
