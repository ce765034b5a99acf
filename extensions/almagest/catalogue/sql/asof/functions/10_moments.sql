-- Which moments can be asked for. What is asked at one moment has to be looked up after it was made sure that nothing can
-- be added to it any more: functions that do both are VOLATILE, so that each statement of theirs sees what came meanwhile.

CREATE OR REPLACE FUNCTION almagest.open_writers()
RETURNS TABLE (transaction text, key int, was_public boolean, since timestamptz)
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    last almagest.stable_time;
BEGIN
    SELECT * INTO last FROM almagest.stable_time;
    RETURN QUERY
    SELECT l.virtualtransaction,
           -- pg_locks shows what was a number with a sign as one without.
           (l.objid::bigint - CASE WHEN l.objid::bigint >= 2147483648 THEN 4294967296 ELSE 0 END)::int,
           l.classid::bigint = almagest.writer_class(true),
           coalesce(
               -- Between the two looks it may have ended, and another begun in its place; what it did is seen then.
               a.xact_start, k.since,
               -- Nobody says when it began (it is prepared, or the statistics are not ours to read): after the look before.
               CASE WHEN l.pid IS NOT NULL THEN last.at
                    ELSE least(last.at, (SELECT min(s.since) FROM unnest(last.since) AS s(since))) END,
               '-infinity')
    FROM pg_locks AS l
    LEFT JOIN pg_stat_activity AS a ON a.pid = l.pid
    LEFT JOIN LATERAL (
        SELECT min(n.since) AS since FROM unnest(last.transactions, last.since) AS n(transaction, since)
        WHERE n.transaction = l.virtualtransaction
    ) AS k ON true
    WHERE l.locktype = 'advisory' AND l.granted AND l.objsubid = 2
      AND l.database = (SELECT d.oid FROM pg_database AS d WHERE d.datname = current_database())
      AND l.classid::bigint IN (almagest.writer_class(true), almagest.writer_class(false));
END;
$$;
COMMENT ON FUNCTION almagest.open_writers() IS
    'Transactions that are writing, one row for each collection; as stable_time. Definer, since others are not told when a '
    'transaction began.';


CREATE OR REPLACE FUNCTION almagest.keep_time() RETURNS timestamptz
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = almagest, pg_temp
AS $$
DECLARE
    looked CONSTANT timestamptz := almagest.clock(); -- before the look
BEGIN
    PERFORM set_config('synchronous_commit', 'off', true); -- what a crash takes is told again
    INSERT INTO almagest.stable_time AS t (at, transactions, keys, were_public, since)
    SELECT looked, coalesce(array_agg(w.transaction), '{}'), coalesce(array_agg(w.key), '{}'),
           coalesce(array_agg(w.was_public), '{}'), coalesce(array_agg(w.since), '{}')
    FROM almagest.open_writers() AS w
    ON CONFLICT (only_row) DO UPDATE
    SET at = excluded.at, transactions = excluded.transactions, keys = excluded.keys, were_public = excluded.were_public,
        since = excluded.since
    WHERE t.at < excluded.at; -- others keep time as well
    RETURN looked;
END;
$$;
COMMENT ON FUNCTION almagest.keep_time() IS
    'Writes down who is writing, for replicas, and for readers to look there first. Definer, since whoever keeps house needs '
    'no other right.';


CREATE OR REPLACE FUNCTION almagest.is_public_writer(key int, was_public boolean, visible int[], existing int[])
RETURNS boolean
LANGUAGE sql IMMUTABLE PARALLEL SAFE
-- By the rules of today, but for a collection that is not there yet.
AS $$ SELECT key = ANY (visible) OR was_public AND key <> ALL (existing) $$;
COMMENT ON FUNCTION almagest.is_public_writer(int, boolean, int[], int[]) IS
    'Whether a transaction writes what outsiders will see, by the keys of the collections that they see and of all.';


CREATE OR REPLACE FUNCTION almagest.told_until(moment timestamptz, outside boolean) RETURNS timestamptz
LANGUAGE sql STABLE SET timezone = 'UTC'
AS $$
    -- What begins may begin at the very moment. To the second it would tell outsiders who comes and goes.
    SELECT CASE WHEN outside THEN date_trunc('minute', moment - interval '1 microsecond')
                ELSE moment - interval '1 microsecond' END
$$;
COMMENT ON FUNCTION almagest.told_until(timestamptz, boolean) IS
    'What an audience is told where no writer begins anything before a moment.';


CREATE OR REPLACE FUNCTION almagest.stable_until(wanted timestamptz, outside boolean) RETURNS timestamptz
LANGUAGE plpgsql VOLATILE SET search_path = almagest, pg_temp
AS $$
DECLARE
    visible int[];
    existing int[];
    looked timestamptz;
    latest timestamptz;
BEGIN
    IF outside THEN
        visible := ARRAY(SELECT hashtext(c.id) FROM unnest(almagest.visible_collections(NULL)) AS c(id));
        existing := ARRAY(SELECT hashtext(c.id) FROM almagest.port_collection_ids() AS c(id));
    END IF;
    latest := (
        SELECT least(t.at, (
            SELECT min(n.since) FROM unnest(t.keys, t.were_public, t.since) AS n(key, was_public, since)
            WHERE NOT outside OR almagest.is_public_writer(n.key, n.was_public, visible, existing)))
        FROM almagest.stable_time AS t);
    IF NOT pg_is_in_recovery() AND (latest IS NULL OR wanted > almagest.told_until(latest, outside)) THEN
        looked := almagest.clock(); -- before the look
        -- What was written down stays true: a writer that came later may have begun its transaction long ago.
        latest := greatest(latest, least(looked, (
            SELECT min(w.since) FROM almagest.open_writers() AS w
            WHERE NOT outside OR almagest.is_public_writer(w.key, w.was_public, visible, existing))));
    END IF;
    RETURN almagest.told_until(latest, outside);
END;
$$;
COMMENT ON FUNCTION almagest.stable_until(timestamptz, boolean) IS
    'A moment up to which everything is known for good, and not before the wanted one if there is such a one; NULL: nobody '
    'knows. Outside only writers of what outsiders see count, and it is a whole minute.';


CREATE OR REPLACE FUNCTION almagest.kept_since(of_collections text[]) RETURNS timestamptz
LANGUAGE plpgsql STABLE SET search_path = almagest, pg_temp
AS $$
BEGIN
    RETURN (
        SELECT greatest(v.installed_at, (
            SELECT max(f.until) FROM almagest.forgotten AS f
            WHERE of_collections IS NULL OR f.collection = '' OR f.collection = ANY (of_collections)))
        FROM almagest.versioning AS v);
END;
$$;
COMMENT ON FUNCTION almagest.kept_since(text[]) IS
    'From when on everything is known that was in these collections (NULL: in any).';


CREATE OR REPLACE FUNCTION almagest.spans_kept(of_collections text[], from_era int, from_xact xid8) RETURNS boolean
LANGUAGE plpgsql STABLE SET search_path = almagest, pg_temp
AS $$
DECLARE
    earliest CONSTANT timestamptz := almagest.kept_since(of_collections);
BEGIN
    RETURN NOT EXISTS (
        SELECT FROM almagest.changes_after(from_era, from_xact, -1, of_collections, NULL) AS c WHERE c.at <= earliest);
END;
$$;
COMMENT ON FUNCTION almagest.spans_kept(text[], int, xid8) IS
    'Whether what items of some collections were before each change after a place in the log is still known: changed_spans tells '
    'when that was. Where only so many versions are kept, it may be forgotten though the change is not.';


CREATE OR REPLACE FUNCTION almagest.print_moment(moment timestamptz) RETURNS text
LANGUAGE sql STABLE SET timezone = 'UTC'
AS $$ SELECT to_char(moment, 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') WHERE isfinite(moment) $$;
COMMENT ON FUNCTION almagest.print_moment(timestamptz) IS 'As RFC 3339 writes it; NULL for none.';


CREATE OR REPLACE FUNCTION almagest.require_stable(moment timestamptz, outside boolean) RETURNS void
LANGUAGE plpgsql VOLATILE SET search_path = almagest, pg_temp
AS $$
DECLARE
    latest CONSTANT timestamptz := almagest.stable_until(moment, outside);
BEGIN
    IF latest IS NULL OR moment > latest THEN
        RAISE EXCEPTION USING ERRCODE = 'AM409', MESSAGE = coalesce(almagest.print_moment(latest), '');
    END IF;
    PERFORM almagest.port_hold_tables();
END;
$$;
COMMENT ON FUNCTION almagest.require_stable(timestamptz, boolean) IS
    'Raises AM409, with the latest moment that can be asked for (empty: nobody knows), where what was then may still change. From '
    'then on whatever is read is whole.';


CREATE OR REPLACE FUNCTION almagest.require_kept(moment timestamptz, of_collections text[]) RETURNS void
LANGUAGE plpgsql STABLE SET search_path = almagest, pg_temp
AS $$
DECLARE
    earliest CONSTANT timestamptz := almagest.kept_since(of_collections);
BEGIN
    IF moment < earliest THEN
        RAISE EXCEPTION USING ERRCODE = 'AM410', MESSAGE = almagest.print_moment(earliest);
    END IF;
END;
$$;
COMMENT ON FUNCTION almagest.require_kept(timestamptz, text[]) IS
    'Raises AM410, with the earliest moment that can be asked for, where something of then may have been forgotten. To be '
    'called after what is asked for was read, too: it may have been forgotten meanwhile.';


CREATE OR REPLACE FUNCTION almagest.note_forgotten(of_collection text, ended_by timestamptz) RETURNS void
LANGUAGE plpgsql VOLATILE SET search_path = almagest, pg_temp
AS $$
BEGIN
    INSERT INTO almagest.forgotten AS f (collection, until) VALUES (of_collection, ended_by)
    ON CONFLICT (collection) DO UPDATE SET until = excluded.until WHERE f.until < excluded.until;
    -- What was answered before is to be refused. An empty setting is what is left of one of an earlier transaction.
    IF FOUND AND (of_collection = '' OR current_setting('almagest.noted', true) IS DISTINCT FROM of_collection) THEN
        PERFORM almagest.note_commit(of_collection);
    END IF;
END;
$$;
COMMENT ON FUNCTION almagest.note_forgotten(text, timestamptz) IS
    'States of a collection and its items (empty: of all) that had ended by then are going to be forgotten.';
