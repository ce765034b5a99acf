-- Collections and queryables.

CREATE OR REPLACE FUNCTION almagest.port_collection(collection_id text) RETURNS jsonb
LANGUAGE sql STABLE SET search_path = pgstac, public, pg_temp
-- Not get_collection: its search_path lets temporary tables of the session stand for pgSTAC's.
AS $$ SELECT c.content FROM pgstac.collections AS c WHERE c.id = collection_id $$;
COMMENT ON FUNCTION almagest.port_collection(text) IS 'A collection document; NULL if there is none.';


CREATE OR REPLACE FUNCTION almagest.port_collection_search(search jsonb) RETURNS jsonb
LANGUAGE sql STABLE SET search_path = pgstac, public, pg_temp
AS $$ SELECT pgstac.collection_search(search - '{conf,token}'::text[]) $$;
COMMENT ON FUNCTION almagest.port_collection_search(jsonb) IS
    'Collections that match, with numberMatched, numberReturned and paging links by offset. Raises P0001.';


CREATE OR REPLACE FUNCTION almagest.port_queryables(collection_ids text[]) RETURNS jsonb
LANGUAGE sql STABLE SET search_path = pgstac, public, pg_temp
AS $$ SELECT pgstac.get_queryables(collection_ids) $$;
COMMENT ON FUNCTION almagest.port_queryables(text[]) IS
    'Queryables as a JSON schema; NULL ids mean every collection; NULL if none of the collections exists.';


CREATE OR REPLACE FUNCTION almagest.port_collection_ids() RETURNS SETOF text
LANGUAGE sql STABLE SET search_path = pgstac, public, pg_temp
AS $$ SELECT id FROM pgstac.collections ORDER BY id $$;
COMMENT ON FUNCTION almagest.port_collection_ids() IS 'Ids of all collections, in order.';
