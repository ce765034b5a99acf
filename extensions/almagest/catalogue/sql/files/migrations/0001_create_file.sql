-- Files of people and keys. The bytes lie in the store, each file in a place of its own.

CREATE TABLE almagest.file (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    subject text NOT NULL CHECK (subject COLLATE "C" ~ '^(user|key):[!-~]{1,100}$'),
    name text NOT NULL CHECK (octet_length(name) <= 255 AND name !~ '^\.{0,2}$|[/\\]'),
    size bigint NOT NULL CHECK (size >= 0),
    sha256 bytea NOT NULL CHECK (length(sha256) = 32),
    media_type text NOT NULL,
    key text NOT NULL UNIQUE,
    created_at timestamptz NOT NULL DEFAULT almagest.clock(),
    UNIQUE (subject, name)
);
CREATE INDEX file_of_subject ON almagest.file (subject, created_at DESC, id DESC);
COMMENT ON TABLE almagest.file IS 'Files that callers keep here. A row is there only while its bytes are.';
COMMENT ON COLUMN almagest.file.subject IS 'Whose it is, as the door names callers: `user:<id>` or `key:<id>`.';
COMMENT ON COLUMN almagest.file.name IS 'What its owner calls it.';
COMMENT ON COLUMN almagest.file.media_type IS 'What it is, by its content.';
COMMENT ON COLUMN almagest.file.key IS 'Where it lies, below the store''s folder or in its bucket. Never used twice.';
