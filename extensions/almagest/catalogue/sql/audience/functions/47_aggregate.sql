-- Aggregations for outsiders: over what they see, by names that they may name.

CREATE OR REPLACE FUNCTION external.aggregate(search jsonb, asked jsonb)
RETURNS TABLE (place int, key text, frequency bigint, value jsonb)
LANGUAGE plpgsql STABLE SECURITY DEFINER
SET search_path = pgstac, almagest, public, pg_temp SET enable_partition_pruning = on
SET standard_conforming_strings = on SET client_min_messages = error
AS $$
DECLARE
    policy almagest.audience_policy := almagest.audience_policy();
    narrowed jsonb;
    predicate text;
    ids text[];
    name text;
BEGIN
    SELECT s.narrowed INTO narrowed FROM almagest.public_search(search - '{sortby,fields}'::text[], policy) AS s;
    FOR name IN SELECT jsonb_path_query(asked, '$[*].property') #>> '{}' LOOP
        -- One property is asked for, whatever its name looks like. Of lists and objects nothing is counted.
        IF NOT almagest.is_public_path(ARRAY['properties', name], policy) THEN
            RAISE EXCEPTION 'aggregations: `%` cannot be asked for here. Name a visible property.', left(name, 100);
        END IF;
    END LOOP;
    IF narrowed - 'collections' = '{}' THEN
        ids := ARRAY(SELECT jsonb_array_elements_text(narrowed->'collections'));
    END IF;
    predicate := almagest.as_outsiders_read(almagest.port_where(narrowed), narrowed, almagest.suspicion(policy));
    RETURN QUERY SELECT a.* FROM almagest.aggregated(predicate, ids, asked) AS a;
    PERFORM almagest.port_require_tables(ARRAY(SELECT jsonb_array_elements_text(narrowed->'collections')));
EXCEPTION WHEN data_exception THEN
    -- The message would say what the value is, and it may be one that is hidden.
    RAISE EXCEPTION USING ERRCODE = SQLSTATE, MESSAGE = 'A value is not of the kind that the search compares it with.';
END;
$$;
COMMENT ON FUNCTION external.aggregate(jsonb, jsonb) IS 'As almagest.aggregate, for outsiders.';


CREATE OR REPLACE FUNCTION external.hidden_among(names text[]) RETURNS SETOF text
LANGUAGE sql STABLE SECURITY DEFINER
SET search_path = almagest, pg_temp
SET standard_conforming_strings = on SET client_min_messages = error
AS $$
    SELECT n.name FROM unnest(names) AS n(name), almagest.audience_policy() AS p
    WHERE NOT almagest.is_public_path(ARRAY['properties', n.name], p)
$$;
COMMENT ON FUNCTION external.hidden_among(text[]) IS 'As almagest.hidden_among, for outsiders.';
