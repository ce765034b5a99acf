-- What changed, in an order that readers can follow. Transactions end in another order than they write in; whoever reads a
-- log must be told nothing until whatever comes before it has ended. Numbers of transactions say when that is, within one
-- line of them: another cluster, or one that was promoted, begins another.

CREATE TABLE almagest.era (
    number int GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    cluster bigint NOT NULL,
    timeline text NOT NULL,
    began timestamptz NOT NULL DEFAULT almagest.clock()
);
COMMENT ON TABLE almagest.era IS 'Lines of transaction numbers that this database has been written in, in their order.';
COMMENT ON COLUMN almagest.era.cluster IS 'The system identifier; a database that was restored elsewhere has another one.';
COMMENT ON COLUMN almagest.era.timeline IS 'Of the write-ahead log; a replica that was promoted has another one.';

CREATE SEQUENCE almagest.change_sequence;
CREATE TABLE almagest.change (
    era int NOT NULL DEFAULT current_setting('almagest.era')::int,
    xact xid8 NOT NULL DEFAULT pg_current_xact_id(),
    sequence bigint NOT NULL DEFAULT nextval('almagest.change_sequence'),
    collection text NOT NULL,
    item text,
    at timestamptz NOT NULL
) PARTITION BY RANGE (at);
CREATE INDEX ON almagest.change (era, xact, sequence);
COMMENT ON TABLE almagest.change IS
    'A row for each state that began since this is kept, of an item or (NULL) of a collection; to be read in the order of its '
    'index, as far as change_horizon. A state that its own transaction took back has left a row, and is not there.';
COMMENT ON COLUMN almagest.change.at IS 'Since when the state holds, as item_head and item_history have it in valid_from.';
CREATE TABLE almagest.change_rest PARTITION OF almagest.change DEFAULT;

ALTER TABLE almagest.item_history ADD COLUMN xact xid8;
ALTER TABLE almagest.collection_history ADD COLUMN xact xid8;
COMMENT ON COLUMN almagest.item_history.xact IS 'Transaction that made it so, in the era of then; NULL where nobody knows.';
