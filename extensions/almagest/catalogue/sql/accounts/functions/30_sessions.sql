CREATE OR REPLACE FUNCTION almagest.open_session(
    of_account uuid, in_epoch int, of_kind text, with_sha256 bytea, for_long interval, from_address text, by_agent text
) RETURNS uuid
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    most CONSTANT int := 50;
    present timestamptz := almagest.clock();
    begun uuid;
BEGIN
    -- Whoever has shown a password that was changed meanwhile has shown nothing.
    UPDATE almagest.account AS a SET last_login_at = present
    WHERE a.id = of_account AND a.disabled_at IS NULL AND a.epoch = in_epoch;
    IF NOT FOUND THEN
        RETURN NULL;
    END IF;
    INSERT INTO almagest.session AS s (account, kind, epoch, secret_sha256, expires_at, address, agent)
    VALUES (of_account, of_kind, in_epoch, with_sha256, present + for_long, left(from_address, 100), left(by_agent, 300))
    RETURNING s.id INTO begun;
    -- The oldest make room.
    UPDATE almagest.session AS s SET ended_at = present, end_reason = 'logout'
    WHERE s.id IN (SELECT o.id FROM almagest.session AS o
                   WHERE o.account = of_account AND o.ended_at IS NULL AND o.id <> begun
                   ORDER BY o.last_used_at DESC OFFSET most - 1);
    RETURN begun;
END;
$$;
COMMENT ON FUNCTION almagest.open_session(uuid, int, text, bytea, interval, text, text) IS
    'Begins a login and answers its id; NULL where the account is disabled, or all its logins were ended since that epoch.';


CREATE OR REPLACE FUNCTION almagest.refresh_session(
    of_session uuid, with_sha256 bytea, next_sha256 bytea, grace interval
) RETURNS TABLE (account uuid, name text, scopes text[], epoch int, expires_at timestamptz, reason text)
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    present timestamptz := almagest.clock();
    login almagest.session;
BEGIN
    SELECT s.* INTO login FROM almagest.session AS s WHERE s.id = of_session AND s.kind = 'token' FOR UPDATE;
    SELECT l.account, a.name, a.scopes, a.epoch, a.reason INTO account, name, scopes, epoch, reason
    FROM (SELECT login.account) AS l(account) CROSS JOIN LATERAL almagest.standing(l.account) AS a;
    expires_at := login.expires_at;
    reason := CASE
        WHEN login.id IS NULL THEN 'unknown'
        WHEN login.ended_at IS NOT NULL THEN 'ended'
        WHEN login.expires_at <= present THEN 'expired'
        WHEN login.epoch <> epoch THEN 'ended'
        ELSE reason
    END;
    IF reason IS NOT NULL THEN
        NULL;
    ELSIF login.secret_sha256 = with_sha256 THEN
        UPDATE almagest.session AS s
        SET secret_sha256 = next_sha256, previous_sha256 = with_sha256, rotated_at = present, last_used_at = present
        WHERE s.id = of_session;
    ELSIF login.previous_sha256 = with_sha256 AND login.rotated_at > present - grace THEN
        -- Whoever repeats himself is told the same again: the next secret follows from this one.
        reason := CASE WHEN login.secret_sha256 <> next_sha256 THEN 'unknown' END;
    ELSE
        -- A secret that was good once, or never: somebody else has had it, and nobody can tell who is who.
        PERFORM almagest.end_session(of_session, 'reuse');
        reason := 'reuse';
    END IF;
    RETURN NEXT;
END;
$$;
COMMENT ON FUNCTION almagest.refresh_session(uuid, bytea, bytea, interval) IS
    'Puts a login''s secret in the place of the one before it. One row: whose it is and what he may; or the reason why not:
unknown, ended, expired, disabled, reuse (which ends the login).';


CREATE OR REPLACE FUNCTION almagest.end_session(of_session uuid, why text DEFAULT 'logout') RETURNS void
LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
    UPDATE almagest.session AS s SET ended_at = almagest.clock(), end_reason = why
    WHERE s.id = of_session AND s.ended_at IS NULL
$$;
COMMENT ON FUNCTION almagest.end_session(uuid, text) IS 'Ends a login, and with it every token of it.';


CREATE OR REPLACE FUNCTION almagest.end_sessions(of_account uuid, why text DEFAULT 'everywhere') RETURNS void
LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
    -- The account first, here and where a login begins: none slips between the two.
    UPDATE almagest.account AS a SET epoch = a.epoch + 1 WHERE a.id = of_account;
    UPDATE almagest.session AS s SET ended_at = almagest.clock(), end_reason = why
    WHERE s.account = of_account AND s.ended_at IS NULL;
$$;
COMMENT ON FUNCTION almagest.end_sessions(uuid, text) IS 'Ends every login of an account.';


CREATE OR REPLACE FUNCTION almagest.standing_of_session(login almagest.session)
RETURNS TABLE (
    session uuid, subject text, name text, scopes text[], tier text, calls bigint, calls_per interval, reason text
)
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    present timestamptz := almagest.clock();
    current_epoch int;
BEGIN
    IF login.id IS NULL THEN
        reason := 'unknown';
        RETURN NEXT;
        RETURN;
    END IF;
    session := login.id;
    SELECT s.subject, s.name, s.scopes || 'account'::text, s.tier, s.calls, s.calls_per, s.epoch, s.reason
    INTO subject, name, scopes, tier, calls, calls_per, current_epoch, reason
    FROM almagest.standing(login.account) AS s;
    reason := CASE
        WHEN login.ended_at IS NOT NULL OR login.epoch <> current_epoch THEN 'ended'
        WHEN login.expires_at <= present THEN 'expired'
        ELSE reason
    END;
    IF reason IS NULL AND login.last_used_at < present - interval '1 minute'
       AND NOT current_setting('transaction_read_only')::boolean
    THEN
        PERFORM set_config('synchronous_commit', 'off', true); -- nobody waits for the disk: losing it does no harm
        PERFORM FROM almagest.session AS s WHERE s.id = login.id FOR NO KEY UPDATE SKIP LOCKED;
        IF FOUND THEN
            UPDATE almagest.session AS s SET last_used_at = present WHERE s.id = login.id;
        END IF;
    END IF;
    RETURN NEXT;
END;
$$;
COMMENT ON FUNCTION almagest.standing_of_session(almagest.session) IS 'What a login may, or why it opens nothing.';


CREATE OR REPLACE FUNCTION almagest.authorize_token(of_session uuid, of_account uuid)
RETURNS TABLE (
    session uuid, subject text, name text, scopes text[], tier text, calls bigint, calls_per interval, reason text
)
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    login almagest.session;
BEGIN
    SELECT s.* INTO login FROM almagest.session AS s
    WHERE s.id = of_session AND s.account = of_account AND s.kind = 'token';
    RETURN QUERY SELECT * FROM almagest.standing_of_session(login);
END;
$$;
COMMENT ON FUNCTION almagest.authorize_token(uuid, uuid) IS
    'One row: what whoever holds an access token of this login may, or why it opens nothing: unknown, ended, expired, disabled.';


CREATE OR REPLACE FUNCTION almagest.authorize_page(of_session uuid, with_sha256 bytea)
RETURNS TABLE (
    session uuid, subject text, name text, scopes text[], tier text, calls bigint, calls_per interval, reason text
)
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    login almagest.session;
BEGIN
    SELECT s.* INTO login FROM almagest.session AS s
    WHERE s.id = of_session AND s.kind = 'page' AND s.secret_sha256 = with_sha256;
    RETURN QUERY SELECT * FROM almagest.standing_of_session(login);
END;
$$;
COMMENT ON FUNCTION almagest.authorize_page(uuid, bytea) IS
    'One row: what whoever sends this cookie may, or why it opens nothing: unknown, ended, expired, disabled.';


CREATE OR REPLACE FUNCTION almagest.list_sessions(of_account uuid)
RETURNS TABLE (
    id uuid, kind text, created_at timestamptz, last_used_at timestamptz, expires_at timestamptz, address text, agent text
)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
    SELECT s.id, s.kind, s.created_at, s.last_used_at, s.expires_at, s.address, s.agent
    FROM almagest.session AS s
    WHERE s.account = of_account AND s.ended_at IS NULL AND s.expires_at > almagest.clock()
    ORDER BY s.created_at DESC
$$;
COMMENT ON FUNCTION almagest.list_sessions(uuid) IS 'Where an account is logged in, the latest login first.';


CREATE OR REPLACE FUNCTION almagest.forget_sessions() RETURNS bigint
LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
    WITH over AS (
        DELETE FROM almagest.session AS s
        WHERE s.id IN (SELECT o.id FROM almagest.session AS o
                       WHERE o.expires_at < almagest.clock() - interval '7 days' LIMIT 10000)
        RETURNING 1
    )
    SELECT count(*) FROM over
$$;
COMMENT ON FUNCTION almagest.forget_sessions() IS 'Removes logins that ended long ago.';
