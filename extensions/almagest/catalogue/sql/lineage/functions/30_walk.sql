-- Walks along edges: breadth first, in an order that follows from what the audience sees, so that a walk that is cut ends in
-- the same place whatever there is that it does not see. Whoever follows links of his own version sees but what his documents
-- show: a source that is hidden ends the path, and does not count.

CREATE OR REPLACE FUNCTION almagest.lineage_products(
    of_collection text, of_id text, of_version timestamptz, tail almagest.lineage_edge[],
    after_collection text, after_item text, after_from timestamptz, few int, origin text, outside boolean
)
RETURNS TABLE (collection text, item text, version timestamptz, is_pinned boolean, valid_from timestamptz)
LANGUAGE plpgsql STABLE
SET search_path = almagest, public, pg_temp SET plan_cache_mode = force_generic_plan
AS $$
#variable_conflict use_column
DECLARE
    walk refcursor; -- is planned to be left early, as the query of a loop is not
    here record;
    begins timestamptz := '-infinity';
    ends timestamptz := 'infinity';
    takes_earlier boolean := true;
    begun timestamptz;
    is_same boolean;
BEGIN
    IF NOT outside THEN
        -- Moments that mean this version. Outside it must be asked of each: a moment is that of a state they may not know.
        begins := of_version;
        ends := coalesce((
            SELECT s.valid_from FROM almagest.stored_states(of_collection, of_id, of_version, 'infinity') AS s
            WHERE s.valid_from > of_version AND NOT s.deleted ORDER BY s.valid_to LIMIT 1), 'infinity');
        takes_earlier := NOT EXISTS (
            SELECT FROM almagest.stored_states(of_collection, of_id, '-infinity', of_version) AS s WHERE NOT s.deleted);
    END IF;
    OPEN walk FOR
        SELECT e.collection, e.item, e.valid_from
        FROM (
            SELECT f.collection, f.item, f.valid_from, f.moment, f.is_pinned FROM almagest.lineage_edge AS f
            WHERE f.source_collection = of_collection AND f.source_item = of_id
              AND (f.collection, f.item, f.valid_from) > (after_collection, after_item, after_from)
            UNION ALL
            SELECT t.collection, t.item, t.valid_from, t.moment, t.is_pinned FROM unnest(tail) AS t
            WHERE t.source_collection = of_collection AND t.source_item = of_id
              AND (t.collection, t.item, t.valid_from) > (after_collection, after_item, after_from)
        ) AS e
        WHERE e.moment < ends AND (e.moment >= begins OR takes_earlier AND NOT e.is_pinned)
        ORDER BY e.collection, e.item, e.valid_from;
    LOOP
        FETCH walk INTO here;
        EXIT WHEN NOT FOUND;
        CONTINUE WHEN (here.collection, here.item, here.valid_from) = (collection, item, valid_from); -- of another link
        begun := almagest.version_near(here.collection, here.item, here.valid_from, true, outside);
        -- Of several states that look alike to outsiders the first is asked, and the others are.
        is_same := coalesce((here.collection, here.item, begun) = (collection, item, version), false);
        collection := here.collection; item := here.item; version := begun; valid_from := here.valid_from;
        CONTINUE WHEN is_same OR version IS NULL OR NOT outside AND version <> valid_from;
        is_pinned := (
            SELECT bool_or(s.is_pinned)
            FROM almagest.lineage_sources(
                almagest.lineage_document(collection, item, version, outside)->'links', version, origin, outside) AS s
            WHERE s.collection = of_collection AND s.item = of_id AND s.version = of_version);
        IF is_pinned IS NOT NULL THEN
            RETURN NEXT;
            few := few - 1;
            EXIT WHEN few = 0;
        END IF;
    END LOOP;
    CLOSE walk;
END;
$$;
COMMENT ON FUNCTION almagest.lineage_products(
    text, text, timestamptz, almagest.lineage_edge[], text, text, timestamptz, int, text, boolean
) IS
    'Versions that are derived from a version, in order: the next few after one. tail: edges that are not folded yet. Edges '
    'only say where to look; each document is asked itself.';


CREATE OR REPLACE FUNCTION almagest.lineage_node(
    of_collection text, of_id text, version timestamptz, document jsonb, outside boolean
) RETURNS jsonb
LANGUAGE plpgsql STABLE
SET search_path = almagest, public, pg_temp SET plan_cache_mode = force_generic_plan
AS $$
DECLARE
    is_latest boolean;
    who jsonb;
BEGIN
    IF outside THEN
        is_latest := NOT EXISTS (SELECT FROM almagest.public_changes(of_collection, of_id, version, 'infinity', true, 1));
    ELSE
        is_latest := NOT EXISTS (
            SELECT FROM almagest.stored_states(of_collection, of_id, version, 'infinity') AS s WHERE s.valid_from > version);
        who := (
            SELECT jsonb_build_object('job', s.job, 'actor', s.actor, 'key_id', s.key_id, 'login', s.login)
            FROM (
                SELECT h.valid_from, h.job, h.actor, h.key_id, h.login FROM almagest.item_head AS h
                WHERE h.collection = of_collection AND h.id = of_id
                UNION ALL
                SELECT h.valid_from, h.job, h.actor, h.key_id, h.login FROM almagest.item_history AS h
                WHERE h.collection = of_collection AND h.id = of_id AND h.valid_to > version
            ) AS s
            WHERE s.valid_from = version LIMIT 1);
    END IF;
    RETURN jsonb_strip_nulls(jsonb_build_object(
        'collection', of_collection, 'id', of_id, 'version', almagest.version_text(version),
        'title', CASE WHEN jsonb_typeof(document->'properties'->'title') = 'string' THEN document->'properties'->'title' END,
        'software', document->'properties'->'processing:software',
        'latest', is_latest,
        'deleted', NOT EXISTS (SELECT FROM almagest.port_row(of_collection, of_id))
    ) || coalesce(who, '{}'));
END;
$$;
COMMENT ON FUNCTION almagest.lineage_node(text, text, timestamptz, jsonb, boolean) IS
    'What is told of a version in a lineage. latest: nothing came after it; deleted: there is no such item today.';


CREATE OR REPLACE FUNCTION almagest.walk_lineage(
    of_collection text, of_id text, of_version timestamptz, upward boolean, depth int, most int, origin text, outside boolean
) RETURNS jsonb
LANGUAGE plpgsql STABLE SET search_path = almagest, public, pg_temp
AS $$
DECLARE
    at_once CONSTANT int := 100;
    tail almagest.lineage_edge[] := CASE WHEN NOT upward THEN ARRAY(SELECT t FROM almagest.lineage_tail() AS t) END;
    document jsonb := almagest.lineage_document(of_collection, of_id, of_version, outside);
    -- Of each node, in the order in which they are met.
    keys text[] := ARRAY[jsonb_build_array(of_collection, of_id, almagest.version_text(of_version))::text];
    collections text[] := ARRAY[of_collection];
    items text[] := ARRAY[of_id];
    versions timestamptz[] := ARRAY[of_version];
    sources jsonb[] := ARRAY[document->'links'];
    distances int[] := ARRAY[0];
    nodes jsonb[] := ARRAY[almagest.lineage_node(of_collection, of_id, of_version, document, outside)];
    edges jsonb[] := '{}';
    cut text[] := '{}';
    here int := 0;
    found record;
    met int;
    place int;
    seen int[];
    last_collection text;
    last_item text;
    last_from timestamptz;
BEGIN
    <<walking>>
    WHILE here < cardinality(keys) LOOP
        here := here + 1;
        CONTINUE WHEN versions[here] IS NULL; -- it lies elsewhere, or is not there
        IF distances[here] >= depth THEN
            IF NOT 'depth' = ANY (cut) AND (
                upward AND EXISTS (SELECT FROM almagest.source_links(sources[here], versions[here]))
                OR NOT upward AND EXISTS (SELECT FROM almagest.lineage_products(
                    collections[here], items[here], versions[here], tail, '', '', '-infinity', 1, origin, outside)))
            THEN
                cut := cut || 'depth'::text;
            END IF;
            CONTINUE;
        END IF;
        seen := '{}'; last_collection := ''; last_item := ''; last_from := '-infinity';
        LOOP
            met := 0;
            FOR found IN
                SELECT s.collection, s.item, s.version, s.name, s.href, s.is_pinned, NULL::timestamptz AS valid_from
                FROM almagest.lineage_sources(sources[here], versions[here], origin, outside) AS s WHERE upward
                UNION ALL
                SELECT p.collection, p.item, p.version, almagest.version_text(p.version), NULL, p.is_pinned, p.valid_from
                FROM almagest.lineage_products(
                    collections[here], items[here], versions[here], tail, last_collection, last_item, last_from, at_once,
                    origin, outside) AS p
                WHERE NOT upward
            LOOP
                met := met + 1;
                last_collection := found.collection; last_item := found.item; last_from := found.valid_from;
                place := array_position(keys, CASE WHEN found.href IS NOT NULL THEN to_jsonb(found.href)
                    ELSE jsonb_build_array(found.collection, found.item, found.name) END::text);
                IF place IS NULL THEN
                    IF cardinality(keys) >= most THEN
                        cut := cut || 'nodes'::text;
                        EXIT walking;
                    END IF;
                    document := CASE WHEN found.version IS NOT NULL THEN almagest.lineage_document(
                        found.collection, found.item, found.version, outside) END;
                    keys := keys || CASE WHEN found.href IS NOT NULL THEN to_jsonb(found.href)
                        ELSE jsonb_build_array(found.collection, found.item, found.name) END::text;
                    collections := collections || found.collection;
                    items := items || found.item;
                    versions := versions || found.version;
                    sources := array_append(sources, document->'links');
                    distances := distances || (distances[here] + 1);
                    nodes := array_append(nodes, CASE
                        WHEN found.href IS NOT NULL THEN jsonb_build_object('href', found.href)
                        WHEN found.version IS NOT NULL THEN almagest.lineage_node(
                            found.collection, found.item, found.version, document, outside)
                        ELSE jsonb_strip_nulls(jsonb_build_object(
                            'collection', found.collection, 'id', found.item, 'version', found.name)) END);
                    place := cardinality(keys);
                END IF;
                IF NOT place = ANY (seen) THEN
                    seen := seen || place;
                    edges := array_append(edges, jsonb_build_object(
                        'derived', CASE WHEN upward THEN here ELSE place END - 1,
                        'source', CASE WHEN upward THEN place ELSE here END - 1, 'pinned', found.is_pinned));
                END IF;
            END LOOP;
            EXIT WHEN upward OR met < at_once;
        END LOOP;
    END LOOP walking;
    RETURN jsonb_build_object('nodes', to_jsonb(nodes), 'edges', to_jsonb(edges), 'cut', to_jsonb(cut));
END;
$$;
COMMENT ON FUNCTION almagest.walk_lineage(text, text, timestamptz, boolean, int, int, text, boolean) IS
    'What a version is derived from (upward), or what is derived from it, as far as so many steps and nodes. nodes: the '
    'version itself first; edges: by the places of nodes; cut: what kept it from going further (depth, nodes).';


CREATE OR REPLACE FUNCTION almagest.lineage(
    of_collection text, of_id text, of_version timestamptz, upward boolean, depth int, most int, origin text,
    OUT lineage jsonb, OUT is_gone boolean
)
LANGUAGE plpgsql STABLE SET search_path = almagest, public, pg_temp
AS $$
DECLARE
    state record;
BEGIN
    IF of_version IS NULL THEN
        SELECT s.valid_from, s.deleted INTO state FROM almagest.item_states(of_collection, of_id, NULL, 1) AS s;
        is_gone := state.deleted;
        of_version := CASE WHEN NOT state.deleted THEN state.valid_from END;
    ELSIF NOT almagest.is_version(of_collection, of_id, of_version) THEN
        RETURN;
    END IF;
    IF of_version IS NOT NULL THEN
        lineage := almagest.walk_lineage(of_collection, of_id, of_version, upward, depth, most, origin, false);
    END IF;
END;
$$;
COMMENT ON FUNCTION almagest.lineage(text, text, timestamptz, boolean, int, int, text) IS
    'As walk_lineage, of a version (NULL: the present one) that is there; NULL where it is not. is_gone: there was one.';


CREATE OR REPLACE FUNCTION external.lineage(
    of_collection text, of_id text, of_version timestamptz, upward boolean, depth int, most int, origin text,
    OUT lineage jsonb, OUT is_gone boolean
)
LANGUAGE plpgsql STABLE SECURITY DEFINER
SET search_path = almagest, public, pg_temp SET enable_partition_pruning = on
SET standard_conforming_strings = on SET client_min_messages = error
AS $$
DECLARE
    state record;
BEGIN
    IF of_version IS NULL THEN
        SELECT s.valid_from, s.deleted INTO state FROM external.item_states(of_collection, of_id, NULL, 1) AS s;
        is_gone := state.deleted;
        of_version := CASE WHEN NOT state.deleted THEN state.valid_from END;
    ELSIF NOT external.is_version(of_collection, of_id, of_version) THEN
        RETURN;
    END IF;
    IF of_version IS NOT NULL THEN
        lineage := almagest.walk_lineage(of_collection, of_id, of_version, upward, depth, most, origin, true);
    END IF;
END;
$$;
COMMENT ON FUNCTION external.lineage(text, text, timestamptz, boolean, int, int, text) IS 'As almagest.lineage, for outsiders.';
