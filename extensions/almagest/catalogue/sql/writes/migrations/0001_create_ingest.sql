-- What has gone in of a source, so that a load that broke off goes on where it stopped.

CREATE TABLE almagest.ingest_run (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    source_key text NOT NULL,
    source text NOT NULL,
    options jsonb NOT NULL DEFAULT '{}',
    actor text NOT NULL DEFAULT session_user,
    started_at timestamptz NOT NULL DEFAULT almagest.clock(),
    finished_at timestamptz,
    items bigint NOT NULL DEFAULT 0,
    created bigint NOT NULL DEFAULT 0,
    updated bigint NOT NULL DEFAULT 0,
    unchanged bigint NOT NULL DEFAULT 0
);
CREATE UNIQUE INDEX ingest_run_unfinished_idx ON almagest.ingest_run (source_key) WHERE finished_at IS NULL;
COMMENT ON TABLE almagest.ingest_run IS 'Each time a source was loaded.';
COMMENT ON COLUMN almagest.ingest_run.source_key IS 'The same for the same source, loaded in the same way.';
COMMENT ON COLUMN almagest.ingest_run.items IS 'How many went in, counted when the run is finished.';

CREATE TABLE almagest.ingest_batch (
    run bigint NOT NULL REFERENCES almagest.ingest_run (id) ON DELETE CASCADE,
    digest bytea NOT NULL,
    items int NOT NULL,
    created int NOT NULL,
    updated int NOT NULL,
    unchanged int NOT NULL,
    committed_at timestamptz NOT NULL DEFAULT almagest.clock(),
    PRIMARY KEY (run, digest)
);
COMMENT ON TABLE almagest.ingest_batch IS 'Batches of unfinished runs, each committed together with its items.';
COMMENT ON COLUMN almagest.ingest_batch.digest IS 'Hash of the documents of the batch.';
