-- Who is due is taken up, told, and moves on once he has taken it.

CREATE OR REPLACE FUNCTION almagest.subscribe(
    of_name text, of_principal text, to_url text, of_audience text, of_collections text[], from_cursor text
) RETURNS boolean
LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
    WITH made AS (
        INSERT INTO almagest.subscription (name, principal, url, audience, collections, cursor)
        VALUES (of_name, of_principal, to_url, of_audience, of_collections, from_cursor)
        ON CONFLICT DO NOTHING RETURNING 1
    )
    SELECT EXISTS (SELECT FROM made)
$$;
COMMENT ON FUNCTION almagest.subscribe(text, text, text, text, text[], text) IS
    'Has a server told of changes behind a cursor (NULL: from the beginning); false where the name is taken.';


CREATE OR REPLACE FUNCTION almagest.unsubscribe(of_name text) RETURNS boolean
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    DELETE FROM almagest.subscription AS s WHERE s.name = of_name;
    IF NOT FOUND THEN
        RETURN false;
    END IF;
    DELETE FROM almagest.outbox AS o WHERE o.kind = 'changes' AND o.about = 'changes:' || of_name AND o.next_at IS NOT NULL;
    RETURN true;
END;
$$;
COMMENT ON FUNCTION almagest.unsubscribe(text) IS 'Has a server told no more; false where there is none of this name.';


CREATE OR REPLACE FUNCTION almagest.subscriptions()
RETURNS TABLE (
    name text, principal text, url text, audience text, collections text[], cursor text, created_at timestamptz,
    due_at timestamptz, post uuid, told_at timestamptz, trouble text
)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
    SELECT s.name, s.principal, s.url, s.audience, s.collections, s.cursor, s.created_at, s.due_at, s.post, s.told_at, s.trouble
    FROM almagest.subscription AS s ORDER BY s.name
$$;
COMMENT ON FUNCTION almagest.subscriptions() IS 'All subscriptions, by name.';


CREATE OR REPLACE FUNCTION almagest.due_subscription(for_time interval)
RETURNS TABLE (name text, principal text, url text, audience text, collections text[], cursor text)
LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
    WITH mine AS (
        SELECT s.name FROM almagest.subscription AS s
        WHERE s.post IS NULL AND s.due_at <= almagest.clock()
        ORDER BY s.due_at LIMIT 1 FOR UPDATE SKIP LOCKED
    )
    UPDATE almagest.subscription AS s SET due_at = almagest.clock() + for_time
    FROM mine WHERE s.name = mine.name
    RETURNING s.name, s.principal, s.url, s.audience, s.collections, s.cursor
$$;
COMMENT ON FUNCTION almagest.due_subscription(interval) IS
    'Takes up somebody who may have to be told something. If nothing comes of it in that time, he is due again.';


CREATE OR REPLACE FUNCTION almagest.tell_changes(
    of_name text, from_cursor text, to_cursor text, page jsonb, look_again_after interval
) RETURNS boolean
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    follower almagest.subscription;
BEGIN
    SELECT * INTO follower FROM almagest.subscription AS s WHERE s.name = of_name FOR UPDATE;
    -- Somebody who took longer than his lease may come too late.
    IF follower.name IS NULL OR follower.post IS NOT NULL OR follower.cursor IS DISTINCT FROM from_cursor THEN
        RETURN false;
    ELSIF page IS NULL THEN
        UPDATE almagest.subscription AS s SET cursor = to_cursor, due_at = almagest.clock() + look_again_after
        WHERE s.name = of_name;
    ELSE
        UPDATE almagest.subscription AS s
        SET post = almagest.post('changes', 'changes:' || of_name, follower.principal, follower.url, page)
        WHERE s.name = of_name;
    END IF;
    RETURN true;
END;
$$;
COMMENT ON FUNCTION almagest.tell_changes(text, text, text, jsonb, interval) IS
    'Sends a page that lies behind a cursor on its way; without one there is nothing to tell up to another cursor, and he is due '
    'again after a time. False: he was told otherwise meanwhile.';


CREATE OR REPLACE FUNCTION almagest.stop_telling(of_name text, from_cursor text, why text) RETURNS boolean
LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
    WITH stopped AS (
        UPDATE almagest.subscription AS s SET due_at = NULL, trouble = why
        -- Somebody who took longer than his lease may come too late; and the name may be that of another by now.
        WHERE s.name = of_name AND s.post IS NULL AND s.cursor IS NOT DISTINCT FROM from_cursor
        RETURNING 1
    )
    SELECT EXISTS (SELECT FROM stopped)
$$;
COMMENT ON FUNCTION almagest.stop_telling(text, text, text) IS
    'He cannot be told what he has missed behind a cursor: he has to subscribe anew. False: he was told otherwise meanwhile.';


CREATE OR REPLACE FUNCTION almagest.note_told() RETURNS trigger
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF NEW.delivered_at IS NOT NULL THEN
        UPDATE almagest.subscription AS s
        SET cursor = NEW.payload->>'cursor', post = NULL, due_at = almagest.clock(), told_at = NEW.delivered_at, trouble = NULL
        WHERE s.post = NEW.id;
    ELSE
        UPDATE almagest.subscription AS s
        SET post = NULL, due_at = almagest.clock() + interval '1 hour', trouble = NEW.last_error
        WHERE s.post = NEW.id;
    END IF;
    RETURN NULL;
END;
$$;
COMMENT ON FUNCTION almagest.note_told() IS 'A page was taken, or given up: then it is made anew from the same place, later.';

CREATE OR REPLACE TRIGGER note_told AFTER UPDATE OF next_at ON almagest.outbox
FOR EACH ROW WHEN (NEW.kind = 'changes' AND NEW.next_at IS NULL AND OLD.next_at IS NOT NULL)
EXECUTE FUNCTION almagest.note_told();
