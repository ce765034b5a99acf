-- CQL2 about two items: what it says of `first.` and of `second.` names, as SQL.

CREATE OR REPLACE FUNCTION almagest.pair_names(filter jsonb) RETURNS TABLE (side text, name text)
LANGUAGE plpgsql IMMUTABLE
AS $$
BEGIN
    FOR name IN SELECT DISTINCT jsonb_path_query(filter, '$.**.property') #>> '{}' LOOP
        side := substring(name FROM '^(first|second)\.');
        IF side IS NULL THEN
            RAISE EXCEPTION 'filter: `%` is of neither item: name it `first.%` or `second.%`.',
                left(name, 100), left(name, 100), left(name, 100);
        END IF;
        name := substr(name, length(side) + 2);
        RETURN NEXT;
    END LOOP;
END;
$$;
COMMENT ON FUNCTION almagest.pair_names(jsonb) IS
    'What a filter of pairs asks of which of both items, at any depth. Raises P0001 for a name that is of neither.';


CREATE OR REPLACE FUNCTION almagest.of_side(node jsonb, side text) RETURNS jsonb
LANGUAGE sql IMMUTABLE PARALLEL SAFE
-- No text in a document can be mistaken for a member of it: its quotes are escaped.
AS $$ SELECT replace(node::text, '"property": "' || side || '.', '"property": "')::jsonb $$;
COMMENT ON FUNCTION almagest.of_side(jsonb, text) IS 'CQL2 about one of two items, as it would be asked of it alone.';


CREATE OR REPLACE FUNCTION almagest.pair_column(INOUT columns jsonb, side text, expression text, OUT reference text)
LANGUAGE plpgsql IMMUTABLE
AS $$
BEGIN
    columns := jsonb_set(columns, ARRAY[side], (columns->side) || to_jsonb(expression));
    reference := format('%s.c%s', side, jsonb_array_length(columns->side));
END;
$$;
COMMENT ON FUNCTION almagest.pair_column(jsonb, text, text) IS
    'A further column of the items of a side, and how it is called where both are joined.';


CREATE OR REPLACE FUNCTION almagest.pair_kind(args jsonb, collections jsonb) RETURNS text
LANGUAGE plpgsql STABLE SET search_path = almagest, pg_temp
AS $$
DECLARE
    arg jsonb;
    operand record;
    kind text := 'value';
BEGIN
    FOR arg IN SELECT a FROM jsonb_array_elements(args) AS a LOOP
        -- To jsonb, a text has itself as a member.
        IF jsonb_typeof(arg) = 'object' AND arg ?| '{timestamp,date}' OR lower(arg->>'op') IN ('t_start', 't_end') THEN
            RETURN 'time';
        ELSIF jsonb_typeof(arg) = 'number'
              OR lower(arg->>'op') IN ('+', '-', '*', '/', 't_diff', 'n_diff', 's_raoverlap', 'duration') THEN
            RETURN 'number';
        ELSIF jsonb_typeof(arg) = 'string' THEN
            kind := 'text';
        ELSIF jsonb_typeof(arg) = 'object' AND arg ? 'property' THEN
            SELECT o.* INTO operand
            FROM almagest.pair_names(arg) AS n,
                 almagest.port_operand(n.name, ARRAY(SELECT jsonb_array_elements_text(collections->n.side))) AS o;
            IF operand.column_name IN ('datetime', 'end_datetime') OR operand.wrapper = 'to_tstz' THEN
                RETURN 'time';
            ELSIF operand.wrapper IN ('to_int', 'to_float') THEN
                RETURN 'number';
            ELSIF operand.column_name IS NOT NULL OR operand.wrapper = 'to_text' THEN
                kind := 'text';
            END IF;
        END IF;
    END LOOP;
    RETURN kind;
END;
$$;
COMMENT ON FUNCTION almagest.pair_kind(jsonb, jsonb) IS
    'As what the arguments of a comparison are compared: time, number, text, or value, which is whatever stands there.';


CREATE OR REPLACE FUNCTION almagest.pair_literal(node jsonb, kind text) RETURNS text
LANGUAGE sql IMMUTABLE
AS $$
    SELECT CASE
        WHEN kind = 'number' AND jsonb_typeof(node) = 'number' THEN format('%L::float8', node)
        WHEN kind = 'number' AND lower(node->>'op') = 'duration' THEN format('extract(epoch FROM %L::interval)::float8', node->'args'->>0)
        WHEN kind = 'number' AND jsonb_typeof(node) = 'object' AND node ? 'duration' THEN format('extract(epoch FROM %L::interval)::float8', node->>'duration')
        WHEN kind = 'time' AND jsonb_typeof(node) = 'object' AND node ?| '{timestamp,date}' THEN
            format('%L::timestamptz', almagest.port_moment(coalesce(node->'timestamp', node->'date')))
        WHEN kind = 'time' AND jsonb_typeof(node) = 'string' THEN format('%L::timestamptz', almagest.port_moment(node))
        WHEN kind = 'text' AND jsonb_typeof(node) = 'string' THEN format('%L::text', node #>> '{}')
        WHEN kind = 'value' AND jsonb_typeof(node) = 'boolean' THEN format('%L::jsonb', node)
        WHEN kind = 'geometry' AND jsonb_typeof(node) = 'object' AND node ? 'coordinates' THEN format('public.ST_SetSRID(public.ST_GeomFromGeoJSON(%L), 4326)', node)
    END
$$;
COMMENT ON FUNCTION almagest.pair_literal(jsonb, text) IS 'A constant of a kind as SQL; NULL for what is none. Durations are seconds.';


CREATE OR REPLACE FUNCTION almagest.pair_function(op text, OUT kind text, OUT kind_of_args text, OUT template text)
RETURNS SETOF record
LANGUAGE sql IMMUTABLE
AS $$
    SELECT f.kind, f.kind_of_args, f.template
    FROM (VALUES
        ('+', 'number', 'number', '(%s + %s)'),
        ('-', 'number', 'number', '(%s - %s)'),
        ('*', 'number', 'number', '(%s * %s)'),
        ('/', 'number', 'number', '(%s / nullif(%s, 0))'),
        ('n_diff', 'number', 'number', '(%s - %s)'),
        -- As numbers: an infinite time cannot be taken from another.
        ('t_diff', 'number', 'time', '(date_part(''epoch'', %s) - date_part(''epoch'', %s))'),
        ('s_raoverlap', 'number', 'geometry', 'almagest.port_share(%s, %s, %s)')
    ) AS f(name, kind, kind_of_args, template)
    WHERE f.name = op
$$;
COMMENT ON FUNCTION almagest.pair_function(text) IS
    'What makes one value of two: which kind of which, and how it is written in SQL. T_DIFF, N_DIFF and S_RAOVERLAP are those of '
    'EOX''s pair search, where a time difference is in seconds here.';


CREATE OR REPLACE FUNCTION almagest.pair_property(
    named text, kind text, collections jsonb, INOUT columns jsonb, OUT expression text
)
LANGUAGE plpgsql STABLE SET search_path = almagest, pg_temp
AS $$
DECLARE
    operand record;
BEGIN
    SELECT n.side, o.* INTO operand
    FROM almagest.pair_names(jsonb_build_object('property', named)) AS n,
         almagest.port_operand(n.name, ARRAY(SELECT jsonb_array_elements_text(collections->n.side))) AS o;
    IF operand.column_name IS NOT NULL THEN
        IF kind = (CASE operand.column_name WHEN 'geometry' THEN 'geometry' WHEN 'id' THEN 'text' WHEN 'collection' THEN 'text'
                   ELSE 'time' END) THEN
            expression := format('%s.%I', operand.side, operand.column_name);
        END IF;
        RETURN;
    END IF;
    expression := almagest.port_read_as(operand.path, kind);
    IF expression IS NOT NULL THEN
        SELECT c.columns, c.reference INTO columns, expression FROM almagest.pair_column(columns, operand.side, expression) AS c;
    END IF;
END;
$$;
COMMENT ON FUNCTION almagest.pair_property(text, text, jsonb, jsonb) IS
    'A property of one of both items as SQL, read as a kind; NULL where it is of another. Raises P0001.';


CREATE OR REPLACE FUNCTION almagest.pair_operand(node jsonb, kind text, collections jsonb, INOUT columns jsonb, OUT expression text)
LANGUAGE plpgsql STABLE SET search_path = almagest, pg_temp
AS $$
DECLARE
    op CONSTANT text := lower(node->>'op');
    args CONSTANT jsonb := CASE WHEN jsonb_typeof(node->'args') = 'array' THEN node->'args' ELSE '[]' END;
    made record;
    parts text[] := '{}';
    part text;
BEGIN
    IF jsonb_typeof(node) = 'object' AND node ? 'property' THEN
        SELECT p.columns, p.expression INTO columns, expression
        FROM almagest.pair_property(node->>'property', kind, collections, columns) AS p;
    ELSIF op IN ('t_start', 't_end') AND kind = 'time' AND args->0 ? 'property' THEN
        SELECT p.columns, p.expression INTO columns, expression
        FROM almagest.pair_property(args->0->>'property', kind, collections, columns) AS p;
        IF op = 't_end' THEN
            expression := regexp_replace(expression, '^(first|second)\.datetime$', '\1.end_datetime');
        END IF;
    ELSE
        expression := almagest.pair_literal(node, kind);
    END IF;
    SELECT f.* INTO made FROM almagest.pair_function(op) AS f WHERE f.kind = pair_operand.kind;
    IF expression IS NULL AND made IS NOT NULL AND jsonb_array_length(args) >= 2 THEN
        FOR n IN 0 .. 1 LOOP
            SELECT o.columns, o.expression INTO columns, part
            FROM almagest.pair_operand(args->n, made.kind_of_args, collections, columns) AS o;
            parts := parts || part;
        END LOOP;
        IF op = 's_raoverlap' AND coalesce(args->>2, 'min') NOT IN ('min', 'max', 'first', 'second') THEN
            RAISE EXCEPTION 'filter: S_RAOVERLAP takes min, max, first or second.';
        END IF;
        expression := format(made.template, parts[1], parts[2], quote_literal(coalesce(args->>2, 'min')));
    END IF;
    IF expression IS NULL THEN
        RAISE EXCEPTION 'filter: `%` is not compared as a %.', left(coalesce(node->>'property', node::text), 100), kind;
    END IF;
END;
$$;
COMMENT ON FUNCTION almagest.pair_operand(jsonb, text, jsonb, jsonb) IS
    'One argument of a comparison as SQL. columns: those of both sides so far. Raises P0001.';


CREATE OR REPLACE FUNCTION almagest.pair_relation(op text) RETURNS text
LANGUAGE sql IMMUTABLE
AS $$
    SELECT CASE op
        -- Of two spans of time (OGC 21-065r2, 7.6).
        WHEN 't_before' THEN 'first.end_datetime < second.datetime'
        WHEN 't_after' THEN 'first.datetime > second.end_datetime'
        WHEN 't_meets' THEN 'first.end_datetime = second.datetime'
        WHEN 't_metby' THEN 'first.datetime = second.end_datetime'
        WHEN 't_equals' THEN '(first.datetime, first.end_datetime) = (second.datetime, second.end_datetime)'
        WHEN 't_intersects' THEN 'first.datetime <= second.end_datetime AND first.end_datetime >= second.datetime'
        WHEN 't_disjoint' THEN '(first.datetime > second.end_datetime OR first.end_datetime < second.datetime)'
        WHEN 't_during' THEN 'first.datetime > second.datetime AND first.end_datetime < second.end_datetime'
        WHEN 't_contains' THEN 'first.datetime < second.datetime AND first.end_datetime > second.end_datetime'
        WHEN 't_starts' THEN 'first.datetime = second.datetime AND first.end_datetime < second.end_datetime'
        WHEN 't_startedby' THEN 'first.datetime = second.datetime AND first.end_datetime > second.end_datetime'
        WHEN 't_finishes' THEN 'first.datetime > second.datetime AND first.end_datetime = second.end_datetime'
        WHEN 't_finishedby' THEN 'first.datetime < second.datetime AND first.end_datetime = second.end_datetime'
        WHEN 't_overlaps' THEN 'first.datetime < second.datetime AND first.end_datetime > second.datetime AND first.end_datetime < second.end_datetime'
        WHEN 't_overlappedby' THEN 'second.datetime < first.datetime AND second.end_datetime > first.datetime AND second.end_datetime < first.end_datetime'
        -- Of two places.
        WHEN 's_intersects' THEN 'ST_Intersects(first.geometry, second.geometry)'
        WHEN 's_disjoint' THEN 'ST_Disjoint(first.geometry, second.geometry)'
        WHEN 's_contains' THEN 'ST_Contains(first.geometry, second.geometry)'
        WHEN 's_within' THEN 'ST_Within(first.geometry, second.geometry)'
        WHEN 's_equals' THEN 'ST_Equals(first.geometry, second.geometry)'
        WHEN 's_touches' THEN 'ST_Touches(first.geometry, second.geometry)'
        WHEN 's_overlaps' THEN 'ST_Overlaps(first.geometry, second.geometry)'
        WHEN 's_crosses' THEN 'ST_Crosses(first.geometry, second.geometry)'
    END
$$;
COMMENT ON FUNCTION almagest.pair_relation(text) IS 'What CQL2''s relations of time and place are between the first item and the second.';


CREATE OR REPLACE FUNCTION almagest.pair_condition(node jsonb, collections jsonb, INOUT columns jsonb, OUT condition text)
LANGUAGE plpgsql STABLE SET search_path = almagest, pg_temp
AS $$
DECLARE
    op CONSTANT text := lower(node->>'op');
    args CONSTANT jsonb := CASE WHEN jsonb_typeof(node->'args') = 'array' THEN node->'args' ELSE '[]' END;
    sides CONSTANT text[] := ARRAY(SELECT DISTINCT n.side FROM almagest.pair_names(node) AS n);
    side CONSTANT text := coalesce(sides[1], 'first');
    parts text[] := '{}';
    part text;
    kind text;
BEGIN
    IF jsonb_typeof(node) = 'boolean' THEN
        condition := node::text;
    ELSIF jsonb_typeof(node) <> 'object' THEN
        RAISE EXCEPTION 'filter: `%` is no condition.', left(node::text, 100);
    ELSIF cardinality(sides) < 2 AND NOT jsonb_path_exists(
        node, '$.**.op ? (@ like_regex "^(t_diff|t_start|t_end|n_diff|s_raoverlap)$" flag "i")'
    ) THEN
        SELECT c.columns, c.reference INTO columns, condition
        FROM almagest.pair_column(columns, side, format('(%s)::boolean', almagest.port_condition(
            almagest.of_side(node, side), ARRAY(SELECT jsonb_array_elements_text(collections->side))))) AS c;
    ELSIF op IN ('and', 'or') AND jsonb_array_length(args) > 0 OR op = 'not' AND jsonb_array_length(args) = 1 THEN
        FOR n IN 0 .. jsonb_array_length(args) - 1 LOOP
            SELECT c.columns, c.condition INTO columns, part FROM almagest.pair_condition(args->n, collections, columns) AS c;
            parts := parts || part;
        END LOOP;
        condition := CASE WHEN op = 'not' THEN format('(NOT %s)', part)
                          ELSE format('(%s)', array_to_string(parts, format(' %s ', upper(op)))) END;
    ELSIF op IN ('=', '<>', '<', '<=', '>', '>=') AND jsonb_array_length(args) = 2
          OR op = 'between' AND jsonb_array_length(args) = 3 THEN
        kind := almagest.pair_kind(args, collections);
        FOR n IN 0 .. jsonb_array_length(args) - 1 LOOP
            SELECT o.columns, o.expression INTO columns, part FROM almagest.pair_operand(args->n, kind, collections, columns) AS o;
            parts := parts || part;
        END LOOP;
        condition := CASE WHEN op = 'between' THEN format('(%s BETWEEN %s AND %s)', parts[1], parts[2], parts[3])
                          ELSE format('(%s %s %s)', parts[1], op, parts[2]) END;
    ELSIF almagest.pair_relation(op) IS NOT NULL AND args IN (
        jsonb_build_array('{"property": "first.datetime"}'::jsonb, '{"property": "second.datetime"}'::jsonb),
        jsonb_build_array('{"property": "first.geometry"}'::jsonb, '{"property": "second.geometry"}'::jsonb)
    ) AND (left(op, 2) = 't_') = (args->0->>'property' = 'first.datetime') THEN
        condition := format('(%s)', almagest.pair_relation(op));
    ELSE
        RAISE EXCEPTION 'filter: `%` cannot be asked of two items. Compare `first.` with `second.` names by = <> < <= > >= or between, '
            'or relate first.datetime to second.datetime, or first.geometry to second.geometry.', left(coalesce(op, node::text), 100);
    END IF;
END;
$$;
COMMENT ON FUNCTION almagest.pair_condition(jsonb, jsonb, jsonb) IS
    'CQL2 about two items as SQL over relations called first and second, which have the columns of items and those that are added '
    'to columns. collections: of each side, as far as they are named. What is about one item alone is translated by pgSTAC, so that '
    'it means what it means in a search. Raises P0001.';
