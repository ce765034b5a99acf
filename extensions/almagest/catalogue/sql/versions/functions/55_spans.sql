-- For whoever keeps something made of items up to date: where he has to look, and which versions he has seen.

CREATE OR REPLACE FUNCTION almagest.changed_spans(
    of_collections text[], from_era int, from_xact xid8, before_era int, before_xact xid8
)
RETURNS TABLE (begins timestamptz, ends timestamptz)
LANGUAGE plpgsql STABLE SET search_path = almagest, public, pg_temp
AS $$
#variable_conflict use_column
BEGIN
    RETURN QUERY
    WITH changed AS MATERIALIZED (
        SELECT DISTINCT c.collection, c.item, c.at FROM almagest.changes_after(from_era, from_xact, -1, of_collections, NULL) AS c
        WHERE (c.era, c.xact) < (before_era, before_xact)
    )
    SELECT i.datetime, i.end_datetime
    FROM (SELECT DISTINCT c.collection, c.item FROM changed AS c) AS c
    CROSS JOIN LATERAL almagest.port_row(c.collection, c.item) AS i
    UNION
    SELECT h.datetime, h.end_datetime
    FROM changed AS c
    JOIN almagest.item_history AS h ON h.collection = c.collection AND h.id = c.item AND h.valid_to = c.at AND NOT h.deleted;
END;
$$;
COMMENT ON FUNCTION almagest.changed_spans(text[], int, xid8, int, xid8) IS
    'Times of the items of some collections that have changed from one place in the log up to another: as they are now, and as '
    'they were before each change, as far as that is not forgotten.';


CREATE OR REPLACE FUNCTION almagest.current_versions(of_collection text, ids text[]) RETURNS TABLE (id text, since timestamptz)
LANGUAGE sql STABLE SET search_path = almagest, pg_temp
AS $$
    SELECT asked.id, coalesce(h.valid_from, v.installed_at)
    FROM unnest(ids) AS asked(id)
    CROSS JOIN almagest.versioning AS v
    LEFT JOIN almagest.item_head AS h ON h.collection = of_collection AND h.id = asked.id
$$;
COMMENT ON FUNCTION almagest.current_versions(text, text[]) IS 'Since when items that are there have been as they are.';


CREATE OR REPLACE FUNCTION almagest.change_mark() RETURNS text
LANGUAGE sql STABLE
AS $$
    -- A horizon would not do: whoever began before it and has ended since is seen as well.
    SELECT format('%s %s', h.era, pg_current_snapshot()) FROM almagest.change_horizon() AS h
$$;
COMMENT ON FUNCTION almagest.change_mark() IS 'Which changes this snapshot shows, for changes_unseen.';


CREATE OR REPLACE FUNCTION almagest.changes_unseen(of_collections text[], mark text)
RETURNS TABLE (collection text, item text, job text)
LANGUAGE plpgsql STABLE SET search_path = almagest, public, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    of_era CONSTANT int := split_part(mark, ' ', 1);
    seen CONSTANT pg_snapshot := split_part(mark, ' ', 2);
BEGIN
    RETURN QUERY
    SELECT c.collection, c.item, coalesce(h.job, s.job)
    FROM almagest.changes_after(of_era, pg_snapshot_xmin(seen), -1, of_collections, NULL) AS c
    LEFT JOIN almagest.item_head AS h ON h.collection = c.collection AND h.id = c.item AND h.valid_from = c.at
    LEFT JOIN LATERAL (
        -- Only where the state is a former one by now: history has many partitions.
        SELECT f.valid_from, f.job FROM almagest.item_history AS f
        WHERE h.id IS NULL AND f.collection = c.collection AND f.id = c.item AND f.valid_to > c.at
        ORDER BY f.valid_to LIMIT 1
    ) AS s ON s.valid_from = c.at
    WHERE NOT (c.era = of_era AND pg_visible_in_snapshot(c.xact, seen))
      AND (h.id IS NOT NULL OR s.valid_from IS NOT NULL); -- else its own transaction took it back
END;
$$;
COMMENT ON FUNCTION almagest.changes_unseen(text[], text) IS
    'Changes of items of some collections that a snapshot did not show, by its change_mark, and the jobs that made them.';
