CREATE OR REPLACE FUNCTION almagest.create_collection(document jsonb) RETURNS void
LANGUAGE plpgsql VOLATILE SET search_path = almagest, public, pg_temp
AS $$
BEGIN
    PERFORM almagest.lock_collection(document->>'id');
    PERFORM almagest.port_create_collection(document);
END;
$$;
COMMENT ON FUNCTION almagest.create_collection(jsonb) IS 'Stores a new collection. Raises 23505 where the id is taken.';


CREATE OR REPLACE FUNCTION almagest.replace_collection(document jsonb) RETURNS void
LANGUAGE plpgsql VOLATILE SET search_path = almagest, public, pg_temp
AS $$
BEGIN
    PERFORM almagest.lock_collection(document->>'id');
    -- An equal document is not written again: pgSTAC would tag later items with another base item.
    IF almagest.port_collection(document->>'id') IS DISTINCT FROM document THEN
        PERFORM almagest.port_update_collection(document);
    END IF;
END;
$$;
COMMENT ON FUNCTION almagest.replace_collection(jsonb) IS 'Replaces a collection. Raises P0002 where there is none.';


CREATE OR REPLACE FUNCTION almagest.put_collection(document jsonb) RETURNS text
LANGUAGE plpgsql VOLATILE SET search_path = almagest, public, pg_temp
AS $$
DECLARE
    present jsonb;
BEGIN
    PERFORM almagest.lock_collection(document->>'id');
    present := almagest.port_collection(document->>'id');
    IF present IS NULL THEN
        PERFORM almagest.port_create_collection(document);
        RETURN 'created';
    ELSIF present = document THEN
        RETURN 'unchanged';
    END IF;
    PERFORM almagest.port_update_collection(document);
    RETURN 'updated';
END;
$$;
COMMENT ON FUNCTION almagest.put_collection(jsonb) IS
    'Stores a collection, new or not, and answers what became of it: created, updated or unchanged.';


CREATE OR REPLACE FUNCTION almagest.delete_collection(collection text) RETURNS void
LANGUAGE plpgsql VOLATILE SET search_path = almagest, public, pg_temp
AS $$
BEGIN
    PERFORM almagest.lock_collection(collection);
    PERFORM almagest.port_delete_collection(collection);
END;
$$;
COMMENT ON FUNCTION almagest.delete_collection(text) IS
    'Deletes a collection with all its items. Raises P0002 where there is none.';
