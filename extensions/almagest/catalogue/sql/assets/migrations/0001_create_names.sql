-- Names that were given, so that none is ever given to anything else.

CREATE TABLE almagest.asset_name (
    collection text NOT NULL,
    item text NOT NULL,
    key text NOT NULL,
    checksum text NOT NULL,
    through timestamptz NOT NULL,
    PRIMARY KEY (collection, item, key, checksum)
);
COMMENT ON TABLE almagest.asset_name IS
    'Dated keys that items have or had, and the bytes that they stood for (empty: nobody knows): whoever noted one must not '
    'find others under it. What was registered is here at once, what came by other ways once something is registered. '
    'Not known is a dated key that was written by other ways, like PUT, never registered, and whose states were pruned before '
    'the next registration in its item: it can be given to other bytes.';
COMMENT ON COLUMN almagest.asset_name.through IS
    'Begin of the state that the item was in when this was noted; of every state before it the names are noted, too.';
