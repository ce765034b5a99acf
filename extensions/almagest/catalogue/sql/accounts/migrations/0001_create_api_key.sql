-- Keys of the API. A row is never deleted: what was made, rotated and revoked can be read from it.

CREATE TABLE almagest.api_key (
    id text PRIMARY KEY CHECK (id ~ '^[0-9A-Za-z]{8}$'),
    secret_sha256 bytea NOT NULL CHECK (length(secret_sha256) = 32),
    previous_sha256 bytea CHECK (length(previous_sha256) = 32),
    previous_until timestamptz,
    name text NOT NULL CHECK (name COLLATE "C" ~ '^[!-~]([ -~]{0,98}[!-~])?$'),
    scopes text[] NOT NULL CHECK (cardinality(scopes) > 0 AND array_position(scopes, NULL) IS NULL),
    addresses cidr[] NOT NULL DEFAULT '{}' CHECK (array_position(addresses, NULL) IS NULL),
    created_at timestamptz NOT NULL DEFAULT almagest.clock(),
    expires_at timestamptz,
    rotated_at timestamptz,
    revoked_at timestamptz,
    last_used_at timestamptz,
    CHECK ((previous_sha256 IS NULL) = (previous_until IS NULL))
);
COMMENT ON TABLE almagest.api_key IS 'Keys of the API, without their secrets. None is ever deleted.';
COMMENT ON COLUMN almagest.api_key.id IS 'The part of a key that may be known and stands in logs.';
COMMENT ON COLUMN almagest.api_key.secret_sha256 IS 'SHA-256 of the part that may not.';
COMMENT ON COLUMN almagest.api_key.previous_sha256 IS
    'The secret before the last rotation, where it goes on for a while: until previous_until.';
COMMENT ON COLUMN almagest.api_key.name IS 'Whom or what it is for, in printable ASCII: it travels in a header.';
COMMENT ON COLUMN almagest.api_key.addresses IS 'Networks that it may be used from; none: from anywhere.';
COMMENT ON COLUMN almagest.api_key.last_used_at IS 'When it last opened something, to the minute.';
