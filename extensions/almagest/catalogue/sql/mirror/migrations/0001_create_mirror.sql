-- Catalogues elsewhere that are kept here as well: how far each was followed, and what came from it.

CREATE TABLE almagest.mirror (
    name text PRIMARY KEY,
    source text NOT NULL,
    selection text[],
    walk bigint NOT NULL DEFAULT 1,
    cursor text,
    walked_at timestamptz,
    applied_at timestamptz NOT NULL DEFAULT almagest.clock()
);
COMMENT ON TABLE almagest.mirror IS 'Catalogues that are kept equal to others.';
COMMENT ON COLUMN almagest.mirror.selection IS 'Collections that are kept equal; NULL: all that the source has.';
COMMENT ON COLUMN almagest.mirror.walk IS 'How many times all that the source has was, or is being, gone through.';
COMMENT ON COLUMN almagest.mirror.cursor IS
    'How far what the source tells is applied, in its own words or those of who asks it; NULL: nothing of this walk is.';
COMMENT ON COLUMN almagest.mirror.walked_at IS 'When this walk had come to its end; NULL: it has not.';

CREATE TABLE almagest.mirrored (
    mirror text NOT NULL REFERENCES almagest.mirror (name) ON DELETE CASCADE,
    collection text NOT NULL,
    item text NOT NULL,
    walk bigint NOT NULL,
    at timestamptz,
    PRIMARY KEY (mirror, collection, item)
) WITH (fillfactor = 80);
CREATE INDEX ON almagest.mirrored (mirror, collection) WHERE item = '';
COMMENT ON TABLE almagest.mirrored IS
    'What a source has, of what was applied here: what it has no longer must go, and what others put here must not.';
COMMENT ON COLUMN almagest.mirrored.item IS 'Empty: the collection itself.';
COMMENT ON COLUMN almagest.mirrored.walk IS 'In which walk, or after which, it was last heard of.';
COMMENT ON COLUMN almagest.mirrored.at IS 'Since when it is there as it is, by the clock of the source, where it tells.';
