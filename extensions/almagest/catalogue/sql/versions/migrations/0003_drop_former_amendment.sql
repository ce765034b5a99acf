-- It takes one parameter more.
DROP FUNCTION IF EXISTS almagest.amend_state(text, text, timestamptz, timestamptz, geometry, jsonb);
