-- What processes note for the next time.

CREATE OR REPLACE FUNCTION almagest.recall(of_process text, of_key text) RETURNS jsonb
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$ SELECT m.value FROM almagest.process_memory AS m WHERE m.process = of_process AND m.key = of_key $$;
COMMENT ON FUNCTION almagest.recall(text, text) IS 'What a process has noted under a key; NULL: nothing.';


CREATE OR REPLACE FUNCTION almagest.remember(of_process text, of_key text, what jsonb) RETURNS void
LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
    INSERT INTO almagest.process_memory AS m (process, key, value) VALUES (of_process, of_key, what)
    ON CONFLICT (process, key) DO UPDATE SET value = excluded.value, noted_at = DEFAULT
$$;
COMMENT ON FUNCTION almagest.remember(text, text, jsonb) IS 'Notes something for a process, instead of what it has noted under this key.';


CREATE OR REPLACE FUNCTION almagest.expire_memory(after_time interval) RETURNS int
LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
    WITH gone AS (
        DELETE FROM almagest.process_memory AS m
        WHERE m.noted_at < almagest.clock() - greatest(after_time, interval '1 year') RETURNING 1
    )
    SELECT count(*)::int FROM gone
$$;
COMMENT ON FUNCTION almagest.expire_memory(interval) IS
    'Forgets what processes have noted so long ago, and a year ago at least: nobody asks for the same any more.';
