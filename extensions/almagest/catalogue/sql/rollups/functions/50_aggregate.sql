-- What a request asks.

CREATE OR REPLACE FUNCTION almagest.aggregated(predicate text, ids text[], asked jsonb)
RETURNS TABLE (place int, key text, frequency bigint, value jsonb)
LANGUAGE plpgsql STABLE SET search_path = pgstac, almagest, public, pg_temp SET timezone = 'UTC'
AS $$
#variable_conflict use_variable
DECLARE
    most_changes CONSTANT int := 20000;
    typed CONSTANT text := 'SELECT 0, NULL::text, NULL::bigint, NULL::jsonb WHERE false UNION ALL ';
    state CONSTANT almagest.rollup_state := (SELECT s FROM almagest.rollup_state AS s);
    one jsonb;
    n int := 0;
    unfolded int;
    to_roll text[] := '{}';
    to_scan text[] := '{}';
BEGIN
    IF jsonb_typeof(asked) IS DISTINCT FROM 'array' OR jsonb_array_length(asked) NOT BETWEEN 1 AND 50 THEN
        RAISE EXCEPTION 'aggregations: 1 to 50 at once.';
    END IF;
    IF ids IS NOT NULL AND state.scheme = almagest.rollup_scheme() THEN
        -- A search for what has changed takes longer than one for everything where there is much of it.
        SELECT count(*) INTO unfolded FROM almagest.changes_after(state.era, state.xact, -1, ids, most_changes + 1) AS c;
    END IF;
    FOR one IN SELECT a FROM jsonb_array_elements(asked) AS a LOOP
        PERFORM almagest.check_aggregation(one);
        n := n + 1;
        IF unfolded <= most_changes AND almagest.is_rolled(one) THEN
            to_roll := to_roll || almagest.rolled(one, n);
        ELSE
            to_scan := to_scan || almagest.scanned(one, n);
        END IF;
    END LOOP;
    IF to_roll <> '{}' THEN
        FOR place, key, frequency, value IN EXECUTE
            'WITH tail AS MATERIALIZED (SELECT t.* FROM almagest.rollup_tail($1, $2, $3) AS t WHERE $4), '
            'days AS MATERIALIZED (' || almagest.rolled_counts('day') || ') ' || typed
            || array_to_string(to_roll, ' UNION ALL ') USING ids, state.era, state.xact, unfolded > 0
        LOOP
            IF key IS NULL AND frequency = -1 THEN
                to_scan := to_scan || almagest.scanned(asked->(place - 1), place);
            ELSE
                RETURN NEXT;
            END IF;
        END LOOP;
    END IF;
    IF to_scan <> '{}' THEN
        RETURN QUERY EXECUTE format(
            'WITH matching AS (SELECT i.*%s FROM (%s) AS i) ',
            CASE WHEN asked @? '$[*] ? (@.kind starts with "geo")' THEN ', almagest.middle(i.geometry) AS place' END,
            almagest.port_matching_query(predicate)) || typed || array_to_string(to_scan, ' UNION ALL ');
    END IF;
END;
$$;
COMMENT ON FUNCTION almagest.aggregated(text, text[], jsonb) IS
    'Answers aggregations over the items for which a predicate holds. ids: that is, all items of these collections, of which '
    'most is counted beforehand; NULL: others. Rows as aggregate has them. Raises P0001.';


CREATE OR REPLACE FUNCTION almagest.aggregate(search jsonb, asked jsonb)
RETURNS TABLE (place int, key text, frequency bigint, value jsonb)
LANGUAGE plpgsql STABLE SET search_path = pgstac, almagest, public, pg_temp
AS $$
DECLARE
    predicate CONSTANT text := almagest.port_where(search);
    ids text[];
BEGIN
    IF search - 'collections' = '{}' THEN
        ids := ARRAY(
            SELECT c.id FROM almagest.port_collection_ids() AS c(id)
            WHERE coalesce(search->'collections', 'null') = 'null' OR search->'collections' ? c.id);
    END IF;
    RETURN QUERY SELECT a.* FROM almagest.aggregated(predicate, ids, asked) AS a;
    PERFORM almagest.port_require_tables(ids);
END;
$$;
COMMENT ON FUNCTION almagest.aggregate(jsonb, jsonb) IS
    'Aggregations over the items that a search finds, all of one moment. asked: an array of objects with a kind (count, '
    'collection, datetime_min, datetime_max; datetime with interval; terms, min, max and sum with property; ranges with property '
    'and bounds; geohash, geotile and geohex with precision). Rows: place of the aggregation in that array, from 1; of buckets '
    'a key (of ranges the number of the range, from 0) and the frequency; of single values the value. Of geohex, rows with the '
    'value "place" have longitude and latitude for key, and a frequency that may be below zero; they are to be added to the '
    'cells. Raises P0001 for what is refused, 22xxx for malformed values.';


CREATE OR REPLACE FUNCTION almagest.hidden_among(names text[]) RETURNS SETOF text
LANGUAGE sql STABLE
AS $$ SELECT NULL::text WHERE false $$;
COMMENT ON FUNCTION almagest.hidden_among(text[]) IS 'Those of some properties that may not be asked for: here none.';
