-- What keeping versions must know of pgSTAC: where its rows are, and its triggers.

CREATE OR REPLACE FUNCTION almagest.port_collection_key(collection_id text) RETURNS bigint
LANGUAGE plpgsql STABLE -- which keeps its plan, as it is asked for every row that changes
AS $$
BEGIN
    RETURN (SELECT c.key FROM pgstac.collections AS c WHERE c.id = collection_id);
END;
$$;
COMMENT ON FUNCTION almagest.port_collection_key(text) IS 'Another one after a collection was deleted and made again.';


CREATE OR REPLACE FUNCTION almagest.port_tag(content jsonb) RETURNS int
LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $$
    SELECT CASE WHEN content->>'pgstac:base_item' IS NULL THEN 0
                WHEN content->>'pgstac:base_item' ~ '^\d{1,9}$' THEN (content->>'pgstac:base_item')::int END
$$;
COMMENT ON FUNCTION almagest.port_tag(jsonb) IS 'Which base item a stored item was stripped against, as almagest.base_item names it; NULL if that is no number.';


CREATE OR REPLACE FUNCTION almagest.port_is_elsewhere(collection_id text, item_id text, partition oid) RETURNS boolean
LANGUAGE plpgsql STABLE SET plan_cache_mode = force_generic_plan -- to plan for all partitions takes much longer than to look
AS $$
BEGIN
    RETURN EXISTS (
        SELECT FROM pgstac.items AS i
        WHERE i.collection = collection_id AND i.id = item_id AND i.tableoid <> partition
          AND age(i.xmin) > age(pg_current_xact_id()::xid));
END;
$$;
COMMENT ON FUNCTION almagest.port_is_elsewhere(text, text, oid) IS
    'Whether another partition holds an item of this id, since before this transaction: pgSTAC sees to it only that there '
    'are not two in one.';


CREATE OR REPLACE FUNCTION almagest.port_is_repartitioning() RETURNS boolean
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$
    SELECT EXISTS (
        SELECT FROM pg_class AS c
        WHERE c.relnamespace = pg_my_temp_schema() AND c.relname = 'changepartitionstaging'
          -- Anybody may make a table of this name.
          AND c.relowner = (
              SELECT p.proowner FROM pg_proc AS p WHERE p.oid = to_regprocedure('pgstac.repartition(text,text,boolean)')))
$$;
COMMENT ON FUNCTION almagest.port_is_repartitioning() IS
    'Whether pgSTAC is putting items into other partitions at this moment, though no trigger told of it (repartition was '
    'called itself): what it inserts was there before.';


CREATE OR REPLACE FUNCTION almagest.port_delete_elsewhere(collection_id text, item_id text, partition oid) RETURNS boolean
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp SET plan_cache_mode = force_generic_plan
AS $$
DECLARE
    other regclass;
    was_there boolean := false;
BEGIN
    FOR other IN
        SELECT i.tableoid FROM pgstac.items AS i
        WHERE i.collection = collection_id AND i.id = item_id AND i.tableoid <> partition
    LOOP
        EXECUTE format('DELETE FROM ONLY %s WHERE id = $1', other) USING item_id;
        was_there := true;
    END LOOP;
    RETURN was_there;
END;
$$;
COMMENT ON FUNCTION almagest.port_delete_elsewhere(text, text, oid) IS
    'Deletes the item of this id from other partitions; false if none had it. Whoever deletes it and inserts it again while '
    'this waits leaves another row behind: it has to be called once more.';


CREATE OR REPLACE FUNCTION almagest.port_list_base_items() RETURNS TABLE (collection_key bigint, tag int, item jsonb)
LANGUAGE sql STABLE SET search_path = pgstac, public, pg_temp
AS $$
    SELECT c.key, 0, pgstac.collection_base_item(c.id) FROM pgstac.collections AS c
    UNION ALL
    SELECT c.key, b.id, b.base_item FROM pgstac.base_items AS b JOIN pgstac.collections AS c ON c.id = b.collection
$$;
COMMENT ON FUNCTION almagest.port_list_base_items() IS 'Every base item that pgSTAC knows at present.';


CREATE OR REPLACE FUNCTION almagest.port_part_of(collection_id text) RETURNS regclass
LANGUAGE plpgsql STABLE
AS $$
BEGIN
    RETURN to_regclass(format('pgstac.%I', '_items_' || almagest.port_collection_key(collection_id)));
END;
$$;
COMMENT ON FUNCTION almagest.port_part_of(text) IS 'The partition of items, divided further or not, that is the collection''s; NULL without items.';


CREATE OR REPLACE FUNCTION almagest.port_hold_part(part regclass) RETURNS void
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    -- To read a part PostgreSQL looks at the whole, and to drop it pgSTAC takes the whole for itself: of two who did the
    -- one and then the other neither would get it. This lock keeps them apart, and nobody else. Who writes into the part
    -- through the whole meanwhile ends with us in a deadlock, of which PostgreSQL lets one go on: to keep all writers waiting
    -- until everything is copied would be worse.
    LOCK TABLE ONLY pgstac.items IN SHARE UPDATE EXCLUSIVE MODE;
    EXECUTE format('LOCK TABLE %s IN SHARE ROW EXCLUSIVE MODE', part);
END;
$$;
COMMENT ON FUNCTION almagest.port_hold_part(regclass) IS
    'Waits until nobody writes into a part that is about to be dropped, and holds up whoever wants to.';


CREATE OR REPLACE FUNCTION almagest.port_item_ids(collection_id text) RETURNS SETOF text
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$ SELECT i.id FROM pgstac.items AS i WHERE i.collection = collection_id $$;
COMMENT ON FUNCTION almagest.port_item_ids(text) IS 'Ids of all items of a collection.';


CREATE OR REPLACE FUNCTION almagest.port_missing_triggers() RETURNS TABLE (relation regclass, name text, definition text)
LANGUAGE sql STABLE SET search_path = pgstac, public, pg_temp
AS $$
    SELECT here.relid::regclass, w.name, w.definition
    FROM (
        VALUES
            ('pgstac.items'::regclass, 'almagest_insert', 'AFTER INSERT ON pgstac.items FOR EACH ROW EXECUTE FUNCTION almagest.capture_insert()'),
            ('pgstac.items', 'almagest_update', 'AFTER UPDATE ON pgstac.items FOR EACH ROW EXECUTE FUNCTION almagest.capture_update()'),
            ('pgstac.items', 'almagest_delete', 'AFTER DELETE ON pgstac.items FOR EACH ROW EXECUTE FUNCTION almagest.capture_delete()'),
            ('pgstac.base_items', 'almagest_base_item',
             'AFTER INSERT ON pgstac.base_items FOR EACH ROW EXECUTE FUNCTION almagest.capture_base_item()'),
            -- PostgreSQL fires them in the order of their names: these two before pgSTAC moves or drops the tables.
            ('pgstac.collections', 'aa_almagest_empty',
             'BEFORE DELETE ON pgstac.collections FOR EACH ROW EXECUTE FUNCTION almagest.empty_collection()'),
            ('pgstac.collections', 'almagest_partitioning',
             'BEFORE DELETE ON pgstac.collections FOR EACH ROW EXECUTE FUNCTION almagest.note_partitioning()'),
            ('pgstac.collections', 'aa_almagest_move',
             'AFTER UPDATE ON pgstac.collections FOR EACH ROW'
             ' WHEN (NEW.partition_trunc IS DISTINCT FROM OLD.partition_trunc) EXECUTE FUNCTION almagest.begin_move()'),
            ('pgstac.collections', 'zz_almagest_moved',
             'AFTER UPDATE ON pgstac.collections FOR EACH ROW'
             ' WHEN (NEW.partition_trunc IS DISTINCT FROM OLD.partition_trunc) EXECUTE FUNCTION almagest.end_move()'),
            ('pgstac.collections', 'almagest_capture',
             'AFTER INSERT OR UPDATE OR DELETE ON pgstac.collections FOR EACH ROW EXECUTE FUNCTION almagest.capture_collection()'),
            ('pgstac.queryables', 'almagest_rules',
             'AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON pgstac.queryables FOR EACH STATEMENT'
             ' EXECUTE FUNCTION almagest.capture_rules()'),
            ('pgstac.pgstac_settings', 'almagest_rules',
             'AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON pgstac.pgstac_settings FOR EACH STATEMENT'
             ' EXECUTE FUNCTION almagest.capture_rules()')
    ) AS w(relation, name, definition),
    LATERAL (SELECT w.relation UNION SELECT p.relid FROM pg_partition_tree(w.relation) AS p) AS here(relid)
    WHERE NOT EXISTS (
        SELECT FROM pg_trigger AS t WHERE t.tgrelid = here.relid AND t.tgname = w.name AND t.tgenabled IN ('O', 'A'))
$$;
COMMENT ON FUNCTION almagest.port_missing_triggers() IS
    'Triggers that keep versions and are not there, or are switched off; of items, in any partition.';


CREATE OR REPLACE FUNCTION almagest.port_hold_writers() RETURNS void
LANGUAGE plpgsql VOLATILE SET search_path = pgstac, public, pg_temp
AS $$
BEGIN
    -- In the order in which a collection is deleted.
    LOCK TABLE pgstac.queryables, pgstac.collections, pgstac.base_items, pgstac.items IN SHARE ROW EXCLUSIVE MODE;
END;
$$;
COMMENT ON FUNCTION almagest.port_hold_writers() IS
    'Waits until nobody writes, and holds up whoever wants to, until the transaction ends. Readers go on.';


CREATE OR REPLACE FUNCTION almagest.port_attach() RETURNS int
LANGUAGE plpgsql VOLATILE SET search_path = pgstac, public, pg_temp
AS $$
DECLARE
    missing record;
    count int := 0;
BEGIN
    -- Those of partitions are made, or switched on again, with those of their parent.
    FOR missing IN SELECT DISTINCT m.name, m.definition FROM almagest.port_missing_triggers() AS m ORDER BY 1 LOOP
        EXECUTE format('CREATE OR REPLACE TRIGGER %I %s', missing.name, missing.definition);
        count := count + 1;
    END LOOP;
    RETURN count;
END;
$$;
COMMENT ON FUNCTION almagest.port_attach() IS
    'Makes the triggers that are missing, and answers how many there were. To be called after port_hold_writers.';


CREATE OR REPLACE FUNCTION almagest.port_hold_readers() RETURNS void
LANGUAGE plpgsql VOLATILE SET search_path = pgstac, public, pg_temp
AS $$
BEGIN
    LOCK TABLE ONLY pgstac.items IN ACCESS EXCLUSIVE MODE;
END;
$$;
COMMENT ON FUNCTION almagest.port_hold_readers() IS
    'Waits until nobody reads or writes items, and holds up whoever wants to: a partition can be made now.';


CREATE OR REPLACE FUNCTION almagest.port_hold_everybody() RETURNS void
LANGUAGE plpgsql VOLATILE SET search_path = pgstac, public, pg_temp
AS $$
BEGIN
    LOCK TABLE pgstac.queryables, pgstac.collections, pgstac.base_items, pgstac.items IN ACCESS EXCLUSIVE MODE;
END;
$$;
COMMENT ON FUNCTION almagest.port_hold_everybody() IS 'As port_hold_writers, and readers as well: triggers can be dropped now.';


CREATE OR REPLACE FUNCTION almagest.port_detach() RETURNS void
LANGUAGE plpgsql VOLATILE SET search_path = pgstac, public, pg_temp
AS $$
DECLARE
    ours record;
BEGIN
    FOR ours IN
        SELECT t.tgname AS name, t.tgrelid::regclass AS relation
        FROM pg_trigger AS t JOIN pg_proc AS p ON p.oid = t.tgfoid
        JOIN pg_class AS c ON c.oid = t.tgrelid AND c.relnamespace = 'pgstac'::regnamespace
        WHERE p.pronamespace = 'almagest'::regnamespace AND NOT t.tgisinternal AND t.tgparentid = 0
    LOOP
        EXECUTE format('DROP TRIGGER %I ON %s', ours.name, ours.relation);
    END LOOP;
END;
$$;
COMMENT ON FUNCTION almagest.port_detach() IS
    'Drops every trigger of ours: from now on nothing leaves a version. To be called after port_hold_everybody.';


CREATE OR REPLACE FUNCTION almagest.port_withhold() RETURNS void
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    guarded regclass;
BEGIN
    FOR guarded IN
        -- Of all: what changes items changes others of its tables too.
        SELECT c.oid FROM pg_class AS c
        WHERE c.relnamespace = 'pgstac'::regnamespace AND c.relkind IN ('r', 'p') AND c.relowner = 'pgstac_admin'::regrole
          AND has_table_privilege('pgstac_ingest', c.oid, 'TRUNCATE, TRIGGER')
    LOOP
        EXECUTE format('REVOKE TRUNCATE, TRIGGER ON %s FROM pgstac_ingest', guarded);
    END LOOP;
    IF has_table_privilege('pgstac_ingest', 'pgstac.base_items', 'UPDATE, DELETE') THEN
        REVOKE UPDATE, DELETE ON pgstac.base_items FROM pgstac_ingest;
    END IF;
    IF has_schema_privilege('pgstac_ingest', 'pgstac', 'CREATE') THEN
        REVOKE CREATE ON SCHEMA pgstac FROM pgstac_ingest;
    END IF;
END;
$$;
COMMENT ON FUNCTION almagest.port_withhold() IS
    'Takes from those who write what they have no use for: to empty tables, of which no trigger tells, to make triggers, '
    'which run with the rights of ours wherever ours delete a row, and functions, which ours would call instead of others; '
    'and to change base items, which changes every item that was stripped against them.';
