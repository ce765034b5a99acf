-- What no document of a collection says, and pgSTAC forgets with it.

CREATE OR REPLACE FUNCTION almagest.note_partitioning() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    UPDATE almagest.collection_head AS h SET divided_by = OLD.partition_trunc
    WHERE h.id = OLD.id AND h.divided_by IS DISTINCT FROM OLD.partition_trunc;
    RETURN OLD;
END;
$$;
COMMENT ON FUNCTION almagest.note_partitioning() IS 'A collection goes: it may come back.';
