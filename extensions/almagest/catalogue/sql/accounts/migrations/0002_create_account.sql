-- People: who they are, what they may, how much of it, and where they are logged in.

CREATE TABLE almagest.tier (
    name text PRIMARY KEY CHECK (name COLLATE "C" ~ '^[a-z][a-z0-9-]{0,30}$'),
    title text NOT NULL
);
COMMENT ON TABLE almagest.tier IS 'Who may use how much. What has no row in almagest.quota is not limited.';

CREATE TABLE almagest.quota (
    tier text NOT NULL REFERENCES almagest.tier (name) ON UPDATE CASCADE ON DELETE CASCADE,
    class text NOT NULL CHECK (class COLLATE "C" ~ '^[a-z][a-z0-9_]{0,30}$'),
    most bigint NOT NULL CHECK (most >= 0),
    per interval CHECK (per > interval '0'),
    PRIMARY KEY (tier, class)
);
COMMENT ON TABLE almagest.quota IS 'How much of something a tier allows.';
COMMENT ON COLUMN almagest.quota.class IS
    'calls: authenticated requests; upload: bytes of one file; files: bytes of all files; else jobs of processes of this class.';
COMMENT ON COLUMN almagest.quota.per IS 'Within so long, counted back from now; NULL: at any one time.';

INSERT INTO almagest.tier (name, title) VALUES ('free', 'Free'), ('premium', 'Premium'), ('enterprise', 'Enterprise');
INSERT INTO almagest.quota (tier, class, most, per) VALUES
    ('free', 'calls', 100, '1 hour'),
    ('free', 'ml', 5, '1 hour'),
    ('free', 'upload', 10 * 1024 * 1024, NULL),
    ('free', 'files', 100 * 1024 * 1024, NULL),
    ('premium', 'calls', 1000, '1 hour'),
    ('premium', 'ml', 50, '1 hour'),
    ('premium', 'upload', 100 * 1024 * 1024, NULL),
    ('premium', 'files', 10::bigint * 1024 * 1024 * 1024, NULL),
    ('enterprise', 'upload', 1024 * 1024 * 1024, NULL);

CREATE TABLE almagest.account_role (
    name text PRIMARY KEY CHECK (name COLLATE "C" ~ '^[A-Z][A-Z0-9_]{0,30}$'),
    scopes text[] NOT NULL CHECK (array_position(scopes, NULL) IS NULL),
    tier text NOT NULL REFERENCES almagest.tier (name) ON UPDATE CASCADE
);
COMMENT ON TABLE almagest.account_role IS 'What people of a role may, and the tier that they have unless theirs says otherwise.';

INSERT INTO almagest.account_role (name, scopes, tier) VALUES
    ('USER', '{catalogue:read,jobs:run,files:write}', 'free'),
    ('PREMIUM', '{catalogue:read,jobs:run,files:write}', 'premium'),
    ('ADMIN', '{admin}', 'enterprise');

CREATE TABLE almagest.account (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    name text NOT NULL UNIQUE CHECK (name COLLATE "C" ~ '^[a-z0-9][a-z0-9._@+-]{1,98}[a-z0-9]$'),
    password_hash text CHECK (length(password_hash) BETWEEN 20 AND 500),
    issuer text,
    subject text,
    role text NOT NULL DEFAULT 'USER' REFERENCES almagest.account_role (name) ON UPDATE CASCADE,
    tier text REFERENCES almagest.tier (name) ON UPDATE CASCADE,
    scopes text[] NOT NULL DEFAULT '{}' CHECK (array_position(scopes, NULL) IS NULL),
    epoch int NOT NULL DEFAULT 0,
    created_at timestamptz NOT NULL DEFAULT almagest.clock(),
    password_changed_at timestamptz,
    last_login_at timestamptz,
    disabled_at timestamptz,
    UNIQUE (issuer, subject),
    CHECK ((issuer IS NULL) = (subject IS NULL))
);
COMMENT ON TABLE almagest.account IS 'People. None is ever deleted: what they did names them.';
COMMENT ON COLUMN almagest.account.name IS 'What they log in with, often an address of mail. In lower-case ASCII: it travels in a header.';
COMMENT ON COLUMN almagest.account.password_hash IS 'Of argon2id, or of bcrypt until the next login; NULL: they log in elsewhere.';
COMMENT ON COLUMN almagest.account.issuer IS 'The OpenID provider that vouches for them, if one does; `subject` is what it calls them.';
COMMENT ON COLUMN almagest.account.tier IS 'Theirs alone; NULL: that of their role.';
COMMENT ON COLUMN almagest.account.scopes IS 'What they may beside what their role may, granted by an admin.';
COMMENT ON COLUMN almagest.account.epoch IS 'Counts how often everything of theirs was logged out. What was issued before is no longer good.';

CREATE TABLE almagest.session (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    account uuid NOT NULL REFERENCES almagest.account (id),
    kind text NOT NULL CHECK (kind IN ('token', 'page')),
    epoch int NOT NULL,
    secret_sha256 bytea NOT NULL CHECK (length(secret_sha256) = 32),
    previous_sha256 bytea CHECK (length(previous_sha256) = 32),
    rotated_at timestamptz,
    created_at timestamptz NOT NULL DEFAULT almagest.clock(),
    last_used_at timestamptz NOT NULL DEFAULT almagest.clock(),
    expires_at timestamptz NOT NULL,
    ended_at timestamptz,
    end_reason text CHECK (end_reason IN ('logout', 'reuse', 'everywhere', 'password', 'disabled')),
    address text,
    agent text,
    CHECK ((ended_at IS NULL) = (end_reason IS NULL))
);
CREATE INDEX session_of_account ON almagest.session (account, created_at DESC);
CREATE INDEX session_over ON almagest.session (expires_at);
COMMENT ON TABLE almagest.session IS 'Logins: each is a family of refresh tokens, of which one at a time is good, or a cookie of the pages.';
COMMENT ON COLUMN almagest.session.secret_sha256 IS 'SHA-256 of the secret of the token or cookie that is good now.';
COMMENT ON COLUMN almagest.session.previous_sha256 IS
    'Of the token before it: for some seconds who repeats himself is told the same again; later it was stolen.';

ALTER TABLE almagest.api_key ADD COLUMN account uuid REFERENCES almagest.account (id);
CREATE INDEX api_key_of_account ON almagest.api_key (account) WHERE account IS NOT NULL;
COMMENT ON COLUMN almagest.api_key.account IS 'Whose it is: it may what he may, at most. NULL: nobody''s but the operator''s.';

CREATE TABLE almagest.quota_use (
    subject text NOT NULL,
    class text NOT NULL,
    at timestamptz NOT NULL DEFAULT almagest.clock()
);
CREATE INDEX quota_use_of ON almagest.quota_use (subject, class, at);
COMMENT ON TABLE almagest.quota_use IS
    'What counts against exact quotas, until it no longer does. Whoever removes a job has had it all the same.';

-- They answer more now.
DROP FUNCTION IF EXISTS almagest.authorize(text, bytea, inet);
DROP FUNCTION IF EXISTS almagest.create_key(text, bytea, text, text[], timestamptz, cidr[]);
DROP FUNCTION IF EXISTS almagest.list_keys();
