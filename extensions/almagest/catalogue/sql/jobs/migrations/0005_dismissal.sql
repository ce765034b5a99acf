-- The door sends a DELETE a second time where its answer was lost. What the first has dismissed, the second must not remove.

ALTER TABLE almagest.job ADD COLUMN dismissal text;
COMMENT ON COLUMN almagest.job.dismissal IS
    'Which request has asked to dismiss it and left it there. The same one, sent again, leaves it there as well.';

DROP FUNCTION IF EXISTS almagest.dismiss_job(uuid, boolean);
-- It answers less: whoever reads a list does not want all inputs and outputs.
DROP FUNCTION IF EXISTS almagest.list_jobs(text, jsonb, timestamptz, uuid, int);
