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


CREATE OR REPLACE FUNCTION almagest.move_exposed(
    of_collection text, ids text[], old_prefix text, new_prefix text
) RETURNS bigint
LANGUAGE sql VOLATILE SET search_path = almagest, public, pg_temp
AS $$
    WITH moved AS (
        UPDATE almagest.exposed AS e
        SET location = new_prefix || substr(e.location, length(old_prefix) + 1)
        WHERE e.collection = of_collection AND e.item = ANY (ids) AND starts_with(e.location, old_prefix)
        RETURNING 1
    )
    SELECT count(*) FROM moved
$$;
COMMENT ON FUNCTION almagest.move_exposed(text, text[], text, text) IS
    'Rewrites the beginning of where exposed assets of these items lie. Answers how many there were.';
