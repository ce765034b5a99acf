-- It compares rows of two collections now.
DROP FUNCTION IF EXISTS almagest.port_is_same_item(text, jsonb, jsonb);
