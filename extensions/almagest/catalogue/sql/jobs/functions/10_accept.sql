-- Jobs come and go.

CREATE OR REPLACE FUNCTION almagest.note_job(of_job uuid, what text, of_kind text DEFAULT 'state') RETURNS void
LANGUAGE sql VOLATILE SET search_path = pg_catalog, pg_temp
AS $$ INSERT INTO almagest.job_event (job, kind, message) VALUES (of_job, of_kind, what) $$;
COMMENT ON FUNCTION almagest.note_job(uuid, text, text) IS 'Adds a line to the log of a job.';


CREATE OR REPLACE FUNCTION almagest.accept_job(
    of_process text, of_version text, of_queue text, of_principal text, with_inputs jsonb, with_request jsonb,
    with_max_attempts int, with_key text DEFAULT NULL, with_sha256 bytea DEFAULT NULL, of_class text DEFAULT NULL
) RETURNS TABLE (id uuid, is_new boolean)
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    most CONSTANT int := 1000;
    found almagest.job;
BEGIN
    -- Exact, also where many come at once.
    PERFORM pg_advisory_xact_lock(hashtextextended('almagest.job ' || of_principal, 0));
    INSERT INTO almagest.job AS j (process, process_version, queue, principal, inputs, request, max_attempts,
                                   idempotency_key, request_sha256)
    VALUES (of_process, of_version, of_queue, of_principal, with_inputs, with_request, with_max_attempts,
            with_key, with_sha256)
    ON CONFLICT (principal, idempotency_key) DO NOTHING
    RETURNING j.id, true INTO id, is_new;
    IF is_new THEN
        IF (SELECT count(*) FROM almagest.job AS j
            WHERE j.principal = of_principal AND j.status IN ('accepted', 'running') AND j.parent IS NULL) > most
        THEN
            RAISE program_limit_exceeded USING
                MESSAGE = format('%s jobs of yours have not ended: wait for some, or dismiss them.', most);
        END IF;
        PERFORM almagest.take_quota(of_principal, of_class);
        PERFORM almagest.note_job(id, 'accepted');
    ELSE
        SELECT j.* INTO found FROM almagest.job AS j
        WHERE j.principal = of_principal AND j.idempotency_key = with_key;
        IF found.request_sha256 IS DISTINCT FROM with_sha256 THEN
            RAISE unique_violation USING
                MESSAGE = 'This Idempotency-Key was used for another request.', CONSTRAINT = 'job_idempotency';
        END IF;
        id := found.id;
        is_new := false;
    END IF;
    RETURN NEXT;
END;
$$;
COMMENT ON FUNCTION almagest.accept_job(text, text, text, text, jsonb, jsonb, int, text, bytea, text) IS
    'Takes a job in. With a key that its owner has used before, the job of that time, if the request is the same, else 23505.
54000 where too many of his have not ended, 53400 where his quota of this class is used up.';


CREATE OR REPLACE FUNCTION almagest.dismiss_job(of_job uuid, may_remove boolean, by_request text) RETURNS text
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    seen almagest.job;
BEGIN
    SELECT j.* INTO seen FROM almagest.job AS j WHERE j.id = of_job FOR UPDATE;
    IF seen.status IN ('accepted', 'running') THEN
        PERFORM almagest.end_job(of_job, 'dismissed');
        seen.status := 'dismissed';
    ELSIF may_remove AND seen.dismissal IS DISTINCT FROM coalesce(by_request, '') AND NOT EXISTS (
        -- A parent counts on what its children have left.
        SELECT FROM almagest.job AS p WHERE p.id = seen.parent AND p.status IN ('accepted', 'running'))
    THEN
        DELETE FROM almagest.job AS j WHERE j.id = of_job;
        RETURN CASE WHEN FOUND THEN 'removed' END;
    END IF;
    UPDATE almagest.job AS j SET dismissal = by_request WHERE j.id = of_job AND by_request IS NOT NULL;
    RETURN seen.status;
END;
$$;
COMMENT ON FUNCTION almagest.dismiss_job(uuid, boolean, text) IS
    'Ends a job that has not ended: its worker is fenced off. One that has is removed, where that is wanted, but not by the
request (NULL: it has no name) that has found it running and is sent again. Answers what became of it (dismissed, removed),
or its status, or NULL where there is none.';


CREATE OR REPLACE FUNCTION almagest.end_job(
    of_job uuid, as_status text, with_outputs jsonb DEFAULT NULL, with_error jsonb DEFAULT NULL,
    with_published jsonb DEFAULT NULL
) RETURNS void
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    ended almagest.job;
BEGIN
    UPDATE almagest.job AS j
    SET status = as_status, outputs = with_outputs, published = with_published, error = with_error, lease_owner = NULL, lease_until = NULL,
        pending_children = 0, checkpoint = NULL,
        progress = CASE WHEN as_status = 'successful' THEN 100 ELSE j.progress END,
        finished_at = almagest.clock(), updated_at = almagest.clock()
    WHERE j.id = of_job AND j.status IN ('accepted', 'running')
    RETURNING j.* INTO ended;
    IF NOT FOUND THEN
        RETURN;
    END IF;
    PERFORM almagest.note_job(of_job, as_status);
    PERFORM almagest.call_back(ended);
    -- A child is locked before its parent, here and everywhere.
    UPDATE almagest.job AS j SET pending_children = j.pending_children - 1, rung_at = NULL
    WHERE j.id = ended.parent AND j.pending_children > 0;
END;
$$;
COMMENT ON FUNCTION almagest.end_job(uuid, text, jsonb, jsonb, jsonb) IS
    'Gives a job that has not ended its last status, takes it off the count of its parent, and has its subscriber told.';


CREATE OR REPLACE FUNCTION almagest.retry_job(of_job uuid) RETURNS boolean
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    UPDATE almagest.job AS j
    SET status = 'accepted', is_dead = false, error = NULL, attempt = 0, progress = 0, message = NULL, rung_at = NULL,
        run_after = almagest.clock(), started_at = NULL, finished_at = NULL, updated_at = almagest.clock()
    -- Whose parent has been told of its end must not end again.
    WHERE j.id = of_job AND j.status IN ('failed', 'dismissed') AND j.parent IS NULL;
    IF NOT FOUND THEN
        RETURN false;
    END IF;
    -- It begins anew, and so do they.
    DELETE FROM almagest.job AS j WHERE j.parent = of_job;
    PERFORM almagest.note_job(of_job, 'accepted again');
    RETURN true;
END;
$$;
COMMENT ON FUNCTION almagest.retry_job(uuid) IS 'Does a job anew that failed or was dismissed. False where there is none.';
