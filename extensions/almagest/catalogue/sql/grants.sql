-- Who may do what, in one place. Run by the migration runner at the end of every run.
-- Functions of ours are not executable by PUBLIC (bootstrap.sql), so what is not named here is refused.

-- What is no longer named below is no longer allowed.
REVOKE ALL ON ALL FUNCTIONS IN SCHEMA almagest FROM almagest_reader, almagest_writer, almagest_ops;
REVOKE ALL ON ALL TABLES IN SCHEMA almagest FROM almagest_reader, almagest_writer, almagest_ops;

GRANT USAGE ON SCHEMA almagest TO almagest_reader, almagest_writer, almagest_ops;
GRANT SELECT ON almagest.ledger, almagest.registered_search TO almagest_reader, almagest_writer;

GRANT EXECUTE ON FUNCTION
    almagest.port_version(),
    almagest.port_where(jsonb),
    almagest.port_sort(jsonb),
    almagest.port_order_by(jsonb, boolean),
    almagest.port_base_item(text, text),
    almagest.port_item_text(text, text, geometry, jsonb, jsonb),
    almagest.port_page_query(text, text, text, int, jsonb),
    almagest.port_fields(jsonb, jsonb),
    almagest.port_item(text, text),
    almagest.port_hydrate(jsonb, jsonb),
    almagest.port_collection(text),
    almagest.port_collection_search(jsonb),
    almagest.port_queryables(text[]),
    almagest.keyset_predicate(jsonb, jsonb, boolean),
    almagest.search_page(jsonb, jsonb, boolean, int),
    almagest.item_row(text, text),
    almagest.item_document(text, text),
    almagest.collection_document(text),
    almagest.collection_page(jsonb),
    almagest.queryables(text[]),
    almagest.port_collection_ids(),
    almagest.collection_ids(),
    almagest.port_mosaic_query(text, text, geometry, int, boolean, boolean),
    almagest.mosaic_items(jsonb, jsonb, int, boolean, boolean),
    almagest.registered_search(text)
TO almagest_reader, almagest_writer;

GRANT EXECUTE ON FUNCTION
    almagest.port_item_exists(text, text),
    almagest.port_collection_exists(text),
    almagest.port_insert_items(jsonb),
    almagest.port_delete_item(text, text),
    almagest.port_create_collection(jsonb),
    almagest.port_update_collection(jsonb),
    almagest.port_delete_collection(text),
    almagest.lock_item(text, text),
    almagest.create_items(jsonb),
    almagest.upsert_items(jsonb),
    almagest.replace_item(jsonb),
    almagest.delete_item(text, text),
    almagest.create_collection(jsonb),
    almagest.replace_collection(jsonb),
    almagest.delete_collection(text),
    almagest.register_search(jsonb, jsonb)
TO almagest_writer;

-- Who checks keys cannot read them.
GRANT EXECUTE ON FUNCTION
    almagest.authorize(text, bytea, inet),
    almagest.active_keys()
TO almagest_ops;
