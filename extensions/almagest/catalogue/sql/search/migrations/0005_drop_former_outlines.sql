-- It told the version of each item, which to look up took longer than all the rest; nobody needs but a few.
DROP FUNCTION IF EXISTS almagest.outlines(jsonb, tstzrange, text);
