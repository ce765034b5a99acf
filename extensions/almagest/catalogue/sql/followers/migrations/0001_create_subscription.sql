-- Servers that are told of changes.

CREATE TABLE almagest.subscription (
    name text PRIMARY KEY CHECK (name COLLATE "C" ~ '^[a-z0-9][a-z0-9._-]{0,62}$'),
    principal text NOT NULL,
    url text NOT NULL,
    audience text NOT NULL CHECK (audience IN ('internal', 'external')),
    collections text[] CHECK (collections <> '{}'),
    cursor text,
    created_at timestamptz NOT NULL DEFAULT almagest.clock(),
    due_at timestamptz DEFAULT almagest.clock(),
    post uuid,
    told_at timestamptz,
    trouble text
);
COMMENT ON TABLE almagest.subscription IS 'Servers that are told of changes, and how far each has been told.';
COMMENT ON COLUMN almagest.subscription.principal IS 'On whose behalf: with his key it is signed, as callbacks of his jobs are.';
COMMENT ON COLUMN almagest.subscription.collections IS 'Of these; NULL: of all.';
COMMENT ON COLUMN almagest.subscription.cursor IS 'As /changes hands them out; NULL: nothing was told yet, not even what is there.';
COMMENT ON COLUMN almagest.subscription.post IS 'The page that is on its way, in the outbox; the next one waits for it.';
COMMENT ON COLUMN almagest.subscription.due_at IS 'Not to be looked at before; NULL: never.';
