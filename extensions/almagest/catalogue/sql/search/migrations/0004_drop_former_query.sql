-- Another of this name asks one period of time after the other.
DROP FUNCTION IF EXISTS almagest.search_query(jsonb, jsonb, boolean, int);
