-- What leaves a version: row triggers, which meet every writer, ours and others, wherever in the tree of partitions it
-- writes. They cost little where a row is new, and keep a row that changes as it was stored, not as a document.
--
-- A state is what an item is between two commits. What a transaction makes of its own work is none: an item that one
-- deletes and inserts again is changed once, or not at all.

CREATE OR REPLACE FUNCTION almagest.next_moment(previous timestamptz) RETURNS timestamptz
LANGUAGE sql VOLATILE
-- The clock may step back; what was true later must have begun later.
AS $$ SELECT greatest(almagest.clock(), previous + interval '1 microsecond') $$;
COMMENT ON FUNCTION almagest.next_moment(timestamptz) IS 'When a state begins that follows on one that began then.';


CREATE OR REPLACE FUNCTION almagest.base_item_of(collection_key bigint, content jsonb) RETURNS jsonb
LANGUAGE sql STABLE SET search_path = almagest, pg_temp
AS $$
    SELECT b.item FROM almagest.base_item AS b
    WHERE b.collection_key = $1 AND b.tag IN (almagest.port_tag(content), 0)
    ORDER BY b.tag DESC LIMIT 1
$$;
COMMENT ON FUNCTION almagest.base_item_of(bigint, jsonb) IS 'What this content was stripped against, while the collection had this key.';


CREATE OR REPLACE FUNCTION almagest.locked_head(of_collection text, of_id text) RETURNS almagest.item_head
LANGUAGE plpgsql VOLATILE
AS $$
DECLARE
    head almagest.item_head;
    own CONSTANT xid8 := pg_current_xact_id();
BEGIN
    SELECT h.collection, h.id, h.valid_from, h.deleted,
           -- In another cluster, from which this database was restored, the same number was given before: not by this row.
           CASE WHEN h.xact = own AND age(h.xmin) <= age(own::xid) THEN own END,
           h.login, h.actor, h.key_id, h.request_id, h.job
    INTO head
    FROM almagest.item_head AS h
    WHERE h.collection = of_collection AND h.id = of_id
    FOR UPDATE;
    IF NOT FOUND THEN
        -- As it has been since versions are kept.
        INSERT INTO almagest.item_head (collection, id, valid_from, xact, login, actor, key_id, request_id, job)
        SELECT of_collection, of_id, v.installed_at, NULL, NULL, NULL, NULL, NULL, NULL FROM almagest.versioning AS v
        RETURNING * INTO head;
    END IF;
    RETURN head;
END;
$$;
COMMENT ON FUNCTION almagest.locked_head(text, text) IS
    'The present state of an item that is there; nobody else changes it now. xact is NULL unless it is this transaction''s.';


CREATE OR REPLACE FUNCTION almagest.note_item(
    head almagest.item_head,
    old_datetime timestamptz, old_end timestamptz, old_geometry geometry, old_content jsonb,
    new_datetime timestamptz, new_end timestamptz, new_geometry geometry, new_content jsonb
) RETURNS void
LANGUAGE plpgsql VOLATILE
AS $$
DECLARE
    base_key bigint := almagest.port_collection_key(head.collection);
    is_gone boolean := new_content IS NULL;
    moment timestamptz := almagest.next_moment(head.valid_from);
    before almagest.item_history;
BEGIN
    IF head.xact IS NOT NULL THEN
        moment := head.valid_from;
        SELECT * INTO before FROM almagest.item_history AS h
        WHERE h.collection = head.collection AND h.id = head.id AND h.valid_to = head.valid_from;
        IF NOT FOUND AND is_gone THEN
            DELETE FROM almagest.item_head AS h WHERE h.collection = head.collection AND h.id = head.id;
            RETURN;
        ELSIF before.deleted AND is_gone
              OR NOT before.deleted AND NOT is_gone AND almagest.port_is_same_row(
                  almagest.base_item_of(before.base_key, before.content),
                  before.datetime, before.end_datetime, before.geometry, before.content,
                  almagest.base_item_of(base_key, new_content), new_datetime, new_end, new_geometry, new_content) THEN
            -- As it was before: nothing has happened.
            DELETE FROM almagest.item_history AS h
            WHERE h.collection = head.collection AND h.id = head.id AND h.valid_to = head.valid_from;
            UPDATE almagest.item_head AS h
            SET valid_from = before.valid_from, deleted = before.deleted, xact = NULL, login = before.login,
                actor = before.actor, key_id = before.key_id, request_id = before.request_id, job = before.job
            WHERE h.collection = head.collection AND h.id = head.id;
            RETURN;
        END IF;
    ELSE
        INSERT INTO almagest.item_history (
            collection, id, valid_from, valid_to, deleted, base_key, datetime, end_datetime, geometry, content,
            login, actor, key_id, request_id, job)
        VALUES (head.collection, head.id, head.valid_from, moment, head.deleted, base_key,
                old_datetime, old_end, old_geometry, old_content,
                head.login, head.actor, head.key_id, head.request_id, head.job);
    END IF;
    UPDATE almagest.item_head AS h
    SET valid_from = moment, deleted = is_gone, xact = DEFAULT, login = DEFAULT, actor = DEFAULT, key_id = DEFAULT,
        request_id = DEFAULT, job = DEFAULT
    WHERE h.collection = head.collection AND h.id = head.id;
END;
$$;
COMMENT ON FUNCTION almagest.note_item(
    almagest.item_head, timestamptz, timestamptz, geometry, jsonb, timestamptz, timestamptz, geometry, jsonb
) IS
    'Ends the state of an item, whose row was this, and begins another, whose row is that; NULL content: there is none.';


CREATE OR REPLACE FUNCTION almagest.capture_insert() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = almagest, public, pg_temp
AS $$
DECLARE
    head almagest.item_head;
BEGIN
    INSERT INTO almagest.item_head (collection, id) VALUES (NEW.collection, NEW.id) ON CONFLICT DO NOTHING;
    IF FOUND THEN
        IF NOT EXISTS (SELECT FROM almagest.adopted_collection AS a WHERE a.id = NEW.collection)
           OR NOT almagest.port_is_elsewhere(NEW.collection, NEW.id, TG_RELID) AND NOT almagest.port_is_repartitioning() THEN
            RETURN NULL;
        END IF;
        -- It was there all the time.
        DELETE FROM almagest.item_head AS h WHERE h.collection = NEW.collection AND h.id = NEW.id;
    ELSIF EXISTS (SELECT FROM almagest.moving_collection AS m WHERE m.id = NEW.collection) THEN
        RETURN NULL;
    END IF;
    head := almagest.locked_head(NEW.collection, NEW.id);
    IF NOT head.deleted THEN
        -- Of two in different partitions the older goes, and leaves its version.
        PERFORM almagest.port_delete_elsewhere(NEW.collection, NEW.id, TG_RELID);
        head := almagest.locked_head(NEW.collection, NEW.id);
        IF NOT head.deleted THEN
            RETURN NULL; -- its table was dropped, and it comes back
        END IF;
    END IF;
    PERFORM almagest.note_item(head, NULL, NULL, NULL, NULL, NEW.datetime, NEW.end_datetime, NEW.geometry, NEW.content);
    RETURN NULL;
END;
$$;
COMMENT ON FUNCTION almagest.capture_insert() IS 'An item appears, or comes back.';


CREATE OR REPLACE FUNCTION almagest.capture_update() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = almagest, public, pg_temp
AS $$
BEGIN
    IF OLD.id <> NEW.id THEN
        RAISE feature_not_supported USING
            MESSAGE = format('The id of item %s cannot be changed.', OLD.id), HINT = 'Insert another item and delete this one.';
    ELSIF OLD.datetime <> NEW.datetime OR OLD.end_datetime <> NEW.end_datetime
          OR OLD.geometry::bytea <> NEW.geometry::bytea
          OR NOT almagest.port_is_same_item(OLD.collection, OLD.content, NEW.content) THEN
        PERFORM almagest.note_item(
            almagest.locked_head(OLD.collection, OLD.id),
            OLD.datetime, OLD.end_datetime, OLD.geometry, OLD.content,
            NEW.datetime, NEW.end_datetime, NEW.geometry, NEW.content);
    END IF;
    RETURN NULL;
END;
$$;
COMMENT ON FUNCTION almagest.capture_update() IS
    'An item changes. It does not where only what it was stripped against is another.';


CREATE OR REPLACE FUNCTION almagest.capture_delete() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = almagest, public, pg_temp
AS $$
DECLARE
    head almagest.item_head := almagest.locked_head(OLD.collection, OLD.id);
BEGIN
    IF NOT head.deleted THEN -- or it is the second of two that were there before versions were kept
        PERFORM almagest.note_item(
            head, OLD.datetime, OLD.end_datetime, OLD.geometry, OLD.content, NULL, NULL, NULL, NULL);
    END IF;
    RETURN NULL;
END;
$$;
COMMENT ON FUNCTION almagest.capture_delete() IS 'An item goes.';


CREATE OR REPLACE FUNCTION almagest.capture_base_item() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = almagest, public, pg_temp
AS $$
BEGIN
    INSERT INTO almagest.base_item (collection_key, tag, item)
    VALUES (almagest.port_collection_key(NEW.collection), NEW.id, NEW.base_item);
    RETURN NULL;
END;
$$;
COMMENT ON FUNCTION almagest.capture_base_item() IS 'Items of a collection will be stripped against something else.';


CREATE OR REPLACE FUNCTION almagest.begin_move() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = almagest, public, pg_temp
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
LANGUAGE plpgsql SECURITY DEFINER SET search_path = almagest, pg_temp
AS $$
BEGIN
    DELETE FROM almagest.moving_collection AS m WHERE m.id = NEW.id;
    RETURN NULL;
END;
$$;
COMMENT ON FUNCTION almagest.end_move() IS 'pgSTAC has filled the new tables of a collection.';


CREATE OR REPLACE FUNCTION almagest.empty_collection() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = almagest, public, pg_temp
AS $$
BEGIN
    -- pgSTAC drops its tables, and no trigger tells of that.
    PERFORM almagest.port_delete_items(OLD.id);
    DELETE FROM almagest.adopted_collection AS a WHERE a.id = OLD.id;
    RETURN OLD;
END;
$$;
COMMENT ON FUNCTION almagest.empty_collection() IS 'A collection is about to go: first its items.';


CREATE OR REPLACE FUNCTION almagest.capture_collection() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = almagest, public, pg_temp
AS $$
DECLARE
    head almagest.collection_head;
    before almagest.collection_history;
    moment timestamptz;
    own CONSTANT xid8 := pg_current_xact_id();
    of_id text := CASE TG_OP WHEN 'DELETE' THEN OLD.id ELSE NEW.id END;
    old_content jsonb := CASE TG_OP WHEN 'INSERT' THEN NULL ELSE OLD.content END;
    new_content jsonb := CASE TG_OP WHEN 'DELETE' THEN NULL ELSE NEW.content END;
BEGIN
    IF TG_OP = 'INSERT' THEN
        INSERT INTO almagest.base_item (collection_key, tag, item) VALUES (NEW.key, 0, NEW.base_item);
        INSERT INTO almagest.collection_head (id) VALUES (NEW.id) ON CONFLICT DO NOTHING;
        IF FOUND THEN
            RETURN NULL;
        END IF;
    ELSIF TG_OP = 'UPDATE' AND OLD.id <> NEW.id THEN
        RAISE feature_not_supported USING
            MESSAGE = format('The id of collection %s cannot be changed.', OLD.id), HINT = 'Create another one.';
    ELSIF old_content = new_content THEN
        RETURN NULL;
    END IF;
    SELECT h.id, h.valid_from, h.deleted, CASE WHEN h.xact = own AND age(h.xmin) <= age(own::xid) THEN own END,
           h.login, h.actor, h.key_id, h.request_id, h.job
    INTO head
    FROM almagest.collection_head AS h
    WHERE h.id = of_id
    FOR UPDATE;
    moment := almagest.next_moment(head.valid_from);
    IF head.xact IS NOT NULL THEN
        moment := head.valid_from;
        SELECT * INTO before FROM almagest.collection_history AS h WHERE h.id = of_id AND h.valid_to = head.valid_from;
        IF NOT FOUND AND new_content IS NULL THEN
            DELETE FROM almagest.collection_head AS h WHERE h.id = of_id;
            RETURN NULL;
        ELSIF FOUND AND before.content IS NOT DISTINCT FROM new_content THEN
            DELETE FROM almagest.collection_history AS h WHERE h.id = of_id AND h.valid_to = head.valid_from;
            UPDATE almagest.collection_head AS h
            SET valid_from = before.valid_from, deleted = before.content IS NULL, xact = NULL, login = before.login,
                actor = before.actor, key_id = before.key_id, request_id = before.request_id, job = before.job
            WHERE h.id = of_id;
            RETURN NULL;
        END IF;
    ELSE
        INSERT INTO almagest.collection_history (
            id, valid_from, valid_to, content, login, actor, key_id, request_id, job)
        VALUES (of_id, head.valid_from, moment, old_content, head.login, head.actor, head.key_id, head.request_id, head.job);
    END IF;
    UPDATE almagest.collection_head AS h
    SET valid_from = moment, deleted = new_content IS NULL, xact = DEFAULT, login = DEFAULT, actor = DEFAULT,
        key_id = DEFAULT, request_id = DEFAULT, job = DEFAULT
    WHERE h.id = of_id;
    RETURN NULL;
END;
$$;
COMMENT ON FUNCTION almagest.capture_collection() IS 'A collection appears, changes or goes.';
