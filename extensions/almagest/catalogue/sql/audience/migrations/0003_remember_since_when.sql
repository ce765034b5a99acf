-- Former states are forgotten; since when outsiders saw what is left is not.

CREATE TABLE almagest.seen_since (
    collection text NOT NULL,
    item text NOT NULL,
    valid_from timestamptz NOT NULL,
    since timestamptz NOT NULL,
    PRIMARY KEY (collection, item),
    CHECK (since < valid_from)
);
COMMENT ON TABLE almagest.seen_since IS
    'Of histories whose beginning was forgotten: the earliest state that is left, where it began with something hidden.';
COMMENT ON COLUMN almagest.seen_since.item IS 'Empty for the collection itself.';
COMMENT ON COLUMN almagest.seen_since.valid_from IS 'When that state began.';
COMMENT ON COLUMN almagest.seen_since.since IS 'Since when outsiders see what they see of it.';

-- What functions/60_forgetting.sql took the place of.
DROP FUNCTION IF EXISTS almagest.prune_history(text, timestamptz, int, text, text, int, boolean);
DROP FUNCTION IF EXISTS almagest.prune_collection_history(text, timestamptz, int, boolean);
