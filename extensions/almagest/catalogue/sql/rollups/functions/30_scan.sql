-- Aggregations, as SQL: over items that a search finds, and over what was counted beforehand.

CREATE OR REPLACE FUNCTION almagest.most_buckets() RETURNS int
LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $$ SELECT 10000 $$;
COMMENT ON FUNCTION almagest.most_buckets() IS 'Of an answer; what is in others it tells as overflow.';


CREATE OR REPLACE FUNCTION almagest.most_places() RETURNS int
LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $$ SELECT 250000 $$;
COMMENT ON FUNCTION almagest.most_places() IS 'Middles of footprints that one answer tells at most, from which its reader makes cells.';


CREATE OR REPLACE FUNCTION almagest.check_aggregation(asked jsonb) RETURNS void
LANGUAGE plpgsql IMMUTABLE
AS $$
DECLARE
    kind CONSTANT text := asked->>'kind';
    finest CONSTANT int := CASE kind WHEN 'geohash' THEN 12 WHEN 'geohex' THEN 15 WHEN 'geotile' THEN 29 END;
BEGIN
    IF kind IN ('count', 'collection', 'datetime_min', 'datetime_max') THEN
        RETURN;
    ELSIF kind = 'datetime' AND asked->>'interval' IN ('auto', 'year', 'month', 'week', 'day', 'hour', 'minute', 'second') THEN
        RETURN;
    ELSIF kind IN ('terms', 'min', 'max', 'sum') AND jsonb_typeof(asked->'property') = 'string' THEN
        RETURN;
    ELSIF kind = 'ranges' AND jsonb_typeof(asked->'property') = 'string' AND jsonb_typeof(asked->'bounds') = 'array'
          AND jsonb_array_length(asked->'bounds') BETWEEN 1 AND 1000
          AND NOT EXISTS (
              SELECT FROM (SELECT b.value, lag(b.value) OVER (ORDER BY b.n) AS former
                           FROM jsonb_array_elements(asked->'bounds') WITH ORDINALITY AS b(value, n)) AS b
              WHERE jsonb_typeof(b.value) <> 'number' OR b.value <= b.former) THEN
        RETURN;
    ELSIF asked->>'precision' ~ '^\d{1,2}$' THEN
        IF (asked->>'precision')::int BETWEEN (CASE kind WHEN 'geohash' THEN 1 ELSE 0 END) AND finest THEN
            RETURN;
        END IF;
    END IF;
    RAISE EXCEPTION 'aggregations: `%` is none, or its interval, its ranges or its precision are not possible.', left(kind, 100);
END;
$$;
COMMENT ON FUNCTION almagest.check_aggregation(jsonb) IS 'Raises P0001 unless aggregate can answer this.';


CREATE OR REPLACE FUNCTION almagest.with_interval(days text, unit text) RETURNS text
LANGUAGE sql IMMUTABLE
AS $$
    SELECT CASE WHEN unit = 'auto' THEN format($query$
        SELECT to_char(date_trunc(u.unit, d.moment), 'YYYY-MM-DD"T"HH24:MI:SS"Z"') AS key, sum(d.frequency) AS frequency,
               to_jsonb(u.unit) AS value
        FROM (%1$s) AS d CROSS JOIN (
            SELECT CASE WHEN max(s.moment) - min(s.moment) <= interval '92 days' THEN 'day'
                        WHEN max(s.moment) - min(s.moment) <= interval '3660 days' THEN 'month' ELSE 'year' END AS unit
            FROM (%1$s) AS s
        ) AS u
        GROUP BY 1, 3$query$, days)
    ELSE format($query$
        SELECT to_char(date_trunc(%2$L, d.moment), 'YYYY-MM-DD"T"HH24:MI:SS"Z"') AS key, sum(d.frequency) AS frequency,
               to_jsonb(%2$L::text) AS value
        FROM (%1$s) AS d
        GROUP BY 1$query$, days, unit) END
$$;
COMMENT ON FUNCTION almagest.with_interval(text, text) IS
    'Statement that counts by intervals of time (auto: days of up to three months, months of up to ten years, else years). '
    'days: statement for moment and frequency.';


CREATE OR REPLACE FUNCTION almagest.bucketed(counts text, place int, by_key boolean) RETURNS text
LANGUAGE sql IMMUTABLE
AS $$
    SELECT format($query$
        (SELECT %2$s, b.key, b.frequency::bigint, b.value FROM (%1$s) AS b WHERE b.frequency <> 0
         ORDER BY %3$s b.key COLLATE "C" LIMIT %4$s)
    $query$, counts, place, CASE WHEN by_key THEN '' ELSE 'b.frequency DESC,' END, almagest.most_buckets())
$$;
COMMENT ON FUNCTION almagest.bucketed(text, int, boolean) IS
    'Statement for the buckets of one aggregation, no more than most_buckets. counts: statement for key, frequency and value.';


CREATE OR REPLACE FUNCTION almagest.scanned(asked jsonb, place int) RETURNS text
LANGUAGE plpgsql IMMUTABLE
AS $$
DECLARE
    kind CONSTANT text := asked->>'kind';
    name CONSTANT text := asked->>'property';
BEGIN
    RETURN CASE kind
        WHEN 'collection' THEN almagest.bucketed(
            'SELECT m.collection AS key, count(*) AS frequency, NULL::jsonb AS value FROM matching AS m GROUP BY 1', place, false)
        WHEN 'datetime_min' THEN format('SELECT %s, NULL, NULL, to_jsonb(min(m.datetime)) FROM matching AS m', place)
        WHEN 'datetime_max' THEN format('SELECT %s, NULL, NULL, to_jsonb(max(m.datetime)) FROM matching AS m', place)
        WHEN 'datetime' THEN almagest.bucketed(almagest.with_interval(format(
            'SELECT date_trunc(%L, m.datetime AT TIME ZONE ''UTC'') AS moment, count(*) AS frequency FROM matching AS m GROUP BY 1',
            CASE asked->>'interval' WHEN 'auto' THEN 'day' ELSE asked->>'interval' END), asked->>'interval'), place, true)
        WHEN 'terms' THEN almagest.bucketed(format(
            'SELECT almagest.term(m.properties, %L) AS key, count(*) AS frequency, NULL::jsonb AS value FROM matching AS m '
            'WHERE almagest.term(m.properties, %1$L) IS NOT NULL GROUP BY 1', name), place, false)
        WHEN 'ranges' THEN format(
            'SELECT %s, width_bucket(almagest.number(m.properties, %L), %L::numeric[])::text, count(*), NULL FROM matching AS m '
            'WHERE almagest.number(m.properties, %2$L) IS NOT NULL GROUP BY 2',
            place, name, ARRAY(SELECT b::text::numeric FROM jsonb_array_elements(asked->'bounds') AS b))
        WHEN 'geohash' THEN almagest.bucketed(format(
            'SELECT ST_GeoHash(m.place, %s) AS key, count(*) AS frequency, NULL::jsonb AS value FROM matching AS m '
            'WHERE m.place IS NOT NULL GROUP BY 1',
            asked->>'precision'), place, false)
        WHEN 'geotile' THEN almagest.bucketed(format(
            'SELECT almagest.geotile(m.place, %s) AS key, count(*) AS frequency, NULL::jsonb AS value FROM matching AS m '
            'WHERE m.place IS NOT NULL GROUP BY 1',
            asked->>'precision'), place, false)
        -- One more than there may be, by which its reader knows.
        WHEN 'geohex' THEN format(
            '(SELECT %s, almagest.place_text(m.place), count(*), ''"place"''::jsonb FROM matching AS m '
            'WHERE m.place IS NOT NULL GROUP BY 2 LIMIT %s)',
            place, almagest.most_places() + 1)
        WHEN 'count' THEN format('SELECT %s, NULL, count(*), NULL FROM matching AS m', place)
        ELSE format('SELECT %s, NULL, NULL, to_jsonb(%s(almagest.number(m.properties, %L))) FROM matching AS m', place, kind, name)
    END;
END;
$$;
COMMENT ON FUNCTION almagest.scanned(jsonb, int) IS
    'Statement that answers an aggregation from `matching`, the items that a search finds: rows of place, key, frequency and value.';
