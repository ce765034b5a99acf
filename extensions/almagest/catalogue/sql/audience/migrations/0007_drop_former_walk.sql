-- It takes one parameter more.
DROP FUNCTION IF EXISTS almagest.with_history(text, text, text, int);
