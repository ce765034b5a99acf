CREATE OR REPLACE FUNCTION almagest.both_scopes(these text[], those text[]) RETURNS text[]
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp
AS $$
    SELECT CASE
        WHEN 'admin' = ANY (those) THEN these
        WHEN 'admin' = ANY (these) THEN those
        ELSE coalesce((SELECT array_agg(s ORDER BY n) FROM unnest(these) WITH ORDINALITY AS t(s, n) WHERE s = ANY (those)), '{}')
    END
$$;
COMMENT ON FUNCTION almagest.both_scopes(text[], text[]) IS 'What both allow; admin stands for all the others.';


CREATE OR REPLACE FUNCTION almagest.standing(of_account uuid)
RETURNS TABLE (subject text, name text, scopes text[], tier text, calls bigint, calls_per interval, epoch int, reason text)
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
    SELECT 'user:' || a.id, a.name,
           r.scopes || coalesce((SELECT array_agg(s) FROM unnest(a.scopes) AS t(s) WHERE s <> ALL (r.scopes)), '{}'),
           t.tier, q.most, q.per, a.epoch, CASE WHEN a.disabled_at IS NOT NULL THEN 'disabled' END
    FROM almagest.account AS a
    JOIN almagest.account_role AS r ON r.name = a.role
    CROSS JOIN LATERAL (SELECT coalesce(a.tier, r.tier)) AS t(tier)
    LEFT JOIN almagest.quota AS q ON q.tier = t.tier AND q.class = 'calls'
    WHERE a.id = of_account
$$;
COMMENT ON FUNCTION almagest.standing(uuid) IS 'What an account may and how often, by its role and by what it was granted.';
