-- What items and collections have been. Their present state lies with pgSTAC; here lies since when it holds and who made
-- it so (head), and every state before it (history).

CREATE TABLE almagest.versioning (
    only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    installed_at timestamptz NOT NULL DEFAULT almagest.clock()
);
INSERT INTO almagest.versioning DEFAULT VALUES;
COMMENT ON TABLE almagest.versioning IS 'Since when this database keeps versions.';

CREATE TABLE almagest.adopted_collection (
    id text PRIMARY KEY
);
COMMENT ON TABLE almagest.adopted_collection IS
    'Collections that were there before versions were kept. Items of theirs may have no head: they are as they were then.';

CREATE TABLE almagest.moving_collection (
    id text PRIMARY KEY
);
COMMENT ON TABLE almagest.moving_collection IS
    'Collections whose items pgSTAC is putting into other partitions; never seen from outside that transaction.';

CREATE TABLE almagest.base_item (
    collection_key bigint NOT NULL,
    tag int NOT NULL,
    item jsonb NOT NULL,
    PRIMARY KEY (collection_key, tag)
);
COMMENT ON TABLE almagest.base_item IS
    'Every base item that items were stripped against. pgSTAC forgets those of a deleted collection.';
COMMENT ON COLUMN almagest.base_item.tag IS 'The pgstac:base_item of items stripped against it; 0 for those that have none.';

-- Stock writers have no say in it: they are logged in as whom they are.
CREATE FUNCTION almagest.said(setting text) RETURNS text
LANGUAGE sql STABLE
AS $$
    SELECT CASE WHEN current_setting(setting, true) <> '' AND pg_has_role(session_user, 'almagest_writer', 'MEMBER')
                THEN current_setting(setting, true) END
$$;
COMMENT ON FUNCTION almagest.said(text) IS 'What one of our own writers says of whom it writes for; see write_as.';

CREATE TABLE almagest.item_head (
    collection text NOT NULL,
    id text NOT NULL,
    valid_from timestamptz NOT NULL DEFAULT almagest.clock(),
    deleted boolean NOT NULL DEFAULT false,
    xact xid8 DEFAULT pg_current_xact_id(),
    login text DEFAULT session_user,
    actor text DEFAULT almagest.said('almagest.actor'),
    key_id text DEFAULT almagest.said('almagest.key_id'),
    request_id text DEFAULT almagest.said('almagest.request_id'),
    job text DEFAULT almagest.said('almagest.job'),
    PRIMARY KEY (collection, id)
) WITH (fillfactor = 90);
COMMENT ON TABLE almagest.item_head IS 'The present state of each item that was ever written while versions were kept.';
COMMENT ON COLUMN almagest.item_head.xact IS
    'Transaction that made it so. Means nothing for a state that is older than the present transaction.';
COMMENT ON COLUMN almagest.item_head.login IS 'Role that was logged in; NULL where nobody knows.';
COMMENT ON COLUMN almagest.item_head.actor IS 'On whose behalf, as our own writers say.';

-- Partitions by the end of validity, so that what is old goes at once.
CREATE TABLE almagest.item_history (
    collection text NOT NULL,
    id text NOT NULL,
    valid_from timestamptz NOT NULL,
    valid_to timestamptz NOT NULL,
    deleted boolean NOT NULL,
    base_key bigint,
    datetime timestamptz,
    end_datetime timestamptz,
    geometry geometry,
    content jsonb,
    login text,
    actor text,
    key_id text,
    request_id text,
    job text,
    PRIMARY KEY (collection, id, valid_to),
    CHECK (valid_from < valid_to),
    CHECK (deleted = (content IS NULL))
) PARTITION BY RANGE (valid_to);
COMMENT ON TABLE almagest.item_history IS 'Former states of items: the stored row as it was, or that there was none.';
COMMENT ON COLUMN almagest.item_history.base_key IS 'Key of the collection then; with the tag in content it names the base item.';
CREATE TABLE almagest.item_history_rest PARTITION OF almagest.item_history DEFAULT;

CREATE TABLE almagest.collection_head (
    id text PRIMARY KEY,
    valid_from timestamptz NOT NULL DEFAULT almagest.clock(),
    deleted boolean NOT NULL DEFAULT false,
    xact xid8 DEFAULT pg_current_xact_id(),
    login text DEFAULT session_user,
    actor text DEFAULT almagest.said('almagest.actor'),
    key_id text DEFAULT almagest.said('almagest.key_id'),
    request_id text DEFAULT almagest.said('almagest.request_id'),
    job text DEFAULT almagest.said('almagest.job'),
    divided_by text
);
COMMENT ON TABLE almagest.collection_head IS 'The present state of each collection; as item_head.';
COMMENT ON COLUMN almagest.collection_head.divided_by IS
    'Of one that was deleted: by what pgSTAC divided its items into partitions (year, month), which no document says.';

CREATE TABLE almagest.collection_history (
    id text NOT NULL,
    valid_from timestamptz NOT NULL,
    valid_to timestamptz NOT NULL,
    content jsonb,
    login text,
    actor text,
    key_id text,
    request_id text,
    job text,
    PRIMARY KEY (id, valid_to),
    CHECK (valid_from < valid_to)
) PARTITION BY RANGE (valid_to);
COMMENT ON TABLE almagest.collection_history IS 'Former states of collections; content is NULL where there was none.';
CREATE TABLE almagest.collection_history_rest PARTITION OF almagest.collection_history DEFAULT;
