CREATE OR REPLACE FUNCTION almagest.create_account(
    with_name text, with_hash text, with_role text DEFAULT 'USER', with_issuer text DEFAULT NULL, with_subject text DEFAULT NULL
) RETURNS uuid
LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
    INSERT INTO almagest.account (name, password_hash, role, issuer, subject, password_changed_at)
    VALUES (with_name, with_hash, with_role, with_issuer, with_subject,
            CASE WHEN with_hash IS NOT NULL THEN almagest.clock() END)
    ON CONFLICT DO NOTHING
    RETURNING id
$$;
COMMENT ON FUNCTION almagest.create_account(text, text, text, text, text) IS
    'Makes an account and answers its id; NULL where the name is taken, or somebody has logged in from there before.';


CREATE OR REPLACE FUNCTION almagest.find_account(
    with_id uuid DEFAULT NULL, with_name text DEFAULT NULL, with_issuer text DEFAULT NULL, with_subject text DEFAULT NULL
) RETURNS TABLE (
    id uuid, name text, password_hash text, issuer text, role text, own_tier text, tier text, own_scopes text[], scopes text[],
    created_at timestamptz, password_changed_at timestamptz, last_login_at timestamptz, disabled_at timestamptz, epoch int
)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
    SELECT a.id, a.name, a.password_hash, a.issuer, a.role, a.tier, s.tier, a.scopes, s.scopes,
           a.created_at, a.password_changed_at, a.last_login_at, a.disabled_at, a.epoch
    FROM almagest.account AS a
    CROSS JOIN LATERAL almagest.standing(a.id) AS s
    WHERE a.id = with_id OR a.name = with_name OR (a.issuer = with_issuer AND a.subject = with_subject)
$$;
COMMENT ON FUNCTION almagest.find_account(uuid, text, text, text) IS
    'An account by its id, its name, or what its provider calls it: a row, or none.';


CREATE OR REPLACE FUNCTION almagest.list_accounts(behind text DEFAULT '', most int DEFAULT 100, containing text DEFAULT '')
RETURNS TABLE (
    id uuid, name text, issuer text, role text, own_tier text, tier text, own_scopes text[], scopes text[],
    created_at timestamptz, password_changed_at timestamptz, last_login_at timestamptz, disabled_at timestamptz
)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
    SELECT a.id, a.name, a.issuer, a.role, a.tier, s.tier, a.scopes, s.scopes,
           a.created_at, a.password_changed_at, a.last_login_at, a.disabled_at
    FROM almagest.account AS a
    CROSS JOIN LATERAL almagest.standing(a.id) AS s
    WHERE a.name > behind COLLATE "C" AND strpos(a.name, containing) > 0
    ORDER BY a.name COLLATE "C"
    LIMIT most
$$;
COMMENT ON FUNCTION almagest.list_accounts(text, int, text) IS 'Accounts in the order of their names, behind one.';


CREATE OR REPLACE FUNCTION almagest.change_account(
    of_account uuid, with_role text, has_tier boolean, with_tier text, with_scopes text[], is_disabled boolean, with_hash text
) RETURNS boolean
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    before almagest.account;
    open_job uuid;
BEGIN
    -- One after another: of two admins who demote each other one stays.
    PERFORM pg_advisory_xact_lock(hashtextextended('almagest.account admins', 0));
    SELECT a.* INTO before FROM almagest.account AS a WHERE a.id = of_account FOR UPDATE;
    IF before.id IS NULL THEN
        RETURN false;
    END IF;
    UPDATE almagest.account AS a
    SET role = coalesce(with_role, a.role), tier = CASE WHEN has_tier THEN with_tier ELSE a.tier END,
        scopes = coalesce(with_scopes, a.scopes),
        disabled_at = CASE coalesce(is_disabled, a.disabled_at IS NOT NULL)
                      WHEN true THEN coalesce(a.disabled_at, almagest.clock()) END
    WHERE a.id = of_account;
    IF before.role = 'ADMIN' AND before.disabled_at IS NULL AND NOT almagest.has_admin() THEN
        RAISE EXCEPTION USING ERRCODE = 'P0001', MESSAGE = 'This is the last admin: make another one first.';
    END IF;
    IF with_hash IS NOT NULL THEN
        PERFORM almagest.set_password(of_account, with_hash);
    END IF;
    IF is_disabled AND before.disabled_at IS NULL THEN
        PERFORM almagest.end_sessions(of_account, 'disabled');
        -- Nor does anybody work for him any more.
        FOR open_job IN
            SELECT j.id FROM almagest.job AS j
            WHERE j.principal = 'user:' || of_account AND j.parent IS NULL AND j.status IN ('accepted', 'running')
            ORDER BY j.id FOR UPDATE
        LOOP
            PERFORM almagest.end_job(open_job, 'dismissed');
        END LOOP;
    END IF;
    RETURN true;
END;
$$;
COMMENT ON FUNCTION almagest.change_account(uuid, text, boolean, text, text[], boolean, text) IS
    'Gives an account a role, a tier of its own (or none), scopes beside those of its role, a password, and lets it in or not;
what is NULL stays as it is, and a tier where there is none to give. False where there is no such account; P0001 where no
admin would be left.';


CREATE OR REPLACE FUNCTION almagest.set_password(of_account uuid, with_hash text, former_hash text DEFAULT NULL) RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF former_hash IS NOT NULL THEN
        UPDATE almagest.account AS a SET password_hash = with_hash
        WHERE a.id = of_account AND a.password_hash = former_hash;
        RETURN;
    END IF;
    UPDATE almagest.account AS a SET password_hash = with_hash, password_changed_at = almagest.clock()
    WHERE a.id = of_account;
    PERFORM almagest.end_sessions(of_account, 'password');
END;
$$;
COMMENT ON FUNCTION almagest.set_password(uuid, text, text) IS
    'Gives an account another password, and ends every login that the former one began; or another hash of the same password,
unless that has changed meanwhile.';


CREATE OR REPLACE FUNCTION almagest.has_admin() RETURNS boolean
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$ SELECT EXISTS (SELECT FROM almagest.account AS a WHERE a.role = 'ADMIN' AND a.disabled_at IS NULL) $$;
COMMENT ON FUNCTION almagest.has_admin() IS 'Whether there is somebody who may everything, and is let in.';


CREATE OR REPLACE FUNCTION almagest.why_not(of_subject text, needed text) RETURNS text
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    found_scopes text[];
    is_over boolean;
BEGIN
    IF of_subject LIKE 'user:%' THEN
        SELECT s.scopes, s.reason IS NOT NULL INTO found_scopes, is_over
        FROM almagest.account AS a CROSS JOIN LATERAL almagest.standing(a.id) AS s
        WHERE a.id::text = substr(of_subject, 6);
    ELSIF of_subject LIKE 'key:%' THEN
        SELECT k.scopes, k.revoked_at IS NOT NULL OR coalesce(k.expires_at <= almagest.clock(), false)
        INTO found_scopes, is_over
        FROM almagest.api_key AS k WHERE k.id = substr(of_subject, 5);
    ELSE
        RETURN NULL; -- no caller: the operator's own
    END IF;
    RETURN CASE
        WHEN found_scopes IS NULL THEN 'There is no ' || of_subject || '.'
        WHEN is_over THEN of_subject || ' is disabled, revoked or has expired.'
        WHEN NOT (needed = ANY (found_scopes) OR 'admin' = ANY (found_scopes)) THEN
            format('%s lacks the scope `%s`.', of_subject, needed)
    END;
END;
$$;
COMMENT ON FUNCTION almagest.why_not(text, text) IS 'Why a subject may not do something now; NULL where it may.';
