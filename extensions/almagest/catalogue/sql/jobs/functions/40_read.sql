-- What is told of jobs.

CREATE OR REPLACE FUNCTION almagest.job_document(of_job uuid) RETURNS SETOF almagest.job
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$ SELECT j.* FROM almagest.job AS j WHERE j.id = of_job $$;
COMMENT ON FUNCTION almagest.job_document(uuid) IS 'A job, whosever it is.';


CREATE OR REPLACE FUNCTION almagest.list_jobs(
    of_principal text, filters jsonb, before_time timestamptz, before_id uuid, at_most int
) RETURNS TABLE (
    id uuid, process text, process_version text, queue text, principal text, status text, progress smallint, message text,
    published jsonb, error jsonb, is_dead boolean, attempt int, max_attempts int, run_after timestamptz, parent uuid,
    pending_children int, created_at timestamptz, started_at timestamptz, finished_at timestamptz, updated_at timestamptz,
    by text
)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
SET plan_cache_mode = force_custom_plan -- what is not asked for falls away, and what is finds its index
AS $$
#variable_conflict use_column
BEGIN
    RETURN QUERY
    SELECT j.id, j.process, j.process_version, j.queue, j.principal, j.status, j.progress, j.message, j.published,
           j.error - 'internal', j.is_dead, j.attempt, j.max_attempts, j.run_after, j.parent, j.pending_children,
           j.created_at, j.started_at, j.finished_at, j.updated_at, j.request->>'by'
    FROM almagest.job AS j
    WHERE (of_principal IS NULL OR j.principal = of_principal)
      AND (before_time IS NULL OR (j.created_at, j.id) < (before_time, before_id))
      AND (NOT filters ? 'process' OR filters->'process' ? j.process)
      AND (NOT filters ? 'status' OR filters->'status' ? j.status)
      AND (NOT filters ? 'from' OR j.created_at >= (filters->>'from')::timestamptz)
      AND (NOT filters ? 'to' OR j.created_at <= (filters->>'to')::timestamptz)
      AND (NOT filters ? 'min_s' OR coalesce(j.finished_at, almagest.clock()) - j.started_at
                                     >= make_interval(secs => (filters->>'min_s')::float))
      AND (NOT filters ? 'max_s' OR coalesce(j.finished_at, almagest.clock()) - j.started_at
                                     <= make_interval(secs => (filters->>'max_s')::float))
      AND (NOT filters ? 'dead' OR j.is_dead = (filters->>'dead')::boolean)
      AND (NOT filters ? 'parent' OR j.parent = (filters->>'parent')::uuid)
    ORDER BY j.created_at DESC, j.id DESC
    LIMIT at_most;
END;
$$;
COMMENT ON FUNCTION almagest.list_jobs(text, jsonb, timestamptz, uuid, int) IS
    'Jobs of somebody, or of all (NULL), the newest first, without what they were given and gave. filters: process and status (lists), from and to (when it was
accepted), min_s and max_s (how long it ran), dead, parent.';


CREATE OR REPLACE FUNCTION almagest.job_children(of_parent uuid) RETURNS SETOF almagest.job
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$ SELECT j.* FROM almagest.job AS j WHERE j.parent = of_parent ORDER BY j.created_at, j.id $$;
COMMENT ON FUNCTION almagest.job_children(uuid) IS 'What a job gave others to do.';


CREATE OR REPLACE FUNCTION almagest.job_events(of_job uuid, behind bigint, at_most int)
RETURNS TABLE (id bigint, at timestamptz, kind text, message text)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
    SELECT e.id, e.at, e.kind, e.message FROM almagest.job_event AS e
    WHERE e.job = of_job AND e.id > behind
    ORDER BY e.id LIMIT at_most
$$;
COMMENT ON FUNCTION almagest.job_events(uuid, bigint, int) IS 'The log of a job behind an event (0: from the start).';


CREATE OR REPLACE FUNCTION almagest.job_counts()
RETURNS TABLE (process text, status text, number bigint, oldest_waiting_s double precision)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
    SELECT j.process, j.status, count(*),
           extract(epoch FROM max(almagest.clock() - j.run_after)
                   FILTER (WHERE j.status = 'accepted' AND j.run_after <= almagest.clock()))::float
    FROM almagest.job AS j GROUP BY j.process, j.status
$$;
COMMENT ON FUNCTION almagest.job_counts() IS 'How many jobs there are of each process and status, and how long the oldest waits.';


CREATE OR REPLACE FUNCTION almagest.job_troubles() RETURNS TABLE (undelivered bigint, failing_schedules bigint)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
    SELECT (SELECT count(*) FROM almagest.outbox AS o WHERE o.delivered_at IS NULL AND o.last_error IS NOT NULL),
           (SELECT count(*) FROM almagest.schedule AS s WHERE s.enabled AND s.last_error IS NOT NULL)
$$;
COMMENT ON FUNCTION almagest.job_troubles() IS 'How many callbacks were not delivered, and how many schedules bring no jobs.';
