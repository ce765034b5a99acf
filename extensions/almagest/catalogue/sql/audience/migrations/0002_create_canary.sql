-- When the canary has passed, and with which functions. Empty: not yet.

CREATE TABLE almagest.canary (
    only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    passed_at timestamptz NOT NULL,
    ledger text NOT NULL
);
COMMENT ON TABLE almagest.canary IS 'The last time that outsiders were found to see nothing that is hidden.';
COMMENT ON COLUMN almagest.canary.ledger IS 'Hash of the SQL files applied then: with others, it must pass anew.';
