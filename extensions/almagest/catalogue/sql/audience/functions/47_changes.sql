-- What changed, for outsiders: the log without what they cannot see. A place in it is named by the last change that they saw,
-- never by its numbers, which hidden changes move.

CREATE OR REPLACE FUNCTION almagest.public_beginning(of_collection text, of_id text, at timestamptz)
RETURNS TABLE (moment timestamptz, deleted boolean)
LANGUAGE plpgsql STABLE
SET search_path = almagest, public, pg_temp SET plan_cache_mode = force_generic_plan
AS $$
BEGIN
    -- Of the states that had not ended before: the one that ended then and the one that began.
    RETURN QUERY
    SELECT c.moment, c.deleted
    FROM almagest.public_changes(of_collection, of_id, at - interval '1 microsecond', coalesce((
        SELECT s.valid_to FROM almagest.stored_states(of_collection, of_id, at, 'infinity') AS s ORDER BY s.valid_to LIMIT 1
    ), 'infinity'), false, 1) AS c
    WHERE c.moment = at;
END;
$$;
COMMENT ON FUNCTION almagest.public_beginning(text, text, timestamptz) IS
    'Whether something new began for outsiders at this moment, and whether it was a deletion; no row: nothing did.';


CREATE OR REPLACE FUNCTION almagest.public_state(of_collection text, of_id text, at timestamptz)
RETURNS TABLE (moment timestamptz, deleted boolean)
LANGUAGE plpgsql STABLE
SET search_path = almagest, public, pg_temp SET plan_cache_mode = force_generic_plan
AS $$
DECLARE
    ends timestamptz;
BEGIN
    SELECT s.valid_to INTO ends FROM almagest.stored_states(of_collection, of_id, at, 'infinity') AS s
    ORDER BY s.valid_to LIMIT 1;
    RETURN QUERY
    SELECT c.moment, c.deleted
    FROM almagest.public_changes(of_collection, of_id, '-infinity', coalesce(ends, 'infinity'), false, 1) AS c;
END;
$$;
COMMENT ON FUNCTION almagest.public_state(text, text, timestamptz) IS
    'What outsiders see of an item, or (without an id) of a collection, since when, as it was at this moment, or the earliest '
    'that is left; no row: nothing.';


CREATE OR REPLACE FUNCTION almagest.public_change(entry almagest.change)
RETURNS TABLE (moment timestamptz, kind text)
LANGUAGE plpgsql STABLE
SET search_path = almagest, public, pg_temp SET plan_cache_mode = force_generic_plan
AS $$
DECLARE
    was_deleted CONSTANT boolean := (SELECT s.was_deleted FROM almagest.begun_state(entry.collection, entry.item, entry.at) AS s);
BEGIN
    IF EXISTS (
        SELECT FROM almagest.overtakers(entry.collection, entry.item, entry.at, entry.era, entry.xact) AS o(at)
        WHERE EXISTS (SELECT FROM almagest.public_beginning(entry.collection, entry.item, o.at))
    ) THEN
        RETURN;
    ELSIF entry.announced IS NOT NULL THEN
        -- That an asset was exposed once is hidden, when it is not any more.
        RETURN QUERY
        SELECT s.moment, CASE WHEN s.deleted THEN 'deleted' WHEN entry.announced = 'collection' THEN 'created' ELSE 'updated' END
        FROM almagest.public_state(entry.collection, entry.item, entry.at) AS s
        WHERE entry.announced = 'collection'
           OR EXISTS (
               SELECT FROM almagest.asset_location(entry.collection, entry.item, substr(entry.announced, 7)) AS a
               JOIN almagest.exposed AS e ON (e.collection, e.item, e.key, e.location)
                   = (entry.collection, entry.item, substr(entry.announced, 7), a.location)
               CROSS JOIN almagest.audience_policy() AS p
               WHERE NOT almagest.is_hidden_name(e.key, p.hidden_properties));
    ELSE
        RETURN QUERY
        SELECT b.moment, CASE WHEN b.deleted THEN 'deleted' WHEN was_deleted THEN 'restored'
                              WHEN was_deleted IS NULL THEN 'created' ELSE 'updated' END
        FROM almagest.public_beginning(entry.collection, entry.item, entry.at) AS b;
    END IF;
END;
$$;
COMMENT ON FUNCTION almagest.public_change(almagest.change) IS
    'What outsiders are told of a row of the log; no row: nothing.';


CREATE OR REPLACE FUNCTION external.changes_page(
    after_era int, after_xact xid8, after_sequence bigint, of_collections text[], few int, steps int
)
RETURNS TABLE (
    era int, xact xid8, sequence bigint, collection text, item text, at timestamptz, moment timestamptz, kind text,
    is_end boolean
)
LANGUAGE plpgsql STABLE SECURITY DEFINER
SET search_path = almagest, public, pg_temp SET enable_partition_pruning = on SET plan_cache_mode = force_generic_plan
SET standard_conforming_strings = on SET client_min_messages = error
AS $$
#variable_conflict use_column
DECLARE
    horizon CONSTANT record := almagest.change_horizon();
    visible CONSTANT text[] := almagest.public_collections_ever(of_collections);
    entry almagest.change;
    told record;
    walked int := 0;
    judged int := 0;
BEGIN
    FOR entry IN
        SELECT * FROM almagest.change AS c
        WHERE (c.era, c.xact, c.sequence) > (after_era, after_xact, after_sequence)
          AND (c.era, c.xact) < (horizon.era, horizon.xact)
        ORDER BY c.era, c.xact, c.sequence LIMIT steps
    LOOP
        walked := walked + 1;
        after_era := entry.era; after_xact := entry.xact; after_sequence := entry.sequence;
        CONTINUE WHEN entry.collection <> ALL (visible);
        SELECT * INTO told FROM almagest.public_change(entry);
        IF told.kind IS NOT NULL THEN
            RETURN QUERY SELECT NULL::int, NULL::xid8, NULL::bigint, entry.collection, entry.item, entry.at, told.moment,
                                told.kind, false;
            few := few - 1;
            EXIT WHEN few = 0;
        END IF;
        -- To judge takes a hundred times as long as to pass by.
        judged := judged + 1;
        EXIT WHEN judged * 100 >= steps;
    END LOOP;
    RETURN QUERY SELECT after_era, after_xact, after_sequence, NULL::text, NULL::text, NULL::timestamptz, NULL::timestamptz,
        NULL::text, few > 0 AND walked < steps AND judged * 100 < steps;
END;
$$;
COMMENT ON FUNCTION external.changes_page(int, xid8, bigint, text[], int, int) IS
    'As almagest.changes_page, for outsiders: what changed for them, by what they may see today. The places that it tells are '
    'for the memory of our own services, and never sent.';


CREATE OR REPLACE FUNCTION external.latest_change(OUT era int, OUT xact xid8, OUT sequence bigint)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = almagest, pg_temp
SET standard_conforming_strings = on SET client_min_messages = error
AS $$ SELECT * FROM almagest.latest_change() $$;
COMMENT ON FUNCTION external.latest_change() IS
    'As almagest.latest_change, hidden ones included: it only tells our own services when to look.';


CREATE OR REPLACE FUNCTION external.last_change(
    before_era int, before_xact xid8, before_sequence bigint, steps int
)
RETURNS TABLE (
    era int, xact xid8, sequence bigint, collection text, item text, at timestamptz, is_end boolean
)
LANGUAGE plpgsql STABLE SECURITY DEFINER
SET search_path = almagest, public, pg_temp SET enable_partition_pruning = on SET plan_cache_mode = force_generic_plan
SET standard_conforming_strings = on SET client_min_messages = error
AS $$
#variable_conflict use_column
DECLARE
    horizon CONSTANT record := almagest.change_horizon();
    visible CONSTANT text[] := almagest.public_collections_ever(NULL);
    entry almagest.change;
    walked int := 0;
    judged int := 0;
BEGIN
    FOR entry IN
        SELECT * FROM almagest.change AS c
        WHERE (c.era, c.xact, c.sequence) < (
                  coalesce(before_era, horizon.era), coalesce(before_xact, horizon.xact), coalesce(before_sequence, 0))
        ORDER BY c.era DESC, c.xact DESC, c.sequence DESC LIMIT steps
    LOOP
        before_era := entry.era; before_xact := entry.xact; before_sequence := entry.sequence;
        walked := walked + 1;
        IF entry.collection = ANY (visible) THEN
            IF EXISTS (SELECT FROM almagest.public_change(entry)) THEN
                RETURN QUERY SELECT entry.era, entry.xact, entry.sequence, entry.collection, entry.item, entry.at, true;
                RETURN;
            END IF;
            judged := judged + 1;
            EXIT WHEN judged * 100 >= steps;
        END IF;
    END LOOP;
    RETURN QUERY SELECT before_era, before_xact, before_sequence, NULL::text, NULL::text, NULL::timestamptz,
        walked < steps AND judged * 100 < steps;
END;
$$;
COMMENT ON FUNCTION external.last_change(int, xid8, bigint, int) IS
    'The last change before a place (NULL: of all that are final) that outsiders are told of; no collection: it is not among so '
    'many steps, or (is_end) there is none.';


CREATE OR REPLACE FUNCTION almagest.has_forgotten(
    after_era int, after_xact xid8, after_sequence bigint, since timestamptz
) RETURNS boolean
LANGUAGE plpgsql STABLE
SET search_path = almagest, public, pg_temp SET plan_cache_mode = force_generic_plan
AS $$
DECLARE
    until CONSTANT timestamptz := (SELECT f.at FROM almagest.change_floor AS f WHERE f.at > since);
    visible CONSTANT text[] := CASE WHEN until IS NOT NULL THEN almagest.public_collections_ever(NULL) END;
BEGIN
    RETURN until IS NOT NULL AND EXISTS (
        SELECT FROM almagest.change AS c
        WHERE (c.era, c.xact, c.sequence) > (after_era, after_xact, after_sequence)
          AND c.at > since AND c.at <= until AND c.item IS NOT NULL AND c.announced IS NULL AND c.collection = ANY (visible)
          AND NOT EXISTS (SELECT FROM almagest.item_head AS h WHERE (h.collection, h.id) = (c.collection, c.item)));
END;
$$;
COMMENT ON FUNCTION almagest.has_forgotten(int, xid8, bigint, timestamptz) IS
    'Whether behind a place in the log there are changes of items of which nothing is left, not even that they were deleted, '
    'and were still there at a time: outsiders who began then and have come so far are not told any more.';


CREATE OR REPLACE FUNCTION external.place_of_change(
    of_collection text, of_item text, moment timestamptz, since timestamptz, OUT era int, OUT xact xid8, OUT sequence bigint
)
LANGUAGE plpgsql STABLE SECURITY DEFINER
SET search_path = almagest, public, pg_temp SET enable_partition_pruning = on SET plan_cache_mode = force_generic_plan
SET standard_conforming_strings = on SET client_min_messages = error
AS $$
#variable_conflict use_column
BEGIN
    IF of_collection IS NULL THEN
        era := 0; xact := '0'; sequence := 0;
    ELSE
        SELECT c.era, c.xact, c.sequence INTO era, xact, sequence FROM almagest.change AS c
        WHERE c.at = moment AND c.collection = of_collection AND c.item IS NOT DISTINCT FROM of_item
        ORDER BY c.era DESC, c.xact DESC, c.sequence DESC LIMIT 1;
        IF era IS NULL AND pg_is_in_recovery() AND moment > (
            SELECT c.at FROM almagest.change AS c ORDER BY c.era DESC, c.xact DESC, c.sequence DESC LIMIT 1
        ) THEN
            PERFORM almagest.refuse_unreplayed();
        END IF;
    END IF;
    IF almagest.has_forgotten(era, xact, sequence, coalesce(since, '-infinity')) THEN
        era := NULL;
    END IF;
END;
$$;
COMMENT ON FUNCTION external.place_of_change(text, text, timestamptz, timestamptz) IS
    'Where a change stands in the log that somebody was told of (no collection: of none yet), who began when it had been '
    'forgotten until a time; NULL where not all that came after it can still be told. Raises AM503 on a replica that has not come '
    'so far.';


CREATE OR REPLACE FUNCTION external.change_floor(OUT at timestamptz, OUT dropped timestamptz)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = almagest, pg_temp
SET standard_conforming_strings = on SET client_min_messages = error
AS $$ SELECT nullif(f.at, '-infinity'), f.dropped FROM (VALUES (true)) AS one LEFT JOIN almagest.change_floor AS f ON true $$;
COMMENT ON FUNCTION external.change_floor() IS
    'Until when deletions were forgotten, and the log itself; NULL: none were, and all of it is there.';


CREATE OR REPLACE FUNCTION external.shown_rules() RETURNS text
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = almagest, pg_temp
SET standard_conforming_strings = on SET client_min_messages = error
AS $$
    SELECT encode(sha256(convert_to(
        jsonb_build_array(p.origin, p.visible_schemes, p.visible_buckets, p.own_bucket, p.hidden_properties)::text,
        'UTF8')), 'hex')
    FROM almagest.audience_policy AS p
$$;
COMMENT ON FUNCTION external.shown_rules() IS
    'As almagest.shown_rules, for outsiders. Guesses could be compared with it: it is sent only under a key of ours.';


-- What outsiders see otherwise though nothing has changed is announced.

CREATE OR REPLACE FUNCTION almagest.announce_collections(ids text[]) RETURNS void
LANGUAGE plpgsql VOLATILE SET search_path = almagest, pg_temp
AS $$
DECLARE
    of_collection text;
    moment timestamptz;
BEGIN
    IF ids = '{}' THEN
        RETURN;
    END IF;
    PERFORM almagest.note_commit('');
    -- What somebody writes who saw them hidden can be passed in the log before they are seen, and must be among what is
    -- listed: whoever has begun is waited for, and whoever comes is told of by itself.
    PERFORM pg_advisory_xact_lock(almagest.writer_class(c.is_public), i.key)
    FROM (SELECT DISTINCT hashtext(n.id) AS key FROM unnest(ids) AS n(id)) AS i, (VALUES (false), (true)) AS c(is_public);
    FOREACH of_collection IN ARRAY ids LOOP
        SELECT greatest(almagest.clock(), max(h.valid_from) + interval '1 microsecond') INTO moment
        FROM (
            SELECT i.valid_from FROM almagest.item_head AS i WHERE i.collection = of_collection
            UNION ALL
            SELECT c.valid_from FROM almagest.collection_head AS c WHERE c.id = of_collection
        ) AS h;
        INSERT INTO almagest.change (collection, at, announced) VALUES (of_collection, moment, 'collection');
        INSERT INTO almagest.change (collection, item, at, announced)
        SELECT of_collection, i.id, moment, 'collection'
        FROM (
            SELECT h.id FROM almagest.item_head AS h WHERE h.collection = of_collection
            UNION
            SELECT k.id FROM almagest.port_item_keys() AS k WHERE k.collection = of_collection
        ) AS i
        ORDER BY i.id;
    END LOOP;
END;
$$;
COMMENT ON FUNCTION almagest.announce_collections(text[]) IS
    'Has those outside who follow changes told of collections that they have not seen until now, and of their items.';


CREATE OR REPLACE FUNCTION almagest.announce_visible() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    visible CONSTANT text[] := almagest.public_collections_ever(NULL);
BEGIN
    IF TG_WHEN = 'AFTER' AND current_setting('almagest.were_visible') <> '' THEN
        PERFORM almagest.announce_collections(ARRAY(
            SELECT v.id FROM unnest(visible) AS v(id)
            WHERE v.id <> ALL (current_setting('almagest.were_visible')::text[]) ORDER BY v.id));
    END IF;
    -- A statement that inserts or else updates comes here twice. Before the policy is set for the first time nothing is served
    -- to outsiders, who then follow nothing: whoever installs this on millions of items need not tell of each.
    PERFORM set_config('almagest.were_visible', CASE WHEN p.origin = '' THEN '' ELSE visible::text END, true)
    FROM almagest.audience_policy AS p;
    RETURN NULL;
END;
$$;
COMMENT ON FUNCTION almagest.announce_visible() IS 'Rules change: collections may be seen from outside now that were not.';

CREATE OR REPLACE TRIGGER almagest_visible BEFORE INSERT OR UPDATE OR DELETE OR TRUNCATE ON almagest.audience_policy
FOR EACH STATEMENT EXECUTE FUNCTION almagest.announce_visible();
CREATE OR REPLACE TRIGGER almagest_announced AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON almagest.audience_policy
FOR EACH STATEMENT EXECUTE FUNCTION almagest.announce_visible();
CREATE OR REPLACE TRIGGER almagest_visible BEFORE INSERT OR UPDATE OR DELETE OR TRUNCATE ON almagest.collection_rule
FOR EACH STATEMENT EXECUTE FUNCTION almagest.announce_visible();
CREATE OR REPLACE TRIGGER almagest_announced AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON almagest.collection_rule
FOR EACH STATEMENT EXECUTE FUNCTION almagest.announce_visible();


CREATE OR REPLACE FUNCTION almagest.announce_exposed() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM almagest.note_commit('');
    -- Whether it names the place that the asset does is asked when it is told.
    INSERT INTO almagest.change (collection, item, at, announced)
    SELECT e.collection, e.item, greatest(almagest.clock(), h.valid_from + interval '1 microsecond'), 'asset ' || e.key
    FROM changed AS e
    JOIN almagest.item_head AS h ON (h.collection, h.id) = (e.collection, e.item) AND NOT h.deleted
    ORDER BY e.collection, e.item, e.key;
    RETURN NULL;
END;
$$;
COMMENT ON FUNCTION almagest.announce_exposed() IS 'Outsiders may read assets that they could not.';

CREATE OR REPLACE TRIGGER almagest_exposed AFTER INSERT ON almagest.exposed
REFERENCING NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION almagest.announce_exposed();
CREATE OR REPLACE TRIGGER almagest_exposed_elsewhere AFTER UPDATE ON almagest.exposed
REFERENCING NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION almagest.announce_exposed();
