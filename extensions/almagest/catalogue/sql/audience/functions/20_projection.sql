-- What is left of a document for outsiders.

CREATE OR REPLACE FUNCTION almagest.percent_decoded(segment text) RETURNS text
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN (
        SELECT convert_from(string_agg(
            CASE WHEN m[1] IS NOT NULL THEN decode(m[1], 'hex') ELSE convert_to(m[2], 'UTF8') END, ''::bytea ORDER BY n), 'UTF8')
        FROM regexp_matches(segment, '%([0-9A-Fa-f]{2})|([^%]+|%)', 'g') WITH ORDINALITY AS parts(m, n));
EXCEPTION WHEN character_not_in_repertoire OR untranslatable_character THEN
    RETURN NULL;
END;
$$;
COMMENT ON FUNCTION almagest.percent_decoded(text) IS 'A segment of an address as the id it stands for; NULL if it is no text.';


CREATE OR REPLACE FUNCTION almagest.percent_encoded(segment text) RETURNS text
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF segment ~ '^[A-Za-z0-9._~!$&''()*+,;=:@-]*$' THEN
        RETURN segment; -- as nearly every id
    END IF;
    RETURN (
        SELECT string_agg(
            CASE WHEN c ~ '^[A-Za-z0-9._~!$&''()*+,;=:@-]$' THEN c
                 ELSE (SELECT string_agg('%' || upper(b), '' ORDER BY o)
                       FROM regexp_matches(encode(convert_to(c, 'UTF8'), 'hex'), '..', 'g') WITH ORDINALITY AS h(bytes, o),
                            LATERAL unnest(h.bytes) AS b) END, '' ORDER BY n)
        FROM regexp_split_to_table(segment, '') WITH ORDINALITY AS s(c, n));
END;
$$;
COMMENT ON FUNCTION almagest.percent_encoded(text) IS 'An id as a segment of an address (RFC 3986, pchar).';


CREATE OR REPLACE FUNCTION almagest.exposed_href(origin text, collection text, item text, key text) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
-- Nothing but this: it is asked for every asset, and so becomes part of the statement that asks.
AS $$
    SELECT origin || '/external/assets/' || almagest.percent_encoded(collection) || '/' || almagest.percent_encoded(item)
        || '/' || almagest.percent_encoded(key)
$$;
COMMENT ON FUNCTION almagest.exposed_href(text, text, text, text) IS 'Where outsiders read an exposed asset.';


CREATE OR REPLACE FUNCTION almagest.own_public_href(path text, policy almagest.audience_policy) RETURNS text
LANGUAGE plpgsql STABLE SET search_path = almagest, pg_temp
AS $$
DECLARE
    -- Nothing but these forms: in others a name could hide behind dots, slashes or a query.
    entry text[] := regexp_match(path, '^/(?:api|external)/collections/([^/?#]+)((?:/items(?:/([^/?#]+))?)?)/?$');
    asset text[] := regexp_match(path, '^/(?:api|external)/assets/([^/?#]+)/([^/?#]+)/([^/?#]+)$');
    names text[];
BEGIN
    SELECT array_agg(almagest.percent_decoded(segment) ORDER BY n) INTO names
    FROM unnest(coalesce(asset, entry)) WITH ORDINALITY AS s(segment, n)
    WHERE asset IS NOT NULL OR n <> 2;
    IF names IS NULL OR names[1] IS NULL OR names[1] IN ('', '.', '..') OR almagest.is_internal(names[1]) THEN
        RETURN NULL;
    ELSIF asset IS NOT NULL THEN
        RETURN (SELECT almagest.exposed_href(policy.origin, e.collection, e.item, e.key) FROM almagest.exposed AS e
                WHERE (e.collection, e.item, e.key) = (names[1], names[2], names[3]));
    ELSIF names[2] IN ('', '.', '..') OR entry[3] IS NOT NULL AND names[2] IS NULL THEN
        RETURN NULL;
    END IF;
    RETURN format('%s/external/collections/%s%s', policy.origin, almagest.percent_encoded(names[1]),
                  CASE WHEN entry[3] IS NOT NULL THEN '/items/' || almagest.percent_encoded(names[2]) ELSE entry[2] END);
END;
$$;
COMMENT ON FUNCTION almagest.own_public_href(text, almagest.audience_policy) IS
    'What an address of our own, given from its path on, is for outsiders: a collection, its items, an item or an exposed '
    'asset of a visible collection; NULL for all else.';


CREATE OR REPLACE FUNCTION almagest.authority(address text) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $$
    SELECT lower(rtrim(parts[2], '.')) || CASE
        WHEN parts[3] IS NULL OR parts[3] IN ('', CASE lower(parts[1]) WHEN 'http' THEN '80' WHEN 'https' THEN '443' END)
        THEN '' ELSE ':' || parts[3] END
    FROM regexp_match(address, '^(https?)://([^]["/?#@:\\[:space:]]+)(?::0*([0-9]*))?(?![^/?#])', 'i') AS m(parts)
$$;
COMMENT ON FUNCTION almagest.authority(text) IS
    'Host, and port unless it goes without saying, of an address over http or https, however it is written; NULL for others. '
    'The same for both schemes: a site that serves one serves the other, or did.';


CREATE OR REPLACE FUNCTION almagest.public_href(href text, policy almagest.audience_policy) RETURNS text
LANGUAGE plpgsql STABLE SET search_path = almagest, pg_temp
AS $$
DECLARE
    parts text[] := regexp_match(href, '^([A-Za-z][A-Za-z0-9+.-]*)://([^]["/?#@\\[:space:]]+)(.*)$');
    scheme text := lower(parts[1]);
BEGIN
    IF scheme = 's3' THEN
        RETURN CASE WHEN parts[2] = ANY(policy.visible_buckets) AND parts[2] <> policy.own_bucket THEN href END;
    ELSIF almagest.authority(href) = almagest.authority(policy.origin) THEN
        RETURN almagest.own_public_href(parts[3], policy);
    ELSIF href LIKE '/%' THEN
        RETURN almagest.own_public_href(href, policy); -- from the root of this site on, as eomatch-ingest writes links
    ELSIF scheme = ANY(policy.visible_schemes) AND parts[3] ~ '^([/?#]|$)' THEN
        RETURN href;
    END IF;
    RETURN NULL;
END;
$$;
COMMENT ON FUNCTION almagest.public_href(text, almagest.audience_policy) IS
    'What an href is for outsiders: itself, an address in our external audience, or NULL where it is hidden.';


CREATE OR REPLACE FUNCTION almagest.public_value(
    value jsonb, place text, base jsonb, policy almagest.audience_policy, suspicion text
) RETURNS jsonb
LANGUAGE plpgsql STABLE SET search_path = almagest, pg_temp
AS $$
DECLARE
    href text;
    result jsonb;
BEGIN
    IF value::text !~* suspicion THEN
        RETURN value;
    ELSIF jsonb_typeof(value) = 'array' THEN
        SELECT jsonb_agg(kept ORDER BY n) INTO result
        FROM jsonb_array_elements(value) WITH ORDINALITY AS e(element, n),
             LATERAL almagest.public_value(element, 'entry', NULL, policy, suspicion) AS kept
        WHERE kept IS NOT NULL;
        RETURN result;
    ELSIF jsonb_typeof(value) <> 'object' THEN
        RETURN value;
    END IF;
    -- In a map, `href` is a name that somebody gave an entry.
    IF place NOT IN ('map', 'templates') AND value ? 'href' THEN
        href := CASE WHEN jsonb_typeof(value->'href') = 'string' THEN almagest.public_href(value->>'href', policy) END;
        IF href IS NULL AND place = 'entry' THEN
            RETURN NULL;
        END IF;
        value := value - 'href';
    END IF;
    SELECT jsonb_object_agg(m.key, m.kept) INTO result
    FROM (
        SELECT e.key,
               CASE WHEN almagest.is_hidden_name(e.key, policy.hidden_properties) THEN NULL
                    -- No entry of that name, but an href where none belongs.
                    WHEN e.key = 'href' AND jsonb_typeof(e.value) <> 'object' AND e.value <> almagest.port_marker() THEN NULL
                    ELSE coalesce(
                        almagest.public_value(e.value, CASE
                            WHEN place IN ('item', 'collection') AND e.key = 'properties' THEN 'properties'
                            WHEN place = 'collection' AND e.key = 'item_assets' THEN 'templates'
                            WHEN place IN ('item', 'collection') AND e.key IN ('assets', 'summaries') THEN 'map'
                            WHEN place = 'base' AND e.key = 'assets' THEN 'templates'
                            WHEN place = 'templates' THEN 'template'
                            WHEN place IN ('entry', 'template') AND e.key = 'alternate' THEN 'map'
                            ELSE 'entry' END, base->e.key, policy, suspicion),
                        -- Merely left out, it would come back from the base item.
                        CASE WHEN place = 'map' AND base ? e.key THEN almagest.port_marker() END) END AS kept
        FROM jsonb_each(value) AS e
    ) AS m
    WHERE m.kept IS NOT NULL;
    IF href IS NOT NULL OR place = 'template' THEN
        result := coalesce(result, '{}') || jsonb_strip_nulls(jsonb_build_object('href', href));
    END IF;
    RETURN result;
END;
$$;
COMMENT ON FUNCTION almagest.public_value(jsonb, text, jsonb, almagest.audience_policy, text) IS
    'What is left of a value for outsiders: without members of hidden names, without entries (assets, alternates, links, '
    'whatever has an href) whose href is hidden, and without what is empty then; NULL where nothing is left. '
    'place: item, collection, base, properties, map (of entries by name), templates (of entries; these stay without an href), '
    'template or entry. base: what the value will be joined with.';


CREATE OR REPLACE FUNCTION almagest.public_document(
    document jsonb, place text, policy almagest.audience_policy, suspicion text
) RETURNS jsonb
LANGUAGE plpgsql STABLE SET search_path = almagest, pg_temp
AS $$
BEGIN
    IF document::text ~* suspicion THEN
        document := (
            -- What STAC requires of a document stays, empty though it may be.
            SELECT coalesce(jsonb_object_agg(key, value), '{}')
            FROM (VALUES ('assets', '{}'::jsonb), ('links', '[]'), ('properties', '{}')) AS required(key, value)
            WHERE document ? key
        ) || coalesce(almagest.public_value(document, place, NULL, policy, suspicion), '{}');
    END IF;
    IF place = 'collection' THEN
        -- Of these it requires none of a collection. One that is empty, is hidden as a whole or is not there looks the same.
        document := document - ARRAY(
            SELECT key FROM unnest('{assets,item_assets,properties,summaries}'::text[]) AS map(key) WHERE document->key = '{}');
    END IF;
    RETURN document;
END;
$$;
COMMENT ON FUNCTION almagest.public_document(jsonb, text, almagest.audience_policy, text) IS
    'What is left for outsiders of a document as a whole. place: item, collection or base.';


CREATE OR REPLACE FUNCTION almagest.public_assets(
    assets jsonb, base_assets jsonb, collection_id text, item_id text, policy almagest.audience_policy, suspicion text
) RETURNS jsonb
LANGUAGE sql STABLE SET search_path = almagest, pg_temp
AS $$
    WITH keys AS (
        SELECT jsonb_object_keys(assets) AS key
        UNION
        -- An asset may be wholly in the base item.
        SELECT b.key FROM jsonb_each(base_assets) AS b WHERE b.value ? 'href'
    ), joined AS (
        SELECT k.key, assets->k.key AS own, base_assets ? k.key AS in_base,
               coalesce(assets->k.key->>'href', base_assets->k.key->>'href') AS href,
               almagest.is_hidden_name(k.key, policy.hidden_properties) AS is_hidden
        FROM keys AS k
    ), judged AS MATERIALIZED ( -- or the planner would write it out wherever it is named
        SELECT j.*, CASE
            WHEN jsonb_typeof(own) <> 'object' OR j.is_hidden THEN NULL
            -- Exposed are bytes in a place: an asset that names another place by now is not the one that was exposed.
            WHEN e.location = j.href THEN almagest.exposed_href(policy.origin, e.collection, e.item, e.key)
            ELSE almagest.public_href(j.href, policy) END AS public_href
        FROM joined AS j
        LEFT JOIN almagest.exposed AS e ON e.collection = collection_id AND e.item = item_id AND e.key = j.key
    ), kept AS MATERIALIZED (
        SELECT j.key, CASE
            -- What leads nowhere is no asset, but stock writers take it, and a document that holds nothing hidden shows it.
            WHEN j.href IS NULL AND jsonb_typeof(j.own) = 'object' AND NOT j.is_hidden
            THEN almagest.public_value(j.own, 'entry', base_assets->j.key, policy, suspicion)
            WHEN jsonb_typeof(j.own) <> 'object' AND j.own <> almagest.port_marker() AND NOT j.is_hidden THEN j.own
            WHEN j.public_href IS NULL THEN CASE WHEN j.in_base THEN almagest.port_marker() END
            WHEN j.own IS NULL AND j.public_href = j.href THEN NULL
            ELSE coalesce(almagest.public_value(j.own - 'href', 'entry', base_assets->j.key, policy, suspicion), '{}')
                 || CASE WHEN j.own ? 'href' OR j.public_href <> j.href
                         THEN jsonb_build_object('href', j.public_href) ELSE '{}' END
            END AS asset
        FROM judged AS j
    )
    SELECT coalesce(jsonb_object_agg(key, asset), CASE WHEN assets IS NOT NULL THEN '{}'::jsonb END)
    FROM kept
    WHERE asset IS NOT NULL
$$;
COMMENT ON FUNCTION almagest.public_assets(jsonb, jsonb, text, text, almagest.audience_policy, text) IS
    'What is left for outsiders of the assets of a stored item, to be joined with those of its base item: exposed ones have '
    'the address by which outsiders read them, hidden ones are gone, or marked as gone where the base item has them.';


CREATE OR REPLACE FUNCTION almagest.public_item(
    item jsonb, base jsonb, collection_id text, item_id text, policy almagest.audience_policy, suspicion text
) RETURNS jsonb
LANGUAGE sql STABLE SET search_path = almagest, pg_temp
AS $$
    SELECT almagest.public_document(item - 'assets', 'item', policy, suspicion)
        || CASE WHEN assets IS NOT NULL THEN jsonb_build_object('assets', assets) ELSE '{}' END
    FROM (SELECT CASE
        WHEN coalesce(jsonb_typeof(item->'assets'), 'object') = 'object' THEN almagest.public_assets(
            item->'assets', CASE WHEN jsonb_typeof(base->'assets') = 'object' THEN base->'assets' END,
            collection_id, item_id, policy, suspicion)
        -- Stock writers take anything; or the item has none, unlike its base item.
        WHEN (item->'assets')::text ~* suspicion THEN almagest.port_marker()
        ELSE item->'assets' END) AS a(assets)
$$;
COMMENT ON FUNCTION almagest.public_item(jsonb, jsonb, text, text, almagest.audience_policy, text) IS
    'What is left for outsiders of a stored item, to be joined with what is left of its base item.';


CREATE OR REPLACE FUNCTION almagest.public_item_text(
    item jsonb, base jsonb, collection text, id text, policy almagest.audience_policy, suspicion text
) RETURNS text
LANGUAGE plpgsql STABLE SET search_path = almagest, pg_temp
AS $$
BEGIN
    -- Printed as the core prints it, so that members stand in the same order whether or not something was taken out.
    RETURN almagest.item_text(
        id, collection, (item->'geometry')::text,
        almagest.public_item(item, base, collection, id, policy, suspicion) - '{type,id,collection,geometry}'::text[]);
END;
$$;
COMMENT ON FUNCTION almagest.public_item_text(jsonb, jsonb, text, text, almagest.audience_policy, text) IS
    'What is left for outsiders of a stored item as JSON text.';
