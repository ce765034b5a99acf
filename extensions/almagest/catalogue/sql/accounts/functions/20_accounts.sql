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
    created_at timestamptz, password_changed_at timestamptz, last_login_at timestamptz, disabled_at timestamptz
)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
    SELECT a.id, a.name, a.password_hash, a.issuer, a.role, a.tier, s.tier, a.scopes, s.scopes,
           a.created_at, a.password_changed_at, a.last_login_at, a.disabled_at
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
    of_account uuid, with_role text, with_tier text, with_scopes text[], is_disabled boolean
) RETURNS boolean
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    before almagest.account;
BEGIN
    -- One after another: of two admins who demote each other one stays.
    PERFORM pg_advisory_xact_lock(hashtextextended('almagest.account admins', 0));
    SELECT a.* INTO before FROM almagest.account AS a WHERE a.id = of_account FOR UPDATE;
    IF before.id IS NULL THEN
        RETURN false;
    END IF;
    UPDATE almagest.account AS a
    SET role = with_role, tier = with_tier, scopes = with_scopes,
        disabled_at = CASE WHEN is_disabled THEN coalesce(a.disabled_at, almagest.clock()) END
    WHERE a.id = of_account;
    IF before.role = 'ADMIN' AND before.disabled_at IS NULL AND NOT almagest.has_admin() THEN
        RAISE EXCEPTION USING ERRCODE = 'P0001', MESSAGE = 'This is the last admin: make another one first.';
    END IF;
    IF is_disabled AND before.disabled_at IS NULL THEN
        PERFORM almagest.end_sessions(of_account, 'disabled');
    END IF;
    RETURN true;
END;
$$;
COMMENT ON FUNCTION almagest.change_account(uuid, text, text, text[], boolean) IS
    'Gives an account a role, a tier of its own (or none) and scopes beside those of its role, and lets it in or not. False
where there is none; P0001 where no admin would be left.';


CREATE OR REPLACE FUNCTION almagest.set_password(of_account uuid, with_hash text, is_same_password boolean DEFAULT false)
RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    UPDATE almagest.account AS a
    SET password_hash = with_hash,
        password_changed_at = CASE WHEN is_same_password THEN a.password_changed_at ELSE almagest.clock() END
    WHERE a.id = of_account;
    IF NOT is_same_password THEN
        PERFORM almagest.end_sessions(of_account, 'password');
    END IF;
END;
$$;
COMMENT ON FUNCTION almagest.set_password(uuid, text, boolean) IS
    'Gives an account another password, and ends every login that the former one began; or another hash of the same one.';


CREATE OR REPLACE FUNCTION almagest.has_admin() RETURNS boolean
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
AS $$ SELECT EXISTS (SELECT FROM almagest.account AS a WHERE a.role = 'ADMIN' AND a.disabled_at IS NULL) $$;
COMMENT ON FUNCTION almagest.has_admin() IS 'Whether there is somebody who may everything, and is let in.';
