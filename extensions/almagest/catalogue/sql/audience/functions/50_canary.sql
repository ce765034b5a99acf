-- What the canary has found.

CREATE OR REPLACE FUNCTION almagest.ledger_hash() RETURNS text
LANGUAGE sql STABLE SET search_path = almagest, pg_temp
AS $$
    SELECT encode(sha256(convert_to(string_agg(concat_ws(' ', set_name, name, sha256), ';' ORDER BY set_name, name), 'UTF8')), 'hex')
    FROM almagest.ledger
$$;
COMMENT ON FUNCTION almagest.ledger_hash() IS 'Hash of what is applied to this database.';


CREATE OR REPLACE FUNCTION almagest.note_canary() RETURNS void
LANGUAGE sql VOLATILE SET search_path = almagest, pg_temp
AS $$
    INSERT INTO almagest.canary (passed_at, ledger) VALUES (almagest.clock(), almagest.ledger_hash())
    ON CONFLICT (only_row) DO UPDATE SET passed_at = excluded.passed_at, ledger = excluded.ledger
$$;
COMMENT ON FUNCTION almagest.note_canary() IS 'Notes that the canary has passed with what is applied now.';


CREATE OR REPLACE FUNCTION external.canary_has_passed() RETURNS boolean
LANGUAGE sql STABLE SECURITY DEFINER
SET search_path = almagest, pg_temp
SET standard_conforming_strings = on SET client_min_messages = error
AS $$ SELECT EXISTS (SELECT FROM almagest.canary WHERE ledger = almagest.ledger_hash()) $$;
COMMENT ON FUNCTION external.canary_has_passed() IS 'Whether the canary has passed with what is applied now.';
