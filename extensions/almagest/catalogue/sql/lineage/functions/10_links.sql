-- What a document says that it is derived from, and which version of that is meant.

CREATE OR REPLACE FUNCTION almagest.version_text(moment timestamptz) RETURNS text
LANGUAGE sql STABLE PARALLEL SAFE
AS $$ SELECT to_char(moment AT TIME ZONE 'UTC', 'YYYYMMDD"T"HH24MISS.US"Z"') $$;
COMMENT ON FUNCTION almagest.version_text(timestamptz) IS 'The id of the version that begins then, as the services write it.';


CREATE OR REPLACE FUNCTION almagest.version_moment(version text) RETURNS timestamptz
LANGUAGE plpgsql STABLE PARALLEL SAFE
AS $$
DECLARE
    parts CONSTANT text[] := regexp_match(version, '^(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d\.\d{6})Z$');
    moment timestamptz;
BEGIN
    IF parts IS NULL THEN
        RETURN NULL;
    END IF;
    moment := format('%s-%s-%s %s:%s:%s+00', VARIADIC parts)::timestamptz;
    RETURN CASE WHEN almagest.version_text(moment) = version THEN moment END;
EXCEPTION WHEN datetime_field_overflow OR invalid_datetime_format THEN
    RETURN NULL;
END;
$$;
COMMENT ON FUNCTION almagest.version_moment(text) IS 'When a version begins; NULL for what is no id of one.';


CREATE OR REPLACE FUNCTION almagest.source_links(links jsonb, begun timestamptz)
RETURNS TABLE (href text, collection text, item text, moment timestamptz, is_pinned boolean)
LANGUAGE plpgsql STABLE SET search_path = almagest, pg_temp
AS $$
BEGIN
    IF jsonb_typeof(links) IS DISTINCT FROM 'array' THEN
        RETURN; -- stock writers take anything
    END IF;
    RETURN QUERY
    SELECT l.link->>'href', CASE WHEN n.is_name THEN n.of_collection END, CASE WHEN n.is_name THEN n.of_item END,
           coalesce(v.begins, begun), v.begins IS NOT NULL
    FROM jsonb_array_elements(links) AS l(link),
         -- Ours, or another site's that looks like ours.
         LATERAL (SELECT regexp_match(l.link->>'href',
             '^(?:(?:[Hh][Tt][Tt][Pp][Ss]?://[^]["/?#@\\[:space:]]+)?/(?:api|external)/|(?:\./)?)'
             'collections/([^/?#]+)/items/([^/?#]+)(?:/versions/([^/?#]+))?/?(?:[?#].*)?$')) AS m(parts),
         LATERAL (SELECT almagest.percent_decoded(m.parts[1]), almagest.percent_decoded(m.parts[2])) AS d(of_collection, of_item),
         LATERAL (SELECT d.of_collection, d.of_item, d.of_collection NOT IN ('.', '..') AND d.of_item NOT IN ('.', '..'))
             AS n(of_collection, of_item, is_name),
         LATERAL (SELECT almagest.version_moment(
             coalesce(l.link->>'almagest:version', almagest.percent_decoded(m.parts[3])))) AS v(begins)
    WHERE l.link->>'rel' = 'derived_from' AND jsonb_typeof(l.link->'href') = 'string';
END;
$$;
COMMENT ON FUNCTION almagest.source_links(jsonb, timestamptz) IS
    'Links of a state that begins then to what it is derived from. collection, item: where the address looks like that of an '
    'item. moment: when the version began that it names; where it names none, when the state began.';


CREATE OR REPLACE FUNCTION almagest.version_near(
    of_collection text, of_id text, moment timestamptz, is_exact boolean, outside boolean
) RETURNS timestamptz
LANGUAGE plpgsql STABLE
SET search_path = almagest, public, pg_temp SET enable_partition_pruning = on SET plan_cache_mode = force_generic_plan
AS $$
DECLARE
    found record;
BEGIN
    IF outside THEN
        SELECT c.moment AS begins, c.deleted INTO found
        FROM almagest.public_changes(of_collection, of_id, '-infinity', coalesce((
            SELECT s.valid_to
            FROM almagest.stored_states(
                of_collection, of_id, almagest.stored_moment(of_collection, of_id, version_near.moment), 'infinity') AS s
            ORDER BY s.valid_to LIMIT 1), 'infinity'), false, 1) AS c;
    ELSE
        SELECT s.valid_from AS begins, s.deleted INTO found
        FROM almagest.stored_states(of_collection, of_id, moment, 'infinity') AS s ORDER BY s.valid_to LIMIT 1;
    END IF;
    IF found.begins <= moment AND NOT found.deleted THEN
        RETURN found.begins;
    ELSIF is_exact OR found.begins IS NULL THEN
        RETURN NULL;
    ELSIF found.begins <= moment AND outside THEN
        found.begins := almagest.public_predecessor(of_collection, of_id, found.begins);
    ELSIF found.begins <= moment THEN
        SELECT s.valid_from AS begins INTO found
        FROM almagest.stored_states(of_collection, of_id, '-infinity', found.begins) AS s
        WHERE NOT s.deleted ORDER BY s.valid_to DESC LIMIT 1;
    ELSE
        found.begins := NULL;
    END IF;
    IF found.begins IS NOT NULL THEN
        RETURN found.begins;
    ELSIF outside THEN
        RETURN (
            SELECT min(c.moment)
            FROM almagest.public_changes(of_collection, of_id, '-infinity', 'infinity', false, NULL) AS c
            WHERE NOT c.deleted AND c.moment > version_near.moment);
    END IF;
    RETURN (
        SELECT s.valid_from FROM almagest.stored_states(of_collection, of_id, moment, 'infinity') AS s
        WHERE NOT s.deleted ORDER BY s.valid_to LIMIT 1);
END;
$$;
COMMENT ON FUNCTION almagest.version_near(text, text, timestamptz, boolean, boolean) IS
    'The version that an item was at a moment, as those inside or (outside) outsiders name it. Where there was none: NULL, or '
    '(not exact) the last one before, or else the first.';


CREATE OR REPLACE FUNCTION almagest.lineage_document(
    of_collection text, of_id text, moment timestamptz, outside boolean
) RETURNS jsonb
LANGUAGE plpgsql STABLE SET search_path = almagest, public, pg_temp
AS $$
BEGIN
    IF outside THEN
        RETURN (SELECT r.item::jsonb FROM external.item_row_at(of_collection, of_id, moment) AS r);
    END IF;
    RETURN (SELECT r.item::jsonb FROM almagest.item_row_at(of_collection, of_id, moment) AS r);
END;
$$;
COMMENT ON FUNCTION almagest.lineage_document(text, text, timestamptz, boolean) IS
    'What an item was, without its base item, which has neither links nor properties.';


CREATE OR REPLACE FUNCTION almagest.lineage_sources(links jsonb, begun timestamptz, origin text, outside boolean)
RETURNS TABLE (collection text, item text, version timestamptz, name text, href text, is_pinned boolean)
LANGUAGE plpgsql STABLE SET search_path = almagest, pg_temp
AS $$
BEGIN
    RETURN QUERY
    SELECT s.collection, s.item, s.version, s.name, s.href, bool_or(s.is_pinned)
    FROM (
        SELECT CASE WHEN o.is_own THEN l.collection END AS collection, CASE WHEN o.is_own THEN l.item END AS item,
               v.begins AS version,
               CASE WHEN v.begins IS NOT NULL OR o.is_own AND l.is_pinned
                    THEN almagest.version_text(coalesce(v.begins, l.moment)) END AS name,
               CASE WHEN NOT o.is_own THEN l.href END AS href, o.is_own AND l.is_pinned AS is_pinned
        FROM almagest.source_links(links, begun) AS l,
             LATERAL (SELECT l.collection IS NOT NULL AND (
                 l.href !~* '^https?://' OR coalesce(almagest.authority(l.href) = almagest.authority(origin), false))) AS o(is_own),
             LATERAL (SELECT CASE WHEN o.is_own THEN almagest.version_near(
                 l.collection, l.item, l.moment, l.is_pinned, outside) END) AS v(begins)
    ) AS s
    GROUP BY 1, 2, 3, 4, 5
    ORDER BY s.collection COLLATE "C", s.item COLLATE "C", s.name COLLATE "C", s.href COLLATE "C";
END;
$$;
COMMENT ON FUNCTION almagest.lineage_sources(jsonb, timestamptz, text, boolean) IS
    'What a version that begins then is derived from, by its links: items of the site with this origin, in order, then (href) '
    'what lies elsewhere. name: of the version, also of one that is not there (any more); then version is NULL.';
