-- Writing: collections by pgSTAC's own functions, items straight into its table, so that a write costs what it has to.

CREATE OR REPLACE FUNCTION almagest.port_count_present(collection_id text, item_ids text[]) RETURNS bigint
LANGUAGE sql STABLE SET search_path = pgstac, public, pg_temp
AS $$ SELECT count(DISTINCT i.id) FROM pgstac.items AS i WHERE i.collection = collection_id AND i.id = ANY (item_ids) $$;
COMMENT ON FUNCTION almagest.port_count_present(text, text[]) IS 'How many of these items are stored.';


CREATE OR REPLACE FUNCTION almagest.port_collection_exists(collection_id text) RETURNS boolean
LANGUAGE sql STABLE SET search_path = pgstac, public, pg_temp
AS $$ SELECT EXISTS (SELECT FROM pgstac.collections c WHERE c.id = collection_id) $$;
COMMENT ON FUNCTION almagest.port_collection_exists(text) IS 'Whether the collection exists.';


CREATE OR REPLACE FUNCTION almagest.port_current_base(collection_id text)
RETURNS TABLE (key bigint, item_id int, item text)
LANGUAGE sql STABLE SET search_path = pgstac, public, pg_temp
AS $$
    SELECT c.key, b.base_item_id, b.base_item::text
    FROM pgstac.collections AS c, pgstac.current_base_item(c.id) AS b
    WHERE c.id = collection_id
$$;
COMMENT ON FUNCTION almagest.port_current_base(text) IS
    'What items of a collection are stripped against at present: the key of the collection, the tag of such items (NULL: none) '
    'and the base item. No row if there is no such collection.';


CREATE OR REPLACE FUNCTION almagest.port_is_same_joined(one jsonb, one_base jsonb, other jsonb, other_base jsonb)
RETURNS boolean
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
AS $$
DECLARE
    kind text;
BEGIN
    -- NULL: nothing is there, unlike a JSON null.
    IF one IS NOT DISTINCT FROM other AND one_base IS NOT DISTINCT FROM other_base THEN
        RETURN true;
    END IF;
    IF one IS NULL THEN
        one := one_base; one_base := NULL;
    ELSIF one = almagest.port_marker() THEN
        one := NULL; one_base := NULL;
    END IF;
    IF other IS NULL THEN
        other := other_base; other_base := NULL;
    ELSIF other = almagest.port_marker() THEN
        other := NULL; other_base := NULL;
    END IF;
    kind := jsonb_typeof(one);
    IF kind IS DISTINCT FROM jsonb_typeof(other) THEN
        RETURN false;
    ELSIF kind = 'object' THEN
        one_base := CASE jsonb_typeof(one_base) WHEN 'object' THEN one_base ELSE '{}' END;
        other_base := CASE jsonb_typeof(other_base) WHEN 'object' THEN other_base ELSE '{}' END;
        RETURN NOT EXISTS (
            SELECT FROM jsonb_object_keys(one || one_base || other || other_base) AS k(key)
            WHERE (one->k.key IS DISTINCT FROM other->k.key OR one_base->k.key IS DISTINCT FROM other_base->k.key)
              AND NOT almagest.port_is_same_joined(one->k.key, one_base->k.key, other->k.key, other_base->k.key));
    ELSIF kind = 'array' THEN
        IF jsonb_array_length(one) <> jsonb_array_length(other) THEN
            RETURN false;
        END IF;
        -- Arrays of another length than that of the base stand for themselves.
        one_base := CASE WHEN jsonb_typeof(one_base) = 'array' AND jsonb_array_length(one_base) = jsonb_array_length(one)
                         THEN one_base END;
        other_base := CASE WHEN jsonb_typeof(other_base) = 'array' AND jsonb_array_length(other_base) = jsonb_array_length(one)
                           THEN other_base END;
        RETURN NOT EXISTS (
            SELECT FROM generate_series(0, jsonb_array_length(one) - 1) AS n
            WHERE NOT almagest.port_is_same_joined(one->n, one_base->n, other->n, other_base->n));
    END IF;
    RETURN one IS NOT DISTINCT FROM other;
END;
$$;
COMMENT ON FUNCTION almagest.port_is_same_joined(jsonb, jsonb, jsonb, jsonb) IS
    'Whether two stored documents, or parts of them, are the same once each is joined with its base. Looks only where '
    'they differ.';


CREATE OR REPLACE FUNCTION almagest.port_stripped(item jsonb, base jsonb) RETURNS jsonb
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE SET search_path = almagest, pg_temp
AS $$
DECLARE
    result jsonb;
BEGIN
    IF jsonb_typeof(item) = 'object' AND jsonb_typeof(base) = 'object' THEN
        SELECT coalesce(jsonb_object_agg(k.key, CASE
                   WHEN NOT item ? k.key THEN almagest.port_marker()
                   ELSE almagest.port_stripped(item->k.key, base->k.key) END), '{}') INTO result
        FROM jsonb_object_keys(base || item) AS k(key)
        -- As text: to jsonb 1 and 1.0 are equal, in a document they are not the same.
        WHERE (item->k.key)::text IS DISTINCT FROM (base->k.key)::text;
        RETURN result;
    ELSIF jsonb_typeof(item) = 'array' AND jsonb_typeof(base) = 'array'
          AND jsonb_array_length(item) = jsonb_array_length(base) THEN
        SELECT coalesce(jsonb_agg(almagest.port_stripped(item->n, base->n) ORDER BY n), '[]') INTO result
        FROM generate_series(0, jsonb_array_length(item) - 1) AS n;
        RETURN result;
    END IF;
    RETURN item;
END;
$$;
COMMENT ON FUNCTION almagest.port_stripped(jsonb, jsonb) IS
    'A value without what the base item has as well; port_joined gives it back. As almagest.catalogue.rows does it for many.';


CREATE OR REPLACE FUNCTION almagest.port_content(document jsonb, base jsonb, tag int) RETURNS jsonb
LANGUAGE sql IMMUTABLE PARALLEL SAFE SET search_path = almagest, pg_temp
AS $$
    SELECT almagest.port_stripped(
               document, (SELECT jsonb_object_agg(key, value) FROM jsonb_each(base) WHERE value <> 'null'))
           - '{id,collection,geometry,pgstac:base_item}'::text[]
           || CASE WHEN tag IS NULL THEN '{}' ELSE jsonb_build_object('pgstac:base_item', tag) END
$$;
COMMENT ON FUNCTION almagest.port_content(jsonb, jsonb, int) IS
    'What of an item is stored in its content, stripped against a base item with this tag.';


CREATE OR REPLACE FUNCTION almagest.port_whole(content jsonb) RETURNS jsonb
LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $$
    -- Some writers of pgSTAC lose this one; readers put it back.
    SELECT CASE WHEN content->'properties' ?& '{start_datetime,end_datetime}' AND NOT content->'properties' ? 'datetime'
                THEN jsonb_set(content, '{properties,datetime}', 'null') ELSE content END - 'pgstac:base_item'
$$;
COMMENT ON FUNCTION almagest.port_whole(jsonb) IS
    'Stored content without the tag of its base item, and with the null datetime that STAC requires beside a range.';


CREATE OR REPLACE FUNCTION almagest.port_is_same_item(one_key bigint, one jsonb, other_key bigint, other jsonb) RETURNS boolean
LANGUAGE plpgsql STABLE
-- Of every row that changes it is asked, and so it does first what settles most of them.
AS $$
DECLARE
    tag CONSTANT text := 'pgstac:base_item';
    one_properties CONSTANT jsonb := one->'properties';
    other_properties CONSTANT jsonb := other->'properties';
BEGIN
    IF one_properties IS DISTINCT FROM other_properties THEN
        -- Base items have no properties, so that there is no closer look to take; but for what some writers lose.
        RETURN one_properties ? 'datetime' <> (other_properties ? 'datetime')
               AND almagest.port_whole(jsonb_build_object('properties', one_properties))
                   = almagest.port_whole(jsonb_build_object('properties', other_properties))
               AND almagest.port_is_same_item(one_key, one - 'properties', other_key, other - 'properties');
    END IF;
    RETURN one = other AND one_key = other_key OR almagest.port_is_same_joined(
        one - tag, almagest.base_item_of(one_key, one), other - tag, almagest.base_item_of(other_key, other));
END;
$$;
COMMENT ON FUNCTION almagest.port_is_same_item(bigint, jsonb, bigint, jsonb) IS
    'Whether two stored contents are the same to a reader, whatever they were stripped against, each while its collection '
    'had that key.';


CREATE OR REPLACE FUNCTION almagest.port_put_items(
    collection_id text, item_ids text[], starts text[], ends text[], geometries bytea[], contents text[],
    OUT created int, OUT updated int, OUT unchanged int, OUT first_new text, OUT first_old text
)
LANGUAGE plpgsql VOLATILE SET search_path = almagest, public, pg_temp SET timezone = 'UTC' SET work_mem = '64MB'
-- Of a table that grows while it is filled the planner knows too little: rows are found by their index, one by one.
SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off
AS $$
DECLARE
    doubled text[];
    key CONSTANT bigint := almagest.port_collection_key(collection_id);
    expected int;
BEGIN
    WITH judged AS MATERIALIZED (
        SELECT g.id, g.start_at, g.end_at, g.shape, g.content, s.times, s.is_same
        FROM (
            SELECT u.id, u.start_at::timestamptz, u.end_at::timestamptz, u.shape::geometry, u.content::jsonb
            FROM unnest(item_ids, starts, ends, geometries, contents) AS u(id, start_at, end_at, shape, content)
            OFFSET 0 -- each is parsed once
        ) AS g, LATERAL (
            SELECT count(*) AS times,
                   bool_and(i.datetime = g.start_at AND i.end_datetime = g.end_at
                            AND i.geometry::bytea = g.shape::bytea
                            AND (i.content = g.content OR almagest.port_is_same_item(key, i.content, key, g.content))) AS is_same
            FROM pgstac.items AS i
            WHERE i.collection = collection_id AND i.id = g.id
        ) AS s
    ), changed AS (
        -- Where its time moved to another partition, PostgreSQL moves the row.
        UPDATE pgstac.items AS i
        SET datetime = j.start_at, end_datetime = j.end_at, geometry = j.shape, content = j.content
        FROM judged AS j
        WHERE i.collection = collection_id AND i.id = j.id AND j.times = 1 AND NOT j.is_same
        RETURNING 1
    ), added AS (
        INSERT INTO pgstac.items (id, geometry, collection, datetime, end_datetime, content)
        SELECT j.id, j.shape, collection_id, j.start_at, j.end_at, j.content FROM judged AS j WHERE j.times = 0
        RETURNING 1
    )
    SELECT (SELECT count(*) FROM added), (SELECT count(*) FROM changed),
           count(*) FILTER (WHERE times = 1 AND is_same), count(*) FILTER (WHERE times = 1 AND NOT is_same),
           min(id) FILTER (WHERE times = 0), min(id) FILTER (WHERE times > 0), array_agg(id) FILTER (WHERE times > 1)
    INTO created, updated, unchanged, expected, first_new, first_old, doubled
    FROM judged;
    IF updated <> expected THEN
        RAISE serialization_failure USING MESSAGE = 'An item was deleted while it was written.';
    END IF;
    IF doubled IS NOT NULL THEN
        -- A writer of pgSTAC left one id in several partitions: none of the rows counts for more than the others.
        DELETE FROM pgstac.items AS i WHERE i.collection = collection_id AND i.id = ANY (doubled);
        SELECT expected + p.created INTO updated
        FROM (
            SELECT array_agg(u.id) AS ids, array_agg(u.start_at) AS starts, array_agg(u.end_at) AS ends,
                   array_agg(u.shape) AS shapes, array_agg(u.content) AS contents
            FROM unnest(item_ids, starts, ends, geometries, contents) AS u(id, start_at, end_at, shape, content)
            WHERE u.id = ANY (doubled)
        ) AS d, LATERAL almagest.port_put_items(collection_id, d.ids, d.starts, d.ends, d.shapes, d.contents) AS p;
    END IF;
END;
$$;
COMMENT ON FUNCTION almagest.port_put_items(text, text[], text[], text[], bytea[], text[]) IS
    'Stores items, none twice, given as their rows in arrays of equal length: times as text, shapes as EWKB, contents as '
    'JSON. What is the same already is not touched. Answers how many there were of each kind, and the first id that was new '
    'and that was there. Raises 23514 where there is no partition for one, 40001 and 23505 where another writer came in between.';


CREATE OR REPLACE FUNCTION almagest.port_ensure_partitions(
    collection_id text, starts text[], ends text[], may_change boolean
) RETURNS text[]
LANGUAGE plpgsql VOLATILE SET search_path = pgstac, public, pg_temp SET timezone = 'UTC'
AS $$
DECLARE
    wanted record;
    partition_names text[] := '{}';
BEGIN
    FOR wanted IN
        WITH given AS (
            SELECT u.start_at::timestamptz, u.end_at::timestamptz
            FROM unnest(starts, ends) AS u(start_at, end_at)
        ), grouped AS (
            SELECT p.partition, p.partition_dtrange,
                   CASE WHEN p.partition IS NULL THEN date_trunc(c.partition_trunc, g.start_at) END AS missing,
                   min(g.start_at) AS first_start, max(g.start_at) AS last_start,
                   min(g.end_at) AS first_end, max(g.end_at) AS last_end
            FROM given AS g
            CROSS JOIN (SELECT partition_trunc FROM pgstac.collections WHERE id = collection_id) AS c
            LEFT JOIN pgstac.partition_stats AS p ON p.collection = collection_id AND p.partition_dtrange @> g.start_at
            GROUP BY 1, 2, 3
        )
        SELECT n.name, n.bounds, g.first_start, g.last_start, g.first_end, g.last_end,
               m.constraint_dtrange @> tstzrange(g.first_start, g.last_start, '[]')
               AND m.constraint_edtrange @> tstzrange(g.first_end, g.last_end, '[]') AS covered
        FROM grouped AS g
        CROSS JOIN LATERAL (
            SELECT g.partition AS name, g.partition_dtrange AS bounds WHERE g.partition IS NOT NULL
            UNION ALL
            SELECT p.partition_name, p.partition_range FROM pgstac.partition_name(collection_id, g.first_start) AS p
            WHERE g.partition IS NULL
        ) AS n
        LEFT JOIN LATERAL pgstac.partition_catalog_meta(n.name) AS m ON true
        ORDER BY n.name
    LOOP
        partition_names := partition_names || wanted.name;
        CONTINUE WHEN wanted.covered;
        IF NOT may_change THEN
            RETURN NULL;
        END IF;
        -- To the borders of years and partitions: each widening reads the whole partition and keeps everybody waiting.
        PERFORM pgstac.check_partition(
            collection_id,
            tstzrange(greatest(date_trunc('year', wanted.first_start), lower(wanted.bounds)),
                      least(date_trunc('year', wanted.last_start) + interval '1 year', upper(wanted.bounds))
                      - interval '1 microsecond', '[]'),
            tstzrange(date_trunc('year', wanted.first_end),
                      date_trunc('year', wanted.last_end) + interval '1 year' - interval '1 microsecond', '[]'));
    END LOOP;
    RETURN partition_names;
END;
$$;
COMMENT ON FUNCTION almagest.port_ensure_partitions(text, text[], text[], boolean) IS
    'Makes partitions for items of these times where they are missing, or widens what they take, and answers their names; '
    'NULL where it would have to and may not. Where it does, nobody reads the partition until the transaction ends.';


CREATE OR REPLACE FUNCTION almagest.port_refresh_partition(partition_name text) RETURNS void
LANGUAGE sql VOLATILE SET search_path = pgstac, public, pg_temp
AS $$ SELECT pgstac.update_partition_stats_q(partition_name) $$;
COMMENT ON FUNCTION almagest.port_refresh_partition(text) IS
    'Notes what times a partition really holds, for the planner and for pgSTAC. Reads all of it.';


CREATE OR REPLACE FUNCTION almagest.port_hold_item(collection_id text, item_id text) RETURNS boolean
LANGUAGE plpgsql VOLATILE SET search_path = pgstac, public, pg_temp
AS $$
BEGIN
    -- Whoever deletes and inserts again while this waits leaves another row behind.
    FOR attempt IN 1..10 LOOP
        PERFORM FROM pgstac.items AS i WHERE i.collection = collection_id AND i.id = item_id FOR UPDATE;
        IF FOUND THEN
            RETURN true;
        END IF;
        PERFORM FROM pgstac.items AS i WHERE i.collection = collection_id AND i.id = item_id;
        IF NOT FOUND THEN
            RETURN false;
        END IF;
    END LOOP;
    RAISE serialization_failure USING MESSAGE = 'An item changes too often to be held.';
END;
$$;
COMMENT ON FUNCTION almagest.port_hold_item(text, text) IS
    'Keeps everybody else from changing an item until the transaction ends; false if there is none.';


CREATE OR REPLACE FUNCTION almagest.port_hold_collection(collection_id text) RETURNS boolean
LANGUAGE plpgsql VOLATILE SET search_path = pgstac, public, pg_temp
AS $$
BEGIN
    PERFORM FROM pgstac.collections AS c WHERE c.id = collection_id FOR NO KEY UPDATE;
    RETURN FOUND;
END;
$$;
COMMENT ON FUNCTION almagest.port_hold_collection(text) IS
    'Keeps everybody else from changing a collection until the transaction ends; false if there is none. Its items may go on.';


CREATE OR REPLACE FUNCTION almagest.port_delete_item(collection_id text, item_id text) RETURNS boolean
LANGUAGE plpgsql VOLATILE SET search_path = pgstac, public, pg_temp
AS $$
BEGIN
    DELETE FROM pgstac.items i WHERE i.collection = collection_id AND i.id = item_id;
    RETURN FOUND;
END;
$$;
COMMENT ON FUNCTION almagest.port_delete_item(text, text) IS 'Deletes an item from every partition; false if none held it.';


CREATE OR REPLACE FUNCTION almagest.port_create_collection(document jsonb, divided_by text DEFAULT NULL) RETURNS void
LANGUAGE sql VOLATILE SET search_path = pgstac, public, pg_temp
AS $$ INSERT INTO pgstac.collections (content, partition_trunc) VALUES (document, divided_by) $$;
COMMENT ON FUNCTION almagest.port_create_collection(jsonb, text) IS
    'Stores a new collection, whose items will lie in partitions of a year or a month, or in one. Raises 23505 where the id '
    'is taken.';


CREATE OR REPLACE FUNCTION almagest.port_update_collection(document jsonb) RETURNS void
LANGUAGE sql VOLATILE SET search_path = pgstac, public, pg_temp
AS $$ SELECT pgstac.update_collection(document) $$;
COMMENT ON FUNCTION almagest.port_update_collection(jsonb) IS
    'Replaces a collection. Raises P0002 where there is none of this id.';


CREATE OR REPLACE FUNCTION almagest.port_delete_collection(collection_id text) RETURNS void
LANGUAGE sql VOLATILE SET search_path = pgstac, public, pg_temp
AS $$ SELECT pgstac.delete_collection(collection_id) $$;
COMMENT ON FUNCTION almagest.port_delete_collection(text) IS
    'Drops a collection with all its items. Raises P0002 where there is none of this id.';
