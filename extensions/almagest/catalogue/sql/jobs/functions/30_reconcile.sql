-- What every worker sees to now and then, whoever died.

CREATE OR REPLACE FUNCTION almagest.jobs_to_ring(of_age interval, at_most int) RETURNS TABLE (id uuid, queue text)
LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
    UPDATE almagest.job AS j SET rung_at = almagest.clock()
    FROM (
        SELECT d.id FROM almagest.job AS d
        WHERE d.status IN ('accepted', 'running') AND d.pending_children = 0 AND almagest.is_due(d)
          AND (d.rung_at IS NULL OR d.rung_at < almagest.clock() - of_age)
        ORDER BY d.run_after LIMIT at_most FOR UPDATE SKIP LOCKED
    ) AS due
    WHERE j.id = due.id
    RETURNING j.id, j.queue
$$;
COMMENT ON FUNCTION almagest.jobs_to_ring(interval, int) IS
    'Jobs that are due and of which workers were not told lately; notes that they are now.';


CREATE OR REPLACE FUNCTION almagest.bury_jobs() RETURNS int
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    dead almagest.job;
    buried int := 0;
    lost text[] := '{}';
BEGIN
    FOR dead IN
        SELECT j.* FROM almagest.job AS j
        WHERE j.status IN ('accepted', 'running') AND j.pending_children = 0 AND j.attempt >= j.max_attempts
          AND j.lease_until < almagest.clock()
        FOR UPDATE SKIP LOCKED
    LOOP
        UPDATE almagest.job AS j SET is_dead = true WHERE j.id = dead.id;
        PERFORM almagest.end_job(dead.id, 'failed', NULL, coalesce(dead.error, '{}') || jsonb_build_object(
            'title', 'Worker lost',
            'detail', format('Its worker died or was cut off %s times while it ran.', dead.attempt)));
        buried := buried + 1;
        lost := lost || dead.process;
    END LOOP;
    -- Nobody waits for the children of a job that has ended.
    FOR dead IN
        SELECT c.* FROM almagest.job AS c JOIN almagest.job AS p ON p.id = c.parent
        WHERE c.status IN ('accepted', 'running') AND p.status NOT IN ('accepted', 'running')
        FOR UPDATE OF c SKIP LOCKED
    LOOP
        PERFORM almagest.end_job(dead.id, 'dismissed');
        buried := buried + 1;
    END LOOP;
    PERFORM almagest.note_lost_leases(lost);
    RETURN buried;
END;
$$;
COMMENT ON FUNCTION almagest.bury_jobs() IS
    'Ends jobs whose workers died as often as they may be tried, and the children of jobs that have ended.';


CREATE OR REPLACE FUNCTION almagest.expire_jobs(after_time interval) RETURNS int
LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
    WITH gone AS (
        DELETE FROM almagest.job AS j
        WHERE j.id IN (
            SELECT o.id FROM almagest.job AS o
            WHERE o.finished_at < (SELECT almagest.clock()) - after_time AND o.parent IS NULL AND NOT o.is_dead
            ORDER BY o.finished_at LIMIT 1000 FOR UPDATE SKIP LOCKED)
        RETURNING 1
    )
    SELECT count(*)::int FROM gone
$$;
COMMENT ON FUNCTION almagest.expire_jobs(interval) IS
    'Forgets some of the jobs that ended so long ago, with their children, but for the dead, who wait for somebody.';
