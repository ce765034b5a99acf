-- Locks are taken in one order: the collection, then the item, then rows. Who writes many items takes the collection for
-- itself; who writes few shares it and takes each item: the number of locks of a transaction is bounded.

CREATE OR REPLACE FUNCTION almagest.lock_collection(collection text) RETURNS void
LANGUAGE sql VOLATILE SET search_path = almagest, pg_temp
AS $$ SELECT pg_advisory_xact_lock(hashtextextended(jsonb_build_array(collection)::text, 0)) $$;
COMMENT ON FUNCTION almagest.lock_collection(text) IS
    'Waits until no other of our writers works on this collection or its items; held to the end of the transaction. '
    'To be taken before lock_item, never after it.';


CREATE OR REPLACE FUNCTION almagest.lock_item(collection text, id text) RETURNS void
LANGUAGE plpgsql VOLATILE SET search_path = almagest, pg_temp
AS $$
BEGIN
    PERFORM pg_advisory_xact_lock_shared(hashtextextended(jsonb_build_array(collection)::text, 0));
    PERFORM pg_advisory_xact_lock(hashtextextended(jsonb_build_array(collection, id)::text, 0));
END;
$$;
COMMENT ON FUNCTION almagest.lock_item(text, text) IS
    'Waits until no other of our writers works on this item; held to the end of the transaction.';


CREATE OR REPLACE FUNCTION almagest.hold_item(collection text, id text) RETURNS boolean
LANGUAGE plpgsql VOLATILE SET search_path = almagest, public, pg_temp
AS $$
BEGIN
    PERFORM almagest.lock_item(collection, id);
    RETURN almagest.port_hold_item(collection, id);
END;
$$;
COMMENT ON FUNCTION almagest.hold_item(text, text) IS
    'As lock_item, and keeps writers that are none of ours from the item too; false if there is none. To be read, judged '
    'and written then.';


CREATE OR REPLACE FUNCTION almagest.hold_collection(collection text) RETURNS boolean
LANGUAGE plpgsql VOLATILE SET search_path = almagest, public, pg_temp
AS $$
BEGIN
    PERFORM almagest.lock_collection(collection);
    RETURN almagest.port_hold_collection(collection);
END;
$$;
COMMENT ON FUNCTION almagest.hold_collection(text) IS
    'As lock_collection, and keeps writers that are none of ours from the document too; false if there is none.';


CREATE OR REPLACE FUNCTION almagest.write_as(actor text, key_id text, request_id text, job text DEFAULT NULL) RETURNS void
LANGUAGE sql VOLATILE SET search_path = almagest, pg_temp
AS $$
    SELECT set_config('almagest.actor', coalesce(actor, ''), true),
           set_config('almagest.key_id', coalesce(key_id, ''), true),
           set_config('almagest.request_id', coalesce(request_id, ''), true),
           set_config('almagest.job', coalesce(job, ''), true)
$$;
COMMENT ON FUNCTION almagest.write_as(text, text, text, text) IS
    'Says on whose behalf this transaction writes: its versions will say so.';


CREATE OR REPLACE FUNCTION almagest.put_items(
    of_collection text, base_key bigint, base_item_id int,
    ids text[], starts text[], ends text[], geometries bytea[], contents text[], mode text,
    OUT created int, OUT updated int, OUT unchanged int
)
LANGUAGE plpgsql VOLATILE SET search_path = almagest, public, pg_temp
AS $$
DECLARE
    few CONSTANT int := 32;
    base record;
    done record;
    item_id text;
BEGIN
    IF cardinality(ids) > few THEN
        PERFORM almagest.lock_collection(of_collection);
    ELSE
        FOR item_id IN SELECT DISTINCT i.id FROM unnest(ids) AS i(id) ORDER BY i.id LOOP
            PERFORM almagest.lock_item(of_collection, item_id);
        END LOOP;
    END IF;
    SELECT b.key, b.item_id INTO base FROM almagest.port_current_base(of_collection) AS b;
    IF NOT FOUND THEN
        RAISE foreign_key_violation USING MESSAGE = format('There is no collection %s.', of_collection);
    ELSIF base.key <> base_key OR base.item_id IS DISTINCT FROM base_item_id THEN
        RAISE serialization_failure USING MESSAGE = format('The collection %s has changed.', of_collection);
    END IF;
    SELECT i.id INTO item_id FROM unnest(ids) AS i(id) GROUP BY i.id HAVING count(*) > 1 ORDER BY i.id LIMIT 1;
    IF FOUND THEN
        RAISE unique_violation USING MESSAGE = format('Item %s occurs more than once for collection %s.', item_id, of_collection);
    END IF;
    SELECT * INTO done FROM almagest.port_put_items(of_collection, ids, starts, ends, geometries, contents);
    IF mode = 'create' AND done.first_old IS NOT NULL THEN
        RAISE unique_violation USING MESSAGE = format('Item %s already exists in collection %s.', done.first_old, of_collection);
    ELSIF mode = 'replace' AND done.first_new IS NOT NULL THEN
        RAISE no_data_found USING MESSAGE = format('Item %s does not exist in collection %s.', done.first_new, of_collection);
    END IF;
    created := done.created; updated := done.updated; unchanged := done.unchanged;
END;
$$;
COMMENT ON FUNCTION almagest.put_items(text, bigint, int, text[], text[], text[], bytea[], text[], text) IS
    'Stores items of a collection, all or none, given as rows that were stripped against its present base item (see '
    'port_current_base and port_put_items). mode: create, replace or upsert. Raises 23505 naming an id that is taken or '
    'occurs twice, P0002 naming one that is missing, 23503 without the collection, 40001 where the collection has changed, 23514 '
    'where ensure_partitions is to be called first.';


CREATE OR REPLACE FUNCTION almagest.ensure_partitions(of_collection text, starts text[], ends text[]) RETURNS text[]
LANGUAGE plpgsql VOLATILE SET search_path = almagest, public, pg_temp
AS $$
DECLARE
    names text[] := almagest.port_ensure_partitions(of_collection, starts, ends, false);
BEGIN
    IF names IS NULL THEN
        -- Before any lock on tables, as every writer does.
        PERFORM almagest.lock_collection(of_collection);
        names := almagest.port_ensure_partitions(of_collection, starts, ends, true);
    END IF;
    RETURN names;
END;
$$;
COMMENT ON FUNCTION almagest.ensure_partitions(text, text[], text[]) IS
    'Makes room for items of these times, and answers the names of their partitions. In a transaction of its own: where '
    'there was none it keeps readers waiting, and takes the collection for itself.';


CREATE OR REPLACE FUNCTION almagest.put_item(
    document jsonb, if_version timestamptz DEFAULT NULL, OUT outcome text, OUT version timestamptz
)
LANGUAGE plpgsql VOLATILE SET search_path = almagest, public, pg_temp
AS $$
DECLARE
    of_collection CONSTANT text := document->>'collection';
    of_id CONSTANT text := document->>'id';
    properties CONSTANT jsonb := document->'properties';
    has_range CONSTANT boolean := properties->>'start_datetime' IS NOT NULL AND properties->>'end_datetime' IS NOT NULL;
    starts CONSTANT text[] := ARRAY[CASE WHEN has_range THEN properties->>'start_datetime' ELSE properties->>'datetime' END];
    ends CONSTANT text[] := ARRAY[CASE WHEN has_range THEN properties->>'end_datetime' ELSE properties->>'datetime' END];
    shapes CONSTANT bytea[] := ARRAY[ST_GeomFromGeoJSON(document->'geometry')::bytea];
    tries_left int := 10;
    base record;
    done record;
BEGIN
    LOOP
        BEGIN
            -- First, for it may take the collection for itself.
            PERFORM almagest.ensure_partitions(of_collection, starts, ends);
            PERFORM almagest.hold_item(of_collection, of_id);
            IF if_version IS NOT NULL AND NOT EXISTS (
                SELECT FROM (SELECT s.valid_from, s.deleted FROM almagest.item_states(of_collection, of_id, NULL, 1) AS s) AS present
                WHERE present.valid_from = if_version AND NOT present.deleted
            ) THEN
                RAISE EXCEPTION USING ERRCODE = 'AM412', MESSAGE = format('Item %s of collection %s has changed since.', of_id, of_collection);
            END IF;
            SELECT b.key, b.item_id, b.item::jsonb AS item INTO base FROM almagest.port_current_base(of_collection) AS b;
            IF NOT FOUND THEN
                RAISE foreign_key_violation USING MESSAGE = format('There is no collection %s.', of_collection);
            END IF;
            SELECT p.created, p.updated INTO done
            FROM almagest.put_items(
                of_collection, base.key, base.item_id, ARRAY[of_id], starts, ends, shapes,
                ARRAY[almagest.port_content(document, base.item, base.item_id)::text], 'upsert') AS p;
            outcome := CASE WHEN done.created > 0 THEN 'created' WHEN done.updated > 0 THEN 'updated' ELSE 'unchanged' END;
            version := (SELECT s.valid_from FROM almagest.item_states(of_collection, of_id, NULL, 1) AS s);
            RETURN;
        EXCEPTION WHEN deadlock_detected OR serialization_failure OR unique_violation OR check_violation THEN
            -- Others, who lock in another order than ours do, came in between. What was locked here is free again.
            tries_left := tries_left - 1;
            IF tries_left = 0 THEN
                RAISE;
            END IF;
        END;
    END LOOP;
END;
$$;
COMMENT ON FUNCTION almagest.put_item(jsonb, timestamptz) IS
    'Stores an item, whole and known to be good, and answers what became of it (created, updated or unchanged) and since '
    'when it is so. if_version: only if that is its present version. Raises AM412 where it is not, 23503 without the collection.';


CREATE OR REPLACE FUNCTION almagest.refresh_partition(partition_name text) RETURNS void
LANGUAGE sql VOLATILE SET search_path = almagest, public, pg_temp
AS $$ SELECT almagest.port_refresh_partition(partition_name) $$;
COMMENT ON FUNCTION almagest.refresh_partition(text) IS
    'Notes what times a partition really holds; once after much was loaded, in a transaction of its own.';


CREATE OR REPLACE FUNCTION almagest.delete_item(collection text, id text) RETURNS void
LANGUAGE plpgsql VOLATILE SET search_path = almagest, public, pg_temp
AS $$
BEGIN
    PERFORM almagest.lock_item(collection, id);
    IF NOT almagest.port_delete_item(collection, id) THEN
        RAISE no_data_found USING MESSAGE = format('Item %s does not exist in collection %s.', id, collection);
    END IF;
END;
$$;
COMMENT ON FUNCTION almagest.delete_item(text, text) IS 'Deletes an item. Raises P0002 where there is none.';
