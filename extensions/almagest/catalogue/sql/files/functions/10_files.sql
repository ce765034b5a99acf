-- Files come and go. Their bytes are there before the row, and go after it.

CREATE OR REPLACE FUNCTION almagest.file_room(of_subject text)
RETURNS TABLE (most_of_one bigint, most_of_all bigint, used bigint)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
    SELECT (SELECT q.most FROM almagest.quota_of(of_subject, 'upload') AS q),
           (SELECT q.most FROM almagest.quota_of(of_subject, 'files') AS q),
           (SELECT coalesce(sum(f.size), 0)::bigint FROM almagest.file AS f WHERE f.subject = of_subject)
$$;
COMMENT ON FUNCTION almagest.file_room(text) IS
    'How many bytes one file of somebody may have, and all of them; NULL where nothing limits him. And how many they have.';


CREATE OR REPLACE FUNCTION almagest.add_file(
    of_subject text, with_name text, with_size bigint, with_sha256 bytea, with_media_type text, with_key text,
    may_replace boolean, in_place_of bytea DEFAULT NULL
) RETURNS TABLE (file almagest.file, outcome text, displaced text)
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    most CONSTANT int := 10000;
    former almagest.file;
    room record;
BEGIN
    -- Exact, also where many come at once.
    PERFORM pg_advisory_xact_lock(hashtextextended('almagest.file ' || of_subject, 0));
    SELECT f.* INTO former FROM almagest.file AS f WHERE f.subject = of_subject AND f.name = with_name;
    IF in_place_of IS NOT NULL AND former.sha256 IS DISTINCT FROM in_place_of THEN
        RAISE EXCEPTION USING ERRCODE = 'AM412',
            MESSAGE = format('%s is not what it was: read it again, and repeat your change.', with_name);
    ELSIF former.sha256 = with_sha256 THEN
        -- The same bytes under the same name: it is there already.
        file := former;
        outcome := 'unchanged';
        displaced := with_key;
        RETURN NEXT;
        RETURN;
    ELSIF former.id IS NOT NULL AND NOT may_replace THEN
        RAISE unique_violation USING
            MESSAGE = format('You have a file %s with other content: PUT replaces it.', with_name),
            CONSTRAINT = 'file_subject_name_key';
    END IF;
    SELECT r.* INTO room FROM almagest.file_room(of_subject) AS r;
    IF room.used - coalesce(former.size, 0) + with_size > room.most_of_all THEN
        RAISE EXCEPTION USING ERRCODE = 'AM413',
            MESSAGE = format('All your files together may have %s bytes, and have %s: delete some first.',
                             room.most_of_all, room.used);
    END IF;
    -- What takes up no bytes takes up room all the same.
    IF former.id IS NULL AND (SELECT count(*) FROM almagest.file AS f WHERE f.subject = of_subject) >= most THEN
        RAISE EXCEPTION USING ERRCODE = 'AM413',
            MESSAGE = format('You have %s files, and nobody has more: delete some first.', most);
    END IF;
    DELETE FROM almagest.file AS f WHERE f.id = former.id;
    INSERT INTO almagest.file AS f (subject, name, size, sha256, media_type, key)
    VALUES (of_subject, with_name, with_size, with_sha256, with_media_type, with_key)
    RETURNING f.* INTO file;
    outcome := CASE WHEN former.id IS NULL THEN 'created' ELSE 'replaced' END;
    displaced := former.key;
    RETURN NEXT;
END;
$$;
COMMENT ON FUNCTION almagest.add_file(text, text, bigint, bytea, text, text, boolean, bytea) IS
    'Adds a file whose bytes lie there. Answers it, what became of it (created, replaced, unchanged), and the key of the bytes
that nobody needs now: those of the former file, or these, where it has the same already. 23505: the name is taken by other
content and may not be replaced. AM412: it is to replace one of a certain content, and that is not there. AM413: all files
of its owner would have more bytes than they may, or be too many.';


CREATE OR REPLACE FUNCTION almagest.list_files(
    of_subject text, before_time timestamptz, before_id uuid, at_most int
) RETURNS SETOF almagest.file
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
    SELECT f.* FROM almagest.file AS f
    WHERE f.subject = of_subject AND (before_time IS NULL OR (f.created_at, f.id) < (before_time, before_id))
    ORDER BY f.created_at DESC, f.id DESC
    LIMIT at_most
$$;
COMMENT ON FUNCTION almagest.list_files(text, timestamptz, uuid, int) IS 'Files of somebody, the newest first, behind one.';


CREATE OR REPLACE FUNCTION almagest.find_file(of_subject text, with_name text) RETURNS SETOF almagest.file
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$ SELECT f.* FROM almagest.file AS f WHERE f.subject = of_subject AND f.name = with_name $$;
COMMENT ON FUNCTION almagest.find_file(text, text) IS 'A file of somebody, by its name.';


CREATE OR REPLACE FUNCTION almagest.remove_file(
    of_subject text, with_name text, with_match bytea DEFAULT NULL
) RETURNS text
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    removed almagest.file;
BEGIN
    DELETE FROM almagest.file AS f WHERE f.subject = of_subject AND f.name = with_name RETURNING f.* INTO removed;
    IF with_match IS NOT NULL AND removed.sha256 IS DISTINCT FROM with_match THEN
        RAISE EXCEPTION USING ERRCODE = 'AM412',
            MESSAGE = format('%s is not what it was: read it again, and repeat your change.', with_name);
    END IF;
    RETURN removed.key;
END;
$$;
COMMENT ON FUNCTION almagest.remove_file(text, text, bytea) IS
    'Removes a file, of a certain content where one is given (else AM412). Answers the key of its bytes, which nothing names
any more; NULL where there is no such file.';


CREATE OR REPLACE FUNCTION almagest.keys_without_file(keys text[]) RETURNS SETOF text
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$ SELECT k FROM unnest(keys) AS k WHERE NOT EXISTS (SELECT FROM almagest.file AS f WHERE f.key = k) $$;
COMMENT ON FUNCTION almagest.keys_without_file(text[]) IS 'Of these keys, those that no file lies under.';
