-- Two items at once: what a condition on one of them is in SQL, and what both saw.

CREATE OR REPLACE FUNCTION almagest.port_condition(node jsonb, collection_ids text[]) RETURNS text
LANGUAGE sql STABLE SET search_path = pgstac, public, pg_temp
AS $$ SELECT pgstac.cql2_query(node, NULL, collection_ids) $$;
COMMENT ON FUNCTION almagest.port_condition(jsonb, text[]) IS
    'CQL2 about one item of these collections (NULL: of any) as SQL over the columns of items; pgSTAC''s own. Raises P0001.';


CREATE OR REPLACE FUNCTION almagest.port_operand(
    name text, collection_ids text[], OUT path text, OUT column_name text, OUT wrapper text
)
LANGUAGE plpgsql STABLE SET search_path = pgstac, public, pg_temp
AS $$
DECLARE
    is_registered boolean;
BEGIN
    SELECT q.path, pgstac.queryable_column(name),
           CASE WHEN q.definition ?| '{type,format}' THEN coalesce(q.nulled_wrapper, q.wrapper) ELSE q.nulled_wrapper END,
           q.registered
    INTO path, column_name, wrapper, is_registered
    FROM pgstac.queryable(name, collection_ids) AS q;
    IF path IS NULL THEN
        RAISE EXCEPTION 'A property name is required.';
    ELSIF NOT is_registered AND NOT pgstac.additional_properties() THEN
        RAISE EXCEPTION 'Term % is not found in queryables.', name;
    END IF;
END;
$$;
COMMENT ON FUNCTION almagest.port_operand(text, text[]) IS
    'Where a property stands, as SQL over the columns of items; its column, where it has one of its own; and which of pgSTAC''s '
    'functions reads it, where its queryable says so. Raises P0001.';


CREATE OR REPLACE FUNCTION almagest.port_read_as(path text, kind text) RETURNS text
LANGUAGE sql IMMUTABLE
AS $$
    SELECT CASE kind
        WHEN 'number' THEN format('pgstac.to_float(%s)', path)
        WHEN 'time' THEN format('pgstac.to_tstz(%s)', path)
        WHEN 'text' THEN format('pgstac.to_text(%s)', path)
        WHEN 'value' THEN format($sql$nullif(%s, 'null')$sql$, path) END
$$;
COMMENT ON FUNCTION almagest.port_read_as(text, text) IS
    'What stands in stored content, read as a number, a time, a text or whatever it is, as SQL; NULL for any other kind.';


CREATE OR REPLACE FUNCTION almagest.port_moment(value jsonb) RETURNS timestamptz
LANGUAGE sql IMMUTABLE SET search_path = pgstac, public, pg_temp
AS $$ SELECT pgstac.to_tstz(value) $$;
COMMENT ON FUNCTION almagest.port_moment(jsonb) IS 'A time as pgSTAC reads it: in UTC where it names no zone.';


CREATE OR REPLACE FUNCTION almagest.port_ground(footprint geometry) RETURNS geometry
LANGUAGE sql IMMUTABLE PARALLEL SAFE COST 1000
AS $$
    SELECT CASE WHEN GeometryType(footprint) = 'GEOMETRYCOLLECTION' -- whose areas may lie on each other
                THEN ST_UnaryUnion(ST_CollectionExtract(ST_MakeValid(footprint), 3))
                WHEN ST_IsValid(footprint) THEN ST_CollectionExtract(footprint, 3)
                ELSE ST_CollectionExtract(ST_MakeValid(footprint), 3) END
$$;
COMMENT ON FUNCTION almagest.port_ground(geometry) IS 'The areas in a footprint, valid; empty where there are none.';


CREATE OR REPLACE FUNCTION almagest.port_overlap(one geometry, other geometry) RETURNS geometry
LANGUAGE sql IMMUTABLE PARALLEL SAFE COST 5000
AS $$ SELECT ST_CollectionExtract(ST_Intersection(almagest.port_ground(one), almagest.port_ground(other)), 3) $$;
COMMENT ON FUNCTION almagest.port_overlap(geometry, geometry) IS 'What two footprints have in common, as areas; empty where they only touch.';


CREATE OR REPLACE FUNCTION almagest.area_below(lat float8) RETURNS float8
LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $$
    -- WGS 84: a^2 (1 - e^2) / 2, e^2 and e (Snyder, Map Projections, 1987, 3-12).
    SELECT 20204149.99233072 * (
        sin(radians(lat)) / (1 - 0.0066943799901413165 * sin(radians(lat)) ^ 2)
        + atanh(0.08181919084262149 * sin(radians(lat))) / 0.08181919084262149)
$$;
COMMENT ON FUNCTION almagest.area_below(float8) IS 'The area between the equator and a parallel, for each radian of longitude [km2].';


CREATE OR REPLACE FUNCTION almagest.port_area_km2(ground geometry) RETURNS float8
LANGUAGE sql IMMUTABLE PARALLEL SAFE COST 5000
AS $$
    -- By Green's theorem a sum over edges, each of which is integrated by three nodes of Gauss and Legendre.
    SELECT coalesce(sum(radians(e.west - e.east) * (
        5 * almagest.area_below(e.south + 0.1127016653792583 * (e.north - e.south)) + 8 * almagest.area_below((e.south + e.north) / 2)
        + 5 * almagest.area_below(e.south + 0.8872983346207417 * (e.north - e.south)))) / 18, 0)
    FROM (
        SELECT ST_X(ST_StartPoint(s.geom)) AS west, ST_Y(ST_StartPoint(s.geom)) AS south,
               ST_X(ST_EndPoint(s.geom)) AS east, ST_Y(ST_EndPoint(s.geom)) AS north
        FROM ST_DumpSegments(ST_Segmentize(ST_ForcePolygonCCW(ST_Force2D(ground)), 10)) AS s
    ) AS e
$$;
COMMENT ON FUNCTION almagest.port_area_km2(geometry) IS
    'The area on the WGS 84 ellipsoid of what has edges that are straight in longitude and latitude (RFC 7946), as the sweep has it.';


CREATE OR REPLACE FUNCTION almagest.port_common(one geometry, other geometry, OUT km2 float8, OUT share float8)
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE COST 10000
AS $$
BEGIN
    km2 := CASE WHEN one && other THEN almagest.port_area_km2(almagest.port_overlap(one, other)) ELSE 0 END;
    share := CASE WHEN km2 = 0 THEN 0 ELSE least(1, km2 / least(
        almagest.port_area_km2(almagest.port_ground(one)), almagest.port_area_km2(almagest.port_ground(other)))) END;
END;
$$;
COMMENT ON FUNCTION almagest.port_common(geometry, geometry) IS
    'The area of what both footprints have in common [km2], and its share of the smaller one, from 0 to 1.';


CREATE OR REPLACE FUNCTION almagest.port_share(one geometry, other geometry, of_what text) RETURNS float8
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE COST 10000
AS $$
DECLARE
    of_one float8;
    of_other float8;
    whole float8;
BEGIN
    of_one := almagest.port_area_km2(almagest.port_ground(one));
    of_other := almagest.port_area_km2(almagest.port_ground(other));
    whole := CASE of_what WHEN 'min' THEN least(of_one, of_other) WHEN 'max' THEN greatest(of_one, of_other)
                          WHEN 'first' THEN of_one WHEN 'second' THEN of_other END;
    IF NOT one && other AND whole > 0 THEN
        RETURN 0;
    ELSIF whole > 0 THEN
        RETURN least(1, almagest.port_area_km2(almagest.port_overlap(one, other)) / whole);
    END IF;
    RETURN NULL;
END;
$$;
COMMENT ON FUNCTION almagest.port_share(geometry, geometry, text) IS
    'How much of the smaller (min), greater (max), first or second footprint both have in common, from 0 to 1; NULL where it has no '
    'area.';


CREATE OR REPLACE FUNCTION almagest.port_side(search jsonb, expressions text[]) RETURNS text
LANGUAGE sql STABLE
AS $$
    SELECT format($query$SELECT id, collection, datetime, end_datetime, geometry%s FROM pgstac.items WHERE (%s)$query$,
                  (SELECT string_agg(format(', %s AS c%s', e.expression, e.n), '' ORDER BY e.n)
                   FROM unnest(expressions) WITH ORDINALITY AS e(expression, n)),
                  almagest.port_where(search))
$$;
COMMENT ON FUNCTION almagest.port_side(jsonb, text[]) IS
    'Statement for the items of a search, with further columns c1, c2 and so on, which are SQL over the columns of items.';
