-- What tells caches that something has changed.

CREATE OR REPLACE FUNCTION external.epoch(of_collections text[]) RETURNS bigint
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = almagest, pg_temp
SET standard_conforming_strings = on SET client_min_messages = error
AS $$
BEGIN
    RETURN almagest.epoch(of_collections);
END;
$$;
COMMENT ON FUNCTION external.epoch(text[]) IS
    'As almagest.epoch. It grows with hidden changes, too: it is for the caches of our own services, and never sent.';
