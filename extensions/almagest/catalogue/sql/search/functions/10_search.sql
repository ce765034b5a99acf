-- One page of a search.

CREATE OR REPLACE FUNCTION almagest.keyset_predicate(search jsonb, anchor jsonb, backward boolean) RETURNS text
LANGUAGE plpgsql STABLE SET search_path = almagest, public, pg_temp
AS $$
DECLARE
    sort_key record;
    anchor_value text;
    ties text := '';
    beyond text;
    branches text[] := '{}';
    bound text := '';
BEGIN
    IF jsonb_array_length(anchor) <> (SELECT count(*) FROM almagest.port_sort(search)) THEN
        RAISE EXCEPTION 'The paging token does not belong to this search.';
    END IF;
    FOR sort_key IN SELECT * FROM almagest.port_sort(search) LOOP
        anchor_value := anchor->>(sort_key.position - 1);
        -- PostgreSQL sorts NULLs last when ascending and first when descending.
        IF sort_key.descending <> backward THEN
            beyond := CASE WHEN anchor_value IS NULL THEN format('%s IS NOT NULL', sort_key.expression)
                           ELSE format('%s < %L', sort_key.expression, anchor_value) END;
        ELSE
            beyond := CASE WHEN anchor_value IS NULL THEN 'FALSE'
                           WHEN sort_key.nullable THEN
                               format('(%1$s > %2$L OR %1$s IS NULL)', sort_key.expression, anchor_value)
                           ELSE format('%s > %L', sort_key.expression, anchor_value) END;
        END IF;
        branches := branches || concat_ws(' AND ', nullif(ties, ''), beyond);
        -- Said once more without the ties, the first key lets the planner start an index scan in the right place.
        IF sort_key.position = 1 AND NOT sort_key.nullable THEN
            bound := format('%s %s %L AND ', sort_key.expression,
                            CASE WHEN sort_key.descending <> backward THEN '<=' ELSE '>=' END, anchor_value);
        END IF;
        ties := concat_ws(' AND ', nullif(ties, ''),
                          CASE WHEN anchor_value IS NULL THEN format('%s IS NULL', sort_key.expression)
                               ELSE format('%s = %L', sort_key.expression, anchor_value) END);
    END LOOP;
    RETURN bound || '(' || array_to_string(branches, ' OR ') || ')';
END;
$$;
COMMENT ON FUNCTION almagest.keyset_predicate(jsonb, jsonb, boolean) IS
    'Predicate for the rows beyond an anchor in the order of the search. anchor: array of the sort values as text or '
    'null, one for each key. Raises P0001 where their number does not fit.';


CREATE OR REPLACE FUNCTION almagest.search_query(
    search jsonb, anchor jsonb, backward boolean, page_size int
) RETURNS text
LANGUAGE plpgsql STABLE SET search_path = pgstac, almagest, public, pg_temp
AS $$
DECLARE
    predicate text := format('(%s)', almagest.port_where(search));
    values_of_keys text;
BEGIN
    IF anchor IS NOT NULL THEN
        predicate := predicate || ' AND ' || almagest.keyset_predicate(search, anchor, backward);
    END IF;
    SELECT 'jsonb_build_array(' || string_agg(format('(%s)::text', k.expression), ', ' ORDER BY k.position) || ')'
    INTO values_of_keys
    FROM almagest.port_sort(search) AS k;
    RETURN almagest.port_page_query(
        predicate, almagest.port_order_by(search, backward), values_of_keys, page_size,
        nullif(nullif(search->'fields', 'null'), '{}'));
END;
$$;
COMMENT ON FUNCTION almagest.search_query(jsonb, jsonb, boolean, int) IS
    'The statement by which search_page finds its rows. Raises P0001 for what pgSTAC refuses.';


CREATE OR REPLACE FUNCTION almagest.search_page(
    search jsonb, anchor jsonb, backward boolean, page_size int
) RETURNS TABLE (item text, base text, sort_values jsonb, collection text, id text)
LANGUAGE plpgsql STABLE SET search_path = pgstac, almagest, public, pg_temp
AS $$
BEGIN
    RETURN QUERY EXECUTE almagest.search_query(search, anchor, backward, page_size);
END;
$$;
COMMENT ON FUNCTION almagest.search_page(jsonb, jsonb, boolean, int) IS
    'At most page_size items beyond the anchor (NULL: from the start), nearest first; backward walks towards the start. '
    'item: JSON text to be hydrated against the last base given, sort_values: anchor of this row. '
    'Raises P0001 for what pgSTAC refuses, 22xxx for malformed values.';
