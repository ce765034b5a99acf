-- Writing rows, and making room for them.

CREATE OR REPLACE FUNCTION almagest.note_requests(requests jsonb) RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    -- The number of the transaction comes before those of the rows: sealing counts on it.
    PERFORM pg_current_xact_id();
    INSERT INTO almagest.request_audit (
        id, at, login, subject, name, key_id, request_id, address, method, route, path, status, duration_us, times
    )
    SELECT nextval('almagest.request_audit_id'),
           almagest.clock() - make_interval(secs => greatest(0, coalesce(r.ago_us, 0)) / 1e6),
           session_user,
           left(coalesce(r.subject, ''), 100), left(coalesce(r.name, ''), 200), left(coalesce(r.key_id, ''), 20),
           left(coalesce(r.request_id, ''), 36), left(coalesce(r.address, ''), 100), left(coalesce(r.method, ''), 20),
           left(coalesce(r.route, ''), 500), left(coalesce(r.path, ''), 1000),
           coalesce(r.status, 0), coalesce(r.duration_us, 0), coalesce(r.times, 1)
    FROM jsonb_to_recordset(requests) AS r(
        ago_us bigint, subject text, name text, key_id text, request_id text, address text, method text, route text,
        path text, status int, duration_us bigint, times int
    );
END;
$$;
COMMENT ON FUNCTION almagest.note_requests(jsonb) IS
    'Writes rows of the audit, an array of objects. `ago_us`: how long ago the answer was ready.';


CREATE OR REPLACE FUNCTION almagest.extend_audit(horizon interval DEFAULT '6 months') RETURNS int
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET timezone = 'UTC'
AS $$
DECLARE
    late timestamptz;
    month timestamptz;
    name text;
    made int := 0;
BEGIN
    SELECT min(r.at) INTO late FROM almagest.request_audit_rest AS r;
    FOR month IN
        SELECT m FROM generate_series(date_trunc('month', least(almagest.clock(), late)), almagest.clock() + horizon,
                                      interval '1 month') AS m
        WHERE to_regclass('almagest.' || almagest.audit_partition(m::date)) IS NULL
    LOOP
        -- Others make the same at the same time: they have done it.
        IF made = 0 AND NOT pg_try_advisory_xact_lock(hashtextextended('almagest.extend_audit', 0)) THEN
            RETURN 0;
        END IF;
        name := almagest.audit_partition(month::date);
        -- Attached, it keeps nobody waiting who writes to the others.
        EXECUTE format('CREATE TABLE almagest.%I (LIKE almagest.request_audit INCLUDING ALL)', name);
        EXECUTE format('CREATE TRIGGER kept_whole BEFORE TRUNCATE ON almagest.%I '
                       'FOR EACH STATEMENT EXECUTE FUNCTION almagest.refuse_audit_change()', name);
        IF late < month + interval '1 month' THEN
            -- Nobody made room in time. Rows move as they are.
            ALTER TABLE almagest.request_audit_rest DISABLE TRIGGER kept;
            EXECUTE format(
                'WITH late AS (DELETE FROM almagest.request_audit_rest WHERE at >= %L AND at < %L RETURNING *)'
                ' INSERT INTO almagest.%I SELECT * FROM late', month, month + interval '1 month', name);
            ALTER TABLE almagest.request_audit_rest ENABLE TRIGGER kept;
        END IF;
        EXECUTE format('ALTER TABLE almagest.request_audit ATTACH PARTITION almagest.%I FOR VALUES FROM (%L) TO (%L)',
                       name, month, month + interval '1 month');
        made := made + 1;
    END LOOP;
    RETURN made;
END;
$$;
COMMENT ON FUNCTION almagest.extend_audit(interval) IS
    'Makes the partitions that will be needed until then, and answers how many. To be called now and then, long before they
are needed: who writes into the rest at this moment is refused, and has to write again.';


CREATE OR REPLACE FUNCTION almagest.audit_partition(month date) RETURNS text
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp
AS $$ SELECT 'request_audit_' || lpad(extract(year FROM month)::text, 4, '0') || '_' || lpad(extract(month FROM month)::text, 2, '0') $$;
COMMENT ON FUNCTION almagest.audit_partition(date) IS 'Name of the partition of a month.';
