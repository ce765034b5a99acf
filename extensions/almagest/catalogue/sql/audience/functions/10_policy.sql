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


CREATE OR REPLACE FUNCTION almagest.judged_collections(ids text[]) RETURNS TABLE (id text, internal boolean)
LANGUAGE sql STABLE -- without settings, so that it is planned as part of the statement that asks
AS $$
    SELECT c.id, coalesce((
        -- The id itself before patterns, then the longest; of two equally long ones the one that hides.
        SELECT r.internal FROM almagest.collection_rule AS r WHERE c.id LIKE r.likeness
        ORDER BY r.pattern = c.id DESC, length(r.pattern) DESC, r.internal DESC LIMIT 1
    ), p.internal_by_default, true)
    FROM unnest(ids) AS c(id) LEFT JOIN almagest.audience_policy AS p ON true
$$;
COMMENT ON FUNCTION almagest.judged_collections(text[]) IS
    'Of each of these ids, whether a collection of it is internal-only, whether or not it exists.';


CREATE OR REPLACE FUNCTION almagest.internal_collections(ids text[]) RETURNS SETOF text
LANGUAGE plpgsql STABLE SET search_path = almagest, pg_temp
AS $$
BEGIN
    RETURN QUERY SELECT j.id FROM almagest.judged_collections(ids) AS j WHERE j.internal;
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


CREATE OR REPLACE FUNCTION almagest.public_among(collections text[]) RETURNS text[]
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN ARRAY(SELECT c FROM unnest(collections) AS t(c) WHERE NOT almagest.is_internal(c));
END;
$$;
COMMENT ON FUNCTION almagest.public_among(text[]) IS 'Those of some collections that outsiders may see, for who cannot read the rules.';


CREATE OR REPLACE FUNCTION almagest.visible_collections(requested text[]) RETURNS text[]
LANGUAGE plpgsql STABLE SET search_path = almagest, pg_temp
AS $$
DECLARE
    existing CONSTANT text[] := ARRAY(
        SELECT c.id FROM almagest.port_collection_ids() AS c(id) WHERE requested IS NULL OR c.id = ANY (requested));
BEGIN
    RETURN ARRAY(SELECT j.id FROM almagest.judged_collections(existing) AS j WHERE NOT j.internal ORDER BY j.id);
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


CREATE OR REPLACE FUNCTION almagest.inside_quotes(words text) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $$ SELECT substr(to_json(words)::text, 2, length(to_json(words)::text) - 2) $$;
COMMENT ON FUNCTION almagest.inside_quotes(text) IS 'Words as they stand in JSON, without the quotation marks around them.';


CREATE OR REPLACE FUNCTION almagest.suspicion(policy almagest.audience_policy) RETURNS text
LANGUAGE plpgsql STABLE SET search_path = almagest, pg_temp
AS $$
DECLARE
    pattern text;
    names text := '';
BEGIN
    FOREACH pattern IN ARRAY policy.hidden_properties LOOP
        -- As JSON prints it: a name may hold quotation marks.
        names := names || '|' || almagest.quote_regex(almagest.inside_quotes(rtrim(pattern, '*')))
            || CASE WHEN right(pattern, 1) = '*' THEN '([^"\\]|\\.)*' ELSE '' END;
    END LOOP;
    RETURN concat_ws('|',
        -- An href that is not plainly one of the visible schemes, or that names a user, or ourselves.
        CASE WHEN policy.visible_schemes = '{}' THEN '"href": '
             ELSE format('"href": (?!"(%s)://[^]["/?#@\\[:space:]]+[/?#"])',
                         array_to_string(policy.visible_schemes, '|')) END,
        -- Ourselves may be named in many ways; all of them begin with the host.
        CASE WHEN policy.origin <> '' THEN
            '"href": "https?://' || almagest.quote_regex(regexp_replace(policy.origin, '^.*://|:[0-9]*$', '', 'g')) END,
        CASE WHEN names <> '' THEN format('"(%s)": ', substr(names, 2)) END);
END;
$$;
COMMENT ON FUNCTION almagest.suspicion(almagest.audience_policy) IS
    'Regular expression, to be compared with ~*, that the text of any document matches which holds something hidden, and '
    'some that do not. What does not match goes out as it is.';


CREATE OR REPLACE FUNCTION almagest.public_collections_ever(requested text[]) RETURNS text[]
LANGUAGE plpgsql STABLE SET search_path = almagest, pg_temp
AS $$
DECLARE
    known CONSTANT text[] := ARRAY(
        SELECT h.id FROM almagest.collection_head AS h WHERE requested IS NULL OR h.id = ANY (requested));
BEGIN
    RETURN ARRAY(SELECT j.id FROM almagest.judged_collections(known) AS j WHERE NOT j.internal ORDER BY j.id);
END;
$$;
COMMENT ON FUNCTION almagest.public_collections_ever(text[]) IS
    'Those of the requested collections (NULL: of all) that there are or ever were, and that outsiders may see.';
