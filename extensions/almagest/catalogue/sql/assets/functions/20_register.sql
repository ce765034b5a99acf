-- Assets that keep their name: one a day under a dated key, `prefix:2024-05-01`, further ones of that day under
-- `prefix:2024-05-01.2` and so on, and `prefix:latest`, which is the same asset as that of the greatest of them.
-- As almagest.catalogue.registering.keys has it for catalogues of files.

CREATE OR REPLACE FUNCTION almagest.dated_assets(assets jsonb, prefix text)
RETURNS TABLE (key text, day text, sequence int, asset jsonb)
LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $$
    SELECT a.key, f.found[1], coalesce(f.found[2]::int, 1), a.value
    FROM jsonb_each(CASE jsonb_typeof(assets) WHEN 'object' THEN assets ELSE '{}' END) AS a(key, value),
         regexp_match(substr(a.key, length(prefix) + 2),
                      '^([0-9]{4}-(?:0[1-9]|1[0-2])-(?:0[1-9]|[12][0-9]|3[01]))(?:\.([2-9]|[1-9][0-9]{1,3}))?$') AS f(found)
    WHERE starts_with(a.key, prefix || ':') AND f.found IS NOT NULL AND jsonb_typeof(a.value) = 'object'
$$;
COMMENT ON FUNCTION almagest.dated_assets(jsonb, text) IS
    'Assets under dated keys of a prefix, and what their keys say. A day has 9999 of them at most.';


CREATE OR REPLACE FUNCTION almagest.latest_asset(assets jsonb, prefix text, OUT key text, OUT asset jsonb)
LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $$
    SELECT d.key, d.asset FROM almagest.dated_assets(assets, prefix) AS d
    ORDER BY d.day COLLATE "C" DESC, d.sequence DESC LIMIT 1
$$;
COMMENT ON FUNCTION almagest.latest_asset(jsonb, text) IS 'The asset of the greatest day and sequence; NULLs if there is none.';


CREATE OR REPLACE FUNCTION almagest.name_of_asset(
    of_collection text, of_id text, prefix text, day text, assets jsonb, others jsonb, checksum text,
    OUT key text, OUT is_there boolean
)
LANGUAGE sql STABLE SET search_path = almagest, public, pg_temp
AS $$
    WITH told AS (
        SELECT $5 AS assets, true AS is_there
        UNION ALL SELECT $6, false
        UNION ALL
        SELECT jsonb_build_object(n.key, jsonb_build_object('file:checksum', n.checksum)), false
        FROM almagest.asset_name AS n WHERE n.collection = of_collection AND n.item = of_id
    ), known AS MATERIALIZED (
        SELECT d.sequence, coalesce(d.asset->>'file:checksum', '') AS checksum, bool_or(t.is_there) AS is_there
        FROM told AS t, almagest.dated_assets(t.assets, prefix) AS d
        WHERE d.day = $4
        GROUP BY 1, 2
    ), chosen AS (
        SELECT coalesce(
            -- A name under which there never was anything else: the one that it has, or had.
            (SELECT k.sequence FROM known AS k
             WHERE k.checksum = $7 AND NOT EXISTS (SELECT FROM known AS o WHERE o.sequence = k.sequence AND o.checksum <> $7)
             ORDER BY k.is_there DESC, k.sequence LIMIT 1),
            (SELECT max(k.sequence) + 1 FROM known AS k),
            1) AS sequence
    )
    SELECT prefix || ':' || day || CASE WHEN c.sequence > 1 THEN '.' || c.sequence ELSE '' END,
           EXISTS (SELECT FROM known AS k WHERE k.is_there AND k.sequence = c.sequence)
    FROM chosen AS c
$$;
COMMENT ON FUNCTION almagest.name_of_asset(text, text, text, text, jsonb, jsonb, text) IS
    'The dated key of these bytes in an item with these assets, and whether they are there under it already. It never stood '
    'for other bytes here, nor does it among the others, which are the assets of the same item in another catalogue.';


CREATE OR REPLACE FUNCTION almagest.note_former_names(of_collection text, of_id text, through timestamptz) RETURNS void
LANGUAGE sql VOLATILE SET search_path = almagest, public, pg_temp
AS $$
    INSERT INTO almagest.asset_name (collection, item, key, checksum, through)
    -- What is no multihash is that of no bytes, and might be longer than an index takes; so might other keys.
    SELECT DISTINCT of_collection, of_id, a.key,
           coalesce(substring(a.value->>'file:checksum' FROM '^(?:[0-9a-f]{2}){3,99}$'), ''), $3
    FROM almagest.item_history AS h,
         jsonb_each(CASE jsonb_typeof(h.content->'assets') WHEN 'object' THEN h.content->'assets' ELSE '{}' END) AS a(key, value)
    WHERE h.collection = of_collection AND h.id = of_id AND jsonb_typeof(a.value) = 'object'
      AND h.valid_to > coalesce((
          SELECT max(n.through) FROM almagest.asset_name AS n WHERE n.collection = of_collection AND n.item = of_id), '-infinity')
      AND a.key ~ '^[A-Za-z0-9][A-Za-z0-9._:-]{0,99}:[0-9]{4}-[0-9]{2}-[0-9]{2}(\.[0-9]{1,4})?$'
    ON CONFLICT DO NOTHING
$$;
COMMENT ON FUNCTION almagest.note_former_names(text, text, timestamptz) IS
    'Notes the dated keys of states of an item that were not looked at yet: what came and went by other ways than '
    'register_asset had no name noted, but it may have been read. through: begin of its present state.';


CREATE OR REPLACE FUNCTION almagest.with_extensions_of(document jsonb, asset jsonb) RETURNS jsonb
LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $$
    SELECT CASE WHEN e.missing IS NULL THEN document
                ELSE document || jsonb_build_object('stac_extensions', p.named || e.missing) END
    FROM (
        SELECT CASE jsonb_typeof(document->'stac_extensions') WHEN 'array' THEN document->'stac_extensions' ELSE '[]' END
    ) AS p(named), LATERAL (
        SELECT jsonb_agg(u.url ORDER BY u.url) AS missing
        FROM (
            VALUES
                ('https://stac-extensions.github.io/file/v2.1.0/schema.json', asset ?| '{file:checksum,file:size}'::text[]),
                -- Its schema wants one of these of the item as well.
                ('https://stac-extensions.github.io/processing/v1.1.0/schema.json',
                 EXISTS (SELECT FROM jsonb_object_keys(asset) AS k WHERE starts_with(k, 'processing:'))
                 AND document->'properties' ?| ARRAY['processing:expression', 'processing:lineage', 'processing:level',
                                                     'processing:facility', 'processing:software'])
        ) AS u(url, is_used)
        WHERE u.is_used AND NOT EXISTS (
            SELECT FROM jsonb_array_elements_text(p.named) AS known
            WHERE starts_with(known, regexp_replace(u.url, 'v[^/]*/schema\.json$', '')))
    ) AS e
$$;
COMMENT ON FUNCTION almagest.with_extensions_of(jsonb, jsonb) IS
    'An item that names the extensions whose fields this asset has, in whatever version it named them before.';


CREATE OR REPLACE FUNCTION almagest.register_asset(
    of_collection text, of_id text, prefix text, asset jsonb,
    on_day date DEFAULT (almagest.clock() AT TIME ZONE 'UTC')::date, others jsonb DEFAULT NULL,
    OUT key text, OUT outcome text, OUT version timestamptz
)
LANGUAGE plpgsql VOLATILE SET search_path = almagest, public, pg_temp
AS $$
DECLARE
    day CONSTANT text := to_char(on_day, 'YYYY-MM-DD');
    document jsonb;
    assets jsonb;
    since timestamptz;
    named record;
    put record;
BEGIN
    IF prefix !~ '^[A-Za-z0-9][A-Za-z0-9._:-]{0,99}$' THEN
        RAISE invalid_parameter_value USING
            MESSAGE = format('The prefix %s is not made of letters, digits and . _ : - alone.', quote_literal(prefix));
    ELSIF on_day IS NULL OR NOT on_day BETWEEN '0001-01-01' AND '9999-12-31' THEN
        RAISE invalid_parameter_value USING
            MESSAGE = format('%s is not a day of the years 1 to 9999.', coalesce(on_day::text, 'NULL'));
    ELSIF NOT coalesce(asset->>'file:checksum' ~ '^([0-9a-f]{2}){3,99}$' AND asset->>'href' <> '', false) THEN
        RAISE invalid_parameter_value USING
            MESSAGE = 'The asset needs an href and a file:checksum: a multihash in hex digits, lower case.';
    END IF;
    -- Its row is there, and so is room for it: put_item will make none, for which it would want the whole collection.
    IF NOT almagest.hold_item(of_collection, of_id) THEN
        RAISE no_data_found USING MESSAGE = format('Item %s does not exist in collection %s.', of_id, of_collection);
    END IF;
    document := almagest.item_document(of_collection, of_id);
    assets := CASE jsonb_typeof(document->'assets') WHEN 'object' THEN document->'assets' ELSE '{}' END;
    since := (SELECT s.valid_from FROM almagest.item_states(of_collection, of_id, NULL, 1) AS s);
    PERFORM almagest.note_former_names(of_collection, of_id, since);
    SELECT * INTO named
    FROM almagest.name_of_asset(of_collection, of_id, prefix, day, assets, others, asset->>'file:checksum');
    key := named.key;
    IF NOT EXISTS (SELECT FROM almagest.dated_assets(jsonb_build_object(key, asset), prefix)) THEN
        RAISE invalid_parameter_value USING
            MESSAGE = format('%s:%s.9999 is taken, and no day has more names: take another prefix.', prefix, day);
    END IF;
    INSERT INTO almagest.asset_name AS n VALUES (of_collection, of_id, named.key, asset->>'file:checksum', since)
    ON CONFLICT ON CONSTRAINT asset_name_pkey DO UPDATE SET through = excluded.through WHERE n.through < excluded.through;
    IF NOT named.is_there THEN
        assets := assets || jsonb_build_object(key, asset);
        document := almagest.with_extensions_of(document, asset);
    END IF;
    assets := assets || jsonb_build_object(prefix || ':latest', (almagest.latest_asset(assets, prefix)).asset);
    SELECT * INTO put FROM almagest.put_item(document || jsonb_build_object('assets', assets));
    outcome := CASE WHEN named.is_there THEN put.outcome ELSE 'created' END;
    version := put.version;
END;
$$;
COMMENT ON FUNCTION almagest.register_asset(text, text, text, jsonb, date, jsonb) IS
    'Adds an asset to an item under a dated key that never stood for other bytes, and lets `prefix:latest` be the asset of the '
    'greatest day and sequence. Answers the key, what became of it (created; unchanged where these bytes are there already '
    'on that day; updated if only latest was not what it should be), and since when the item is as it is now. others: '
    'assets of the item in another catalogue, where the key must not stand for other bytes. Outsiders do not see it: see '
    'expose_assets. Raises P0002 without the item, 22023 for an asset without a file:checksum, and '
    'where the day has no name left.';


CREATE OR REPLACE FUNCTION almagest.remove_asset(
    of_collection text, of_id text, asset_key text, OUT latest text, OUT version timestamptz
)
LANGUAGE plpgsql VOLATILE SET search_path = almagest, public, pg_temp
AS $$
DECLARE
    prefix CONSTANT text := substring(asset_key FROM '^(.+):[^:]+$');
    latest_key CONSTANT text := prefix || ':latest';
    removed text[] := ARRAY[asset_key];
    document jsonb;
    assets jsonb;
    greatest_one record;
BEGIN
    IF almagest.hold_item(of_collection, of_id) THEN
        document := almagest.item_document(of_collection, of_id);
    END IF;
    IF NOT coalesce(document->'assets' ? asset_key, false) THEN
        RAISE no_data_found USING
            MESSAGE = format('Item %s of collection %s has no asset %s.', of_id, of_collection, asset_key);
    END IF;
    assets := (document->'assets') - asset_key;
    SELECT * INTO greatest_one FROM almagest.latest_asset(assets, prefix);
    IF asset_key = latest_key AND greatest_one.key IS NOT NULL THEN
        RAISE invalid_parameter_value USING
            MESSAGE = format('%s is the same as %s: remove that.', asset_key, greatest_one.key);
    ELSIF EXISTS (SELECT FROM almagest.dated_assets(document->'assets', prefix) AS d WHERE d.key = asset_key) THEN
        IF assets ? latest_key AND greatest_one.key IS NULL THEN
            assets := assets - latest_key;
            removed := removed || latest_key;
        ELSIF assets ? latest_key THEN
            latest := greatest_one.key;
            assets := assets || jsonb_build_object(latest_key, greatest_one.asset);
        END IF;
    END IF;
    SELECT p.version INTO version FROM almagest.put_item(document || jsonb_build_object('assets', assets)) AS p;
    -- What will ever come under this name again has to be exposed again.
    DELETE FROM almagest.exposed AS e
    WHERE e.collection = of_collection AND e.item = of_id AND e.key = ANY (removed);
END;
$$;
COMMENT ON FUNCTION almagest.remove_asset(text, text, text) IS
    'Takes an asset out of an item. Was it under a dated key, `prefix:latest` is then the asset of the greatest that is left, '
    'whose key is answered, or goes with the last. Raises P0002 where there is none, 22023 for latest itself.';
