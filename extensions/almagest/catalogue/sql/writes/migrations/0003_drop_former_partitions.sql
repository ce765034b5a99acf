-- It has another parameter now.
DROP FUNCTION IF EXISTS almagest.port_ensure_partitions(text, text[], text[]);
