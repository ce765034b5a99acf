-- What is asked for most often is counted beforehand, of each collection: how many items of which day, platform, cell …
-- They are folded from the log of changes in the background; whoever reads them adds what is not folded yet. So no writer
-- touches a row that others write.

CREATE TABLE almagest.rollup_state (
    single boolean PRIMARY KEY DEFAULT true CHECK (single),
    scheme int NOT NULL,
    era int NOT NULL,
    xact xid8 NOT NULL,
    counted_at timestamptz NOT NULL DEFAULT almagest.clock(),
    folded_at timestamptz NOT NULL DEFAULT almagest.clock(),
    refreshed_at timestamptz NOT NULL DEFAULT almagest.clock()
);
COMMENT ON TABLE almagest.rollup_state IS 'How far the log of changes is folded into the rollups; no row as long as nothing was counted.';
COMMENT ON COLUMN almagest.rollup_state.scheme IS 'Of what is counted, as rollup_scheme says it; another one has to be counted anew. 0: nobody knows what.';
COMMENT ON COLUMN almagest.rollup_state.xact IS 'Changes before this place (with era) are folded, no other is.';
COMMENT ON COLUMN almagest.rollup_state.refreshed_at IS 'When extremes that had gone were last looked for.';

CREATE TABLE almagest.rollup (
    collection text NOT NULL,
    dimension text NOT NULL,
    key text COLLATE "C" NOT NULL,
    count bigint NOT NULL,
    PRIMARY KEY (collection, dimension, key)
);
COMMENT ON TABLE almagest.rollup IS
    'How many items of a collection have which key of a dimension: total, day, geohash1 to geohash3, geotile0 to '
    'geotile7, geohex0 to geohex3, or the name of a property. A count may be below zero as long as what makes up for it is not folded.';

CREATE TABLE almagest.rollup_number (
    collection text NOT NULL,
    property text NOT NULL,
    bin numeric NOT NULL,
    count bigint NOT NULL,
    total numeric NOT NULL,
    least numeric,
    greatest numeric,
    PRIMARY KEY (collection, property, bin)
);
COMMENT ON TABLE almagest.rollup_number IS 'How many items of a collection have a number between bin and bin + 1 for a property.';
COMMENT ON COLUMN almagest.rollup_number.total IS 'Sum of these numbers.';
COMMENT ON COLUMN almagest.rollup_number.least IS 'Of these numbers; NULL where it is not known, since the one that was has gone.';
CREATE INDEX ON almagest.rollup (collection) WHERE count = 0;
