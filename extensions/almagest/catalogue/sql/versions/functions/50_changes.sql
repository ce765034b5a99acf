-- The log of changes, for whoever follows it: services that tell of changes, and what is counted from them.

CREATE OR REPLACE FUNCTION almagest.change_horizon(OUT era int, OUT xact xid8)
LANGUAGE sql STABLE
AS $$
    -- What was written in another era has ended, one way or the other.
    SELECT coalesce(almagest.present_era(), (SELECT max(e.number) + 1 FROM almagest.era AS e), 1),
           pg_snapshot_xmin(pg_current_snapshot())
$$;
COMMENT ON FUNCTION almagest.change_horizon() IS
    'Changes before this place are all there: every transaction that could write one has ended. In the same statement, they '
    'are all seen.';


CREATE OR REPLACE FUNCTION almagest.changes_between(
    after_era int, after_xact xid8, after_sequence bigint, before_era int, before_xact xid8, few int
)
RETURNS TABLE (era int, xact xid8, sequence bigint, collection text, item text, at timestamptz)
LANGUAGE plpgsql STABLE
SET search_path = almagest, public, pg_temp SET plan_cache_mode = force_generic_plan
AS $$
#variable_conflict use_column
BEGIN
    RETURN QUERY
    SELECT c.era, c.xact, c.sequence, c.collection, c.item, c.at FROM almagest.change AS c
    WHERE (c.era, c.xact, c.sequence) > (after_era, after_xact, after_sequence)
      AND (c.era, c.xact) < (before_era, before_xact)
    ORDER BY c.era, c.xact, c.sequence LIMIT few;
END;
$$;
COMMENT ON FUNCTION almagest.changes_between(int, xid8, bigint, int, xid8, int) IS
    'The first few changes (NULL: all) after one place in the log and before another, in its order.';


CREATE OR REPLACE FUNCTION almagest.changes_after(
    after_era int, after_xact xid8, after_sequence bigint, of_collections text[], few int
) RETURNS SETOF almagest.change
LANGUAGE plpgsql STABLE
SET search_path = almagest, public, pg_temp SET plan_cache_mode = force_generic_plan
AS $$
BEGIN
    RETURN QUERY
    SELECT c.* FROM almagest.change AS c
    WHERE (c.era, c.xact, c.sequence) > (after_era, after_xact, after_sequence)
      AND c.item IS NOT NULL AND c.announced IS NULL AND (of_collections IS NULL OR c.collection = ANY (of_collections))
    -- In its order, so that the end of its index is read. It is taken for a third of the log, which would sooner be read whole.
    ORDER BY c.era, c.xact, c.sequence LIMIT few;
END;
$$;
COMMENT ON FUNCTION almagest.changes_after(int, xid8, bigint, text[], int) IS
    'The first few changes (NULL: all) of items after a place in the log, final or not, of some collections (NULL: of all).';


CREATE OR REPLACE FUNCTION almagest.begun_state(
    of_collection text, of_id text, moment timestamptz, OUT deleted boolean, OUT was_deleted boolean
)
LANGUAGE plpgsql STABLE
SET search_path = almagest, public, pg_temp SET plan_cache_mode = force_generic_plan
AS $$
BEGIN
    IF of_id IS NULL THEN
        deleted := (
            SELECT h.deleted FROM almagest.collection_head AS h WHERE h.id = of_collection AND h.valid_from = moment
            UNION ALL
            SELECT h.content IS NULL FROM almagest.collection_history AS h
            WHERE h.id = of_collection AND h.valid_to > moment AND h.valid_from = moment
            LIMIT 1);
        was_deleted := (
            SELECT h.content IS NULL FROM almagest.collection_history AS h WHERE h.id = of_collection AND h.valid_to = moment);
        RETURN;
    END IF;
    deleted := (
        SELECT h.deleted FROM almagest.item_head AS h
        WHERE h.collection = of_collection AND h.id = of_id AND h.valid_from = moment);
    IF deleted IS NULL THEN
        deleted := (
            SELECT s.deleted FROM (
                SELECT h.valid_from, h.deleted FROM almagest.item_history AS h
                WHERE h.collection = of_collection AND h.id = of_id AND h.valid_to > moment
                ORDER BY h.valid_to LIMIT 1
            ) AS s
            WHERE s.valid_from = moment);
    END IF;
    was_deleted := (
        SELECT h.deleted FROM almagest.item_history AS h
        WHERE h.collection = of_collection AND h.id = of_id AND h.valid_to = moment);
END;
$$;
COMMENT ON FUNCTION almagest.begun_state(text, text, timestamptz) IS
    'Whether the state of an item, or (without an id) of a collection, that begins at this moment is a deletion, and whether '
    'the one before it was; NULL: there is none, or none any more.';


CREATE OR REPLACE FUNCTION almagest.overtakers(
    of_collection text, of_id text, moment timestamptz, of_era int, of_xact xid8
) RETURNS SETOF timestamptz
LANGUAGE plpgsql STABLE
SET search_path = almagest, public, pg_temp SET plan_cache_mode = force_generic_plan
AS $$
BEGIN
    RETURN QUERY
    SELECT s.valid_from
    FROM (
        SELECT h.valid_from, h.xact FROM almagest.item_head AS h
        WHERE h.collection = of_collection AND h.id = of_id
        UNION ALL
        SELECT h.valid_from, h.xact FROM almagest.item_history AS h
        WHERE h.collection = of_collection AND h.id = of_id AND h.valid_to > moment
        UNION ALL
        SELECT h.valid_from, h.xact FROM almagest.collection_head AS h
        WHERE of_id IS NULL AND h.id = of_collection
        UNION ALL
        SELECT h.valid_from, h.xact FROM almagest.collection_history AS h
        WHERE of_id IS NULL AND h.id = of_collection AND h.valid_to > moment
    ) AS s
    WHERE s.valid_from > moment AND s.xact < of_xact
      -- In another era the same number says nothing.
      AND EXISTS (
          SELECT FROM almagest.change AS c
          WHERE c.era = of_era AND c.xact = s.xact AND c.at = s.valid_from
            AND c.collection = of_collection AND c.item IS NOT DISTINCT FROM of_id);
END;
$$;
COMMENT ON FUNCTION almagest.overtakers(text, text, timestamptz, int, xid8) IS
    'When those states of an item, or (without an id) of a collection, began that came after this one and yet stand before it '
    'in the log: a transaction may have taken its number early and written late. Whoever was told of one must not be told of '
    'this one.';


CREATE OR REPLACE FUNCTION almagest.changes_page(
    after_era int, after_xact xid8, after_sequence bigint, of_collections text[], few int, steps int
)
RETURNS TABLE (
    era int, xact xid8, sequence bigint, collection text, item text, at timestamptz, moment timestamptz, kind text,
    is_end boolean
)
LANGUAGE plpgsql STABLE
SET search_path = almagest, public, pg_temp SET plan_cache_mode = force_generic_plan
AS $$
#variable_conflict use_column
DECLARE
    horizon CONSTANT record := almagest.change_horizon();
    entry almagest.change;
    state record;
    walked int := 0;
BEGIN
    FOR entry IN
        SELECT * FROM almagest.change AS c
        WHERE (c.era, c.xact, c.sequence) > (after_era, after_xact, after_sequence)
          AND (c.era, c.xact) < (horizon.era, horizon.xact)
        ORDER BY c.era, c.xact, c.sequence LIMIT steps
    LOOP
        walked := walked + 1;
        after_era := entry.era; after_xact := entry.xact; after_sequence := entry.sequence;
        CONTINUE WHEN entry.announced IS NOT NULL OR entry.collection <> ALL (of_collections);
        SELECT * INTO state FROM almagest.begun_state(entry.collection, entry.item, entry.at);
        CONTINUE WHEN state.deleted IS NULL -- its own transaction took it back, or it was forgotten
            OR EXISTS (SELECT FROM almagest.overtakers(entry.collection, entry.item, entry.at, entry.era, entry.xact));
        RETURN QUERY SELECT entry.era, entry.xact, entry.sequence, entry.collection, entry.item, entry.at, entry.at,
            CASE WHEN state.deleted THEN 'deleted' WHEN state.was_deleted THEN 'restored'
                 WHEN state.was_deleted IS NULL THEN 'created' ELSE 'updated' END, false;
        few := few - 1;
        EXIT WHEN few = 0;
    END LOOP;
    RETURN QUERY SELECT after_era, after_xact, after_sequence, NULL::text, NULL::text, NULL::timestamptz, NULL::timestamptz,
        NULL::text, few > 0 AND walked < steps;
END;
$$;
COMMENT ON FUNCTION almagest.changes_page(int, xid8, bigint, text[], int, int) IS
    'The first few changes of some collections (NULL: of all) after a place in the log, as they are told: created, updated, '
    'deleted, restored; moment: since when the state holds. At most so many steps are made. The last row has no kind, and says '
    'how far it came, and whether there is nothing behind it yet.';


CREATE OR REPLACE FUNCTION almagest.latest_change(OUT era int, OUT xact xid8, OUT sequence bigint)
LANGUAGE plpgsql STABLE
SET search_path = almagest, public, pg_temp SET plan_cache_mode = force_generic_plan
AS $$
#variable_conflict use_column
DECLARE
    horizon CONSTANT record := almagest.change_horizon();
BEGIN
    SELECT c.era, c.xact, c.sequence INTO era, xact, sequence FROM almagest.change AS c
    WHERE (c.era, c.xact) < (horizon.era, horizon.xact)
    ORDER BY c.era DESC, c.xact DESC, c.sequence DESC LIMIT 1;
END;
$$;
COMMENT ON FUNCTION almagest.latest_change() IS
    'The place of the last change that is final: who has waited for changes asks for them when it is another.';


CREATE OR REPLACE FUNCTION almagest.refuse_unreplayed() RETURNS void
LANGUAGE plpgsql STABLE
AS $$
BEGIN
    RAISE EXCEPTION USING ERRCODE = 'AM503', MESSAGE = 'This replica has not come as far as this cursor yet. Try again.';
END;
$$;
COMMENT ON FUNCTION almagest.refuse_unreplayed() IS
    'Raises AM503. Who has been told of changes by the primary, or by another replica, has not missed any.';


CREATE OR REPLACE FUNCTION almagest.place_kept(of_era int, of_xact xid8, of_sequence bigint) RETURNS boolean
LANGUAGE plpgsql STABLE
SET search_path = almagest, public, pg_temp SET plan_cache_mode = force_generic_plan
AS $$
BEGIN
    IF pg_is_in_recovery() AND (of_era, of_xact, of_sequence) > (
        SELECT c.era, c.xact, c.sequence FROM almagest.change AS c ORDER BY c.era DESC, c.xact DESC, c.sequence DESC LIMIT 1
    ) THEN
        PERFORM almagest.refuse_unreplayed();
    END IF;
    RETURN NOT EXISTS (SELECT FROM almagest.change_floor AS f WHERE (of_era, of_xact, of_sequence) < (f.era, f.xact, f.sequence))
       AND (of_sequence = 0 OR EXISTS (
            SELECT FROM almagest.change AS c WHERE (c.era, c.xact, c.sequence) = (of_era, of_xact, of_sequence)));
END;
$$;
COMMENT ON FUNCTION almagest.place_kept(int, xid8, bigint) IS
    'Whether all that came after this place can still be told. A place is that of a change, or (sequence 0) a former horizon. '
    'Raises AM503 on a replica that has not come so far.';


CREATE OR REPLACE FUNCTION almagest.raise_floor(
    until timestamptz, of_log boolean DEFAULT false, is_told boolean DEFAULT true
) RETURNS void
LANGUAGE plpgsql VOLATILE SET search_path = almagest, public, pg_temp
AS $$
DECLARE
    -- Partitions of the log end before a moment.
    last_at CONSTANT timestamptz := CASE WHEN of_log THEN until - interval '1 microsecond' ELSE until END;
    last record;
BEGIN
    SELECT c.era, c.xact, c.sequence INTO last FROM almagest.change AS c
    WHERE c.at <= last_at ORDER BY c.era DESC, c.xact DESC, c.sequence DESC LIMIT 1;
    INSERT INTO almagest.change_floor (era, xact, sequence, at) VALUES (0, '0', 0, '-infinity') ON CONFLICT DO NOTHING;
    UPDATE almagest.change_floor AS f SET era = last.era, xact = last.xact, sequence = last.sequence
    WHERE (f.era, f.xact, f.sequence) < (last.era, last.xact, last.sequence);
    UPDATE almagest.change_floor AS f SET at = last_at WHERE is_told AND f.at < last_at;
    UPDATE almagest.change_floor AS f SET dropped = greatest(f.dropped, until) WHERE of_log;
END;
$$;
COMMENT ON FUNCTION almagest.raise_floor(timestamptz, boolean, boolean) IS
    'To be called before something that the log tells of until this moment is forgotten for good; or (of_log) the log itself, of '
    'before it. The moment must be told by what was asked for, and not by what there is: outsiders see it, unless (not is_told) '
    'it is of an internal collection alone.';


CREATE OR REPLACE FUNCTION almagest.shown_rules() RETURNS text
LANGUAGE sql IMMUTABLE
AS $$ SELECT '' $$;
COMMENT ON FUNCTION almagest.shown_rules() IS 'What decides of documents what is seen of them, as a hash: nothing does inside.';
