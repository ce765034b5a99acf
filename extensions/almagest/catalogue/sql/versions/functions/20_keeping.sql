-- Beginning to keep versions, and going on with it.

CREATE OR REPLACE FUNCTION almagest.missing_quarters(horizon interval)
RETURNS TABLE (parent text, name text, begins timestamptz, ends timestamptz)
LANGUAGE sql STABLE SET search_path = almagest, public, pg_temp SET timezone = 'UTC'
AS $$
    SELECT p.parent, n.name, q.begins, q.begins + interval '3 months'
    FROM (
        -- From where states had to go into the rest, for nobody made room for them in time.
        VALUES ('item_history', (SELECT min(r.valid_to) FROM almagest.item_history_rest AS r)),
               ('collection_history', (SELECT min(r.valid_to) FROM almagest.collection_history_rest AS r)),
               ('change', (SELECT min(r.at) FROM almagest.change_rest AS r))
    ) AS p(parent, late),
         generate_series(date_trunc('quarter', least(almagest.clock(), p.late)), almagest.clock() + horizon,
                         interval '3 months') AS q(begins),
         LATERAL (SELECT p.parent || to_char(q.begins, '_YYYY"q"Q')) AS n(name)
    WHERE to_regclass('almagest.' || n.name) IS NULL
    ORDER BY q.begins, p.parent
$$;
COMMENT ON FUNCTION almagest.missing_quarters(interval) IS 'Partitions of history and of the log of changes that will be needed until then, and are not there.';


CREATE OR REPLACE FUNCTION almagest.hold_history() RETURNS void
LANGUAGE plpgsql VOLATILE SET search_path = almagest, pg_temp
AS $$
BEGIN
    -- A new partition takes from the rest, which is looked through.
    LOCK TABLE ONLY almagest.item_history, ONLY almagest.collection_history, ONLY almagest.change
        IN SHARE UPDATE EXCLUSIVE MODE;
    LOCK TABLE almagest.item_history_rest, almagest.collection_history_rest, almagest.change_rest IN ACCESS EXCLUSIVE MODE;
END;
$$;
COMMENT ON FUNCTION almagest.hold_history() IS 'Waits until nobody reads history, and holds up whoever wants to.';


CREATE OR REPLACE FUNCTION almagest.extend_history(horizon interval DEFAULT '2 years') RETURNS int
LANGUAGE plpgsql VOLATILE SET search_path = almagest, public, pg_temp SET timezone = 'UTC'
AS $$
DECLARE
    quarter record;
    made int := 0;
BEGIN
    FOR quarter IN SELECT * FROM almagest.missing_quarters(horizon) LOOP
        -- Attached, it keeps nobody waiting who writes to the others.
        EXECUTE format('CREATE TABLE almagest.%I (LIKE almagest.%I INCLUDING ALL)', quarter.name, quarter.parent);
        EXECUTE format(
            'WITH late AS (DELETE FROM almagest.%1$I WHERE %2$I >= %3$L AND %2$I < %4$L RETURNING *)'
            ' INSERT INTO almagest.%5$I SELECT * FROM late',
            quarter.parent || '_rest', CASE quarter.parent WHEN 'change' THEN 'at' ELSE 'valid_to' END,
            quarter.begins, quarter.ends, quarter.name);
        EXECUTE format('ALTER TABLE almagest.%I ATTACH PARTITION almagest.%I FOR VALUES FROM (%L) TO (%L)',
                       quarter.parent, quarter.name, quarter.begins, quarter.ends);
        made := made + 1;
    END LOOP;
    RETURN made;
END;
$$;
COMMENT ON FUNCTION almagest.extend_history(interval) IS
    'Makes the partitions of history that will be needed until then, and answers how many. States that end later go into '
    'the partition for the rest. To be called after hold_history.';


CREATE OR REPLACE FUNCTION almagest.keep_versions() RETURNS int
LANGUAGE plpgsql VOLATILE SET search_path = almagest, public, pg_temp
AS $$
DECLARE
    made int := almagest.port_attach();
BEGIN
    IF made > 0 THEN
        -- Nobody writes now: only from this moment on is it known what is there.
        UPDATE almagest.versioning SET installed_at = almagest.clock()
        WHERE NOT EXISTS (SELECT FROM almagest.collection_head) AND NOT EXISTS (SELECT FROM almagest.item_head);
        INSERT INTO almagest.base_item (collection_key, tag, item)
        SELECT b.collection_key, b.tag, b.item FROM almagest.port_list_base_items() AS b
        ON CONFLICT DO NOTHING;
        WITH found AS (
            INSERT INTO almagest.collection_head (id, valid_from, xact, login, actor, key_id, request_id, job)
            SELECT c.id, v.installed_at, NULL, NULL, NULL, NULL, NULL, NULL
            FROM almagest.port_collection_ids() AS c(id), almagest.versioning AS v
            ON CONFLICT DO NOTHING
            RETURNING id
        )
        INSERT INTO almagest.adopted_collection (id) SELECT id FROM found;
    END IF;
    RETURN made;
END;
$$;
COMMENT ON FUNCTION almagest.keep_versions() IS
    'Sees to it that every change leaves a version, from now on; what is there already is not looked at. Answers how many '
    'triggers were missing. To be called after port_hold_writers.';


CREATE OR REPLACE FUNCTION almagest.adopt_items(of_collection text, after_id text, few int) RETURNS text
LANGUAGE sql VOLATILE SET search_path = almagest, public, pg_temp
AS $$
    WITH batch AS MATERIALIZED (
        SELECT i.id FROM almagest.port_item_keys() AS i
        WHERE i.collection = of_collection AND i.id > after_id
        ORDER BY i.id LIMIT few
    ), noted AS (
        INSERT INTO almagest.item_head (collection, id, valid_from, xact, login, actor, key_id, request_id, job)
        SELECT of_collection, b.id, v.installed_at, NULL, NULL, NULL, NULL, NULL, NULL
        FROM batch AS b, almagest.versioning AS v
        ORDER BY b.id
        ON CONFLICT DO NOTHING
    )
    SELECT max(b.id) FROM batch AS b
$$;
COMMENT ON FUNCTION almagest.adopt_items(text, text, int) IS
    'Gives heads to the next few items of a collection that have been there since before versions were kept; answers the '
    'last, NULL after all. Writers are faster then, who need not ask of each new item whether it was there before.';


CREATE OR REPLACE FUNCTION almagest.finish_adoption(of_collection text) RETURNS boolean
LANGUAGE plpgsql VOLATILE SET search_path = almagest, public, pg_temp
AS $$
BEGIN
    IF EXISTS (
        SELECT FROM almagest.port_item_keys() AS i WHERE i.collection = of_collection GROUP BY i.id HAVING count(*) > 1
    ) THEN
        RETURN false;
    END IF;
    DELETE FROM almagest.adopted_collection AS a WHERE a.id = of_collection;
    RETURN true;
END;
$$;
COMMENT ON FUNCTION almagest.finish_adoption(text) IS
    'After adopt_items: from now on an item without a head is new. False where there are items twice, in different '
    'partitions: of these more must be asked.';
