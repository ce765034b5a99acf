-- What was made of what, by its sources. What something was made of stands in its own document; what was made of it stands
-- in many others, which nobody could look through. So the links of each state are kept here by where they lead: folded from
-- the log of changes in the background, so that no writer has to do with it.

CREATE TABLE almagest.lineage_edge (
    source_collection text COLLATE "C" NOT NULL,
    source_item text COLLATE "C" NOT NULL,
    collection text COLLATE "C" NOT NULL,
    item text COLLATE "C" NOT NULL,
    valid_from timestamptz NOT NULL,
    moment timestamptz NOT NULL,
    is_pinned boolean NOT NULL,
    PRIMARY KEY (source_collection, source_item, collection, item, valid_from, moment, is_pinned)
);
CREATE INDEX ON almagest.lineage_edge (collection, item, valid_from);
COMMENT ON TABLE almagest.lineage_edge IS
    'States of items that say that they are derived from another one, by that one. It only says where to look: some of the '
    'states may be gone by now, and some of the links lead to another site that has items of the same names.';
COMMENT ON COLUMN almagest.lineage_edge.valid_from IS 'Since when the state holds whose link it is.';
COMMENT ON COLUMN almagest.lineage_edge.moment IS
    'A moment at which the source was as it was used: of the version that the link names, or (not pinned) valid_from.';

CREATE TABLE almagest.lineage_position (
    only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    era int NOT NULL,
    xact xid8 NOT NULL,
    sequence bigint NOT NULL,
    is_whole boolean NOT NULL DEFAULT false
);
COMMENT ON TABLE almagest.lineage_position IS 'How far the log of changes is folded into edges. Empty: not begun.';
COMMENT ON COLUMN almagest.lineage_position.sequence IS 'Changes up to this one are folded; 0: those before era and xact.';
COMMENT ON COLUMN almagest.lineage_position.is_whole IS 'What was there before folding began has been gathered, too.';
