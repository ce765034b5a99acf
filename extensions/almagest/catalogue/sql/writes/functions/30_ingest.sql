-- The manifest: which batches of a source are stored. Each is noted in the transaction that stores it.

CREATE OR REPLACE FUNCTION almagest.begin_ingest(of_key text, of_source text, with_options jsonb DEFAULT '{}') RETURNS bigint
LANGUAGE plpgsql VOLATILE SET search_path = almagest, pg_temp
AS $$
DECLARE
    run bigint;
BEGIN
    INSERT INTO almagest.ingest_run (source_key, source, options) VALUES (of_key, of_source, with_options)
    ON CONFLICT (source_key) WHERE finished_at IS NULL DO NOTHING
    RETURNING id INTO run;
    RETURN coalesce(run, (SELECT r.id FROM almagest.ingest_run AS r WHERE r.source_key = of_key AND r.finished_at IS NULL));
END;
$$;
COMMENT ON FUNCTION almagest.begin_ingest(text, text, jsonb) IS
    'Begins to load a source, or goes on with a load of it that is not finished. Answers the id of the run.';


CREATE OR REPLACE FUNCTION almagest.ingest_batches(of_run bigint) RETURNS SETOF bytea
LANGUAGE sql STABLE SET search_path = almagest, pg_temp
AS $$ SELECT b.digest FROM almagest.ingest_batch AS b WHERE b.run = of_run $$;
COMMENT ON FUNCTION almagest.ingest_batches(bigint) IS 'Digests of the batches of a run that are stored.';


CREATE OR REPLACE FUNCTION almagest.record_batch(
    of_run bigint, of_digest bytea, of_items int, of_created int, of_updated int, of_unchanged int
) RETURNS boolean
LANGUAGE plpgsql VOLATILE SET search_path = almagest, pg_temp
AS $$
BEGIN
    INSERT INTO almagest.ingest_batch (run, digest, items, created, updated, unchanged)
    VALUES (of_run, of_digest, of_items, of_created, of_updated, of_unchanged)
    ON CONFLICT DO NOTHING;
    RETURN FOUND;
END;
$$;
COMMENT ON FUNCTION almagest.record_batch(bigint, bytea, int, int, int, int) IS
    'Notes a batch as stored; false if it was noted before.';


CREATE OR REPLACE FUNCTION almagest.finish_ingest(
    of_run bigint, OUT items bigint, OUT created bigint, OUT updated bigint, OUT unchanged bigint
)
LANGUAGE sql VOLATILE SET search_path = almagest, pg_temp
AS $$
    WITH batches AS (
        DELETE FROM almagest.ingest_batch AS b WHERE b.run = of_run RETURNING b.*
    ), totals AS (
        SELECT coalesce(sum(b.items), 0) AS items, coalesce(sum(b.created), 0) AS created,
               coalesce(sum(b.updated), 0) AS updated, coalesce(sum(b.unchanged), 0) AS unchanged
        FROM batches AS b
    )
    UPDATE almagest.ingest_run AS r
    SET finished_at = almagest.clock(), items = t.items, created = t.created, updated = t.updated, unchanged = t.unchanged
    FROM totals AS t
    WHERE r.id = of_run AND r.finished_at IS NULL
    RETURNING r.items, r.created, r.updated, r.unchanged
$$;
COMMENT ON FUNCTION almagest.finish_ingest(bigint) IS
    'Ends a run: of its batches only the totals stay, which it answers. NULLs if it had ended before.';


CREATE OR REPLACE FUNCTION almagest.count_present(of_collection text, ids text[]) RETURNS bigint
LANGUAGE sql STABLE SET search_path = almagest, public, pg_temp
AS $$ SELECT almagest.port_count_present(of_collection, ids) $$;
COMMENT ON FUNCTION almagest.count_present(text, text[]) IS 'How many of these items are stored.';
