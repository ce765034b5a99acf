-- To be replaced by port_put_items.

CREATE OR REPLACE FUNCTION almagest.port_item_exists(collection_id text, item_id text) RETURNS boolean
LANGUAGE sql STABLE SET search_path = pgstac, public, pg_temp
AS $$ SELECT EXISTS (SELECT FROM pgstac.items i WHERE i.collection = collection_id AND i.id = item_id) $$;
COMMENT ON FUNCTION almagest.port_item_exists(text, text) IS
    'Whether the item is stored, in whichever partition: pgSTAC keeps ids unique within a partition only.';


CREATE OR REPLACE FUNCTION almagest.port_insert_items(documents jsonb) RETURNS void
LANGUAGE sql VOLATILE SET search_path = pgstac, public, pg_temp
AS $$ SELECT pgstac.create_items(documents) $$;
COMMENT ON FUNCTION almagest.port_insert_items(jsonb) IS
    'Stores new items, an array. Raises 23505 where an id is taken within its partition.';
