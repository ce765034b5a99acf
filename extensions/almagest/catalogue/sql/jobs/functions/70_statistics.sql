-- How jobs fare.

CREATE OR REPLACE FUNCTION almagest.job_statistics(of_principal text, from_time timestamptz, to_time timestamptz)
RETURNS TABLE (process text, statuses jsonb, dead bigint, waited double precision[], ran double precision[])
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
    WITH told AS (
        SELECT j.process, j.status, j.is_dead,
               extract(epoch FROM j.started_at - j.created_at)::float AS waited,
               -- What was dismissed says nothing of how long it takes.
               CASE WHEN j.status IN ('successful', 'failed')
                    THEN extract(epoch FROM j.finished_at - j.started_at)::float END AS ran
        FROM almagest.job AS j
        WHERE (of_principal IS NULL OR j.principal = of_principal)
          AND j.created_at >= coalesce(from_time, '-infinity') AND j.created_at <= coalesce(to_time, 'infinity')
    ), counted AS (
        SELECT c.process, jsonb_object_agg(c.status, c.number) AS statuses
        FROM (SELECT t.process, t.status, count(*) AS number FROM told AS t GROUP BY t.process, t.status) AS c
        GROUP BY c.process
    ), measured AS (
        SELECT t.process, count(*) FILTER (WHERE t.is_dead) AS dead,
               percentile_cont(ARRAY[0.5, 0.9, 0.99]) WITHIN GROUP (ORDER BY t.waited) AS waited,
               percentile_cont(ARRAY[0.5, 0.9, 0.99]) WITHIN GROUP (ORDER BY t.ran) AS ran
        FROM told AS t GROUP BY t.process
    )
    SELECT c.process, c.statuses, m.dead, m.waited, m.ran
    FROM counted AS c JOIN measured AS m ON m.process = c.process
    ORDER BY c.process
$$;
COMMENT ON FUNCTION almagest.job_statistics(text, timestamptz, timestamptz) IS
    'Jobs of somebody, or of all (NULL), that were accepted in a time: how many of each process and status, and within how
many seconds half, 90 % and 99 % of them were taken up, and ran to their end.';
