CREATE OR REPLACE FUNCTION almagest.tier_of(of_subject text) RETURNS text
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
    SELECT coalesce(a.tier, r.tier)
    FROM almagest.account AS a
    JOIN almagest.account_role AS r ON r.name = a.role
    WHERE of_subject LIKE 'user:%' AND a.id::text = substr(of_subject, 6)
$$;
COMMENT ON FUNCTION almagest.tier_of(text) IS 'The tier of a caller, as the door names him; NULL: he is no account, and nothing limits him.';


CREATE OR REPLACE FUNCTION almagest.quota_of(of_subject text, of_class text)
RETURNS TABLE (most bigint, per interval)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
    SELECT q.most, q.per FROM almagest.quota AS q
    WHERE q.tier = almagest.tier_of(of_subject) AND q.class = of_class
$$;
COMMENT ON FUNCTION almagest.quota_of(text, text) IS 'How much of something a caller may use: a row, or none where it is not limited.';
