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


CREATE OR REPLACE FUNCTION almagest.note_callback() RETURNS trigger
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    -- Not why it was given up: that would tell whoever submits jobs what there is in our networks.
    INSERT INTO almagest.job_event (job, kind, message)
    SELECT j.id, 'state',
           CASE WHEN NEW.delivered_at IS NOT NULL THEN 'called back: ' ELSE 'calling back was given up: ' END
               || (NEW.payload->>'status')
    FROM almagest.job AS j WHERE j.id = (NEW.payload->>'id')::uuid;
    RETURN NULL;
END;
$$;
COMMENT ON FUNCTION almagest.note_callback() IS 'Says in the log of a job, if it is still there, what came of a callback.';

CREATE OR REPLACE TRIGGER note_callback AFTER UPDATE OF next_at ON almagest.outbox
FOR EACH ROW WHEN (NEW.kind = 'job' AND NEW.next_at IS NULL AND OLD.next_at IS NOT NULL)
EXECUTE FUNCTION almagest.note_callback();
