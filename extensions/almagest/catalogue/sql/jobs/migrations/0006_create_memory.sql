-- What a process wants to find again the next time it is asked for the same.

CREATE TABLE almagest.process_memory (
    process text NOT NULL,
    key text NOT NULL,
    value jsonb NOT NULL,
    noted_at timestamptz NOT NULL DEFAULT almagest.clock(),
    PRIMARY KEY (process, key)
);
COMMENT ON TABLE almagest.process_memory IS
    'What processes have noted as they ended well, such as how far they have come in the log of changes. Without it they begin '
    'anew.';
