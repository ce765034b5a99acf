-- Numbers for whoever watches: cheap enough to be asked for every few seconds.

CREATE OR REPLACE FUNCTION almagest.note_lost_leases(of_processes text[]) RETURNS void
LANGUAGE sql VOLATILE SET search_path = pg_catalog, pg_temp
AS $$
    INSERT INTO almagest.job_loss AS l (process, lease_expiries)
    SELECT p.process, count(*) FROM unnest(of_processes) AS p(process) GROUP BY p.process ORDER BY p.process
    ON CONFLICT (process) DO UPDATE SET lease_expiries = l.lease_expiries + excluded.lease_expiries
$$;
COMMENT ON FUNCTION almagest.note_lost_leases(text[]) IS
    'Counts leases that ran out. Transactions do it last: they hold jobs, and whoever holds the count waits for nobody.';


CREATE OR REPLACE FUNCTION almagest.job_losses()
RETURNS TABLE (process text, lease_expiries bigint, dead bigint)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
    SELECT coalesce(l.process, d.process), coalesce(l.lease_expiries, 0), coalesce(d.number, 0)
    FROM almagest.job_loss AS l
    FULL JOIN (
        SELECT j.process, count(*) AS number FROM almagest.job AS j WHERE j.is_dead GROUP BY j.process
    ) AS d ON d.process = l.process
$$;
COMMENT ON FUNCTION almagest.job_losses() IS
    'Of each process, how often a worker lost a job of it, and how many of its jobs failed as often as they may.';


CREATE OR REPLACE FUNCTION almagest.job_queues() RETURNS TABLE (queue text, waiting bigint)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
    SELECT j.queue, count(*) FROM almagest.job AS j
    WHERE j.status IN ('accepted', 'running') AND j.pending_children = 0 AND almagest.is_due(j)
    GROUP BY j.queue
$$;
COMMENT ON FUNCTION almagest.job_queues() IS 'How many jobs of each queue wait for a worker.';
