-- What could make versions untrue, and what is untrue already.

CREATE OR REPLACE FUNCTION almagest.refuse_truncate() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = almagest, pg_temp
AS $$
BEGIN
    RAISE feature_not_supported USING
        MESSAGE = format('%s is not truncated: of what is in it no version would be left.', TG_RELID::regclass),
        HINT = 'Use DELETE.';
END;
$$;
COMMENT ON FUNCTION almagest.refuse_truncate() IS 'Refuses TRUNCATE, which no other trigger meets.';


CREATE OR REPLACE FUNCTION almagest.guard_partitions() RETURNS event_trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = almagest, pg_temp
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


CREATE OR REPLACE FUNCTION almagest.lost_items() RETURNS TABLE (collection text, id text)
LANGUAGE sql STABLE SET search_path = almagest, public, pg_temp
AS $$
    SELECT h.collection, h.id FROM almagest.item_head AS h
    WHERE NOT h.deleted
      AND NOT EXISTS (SELECT FROM almagest.port_item_keys() AS i WHERE i.collection = h.collection AND i.id = h.id)
$$;
COMMENT ON FUNCTION almagest.lost_items() IS 'Items that should be there and are not: they went without leaving a version.';


CREATE OR REPLACE FUNCTION almagest.unknown_items() RETURNS TABLE (collection text, id text)
LANGUAGE sql STABLE SET search_path = almagest, public, pg_temp
AS $$
    SELECT DISTINCT i.collection, i.id FROM almagest.port_item_keys() AS i
    WHERE NOT EXISTS (
              SELECT FROM almagest.item_head AS h
              WHERE h.collection = i.collection AND h.id = i.id AND NOT h.deleted)
      AND (NOT EXISTS (SELECT FROM almagest.adopted_collection AS a WHERE a.id = i.collection)
           OR EXISTS (SELECT FROM almagest.item_head AS h WHERE h.collection = i.collection AND h.id = i.id AND h.deleted))
$$;
COMMENT ON FUNCTION almagest.unknown_items() IS 'Items that are there and should not be: they came without leaving a version.';


CREATE OR REPLACE FUNCTION almagest.mend_versions(OUT gone int, OUT come int)
LANGUAGE plpgsql VOLATILE SET search_path = almagest, public, pg_temp
AS $$
DECLARE
    item record;
    head almagest.item_head;
    is_there boolean;
BEGIN
    gone := 0; come := 0;
    FOR item IN
        SELECT l.collection, l.id FROM almagest.lost_items() AS l
        UNION ALL SELECT u.collection, u.id FROM almagest.unknown_items() AS u
        ORDER BY 1, 2
    LOOP
        -- Nobody else writes it from here on.
        INSERT INTO almagest.item_head (collection, id, xact, login) VALUES (item.collection, item.id, NULL, NULL)
        ON CONFLICT DO NOTHING;
        IF FOUND THEN
            come := come + 1;
            CONTINUE;
        END IF;
        head := almagest.locked_head(item.collection, item.id);
        is_there := EXISTS (SELECT FROM almagest.port_item(item.collection, item.id));
        IF head.deleted AND is_there THEN
            PERFORM almagest.note_item(head, NULL, NULL, NULL, NULL, i.datetime, i.end_datetime, i.geometry, i.content)
            FROM almagest.port_row(item.collection, item.id) AS i;
            come := come + 1;
        ELSIF NOT head.deleted AND NOT is_there THEN
            -- What it was is lost: all that is known is that it is no more.
            UPDATE almagest.item_head AS h SET deleted = true, xact = NULL, login = NULL
            WHERE h.collection = item.collection AND h.id = item.id;
            gone := gone + 1;
        END IF;
    END LOOP;
END;
$$;
COMMENT ON FUNCTION almagest.mend_versions() IS
    'Makes heads agree with what is there, after items were changed while nobody kept versions; answers how many had gone '
    'and come.';
