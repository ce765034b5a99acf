-- Who is connected, for whoever watches.

CREATE OR REPLACE FUNCTION almagest.connection_counts() RETURNS TABLE (role text, number bigint)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
    SELECT CASE WHEN starts_with(a.usename, 'almagest_') THEN substr(a.usename, 10) ELSE 'other' END, count(*)
    FROM pg_stat_activity AS a
    -- What runs in no database is PostgreSQL's own. What a session does is not ours to see, so it is not told.
    WHERE a.usename IS NOT NULL AND a.datname IS NOT NULL
    GROUP BY 1
$$;
COMMENT ON FUNCTION almagest.connection_counts() IS
    'How many sessions each of our roles has, and all others together, in all databases of the cluster: they share the room.';
