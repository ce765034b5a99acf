-- How often workers have lost jobs: counted where it is found out, since what became of a job is forgotten with it.

CREATE TABLE almagest.job_loss (
    process text PRIMARY KEY,
    lease_expiries bigint NOT NULL
);
COMMENT ON TABLE almagest.job_loss IS 'Leases that ran out, of each process: how many since there are jobs.';

COMMENT ON COLUMN almagest.job.request IS
    'Outputs and response as they were asked for, the name of who asked (by) and the id of his request (request_id).';

-- The dead are counted often, and are few.
CREATE INDEX job_dead ON almagest.job (process) WHERE is_dead;
