-- What could make versions untrue, and what is untrue already.

CREATE OR REPLACE FUNCTION almagest.refuse_truncate() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RAISE feature_not_supported USING
        MESSAGE = format('%s is not truncated: of what is in it no version would be left.', TG_RELID::regclass),
        HINT = 'Use DELETE.';
END;
$$;
COMMENT ON FUNCTION almagest.refuse_truncate() IS 'Refuses TRUNCATE, which no other trigger meets.';


CREATE OR REPLACE FUNCTION almagest.guard_partitions() RETURNS event_trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    made oid;
BEGIN
    FOR made IN
        SELECT c.objid FROM pg_event_trigger_ddl_commands() AS c
        WHERE c.classid = 'pg_class'::regclass AND c.object_type = 'table' AND almagest.port_is_partition(c.objid)
    LOOP
        PERFORM almagest.port_guard(made);
    END LOOP;
EXCEPTION WHEN OTHERS THEN
    -- Anybody's table, of which we know nothing: it is made all the same.
    RAISE WARNING 'Almagest could not look at a new table: %', SQLERRM;
END;
$$;
COMMENT ON FUNCTION almagest.guard_partitions() IS 'Of an event trigger: new partitions of items are not truncated either.';


CREATE OR REPLACE FUNCTION almagest.gone_unseen() RETURNS TABLE (collection text, id text)
LANGUAGE sql STABLE SET search_path = almagest, public, pg_temp
AS $$
    SELECT h.collection, h.id FROM almagest.item_head AS h
    WHERE NOT h.deleted
      AND NOT EXISTS (SELECT FROM almagest.port_item_keys() AS i WHERE i.collection = h.collection AND i.id = h.id)
    UNION ALL
    SELECT h.id, NULL FROM almagest.collection_head AS h
    WHERE NOT h.deleted AND NOT EXISTS (SELECT FROM almagest.port_collection_ids() AS c(id) WHERE c.id = h.id)
$$;
COMMENT ON FUNCTION almagest.gone_unseen() IS
    'Items, and collections (whose id is NULL), that should be there and are not: they went without leaving a version.';


CREATE OR REPLACE FUNCTION almagest.come_unseen() RETURNS TABLE (collection text, id text)
LANGUAGE sql STABLE SET search_path = almagest, public, pg_temp
AS $$
    SELECT DISTINCT i.collection, i.id FROM almagest.port_item_keys() AS i
    WHERE NOT EXISTS (
              SELECT FROM almagest.item_head AS h
              WHERE h.collection = i.collection AND h.id = i.id AND NOT h.deleted)
      AND (NOT EXISTS (SELECT FROM almagest.adopted_collection AS a WHERE a.id = i.collection)
           OR EXISTS (SELECT FROM almagest.item_head AS h WHERE h.collection = i.collection AND h.id = i.id AND h.deleted))
    UNION ALL
    SELECT c.id, NULL FROM almagest.port_collection_ids() AS c(id)
    WHERE NOT EXISTS (SELECT FROM almagest.collection_head AS h WHERE h.id = c.id AND NOT h.deleted)
$$;
COMMENT ON FUNCTION almagest.come_unseen() IS
    'Items, and collections (whose id is NULL), that are there and should not be: they came without leaving a version.';


CREATE OR REPLACE FUNCTION almagest.mend_versions(OUT gone int, OUT come int)
LANGUAGE plpgsql VOLATILE SET search_path = almagest, public, pg_temp
AS $$
DECLARE
    item record;
    began timestamptz;
BEGIN
    gone := 0; come := 0;
    INSERT INTO almagest.base_item (collection_key, tag, item)
    SELECT b.collection_key, b.tag, b.item FROM almagest.port_list_base_items() AS b
    ON CONFLICT DO NOTHING;
    FOR item IN SELECT g.collection, g.id FROM almagest.gone_unseen() AS g LOOP
        -- What it was is lost: all that is known is that it is no more.
        PERFORM almagest.note_commit(item.collection);
        IF item.id IS NULL THEN
            UPDATE almagest.collection_head AS h SET deleted = true, xact = NULL, login = NULL, actor = NULL, key_id = NULL, request_id = NULL, job = NULL
            WHERE h.id = item.collection RETURNING h.valid_from INTO began;
        ELSE
            UPDATE almagest.item_head AS h SET deleted = true, xact = NULL, login = NULL, actor = NULL, key_id = NULL, request_id = NULL, job = NULL
            WHERE h.collection = item.collection AND h.id = item.id RETURNING h.valid_from INTO began;
        END IF;
        INSERT INTO almagest.change (collection, item, at) VALUES (item.collection, item.id, began);
        gone := gone + 1;
    END LOOP;
    FOR item IN SELECT c.collection, c.id FROM almagest.come_unseen() AS c LOOP
        IF item.id IS NULL THEN
            PERFORM almagest.note_collection(item.collection, NULL, almagest.port_collection(item.collection));
        ELSE
            PERFORM almagest.note_commit(item.collection);
            WITH come AS (
                INSERT INTO almagest.item_head (collection, id, xact, login) VALUES (item.collection, item.id, NULL, NULL)
                ON CONFLICT DO NOTHING RETURNING valid_from
            )
            INSERT INTO almagest.change (collection, item, at) SELECT item.collection, item.id, c.valid_from FROM come AS c;
            IF NOT FOUND THEN
                PERFORM almagest.note_item(
                    item.collection, item.id, NULL, NULL, NULL, NULL, i.datetime, i.end_datetime, i.geometry, i.content)
                FROM almagest.port_row(item.collection, item.id) AS i;
            END IF;
        END IF;
        come := come + 1;
    END LOOP;
    IF gone + come > 0 THEN
        PERFORM almagest.distrust_rollups();
    END IF;
END;
$$;
COMMENT ON FUNCTION almagest.mend_versions() IS
    'Makes heads agree with what is there, after something was changed while nobody kept versions; answers how many items '
    'and collections had gone and come. To be called after port_hold_writers.';
