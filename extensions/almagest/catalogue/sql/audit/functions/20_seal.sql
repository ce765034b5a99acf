-- Sealing: what is written becomes provable afterwards, so that no writer waits for another.

CREATE OR REPLACE FUNCTION almagest.audit_text(VARIADIC fields text[]) RETURNS text
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp
AS $$
    SELECT string_agg(octet_length(f.field) || ':' || f.field || ',', '' ORDER BY f.n)
    FROM unnest(fields) WITH ORDINALITY AS f(field, n)
$$;
COMMENT ON FUNCTION almagest.audit_text(text[]) IS
    'Fields as one text that no other fields give: each with its length in bytes in front.';


CREATE OR REPLACE FUNCTION almagest.microseconds(moment timestamptz) RETURNS text
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp
AS $$ SELECT (extract(epoch FROM moment) * 1000000)::bigint::text $$;
COMMENT ON FUNCTION almagest.microseconds(timestamptz) IS 'Since 1970, as text.';


CREATE OR REPLACE FUNCTION almagest.audit_leaf(r almagest.request_audit) RETURNS bytea
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp
AS $$
    SELECT sha256('\x00'::bytea || convert_to(almagest.audit_text(
        r.id::text, almagest.microseconds(r.at), r.login, r.subject, r.name, r.key_id, r.request_id, r.address, r.method,
        r.route, r.path, r.status::text, r.duration_us::text, r.times::text
    ), 'UTF8'))
$$;
COMMENT ON FUNCTION almagest.audit_leaf(almagest.request_audit) IS 'Hash of a row.';


CREATE OR REPLACE FUNCTION almagest.merkle_root(leaves bytea[]) RETURNS bytea
LANGUAGE plpgsql IMMUTABLE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    hashes bytea[] := leaves;
BEGIN
    IF cardinality(hashes) = 0 THEN
        RETURN sha256('');
    END IF;
    WHILE cardinality(hashes) > 1 LOOP
        SELECT array_agg(coalesce(sha256('\x01'::bytea || p.hash || p.next), p.hash) ORDER BY p.n) INTO hashes
        FROM (SELECT h.hash, h.n, lead(h.hash) OVER (ORDER BY h.n) AS next
              FROM unnest(hashes) WITH ORDINALITY AS h(hash, n)) AS p
        WHERE p.n % 2 = 1;
    END LOOP;
    RETURN hashes[1];
END;
$$;
COMMENT ON FUNCTION almagest.merkle_root(bytea[]) IS 'Root of the tree above these leaves; one without a neighbour moves up as it is.';


CREATE OR REPLACE FUNCTION almagest.sealed_through() RETURNS bigint
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$ SELECT coalesce((SELECT b.through_id FROM almagest.audit_block AS b ORDER BY b.number DESC LIMIT 1), 0) $$;
COMMENT ON FUNCTION almagest.sealed_through() IS 'Id of the last row that is sealed.';


CREATE OR REPLACE FUNCTION almagest.add_audit_block(of_month date, is_forgetting boolean, through bigint, of_leaves bytea[])
RETURNS almagest.audit_block
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    made almagest.audit_block;
BEGIN
    SELECT s.blocks + 1, s.head INTO made.number, made.previous FROM almagest.audit_state AS s;
    made.month := of_month;
    made.forgets := is_forgetting;
    made.through_id := through;
    made.rows := cardinality(of_leaves);
    made.leaves := coalesce((SELECT string_agg(l.leaf, ''::bytea ORDER BY l.n)
                             FROM unnest(of_leaves) WITH ORDINALITY AS l(leaf, n)), '');
    made.root := almagest.merkle_root(of_leaves);
    made.sealed_at := almagest.clock();
    made.hash := sha256('\x02'::bytea || convert_to(almagest.audit_text(
        made.number::text, to_char(made.month, 'YYYY-MM'), CASE WHEN made.forgets THEN 'forgets' ELSE 'holds' END,
        made.through_id::text, made.rows::text, encode(made.root, 'hex'), encode(made.previous, 'hex'),
        almagest.microseconds(made.sealed_at)
    ), 'UTF8'));
    INSERT INTO almagest.audit_block SELECT made.*;
    UPDATE almagest.audit_state AS s SET blocks = made.number, head = made.hash;
    RETURN made;
END;
$$;
COMMENT ON FUNCTION almagest.add_audit_block(date, boolean, bigint, bytea[]) IS
    'Chains a block to the last one. For whoever holds the lock of sealing.';


CREATE OR REPLACE FUNCTION almagest.settle_audit() RETURNS bigint
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    taken bigint;
    here xid8;
    oldest xid8;
    state almagest.audit_state;
BEGIN
    SELECT CASE WHEN q.is_called THEN q.last_value ELSE 0 END INTO taken FROM almagest.request_audit_id AS q;
    SELECT s.* INTO state FROM almagest.audit_state AS s;
    IF taken <= state.settled_id THEN
        RETURN state.settled_id;
    END IF;
    -- Rows are committed in another order than their ids were taken in. Whoever has taken one of these ids had the
    -- number of his transaction before, and so a lower one than this transaction, which takes its own only now.
    SELECT pg_current_xact_id() INTO here;
    SELECT pg_snapshot_xmin(pg_current_snapshot()) INTO oldest; -- all below have ended, and their rows can be seen
    IF oldest >= here THEN
        state.settled_id := taken;
        state.pending_xact := NULL;
    ELSE
        -- One that is higher than our own is from the cluster where this database was dumped: all of that has ended.
        IF state.pending_xact <= oldest OR state.pending_xact > here THEN
            state.settled_id := greatest(state.settled_id, state.pending_id);
            state.pending_xact := NULL;
        END IF;
        -- One that is waited for stays: new ones all the time would never be reached.
        IF state.pending_xact IS NULL THEN
            state.pending_id := taken;
            state.pending_xact := here;
        END IF;
    END IF;
    UPDATE almagest.audit_state AS s
    SET settled_id = state.settled_id, pending_id = state.pending_id, pending_xact = state.pending_xact;
    RETURN state.settled_id;
END;
$$;
COMMENT ON FUNCTION almagest.settle_audit() IS
    'Up to which id no row will come any more. To be called by seal_audit alone, in a transaction without a number.';


CREATE OR REPLACE FUNCTION almagest.seal_audit(most int DEFAULT 10000)
RETURNS TABLE (block bigint, sealed int, head text)
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET timezone = 'UTC'
AS $$
DECLARE
    settled bigint;
    leaves bytea[];
    through bigint;
    first_month date;
    made almagest.audit_block;
BEGIN
    IF current_setting('transaction_isolation') <> 'read committed' OR pg_current_xact_id_if_assigned() IS NOT NULL THEN
        RAISE EXCEPTION 'seal_audit must be the first thing in a transaction (read committed) that writes.';
    END IF;
    -- Another does it already.
    IF NOT pg_try_advisory_xact_lock(hashtextextended('almagest.seal_audit', 0)) THEN
        RETURN;
    END IF;
    settled := almagest.settle_audit();
    WITH next_rows AS MATERIALIZED (
        SELECT r.id, r.at, date_trunc('month', r.at)::date AS month, almagest.audit_leaf(r) AS leaf
        FROM almagest.request_audit AS r
        WHERE r.id > almagest.sealed_through() AND r.id <= settled
        ORDER BY r.id, r.at LIMIT most
    ), first_row AS (
        SELECT n.month FROM next_rows AS n ORDER BY n.id, n.at LIMIT 1
    ), next_month AS (
        SELECT min(n.id) AS id FROM next_rows AS n, first_row AS f WHERE n.month <> f.month
    )
    SELECT array_agg(n.leaf ORDER BY n.id, n.at), max(n.id), min(n.month) INTO leaves, through, first_month
    FROM next_rows AS n, next_month AS m
    WHERE m.id IS NULL OR n.id < m.id;
    IF leaves IS NOT NULL THEN
        made := almagest.add_audit_block(first_month, false, through, leaves);
        block := made.number;
        sealed := made.rows;
        head := encode(made.hash, 'hex');
        RETURN NEXT;
    END IF;
END;
$$;
COMMENT ON FUNCTION almagest.seal_audit(int) IS
    'Seals the next rows, at most so many: one row about the block, or none where there is nothing to seal. To be called again '
    'until then. A row can be sealed once every transaction has ended that was under way when it was seen first.';


CREATE OR REPLACE FUNCTION almagest.forget_audit(of_month date) RETURNS bigint
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp SET timezone = 'UTC'
AS $$
DECLARE
    month date := date_trunc('month', of_month)::date;
    name text := almagest.audit_partition(date_trunc('month', of_month)::date);
    last bigint;
    gone bigint;
BEGIN
    IF month >= date_trunc('month', almagest.clock())::date THEN
        RAISE EXCEPTION USING MESSAGE = format('%s is not over yet.', to_char(month, 'YYYY-MM'));
    END IF;
    PERFORM pg_advisory_xact_lock(hashtextextended('almagest.seal_audit', 0));
    PERFORM almagest.extend_audit();
    IF to_regclass('almagest.' || name) IS NULL THEN
        RAISE no_data_found USING MESSAGE = format('The audit has nothing of %s.', to_char(month, 'YYYY-MM'));
    END IF;
    EXECUTE format('SELECT count(*), max(id) FROM almagest.%I', name) INTO gone, last;
    IF last > almagest.sealed_through() THEN
        RAISE EXCEPTION USING MESSAGE = format('%s is not sealed yet.', to_char(month, 'YYYY-MM'));
    END IF;
    EXECUTE format('DROP TABLE almagest.%I', name);
    PERFORM almagest.add_audit_block(month, true, almagest.sealed_through(), '{}');
    RETURN gone;
END;
$$;
COMMENT ON FUNCTION almagest.forget_audit(date) IS
    'Removes the rows of a whole month that is over, and answers how many. A block says so; their own blocks stay. Raises P0002 where there are none.';


CREATE OR REPLACE FUNCTION almagest.audit_numbers() RETURNS TABLE (unsealed bigint, oldest_s double precision)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
    SELECT count(*), coalesce(extract(epoch FROM almagest.clock() - min(r.at)), 0)::double precision
    FROM almagest.request_audit AS r
    WHERE r.id > almagest.sealed_through()
$$;
COMMENT ON FUNCTION almagest.audit_numbers() IS 'How many rows of the audit are not sealed, and the age of the oldest [s].';
