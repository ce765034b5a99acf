CREATE OR REPLACE FUNCTION almagest.create_collection(document jsonb) RETURNS void
LANGUAGE sql VOLATILE SET search_path = almagest, public, pg_temp
AS $$ SELECT almagest.port_create_collection(document) $$;
COMMENT ON FUNCTION almagest.create_collection(jsonb) IS 'Stores a new collection. Raises 23505 where the id is taken.';


CREATE OR REPLACE FUNCTION almagest.replace_collection(document jsonb) RETURNS void
LANGUAGE sql VOLATILE SET search_path = almagest, public, pg_temp
AS $$ SELECT almagest.port_update_collection(document) $$;
COMMENT ON FUNCTION almagest.replace_collection(jsonb) IS 'Replaces a collection. Raises P0002 where there is none.';


CREATE OR REPLACE FUNCTION almagest.upsert_collection(document jsonb) RETURNS void
LANGUAGE sql VOLATILE SET search_path = almagest, public, pg_temp
AS $$
    -- An equal document is not written again: pgSTAC would re-tag the base item of every later item.
    SELECT almagest.port_upsert_collection(document)
    WHERE almagest.port_collection(document->>'id') IS DISTINCT FROM document
$$;
COMMENT ON FUNCTION almagest.upsert_collection(jsonb) IS 'Stores a collection, new or not.';


CREATE OR REPLACE FUNCTION almagest.delete_collection(collection text) RETURNS void
LANGUAGE sql VOLATILE SET search_path = almagest, public, pg_temp
AS $$ SELECT almagest.port_delete_collection(collection) $$;
COMMENT ON FUNCTION almagest.delete_collection(text) IS
    'Deletes a collection with all its items. Raises P0002 where there is none.';
