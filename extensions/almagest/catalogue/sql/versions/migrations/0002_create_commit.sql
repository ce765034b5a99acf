-- What has been answered once stays so until somebody commits a change. A counter that writers raise would make them wait
-- for one another, and one that they raise out of order would lie; so each leaves a row, and rows are counted.

CREATE TABLE almagest.commit (
    collection text NOT NULL,
    xact xid8 NOT NULL DEFAULT pg_current_xact_id()
);
COMMENT ON TABLE almagest.commit IS
    'A row for each transaction and collection that it changed, until it is folded; an empty collection: what holds for all.';

CREATE TABLE almagest.folded_commit (
    collection text PRIMARY KEY,
    count bigint NOT NULL
);
COMMENT ON TABLE almagest.folded_commit IS 'How many rows of commit were folded.';
