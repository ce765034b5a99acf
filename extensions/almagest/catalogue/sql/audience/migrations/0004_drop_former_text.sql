-- Only whole items are printed: fields are chosen by the reader.
DROP FUNCTION IF EXISTS almagest.public_item_text(jsonb, jsonb, text, text, boolean, almagest.audience_policy, text);
DROP FUNCTION IF EXISTS almagest.port_item_text(text, text, geometry, jsonb, jsonb);
DROP FUNCTION IF EXISTS almagest.port_fields(jsonb, jsonb);
DROP FUNCTION IF EXISTS almagest.port_page_query(text, text, text, int, jsonb);
