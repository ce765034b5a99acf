-- Single documents.

CREATE OR REPLACE FUNCTION almagest.item_row(collection text, id text) RETURNS TABLE (item text, base text)
LANGUAGE sql STABLE SET search_path = almagest, public, pg_temp
AS $$ SELECT r.item, r.base FROM almagest.port_item(collection, id) AS r $$;
COMMENT ON FUNCTION almagest.item_row(text, text) IS 'One item as text with the base it hydrates against; no row if there is none.';


CREATE OR REPLACE FUNCTION almagest.item_document(collection text, id text) RETURNS jsonb
LANGUAGE sql STABLE SET search_path = almagest, public, pg_temp
AS $$ SELECT almagest.port_hydrate(r.item::jsonb, r.base::jsonb) FROM almagest.port_item(collection, id) AS r $$;
COMMENT ON FUNCTION almagest.item_document(text, text) IS 'One item, hydrated; NULL if there is none.';


CREATE OR REPLACE FUNCTION almagest.collection_document(id text) RETURNS jsonb
LANGUAGE sql STABLE SET search_path = almagest, public, pg_temp
AS $$ SELECT almagest.port_collection(id) $$;
COMMENT ON FUNCTION almagest.collection_document(text) IS 'One collection; NULL if there is none.';


CREATE OR REPLACE FUNCTION almagest.collection_page(search jsonb) RETURNS jsonb
LANGUAGE sql STABLE SET search_path = almagest, public, pg_temp
AS $$ SELECT almagest.port_collection_search(search) $$;
COMMENT ON FUNCTION almagest.collection_page(jsonb) IS
    'Collections that match a collection search, with numberMatched and paging by offset.';


CREATE OR REPLACE FUNCTION almagest.queryables(collection_ids text[]) RETURNS jsonb
LANGUAGE sql STABLE SET search_path = almagest, public, pg_temp
AS $$ SELECT almagest.port_queryables(collection_ids) $$;
COMMENT ON FUNCTION almagest.queryables(text[]) IS
    'Queryables of these collections (NULL: of all) as a JSON schema; NULL if none exists.';


CREATE OR REPLACE FUNCTION almagest.collection_ids() RETURNS SETOF text
LANGUAGE sql STABLE SET search_path = almagest, public, pg_temp
AS $$ SELECT almagest.port_collection_ids() $$;
COMMENT ON FUNCTION almagest.collection_ids() IS 'Ids of all collections, in order.';


CREATE OR REPLACE FUNCTION almagest.asset_location(
    collection text, item text, key text, OUT location text, OUT media_type text
) RETURNS SETOF record
LANGUAGE sql STABLE SET search_path = almagest, public, pg_temp
AS $$
    SELECT a.asset->>'href', a.asset->>'type'
    FROM almagest.port_item($1, $2) AS r,
         almagest.port_hydrate(r.item::jsonb->'assets'->$3, r.base::jsonb->'assets'->$3) AS a(asset)
    WHERE a.asset->>'href' ~ '^(file:///|s3://)'
$$;
COMMENT ON FUNCTION almagest.asset_location(text, text, text) IS
    'Where the bytes of a stored asset lie and what they are (NULL: nobody says); no row for one that is not stored with us.';
