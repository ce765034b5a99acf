-- Epochs: numbers that grow with every commit that changes an answer. They tell caches what is out of date, and are never sent.

CREATE OR REPLACE FUNCTION almagest.present_era() RETURNS int
LANGUAGE sql STABLE
AS $$
    SELECT e.number FROM (SELECT * FROM almagest.era AS e ORDER BY e.number DESC LIMIT 1) AS e
    WHERE pg_is_in_recovery() -- as its primary has it
       OR e.cluster = (SELECT c.system_identifier FROM pg_control_system() AS c)
          AND e.timeline = left(pg_walfile_name(pg_current_wal_lsn()), 8)
$$;
COMMENT ON FUNCTION almagest.present_era() IS
    'Number of the era in which this cluster writes; NULL as long as it has not written in a new one.';


CREATE OR REPLACE FUNCTION almagest.begin_era() RETURNS int
LANGUAGE plpgsql VOLATILE
AS $$
BEGIN
    LOCK TABLE almagest.era IN SHARE ROW EXCLUSIVE MODE; -- of two who come first only one begins it
    IF almagest.present_era() IS NULL THEN
        -- Whoever looks by an older snapshot does not see one that others began while he waited; numbers he sees.
        IF current_setting('transaction_isolation') IN ('repeatable read', 'serializable')
           AND (SELECT n.last_value FROM pg_sequences AS n WHERE (n.schemaname, n.sequencename) = ('almagest', 'era_number_seq'))
               > coalesce((SELECT max(e.number) FROM almagest.era AS e), 0) THEN
            RAISE serialization_failure USING MESSAGE = 'Others have begun an era meanwhile.';
        END IF;
        INSERT INTO almagest.era (cluster, timeline)
        SELECT c.system_identifier, left(pg_walfile_name(pg_current_wal_lsn()), 8) FROM pg_control_system() AS c;
    END IF;
    RETURN almagest.present_era();
END;
$$;
COMMENT ON FUNCTION almagest.begin_era() IS 'As present_era, and begins one where there is none. Raises 40001 where others may have begun one that this snapshot does not '
    'show.';


CREATE OR REPLACE FUNCTION almagest.note_commit(of_collection text) RETURNS void
LANGUAGE plpgsql VOLATILE
AS $$
DECLARE
    era CONSTANT int := almagest.present_era();
BEGIN
    INSERT INTO almagest.commit (collection) VALUES (of_collection);
    IF of_collection <> '' THEN
        PERFORM almagest.note_writer(of_collection);
    END IF;
    -- Asked before this is called: a transaction may change a million rows of a collection, and leaves one row.
    PERFORM set_config('almagest.noted', of_collection, true);
    IF era IS NULL THEN
        PERFORM set_config('almagest.era', almagest.begin_era()::text, true);
    ELSE
        PERFORM set_config('almagest.era', era::text, true);
    END IF;
END;
$$;
COMMENT ON FUNCTION almagest.note_commit(text) IS
    'This transaction changes a collection, or (empty) what holds for all. almagest.noted says so for the rest of it, and '
    'almagest.era where its changes belong. To be called before the clock is read for any state that it begins.';


CREATE OR REPLACE FUNCTION almagest.capture_rules() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM almagest.note_commit('');
    RETURN NULL;
END;
$$;
COMMENT ON FUNCTION almagest.capture_rules() IS 'Something changes that answers about any collection may depend on.';


CREATE OR REPLACE FUNCTION almagest.epoch(of_collections text[]) RETURNS bigint
LANGUAGE plpgsql STABLE SET search_path = almagest, pg_temp
AS $$
BEGIN
    IF of_collections IS NULL THEN
        RETURN (SELECT count(*) FROM almagest.commit) + (SELECT coalesce(sum(f.count), 0) FROM almagest.folded_commit AS f);
    END IF;
    RETURN (SELECT count(*) FROM almagest.commit AS c WHERE c.collection = ANY (of_collections || ''::text))
         + (SELECT coalesce(sum(f.count), 0) FROM almagest.folded_commit AS f
            WHERE f.collection = ANY (of_collections || ''::text));
END;
$$;
COMMENT ON FUNCTION almagest.epoch(text[]) IS
    'A number that has grown since if anything was committed that answers about these collections (NULL: any) depend on.';


CREATE OR REPLACE FUNCTION almagest.fold_commits() RETURNS int
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = almagest, pg_temp
AS $$
DECLARE
    rows int;
BEGIN
    WITH gone AS (
        -- Not all at once: what takes longer than its caller's patience would never be done.
        DELETE FROM almagest.commit WHERE ctid = ANY (ARRAY(SELECT c.ctid FROM almagest.commit AS c LIMIT 100000))
        RETURNING collection
    ), counted AS (
        SELECT g.collection, count(*) AS count FROM gone AS g GROUP BY g.collection ORDER BY g.collection
    ), folded AS (
        INSERT INTO almagest.folded_commit AS f (collection, count) SELECT c.collection, c.count FROM counted AS c
        ON CONFLICT (collection) DO UPDATE SET count = f.count + excluded.count
    )
    SELECT coalesce(sum(c.count), 0) INTO rows FROM counted AS c;
    RETURN rows;
END;
$$;
COMMENT ON FUNCTION almagest.fold_commits() IS
    'Folds up to 100,000 rows of commit, which changes no epoch, so that counting them stays short; answers how many. '
    'Definer, since whoever keeps house needs no other right.';
