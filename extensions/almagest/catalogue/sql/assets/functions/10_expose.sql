-- What outsiders may read of what is stored.

CREATE OR REPLACE FUNCTION almagest.expose_assets(
    of_collection text, items text[], keys text[], locations text[]
) RETURNS bigint
LANGUAGE sql VOLATILE SET search_path = almagest, public, pg_temp
AS $$
    WITH changed AS (
        INSERT INTO almagest.exposed AS present (collection, item, key, location)
        SELECT of_collection, given.item, given.key, given.location
        FROM unnest(items, keys, locations) AS given(item, key, location)
        -- In order, so that two that expose the same cannot wait for each other.
        ORDER BY given.item, given.key
        ON CONFLICT (collection, item, key) DO UPDATE SET location = excluded.location
        WHERE present.location <> excluded.location
        RETURNING 1
    )
    SELECT count(*) FROM changed
$$;
COMMENT ON FUNCTION almagest.expose_assets(text, text[], text[], text[]) IS
    'Lets outsiders read assets of a collection, given as arrays of equal length; answers how many were not exposed there '
    'before. An asset need not exist yet.';


CREATE OR REPLACE FUNCTION almagest.hide_assets(of_collection text, items text[], keys text[]) RETURNS bigint
LANGUAGE sql VOLATILE SET search_path = almagest, public, pg_temp
AS $$
    WITH hidden AS (
        DELETE FROM almagest.exposed AS e
        WHERE e.collection = of_collection AND (items IS NULL OR e.item = ANY (items))
          AND (keys IS NULL OR e.key LIKE ANY (keys))
        RETURNING 1
    )
    SELECT count(*) FROM hidden
$$;
COMMENT ON FUNCTION almagest.hide_assets(text, text[], text[]) IS
    'Lets outsiders no longer read assets of a collection; items: ids, keys: LIKE patterns, NULL for all. Answers how many '
    'there were.';


CREATE OR REPLACE FUNCTION almagest.moved_asset(asset jsonb, old_prefix text, new_prefix text) RETURNS jsonb
LANGUAGE sql IMMUTABLE PARALLEL SAFE SET search_path = almagest, public, pg_temp
AS $$
    SELECT CASE jsonb_typeof(asset) WHEN 'object' THEN
        asset
        || CASE WHEN starts_with(asset->>'href', old_prefix)
                THEN jsonb_build_object('href', new_prefix || substr(asset->>'href', length(old_prefix) + 1))
                ELSE '{}' END
        || CASE WHEN jsonb_typeof(asset->'alternate') = 'object' THEN jsonb_build_object('alternate', (
                SELECT coalesce(jsonb_object_agg(a.name, almagest.moved_asset(a.place, old_prefix, new_prefix)), '{}')
                FROM jsonb_each(asset->'alternate') AS a(name, place)))
                ELSE '{}' END
    ELSE asset END
$$;
COMMENT ON FUNCTION almagest.moved_asset(jsonb, text, text) IS
    'An asset whose hrefs, those of its alternates included, begin with another prefix where they began with the old one.';


CREATE OR REPLACE FUNCTION almagest.migrate_prefix(
    of_collection text, ids text[], old_prefix text, new_prefix text
) RETURNS TABLE (items int, exposed int)
LANGUAGE plpgsql VOLATILE SET search_path = almagest, public, pg_temp
AS $$
DECLARE
    item_id text;
    document jsonb;
    moved jsonb;
    changed jsonb := '[]';
BEGIN
    FOR item_id IN SELECT DISTINCT i.id FROM unnest(ids) AS i(id) ORDER BY i.id LOOP
        -- Before it is read, or what somebody else writes in between would be lost.
        PERFORM almagest.lock_item(of_collection, item_id);
        document := almagest.item_document(of_collection, item_id);
        CONTINUE WHEN document IS NULL OR jsonb_typeof(document->'assets') IS DISTINCT FROM 'object';
        SELECT jsonb_object_agg(a.key, almagest.moved_asset(a.value, old_prefix, new_prefix)) INTO moved
        FROM jsonb_each(document->'assets') AS a;
        IF moved <> document->'assets' THEN
            changed := changed || jsonb_set(document, '{assets}', moved);
        END IF;
    END LOOP;
    IF changed <> '[]' THEN
        PERFORM almagest.upsert_items(changed);
    END IF;
    items := jsonb_array_length(changed);
    UPDATE almagest.exposed AS e
    SET location = new_prefix || substr(e.location, length(old_prefix) + 1)
    WHERE e.collection = of_collection AND e.item = ANY (ids) AND starts_with(e.location, old_prefix);
    GET DIAGNOSTICS exposed = ROW_COUNT;
    RETURN NEXT;
END;
$$;
COMMENT ON FUNCTION almagest.migrate_prefix(text, text[], text, text) IS
    'Rewrites the beginning of asset hrefs in stored items, and with it where exposed assets lie. Answers how many items '
    'and how many exposed assets changed.';
