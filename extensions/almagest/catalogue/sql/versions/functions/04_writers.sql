-- Who is writing. When a state begins is told by the clock, before its transaction ends: what was when is known for good
-- only of moments before which nobody who is still at it can have begun anything.

CREATE OR REPLACE FUNCTION almagest.writer_class(is_public boolean) RETURNS int
LANGUAGE sql IMMUTABLE PARALLEL SAFE
-- Any two numbers, as long as no other program takes advisory locks by them: "almp" and "almh" in ASCII.
AS $$ SELECT CASE WHEN is_public THEN 1634495856 ELSE 1634495848 END $$;
COMMENT ON FUNCTION almagest.writer_class(boolean) IS
    'First number of the locks by which writers of a collection are known, whether outsiders see it or not.';


CREATE OR REPLACE FUNCTION almagest.note_writer(of_collection text) RETURNS void
LANGUAGE plpgsql VOLATILE
AS $$
DECLARE
    -- Of one that is being made nobody else knows the name, and so whether outsiders will see it.
    is_public boolean := false;
BEGIN
    IF to_regprocedure('almagest.is_internal(text)') IS NOT NULL THEN -- which comes later
        is_public := NOT almagest.is_internal(of_collection);
    END IF;
    -- Shared: it keeps nobody waiting. It is let go when the transaction has ended, and everybody sees what it did.
    PERFORM pg_advisory_xact_lock_shared(almagest.writer_class(is_public), hashtext(of_collection));
END;
$$;
COMMENT ON FUNCTION almagest.note_writer(text) IS
    'This transaction is about to begin states of a collection and of its items; pg_locks tells so until it has ended.';
