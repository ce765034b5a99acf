-- Reading rows as they were: those that are still so lie with pgSTAC, the others in our history.

CREATE OR REPLACE FUNCTION almagest.port_page_query_at(
    predicate text, order_by text, sort_values text, page_size int, moment timestamptz
) RETURNS text
LANGUAGE sql STABLE
AS $$
    -- Each half is ordered and cut by itself, so that an index can end it early. Where most of what was then has changed
    -- since, few rows of today count, and all would be looked through for them: no further than where former ones fill the page.
    SELECT format($query$
        WITH former AS MATERIALIZED (
            SELECT id, collection, datetime, end_datetime, geometry, content, true AS is_former, base_key
            FROM almagest.item_history AS items
            WHERE %1$s AND valid_from <= %5$L AND valid_to > %5$L AND NOT deleted
            ORDER BY %2$s
            LIMIT %4$s
        )
        SELECT r.content::text,
               CASE WHEN (r.collection, r.is_former, r.base_key, r.content->>'pgstac:base_item')
                         IS DISTINCT FROM lag((r.collection, r.is_former, r.base_key, r.content->>'pgstac:base_item')) OVER ()
                    THEN coalesce(CASE WHEN r.is_former THEN almagest.base_item_of(r.base_key, r.content)
                                       ELSE almagest.port_base_item(r.collection, r.content->>'pgstac:base_item')
                                  END::text, '{}')
               END,
               %3$s, r.collection, r.id, ST_AsGeoJSON(r.geometry, 20)
        FROM (
            SELECT * FROM (
                (SELECT id, collection, datetime, end_datetime, geometry, content, false AS is_former, NULL::bigint AS base_key
                 FROM pgstac.items
                 -- Asked of each row that is met: the planner, which does not know how few these are, would read all heads.
                 WHERE %1$s %6$s AND coalesce((
                     SELECT h.valid_from FROM almagest.item_head AS h
                     WHERE h.collection = items.collection AND h.id = items.id), '-infinity') <= %5$L
                 ORDER BY %2$s
                 LIMIT %4$s)
                UNION ALL
                SELECT * FROM former
            ) AS u
            ORDER BY %2$s
            LIMIT %4$s
        ) AS r
    $query$, predicate, order_by, sort_values, page_size, moment, CASE
        WHEN order_by ~ '^datetime DESC(,|$)' THEN format(
            $bound$AND datetime >= coalesce((SELECT datetime FROM former ORDER BY %s LIMIT 1 OFFSET %s), '-infinity')$bound$,
            order_by, page_size - 1)
        WHEN order_by ~ '^datetime ASC(,|$)' THEN format(
            $bound$AND datetime <= coalesce((SELECT datetime FROM former ORDER BY %s LIMIT 1 OFFSET %s), 'infinity')$bound$,
            order_by, page_size - 1) END)
$$;
COMMENT ON FUNCTION almagest.port_page_query_at(text, text, text, int, timestamptz) IS
    'As port_page_query, of rows as they were at a moment since which versions are kept. An item without a head has been as it '
    'is since then.';


CREATE OR REPLACE FUNCTION almagest.port_as_items(ids text[], documents jsonb[])
RETURNS TABLE (id text, geometry geometry, datetime timestamptz, end_datetime timestamptz, document jsonb)
LANGUAGE sql STABLE SET search_path = pgstac, public, pg_temp
AS $$
    SELECT c.id, pgstac.collection_geom(c.document), pgstac.collection_datetime(c.document),
           pgstac.collection_enddatetime(c.document), c.document
    FROM unnest(ids, documents) AS c(id, document)
$$;
COMMENT ON FUNCTION almagest.port_as_items(text[], jsonb[]) IS
    'Collections, stored or not, with what pgSTAC searches them by; as port_collections_as_items.';
