-- Names that are taken though nothing is there any more.

CREATE TABLE almagest.removed_asset (
    collection text NOT NULL,
    item text NOT NULL,
    key text NOT NULL,
    checksum text,
    PRIMARY KEY (collection, item, key)
);
COMMENT ON TABLE almagest.removed_asset IS
    'Dated keys that were removed, and the bytes that they stood for: whoever noted one must not find others under it.';
