-- One page of a search.

CREATE OR REPLACE FUNCTION almagest.order_by(expressions text[], descending boolean[], backward boolean) RETURNS text
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
AS $$
DECLARE
    listed text[];
BEGIN
    FOR n IN 1 .. cardinality(expressions) LOOP
        listed[n] := expressions[n] || CASE WHEN descending[n] <> backward THEN ' DESC' ELSE ' ASC' END;
    END LOOP;
    RETURN array_to_string(listed, ', ');
END;
$$;
COMMENT ON FUNCTION almagest.order_by(text[], boolean[], boolean) IS
    'ORDER BY list of sort keys; backward reverses every key, and with it where NULLs stand.';


CREATE OR REPLACE FUNCTION almagest.keyset_predicate(
    expressions text[], descending boolean[], nullable boolean[], anchor jsonb, backward boolean
) RETURNS text
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
AS $$
DECLARE
    anchor_value text;
    falling boolean;
    ties text;
    beyond text;
    branches text[] := '{}';
    bound text := '';
BEGIN
    IF jsonb_array_length(anchor) <> cardinality(expressions) THEN
        RAISE EXCEPTION 'The paging token does not belong to this search.';
    END IF;
    FOR n IN 1 .. cardinality(expressions) LOOP
        anchor_value := anchor->>(n - 1);
        falling := descending[n] <> backward;
        -- PostgreSQL sorts NULLs last when ascending and first when descending.
        beyond := CASE
            WHEN falling AND anchor_value IS NULL THEN format('%s IS NOT NULL', expressions[n])
            WHEN falling THEN format('%s < %L', expressions[n], anchor_value)
            WHEN anchor_value IS NULL THEN 'FALSE'
            WHEN nullable[n] THEN format('(%1$s > %2$L OR %1$s IS NULL)', expressions[n], anchor_value)
            ELSE format('%s > %L', expressions[n], anchor_value) END;
        branches := branches || concat_ws(' AND ', ties, beyond);
        -- Said once more without the ties, the first key lets the planner start an index scan in the right place.
        IF n = 1 AND NOT nullable[n] THEN
            bound := format('%s %s %L AND ', expressions[n], CASE WHEN falling THEN '<=' ELSE '>=' END, anchor_value);
        END IF;
        ties := concat_ws(' AND ', ties,
                          CASE WHEN anchor_value IS NULL THEN format('%s IS NULL', expressions[n])
                               ELSE format('%s = %L', expressions[n], anchor_value) END);
    END LOOP;
    RETURN bound || '(' || array_to_string(branches, ' OR ') || ')';
END;
$$;
COMMENT ON FUNCTION almagest.keyset_predicate(text[], boolean[], boolean[], jsonb, boolean) IS
    'Predicate for the rows beyond an anchor in the order of sort keys. anchor: array of the sort values as text or '
    'null, one for each key. Raises P0001 where their number does not fit.';


CREATE OR REPLACE FUNCTION almagest.search_periods(search jsonb, anchor jsonb, backward boolean) RETURNS SETOF tstzrange
LANGUAGE plpgsql STABLE SET search_path = almagest, public, pg_temp
AS $$
DECLARE
    keys record := almagest.port_sort_keys(search);
    latest_first CONSTANT boolean := keys.descending[1] <> backward;
    reached CONSTANT text := anchor->>0;
BEGIN
    IF keys.expressions[1] <> 'datetime' THEN
        RETURN NEXT tstzrange(NULL, NULL);
    ELSIF latest_first THEN
        RETURN QUERY SELECT almagest.port_periods(search, tstzrange(NULL, reached::timestamptz, '[]'), true);
    ELSE
        RETURN QUERY SELECT almagest.port_periods(search, tstzrange(reached::timestamptz, NULL), false);
    END IF;
END;
$$;
COMMENT ON FUNCTION almagest.search_periods(jsonb, jsonb, boolean) IS
    'Periods, together all time, in which search_page looks one after the other until it has enough.';


CREATE OR REPLACE FUNCTION almagest.within_period(period tstzrange) RETURNS text
LANGUAGE sql STABLE
AS $$
    SELECT CASE WHEN lower_inf(period) THEN '' ELSE format(' AND datetime >= %L', lower(period)) END
        || CASE WHEN upper_inf(period) THEN '' ELSE format(' AND datetime < %L', upper(period)) END
$$;
COMMENT ON FUNCTION almagest.within_period(tstzrange) IS 'What to add to a predicate over the columns of items, so that they begin in a period.';


CREATE OR REPLACE FUNCTION almagest.search_query(
    search jsonb, anchor jsonb, backward boolean, page_size int, period tstzrange
) RETURNS text
LANGUAGE plpgsql STABLE SET search_path = pgstac, almagest, public, pg_temp
AS $$
DECLARE
    predicate text := format('(%s)', almagest.port_where(search));
    keys record := almagest.port_sort_keys(search);
BEGIN
    IF anchor IS NOT NULL THEN
        predicate := predicate || ' AND '
            || almagest.keyset_predicate(keys.expressions, keys.descending, keys.nullable, anchor, backward);
    END IF;
    predicate := predicate || almagest.within_period(period);
    RETURN almagest.port_page_query(
        predicate, almagest.order_by(keys.expressions, keys.descending, backward),
        'jsonb_build_array((' || array_to_string(keys.expressions, ')::text, (') || ')::text)', page_size);
END;
$$;
COMMENT ON FUNCTION almagest.search_query(jsonb, jsonb, boolean, int, tstzrange) IS
    'The statement by which search_page finds its rows of a period. Raises P0001 for what pgSTAC refuses.';


CREATE OR REPLACE FUNCTION almagest.require_whole(search jsonb) RETURNS void
LANGUAGE plpgsql STABLE
AS $$
BEGIN
    -- Of many collections it would take as long as the search.
    IF search->'collections'->1 IS NULL AND search->'collections'->0 IS NOT NULL THEN
        PERFORM almagest.port_require_tables(ARRAY[search->'collections'->>0]);
    END IF;
END;
$$;
COMMENT ON FUNCTION almagest.require_whole(jsonb) IS
    'To be called when a page was read: whoever walks through one collection misses none of its items because pgSTAC puts them '
    'into other tables meanwhile. Raises 40001.';


CREATE OR REPLACE FUNCTION almagest.search_page(
    search jsonb, anchor jsonb, backward boolean, page_size int
) RETURNS TABLE (item text, base text, sort_values jsonb, collection text, id text, geometry text)
LANGUAGE plpgsql STABLE SET search_path = pgstac, almagest, public, pg_temp
AS $$
DECLARE
    period tstzrange;
    found_now int;
BEGIN
    FOR period IN SELECT p FROM almagest.search_periods(search, anchor, backward) AS p LOOP
        RETURN QUERY EXECUTE almagest.search_query(search, anchor, backward, page_size, period);
        GET DIAGNOSTICS found_now = ROW_COUNT;
        page_size := page_size - found_now;
        EXIT WHEN page_size <= 0;
    END LOOP;
    PERFORM almagest.require_whole(search);
END;
$$;
COMMENT ON FUNCTION almagest.search_page(jsonb, jsonb, boolean, int) IS
    'At most page_size items beyond the anchor (NULL: from the start), nearest first; backward walks towards the start. '
    'item: JSON text to be hydrated against the last base given, without type, id, collection and geometry. geometry: '
    'GeoJSON. sort_values: anchor of this row. Fields are chosen by the reader, once items are whole. '
    'Raises P0001 for what pgSTAC refuses, 22xxx for malformed values.';
