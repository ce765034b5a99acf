-- Counting, and folding what has changed since. In transactions of the isolation level REPEATABLE READ: what the log says,
-- what the states are, and up to where it is final, must be of one snapshot.

CREATE OR REPLACE FUNCTION almagest.add_to_rollups(of_collections text[], dimensions text[], keys text[], counts bigint[])
RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = almagest, public, pg_temp
AS $$
BEGIN
    INSERT INTO almagest.rollup AS r (collection, dimension, key, count)
    SELECT u.collection, u.dimension, u.key, u.count
    FROM unnest(of_collections, dimensions, keys, counts) AS u(collection, dimension, key, count)
    ON CONFLICT (collection, dimension, key) DO UPDATE SET count = r.count + excluded.count;
    DELETE FROM almagest.rollup AS r WHERE r.count = 0;
END;
$$;
COMMENT ON FUNCTION almagest.add_to_rollups(text[], text[], text[], bigint[]) IS
    'Adds counts, which may be below zero, to those that are there; none is named twice. For the cells of H3, which only a '
    'library knows.';


CREATE OR REPLACE FUNCTION almagest.stale_bins() RETURNS TABLE (collection text, property text, bin numeric)
LANGUAGE sql STABLE SET search_path = almagest, public, pg_temp
AS $$
    SELECT e.collection, e.property, e.bin
    FROM (
        SELECT r.*, r.bin = min(r.bin) OVER w AS is_lowest, r.bin = max(r.bin) OVER w AS is_highest
        FROM almagest.rollup_number AS r WHERE r.count > 0
        WINDOW w AS (PARTITION BY r.collection, r.property)
    ) AS e
    WHERE e.is_lowest AND e.least IS NULL OR e.is_highest AND e.greatest IS NULL
$$;
COMMENT ON FUNCTION almagest.stale_bins() IS 'Bins with the least or the greatest numbers, of which nobody knows these.';


CREATE OR REPLACE FUNCTION almagest.refresh_extremes() RETURNS int
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = almagest, public, pg_temp
AS $$
DECLARE
    state CONSTANT almagest.rollup_state := (SELECT s FROM almagest.rollup_state AS s);
    reached text[];
    bins int;
BEGIN
    IF current_setting('transaction_isolation') <> 'repeatable read' THEN
        RAISE EXCEPTION 'Rollups are looked after in transactions of the isolation level REPEATABLE READ.';
    ELSIF state.scheme IS DISTINCT FROM almagest.rollup_scheme() -- everything is counted anew before it is read
          OR state.refreshed_at >= almagest.clock() - interval '10 minutes'
          OR NOT pg_try_advisory_xact_lock(hashtextextended('almagest.rollup', 0)) THEN
        RETURN 0;
    END IF;
    reached := ARRAY(SELECT DISTINCT b.collection FROM almagest.stale_bins() AS b);
    -- One look at each collection, and nothing is written before it ends: until then nobody who follows changes waits for it.
    WITH stale AS MATERIALIZED (
        SELECT * FROM almagest.stale_bins()
    ), named AS MATERIALIZED (
        SELECT DISTINCT b.collection, b.property FROM stale AS b
    ), numbers AS (
        SELECT n.collection, n.property, n.number, sum(n.count) AS count
        FROM (
            SELECT i.collection, p.property, almagest.number(i.properties, p.property) AS number, 1 AS count
            FROM almagest.port_item_rows() AS i JOIN named AS p ON p.collection = i.collection
            WHERE i.collection = ANY (reached)
            UNION ALL
            SELECT c.collection, p.property, almagest.number(c.properties, p.property), -c.change
            FROM almagest.rollup_changes(reached, state.era, state.xact, NULL, NULL) AS c
            JOIN named AS p ON p.collection = c.collection
        ) AS n
        GROUP BY n.collection, n.property, n.number
        HAVING sum(n.count) <> 0
    ), extremes AS (
        SELECT b.collection, b.property, b.bin,
               -- Where something was taken away that has still to come, nothing is known.
               CASE WHEN min(n.count) > 0 THEN min(n.number) END AS least,
               CASE WHEN min(n.count) > 0 THEN max(n.number) END AS greatest
        FROM stale AS b
        LEFT JOIN numbers AS n ON n.collection = b.collection AND n.property = b.property AND floor(n.number) = b.bin
        GROUP BY b.collection, b.property, b.bin
    )
    UPDATE almagest.rollup_number AS r SET least = e.least, greatest = e.greatest
    FROM extremes AS e WHERE r.collection = e.collection AND r.property = e.property AND r.bin = e.bin;
    GET DIAGNOSTICS bins = ROW_COUNT;
    PERFORM almagest.port_require_tables(reached);
    UPDATE almagest.rollup_state SET refreshed_at = almagest.clock();
    RETURN bins;
END;
$$;
COMMENT ON FUNCTION almagest.refresh_extremes() IS
    'Looks for the least and the greatest numbers where those that were have gone; answers of how many bins. Until then they '
    'are looked for by whoever asks for them. Does nothing within ten minutes of the last time, or while somebody folds. '
    'Definer, as fold_rollups.';


CREATE OR REPLACE FUNCTION almagest.fold_rollups(anew boolean)
RETURNS TABLE (collection text, place text, change bigint)
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = almagest, public, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    state almagest.rollup_state := (SELECT s FROM almagest.rollup_state AS s);
    horizon record;
BEGIN
    IF current_setting('transaction_isolation') <> 'repeatable read' THEN
        RAISE EXCEPTION 'Rollups are folded in transactions of the isolation level REPEATABLE READ.';
    ELSIF NOT pg_try_advisory_xact_lock(hashtextextended('almagest.rollup', 0)) THEN
        RETURN; -- somebody else is at it
    END IF;
    SELECT h.era, h.xact INTO horizon FROM almagest.change_horizon() AS h;
    anew := anew OR state.scheme IS DISTINCT FROM almagest.rollup_scheme();
    -- One statement, which writes once all is counted: a transaction that has written keeps followers waiting.
    RETURN QUERY
    WITH states AS MATERIALIZED (
        SELECT s.collection, s.change, s.datetime, almagest.middle(s.geometry) AS place, s.properties
        FROM (
            SELECT i.collection, 1 AS change, i.datetime, i.geometry, i.properties
            FROM almagest.port_item_rows() AS i WHERE anew
            UNION ALL
            -- What is seen already, and will be folded later.
            SELECT c.collection, -c.change, c.datetime, c.geometry, c.properties
            FROM almagest.rollup_changes(NULL, horizon.era, horizon.xact, NULL, NULL) AS c WHERE anew
            UNION ALL
            SELECT c.collection, c.change, c.datetime, c.geometry, c.properties
            FROM almagest.rollup_changes(NULL, state.era, state.xact, horizon.era, horizon.xact) AS c WHERE NOT anew
            OFFSET 0
        ) AS s
    ), facts AS MATERIALIZED (
        SELECT s.collection, f.dimension, f.key, f.number, sum(s.change)::bigint AS change
        FROM states AS s CROSS JOIN LATERAL almagest.rollup_facts(s.datetime, s.place, s.properties) AS f
        GROUP BY s.collection, f.dimension, f.key, f.number
        HAVING sum(s.change) <> 0
    ), counts AS MATERIALIZED (
        SELECT f.collection, l.dimension, l.key, sum(f.change)::bigint AS count
        FROM facts AS f CROSS JOIN LATERAL almagest.rollup_levels(f.dimension, f.key) AS l
        WHERE f.key IS NOT NULL AND f.dimension <> 'place'
        GROUP BY 1, 2, 3
        HAVING sum(f.change) <> 0
    ), former_keys AS ( -- with all cells of H3, which come later
        DELETE FROM almagest.rollup AS r
        WHERE anew AND NOT EXISTS (
            SELECT FROM counts AS c WHERE c.collection = r.collection AND c.dimension = r.dimension AND c.key = r.key)
    ), keys AS (
        INSERT INTO almagest.rollup AS r (collection, dimension, key, count)
        SELECT c.collection, c.dimension, c.key, c.count FROM counts AS c
        ON CONFLICT (collection, dimension, key) DO UPDATE
        SET count = CASE WHEN anew THEN 0 ELSE r.count END + excluded.count
    ), bins AS MATERIALIZED (
        SELECT f.collection, f.dimension AS property, floor(f.number) AS bin,
               sum(f.change)::bigint AS count, sum(f.change * f.number) AS total,
               min(f.number) FILTER (WHERE f.change > 0) AS least_come, max(f.number) FILTER (WHERE f.change > 0) AS greatest_come,
               min(f.number) FILTER (WHERE f.change < 0) AS least_gone, max(f.number) FILTER (WHERE f.change < 0) AS greatest_gone
        FROM facts AS f WHERE f.number IS NOT NULL
        GROUP BY 1, 2, 3
    ), former_numbers AS (
        DELETE FROM almagest.rollup_number AS r
        WHERE anew AND NOT EXISTS (
            SELECT FROM bins AS b WHERE b.collection = r.collection AND b.property = r.property AND b.bin = r.bin)
    ), numbers AS (
        INSERT INTO almagest.rollup_number AS r (collection, property, bin, count, total, least, greatest)
        SELECT b.collection, b.property, b.bin, coalesce(r.count, 0) + b.count, coalesce(r.total, 0) + b.total,
               -- Of an extreme that has gone nobody knows whether there was another like it; and what has gone may still
               -- have to come, so that of a bin which looks empty nothing is known either.
               CASE WHEN r.count IS NULL THEN CASE WHEN b.least_gone IS NULL THEN b.least_come END
                    WHEN r.least IS NULL OR b.least_gone <= r.least OR r.count + b.count = 0 THEN NULL
                    ELSE least(r.least, b.least_come) END,
               CASE WHEN r.count IS NULL THEN CASE WHEN b.greatest_gone IS NULL THEN b.greatest_come END
                    WHEN r.greatest IS NULL OR b.greatest_gone >= r.greatest OR r.count + b.count = 0 THEN NULL
                    ELSE greatest(r.greatest, b.greatest_come) END
        FROM bins AS b
        LEFT JOIN almagest.rollup_number AS r
            ON r.collection = b.collection AND r.property = b.property AND r.bin = b.bin AND NOT anew
        ON CONFLICT (collection, property, bin) DO UPDATE
        SET count = excluded.count, total = excluded.total, least = excluded.least, greatest = excluded.greatest
    )
    SELECT f.collection, f.key, f.change FROM facts AS f WHERE f.dimension = 'place';
    IF anew THEN
        PERFORM almagest.port_require_tables(NULL);
    END IF;
    -- Last, for nobody who follows changes is told of any while a transaction that writes is open. Whoever folded since this
    -- snapshot was taken has changed this row: this transaction fails by it, and is tried again.
    INSERT INTO almagest.rollup_state AS s (scheme, era, xact) VALUES (almagest.rollup_scheme(), horizon.era, horizon.xact)
    ON CONFLICT (single) DO UPDATE
    SET scheme = excluded.scheme, era = excluded.era, xact = excluded.xact, folded_at = almagest.clock(),
        counted_at = CASE WHEN anew THEN almagest.clock() ELSE s.counted_at END,
        refreshed_at = CASE WHEN anew THEN almagest.clock() ELSE s.refreshed_at END;
END;
$$;
COMMENT ON FUNCTION almagest.fold_rollups(boolean) IS
    'Folds what is final in the log of changes into the rollups, or counts everything anew, as it also does the first time. '
    'Answers the middles of footprints that have come and gone, for the cells that add_to_rollups takes. Does nothing while '
    'somebody else is at it. Definer, since whoever keeps house needs no other right.';


CREATE OR REPLACE FUNCTION almagest.rollup_lag(OUT changes bigint)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = almagest, public, pg_temp
AS $$
BEGIN
    SELECT count(*) INTO changes
    FROM almagest.rollup_state AS s, almagest.changes_after(s.era, s.xact, -1, NULL, 1000000) AS c;
END;
$$;
COMMENT ON FUNCTION almagest.rollup_lag() IS
    'How many changes are not folded into the rollups yet, a million at most; none before these are counted for the first '
    'time.';


CREATE OR REPLACE FUNCTION almagest.needed_since() RETURNS timestamptz
LANGUAGE plpgsql VOLATILE SET search_path = almagest, public, pg_temp
AS $$
DECLARE
    -- What these have written nobody else sees yet. Asked first: one that ends meanwhile is found in the log.
    writing CONSTANT timestamptz := least(
        (SELECT min(a.xact_start) FROM pg_stat_activity AS a
         WHERE a.datname = current_database() AND a.pid <> pg_backend_pid() AND a.backend_xid IS NOT NULL),
        (SELECT min(p.prepared) - interval '1 day' FROM pg_prepared_xacts AS p WHERE p.database = current_database()));
BEGIN
    RETURN least(writing, (
        SELECT min(c.at) FROM almagest.rollup_state AS s, almagest.changes_after(s.era, s.xact, -1, NULL, NULL) AS c));
END;
$$;
COMMENT ON FUNCTION almagest.needed_since() IS
    'Former states that ended before this moment are counted, or never will be: they may be forgotten. NULL: all of them. '
    'Nobody says when a transaction began that is prepared: a day before that.';
