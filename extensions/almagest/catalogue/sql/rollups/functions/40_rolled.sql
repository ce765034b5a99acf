-- Aggregations from what was counted beforehand. `tail` is what is not folded yet, `days` how many items each day has.

CREATE OR REPLACE FUNCTION almagest.is_rolled(asked jsonb) RETURNS boolean
LANGUAGE sql IMMUTABLE
AS $$
    SELECT CASE asked->>'kind'
        WHEN 'terms' THEN asked->>'property' = ANY (almagest.rolled_terms())
        WHEN 'min' THEN asked->>'property' = ANY (almagest.rolled_numbers())
        WHEN 'max' THEN asked->>'property' = ANY (almagest.rolled_numbers())
        WHEN 'sum' THEN asked->>'property' = ANY (almagest.rolled_numbers())
        WHEN 'ranges' THEN asked->>'property' = ANY (almagest.rolled_numbers())
            AND NOT EXISTS (SELECT FROM jsonb_array_elements(asked->'bounds') AS b WHERE b::text::numeric <> floor(b::text::numeric))
        WHEN 'datetime' THEN asked->>'interval' IN ('auto', 'year', 'month', 'week', 'day')
        WHEN 'geohash' THEN (asked->>'precision')::int <= 3
        WHEN 'geotile' THEN (asked->>'precision')::int <= 7
        WHEN 'geohex' THEN (asked->>'precision')::int <= 3
        ELSE true END
$$;
COMMENT ON FUNCTION almagest.is_rolled(jsonb) IS 'Whether the answer follows from what is counted beforehand.';


CREATE OR REPLACE FUNCTION almagest.rolled_counts(dimension text, by_collection boolean DEFAULT false) RETURNS text
LANGUAGE sql IMMUTABLE
AS $$
    SELECT format($query$
        SELECT %2$s AS key, sum(u.count) AS frequency
        FROM (
            SELECT r.collection, r.key, r.count FROM almagest.rollup AS r WHERE r.collection = ANY ($1) AND r.dimension = %1$L
            UNION ALL
            SELECT t.collection, t.key, t.count FROM tail AS t WHERE t.dimension = %1$L
        ) AS u
        GROUP BY 1 HAVING sum(u.count) <> 0
    $query$, dimension, CASE WHEN by_collection THEN 'u.collection' ELSE 'u.key' END)
$$;
COMMENT ON FUNCTION almagest.rolled_counts(text, boolean) IS 'Statement for the keys of a dimension and how often they stand there.';


CREATE OR REPLACE FUNCTION almagest.rolled(asked jsonb, place int) RETURNS text
LANGUAGE plpgsql IMMUTABLE
AS $$
DECLARE
    kind CONSTANT text := asked->>'kind';
    name CONSTANT text := asked->>'property';
    grain CONSTANT text := asked->>'precision';
BEGIN
    IF kind IN ('geohash', 'geotile') THEN
        RETURN almagest.bucketed(
            format('SELECT c.*, NULL::jsonb AS value FROM (%s) AS c', almagest.rolled_counts(kind || grain)), place, false);
    END IF;
    RETURN CASE kind
        WHEN 'count' THEN format('SELECT %s, NULL, coalesce(sum(c.frequency), 0)::bigint, NULL FROM (%s) AS c',
                                 place, almagest.rolled_counts('total'))
        WHEN 'collection' THEN almagest.bucketed(format(
            'SELECT c.*, NULL::jsonb AS value FROM (%s) AS c', almagest.rolled_counts('total', true)), place, false)
        WHEN 'datetime' THEN almagest.bucketed(almagest.with_interval(
            'SELECT c.key::timestamp AS moment, c.frequency FROM days AS c', asked->>'interval'), place, true)
        WHEN 'terms' THEN almagest.bucketed(format(
            'SELECT c.*, NULL::jsonb AS value FROM (%s) AS c', almagest.rolled_counts(name)), place, false)
        WHEN 'geohex' THEN format(
            'SELECT %1$s, r.key, sum(r.count)::bigint, NULL FROM almagest.rollup AS r '
            'WHERE r.collection = ANY ($1) AND r.dimension = %2$L GROUP BY 2 UNION ALL '
            'SELECT %1$s, t.key, sum(t.count)::bigint, ''"place"'' FROM tail AS t WHERE t.dimension = ''place'' GROUP BY 2',
            place, 'geohex' || grain)
        WHEN 'ranges' THEN format(
            'SELECT %s, width_bucket(n.bin, %L::numeric[])::text, sum(n.count)::bigint, NULL FROM (%s) AS n GROUP BY 2',
            place, ARRAY(SELECT b::text::numeric FROM jsonb_array_elements(asked->'bounds') AS b), almagest.rolled_bins(name))
        WHEN 'sum' THEN format('SELECT %s, NULL, NULL, CASE WHEN sum(n.count) > 0 THEN to_jsonb(sum(n.total)) END FROM (%s) AS n',
                               place, almagest.rolled_bins(name))
        ELSE almagest.rolled_extreme(asked, place) END;
END;
$$;
COMMENT ON FUNCTION almagest.rolled(jsonb, int) IS
    'As scanned, from the rollups of the collections $1, `tail`, what is not folded yet, and `days`, how many items each day '
    'has. A frequency of -1 says that it cannot be told from these.';


CREATE OR REPLACE FUNCTION almagest.rolled_bins(property text) RETURNS text
LANGUAGE sql IMMUTABLE
AS $$
    SELECT format($query$
        SELECT r.collection, r.bin, r.count, r.total FROM almagest.rollup_number AS r
        WHERE r.collection = ANY ($1) AND r.property = %1$L
        UNION ALL
        SELECT t.collection, floor(t.number), t.count, t.count * t.number FROM tail AS t
        WHERE t.dimension = %1$L
    $query$, property)
$$;
COMMENT ON FUNCTION almagest.rolled_bins(text) IS 'Statement for what is known of the numbers of a property, by whole numbers.';


CREATE OR REPLACE FUNCTION almagest.rolled_extreme(asked jsonb, place int) RETURNS text
LANGUAGE plpgsql IMMUTABLE
AS $$
DECLARE
    kind CONSTANT text := asked->>'kind';
    is_least CONSTANT boolean := kind IN ('min', 'datetime_min');
    extreme CONSTANT text := CASE WHEN is_least THEN 'min' ELSE 'max' END;
BEGIN
    IF kind IN ('datetime_min', 'datetime_max') THEN
        -- The day is counted; of its items the index says which is the first.
        RETURN format($query$
            SELECT %1$s, NULL, NULL, to_jsonb((
                SELECT %2$s(i.datetime) FROM almagest.port_item_rows() AS i
                WHERE i.collection = ANY ($1) AND i.datetime >= d.day AND i.datetime < d.day + interval '1 day'))
            FROM (SELECT %2$s(c.key)::timestamp AT TIME ZONE 'UTC' AS day FROM days AS c) AS d
        $query$, place, extreme);
    END IF;
    RETURN format($query$
        SELECT %1$s, NULL, CASE WHEN bool_or(e.value IS NULL) THEN -1 END, to_jsonb(%2$s(e.value))
        FROM (
            SELECT CASE WHEN r.count IS NULL THEN CASE WHEN t.gone IS NULL THEN t.come END
                        WHEN r.%4$s IS NULL OR t.gone %5$s r.%4$s THEN NULL
                        ELSE %4$s(r.%4$s, t.come) END AS value
            FROM (
                SELECT n.collection, %2$s(n.bin) AS bin
                FROM (SELECT b.collection, b.bin FROM (%6$s) AS b GROUP BY 1, 2 HAVING sum(b.count) > 0) AS n
                GROUP BY 1
            ) AS n
            LEFT JOIN almagest.rollup_number AS r
                ON r.collection = n.collection AND r.property = %3$L AND r.bin = n.bin
            LEFT JOIN LATERAL (
                SELECT %2$s(t.number) FILTER (WHERE t.count > 0) AS come, %2$s(t.number) FILTER (WHERE t.count < 0) AS gone
                FROM tail AS t WHERE t.dimension = %3$L AND t.collection = n.collection AND floor(t.number) = n.bin
            ) AS t ON true
        ) AS e
    $query$, place, extreme, asked->>'property', CASE WHEN is_least THEN 'least' ELSE 'greatest' END,
        CASE WHEN is_least THEN '<=' ELSE '>=' END, almagest.rolled_bins(asked->>'property'));
END;
$$;
COMMENT ON FUNCTION almagest.rolled_extreme(jsonb, int) IS
    'As rolled, of least and greatest numbers and of first and last times.';


CREATE OR REPLACE FUNCTION almagest.longest(of_collections text[]) RETURNS interval
LANGUAGE plpgsql STABLE SET search_path = almagest, public, pg_temp
AS $$
DECLARE
    most_changes CONSTANT int := 2000;
    state CONSTANT almagest.rollup_state := (SELECT s FROM almagest.rollup_state AS s);
    class int;
BEGIN
    IF coalesce(of_collections, '{}') = '{}' OR state.scheme IS DISTINCT FROM almagest.rollup_scheme()
       OR (SELECT count(*) FROM almagest.changes_after(state.era, state.xact, -1, of_collections, most_changes + 1)) > most_changes THEN
        RETURN NULL;
    END IF;
    class := greatest(
        (SELECT max(r.key::int) FROM almagest.rollup AS r
         WHERE r.collection = ANY (of_collections) AND r.dimension = 'span' AND r.count > 0),
        (SELECT max(almagest.span_class(c.properties))
         FROM almagest.rollup_changes(of_collections, state.era, state.xact, NULL, NULL) AS c WHERE c.change > 0), 0);
    RETURN CASE WHEN class <= 31 THEN make_interval(secs => 2::float8 ^ class) END;
END;
$$;
COMMENT ON FUNCTION almagest.longest(text[]) IS
    'No item of these collections takes longer. NULL where that cannot be told at once, or is a lifetime.';
