-- Forgetting. Of each item and collection the oldest states go, so that those that are left still follow one another; the
-- present state never does. For the admin alone. It stands here because outsiders must not learn from what is left when
-- something changed that they cannot see.

CREATE OR REPLACE FUNCTION almagest.forgotten_until(of_collection text, of_id text, ended_by timestamptz, keep_versions int)
RETURNS timestamptz
LANGUAGE plpgsql STABLE SET search_path = almagest, public, pg_temp
AS $$
DECLARE
    is_internal CONSTANT boolean := almagest.is_internal(of_collection);
BEGIN
    IF keep_versions IS NULL THEN
        RETURN ended_by;
    END IF;
    RETURN (
        SELECT max(s.ended)
        FROM (
            SELECT lag(c.moment) OVER age AS ended, coalesce(count(*) FILTER (WHERE NOT c.deleted) OVER later, 0) AS kept
            FROM (
                SELECT p.moment, p.deleted
                FROM almagest.public_changes(of_collection, of_id, '-infinity', 'infinity', false, NULL) AS p
                WHERE NOT is_internal
                UNION ALL
                SELECT w.valid_from, w.deleted
                FROM almagest.stored_states(of_collection, of_id, '-infinity', 'infinity') AS w
                WHERE is_internal
            ) AS c
            WINDOW age AS (ORDER BY c.moment DESC), later AS (age ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING)
        ) AS s
        WHERE s.ended <= ended_by AND s.kept >= keep_versions);
END;
$$;
COMMENT ON FUNCTION almagest.forgotten_until(text, text, timestamptz, int) IS
    'States of an item, or (without an id) of a collection, that had ended at this moment are to be forgotten: they ended by '
    'then, and are none of so many versions (NULL: not counted), the present one among them. Where outsiders see the '
    'collection, versions that they cannot tell apart count as one. NULL: none is.';


CREATE OR REPLACE FUNCTION almagest.note_seen(of_collection text, of_id text, ended_by timestamptz) RETURNS void
LANGUAGE plpgsql VOLATILE SET search_path = almagest, public, pg_temp
AS $$
DECLARE
    earliest record;
    seen timestamptz;
BEGIN
    SELECT s.valid_from, s.valid_to INTO earliest
    FROM almagest.stored_states(of_collection, of_id, ended_by, 'infinity') AS s ORDER BY s.valid_to LIMIT 1;
    seen := (SELECT c.moment FROM almagest.public_changes(
        of_collection, of_id, '-infinity', coalesce(earliest.valid_to, 'infinity'), false, 1) AS c);
    IF seen < earliest.valid_from THEN
        INSERT INTO almagest.seen_since AS s (collection, item, valid_from, since)
        VALUES (of_collection, coalesce(of_id, ''), earliest.valid_from, seen)
        -- Of the same state more was known before some of what was ahead of it went with its partition.
        ON CONFLICT (collection, item) DO UPDATE SET valid_from = excluded.valid_from, since = excluded.since
        WHERE s.valid_from <> excluded.valid_from;
    END IF;
END;
$$;
COMMENT ON FUNCTION almagest.note_seen(text, text, timestamptz) IS
    'To be called before the states of an item, or (without an id) of a collection, that had ended by then are forgotten.';


CREATE OR REPLACE FUNCTION almagest.forget_states(
    of_collection text, of_id text, ended_by timestamptz, keep_versions int, step text
) RETURNS int
LANGUAGE plpgsql VOLATILE SET search_path = almagest, public, pg_temp
AS $$
DECLARE
    until CONSTANT timestamptz := almagest.forgotten_until(of_collection, of_id, ended_by, keep_versions);
    states CONSTANT int := (SELECT count(*) FROM almagest.stored_states(of_collection, of_id, '-infinity', until));
BEGIN
    IF states > 0 AND step IN ('note', 'forget') THEN
        PERFORM almagest.note_seen(of_collection, of_id, until);
    END IF;
    IF keep_versions IS NOT NULL AND until IS NOT NULL AND step = 'forget' THEN
        PERFORM almagest.note_forgotten(of_collection, until); -- the other rule is noted once for all
    END IF;
    IF states > 0 AND step = 'forget' THEN
        DELETE FROM almagest.item_history AS h WHERE h.collection = of_collection AND h.id = of_id AND h.valid_to <= until;
        DELETE FROM almagest.collection_history AS h WHERE of_id IS NULL AND h.id = of_collection AND h.valid_to <= until;
        IF of_id IS NULL THEN
            PERFORM almagest.note_commit(of_collection); -- a collection names its former versions
        END IF;
    END IF;
    RETURN states;
END;
$$;
COMMENT ON FUNCTION almagest.forget_states(text, text, timestamptz, int, text) IS
    'Of the states that forgotten_until names: how many there are (step count); notes since when outsiders see the one after '
    'them (note); and forgets them (forget). Answers how many.';


CREATE OR REPLACE FUNCTION almagest.with_history(
    of_collection text, after_collection text, after_id text, few int, ended_by timestamptz
)
RETURNS TABLE (collection text, id text)
LANGUAGE sql STABLE SET search_path = almagest, public, pg_temp
AS $$
    SELECT DISTINCT h.collection, h.id FROM almagest.item_history AS h
    WHERE (h.collection, h.id) > ($2, $3) AND ($1 IS NULL OR h.collection = $1) AND h.valid_to <= $5
    ORDER BY 1, 2 LIMIT $4
$$;
COMMENT ON FUNCTION almagest.with_history(text, text, text, int, timestamptz) IS
    'The next few items after one that have states which had ended by then, of one collection or (NULL) of all.';


CREATE OR REPLACE FUNCTION almagest.note_edges(
    after_collection text, after_id text, few int, ended_by timestamptz, OUT collection text, OUT id text
)
LANGUAGE plpgsql VOLATILE SET search_path = almagest, public, pg_temp
AS $$
DECLARE
    policy CONSTANT almagest.audience_policy := almagest.audience_policy();
    suspicion CONSTANT text := almagest.suspicion(policy);
    edge record;
BEGIN
    -- What begins there looks as it did before for nearly none of them: those alone are walked back through.
    FOR edge IN
        WITH walked AS MATERIALIZED (
            SELECT w.collection, w.id FROM almagest.with_history(NULL, after_collection, after_id, few, ended_by) AS w
        ), hidden AS MATERIALIZED (
            SELECT array_agg(i.id) AS ids
            FROM almagest.internal_collections(ARRAY(SELECT DISTINCT w.collection FROM walked AS w)) AS i(id)
        ), pair AS MATERIALIZED (
            SELECT w.collection, w.id, w.collection = ANY (h.ids) IS TRUE AS is_internal,
                   one.content, one.geometry, one.base_key, port_tag(one.content) AS tag,
                   coalesce(other.content, present.content) AS other_content,
                   coalesce(other.geometry, present.geometry) AS other_geometry,
                   coalesce(other.base_key, almagest.port_collection_key(w.collection)) AS other_base_key,
                   port_tag(coalesce(other.content, present.content)) AS other_tag
            FROM walked AS w CROSS JOIN hidden AS h
            CROSS JOIN LATERAL (
                SELECT * FROM almagest.item_history AS s
                WHERE s.collection = w.collection AND s.id = w.id AND s.valid_to <= ended_by
                ORDER BY s.valid_to DESC LIMIT 1
            ) AS one
            LEFT JOIN LATERAL (
                SELECT * FROM almagest.item_history AS s
                WHERE s.collection = w.collection AND s.id = w.id AND s.valid_to > ended_by
                ORDER BY s.valid_to LIMIT 1
            ) AS other ON true
            LEFT JOIN LATERAL (
                SELECT * FROM almagest.port_row(w.collection, w.id) WHERE other.valid_to IS NULL
            ) AS present ON true
        ), base AS MATERIALIZED (
            SELECT p.base_key, p.tag, almagest.base_item_of(p.base_key, (array_agg(p.content))[1]) AS item
            FROM (
                SELECT p.base_key, p.tag, p.content FROM pair AS p
                UNION ALL SELECT p.other_base_key, p.other_tag, p.other_content FROM pair AS p
            ) AS p
            GROUP BY p.base_key, p.tag
        )
        SELECT p.collection, p.id,
               CASE WHEN p.is_internal THEN false
                    WHEN EXISTS (SELECT FROM almagest.exposed AS e WHERE (e.collection, e.item) = (p.collection, p.id))
                    THEN true
                    -- A property that outsiders see as it is has another value: nearly always, and quickly told.
                    WHEN NOT b.item ? 'properties' AND NOT o.item ? 'properties' AND EXISTS (
                        SELECT FROM jsonb_each(p.content->'properties') AS e
                        WHERE e.value <> p.other_content->'properties'->e.key AND e.key <> 'href'
                          AND jsonb_typeof(e.value) NOT IN ('object', 'array')
                          AND jsonb_typeof(p.other_content->'properties'->e.key) NOT IN ('object', 'array')
                          AND NOT almagest.is_hidden_name(e.key, policy.hidden_properties))
                    THEN false
                    ELSE almagest.looks_alike(
                        almagest.port_whole(p.content), p.geometry, b.item,
                        almagest.port_whole(p.other_content), p.other_geometry, o.item,
                        p.collection, p.id, '{}', policy, suspicion) END AS may_look_alike
        FROM pair AS p
        JOIN base AS b ON (b.base_key, b.tag) IS NOT DISTINCT FROM (p.base_key, p.tag)
        JOIN base AS o ON (o.base_key, o.tag) IS NOT DISTINCT FROM (p.other_base_key, p.other_tag)
        ORDER BY p.collection, p.id
    LOOP
        collection := edge.collection; id := edge.id;
        IF edge.may_look_alike THEN
            PERFORM almagest.note_seen(edge.collection, edge.id, ended_by);
        END IF;
    END LOOP;
END;
$$;
COMMENT ON FUNCTION almagest.note_edges(text, text, int, timestamptz) IS
    'As note_seen, of the next few items after one that have states which had ended by then; answers which the last one of '
    'them was, or NULL where there are no more.';


CREATE OR REPLACE FUNCTION almagest.hold_all_history() RETURNS void
LANGUAGE plpgsql VOLATILE SET search_path = almagest, pg_temp
AS $$
BEGIN
    LOCK TABLE almagest.item_history, almagest.collection_history, almagest.change IN ACCESS EXCLUSIVE MODE;
END;
$$;
COMMENT ON FUNCTION almagest.hold_all_history() IS 'As hold_history, of all its partitions.';


CREATE OR REPLACE FUNCTION almagest.old_history(ended_by timestamptz) RETURNS TABLE (partition regclass)
LANGUAGE sql STABLE SET search_path = almagest, public, pg_temp SET timezone = 'UTC'
AS $$
    SELECT i.inhrelid::regclass
    FROM pg_inherits AS i JOIN pg_class AS c ON c.oid = i.inhrelid,
         LATERAL regexp_match(c.relname, '_(\d{4})q(\d)$') AS n(parts)
    WHERE i.inhparent IN (
        'almagest.item_history'::regclass, 'almagest.collection_history'::regclass, 'almagest.change'::regclass)
      AND make_timestamptz(parts[1]::int, parts[2]::int * 3 - 2, 1, 0, 0, 0) + interval '3 months' <= ended_by
$$;
COMMENT ON FUNCTION almagest.old_history(timestamptz) IS 'Partitions of history that hold only what ended by then.';


CREATE OR REPLACE FUNCTION almagest.drop_history(
    partitions regclass[], only_empty boolean, OUT items int, OUT collections int
)
LANGUAGE plpgsql VOLATILE SET search_path = almagest, public, pg_temp
AS $$
DECLARE
    old record;
    states int;
BEGIN
    items := 0; collections := 0;
    FOR old IN
        SELECT i.inhrelid::regclass AS part, i.inhparent::regclass AS whole
        FROM pg_inherits AS i WHERE i.inhrelid = ANY (partitions)
    LOOP
        EXECUTE format('SELECT count(*) FROM %s', old.part) INTO states;
        IF states = 0 OR NOT only_empty THEN
            EXECUTE format('DROP TABLE %s', old.part);
            IF old.whole = 'almagest.item_history'::regclass THEN
                items := items + states;
            ELSIF old.whole = 'almagest.collection_history'::regclass THEN
                collections := collections + states;
            END IF;
        END IF;
    END LOOP;
    IF collections > 0 THEN
        PERFORM almagest.note_commit('');
    END IF;
END;
$$;
COMMENT ON FUNCTION almagest.drop_history(regclass[], boolean) IS
    'Drops partitions of history, and answers how many states of items and of collections were in them. To be called after '
    'hold_all_history, and after raise_floor if they may hold anything of the log.';


CREATE OR REPLACE FUNCTION almagest.log_floor(ended_by timestamptz) RETURNS timestamptz
LANGUAGE sql IMMUTABLE
AS $$ SELECT date_trunc('quarter', ended_by, 'UTC') $$;
COMMENT ON FUNCTION almagest.log_floor(timestamptz) IS
    'Before this moment the log is gone once what ended by then was forgotten, whether or not there was any.';


CREATE OR REPLACE FUNCTION almagest.prune_leftovers(of_collection text, ended_by timestamptz, OUT heads int, OUT bases int)
LANGUAGE plpgsql VOLATILE SET search_path = almagest, public, pg_temp
AS $$
BEGIN
    DELETE FROM almagest.item_head AS h
    WHERE h.deleted AND h.valid_from <= ended_by AND (of_collection IS NULL OR h.collection = of_collection)
      AND NOT EXISTS (SELECT FROM almagest.item_history AS s WHERE s.collection = h.collection AND s.id = h.id);
    GET DIAGNOSTICS heads = ROW_COUNT;
    DELETE FROM almagest.seen_since AS s
    WHERE (s.item = '' AND NOT EXISTS (SELECT FROM almagest.collection_head AS h WHERE h.id = s.collection))
       OR (s.item <> '' AND NOT EXISTS (
            SELECT FROM almagest.item_head AS h WHERE (h.collection, h.id) = (s.collection, s.item)));
    DELETE FROM almagest.base_item AS b
    WHERE NOT EXISTS (SELECT FROM almagest.port_collection_ids() AS c(id) WHERE almagest.port_collection_key(c.id) = b.collection_key)
      AND NOT EXISTS (SELECT FROM almagest.item_history AS s WHERE s.base_key = b.collection_key);
    GET DIAGNOSTICS bases = ROW_COUNT;
END;
$$;
COMMENT ON FUNCTION almagest.prune_leftovers(text, timestamptz) IS
    'Forgets items that are gone (NULL: none of them) and of which nothing is left, and base items that no state needs. To be '
    'called after raise_floor.';
