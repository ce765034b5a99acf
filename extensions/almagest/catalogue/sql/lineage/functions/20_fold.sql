-- Edges from the log of changes, and what of it is not folded yet.

CREATE OR REPLACE FUNCTION almagest.has_sources(content jsonb) RETURNS boolean
LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $$ SELECT coalesce(content->'links' @> '[{"rel": "derived_from"}]', false) $$;
COMMENT ON FUNCTION almagest.has_sources(jsonb) IS 'Whether stored content says that it is derived from anything: most says nothing.';


CREATE OR REPLACE FUNCTION almagest.edges_of(of_collection text, of_id text, begun timestamptz, content jsonb)
RETURNS SETOF almagest.lineage_edge
LANGUAGE sql STABLE
AS $$
    SELECT DISTINCT l.collection, l.item, of_collection, of_id, begun, l.moment, l.is_pinned
    FROM almagest.source_links(content->'links', begun) AS l
    WHERE almagest.has_sources(content) AND l.collection IS NOT NULL
$$;
COMMENT ON FUNCTION almagest.edges_of(text, text, timestamptz, jsonb) IS 'The edges of a state that begins then, by its content.';


CREATE OR REPLACE FUNCTION almagest.edges_of_change(of_collection text, of_id text, begun timestamptz)
RETURNS SETOF almagest.lineage_edge
LANGUAGE plpgsql STABLE SET search_path = almagest, public, pg_temp SET plan_cache_mode = force_generic_plan
AS $$
BEGIN
    RETURN QUERY
    SELECT e.*
    FROM (
        SELECT s.valid_from, s.content FROM almagest.stored_states(of_collection, of_id, begun, 'infinity') AS s
        ORDER BY s.valid_to LIMIT 1
    ) AS s, LATERAL almagest.edges_of(of_collection, of_id, begun, s.content) AS e
    WHERE s.valid_from = begun; -- or its own transaction took it back
END;
$$;
COMMENT ON FUNCTION almagest.edges_of_change(text, text, timestamptz) IS 'The edges of a state that the log of changes tells of.';


CREATE OR REPLACE FUNCTION almagest.lineage_tail() RETURNS SETOF almagest.lineage_edge
LANGUAGE plpgsql STABLE SET search_path = almagest, public, pg_temp SET plan_cache_mode = force_generic_plan
AS $$
DECLARE
    most CONSTANT int := 20000;
    unfolded int;
BEGIN
    IF NOT EXISTS (SELECT FROM almagest.lineage_position AS p WHERE p.is_whole) THEN
        RAISE EXCEPTION USING
            ERRCODE = 'AM503',
            MESSAGE = 'What was made of what is not gathered yet: whoever runs this catalogue runs `almagest db migrate`.';
    END IF;
    SELECT count(*) INTO unfolded
    FROM almagest.lineage_position AS p, almagest.changes_after(p.era, p.xact, p.sequence, NULL, most + 1) AS c;
    IF unfolded > most THEN
        RAISE EXCEPTION USING
            ERRCODE = 'AM503', MESSAGE = 'Much has changed of which it is not noted yet what was made of what. Try again soon.';
    END IF;
    RETURN QUERY
    SELECT DISTINCT e.*
    FROM almagest.lineage_position AS p,
         almagest.changes_after(p.era, p.xact, p.sequence, NULL, NULL) AS c,
         almagest.edges_of_change(c.collection, c.item, c.at) AS e;
END;
$$;
COMMENT ON FUNCTION almagest.lineage_tail() IS
    'Edges of changes that are not folded yet, whoever is about to fold them: with those that are, all there are. Raises AM503 '
    'where there are too many, or none were ever gathered.';


CREATE OR REPLACE FUNCTION almagest.fold_lineage(few int) RETURNS int
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = almagest, public, pg_temp
AS $$
DECLARE
    folded int;
BEGIN
    IF NOT pg_try_advisory_xact_lock(hashtextextended('almagest.fold_lineage', 0)) THEN
        RETURN 0; -- somebody is at it
    END IF;
    -- One statement, for what it reads must be of one moment.
    WITH horizon AS MATERIALIZED (
        SELECT h.era, h.xact FROM almagest.change_horizon() AS h
    ), batch AS MATERIALIZED (
        SELECT c.*
        FROM almagest.lineage_position AS p, horizon AS h,
             LATERAL almagest.changes_between(p.era, p.xact, p.sequence, h.era, h.xact, few) AS c
    ), edges AS (
        INSERT INTO almagest.lineage_edge
        SELECT DISTINCT e.*
        FROM batch AS b, LATERAL almagest.edges_of_change(b.collection, b.item, b.at) AS e
        WHERE b.item IS NOT NULL
        ON CONFLICT DO NOTHING
    ), reached AS (
        SELECT b.era, b.xact, b.sequence FROM batch AS b
        UNION ALL
        SELECT h.era, h.xact, 0 FROM horizon AS h WHERE (SELECT count(*) FROM batch AS b) < few
        ORDER BY 1 DESC, 2 DESC, 3 DESC LIMIT 1
    ), moved AS (
        UPDATE almagest.lineage_position AS p SET era = r.era, xact = r.xact, sequence = r.sequence
        FROM reached AS r WHERE (r.era, r.xact, r.sequence) > (p.era, p.xact, p.sequence)
    )
    SELECT count(*) INTO folded FROM batch;
    RETURN folded;
END;
$$;
COMMENT ON FUNCTION almagest.fold_lineage(int) IS
    'Folds the next few changes into edges, which changes no answer; answers how many. Definer, since whoever keeps house '
    'needs no other right.';


CREATE OR REPLACE FUNCTION almagest.begin_lineage() RETURNS boolean
LANGUAGE plpgsql VOLATILE SET search_path = almagest, public, pg_temp
AS $$
BEGIN
    INSERT INTO almagest.lineage_position (era, xact, sequence)
    SELECT h.era, h.xact, 0 FROM almagest.change_horizon() AS h
    ON CONFLICT DO NOTHING;
    RETURN (SELECT NOT p.is_whole FROM almagest.lineage_position AS p);
END;
$$;
COMMENT ON FUNCTION almagest.begin_lineage() IS
    'Notes from where on the log of changes is folded; answers whether what was there before must still be gathered.';


CREATE OR REPLACE FUNCTION almagest.gather_lineage(of_collection text) RETURNS void
LANGUAGE plpgsql VOLATILE SET search_path = almagest, public, pg_temp
AS $$
DECLARE
    part CONSTANT regclass := almagest.port_part_of(of_collection);
BEGIN
    INSERT INTO almagest.lineage_edge
    SELECT e.*
    FROM almagest.item_history AS h, LATERAL almagest.edges_of(h.collection, h.id, h.valid_from, h.content) AS e
    WHERE h.collection = of_collection AND almagest.has_sources(h.content)
    ON CONFLICT DO NOTHING;
    IF part IS NOT NULL THEN
        EXECUTE format($query$
            INSERT INTO almagest.lineage_edge
            SELECT e.*
            FROM %s AS i
            LEFT JOIN almagest.item_head AS h ON h.collection = i.collection AND h.id = i.id
            CROSS JOIN almagest.versioning AS v
            CROSS JOIN LATERAL almagest.edges_of(i.collection, i.id, coalesce(h.valid_from, v.installed_at), i.content) AS e
            WHERE almagest.has_sources(i.content)
            ON CONFLICT DO NOTHING
        $query$, part);
    END IF;
END;
$$;
COMMENT ON FUNCTION almagest.gather_lineage(text) IS
    'Edges of all states of the items of a collection, as they are now. It may be done twice: an edge is there or not.';


CREATE OR REPLACE FUNCTION almagest.finish_lineage() RETURNS void
LANGUAGE sql VOLATILE SET search_path = almagest, pg_temp
AS $$ UPDATE almagest.lineage_position SET is_whole = true $$;
COMMENT ON FUNCTION almagest.finish_lineage() IS 'Notes that gather_lineage was called for every collection there ever was.';


CREATE OR REPLACE FUNCTION almagest.fold_lineage_of(partitions regclass[]) RETURNS void
LANGUAGE plpgsql VOLATILE SET search_path = almagest, public, pg_temp
AS $$
BEGIN
    INSERT INTO almagest.lineage_edge
    SELECT DISTINCT e.*
    FROM almagest.lineage_position AS p
    JOIN almagest.change AS c ON (c.era, c.xact, c.sequence) > (p.era, p.xact, p.sequence)
        AND c.item IS NOT NULL AND c.announced IS NULL
    CROSS JOIN LATERAL almagest.edges_of_change(c.collection, c.item, c.at) AS e
    WHERE c.tableoid = ANY (partitions::oid[])
    ON CONFLICT DO NOTHING;
END;
$$;
COMMENT ON FUNCTION almagest.fold_lineage_of(regclass[]) IS
    'Edges of what is not folded yet of partitions of the log of changes that are about to go. To be called after '
    'hold_all_history.';


CREATE OR REPLACE FUNCTION almagest.forget_lineage() RETURNS int
LANGUAGE plpgsql VOLATILE SET search_path = almagest, public, pg_temp
AS $$
DECLARE
    rows int;
BEGIN
    DELETE FROM almagest.lineage_edge AS e
    WHERE NOT EXISTS (
              SELECT FROM almagest.item_head AS h
              WHERE h.collection = e.collection AND h.id = e.item AND h.valid_from = e.valid_from AND NOT h.deleted)
      AND NOT EXISTS (
              SELECT FROM almagest.item_history AS h
              WHERE h.collection = e.collection AND h.id = e.item AND h.valid_from = e.valid_from)
      -- One that was there before versions were kept may have no head.
      AND NOT (EXISTS (SELECT FROM almagest.port_row(e.collection, e.item))
               AND NOT EXISTS (SELECT FROM almagest.item_head AS h WHERE h.collection = e.collection AND h.id = e.item));
    GET DIAGNOSTICS rows = ROW_COUNT;
    RETURN rows;
END;
$$;
COMMENT ON FUNCTION almagest.forget_lineage() IS 'Removes edges of states that are forgotten; answers how many.';
