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
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
    SELECT q.most, q.per FROM almagest.quota AS q
    WHERE q.tier = almagest.tier_of(of_subject) AND q.class = of_class
$$;
COMMENT ON FUNCTION almagest.quota_of(text, text) IS 'How much of something a caller may use: a row, or none where it is not limited.';


CREATE OR REPLACE FUNCTION almagest.take_quota(of_subject text, of_class text) RETURNS void
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    present timestamptz := almagest.clock();
    quota record;
    used bigint;
    oldest timestamptz;
BEGIN
    SELECT q.most, q.per INTO quota FROM almagest.quota_of(of_subject, of_class) AS q;
    IF quota.most IS NULL OR quota.per IS NULL THEN
        RETURN;
    END IF;
    DELETE FROM almagest.quota_use AS u
    WHERE u.subject = of_subject AND u.class = of_class AND u.at <= present - quota.per;
    -- Of what counts, the one whose end makes room again.
    SELECT count(*), min(u.at) FILTER (WHERE u.place <= quota.most) INTO used, oldest
    FROM (SELECT o.at, row_number() OVER (ORDER BY o.at DESC) AS place FROM almagest.quota_use AS o
          WHERE o.subject = of_subject AND o.class = of_class) AS u;
    IF used >= quota.most THEN
        RAISE configuration_limit_exceeded USING
            MESSAGE = format('Your tier allows %s %s jobs within %s, and they are used up.', quota.most, of_class,
                             almagest.in_words(quota.per)),
            DETAIL = ceil(greatest(extract(epoch FROM coalesce(oldest, present) + quota.per - present), 1))::text;
    END IF;
    INSERT INTO almagest.quota_use (subject, class, at) VALUES (of_subject, of_class, present);
END;
$$;
COMMENT ON FUNCTION almagest.take_quota(text, text) IS
    'Counts one more, exactly, where the caller holds the lock of the subject. 53400 where none is left; its detail says in how
many seconds there is.';


CREATE OR REPLACE FUNCTION almagest.in_words(span interval) RETURNS text
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp
AS $$
    SELECT CASE span WHEN interval '1 hour' THEN 'an hour' WHEN interval '1 day' THEN 'a day' ELSE span::text END
$$;
COMMENT ON FUNCTION almagest.in_words(interval) IS 'A span of time, for people.';


CREATE OR REPLACE FUNCTION almagest.list_tiers() RETURNS TABLE (name text, title text, class text, most bigint, per interval)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
    SELECT t.name, t.title, q.class, q.most, q.per
    FROM almagest.tier AS t
    LEFT JOIN almagest.quota AS q ON q.tier = t.name
    ORDER BY t.name, q.class
$$;
COMMENT ON FUNCTION almagest.list_tiers() IS 'Every tier with its quotas, one a row; one row without where a tier has none.';


CREATE OR REPLACE FUNCTION almagest.list_roles() RETURNS TABLE (name text, scopes text[], tier text)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$ SELECT r.name, r.scopes, r.tier FROM almagest.account_role AS r ORDER BY r.name $$;
COMMENT ON FUNCTION almagest.list_roles() IS 'What people can be.';
