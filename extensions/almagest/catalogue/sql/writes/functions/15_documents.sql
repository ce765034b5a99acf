-- To be replaced by put_items.

CREATE OR REPLACE FUNCTION almagest.create_items(documents jsonb) RETURNS void
LANGUAGE plpgsql VOLATILE SET search_path = almagest, public, pg_temp
AS $$
DECLARE
    key record;
BEGIN
    -- In order, so that two overlapping batches cannot wait for each other.
    FOR key IN
        SELECT d->>'collection' AS collection, d->>'id' AS id, count(*) AS times
        FROM jsonb_array_elements(documents) AS d GROUP BY 1, 2 ORDER BY 1, 2
    LOOP
        PERFORM almagest.lock_item(key.collection, key.id);
        IF key.times > 1 OR almagest.port_item_exists(key.collection, key.id) THEN
            RAISE unique_violation USING MESSAGE = format(
                CASE WHEN key.times > 1 THEN 'Item %s occurs more than once for collection %s.'
                     ELSE 'Item %s already exists in collection %s.' END, key.id, key.collection);
        END IF;
    END LOOP;
    PERFORM almagest.port_insert_items(documents);
END;
$$;
COMMENT ON FUNCTION almagest.create_items(jsonb) IS
    'Stores new items, an array, all or none. Raises 23505 naming the first id that is taken or occurs twice.';


CREATE OR REPLACE FUNCTION almagest.upsert_items(documents jsonb) RETURNS TABLE (created int, updated int, unchanged int)
LANGUAGE plpgsql VOLATILE SET search_path = almagest, public, pg_temp
AS $$
DECLARE
    document jsonb;
    present jsonb;
    changed jsonb[] := '{}';
BEGIN
    created := 0; updated := 0; unchanged := 0;
    FOR document IN
        SELECT DISTINCT ON (d.doc->>'collection', d.doc->>'id') d.doc
        FROM jsonb_array_elements(documents) WITH ORDINALITY AS d(doc, n)
        -- Of one id twice in a batch the last counts, as if they had come one after the other.
        ORDER BY d.doc->>'collection', d.doc->>'id', d.n DESC
    LOOP
        PERFORM almagest.lock_item(document->>'collection', document->>'id');
        present := almagest.item_document(document->>'collection', document->>'id');
        IF present IS NULL THEN
            created := created + 1;
        ELSIF jsonb_strip_nulls(present) = jsonb_strip_nulls(document) THEN
            unchanged := unchanged + 1;
            CONTINUE;
        ELSE
            PERFORM almagest.port_delete_item(document->>'collection', document->>'id');
            updated := updated + 1;
        END IF;
        changed := changed || document;
    END LOOP;
    IF cardinality(changed) > 0 THEN
        PERFORM almagest.port_insert_items(to_jsonb(changed));
    END IF;
    RETURN NEXT;
END;
$$;
COMMENT ON FUNCTION almagest.upsert_items(jsonb) IS
    'Stores items, an array, new or not, all or none; what is equal already is not touched.';


CREATE OR REPLACE FUNCTION almagest.replace_item(document jsonb) RETURNS void
LANGUAGE plpgsql VOLATILE SET search_path = almagest, public, pg_temp
AS $$
BEGIN
    PERFORM almagest.lock_item(document->>'collection', document->>'id');
    IF NOT almagest.port_item_exists(document->>'collection', document->>'id') THEN
        RAISE no_data_found USING MESSAGE = format(
            'Item %s does not exist in collection %s.', document->>'id', document->>'collection');
    END IF;
    PERFORM almagest.upsert_items(jsonb_build_array(document));
END;
$$;
COMMENT ON FUNCTION almagest.replace_item(jsonb) IS 'Replaces an item. Raises P0002 where there is none.';
