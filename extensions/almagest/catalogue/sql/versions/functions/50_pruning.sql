-- Forgetting. Of each item the oldest states go, so that those that are left still follow one another; the present state
-- never does. For the admin alone.

CREATE OR REPLACE FUNCTION almagest.prune_history(
    of_collection text, ended_by timestamptz, keep_versions int, after_collection text, after_id text, few int, dry_run boolean,
    OUT pruned int, OUT last_collection text, OUT last_id text
)
LANGUAGE plpgsql VOLATILE SET search_path = almagest, public, pg_temp
AS $$
DECLARE
    old record;
BEGIN
    pruned := 0;
    FOR old IN
        WITH batch AS MATERIALIZED (
            SELECT DISTINCT h.collection, h.id FROM almagest.item_history AS h
            WHERE (h.collection, h.id) > (after_collection, after_id) AND (of_collection IS NULL OR h.collection = of_collection)
            ORDER BY h.collection, h.id LIMIT few
        )
        SELECT s.collection, s.id, max(s.valid_to) FILTER (WHERE s.is_old) AS latest, count(*) FILTER (WHERE s.is_old) AS states
        FROM (
            SELECT h.collection, h.id, h.valid_to,
                   h.valid_to <= ended_by AND (keep_versions IS NULL OR keep_versions <= (NOT present.deleted)::int + count(*)
                       FILTER (WHERE NOT h.deleted) OVER (PARTITION BY h.collection, h.id ORDER BY h.valid_to DESC
                                                          ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING)) AS is_old
            FROM batch AS b
            JOIN almagest.item_history AS h ON h.collection = b.collection AND h.id = b.id
            JOIN almagest.item_head AS present ON present.collection = b.collection AND present.id = b.id
        ) AS s
        GROUP BY s.collection, s.id ORDER BY s.collection, s.id
    LOOP
        last_collection := old.collection; last_id := old.id;
        pruned := pruned + old.states;
        IF NOT dry_run AND old.states > 0 THEN
            DELETE FROM almagest.item_history AS h
            WHERE h.collection = old.collection AND h.id = old.id AND h.valid_to <= old.latest;
        END IF;
    END LOOP;
END;
$$;
COMMENT ON FUNCTION almagest.prune_history(text, timestamptz, int, text, text, int, boolean) IS
    'Forgets states that ended by then, but for so many versions of each item, the present one among them (NULL: none more), '
    'of the next few items after one. Answers how many states, and which item was the last; NULL: there are no more.';


CREATE OR REPLACE FUNCTION almagest.prune_collection_history(
    of_id text, ended_by timestamptz, keep_versions int, dry_run boolean
) RETURNS int
LANGUAGE plpgsql VOLATILE SET search_path = almagest, public, pg_temp
AS $$
DECLARE
    ids text[];
    ends timestamptz[];
BEGIN
    SELECT array_agg(s.id), array_agg(s.valid_to) INTO ids, ends
    FROM (
        SELECT h.id, h.valid_to,
               (NOT present.deleted)::int + count(*) FILTER (WHERE h.content IS NOT NULL) OVER (
                   PARTITION BY h.id ORDER BY h.valid_to DESC ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS later
        FROM almagest.collection_history AS h JOIN almagest.collection_head AS present ON present.id = h.id
        WHERE of_id IS NULL OR h.id = of_id
    ) AS s
    WHERE s.valid_to <= ended_by AND (keep_versions IS NULL OR keep_versions <= s.later);
    IF NOT dry_run THEN
        DELETE FROM almagest.collection_history AS h
        USING unnest(ids, ends) AS old(id, valid_to) WHERE h.id = old.id AND h.valid_to = old.valid_to;
    END IF;
    RETURN coalesce(cardinality(ids), 0);
END;
$$;
COMMENT ON FUNCTION almagest.prune_collection_history(text, timestamptz, int, boolean) IS 'As prune_history, of all collections or one.';


CREATE OR REPLACE FUNCTION almagest.hold_all_history() RETURNS void
LANGUAGE plpgsql VOLATILE SET search_path = almagest, pg_temp
AS $$
BEGIN
    LOCK TABLE almagest.item_history, almagest.collection_history IN ACCESS EXCLUSIVE MODE;
END;
$$;
COMMENT ON FUNCTION almagest.hold_all_history() IS 'As hold_history, of all its partitions.';


CREATE OR REPLACE FUNCTION almagest.old_history(ended_by timestamptz) RETURNS TABLE (partition regclass)
LANGUAGE sql STABLE SET search_path = almagest, public, pg_temp SET timezone = 'UTC'
AS $$
    SELECT i.inhrelid::regclass
    FROM pg_inherits AS i JOIN pg_class AS c ON c.oid = i.inhrelid,
         LATERAL regexp_match(c.relname, '_history_(\d{4})q(\d)$') AS n(parts)
    WHERE i.inhparent IN ('almagest.item_history'::regclass, 'almagest.collection_history'::regclass)
      AND make_timestamptz(parts[1]::int, parts[2]::int * 3 - 2, 1, 0, 0, 0) + interval '3 months' <= ended_by
$$;
COMMENT ON FUNCTION almagest.old_history(timestamptz) IS 'Partitions of history that hold only what ended by then.';


CREATE OR REPLACE FUNCTION almagest.drop_history(
    partitions regclass[], only_empty boolean, OUT items int, OUT collections int
)
LANGUAGE plpgsql VOLATILE SET search_path = almagest, public, pg_temp
AS $$
DECLARE
    old record;
    states int;
BEGIN
    items := 0; collections := 0;
    FOR old IN
        SELECT i.inhrelid::regclass AS part, i.inhparent = 'almagest.item_history'::regclass AS is_of_items
        FROM pg_inherits AS i WHERE i.inhrelid = ANY (partitions)
    LOOP
        EXECUTE format('SELECT count(*) FROM %s', old.part) INTO states;
        IF states = 0 OR NOT only_empty THEN
            EXECUTE format('DROP TABLE %s', old.part);
            IF old.is_of_items THEN
                items := items + states;
            ELSE
                collections := collections + states;
            END IF;
        END IF;
    END LOOP;
END;
$$;
COMMENT ON FUNCTION almagest.drop_history(regclass[], boolean) IS
    'Drops partitions of history, and answers how many states of items and of collections were in them. To be called after '
    'hold_all_history.';


CREATE OR REPLACE FUNCTION almagest.prune_leftovers(of_collection text, ended_by timestamptz, OUT heads int, OUT bases int)
LANGUAGE plpgsql VOLATILE SET search_path = almagest, public, pg_temp
AS $$
BEGIN
    DELETE FROM almagest.item_head AS h
    WHERE h.deleted AND h.valid_from <= ended_by AND (of_collection IS NULL OR h.collection = of_collection)
      AND NOT EXISTS (SELECT FROM almagest.item_history AS s WHERE s.collection = h.collection AND s.id = h.id);
    GET DIAGNOSTICS heads = ROW_COUNT;
    DELETE FROM almagest.base_item AS b
    WHERE NOT EXISTS (SELECT FROM almagest.port_collection_ids() AS c(id) WHERE almagest.port_collection_key(c.id) = b.collection_key)
      AND NOT EXISTS (SELECT FROM almagest.item_history AS s WHERE s.base_key = b.collection_key);
    GET DIAGNOSTICS bases = ROW_COUNT;
END;
$$;
COMMENT ON FUNCTION almagest.prune_leftovers(text, timestamptz) IS
    'Forgets items that are gone (NULL: none of them) and of which nothing is left, and base items that no state needs.';
