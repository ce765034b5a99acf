-- The rules, as questions. What a search asks is written in PL/pgSQL, which keeps its plans: to plan such a question takes
-- longer than to answer it.

CREATE OR REPLACE FUNCTION almagest.audience_policy() RETURNS almagest.audience_policy
LANGUAGE plpgsql STABLE SET search_path = almagest, pg_temp
AS $$
BEGIN
    RETURN (SELECT p FROM almagest.audience_policy AS p);
END;
$$;
COMMENT ON FUNCTION almagest.audience_policy() IS 'The policy, to be read once and handed on.';


CREATE OR REPLACE FUNCTION almagest.internal_collections(ids text[]) RETURNS SETOF text
LANGUAGE plpgsql STABLE SET search_path = almagest, pg_temp
AS $$
BEGIN
    RETURN QUERY
    WITH patterns AS MATERIALIZED (
        SELECT length(r.pattern) AS length, r.internal,
               replace(regexp_replace(r.pattern, '([\\%_])', '\\\1', 'g'), '*', '%') AS likeness
        FROM almagest.collection_rule AS r
        WHERE strpos(r.pattern, '*') > 0
    )
    SELECT c.id
    FROM unnest(ids) AS c(id)
    CROSS JOIN almagest.audience_policy AS p
    LEFT JOIN almagest.collection_rule AS named ON named.pattern = c.id
    -- The id itself before patterns, then the longest; of two equally long ones the one that hides.
    WHERE coalesce(named.internal, (
        SELECT r.internal FROM patterns AS r WHERE c.id LIKE r.likeness ORDER BY r.length DESC, r.internal DESC LIMIT 1
    ), p.internal_by_default);
END;
$$;
COMMENT ON FUNCTION almagest.internal_collections(text[]) IS
    'Which of these ids belong to internal-only collections, whether or not they exist.';


CREATE OR REPLACE FUNCTION almagest.is_internal(collection text) RETURNS boolean
LANGUAGE plpgsql STABLE SET search_path = almagest, pg_temp
AS $$
BEGIN
    RETURN EXISTS (SELECT FROM almagest.internal_collections(ARRAY[collection]));
END;
$$;
COMMENT ON FUNCTION almagest.is_internal(text) IS 'Whether a collection of this id is internal-only.';


CREATE OR REPLACE FUNCTION almagest.visible_collections(requested text[]) RETURNS text[]
LANGUAGE plpgsql STABLE SET search_path = almagest, pg_temp
AS $$
DECLARE
    existing CONSTANT text[] := ARRAY(
        SELECT c.id FROM almagest.port_collection_ids() AS c(id) WHERE requested IS NULL OR c.id = ANY(requested));
    hidden CONSTANT text[] := ARRAY(SELECT almagest.internal_collections(existing));
BEGIN
    RETURN ARRAY(SELECT e.id FROM unnest(existing) AS e(id) WHERE e.id <> ALL (hidden) ORDER BY e.id);
END;
$$;
COMMENT ON FUNCTION almagest.visible_collections(text[]) IS
    'Those of the requested collections (NULL: of all) that exist and that outsiders may see.';


CREATE OR REPLACE FUNCTION almagest.is_hidden_name(name text, hidden text[]) RETURNS boolean
LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $$
    SELECT EXISTS (
        SELECT FROM unnest(hidden) AS h(pattern)
        WHERE CASE WHEN right(h.pattern, 1) = '*' THEN starts_with(name, rtrim(h.pattern, '*')) ELSE name = h.pattern END)
$$;
COMMENT ON FUNCTION almagest.is_hidden_name(text, text[]) IS 'Whether members of this name are hidden.';


CREATE OR REPLACE FUNCTION almagest.quote_regex(words text) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $$ SELECT regexp_replace(words, '([^[:alnum:] ])', '\\\1', 'g') $$;
COMMENT ON FUNCTION almagest.quote_regex(text) IS 'A regular expression that matches these words alone.';


CREATE OR REPLACE FUNCTION almagest.suspicion(policy almagest.audience_policy) RETURNS text
LANGUAGE plpgsql STABLE SET search_path = almagest, pg_temp
AS $$
BEGIN
    RETURN concat_ws('|',
        -- An href that is not plainly one of the visible schemes, or that names a user, or ourselves.
        CASE WHEN policy.visible_schemes = '{}' THEN '"href": '
             ELSE format('"href": (?!"(%s)://[^]["/?#@\\[:space:]]+[/?#"])',
                         array_to_string(policy.visible_schemes, '|')) END,
        -- Ourselves may be named with the port that goes without saying, and without it.
        CASE WHEN policy.origin <> '' THEN
            '"href": "' || almagest.quote_regex(regexp_replace(policy.origin, ':(80|443)$', '')) END,
        (SELECT format('"(%s)": ', string_agg(
            CASE WHEN right(h.pattern, 1) = '*' THEN almagest.quote_regex(rtrim(h.pattern, '*')) || '[^"]*'
                 ELSE almagest.quote_regex(h.pattern) END, '|'))
         FROM unnest(policy.hidden_properties) AS h(pattern)));
END;
$$;
COMMENT ON FUNCTION almagest.suspicion(almagest.audience_policy) IS
    'Regular expression, to be compared with ~*, that the text of any document matches which holds something hidden, and '
    'some that do not. What does not match goes out as it is.';
