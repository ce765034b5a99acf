-- For those who follow the log from outside.

ALTER TABLE almagest.change ADD COLUMN announced text CHECK (announced IN ('created', 'updated'));
COMMENT ON COLUMN almagest.change.announced IS
    'Of a row that stands for no new state: outsiders see one of before otherwise from then on, and are told so by this word. '
    'No state begins at such a moment.';

-- Rows come in about this order, so that it costs writers next to nothing.
CREATE INDEX ON almagest.change USING brin (at) WITH (pages_per_range = 32, autosummarize = on);

CREATE TABLE almagest.change_floor (
    only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    era int NOT NULL,
    xact xid8 NOT NULL,
    sequence bigint NOT NULL,
    at timestamptz NOT NULL,
    dropped timestamptz
);
COMMENT ON TABLE almagest.change_floor IS
    'Up to which place in the log, and which time, deletions that it tells of were forgotten. Whoever has not come so far must '
    'begin anew.';
COMMENT ON COLUMN almagest.change_floor.dropped IS 'Until when the log itself is gone; NULL: all of it is there.';
