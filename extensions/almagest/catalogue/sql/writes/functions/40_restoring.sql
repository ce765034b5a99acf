-- What was, once more: a new version. Items are read, and put as any other: that may need room for their times first.

CREATE OR REPLACE FUNCTION almagest.restore_collection(of_id text, former timestamptz) RETURNS text
LANGUAGE plpgsql VOLATILE SET search_path = almagest, public, pg_temp
AS $$
DECLARE
    document jsonb := almagest.collection_document_at(of_id, former);
BEGIN
    IF document IS NULL THEN
        RAISE no_data_found USING MESSAGE = format('There was no collection %s then.', of_id);
    END IF;
    PERFORM almagest.lock_collection(of_id);
    IF almagest.port_collection(of_id) IS NOT NULL THEN
        RETURN almagest.put_collection(document);
    END IF;
    PERFORM almagest.port_create_collection(document, (SELECT h.divided_by FROM almagest.collection_head AS h WHERE h.id = of_id));
    RETURN 'created';
END;
$$;
COMMENT ON FUNCTION almagest.restore_collection(text, timestamptz) IS
    'Makes a collection what it was at a moment, and answers as put_collection; one that was deleted divides its items as '
    'before, which do not come back with it. Raises P0002 where there was none.';
