-- Whoever reads, thinks for long, and writes then, must not undo what others have written meanwhile.

CREATE OR REPLACE FUNCTION almagest.overtaken(of_job uuid, of_collections text[], mark text) RETURNS text
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    -- In one order for all. Who has them knows, in the next statement, of all that came before him.
    PERFORM almagest.lock_collection(c.id) FROM (SELECT DISTINCT unnest(of_collections) ORDER BY 1) AS c (id);
    RETURN (
        SELECT c.collection || '/' || c.item FROM almagest.changes_unseen(of_collections, mark) AS c
        WHERE c.job IS NULL OR c.job NOT IN (
            -- Parts of one run do not get into one another's way: that is for the process to see to.
            SELECT sibling.id::text FROM almagest.job AS own
            JOIN almagest.job AS sibling ON sibling.parent = own.parent OR sibling.id = own.id
            WHERE own.id = of_job)
        LIMIT 1);
END;
$$;
COMMENT ON FUNCTION almagest.overtaken(uuid, text[], text) IS
    'An item of these collections that anybody but this job, and those that do parts of the same one, has changed and that was '
    'not seen by the mark; NULL: there is none, and none of our writers makes one before the transaction ends.';
