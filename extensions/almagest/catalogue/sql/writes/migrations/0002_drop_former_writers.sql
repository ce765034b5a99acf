-- put_items took their place.
DROP FUNCTION IF EXISTS
    almagest.create_items(jsonb),
    almagest.upsert_items(jsonb),
    almagest.replace_item(jsonb),
    almagest.port_insert_items(jsonb),
    almagest.port_item_exists(text, text),
    almagest.migrate_prefix(text, text[], text, text),
    almagest.moved_asset(jsonb, text, text);
