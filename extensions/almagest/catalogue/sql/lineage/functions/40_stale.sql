-- What was made of something that is another by now.

CREATE OR REPLACE FUNCTION almagest.stale_products(
    of_collection text, after_collection text, after_item text, few int, origin text
)
RETURNS TABLE (collection text, item text, version timestamptz, sources jsonb)
LANGUAGE plpgsql STABLE SET search_path = almagest, public, pg_temp SET plan_cache_mode = force_generic_plan
AS $$
#variable_conflict use_column
DECLARE
    tail CONSTANT almagest.lineage_edge[] := ARRAY(SELECT t FROM almagest.lineage_tail() AS t);
    walk refcursor; -- is planned to be left early, as the query of a loop is not
    here record;
BEGIN
    OPEN walk FOR
        SELECT e.collection, e.item, e.valid_from
        FROM (
            SELECT f.* FROM almagest.lineage_edge AS f
            WHERE (f.collection, f.item) > (after_collection, after_item)
              AND (of_collection IS NULL OR f.collection = of_collection)
            UNION ALL
            SELECT t.* FROM unnest(tail) AS t
            WHERE (t.collection, t.item) > (after_collection, after_item)
              AND (of_collection IS NULL OR t.collection = of_collection)
        ) AS e
        -- Without one, nothing has happened to the source since versions are kept.
        JOIN almagest.item_head AS s ON s.collection = e.source_collection AND s.id = e.source_item
        LEFT JOIN almagest.item_head AS h ON h.collection = e.collection AND h.id = e.item
        WHERE (s.deleted OR s.valid_from > e.moment)
          AND (h.id IS NULL OR h.valid_from = e.valid_from AND NOT h.deleted)
        ORDER BY e.collection, e.item;
    LOOP
        FETCH walk INTO here;
        EXIT WHEN NOT FOUND;
        CONTINUE WHEN (here.collection, here.item) = (collection, item); -- of another source
        collection := here.collection; item := here.item; version := here.valid_from;
        CONTINUE WHEN NOT almagest.is_version(collection, item, version);
        sources := (
            SELECT jsonb_agg(jsonb_build_object(
                'collection', s.collection, 'id', s.item, 'version', s.name, 'pinned', s.is_pinned, 'deleted', p.deleted,
                'newest', CASE WHEN NOT p.deleted THEN almagest.version_text(p.valid_from) END))
            FROM almagest.lineage_sources(
                     almagest.lineage_document(collection, item, version, false)->'links', version, origin, false) AS s,
                 LATERAL almagest.item_states(s.collection, s.item, NULL, 1) AS p
            WHERE p.deleted OR p.valid_from IS DISTINCT FROM s.version);
        IF sources IS NOT NULL THEN
            RETURN NEXT;
            few := few - 1;
            EXIT WHEN few = 0;
        END IF;
    END LOOP;
    CLOSE walk;
END;
$$;
COMMENT ON FUNCTION almagest.stale_products(text, text, text, int, text) IS
    'Items, of one collection or (NULL) of all, that are derived from what has a newer version today or is gone; the next few '
    'after one, by collection and id. sources: those that have changed, which version was used, and the newest.';
