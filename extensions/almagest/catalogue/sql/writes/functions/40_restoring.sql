-- What was, once more: a new version, by the same writers as any other.

CREATE OR REPLACE FUNCTION almagest.restore_item(
    of_collection text, of_id text, former timestamptz, OUT outcome text, OUT version timestamptz
)
LANGUAGE plpgsql VOLATILE SET search_path = almagest, public, pg_temp
AS $$
DECLARE
    document jsonb;
BEGIN
    SELECT almagest.port_hydrate(r.item::jsonb, r.base::jsonb) INTO document
    FROM almagest.item_row_at(of_collection, of_id, former) AS r;
    IF NOT FOUND THEN
        RAISE no_data_found USING MESSAGE = format('There was no item %s in collection %s then.', of_id, of_collection);
    END IF;
    SELECT p.outcome, p.version INTO restore_item.outcome, restore_item.version FROM almagest.put_item(document) AS p;
END;
$$;
COMMENT ON FUNCTION almagest.restore_item(text, text, timestamptz) IS
    'Makes an item what it was at a moment, deleted though it may be; answers as put_item. Raises P0002 where there was none.';


CREATE OR REPLACE FUNCTION almagest.restore_collection(
    of_id text, former timestamptz, OUT outcome text, OUT version timestamptz
)
LANGUAGE plpgsql VOLATILE SET search_path = almagest, public, pg_temp
AS $$
DECLARE
    document jsonb := almagest.collection_document_at(of_id, former);
BEGIN
    IF document IS NULL THEN
        RAISE no_data_found USING MESSAGE = format('There was no collection %s then.', of_id);
    END IF;
    outcome := almagest.put_collection(document);
    version := (SELECT s.valid_from FROM almagest.collection_states(of_id) AS s LIMIT 1);
END;
$$;
COMMENT ON FUNCTION almagest.restore_collection(text, timestamptz) IS
    'Makes a collection what it was at a moment; its items stay as they are. Raises P0002 where there was none.';
