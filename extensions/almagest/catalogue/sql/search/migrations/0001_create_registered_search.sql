-- Searches that somebody gave an address, so that their items can be seen as one mosaic.

CREATE TABLE almagest.registered_search (
    id text PRIMARY KEY CHECK (id ~ '^[0-9a-f]{64}$'),
    search jsonb NOT NULL CHECK (jsonb_typeof(search) = 'object'),
    metadata jsonb NOT NULL CHECK (jsonb_typeof(metadata) = 'object'),
    audience text NOT NULL DEFAULT 'internal' CHECK (audience IN ('internal', 'public')),
    created_at timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE almagest.registered_search IS
    'Searches with an address. Nothing is ever changed in a row but its audience: the id is the hash of what it holds.';
COMMENT ON COLUMN almagest.registered_search.id IS 'SHA-256 of search and metadata as jsonb prints them, in hexadecimal.';
COMMENT ON COLUMN almagest.registered_search.search IS 'A STAC item search without paging and fields.';
COMMENT ON COLUMN almagest.registered_search.metadata IS 'How it is shown: name, bounds, zooms, defaults.';
COMMENT ON COLUMN almagest.registered_search.audience IS 'Who may see it: internal, or public as well.';
