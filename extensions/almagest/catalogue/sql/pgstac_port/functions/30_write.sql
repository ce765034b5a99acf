-- Writing through pgSTAC's own functions, so that partitions and statistics stay its business.

CREATE OR REPLACE FUNCTION almagest.port_item_exists(collection_id text, item_id text) RETURNS boolean
LANGUAGE sql STABLE SET search_path = pgstac, public, pg_temp
AS $$ SELECT EXISTS (SELECT FROM pgstac.items i WHERE i.collection = collection_id AND i.id = item_id) $$;
COMMENT ON FUNCTION almagest.port_item_exists(text, text) IS
    'Whether the item is stored, in whichever partition: pgSTAC keeps ids unique within a partition only.';


CREATE OR REPLACE FUNCTION almagest.port_collection_exists(collection_id text) RETURNS boolean
LANGUAGE sql STABLE SET search_path = pgstac, public, pg_temp
AS $$ SELECT EXISTS (SELECT FROM pgstac.collections c WHERE c.id = collection_id) $$;
COMMENT ON FUNCTION almagest.port_collection_exists(text) IS 'Whether the collection exists.';


CREATE OR REPLACE FUNCTION almagest.port_insert_items(documents jsonb) RETURNS void
LANGUAGE sql VOLATILE SET search_path = pgstac, public, pg_temp
AS $$ SELECT pgstac.create_items(documents) $$;
COMMENT ON FUNCTION almagest.port_insert_items(jsonb) IS
    'Stores new items, an array. Raises 23505 where an id is taken within its partition.';


CREATE OR REPLACE FUNCTION almagest.port_delete_item(collection_id text, item_id text) RETURNS boolean
LANGUAGE plpgsql VOLATILE SET search_path = pgstac, public, pg_temp
AS $$
BEGIN
    DELETE FROM pgstac.items i WHERE i.collection = collection_id AND i.id = item_id;
    RETURN FOUND;
END;
$$;
COMMENT ON FUNCTION almagest.port_delete_item(text, text) IS 'Deletes an item from every partition; false if none held it.';


CREATE OR REPLACE FUNCTION almagest.port_create_collection(document jsonb) RETURNS void
LANGUAGE sql VOLATILE SET search_path = pgstac, public, pg_temp
AS $$ SELECT pgstac.create_collection(document) $$;
COMMENT ON FUNCTION almagest.port_create_collection(jsonb) IS 'Stores a new collection. Raises 23505 where the id is taken.';


CREATE OR REPLACE FUNCTION almagest.port_update_collection(document jsonb) RETURNS void
LANGUAGE sql VOLATILE SET search_path = pgstac, public, pg_temp
AS $$ SELECT pgstac.update_collection(document) $$;
COMMENT ON FUNCTION almagest.port_update_collection(jsonb) IS
    'Replaces a collection. Raises P0002 where there is none of this id.';


CREATE OR REPLACE FUNCTION almagest.port_delete_collection(collection_id text) RETURNS void
LANGUAGE sql VOLATILE SET search_path = pgstac, public, pg_temp
AS $$ SELECT pgstac.delete_collection(collection_id) $$;
COMMENT ON FUNCTION almagest.port_delete_collection(text) IS
    'Drops a collection with all its items. Raises P0002 where there is none of this id.';
