-- What port_sort_keys and order_by took the place of.
DROP FUNCTION IF EXISTS almagest.keyset_predicate(jsonb, jsonb, boolean);
DROP FUNCTION IF EXISTS almagest.port_order_by(jsonb, boolean);
DROP FUNCTION IF EXISTS almagest.port_sort(jsonb);

-- Their rows have a column more.
DROP FUNCTION IF EXISTS external.search_page(jsonb, jsonb, boolean, int);
DROP FUNCTION IF EXISTS almagest.search_page(jsonb, jsonb, boolean, int);
