-- What is counted of an item.

CREATE OR REPLACE FUNCTION almagest.rollup_scheme() RETURNS int
LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $$ SELECT 3 $$;
COMMENT ON FUNCTION almagest.rollup_scheme() IS
    'To be raised whenever something else is counted beforehand than what stands in the tables by now.';


CREATE OR REPLACE FUNCTION almagest.rolled_terms() RETURNS text[]
LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $$ SELECT '{platform,constellation,mission,grid:code,processing:level,product:type,sat:orbit_state}'::text[] $$;
COMMENT ON FUNCTION almagest.rolled_terms() IS 'Properties of which is counted beforehand how often each text stands there.';


CREATE OR REPLACE FUNCTION almagest.rolled_numbers() RETURNS text[]
LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $$ SELECT '{eo:cloud_cover,eo:snow_cover,gsd,view:off_nadir,view:sun_azimuth,view:sun_elevation}'::text[] $$;
COMMENT ON FUNCTION almagest.rolled_numbers() IS 'Properties whose numbers are counted beforehand.';


CREATE OR REPLACE FUNCTION almagest.term(properties jsonb, name text) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $$
    -- Longer ones are no names of a kind of things, and no key of an index.
    SELECT CASE WHEN jsonb_typeof(properties->name) = 'string' AND length(properties->>name) <= 255 THEN properties->>name END
$$;
COMMENT ON FUNCTION almagest.term(jsonb, text) IS 'The text of a property, by which items are told apart; NULL for anything else.';


CREATE OR REPLACE FUNCTION almagest.number(properties jsonb, name text) RETURNS numeric
LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $$
    -- Greater ones measure nothing, and some have more digits than an index takes.
    SELECT CASE WHEN jsonb_typeof(properties->name) = 'number'
                THEN CASE WHEN abs((properties->name)::numeric) <= 1e15 THEN (properties->name)::numeric END END
$$;
COMMENT ON FUNCTION almagest.number(jsonb, text) IS 'The number of a property; NULL for anything else, and beyond 1e15.';


CREATE OR REPLACE FUNCTION almagest.on_globe(place geometry) RETURNS geometry
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
AS $$
DECLARE
    x CONSTANT float8 := ST_X(place);
    y CONSTANT float8 := ST_Y(place);
BEGIN
    IF x >= -180 AND x < 180 AND y BETWEEN -90 AND 90 THEN
        RETURN place;
    ELSIF abs(x) <= 1e9 AND abs(y) < 'infinity' THEN -- NaN is greater than all others
        RETURN ST_SetSRID(ST_MakePoint(
            least(greatest(x - 360 * floor((x + 180) / 360), -180), 180), least(greatest(y, -90), 90)), 4326);
    END IF;
    RETURN NULL;
END;
$$;
COMMENT ON FUNCTION almagest.on_globe(geometry) IS
    'A point by a longitude from -180 to 180 and a latitude from -90 to 90: some count on beyond these. NULL where it is none, '
    'or so far away that its longitude has no digits left.';


CREATE OR REPLACE FUNCTION almagest.middle(footprint geometry) RETURNS geometry
LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $$
    SELECT almagest.on_globe(CASE
        -- Parts on both sides of the antimeridian belong together; their middle is not on the other side of the globe.
        WHEN ST_XMax(footprint) - ST_XMin(footprint) > 180 AND ST_NumGeometries(footprint) > 1
             AND (SELECT bool_and(ST_XMax(part.geom) - ST_XMin(part.geom) <= 180) FROM ST_Dump(footprint) AS part)
        THEN ST_Centroid(ST_ShiftLongitude(ST_Force2D(footprint)))
        ELSE ST_Centroid(footprint) END)
$$;
COMMENT ON FUNCTION almagest.middle(geometry) IS
    'The centroid of a footprint, which may lie on both sides of the antimeridian, or beyond it; NULL where there is none.';


CREATE OR REPLACE FUNCTION almagest.place_text(place geometry) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $$ SELECT ST_X(place)::text || ' ' || ST_Y(place)::text $$;
COMMENT ON FUNCTION almagest.place_text(geometry) IS 'Longitude and latitude of a point, with all their digits.';


CREATE OR REPLACE FUNCTION almagest.geotile(place geometry, zoom int) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $$
    -- least and greatest pass over what is NULL.
    SELECT CASE WHEN place IS NOT NULL THEN zoom
        || '/' || least(greatest(floor((ST_X(place) + 180) / 360 * 2.0::float8 ^ zoom), 0), 2.0::float8 ^ zoom - 1)::bigint
        || '/' || least(greatest(floor((1 - asinh(tan(radians(ST_Y(place)))) / pi()) / 2 * 2.0::float8 ^ zoom), 0),
                        2.0::float8 ^ zoom - 1)::bigint END
$$;
COMMENT ON FUNCTION almagest.geotile(geometry, int) IS 'The tile of the web map in which a point lies, as zoom/x/y.';


CREATE OR REPLACE FUNCTION almagest.geotile_above(tile text, zoom int) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $$
    SELECT zoom || '/' || (parts[2]::bigint >> (parts[1]::int - zoom)) || '/' || (parts[3]::bigint >> (parts[1]::int - zoom))
    FROM string_to_array(tile, '/') AS t(parts)
$$;
COMMENT ON FUNCTION almagest.geotile_above(text, int) IS 'The tile of a smaller zoom in which a tile lies.';


CREATE OR REPLACE FUNCTION almagest.span_class(properties jsonb) RETURNS int
LANGUAGE sql STABLE PARALLEL SAFE
AS $$
    -- As numbers: of "until now" some make an infinite time, which no other can be taken from.
    SELECT ceil(ln(least(greatest(
        date_part('epoch', (properties->>'end_datetime')::timestamptz) - date_part('epoch', (properties->>'start_datetime')::timestamptz),
        1), 1e15)) / ln(2::float8))::int
    WHERE jsonb_typeof(properties->'start_datetime') = 'string' AND jsonb_typeof(properties->'end_datetime') = 'string'
$$;
COMMENT ON FUNCTION almagest.span_class(jsonb) IS 'What took longer than a moment took at most two to the power of this [s].';


CREATE OR REPLACE FUNCTION almagest.rollup_facts(datetime timestamptz, place geometry, properties jsonb)
RETURNS TABLE (dimension text, key text, number numeric)
LANGUAGE sql STABLE PARALLEL SAFE -- without settings, so that it is planned as part of the statement that asks
AS $$
    SELECT f.dimension, f.key, NULL::numeric
    -- Of VALUES every row would be got ready anew, which takes five times as long as all the rest.
    FROM unnest(
        '{total,day,geohash,geotile,place,span}'::text[],
        ARRAY['', to_char(datetime AT TIME ZONE 'UTC', 'YYYY-MM-DD'), ST_GeoHash(place, 3), almagest.geotile(place, 7),
              almagest.place_text(place), almagest.span_class(properties)::text]
    ) AS f(dimension, key)
    WHERE f.key IS NOT NULL
    UNION ALL
    SELECT name, almagest.term(properties, name), NULL
    FROM unnest(almagest.rolled_terms()) AS t(name) WHERE almagest.term(properties, name) IS NOT NULL
    UNION ALL
    SELECT name, NULL, almagest.number(properties, name)
    FROM unnest(almagest.rolled_numbers()) AS n(name) WHERE almagest.number(properties, name) IS NOT NULL
$$;
COMMENT ON FUNCTION almagest.rollup_facts(timestamptz, geometry, jsonb) IS
    'What is counted beforehand of an item, a row for each dimension that it has: a key or a number. Of the cells the finest, '
    'of which rollup_levels makes all; place stands for those of H3, which only a library knows.';


CREATE OR REPLACE FUNCTION almagest.rollup_levels(dimension text, key text) RETURNS TABLE (dimension text, key text)
LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $$
    SELECT 'geohash' || n, left($2, n) FROM generate_series(1, 3) AS n WHERE $1 = 'geohash'
    UNION ALL
    SELECT 'geotile' || z, almagest.geotile_above($2, z) FROM generate_series(0, 7) AS z WHERE $1 = 'geotile'
    UNION ALL
    SELECT $1, $2 WHERE $1 NOT IN ('geohash', 'geotile')
$$;
COMMENT ON FUNCTION almagest.rollup_levels(text, text) IS 'What is kept of one key: of a cell itself and those that it lies in.';


CREATE OR REPLACE FUNCTION almagest.rollup_changes(
    of_collections text[], from_era int, from_xact xid8, before_era int, before_xact xid8
)
RETURNS TABLE (collection text, change int, datetime timestamptz, geometry geometry, properties jsonb)
LANGUAGE plpgsql STABLE SET search_path = almagest, public, pg_temp
AS $$
#variable_conflict use_column
BEGIN
    RETURN QUERY
    WITH changed AS MATERIALIZED (
        SELECT DISTINCT c.collection, c.item, c.at FROM almagest.changes_after(from_era, from_xact, -1, of_collections, NULL) AS c
        WHERE before_era IS NULL OR (c.era, c.xact) < (before_era, before_xact)
    )
    SELECT c.collection, 1, i.datetime, i.geometry, i.content->'properties'
    FROM changed AS c
    JOIN almagest.item_head AS h ON h.collection = c.collection AND h.id = c.item AND h.valid_from = c.at AND NOT h.deleted
    CROSS JOIN LATERAL almagest.port_row(c.collection, c.item) AS i
    UNION ALL
    SELECT c.collection, 1, h.datetime, h.geometry, h.content->'properties'
    FROM changed AS c
    JOIN almagest.item_history AS h ON h.collection = c.collection AND h.id = c.item AND h.valid_from = c.at AND NOT h.deleted
    UNION ALL
    SELECT c.collection, -1, h.datetime, h.geometry, h.content->'properties'
    FROM changed AS c
    JOIN almagest.item_history AS h ON h.collection = c.collection AND h.id = c.item AND h.valid_to = c.at AND NOT h.deleted;
END;
$$;
COMMENT ON FUNCTION almagest.rollup_changes(text[], int, xid8, int, xid8) IS
    'What has to be counted (change 1) and what no longer (-1) because of changes from one place in the log up to another '
    '(NULL: up to its end), of some collections (NULL: of all). For each change what is after it, less what was before it: '
    'the sum is right whatever order these are added in, since one ends where another begins.';


CREATE OR REPLACE FUNCTION almagest.rollup_tail(of_collections text[], from_era int, from_xact xid8)
RETURNS TABLE (collection text, dimension text, key text, number numeric, count bigint)
LANGUAGE plpgsql STABLE SET search_path = almagest, public, pg_temp -- which keeps its plan
AS $$
#variable_conflict use_column
BEGIN
    RETURN QUERY
    SELECT s.collection, l.dimension, l.key, f.number, sum(s.change)
    FROM (
        SELECT c.collection, c.change, c.datetime, almagest.middle(c.geometry) AS place, c.properties
        FROM almagest.rollup_changes(of_collections, from_era, from_xact, NULL, NULL) AS c OFFSET 0
    ) AS s
    CROSS JOIN LATERAL almagest.rollup_facts(s.datetime, s.place, s.properties) AS f
    CROSS JOIN LATERAL almagest.rollup_levels(f.dimension, f.key) AS l
    GROUP BY s.collection, l.dimension, l.key, f.number
    HAVING sum(s.change) <> 0;
END;
$$;
COMMENT ON FUNCTION almagest.rollup_tail(text[], int, xid8) IS
    'What changes the rollups of some collections and is not folded yet: all that this statement sees from this place on.';
