-- It is told the class that a job counts against.
DROP FUNCTION IF EXISTS almagest.accept_job(text, text, text, text, jsonb, jsonb, int, text, bytea);
