-- Beginning to keep versions, and going on with it.

CREATE OR REPLACE FUNCTION almagest.extend_history(horizon interval DEFAULT '2 years') RETURNS int
LANGUAGE plpgsql VOLATILE SET search_path = almagest, public, pg_temp SET timezone = 'UTC'
AS $$
DECLARE
    quarter timestamptz;
    parent text;
    name text;
    made int := 0;
BEGIN
    FOR quarter IN
        SELECT generate_series(date_trunc('quarter', almagest.clock()), almagest.clock() + horizon, interval '3 months')
    LOOP
        FOREACH parent IN ARRAY ARRAY['item_history', 'collection_history'] LOOP
            name := parent || to_char(quarter, '_YYYY"q"Q');
            CONTINUE WHEN to_regclass('almagest.' || name) IS NOT NULL;
            -- Attached, it keeps nobody waiting who writes to the others.
            EXECUTE format('CREATE TABLE almagest.%I (LIKE almagest.%I INCLUDING ALL)', name, parent);
            EXECUTE format('ALTER TABLE almagest.%I ATTACH PARTITION almagest.%I FOR VALUES FROM (%L) TO (%L)',
                           parent, name, quarter, quarter + interval '3 months');
            made := made + 1;
        END LOOP;
    END LOOP;
    RETURN made;
END;
$$;
COMMENT ON FUNCTION almagest.extend_history(interval) IS
    'Makes the partitions of history that will be needed until then, and answers how many. States that end later go into '
    'the partition for the rest.';


CREATE OR REPLACE FUNCTION almagest.keep_versions() RETURNS int
LANGUAGE plpgsql VOLATILE SET search_path = almagest, public, pg_temp
AS $$
DECLARE
    made int := almagest.port_attach();
BEGIN
    IF made > 0 THEN
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
    'triggers were missing.';
