-- Choosing the items of a mosaic.

CREATE OR REPLACE FUNCTION almagest.port_mosaic_query(
    predicate text, order_by text, shape geometry, max_items int, exit_when_full boolean, skip_covered boolean
) RETURNS text
LANGUAGE sql STABLE SET search_path = pgstac, public, pg_temp
AS $$
    SELECT format($query$
        WITH %7$s, chosen AS (
            SELECT q.id, q.collection, q.datetime, q.place
            FROM queue AS q
            WHERE (NOT %5$L OR q.hidden <> -1) AND (NOT %6$L OR q.touched & ~q.hidden <> 0)
            -- Where not all can be taken, those that reach a cell first go first, or old ones would never be seen.
            ORDER BY %6$L AND q.touched & ~q.reached = 0, q.place
            LIMIT %4$s
        )
        SELECT jsonb_build_object('id', r.id, 'collection', r.collection, 'bbox', r.content->'bbox',
                                  'assets', r.content->'assets')::text,
               -- Only where it changes from row to row: mosaics are mostly of one collection.
               CASE WHEN (r.collection, r.content->>'pgstac:base_item')
                         IS DISTINCT FROM lag((r.collection, r.content->>'pgstac:base_item')) OVER (ORDER BY r.place)
                    THEN jsonb_build_object('assets', almagest.port_base_item(
                             r.collection, r.content->>'pgstac:base_item')->'assets')::text
               END
        FROM (
            SELECT i.id, i.collection, i.content, c.place
            FROM chosen AS c
            JOIN pgstac.items AS i ON i.collection = c.collection AND i.datetime = c.datetime AND i.id = c.id
        ) AS r
        ORDER BY r.place
    $query$, predicate, order_by, shape, max_items, exit_when_full, skip_covered,
    CASE WHEN ST_Area(ST_Envelope(shape)) > 0 THEN format($query$
        -- The frame of the shape is cut into 8 x 8 cells, one bit each in a bigint. An item touches the cells that its
        -- bounding box meets and covers those that lie wholly within it. Both err so that nothing visible is left out.
        grid AS (
            SELECT s AS shape, ST_XMin(s) AS x0, ST_YMin(s) AS y0,
                   (ST_XMax(s) - ST_XMin(s)) / 8 AS width, (ST_YMax(s) - ST_YMin(s)) / 8 AS height
            FROM (SELECT ST_Envelope(%3$L::geometry) AS s) AS given
        ), candidates AS MATERIALIZED (
            SELECT i.id, i.collection, i.datetime, i.geometry, row_number() OVER (ORDER BY %2$s) AS place
            FROM pgstac.items AS i
            WHERE (%1$s) AND ST_Intersects(i.geometry, %3$L::geometry)
            ORDER BY %2$s
            LIMIT 10000
        ), firsts AS (
            -- Most missions have a grid: whatever has the footprint of an earlier one lies behind it.
            SELECT t.*
            FROM (SELECT c.*, row_number() OVER (PARTITION BY c.geometry::bytea ORDER BY c.place) AS turn
                  FROM candidates AS c) AS t
            WHERE NOT %4$L OR t.turn = 1 OR GeometryType(t.geometry) NOT IN ('POLYGON', 'MULTIPOLYGON')
        ), spans AS (
            SELECT f.*, g.*,
                   (ST_XMin(f.geometry) - g.x0) / g.width AS west, (ST_XMax(f.geometry) - g.x0) / g.width AS east,
                   (ST_YMin(f.geometry) - g.y0) / g.height AS south, (ST_YMax(f.geometry) - g.y0) / g.height AS north
            FROM firsts AS f, grid AS g
        ), bits AS (
            SELECT s.id, s.collection, s.datetime, s.place,
                   (SELECT coalesce(bit_or(1::bigint << (8 * y + x)), 0)
                    FROM generate_series(greatest(floor(s.south), 0)::int, least(floor(s.north), 7)::int) AS y,
                         generate_series(greatest(floor(s.west), 0)::int, least(floor(s.east), 7)::int) AS x
                   ) AS touched,
                   CASE
                       WHEN least(s.east, 8) - greatest(s.west, 0) < 1 OR least(s.north, 8) - greatest(s.south, 0) < 1
                            -- ST_Covers refuses collections, and may answer anything for what is not valid.
                            OR NOT (GeometryType(s.geometry) IN ('POLYGON', 'MULTIPOLYGON') AND ST_IsValid(s.geometry))
                       THEN 0
                       WHEN ST_Covers(s.geometry, s.shape) THEN -1
                       ELSE (
                           SELECT coalesce(bit_or(1::bigint << (8 * y + x)), 0)
                           FROM generate_series(greatest(ceil(s.south), 0)::int, least(floor(s.north), 8)::int - 1) AS y,
                                generate_series(greatest(ceil(s.west), 0)::int, least(floor(s.east), 8)::int - 1) AS x
                           WHERE ST_Covers(s.geometry, ST_MakeEnvelope(
                               s.x0 + x * s.width, s.y0 + y * s.height,
                               s.x0 + (x + 1) * s.width, s.y0 + (y + 1) * s.height, 4326))
                       )
                   END AS covered
            FROM spans AS s
        ), queue AS (
            SELECT b.*,
                   coalesce(bit_or(b.covered) OVER earlier, 0) AS hidden,
                   coalesce(bit_or(b.touched) OVER earlier, 0) AS reached
            FROM bits AS b
            WINDOW earlier AS (ORDER BY b.place ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING)
        )
    $query$, predicate, order_by, shape, skip_covered)
    ELSE format($query$
        -- A point, or no shape at all: there is nothing to cover.
        queue AS (
            SELECT i.id, i.collection, i.datetime, row_number() OVER (ORDER BY %2$s) AS place,
                   1::bigint AS touched, 0::bigint AS hidden, 0::bigint AS reached
            FROM pgstac.items AS i
            WHERE (%1$s) AND (%3$L::geometry IS NULL OR ST_Intersects(i.geometry, %3$L::geometry))
            ORDER BY %2$s
            LIMIT %4$s
        )
    $query$, predicate, order_by, shape, max_items) END)
$$;
COMMENT ON FUNCTION almagest.port_mosaic_query(text, text, geometry, int, boolean, boolean) IS
    'The one statement behind every mosaic tile: no temporary table and no growing union, so that it runs on read-only '
    'connections and replicas. shape NULL: every item meets it. It looks at ten thousand items at most, as pgSTAC does.';
