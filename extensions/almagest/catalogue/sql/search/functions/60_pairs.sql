-- Pairs of items: what two searches find together.

CREATE OR REPLACE FUNCTION almagest.side_names(asked jsonb, of_side text) RETURNS jsonb
LANGUAGE sql IMMUTABLE
AS $$
    SELECT jsonb_build_object(
        'collections', coalesce(asked->of_side->'collections', '[]'),
        'filter', (SELECT coalesce(jsonb_agg(jsonb_build_object('property', n.name)), '[]')
                   FROM almagest.pair_names(asked->'filter') AS n WHERE n.side = of_side))
$$;
COMMENT ON FUNCTION almagest.side_names(jsonb, text) IS
    'What a pair search filters one of both sides by, as a search in which nothing else stands.';


CREATE OR REPLACE FUNCTION almagest.pair_conditions(asked jsonb, leader text, INOUT columns jsonb, OUT conditions text[])
LANGUAGE plpgsql STABLE SET search_path = almagest, pg_temp
AS $$
DECLARE
    follower CONSTANT text := CASE leader WHEN 'first' THEN 'second' ELSE 'first' END;
    reach CONSTANT interval := make_interval(secs => (asked->>'max-time-difference')::float8);
    condition text;
    side text;
    bound text;
    longest interval;
BEGIN
    conditions := ARRAY['(first.id <> second.id OR first.collection <> second.collection)'];
    IF asked ? 'filter' THEN
        SELECT c.columns, c.condition INTO columns, condition
        FROM almagest.pair_condition(asked->'filter', jsonb_build_object(
            'first', coalesce(asked->'first'->'collections', '[]'), 'second', coalesce(asked->'second'->'collections', '[]')),
            columns) AS c;
        conditions := conditions || condition;
    END IF;
    IF asked ? 'max-time-difference' THEN
        conditions := conditions || ARRAY[
            format('%s.datetime <= %s.end_datetime + %L::interval', follower, leader, reach),
            format('%s.end_datetime >= %s.datetime - %L::interval', follower, leader, reach)];
        -- What is known of how long items take lets an index on when they begin be used from both ends.
        FOR side, bound IN
            VALUES (follower, '%s.datetime >= %s.datetime - %L::interval'), (leader, '%s.datetime <= %s.datetime + %L::interval')
        LOOP
            longest := almagest.longest(ARRAY(SELECT jsonb_array_elements_text(asked->side->'collections')));
            IF longest IS NOT NULL THEN
                conditions := conditions || format(bound, follower, leader, reach + longest);
            END IF;
        END LOOP;
    END IF;
    IF asked ?| '{min-overlap-area,min-overlap-fraction}' THEN
        conditions := conditions || ARRAY[
            'first.geometry && second.geometry', 'common.km2 > 0',
            format('common.km2 >= %L', coalesce((asked->>'min-overlap-area')::float8, 0)),
            format('common.share >= %L', coalesce((asked->>'min-overlap-fraction')::float8, 0))];
    END IF;
END;
$$;
COMMENT ON FUNCTION almagest.pair_conditions(jsonb, text, jsonb) IS
    'What makes two items a pair, as SQL over relations called first and second, and common, which tells of their overlap. Limits still '
    'count as within. leader: whose items are gone through; for each the others are looked for.';


CREATE OR REPLACE FUNCTION almagest.pair_query(
    asked jsonb, anchor jsonb, backward boolean, page_size int, period tstzrange, suspicion text
) RETURNS text
LANGUAGE plpgsql STABLE SET search_path = almagest, pg_temp
AS $$
DECLARE
    leader CONSTANT text := CASE asked->>'response-type' WHEN 'second-only' THEN 'second' ELSE 'first' END;
    follower CONSTANT text := CASE leader WHEN 'first' THEN 'second' ELSE 'first' END;
    is_of_both CONSTANT boolean := coalesce(asked->>'response-type', 'pair') = 'pair';
    keys text[] := ARRAY[leader || '.datetime', leader || '.collection', leader || '.id'];
    columns jsonb := '{"first": [], "second": []}';
    conditions text[];
    side text;
    statement text;
    sides jsonb := '{}';
    -- OFFSET: so that an overlap is made once, and only of what is a pair as far as all else goes.
    common CONSTANT text := CASE WHEN asked ?| '{min-overlap-area,min-overlap-fraction}' THEN
        'CROSS JOIN LATERAL (SELECT * FROM almagest.port_common(first.geometry, second.geometry) OFFSET 0) AS common' ELSE '' END;
    -- What is known of the overlap by then is not made once more for the page.
    kept CONSTANT text := CASE common WHEN '' THEN '' ELSE ', common.km2, common.share' END;
    told CONSTANT text := CASE common WHEN '' THEN 'almagest.port_common(p.one, p.other)' ELSE '(SELECT p.km2, p.share)' END;
    beyond text := 'TRUE';
    falling boolean[];
BEGIN
    IF coalesce(asked->>'response-type', 'pair') NOT IN ('pair', 'first-only', 'second-only') THEN
        RAISE EXCEPTION 'response-type: pair, first-only or second-only.';
    END IF;
    SELECT c.columns, c.conditions INTO columns, conditions FROM almagest.pair_conditions(asked, leader, columns) AS c;
    FOREACH side IN ARRAY '{first,second}'::text[] LOOP
        statement := almagest.port_side(asked->side, ARRAY(SELECT jsonb_array_elements_text(columns->side)));
        IF suspicion IS NOT NULL THEN
            statement := almagest.as_outsiders_read(statement, almagest.side_names(asked, side), suspicion);
        END IF;
        IF side = leader THEN
            statement := statement || almagest.within_period(period);
        END IF;
        sides := sides || jsonb_build_object(side, statement);
    END LOOP;
    IF is_of_both THEN
        keys := keys || '{second.datetime,second.collection,second.id}'::text[];
    END IF;
    falling := array_fill(true, ARRAY[cardinality(keys)]);
    IF anchor IS NOT NULL THEN
        beyond := almagest.keyset_predicate(keys, falling, array_fill(false, ARRAY[cardinality(keys)]), anchor, backward);
    END IF;
    IF is_of_both THEN
        RETURN format($query$
            SELECT p.collection, p.id, p.partner_collection, p.partner_id, p.sort_values,
                   extract(epoch FROM p.apart)::float8, common.km2, common.share
            FROM (
                SELECT first.collection, first.id, second.collection AS partner_collection, second.id AS partner_id,
                       jsonb_build_array(%1$s) AS sort_values, second.datetime - first.datetime AS apart,
                       first.geometry AS one, second.geometry AS other%9$s
                FROM (%2$s) AS first CROSS JOIN (%3$s) AS second %4$s
                WHERE %5$s AND %6$s
                ORDER BY %7$s
                LIMIT %8$s
            ) AS p
            CROSS JOIN LATERAL %10$s AS common
            $query$,
            array_to_string(keys, '::text, ') || '::text', sides->>'first', sides->>'second', common,
            array_to_string(conditions, ' AND '), beyond, almagest.order_by(keys, falling, backward), page_size,
            kept, told);
    END IF;
    RETURN format($query$
        SELECT %1$I.collection, %1$I.id, NULL::text, NULL::text, jsonb_build_array(%2$s), NULL::float8, NULL::float8, NULL::float8
        FROM (%3$s) AS %1$I
        -- Not EXISTS, which would be asked in each partition until it has one that is a pair, and merged only then.
        CROSS JOIN LATERAL (SELECT FROM (%5$s) AS %6$I %7$s WHERE %8$s LIMIT 1) AS partner
        WHERE %4$s
        ORDER BY %9$s
        LIMIT %10$s
        $query$,
        leader, array_to_string(keys, '::text, ') || '::text', sides->>leader, beyond,
        sides->>follower, follower,
        common, array_to_string(conditions, ' AND '), almagest.order_by(keys, falling, backward), page_size);
END;
$$;
COMMENT ON FUNCTION almagest.pair_query(jsonb, jsonb, boolean, int, tstzrange, text) IS
    'The statement by which pair_page finds its rows of a period of the side that leads. suspicion: where outsiders ask, what of lists '
    'and objects may hold something hidden; or NULL. Raises P0001.';


CREATE OR REPLACE FUNCTION almagest.pairs_found(asked jsonb, anchor jsonb, backward boolean, page_size int, suspicion text)
RETURNS TABLE (
    collection text, id text, partner_collection text, partner_id text, sort_values jsonb,
    time_difference float8, overlap_km2 float8, overlap_share float8
)
LANGUAGE plpgsql STABLE SET search_path = pgstac, almagest, public, pg_temp
-- For each item of the one side the index tells which of the other come into question.
SET jit = off SET enable_hashjoin = off SET enable_mergejoin = off SET enable_material = off
AS $$
DECLARE
    leader CONSTANT jsonb := CASE asked->>'response-type' WHEN 'second-only' THEN asked->'second' ELSE asked->'first' END;
    period tstzrange;
    found_now int;
BEGIN
    FOR period IN SELECT p FROM almagest.search_periods(leader, anchor, backward) AS p LOOP
        RETURN QUERY EXECUTE almagest.pair_query(asked, anchor, backward, page_size, period, suspicion);
        GET DIAGNOSTICS found_now = ROW_COUNT;
        page_size := page_size - found_now;
        EXIT WHEN page_size <= 0;
    END LOOP;
    PERFORM almagest.require_whole(asked->'first'), almagest.require_whole(asked->'second');
END;
$$;
COMMENT ON FUNCTION almagest.pairs_found(jsonb, jsonb, boolean, int, text) IS
    'As pair_page; suspicion: as in pair_query.';


CREATE OR REPLACE FUNCTION almagest.pair_page(asked jsonb, anchor jsonb, backward boolean, page_size int)
RETURNS TABLE (
    collection text, id text, partner_collection text, partner_id text, sort_values jsonb,
    time_difference float8, overlap_km2 float8, overlap_share float8
)
LANGUAGE sql STABLE SET search_path = almagest, pg_temp
AS $$ SELECT * FROM almagest.pairs_found(asked, anchor, backward, page_size, NULL) $$;
COMMENT ON FUNCTION almagest.pair_page(jsonb, jsonb, boolean, int) IS
    'At most page_size pairs beyond the anchor (NULL: from the start), latest first item first, and of these latest second item first; '
    'backward walks towards the start. asked: first and second, which are searches; filter, CQL2 with `first.` and `second.` names; '
    'max-time-difference [s], min-overlap-area [km2], min-overlap-fraction; response-type: of first-only and second-only each item that '
    'has a partner stands there once, without it. time_difference: from the start of the first to that of the second [s]. Raises P0001 '
    'for what is refused, 22xxx for malformed values.';
