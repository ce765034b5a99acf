-- Where results go that nobody has made room for yet.

CREATE OR REPLACE FUNCTION almagest.keep_internal(of_collection text, made_of text[]) RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF position('*' IN of_collection) > 0 THEN
        RAISE invalid_parameter_value USING
            MESSAGE = format('Results cannot go into a collection called %s: a * stands for anything in rules.', of_collection);
    ELSIF EXISTS (SELECT FROM almagest.internal_collections(made_of)) AND NOT almagest.is_internal(of_collection) THEN
        -- Where somebody has made a rule for this very collection, it stays his.
        INSERT INTO almagest.collection_rule (pattern, internal) VALUES (of_collection, true) ON CONFLICT DO NOTHING;
    END IF;
END;
$$;
COMMENT ON FUNCTION almagest.keep_internal(text, text[]) IS
    'To be called before a collection is made for what is made of the items of others: it is internal-only where one of these is. '
    'Definer, since workers may not change rules otherwise.';
