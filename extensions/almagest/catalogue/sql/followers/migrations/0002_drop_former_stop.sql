-- Who is stopped is named with his cursor now.
DROP FUNCTION IF EXISTS almagest.stop_telling(text, text);
