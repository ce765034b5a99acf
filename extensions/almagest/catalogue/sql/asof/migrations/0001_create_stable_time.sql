-- What was when is known for good of moments before which nobody who is still at it can have begun anything. The primary
-- alone knows who is at it; it writes it down, so that replicas know it as far as they have come.

CREATE TABLE almagest.stable_time (
    only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    at timestamptz NOT NULL,
    transactions text[] NOT NULL,
    keys int[] NOT NULL,
    were_public boolean[] NOT NULL,
    since timestamptz[] NOT NULL
) WITH (fillfactor = 50);
COMMENT ON TABLE almagest.stable_time IS
    'Who was writing at a moment. Whoever is not named here begins states after it, and whoever is, after it had begun itself.';
COMMENT ON COLUMN almagest.stable_time.transactions IS 'As pg_locks names them, one for each collection that it writes.';
COMMENT ON COLUMN almagest.stable_time.keys IS 'hashtext of the collection.';
COMMENT ON COLUMN almagest.stable_time.were_public IS 'Whether outsiders saw the collection when the transaction began to write it.';
COMMENT ON COLUMN almagest.stable_time.since IS 'No state of the transaction began earlier.';

CREATE TABLE almagest.forgotten (
    collection text PRIMARY KEY,
    until timestamptz NOT NULL
);
COMMENT ON TABLE almagest.forgotten IS
    'States of a collection and its items (of all: an empty name) that had ended by then may have been forgotten; of later '
    'moments everything is known.';

-- As items have them, so that a search finds former states as it finds present ones; and those that ended lately.
CREATE INDEX item_history_datetime ON almagest.item_history (datetime DESC, end_datetime);
CREATE INDEX item_history_geometry ON almagest.item_history USING gist (geometry);
CREATE INDEX item_history_valid_to ON almagest.item_history (valid_to);
