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


CREATE OR REPLACE FUNCTION almagest.is_own(xact xid8, written_by xid) RETURNS boolean
LANGUAGE sql STABLE
-- In another cluster, from which this database was restored, the same number was given before: not by this row.
AS $$ SELECT xact = pg_current_xact_id() AND age(written_by) <= age(pg_current_xact_id()::xid) $$;
COMMENT ON FUNCTION almagest.is_own(xid8, xid) IS
    'Whether this transaction made a state so, by the xact and the xmin of its head; NULL where nobody knows who did.';


CREATE OR REPLACE FUNCTION almagest.base_item_of(collection_key bigint, content jsonb) RETURNS jsonb
LANGUAGE sql STABLE
AS $$
    SELECT b.item FROM almagest.base_item AS b
    WHERE b.collection_key = $1
    -- For a tag that names nothing, the last one stands in.
    ORDER BY b.tag IS NOT DISTINCT FROM almagest.port_tag(content) DESC, b.tag DESC LIMIT 1
$$;
COMMENT ON FUNCTION almagest.base_item_of(bigint, jsonb) IS 'What this content was stripped against, while the collection had this key.';


CREATE OR REPLACE FUNCTION almagest.follow_state(
    of_collection text, of_id text,
    old_datetime timestamptz, old_end timestamptz, old_geometry geometry, old_content jsonb, is_there boolean
) RETURNS boolean
LANGUAGE plpgsql VOLATILE
AS $$
DECLARE
    head record;
    moment timestamptz;
BEGIN
    SELECT h.ctid, h.* INTO head FROM almagest.item_head AS h
    WHERE h.collection = of_collection AND h.id = of_id AND h.deleted = (old_content IS NULL)
      AND almagest.is_own(h.xact, h.xmin) IS NOT TRUE
    FOR NO KEY UPDATE;
    IF NOT FOUND THEN
        RETURN false;
    END IF;
    moment := almagest.next_moment(head.valid_from);
    INSERT INTO almagest.item_history (
        collection, id, valid_from, valid_to, deleted, base_key, datetime, end_datetime, geometry, content,
        login, actor, key_id, request_id, job, xact)
    VALUES (
        of_collection, of_id, head.valid_from, moment, head.deleted, almagest.port_collection_key(of_collection),
        old_datetime, old_end, old_geometry, old_content, head.login, head.actor, head.key_id, head.request_id, head.job,
        head.xact);
    WITH followed AS (
        UPDATE almagest.item_head AS h
        SET valid_from = moment, deleted = NOT is_there, xact = DEFAULT, login = DEFAULT, actor = DEFAULT, key_id = DEFAULT,
            request_id = DEFAULT, job = DEFAULT
        WHERE h.ctid = head.ctid -- it is locked, and stays where it is
    )
    INSERT INTO almagest.change (collection, item, at) VALUES (of_collection, of_id, moment);
    RETURN true;
END;
$$;
COMMENT ON FUNCTION almagest.follow_state(text, text, timestamptz, timestamptz, geometry, jsonb, boolean) IS
    'Ends the state of an item, whose row was this (NULL content: there was none), and begins another. Does nothing, and '
    'answers false, where that state began in this transaction, or was another.';


CREATE OR REPLACE FUNCTION almagest.amend_state(
    of_collection text, of_id text,
    new_datetime timestamptz, new_end timestamptz, new_geometry geometry, new_content jsonb, was_gone boolean DEFAULT NULL
) RETURNS boolean
LANGUAGE plpgsql VOLATILE SET plan_cache_mode = force_generic_plan -- to plan for all quarters takes much longer than to look
AS $$
DECLARE
    began timestamptz;
    before almagest.item_history;
    is_gone CONSTANT boolean := new_content IS NULL;
BEGIN
    UPDATE almagest.item_head AS h
    SET deleted = is_gone, login = DEFAULT, actor = DEFAULT, key_id = DEFAULT, request_id = DEFAULT, job = DEFAULT
    WHERE h.collection = of_collection AND h.id = of_id AND almagest.is_own(h.xact, h.xmin)
      AND (was_gone IS NULL OR h.deleted = was_gone)
    RETURNING h.valid_from INTO began;
    IF NOT FOUND THEN
        RETURN false;
    END IF;
    SELECT * INTO before FROM almagest.item_history AS h
    WHERE h.collection = of_collection AND h.id = of_id AND h.valid_to = began;
    IF NOT FOUND AND is_gone THEN
        DELETE FROM almagest.item_head AS h WHERE h.collection = of_collection AND h.id = of_id;
    ELSIF before.deleted AND is_gone
          OR NOT before.deleted AND NOT is_gone
             AND before.datetime = new_datetime AND before.end_datetime = new_end
             AND before.geometry::bytea = new_geometry::bytea
             AND almagest.port_is_same_item(
                 before.base_key, before.content, almagest.port_collection_key(of_collection), new_content) THEN
        -- As it was before: nothing has happened.
        DELETE FROM almagest.item_history AS h
        WHERE h.collection = of_collection AND h.id = of_id AND h.valid_to = began;
        UPDATE almagest.item_head AS h
        SET valid_from = before.valid_from, deleted = before.deleted, xact = before.xact, login = before.login,
            actor = before.actor, key_id = before.key_id, request_id = before.request_id, job = before.job
        WHERE h.collection = of_collection AND h.id = of_id;
    END IF;
    RETURN true;
END;
$$;
COMMENT ON FUNCTION almagest.amend_state(text, text, timestamptz, timestamptz, geometry, jsonb, boolean) IS
    'Makes this row (NULL content: none) the state of an item that this transaction has changed before; false where it has '
    'not, or (was_gone) where the item was not gone, or was, by now.';


CREATE OR REPLACE FUNCTION almagest.adopt_item(of_collection text, of_id text, is_gone boolean) RETURNS boolean
LANGUAGE plpgsql VOLATILE
AS $$
BEGIN
    INSERT INTO almagest.item_head (collection, id, valid_from, deleted, xact, login, actor, key_id, request_id, job)
    SELECT of_collection, of_id, v.installed_at, is_gone, NULL, NULL, NULL, NULL, NULL, NULL FROM almagest.versioning AS v
    ON CONFLICT DO NOTHING;
    RETURN FOUND;
END;
$$;
COMMENT ON FUNCTION almagest.adopt_item(text, text, boolean) IS
    'Notes that an item has been as it is since versions are kept; false if there is a note of it.';


CREATE OR REPLACE FUNCTION almagest.distrust_rollups() RETURNS void
LANGUAGE plpgsql VOLATILE
AS $$
BEGIN
    -- As versions are installed there are none yet.
    IF to_regclass('almagest.rollup_state') IS NOT NULL THEN
        UPDATE almagest.rollup_state SET scheme = 0 WHERE scheme <> 0;
    END IF;
END;
$$;
COMMENT ON FUNCTION almagest.distrust_rollups() IS
    'A state became another of which no change tells: what is counted beforehand is not read, and is counted anew soon.';


CREATE OR REPLACE FUNCTION almagest.note_item(
    of_collection text, of_id text,
    old_datetime timestamptz, old_end timestamptz, old_geometry geometry, old_content jsonb,
    new_datetime timestamptz, new_end timestamptz, new_geometry geometry, new_content jsonb
) RETURNS void
LANGUAGE plpgsql VOLATILE
AS $$
DECLARE
    is_there CONSTANT boolean := new_content IS NOT NULL;
BEGIN
    LOOP
        IF almagest.follow_state(of_collection, of_id, old_datetime, old_end, old_geometry, old_content, is_there)
           OR almagest.amend_state(of_collection, of_id, new_datetime, new_end, new_geometry, new_content) THEN
            RETURN;
        END IF;
        CONTINUE WHEN almagest.adopt_item(of_collection, of_id, old_content IS NULL);
        -- It had come, or gone, while no trigger saw to it. The row is right, and of a row that is lost nothing is known.
        UPDATE almagest.item_head AS h
        SET deleted = old_content IS NULL, xact = NULL, login = NULL, actor = NULL, key_id = NULL, request_id = NULL, job = NULL
        WHERE h.collection = of_collection AND h.id = of_id;
        PERFORM almagest.distrust_rollups();
    END LOOP;
END;
$$;
COMMENT ON FUNCTION almagest.note_item(
    text, text, timestamptz, timestamptz, geometry, jsonb, timestamptz, timestamptz, geometry, jsonb
) IS
    'Ends the state of an item, whose row was this, and begins another, whose row is that; NULL content: there is none.';


CREATE OR REPLACE FUNCTION almagest.capture_insert() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    is_live boolean;
    is_lost boolean;
BEGIN
    IF current_setting('almagest.noted', true) IS DISTINCT FROM NEW.collection THEN
        PERFORM almagest.note_commit(NEW.collection);
    END IF;
    -- One question at a time, here and below: what follows OR is got ready for every row, asked or not.
    IF current_setting('almagest.deleted', true) = NEW.collection THEN
        -- So pgSTAC replaces one by another. That something was deleted is but a hint of where to look first.
        IF almagest.amend_state(NEW.collection, NEW.id, NEW.datetime, NEW.end_datetime, NEW.geometry, NEW.content, true) THEN
            RETURN NULL;
        END IF;
    END IF;
    LOOP
        WITH begun AS (
            INSERT INTO almagest.item_head (collection, id) VALUES (NEW.collection, NEW.id) ON CONFLICT DO NOTHING
            RETURNING valid_from
        )
        INSERT INTO almagest.change (collection, item, at) SELECT NEW.collection, NEW.id, b.valid_from FROM begun AS b;
        IF FOUND THEN
            IF NOT EXISTS (SELECT FROM almagest.adopted_collection AS a WHERE a.id = NEW.collection) THEN
                RETURN NULL;
            ELSIF NOT almagest.port_is_elsewhere(NEW.collection, NEW.id, TG_RELID) AND NOT almagest.port_is_repartitioning()
            THEN
                RETURN NULL;
            END IF;
            -- It was there all the time.
            DELETE FROM almagest.item_head AS h WHERE h.collection = NEW.collection AND h.id = NEW.id;
            PERFORM almagest.adopt_item(NEW.collection, NEW.id, false);
        END IF;
        is_live := EXISTS (
            SELECT FROM almagest.item_head AS h WHERE h.collection = NEW.collection AND h.id = NEW.id AND NOT h.deleted);
        IF is_live AND (EXISTS (SELECT FROM almagest.moving_collection AS m WHERE m.id = NEW.collection)
                        OR almagest.port_is_repartitioning()) THEN
            RETURN NULL;
        END IF;
        -- Of two in different partitions the older goes, and leaves its version. Rows before heads, as everybody locks them.
        is_lost := is_live AND NOT almagest.port_delete_elsewhere(NEW.collection, NEW.id, TG_RELID);
        IF almagest.amend_state(NEW.collection, NEW.id, NEW.datetime, NEW.end_datetime, NEW.geometry, NEW.content)
           OR almagest.follow_state(NEW.collection, NEW.id, NULL, NULL, NULL, NULL, true) THEN
            RETURN NULL;
        END IF;
        EXIT WHEN is_lost; -- or somebody else has put it back meanwhile, and is met again
    END LOOP;
    PERFORM almagest.note_item(
        NEW.collection, NEW.id, NULL, NULL, NULL, NULL, NEW.datetime, NEW.end_datetime, NEW.geometry, NEW.content);
    RETURN NULL;
END;
$$;
COMMENT ON FUNCTION almagest.capture_insert() IS 'An item appears, or comes back.';


CREATE OR REPLACE FUNCTION almagest.capture_update() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    key bigint;
    is_same boolean := false;
BEGIN
    IF OLD.id <> NEW.id THEN
        RAISE feature_not_supported USING
            MESSAGE = format('The id of item %s cannot be changed.', OLD.id), HINT = 'Insert another item and delete this one.';
    ELSIF OLD.datetime = NEW.datetime AND OLD.end_datetime = NEW.end_datetime
          AND OLD.geometry::bytea = NEW.geometry::bytea THEN
        key := almagest.port_collection_key(OLD.collection);
        is_same := almagest.port_is_same_item(key, OLD.content, key, NEW.content);
        IF is_same AND OLD.content::text = NEW.content::text THEN
            RETURN NULL;
        END IF;
    END IF;
    IF current_setting('almagest.noted', true) IS DISTINCT FROM OLD.collection THEN
        PERFORM almagest.note_commit(OLD.collection);
    END IF;
    IF is_same THEN
        RETURN NULL; -- 5 is 5.0, but what is sent is another text
    END IF;
    PERFORM almagest.note_item(
        OLD.collection, OLD.id,
        OLD.datetime, OLD.end_datetime, OLD.geometry, OLD.content, NEW.datetime, NEW.end_datetime, NEW.geometry, NEW.content);
    RETURN NULL;
END;
$$;
COMMENT ON FUNCTION almagest.capture_update() IS
    'An item changes. It does not where only what it was stripped against is another.';


CREATE OR REPLACE FUNCTION almagest.capture_delete() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF current_setting('almagest.noted', true) IS DISTINCT FROM OLD.collection THEN
        PERFORM almagest.note_commit(OLD.collection);
    END IF;
    IF EXISTS (SELECT FROM almagest.adopted_collection AS a WHERE a.id = OLD.collection) THEN
        IF almagest.port_is_elsewhere(OLD.collection, OLD.id, TG_RELID) THEN
            RETURN NULL; -- of two that were there before versions were kept the other one is left
        END IF;
    END IF;
    IF current_setting('almagest.deleted', true) IS DISTINCT FROM OLD.collection THEN
        PERFORM set_config('almagest.deleted', OLD.collection, true);
    END IF;
    PERFORM almagest.note_item(
        OLD.collection, OLD.id, OLD.datetime, OLD.end_datetime, OLD.geometry, OLD.content, NULL, NULL, NULL, NULL);
    RETURN NULL;
END;
$$;
COMMENT ON FUNCTION almagest.capture_delete() IS 'An item goes.';
