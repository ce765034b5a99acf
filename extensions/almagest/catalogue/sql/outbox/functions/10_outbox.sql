-- What is to be told goes in, is tried, and is told or given up.

CREATE OR REPLACE FUNCTION almagest.post(
    of_kind text, of_about text, of_principal text, to_url text, with_payload jsonb
) RETURNS uuid
LANGUAGE sql VOLATILE SET search_path = pg_catalog, pg_temp
AS $$
    INSERT INTO almagest.outbox (kind, about, principal, url, payload)
    VALUES (of_kind, of_about, of_principal, to_url, with_payload)
    RETURNING id
$$;
COMMENT ON FUNCTION almagest.post(text, text, text, text, jsonb) IS
    'Has somebody told something, once the transaction of the caller is committed.';


CREATE OR REPLACE FUNCTION almagest.claim_posts(for_time interval, at_most int)
RETURNS TABLE (id uuid, kind text, about text, principal text, url text, payload jsonb, tries int, created_at timestamptz)
LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
    WITH due AS MATERIALIZED (
        -- Everybody's first, then everybody's second: nobody waits for the dead servers of another.
        SELECT o.id, row_number() OVER (PARTITION BY o.principal ORDER BY o.next_at) AS turn, o.next_at
        FROM almagest.outbox AS o WHERE o.next_at <= almagest.clock()
    ), mine AS (
        SELECT o.id FROM almagest.outbox AS o JOIN due ON due.id = o.id
        WHERE o.next_at <= almagest.clock()
        ORDER BY due.turn, due.next_at LIMIT at_most FOR UPDATE OF o SKIP LOCKED
    )
    UPDATE almagest.outbox AS o SET next_at = almagest.clock() + for_time, tries = o.tries + 1
    FROM mine WHERE o.id = mine.id
    RETURNING o.id, o.kind, o.about, o.principal, o.url, o.payload, o.tries, o.created_at
$$;
COMMENT ON FUNCTION almagest.claim_posts(interval, int) IS
    'Takes up some of what is due. What nobody has reported on after that time is due again.';


CREATE OR REPLACE FUNCTION almagest.report_post(
    of_post uuid, of_try int, with_error text DEFAULT NULL, try_again_after interval DEFAULT NULL
) RETURNS boolean
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    UPDATE almagest.outbox AS o
    SET delivered_at = CASE WHEN with_error IS NULL THEN almagest.clock() END,
        given_up_at = CASE WHEN with_error IS NOT NULL AND try_again_after IS NULL THEN almagest.clock() END,
        next_at = CASE WHEN with_error IS NOT NULL THEN almagest.clock() + try_again_after END,
        last_error = coalesce(with_error, o.last_error)
    WHERE o.id = of_post AND o.next_at IS NOT NULL
      -- Told is told, whoever has it by now; of a failure only he may speak who has.
      AND (o.tries = of_try OR with_error IS NULL);
    RETURN FOUND;
END;
$$;
COMMENT ON FUNCTION almagest.report_post(uuid, int, text, interval) IS
    'What became of a try: told (no error), to be tried again after a time, or given up (an error and no time).';


CREATE OR REPLACE FUNCTION almagest.expire_posts(after_time interval) RETURNS int
LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
    WITH gone AS (
        DELETE FROM almagest.outbox AS o
        WHERE o.id IN (
            SELECT e.id FROM almagest.outbox AS e
            WHERE e.next_at IS NULL AND coalesce(e.delivered_at, e.given_up_at) < (SELECT almagest.clock()) - after_time
            LIMIT 1000 FOR UPDATE SKIP LOCKED)
        RETURNING 1
    )
    SELECT count(*)::int FROM gone
$$;
COMMENT ON FUNCTION almagest.expire_posts(interval) IS 'Forgets some of what was told or given up so long ago.';


CREATE OR REPLACE FUNCTION almagest.posts(of_about text, at_most int)
RETURNS TABLE (
    id uuid, kind text, about text, principal text, url text, created_at timestamptz, next_at timestamptz, tries int,
    delivered_at timestamptz, given_up_at timestamptz, last_error text
)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
    SELECT o.id, o.kind, o.about, o.principal, o.url, o.created_at, o.next_at, o.tries, o.delivered_at, o.given_up_at,
           o.last_error
    FROM almagest.outbox AS o
    WHERE of_about IS NULL OR o.about = of_about
    ORDER BY o.created_at DESC, o.id LIMIT at_most
$$;
COMMENT ON FUNCTION almagest.posts(text, int) IS 'What there was to tell of something, or of all (NULL), the newest first.';
