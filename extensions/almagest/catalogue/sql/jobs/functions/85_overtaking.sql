-- Whoever reads, thinks for long, and writes then, must not undo what others have written meanwhile.

CREATE OR REPLACE FUNCTION almagest.overtaken(of_job uuid, of_collections text[], mark text) RETURNS text
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
    SELECT c.collection || '/' || c.item FROM almagest.changes_unseen(of_collections, mark) AS c
    WHERE c.job IS NULL OR c.job NOT IN (
        -- Parts of one run do not get into one another's way: that is for the process to see to.
        SELECT sibling.id::text FROM almagest.job AS own
        JOIN almagest.job AS sibling ON sibling.parent = own.parent OR sibling.id = own.id
        WHERE own.id = of_job)
    LIMIT 1
$$;
COMMENT ON FUNCTION almagest.overtaken(uuid, text[], text) IS
    'An item of these collections that was changed since, by the change_mark of who looked, and neither by this job nor by '
    'another child of the same one; NULL: there is none. To be asked once more behind lock_collection, in a transaction in '
    'which each statement sees what has ended before it (READ COMMITTED).';


CREATE OR REPLACE FUNCTION almagest.postpone_job(
    of_job uuid, as_owner text, with_error jsonb, try_again_after interval
) RETURNS text
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    begun timestamptz;
BEGIN
    SELECT j.started_at INTO begun FROM almagest.job AS j
    WHERE j.id = of_job AND j.status = 'running' AND j.lease_owner = as_owner
    FOR UPDATE;
    IF NOT FOUND THEN
        RETURN NULL;
    ELSIF begun > almagest.clock() - interval '1 day' THEN
        UPDATE almagest.job AS j SET attempt = j.attempt - 1 WHERE j.id = of_job;
    END IF;
    RETURN almagest.fail_job(of_job, as_owner, with_error, try_again_after);
END;
$$;
COMMENT ON FUNCTION almagest.postpone_job(uuid, text, jsonb, interval) IS
    'As fail_job, where others were faster: that is no fault of the job, and does not count against it for a day.';
