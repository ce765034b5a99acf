-- What is to be told to somebody else's server. It is written in the transaction that there is something to tell of, so that
-- neither happens without the other; workers deliver it.

CREATE TABLE almagest.outbox (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    kind text NOT NULL CHECK (kind COLLATE "C" ~ '^[a-z][a-z-]{0,30}$'),
    about text NOT NULL,
    principal text NOT NULL,
    url text NOT NULL,
    payload jsonb NOT NULL,
    created_at timestamptz NOT NULL DEFAULT almagest.clock(),
    next_at timestamptz DEFAULT almagest.clock(),
    tries int NOT NULL DEFAULT 0,
    delivered_at timestamptz,
    given_up_at timestamptz,
    last_error text,
    CHECK ((next_at IS NULL) = (delivered_at IS NOT NULL OR given_up_at IS NOT NULL)),
    CHECK (delivered_at IS NULL OR given_up_at IS NULL)
);
CREATE INDEX outbox_due ON almagest.outbox (next_at) WHERE next_at IS NOT NULL;
CREATE INDEX outbox_of_subject ON almagest.outbox (about);
CREATE INDEX outbox_over ON almagest.outbox (coalesce(delivered_at, given_up_at)) WHERE next_at IS NULL;

COMMENT ON TABLE almagest.outbox IS 'What is to be told to somebody else''s server, and what became of that.';
COMMENT ON COLUMN almagest.outbox.kind IS 'How the body is made of the payload: `document` is it as it stands.';
COMMENT ON COLUMN almagest.outbox.about IS 'What it tells of, as `job:<id>`.';
COMMENT ON COLUMN almagest.outbox.principal IS 'On whose behalf: it is signed with the key that he was given.';
COMMENT ON COLUMN almagest.outbox.next_at IS 'Not to be tried before. Whoever tries it moves this on: should he die, the next one may. NULL: it is over.';
COMMENT ON COLUMN almagest.outbox.tries IS 'How often it was taken up; the number of a try is its fence.';
COMMENT ON COLUMN almagest.outbox.last_error IS 'Why the last try failed.';
