-- Collections, and what happens to all items of one at once.

CREATE OR REPLACE FUNCTION almagest.capture_base_item() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    key CONSTANT bigint := almagest.port_collection_key(NEW.collection);
    first CONSTANT jsonb := (SELECT b.item FROM almagest.base_item AS b WHERE b.collection_key = key AND b.tag = 0);
    is_first CONSTANT boolean := NOT EXISTS (SELECT FROM almagest.base_item AS b WHERE b.collection_key = key AND b.tag > 0);
BEGIN
    -- Items without a tag are read with the first one, whatever that says.
    IF is_first AND NEW.base_item <> first THEN
        RAISE insufficient_privilege USING
            MESSAGE = format('The first base item of collection %s is another.', NEW.collection),
            HINT = 'pgSTAC makes it, when the collection changes.';
    END IF;
    INSERT INTO almagest.base_item (collection_key, tag, item) VALUES (key, NEW.id, NEW.base_item);
    RETURN NULL;
END;
$$;
COMMENT ON FUNCTION almagest.capture_base_item() IS 'Items of a collection will be stripped against something else.';


CREATE OR REPLACE FUNCTION almagest.begin_move() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    INSERT INTO almagest.moving_collection (id) VALUES (NEW.id);
    -- All of them will be inserted again: none may look new.
    INSERT INTO almagest.item_head (collection, id, valid_from, xact, login, actor, key_id, request_id, job)
    SELECT NEW.id, i.id, v.installed_at, NULL, NULL, NULL, NULL, NULL, NULL
    FROM almagest.adopted_collection AS a, almagest.versioning AS v, almagest.port_item_ids(NEW.id) AS i(id)
    WHERE a.id = NEW.id
    ON CONFLICT DO NOTHING;
    DELETE FROM almagest.adopted_collection AS a WHERE a.id = NEW.id;
    RETURN NULL;
END;
$$;
COMMENT ON FUNCTION almagest.begin_move() IS 'pgSTAC is about to drop the tables of a collection and to fill new ones.';


CREATE OR REPLACE FUNCTION almagest.end_move() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    DELETE FROM almagest.moving_collection AS m WHERE m.id = NEW.id;
    RETURN NULL;
END;
$$;
COMMENT ON FUNCTION almagest.end_move() IS 'pgSTAC has filled the new tables of a collection.';


CREATE OR REPLACE FUNCTION almagest.empty_collection() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    part CONSTANT regclass := almagest.port_part_of(OLD.id);
    moment timestamptz;
    item record;
BEGIN
    PERFORM almagest.note_commit(OLD.id);
    IF part IS NOT NULL THEN
        PERFORM almagest.port_hold_part(part);
        -- All at once, for pgSTAC drops their tables at once; but for those that this transaction has changed already.
        SELECT almagest.next_moment(max(h.valid_from)) INTO moment FROM almagest.item_head AS h WHERE h.collection = OLD.id;
        EXECUTE format($query$
            INSERT INTO almagest.item_history (
                collection, id, valid_from, valid_to, deleted, base_key, datetime, end_datetime, geometry, content,
                login, actor, key_id, request_id, job, xact)
            SELECT i.collection, i.id, coalesce(h.valid_from, v.installed_at), $1, false, $2,
                   i.datetime, i.end_datetime, i.geometry, i.content, h.login, h.actor, h.key_id, h.request_id, h.job, h.xact
            FROM %s AS i
            LEFT JOIN almagest.item_head AS h ON h.collection = i.collection AND h.id = i.id
            CROSS JOIN almagest.versioning AS v
            WHERE h.deleted IS NOT TRUE AND almagest.is_own(h.xact, h.xmin) IS NOT TRUE
            ON CONFLICT DO NOTHING -- of two in different partitions one is kept
        $query$, part) USING moment, OLD.key;
        EXECUTE format($query$
            WITH ended AS (
                INSERT INTO almagest.item_head AS h (collection, id, valid_from, deleted)
                SELECT DISTINCT i.collection, i.id, $1, true FROM %s AS i
                ON CONFLICT (collection, id) DO UPDATE
                SET valid_from = excluded.valid_from, deleted = true, xact = excluded.xact, login = excluded.login,
                    actor = excluded.actor, key_id = excluded.key_id, request_id = excluded.request_id, job = excluded.job
                WHERE NOT h.deleted AND almagest.is_own(h.xact, h.xmin) IS NOT TRUE
                RETURNING h.collection, h.id
            )
            INSERT INTO almagest.change (collection, item, at) SELECT e.collection, e.id, $1 FROM ended AS e
        $query$, part) USING moment;
        FOR item IN EXECUTE format($query$
            SELECT i.* FROM %s AS i JOIN almagest.item_head AS h ON h.collection = i.collection AND h.id = i.id
            WHERE NOT h.deleted OR almagest.is_own(h.xact, h.xmin) IS NOT TRUE -- which came while no trigger saw to it
        $query$, part) LOOP
            PERFORM almagest.note_item(
                item.collection, item.id, item.datetime, item.end_datetime, item.geometry, item.content, NULL, NULL, NULL, NULL);
        END LOOP;
    END IF;
    DELETE FROM almagest.adopted_collection AS a WHERE a.id = OLD.id;
    RETURN OLD;
END;
$$;
COMMENT ON FUNCTION almagest.empty_collection() IS
    'A collection is about to go, and its items with it: pgSTAC drops their tables, of which no other trigger tells.';


CREATE OR REPLACE FUNCTION almagest.note_collection(of_id text, old_content jsonb, new_content jsonb) RETURNS void
LANGUAGE plpgsql VOLATILE
AS $$
DECLARE
    head almagest.collection_head;
    before almagest.collection_history;
    moment timestamptz;
BEGIN
    PERFORM almagest.note_commit(of_id);
    -- One that came while no trigger saw to it has been as it is since versions are kept.
    INSERT INTO almagest.collection_head (id, valid_from, deleted, xact, login, actor, key_id, request_id, job)
    SELECT of_id, v.installed_at, old_content IS NULL, NULL, NULL, NULL, NULL, NULL, NULL FROM almagest.versioning AS v
    ON CONFLICT DO NOTHING;
    PERFORM FROM almagest.collection_head AS h WHERE h.id = of_id FOR NO KEY UPDATE;
    SELECT * INTO head FROM almagest.collection_head AS h WHERE h.id = of_id AND almagest.is_own(h.xact, h.xmin);
    IF FOUND THEN
        moment := head.valid_from;
        SELECT * INTO before FROM almagest.collection_history AS h WHERE h.id = of_id AND h.valid_to = moment;
        IF NOT FOUND AND new_content IS NULL THEN
            DELETE FROM almagest.collection_head AS h WHERE h.id = of_id;
            RETURN;
        ELSIF FOUND AND before.content IS NOT DISTINCT FROM new_content THEN
            DELETE FROM almagest.collection_history AS h WHERE h.id = of_id AND h.valid_to = moment;
            UPDATE almagest.collection_head AS h
            SET valid_from = before.valid_from, deleted = before.content IS NULL, xact = before.xact, login = before.login,
                actor = before.actor, key_id = before.key_id, request_id = before.request_id, job = before.job
            WHERE h.id = of_id;
            RETURN;
        END IF;
    ELSE
        SELECT * INTO head FROM almagest.collection_head AS h WHERE h.id = of_id;
        moment := almagest.next_moment(head.valid_from);
        INSERT INTO almagest.collection_history (
            id, valid_from, valid_to, content, login, actor, key_id, request_id, job, xact)
        VALUES (of_id, head.valid_from, moment, old_content, head.login, head.actor, head.key_id, head.request_id, head.job,
                head.xact);
        INSERT INTO almagest.change (collection, at) VALUES (of_id, moment);
    END IF;
    UPDATE almagest.collection_head AS h
    SET valid_from = moment, deleted = new_content IS NULL, xact = DEFAULT, login = DEFAULT, actor = DEFAULT,
        key_id = DEFAULT, request_id = DEFAULT, job = DEFAULT
    WHERE h.id = of_id;
END;
$$;
COMMENT ON FUNCTION almagest.note_collection(text, jsonb, jsonb) IS 'As note_item, of a collection.';


CREATE OR REPLACE FUNCTION almagest.capture_collection() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF TG_OP = 'INSERT' THEN
        INSERT INTO almagest.base_item (collection_key, tag, item) VALUES (NEW.key, 0, NEW.base_item);
        PERFORM almagest.note_commit(NEW.id);
        WITH begun AS (
            INSERT INTO almagest.collection_head (id) VALUES (NEW.id) ON CONFLICT DO NOTHING RETURNING valid_from
        )
        INSERT INTO almagest.change (collection, at) SELECT NEW.id, b.valid_from FROM begun AS b;
        IF NOT FOUND THEN
            PERFORM almagest.note_collection(NEW.id, NULL, NEW.content);
        END IF;
    ELSIF TG_OP = 'DELETE' THEN
        PERFORM almagest.note_collection(OLD.id, OLD.content, NULL);
    ELSIF OLD.id <> NEW.id THEN
        RAISE feature_not_supported USING
            MESSAGE = format('The id of collection %s cannot be changed.', OLD.id), HINT = 'Create another one.';
    ELSIF OLD.content <> NEW.content THEN
        PERFORM almagest.note_collection(OLD.id, OLD.content, NEW.content);
    ELSIF OLD.content::text <> NEW.content::text THEN
        PERFORM almagest.note_commit(NEW.id); -- as of items: 5 is 5.0, but what is sent is another text
    END IF;
    RETURN NULL;
END;
$$;
COMMENT ON FUNCTION almagest.capture_collection() IS 'A collection appears, changes or goes.';
