CREATE OR REPLACE FUNCTION almagest.authorize(key_id text, secret_sha256 bytea, address inet)
RETURNS TABLE (subject text, name text, scopes text[], tier text, calls bigint, calls_per interval, reason text)
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    present timestamptz := almagest.clock();
    key almagest.api_key;
BEGIN
    -- Two hashes are compared, so the time that it takes tells nothing about a secret.
    SELECT k.* INTO key FROM almagest.api_key AS k
    WHERE k.id = key_id
      AND (k.secret_sha256 = authorize.secret_sha256
           OR (k.previous_sha256 = authorize.secret_sha256 AND k.previous_until > present));
    reason := CASE
        WHEN key.id IS NULL THEN 'unknown'
        WHEN key.revoked_at IS NOT NULL THEN 'revoked'
        WHEN key.expires_at <= present THEN 'expired'
        WHEN cardinality(key.addresses) > 0 AND (address <<= ANY (key.addresses)) IS NOT TRUE THEN 'address'
    END;
    IF reason IS NULL AND key.account IS NULL THEN
        subject := 'key:' || key.id;
        name := key.name;
        scopes := key.scopes;
    ELSIF reason IS NULL THEN
        SELECT s.subject, s.name, almagest.both_scopes(key.scopes, s.scopes), s.tier, s.calls, s.calls_per, s.reason
        INTO subject, name, scopes, tier, calls, calls_per, reason
        FROM almagest.standing(key.account) AS s;
    END IF;
    IF reason IS NULL THEN
        PERFORM almagest.note_use(key.id, key.last_used_at, present);
    END IF;
    RETURN NEXT;
END;
$$;
COMMENT ON FUNCTION almagest.authorize(text, bytea, inet) IS
    'One row: whose key this is, what it may and how often, or why it opens nothing: unknown (no such id, or another secret),
revoked, expired, address, disabled. Only whoever has the secret learns more than unknown.';


CREATE OR REPLACE FUNCTION almagest.note_use(key_id text, before timestamptz, present timestamptz) RETURNS void
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    -- Once a minute, and not where nothing can be written.
    IF before > present - interval '1 minute' OR current_setting('transaction_read_only')::boolean THEN
        RETURN;
    END IF;
    PERFORM set_config('synchronous_commit', 'off', true); -- nobody waits for the disk: losing it does no harm
    -- Another request notes the same, or the key is being changed: that is not waited for.
    PERFORM FROM almagest.api_key AS k
    WHERE k.id = key_id AND k.last_used_at IS NOT DISTINCT FROM before
    FOR NO KEY UPDATE SKIP LOCKED;
    IF FOUND THEN
        UPDATE almagest.api_key AS k SET last_used_at = present WHERE k.id = key_id;
    END IF;
EXCEPTION WHEN OTHERS THEN
    NULL; -- a full disk, say; a key that is good stays good
END;
$$;
COMMENT ON FUNCTION almagest.note_use(text, timestamptz, timestamptz) IS
    'Remembers that a key was used, where it can be done at once.';


CREATE OR REPLACE FUNCTION almagest.active_keys() RETURNS bigint
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
    SELECT count(*) FROM almagest.api_key AS k
    WHERE k.revoked_at IS NULL AND (k.expires_at IS NULL OR k.expires_at > almagest.clock())
$$;
COMMENT ON FUNCTION almagest.active_keys() IS 'How many keys are neither revoked nor expired.';


CREATE OR REPLACE FUNCTION almagest.create_key(
    key_id text, secret_sha256 bytea, name text, scopes text[], expires_at timestamptz, addresses cidr[],
    of_account uuid DEFAULT NULL
) RETURNS boolean
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    most CONSTANT int := 100;
BEGIN
    IF of_account IS NOT NULL THEN
        PERFORM FROM almagest.account AS a WHERE a.id = of_account FOR UPDATE; -- exact, also where many come at once
        IF (SELECT count(*) FROM almagest.list_keys(of_account) AS k WHERE k.active) >= most THEN
            RAISE EXCEPTION USING MESSAGE = format('An account has %s keys at most: revoke some.', most);
        END IF;
    END IF;
    INSERT INTO almagest.api_key (id, secret_sha256, name, scopes, expires_at, addresses, account)
    VALUES (key_id, create_key.secret_sha256, create_key.name, create_key.scopes, create_key.expires_at,
            create_key.addresses, of_account)
    ON CONFLICT (id) DO NOTHING;
    RETURN FOUND;
END;
$$;
COMMENT ON FUNCTION almagest.create_key(text, bytea, text, text[], timestamptz, cidr[], uuid) IS
    'Stores a new key, of an account or of nobody. False, and nothing is changed, where the id is taken, also by a key that
was revoked. P0001 where an account has too many.';


CREATE OR REPLACE FUNCTION almagest.rotate_key(key_id text, secret_sha256 bytea, overlap interval) RETURNS text
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    present timestamptz := almagest.clock();
    key almagest.api_key;
BEGIN
    SELECT k.* INTO key FROM almagest.api_key AS k WHERE k.id = key_id FOR UPDATE;
    IF key.id IS NULL THEN
        RAISE no_data_found USING MESSAGE = format('There is no key %s.', key_id);
    ELSIF key.revoked_at IS NOT NULL OR key.expires_at <= present THEN
        RAISE EXCEPTION USING MESSAGE = format('Key %s is revoked or has expired: create a new one.', key_id);
    END IF;
    -- The secret before the previous one ends here in any case.
    UPDATE almagest.api_key AS k
    SET secret_sha256 = rotate_key.secret_sha256,
        rotated_at = present,
        previous_sha256 = CASE WHEN overlap > interval '0' THEN key.secret_sha256 END,
        previous_until = CASE WHEN overlap > interval '0' THEN present + overlap END
    WHERE k.id = key_id;
    RETURN key.name;
END;
$$;
COMMENT ON FUNCTION almagest.rotate_key(text, bytea, interval) IS
    'Gives a key a new secret; the old one goes on for the overlap. Returns its name. Raises P0002 where there is none.';


CREATE OR REPLACE FUNCTION almagest.revoke_key(key_id text) RETURNS text
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    key almagest.api_key;
BEGIN
    UPDATE almagest.api_key AS k
    SET revoked_at = coalesce(k.revoked_at, almagest.clock()), previous_sha256 = NULL, previous_until = NULL
    WHERE k.id = key_id
    RETURNING k.* INTO key;
    IF key.id IS NULL THEN
        RAISE no_data_found USING MESSAGE = format('There is no key %s.', key_id);
    END IF;
    RETURN key.name;
END;
$$;
COMMENT ON FUNCTION almagest.revoke_key(text) IS
    'Ends a key for good, from the next request on. Returns its name. Raises P0002 where there is none.';


CREATE OR REPLACE FUNCTION almagest.list_keys(of_account uuid DEFAULT NULL)
RETURNS TABLE (
    id text, name text, owner text, scopes text[], addresses cidr[], created_at timestamptz, expires_at timestamptz,
    rotated_at timestamptz, previous_until timestamptz, revoked_at timestamptz, last_used_at timestamptz, active boolean
)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
    SELECT k.id, k.name, a.name, k.scopes, k.addresses, k.created_at, k.expires_at, k.rotated_at, k.previous_until,
           k.revoked_at, k.last_used_at, k.revoked_at IS NULL AND (k.expires_at IS NULL OR k.expires_at > almagest.clock())
    FROM almagest.api_key AS k
    LEFT JOIN almagest.account AS a ON a.id = k.account
    WHERE of_account IS NULL OR k.account = of_account
    ORDER BY k.created_at, k.id
$$;
COMMENT ON FUNCTION almagest.list_keys(uuid) IS 'Every key there ever was, or of an account, without hashes.';
