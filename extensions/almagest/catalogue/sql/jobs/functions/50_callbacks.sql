-- Whoever asked to be called back is.

CREATE OR REPLACE FUNCTION almagest.call_back(job almagest.job) RETURNS void
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    subscriber CONSTANT jsonb := job.request->'subscriber';
    to_url CONSTANT text := subscriber->>CASE job.status
        WHEN 'successful' THEN 'successUri' WHEN 'running' THEN 'inProgressUri' ELSE 'failedUri' END;
    of_about CONSTANT text := 'job:' || job.id;
BEGIN
    IF subscriber IS NULL THEN
        RETURN;
    END IF;
    -- That it is running is no news once it has ended.
    DELETE FROM almagest.outbox AS o
    WHERE o.about = of_about AND o.next_at IS NOT NULL AND o.payload->>'status' = 'running';
    IF to_url IS NOT NULL THEN
        -- As it is now: it may be removed, or done anew, before anybody can be told.
        PERFORM almagest.post('job', of_about, job.principal, to_url,
            to_jsonb(job) || '{"inputs": {}, "checkpoint": null, "request_sha256": null}');
    END IF;
END;
$$;
COMMENT ON FUNCTION almagest.call_back(almagest.job) IS
    'Has the subscriber of a job told, if it has one, that it has begun or ended.';
