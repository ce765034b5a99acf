-- Jobs. This table is the truth about them: what rings workers awake may be lost at any time.

CREATE TABLE almagest.job (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    process text NOT NULL,
    process_version text NOT NULL,
    queue text NOT NULL,
    principal text NOT NULL,
    inputs jsonb NOT NULL,
    request jsonb NOT NULL DEFAULT '{}',
    idempotency_key text,
    request_sha256 bytea CHECK (length(request_sha256) = 32),

    status text NOT NULL DEFAULT 'accepted'
        CHECK (status IN ('accepted', 'running', 'successful', 'failed', 'dismissed')),
    progress smallint NOT NULL DEFAULT 0 CHECK (progress BETWEEN 0 AND 100),
    message text,
    outputs jsonb,
    published jsonb,
    error jsonb,
    is_dead boolean NOT NULL DEFAULT false,

    attempt int NOT NULL DEFAULT 0,
    max_attempts int NOT NULL CHECK (max_attempts > 0),
    run_after timestamptz NOT NULL DEFAULT almagest.clock(),
    rung_at timestamptz,
    lease_owner text,
    lease_until timestamptz,

    parent uuid REFERENCES almagest.job (id) ON DELETE CASCADE,
    pending_children int NOT NULL DEFAULT 0 CHECK (pending_children >= 0),
    checkpoint jsonb,

    created_at timestamptz NOT NULL DEFAULT almagest.clock(),
    started_at timestamptz,
    finished_at timestamptz,
    updated_at timestamptz NOT NULL DEFAULT almagest.clock(),

    UNIQUE (principal, idempotency_key),
    CHECK ((idempotency_key IS NULL) = (request_sha256 IS NULL)),
    CHECK ((lease_owner IS NULL) = (lease_until IS NULL)),
    CHECK ((finished_at IS NULL) = (status IN ('accepted', 'running')))
);
CREATE INDEX job_open ON almagest.job (queue, run_after) WHERE status IN ('accepted', 'running') AND pending_children = 0;
CREATE INDEX job_of_principal ON almagest.job (principal, created_at DESC, id);
CREATE INDEX job_by_time ON almagest.job (created_at DESC, id);
CREATE INDEX job_of_parent ON almagest.job (parent) WHERE parent IS NOT NULL;
CREATE INDEX job_ended ON almagest.job (finished_at) WHERE finished_at IS NOT NULL;

COMMENT ON TABLE almagest.job IS 'What is to be done, is being done and was done.';
COMMENT ON COLUMN almagest.job.principal IS 'Whose it is, as the door names callers.';
COMMENT ON COLUMN almagest.job.request IS 'Outputs, response and subscriber, as they were asked for.';
COMMENT ON COLUMN almagest.job.status IS 'As OGC API - Processes names it. A job that waits for its children is running, without a lease.';
COMMENT ON COLUMN almagest.job.published IS 'What of the catalogue it wrote: a list of {collection, item, assets}.';
COMMENT ON COLUMN almagest.job.is_dead IS 'It failed again and again, and somebody should look at it.';
COMMENT ON COLUMN almagest.job.attempt IS 'How often it was taken up since it last got on: since it was accepted, or its children ended.';
COMMENT ON COLUMN almagest.job.run_after IS 'Not to be taken up before: it failed, and is to be tried again.';
COMMENT ON COLUMN almagest.job.rung_at IS 'When workers were last told of it.';
COMMENT ON COLUMN almagest.job.lease_owner IS 'Which attempt of which worker has it; whoever does not is fenced off, whatever he has done.';
COMMENT ON COLUMN almagest.job.pending_children IS 'Children that have not ended. At 0 it is taken up again.';
COMMENT ON COLUMN almagest.job.checkpoint IS 'What a parent remembers until its children have ended.';

CREATE TABLE almagest.job_event (
    job uuid NOT NULL REFERENCES almagest.job (id) ON DELETE CASCADE,
    id bigint GENERATED ALWAYS AS IDENTITY,
    at timestamptz NOT NULL DEFAULT almagest.clock(),
    kind text NOT NULL CHECK (kind IN ('state', 'log')),
    message text NOT NULL,
    PRIMARY KEY (job, id)
);
COMMENT ON TABLE almagest.job_event IS 'What became of jobs, and what they said.';
