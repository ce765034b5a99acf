-- The log of changes, for whoever follows it: services that tell of changes, and what is counted from them.

CREATE OR REPLACE FUNCTION almagest.change_horizon(OUT era int, OUT xact xid8)
LANGUAGE sql STABLE
AS $$
    -- What was written in another era has ended, one way or the other.
    SELECT coalesce(almagest.present_era(), (SELECT max(e.number) + 1 FROM almagest.era AS e), 1),
           pg_snapshot_xmin(pg_current_snapshot())
$$;
COMMENT ON FUNCTION almagest.change_horizon() IS
    'Changes before this place are all there: every transaction that could write one has ended. In the same statement, they '
    'are all seen.';


CREATE OR REPLACE FUNCTION almagest.changes_between(
    after_era int, after_xact xid8, after_sequence bigint, before_era int, before_xact xid8, few int
)
RETURNS TABLE (era int, xact xid8, sequence bigint, collection text, item text, at timestamptz)
LANGUAGE plpgsql STABLE
SET search_path = almagest, public, pg_temp SET plan_cache_mode = force_generic_plan
AS $$
#variable_conflict use_column
BEGIN
    RETURN QUERY
    SELECT c.era, c.xact, c.sequence, c.collection, c.item, c.at FROM almagest.change AS c
    WHERE (c.era, c.xact, c.sequence) > (after_era, after_xact, after_sequence)
      AND (c.era, c.xact) < (before_era, before_xact)
    ORDER BY c.era, c.xact, c.sequence LIMIT few;
END;
$$;
COMMENT ON FUNCTION almagest.changes_between(int, xid8, bigint, int, xid8, int) IS
    'The first few changes (NULL: all) after one place in the log and before another, in its order.';
