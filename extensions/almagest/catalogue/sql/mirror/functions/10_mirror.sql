-- How far a mirror has come. Whoever applies what a source tells calls `move_mirror` in the same transaction: a process that
-- dies has applied it and knows, or neither.

CREATE OR REPLACE FUNCTION almagest.begin_mirror(
    of_name text, of_source text, of_selection text[], is_fresh boolean,
    OUT walk bigint, OUT cursor text, OUT walked_at timestamptz, OUT other_selection boolean
)
LANGUAGE plpgsql VOLATILE SET search_path = almagest, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    held almagest.mirror;
BEGIN
    INSERT INTO almagest.mirror (name, source, selection) VALUES (of_name, of_source, of_selection)
    ON CONFLICT DO NOTHING;
    SELECT * INTO held FROM almagest.mirror AS m WHERE m.name = of_name FOR UPDATE;
    other_selection := NOT is_fresh AND held.selection IS DISTINCT FROM of_selection;
    IF is_fresh OR (held.source IS DISTINCT FROM of_source AND NOT other_selection) THEN
        UPDATE almagest.mirror AS m
        SET source = of_source, selection = of_selection, walk = m.walk + 1, cursor = NULL, walked_at = NULL
        WHERE m.name = of_name RETURNING * INTO held;
    END IF;
    walk := held.walk; cursor := held.cursor; walked_at := held.walked_at;
END;
$$;
COMMENT ON FUNCTION almagest.begin_mirror(text, text, text[], boolean) IS
    'How far a mirror has come. It begins anew (another walk, no cursor) where it is new, is to (fresh), or follows another '
    'source than before. Where it follows other collections, and is not to begin anew, it stays as it is: other_selection.';


CREATE OR REPLACE FUNCTION almagest.move_mirror(
    of_name text, of_walk bigint, from_cursor text, to_cursor text, is_walked boolean
) RETURNS boolean
LANGUAGE plpgsql VOLATILE SET search_path = almagest, pg_temp
AS $$
BEGIN
    UPDATE almagest.mirror AS m
    SET cursor = to_cursor, applied_at = almagest.clock(),
        walked_at = CASE WHEN is_walked THEN coalesce(m.walked_at, almagest.clock()) ELSE m.walked_at END
    WHERE m.name = of_name AND m.walk = of_walk AND m.cursor IS NOT DISTINCT FROM from_cursor;
    RETURN FOUND;
END;
$$;
COMMENT ON FUNCTION almagest.move_mirror(text, bigint, text, text, boolean) IS
    'A mirror has come from one cursor to another; false where somebody else has moved it meanwhile. is_walked: with this its '
    'walk has come to its end.';


CREATE OR REPLACE FUNCTION almagest.note_mirrored(
    of_name text, of_walk bigint, collections text[], items text[], moments timestamptz[], are_stored boolean[]
) RETURNS void
LANGUAGE plpgsql VOLATILE SET search_path = almagest, pg_temp
AS $$
BEGIN
    INSERT INTO almagest.mirrored AS m (mirror, collection, item, walk, at)
    SELECT of_name, e.collection, e.item, of_walk, e.at
    FROM unnest(collections, items, moments, are_stored) AS e(collection, item, at, is_stored)
    WHERE e.is_stored
    ORDER BY e.collection, e.item
    ON CONFLICT (mirror, collection, item) DO UPDATE SET walk = excluded.walk, at = excluded.at;
    UPDATE almagest.mirrored AS m SET walk = of_walk, at = e.at
    FROM unnest(collections, items, moments, are_stored) AS e(collection, item, at, is_stored)
    WHERE m.mirror = of_name AND m.collection = e.collection AND m.item = e.item AND NOT e.is_stored;
END;
$$;
COMMENT ON FUNCTION almagest.note_mirrored(text, bigint, text[], text[], timestamptz[], boolean[]) IS
    'The source has these items, and (empty) collections; each at most once. Those that were not stored here are noted only '
    'where an earlier state of theirs came from there.';


CREATE OR REPLACE FUNCTION almagest.is_anothers(of_name text, of_collection text) RETURNS boolean
LANGUAGE plpgsql VOLATILE SET search_path = almagest, public, pg_temp
AS $$
BEGIN
    PERFORM almagest.lock_collection(of_collection);
    RETURN almagest.port_collection_exists(of_collection) AND NOT EXISTS (
        SELECT FROM almagest.mirrored AS m WHERE m.mirror = of_name AND m.collection = of_collection AND m.item = '');
END;
$$;
COMMENT ON FUNCTION almagest.is_anothers(text, text) IS
    'Whether a collection is here that a mirror has not brought; until the transaction ends nobody else makes or deletes it.';


CREATE OR REPLACE FUNCTION almagest.remove_mirrored(
    of_name text, of_collection text, of_ids text[], may_prune boolean
) RETURNS int
LANGUAGE plpgsql VOLATILE SET search_path = almagest, public, pg_temp
AS $$
DECLARE
    removed int := 0;
    each_id text;
    ids text[];
BEGIN
    ids := ARRAY(
        SELECT i FROM unnest(of_ids) AS i
        WHERE EXISTS (
            SELECT FROM almagest.mirrored AS m
            WHERE m.mirror = of_name AND m.collection = of_collection
                AND (m.item = i OR (may_prune AND m.item = ''))));
    IF cardinality(ids) > 32 AND almagest.port_collection_exists(of_collection) THEN
        PERFORM almagest.lock_collection(of_collection); -- as put_items does
    END IF;
    FOR each_id IN SELECT i FROM unnest(ids) AS i ORDER BY 1 LOOP
        IF cardinality(ids) <= 32 THEN
            PERFORM almagest.lock_item(of_collection, each_id);
        END IF;
        IF almagest.port_delete_item(of_collection, each_id) THEN
            removed := removed + 1;
        END IF;
    END LOOP;
    DELETE FROM almagest.mirrored AS m
    WHERE m.mirror = of_name AND m.collection = of_collection AND m.item = ANY (ids);
    RETURN removed;
END;
$$;
COMMENT ON FUNCTION almagest.remove_mirrored(text, text, text[], boolean) IS
    'Deletes those of some items, which the source has not, that came from there; or (may_prune) all of them, where their '
    'collection came from there. Answers how many were here.';


CREATE OR REPLACE FUNCTION almagest.strangers(of_name text, of_collection text, few int)
RETURNS TABLE (item text)
LANGUAGE sql STABLE SET search_path = almagest, pg_temp
AS $$
    SELECT i FROM almagest.port_item_ids($2) AS i
    WHERE NOT EXISTS (
        SELECT FROM almagest.mirrored AS m WHERE m.mirror = $1 AND m.collection = $2 AND m.item = i)
    ORDER BY i LIMIT $3
$$;
COMMENT ON FUNCTION almagest.strangers(text, text, int) IS
    'The first few items of a collection that did not come from the source.';


CREATE OR REPLACE FUNCTION almagest.remove_mirrored_collection(
    of_name text, of_collection text, ended_at timestamptz, may_prune boolean
) RETURNS text
LANGUAGE plpgsql VOLATILE SET search_path = almagest, public, pg_temp
AS $$
DECLARE
    became text := 'absent';
BEGIN
    IF EXISTS (
        SELECT FROM almagest.mirrored AS m
        WHERE m.mirror = of_name AND m.collection = of_collection AND m.at > ended_at
    ) THEN
        -- It is told of late: the collection was made again, and something that is in it now was told of before.
        RETURN 'late';
    END IF;
    IF almagest.is_anothers(of_name, of_collection) THEN
        RETURN 'anothers';
    END IF;
    IF NOT may_prune AND EXISTS (SELECT FROM almagest.strangers(of_name, of_collection, 1)) THEN
        PERFORM almagest.remove_mirrored(of_name, of_collection, ARRAY(
            SELECT m.item FROM almagest.mirrored AS m
            WHERE m.mirror = of_name AND m.collection = of_collection AND m.item <> ''), FALSE);
        became := 'kept';
    ELSIF almagest.port_collection_exists(of_collection) THEN
        PERFORM almagest.port_delete_collection(of_collection);
        became := 'deleted';
    END IF;
    DELETE FROM almagest.mirrored AS m WHERE m.mirror = of_name AND m.collection = of_collection;
    RETURN became;
END;
$$;
COMMENT ON FUNCTION almagest.remove_mirrored_collection(text, text, timestamptz, boolean) IS
    'Deletes a collection that the source has deleted then (NULL: at some time), with all its items. Answers what became of '
    'it: deleted, absent, late (it was made again since), anothers (it did not come from there), or kept, where others have '
    'put items into it that are not to be pruned: only those go that came from the source.';


CREATE OR REPLACE FUNCTION almagest.unmirrored(
    of_name text, of_walk bigint, after_collection text, after_item text, few int
)
RETURNS TABLE (collection text, item text)
LANGUAGE sql STABLE SET search_path = almagest, pg_temp
AS $$
    SELECT m.collection, m.item FROM almagest.mirrored AS m
    WHERE m.mirror = $1 AND (m.collection, m.item) > ($3, $4) AND m.walk < $2 AND m.item <> ''
    ORDER BY m.collection, m.item LIMIT $5
$$;
COMMENT ON FUNCTION almagest.unmirrored(text, bigint, text, text, int) IS
    'The next few items after one that came from the source and were not met in this walk.';


CREATE OR REPLACE FUNCTION almagest.mirrored_collections(of_name text) RETURNS TABLE (collection text, walk bigint)
LANGUAGE sql STABLE SET search_path = almagest, pg_temp
AS $$
    SELECT m.collection, m.walk FROM almagest.mirrored AS m WHERE m.mirror = $1 AND m.item = '' ORDER BY 1
$$;
COMMENT ON FUNCTION almagest.mirrored_collections(text) IS
    'The collections that came from the source, and in which walk they were last heard of.';
