-- A worker takes a job up, keeps it, and gives it back: each call but the first names the lease, and is of no effect once
-- somebody else has the job.

CREATE OR REPLACE FUNCTION almagest.is_due(job almagest.job) RETURNS boolean
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
    SELECT job.status IN ('accepted', 'running') AND job.pending_children = 0 AND job.run_after <= almagest.clock()
       AND (job.lease_until IS NULL OR job.lease_until < almagest.clock()) AND job.attempt < job.max_attempts
$$;
COMMENT ON FUNCTION almagest.is_due(almagest.job) IS 'Whether a job waits for a worker: it is new, or its worker is gone.';


CREATE OR REPLACE FUNCTION almagest.claim_job(
    of_job uuid, as_owner text, for_time interval, of_processes text[]
) RETURNS SETOF almagest.job
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    former_owner text;
    begun_at timestamptz;
    claimed almagest.job;
BEGIN
    SELECT j.lease_owner, j.started_at INTO former_owner, begun_at FROM almagest.job AS j
    WHERE j.id = of_job AND almagest.is_due(j) AND j.process = ANY (of_processes)
    FOR UPDATE;
    IF NOT FOUND THEN
        RETURN;
    END IF;
    UPDATE almagest.job AS j
    SET status = 'running', attempt = j.attempt + 1, lease_owner = as_owner, lease_until = almagest.clock() + for_time,
        started_at = coalesce(j.started_at, almagest.clock()), updated_at = almagest.clock()
    WHERE j.id = of_job
    RETURNING j.* INTO claimed;
    PERFORM almagest.note_job(of_job, format('attempt %s of %s', claimed.attempt, claimed.max_attempts));
    IF begun_at IS NULL THEN
        PERFORM almagest.call_back(claimed);
    END IF;
    IF former_owner IS NOT NULL THEN
        PERFORM almagest.note_lost_leases(ARRAY[claimed.process]);
    END IF;
    RETURN NEXT claimed;
END;
$$;
COMMENT ON FUNCTION almagest.claim_job(uuid, text, interval, text[]) IS
    'Takes a job up, or answers nothing: somebody has it, it has ended, its time has not come, or it is of a process that
this worker does not know.';


CREATE OR REPLACE FUNCTION almagest.claim_due_job(
    of_queues text[], as_owner text, for_time interval, of_processes text[]
) RETURNS SETOF almagest.job
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    due uuid;
BEGIN
    -- The first of each queue, as the index has them: of all at once, each call would sort whatever waits.
    SELECT first.id INTO due
    FROM unnest(of_queues) AS q (queue)
    CROSS JOIN LATERAL (
        SELECT j.id, j.run_after FROM almagest.job AS j
        WHERE j.queue = q.queue AND j.process = ANY (of_processes)
          AND j.status IN ('accepted', 'running') AND j.pending_children = 0 AND almagest.is_due(j)
        ORDER BY j.run_after
        LIMIT 1 FOR UPDATE SKIP LOCKED
    ) AS first
    ORDER BY first.run_after
    LIMIT 1;
    RETURN QUERY SELECT * FROM almagest.claim_job(due, as_owner, for_time, of_processes);
END;
$$;
COMMENT ON FUNCTION almagest.claim_due_job(text[], text, interval, text[]) IS
    'As claim_job, the oldest job of these queues that is due.';


CREATE OR REPLACE FUNCTION almagest.keep_job(
    of_job uuid, as_owner text, for_time interval, at_progress smallint DEFAULT NULL, with_message text DEFAULT NULL,
    lines text[] DEFAULT '{}'
) RETURNS boolean
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    -- Whoever ends the job at this moment is not waited for: the leases of others would run out meanwhile.
    PERFORM FROM almagest.job AS j
    WHERE j.id = of_job AND j.status = 'running' AND j.lease_owner = as_owner
    FOR UPDATE SKIP LOCKED;
    IF NOT FOUND THEN
        RETURN CASE WHEN NOT EXISTS (
            SELECT FROM almagest.job AS j WHERE j.id = of_job AND j.status = 'running' AND j.lease_owner = as_owner
        ) THEN false END;
    END IF;
    UPDATE almagest.job AS j
    SET lease_until = almagest.clock() + for_time, progress = coalesce(at_progress, j.progress),
        message = coalesce(with_message, j.message), updated_at = almagest.clock()
    WHERE j.id = of_job;
    INSERT INTO almagest.job_event (job, kind, message) SELECT of_job, 'log', l.line FROM unnest(lines) AS l(line);
    RETURN true;
END;
$$;
COMMENT ON FUNCTION almagest.keep_job(uuid, text, interval, smallint, text, text[]) IS
    'Says that a job is still being worked on, how far it is, and what it said. False: it is no longer whose owner asks. NULL: somebody is about to change it, and nothing
was noted.';


CREATE OR REPLACE FUNCTION almagest.hold_job(of_job uuid, as_owner text) RETURNS boolean
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM FROM almagest.job AS j
    WHERE j.id = of_job AND j.status = 'running' AND j.lease_owner = as_owner
    FOR UPDATE;
    RETURN FOUND;
END;
$$;
COMMENT ON FUNCTION almagest.hold_job(uuid, text) IS
    'The fence: whether the job is still whose owner asks, and nobody else can have it until the transaction ends.';


CREATE OR REPLACE FUNCTION almagest.release_job(of_job uuid, as_owner text) RETURNS boolean
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    UPDATE almagest.job AS j
    SET attempt = j.attempt - 1, lease_owner = NULL, lease_until = NULL, rung_at = NULL, updated_at = almagest.clock()
    WHERE j.id = of_job AND j.status = 'running' AND j.lease_owner = as_owner;
    IF FOUND THEN
        PERFORM almagest.note_job(of_job, format('given back by %s', as_owner));
    END IF;
    RETURN FOUND;
END;
$$;
COMMENT ON FUNCTION almagest.release_job(uuid, text) IS
    'A worker that is stopped gives a job back: it is due at once, and the attempt does not count.';


CREATE OR REPLACE FUNCTION almagest.finish_job(
    of_job uuid, as_owner text, with_outputs jsonb, with_published jsonb DEFAULT NULL
) RETURNS boolean
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF NOT almagest.hold_job(of_job, as_owner) THEN
        RETURN false;
    END IF;
    PERFORM almagest.end_job(of_job, 'successful', with_outputs, NULL, with_published);
    RETURN true;
END;
$$;
COMMENT ON FUNCTION almagest.finish_job(uuid, text, jsonb, jsonb) IS
    'Ends a job well; to be called in the transaction that publishes its results. False: it is no longer whose owner asks.';


CREATE OR REPLACE FUNCTION almagest.fail_job(
    of_job uuid, as_owner text, with_error jsonb, try_again_after interval DEFAULT NULL
) RETURNS text
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    held almagest.job;
BEGIN
    SELECT j.* INTO held FROM almagest.job AS j
    WHERE j.id = of_job AND j.status = 'running' AND j.lease_owner = as_owner
    FOR UPDATE;
    IF NOT FOUND THEN
        RETURN NULL;
    END IF;
    IF try_again_after IS NOT NULL AND held.attempt < held.max_attempts THEN
        UPDATE almagest.job AS j
        SET status = 'accepted', error = with_error, run_after = almagest.clock() + try_again_after, rung_at = NULL,
            lease_owner = NULL, lease_until = NULL, updated_at = almagest.clock()
        WHERE j.id = of_job;
        PERFORM almagest.note_job(of_job, format('failed, to be tried again in %s s: %s',
            round(extract(epoch FROM try_again_after)), with_error->>'detail'));
        RETURN 'accepted';
    END IF;
    UPDATE almagest.job AS j SET is_dead = try_again_after IS NOT NULL WHERE j.id = of_job;
    PERFORM almagest.end_job(of_job, 'failed', NULL, with_error);
    RETURN 'failed';
END;
$$;
COMMENT ON FUNCTION almagest.fail_job(uuid, text, jsonb, interval) IS
    'A job failed: it waits to be tried again, where that may help and it has tries left, or ends. Answers its status, NULL
where it is no longer whose owner asks.';


CREATE OR REPLACE FUNCTION almagest.suspend_job(
    of_job uuid, as_owner text, with_checkpoint jsonb, children jsonb
) RETURNS SETOF uuid
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    of_principal text;
    of_request jsonb;
BEGIN
    IF jsonb_array_length(children) = 0 THEN
        RAISE invalid_parameter_value USING MESSAGE = 'A job waits for at least one other.';
    ELSIF NOT almagest.hold_job(of_job, as_owner) THEN
        RETURN;
    END IF;
    -- Those of a former round have told what they had to tell.
    DELETE FROM almagest.job AS j WHERE j.parent = of_job;
    UPDATE almagest.job AS j
    SET lease_owner = NULL, lease_until = NULL, rung_at = NULL, attempt = 0, checkpoint = with_checkpoint,
        pending_children = jsonb_array_length(children), updated_at = almagest.clock()
    WHERE j.id = of_job
    RETURNING j.principal, j.request INTO of_principal, of_request;
    PERFORM almagest.note_job(of_job, format('waits for %s jobs', jsonb_array_length(children)));
    RETURN QUERY
    INSERT INTO almagest.job AS j (process, process_version, queue, principal, inputs, request, max_attempts, parent)
    SELECT c->>'process', c->>'version', c->>'queue', of_principal, c->'inputs',
           -- Done for the same person, and found by the same id in all logs.
           jsonb_strip_nulls(jsonb_build_object('by', of_request->'by', 'request_id', of_request->'request_id')),
           (c->>'max_attempts')::int, of_job
    FROM jsonb_array_elements(children) WITH ORDINALITY AS given(c, n) ORDER BY n
    RETURNING j.id;
END;
$$;
COMMENT ON FUNCTION almagest.suspend_job(uuid, text, jsonb, jsonb) IS
    'A job gives others to be done ({process, version, queue, inputs, max_attempts}), and goes on when all have ended. Answers
their ids, in that order; nothing where it is no longer whose owner asks.';
