-- Jobs that come by themselves.

CREATE OR REPLACE FUNCTION almagest.put_schedule(
    called text, of_process text, with_inputs jsonb, with_cron text, in_zone text, of_principal text, first_at timestamptz
) RETURNS boolean
LANGUAGE sql VOLATILE SET search_path = pg_catalog, pg_temp
AS $$
    INSERT INTO almagest.schedule (name, process, inputs, cron, zone, principal, next_at)
    VALUES (called, of_process, with_inputs, with_cron, in_zone, of_principal, first_at)
    ON CONFLICT (name) DO NOTHING
    RETURNING true
$$;
COMMENT ON FUNCTION almagest.put_schedule(text, text, jsonb, text, text, text, timestamptz) IS
    'Adds a schedule; nothing where one is called so.';


CREATE OR REPLACE FUNCTION almagest.enable_schedule(called text, is_to boolean, from_then timestamptz) RETURNS boolean
LANGUAGE sql VOLATILE SET search_path = pg_catalog, pg_temp
AS $$
    UPDATE almagest.schedule AS s
    -- What passed while it was paused was not missed.
    SET enabled = is_to, next_at = CASE WHEN is_to AND NOT s.enabled THEN from_then ELSE s.next_at END
    WHERE s.name = called
    RETURNING true
$$;
COMMENT ON FUNCTION almagest.enable_schedule(text, boolean, timestamptz) IS 'Pauses a schedule, or has it go on at a moment.';


CREATE OR REPLACE FUNCTION almagest.remove_schedule(called text) RETURNS boolean
LANGUAGE sql VOLATILE SET search_path = pg_catalog, pg_temp
AS $$ DELETE FROM almagest.schedule AS s WHERE s.name = called RETURNING true $$;
COMMENT ON FUNCTION almagest.remove_schedule(text) IS 'Removes a schedule; its jobs stay.';


CREATE OR REPLACE FUNCTION almagest.schedules() RETURNS SETOF almagest.schedule
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$ SELECT s.* FROM almagest.schedule AS s ORDER BY s.name $$;
COMMENT ON FUNCTION almagest.schedules() IS 'All schedules.';


CREATE OR REPLACE FUNCTION almagest.due_schedule(known text[], patience interval) RETURNS SETOF almagest.schedule
LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
    SELECT s.* FROM almagest.schedule AS s
    WHERE s.enabled AND s.next_at <= almagest.clock()
      -- Some other worker may know its process: he comes first.
      AND (s.process = ANY (known) OR s.next_at <= almagest.clock() - patience)
    ORDER BY s.next_at LIMIT 1 FOR UPDATE SKIP LOCKED
$$;
COMMENT ON FUNCTION almagest.due_schedule(text[], interval) IS
    'A schedule that is due, which nobody else can have until the transaction ends.';


CREATE OR REPLACE FUNCTION almagest.note_schedule(
    called text, at_moment timestamptz, then_at timestamptz, with_job uuid, with_error text
) RETURNS void
LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
    UPDATE almagest.schedule AS s
    SET last_at = at_moment, next_at = coalesce(then_at, s.next_at), enabled = s.enabled AND then_at IS NOT NULL,
        last_job = coalesce(with_job, s.last_job), last_error = with_error
    WHERE s.name = called
$$;
COMMENT ON FUNCTION almagest.note_schedule(text, timestamptz, timestamptz, uuid, text) IS
    'What came of a moment of a schedule, and when its next one is; where there is none, it is paused.';
