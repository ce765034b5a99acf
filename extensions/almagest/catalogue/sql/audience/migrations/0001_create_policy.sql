-- Who may see what. The rules are read by every request of the external audience, so they are few and small.

CREATE TABLE almagest.audience_policy (
    only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    origin text NOT NULL DEFAULT '',
    visible_schemes text[] NOT NULL DEFAULT '{http,https}',
    visible_buckets text[] NOT NULL DEFAULT '{}',
    own_bucket text NOT NULL DEFAULT '',
    internal_by_default boolean NOT NULL DEFAULT true,
    hidden_properties text[] NOT NULL DEFAULT '{almagest:*}'
);
INSERT INTO almagest.audience_policy DEFAULT VALUES;
COMMENT ON TABLE almagest.audience_policy IS
    'What outsiders may see, as one row. All but hidden_properties follows from the settings of the site.';
COMMENT ON COLUMN almagest.audience_policy.origin IS 'Scheme and authority of the public site, as links are built from it.';
COMMENT ON COLUMN almagest.audience_policy.own_bucket IS 'Bucket of our own store, whose names are never shown.';
COMMENT ON COLUMN almagest.audience_policy.internal_by_default IS 'What a collection is that no rule names.';
COMMENT ON COLUMN almagest.audience_policy.hidden_properties IS
    'Names of members that outsiders never see, in items, collections, assets and links; a final * stands for any end.';


CREATE TABLE almagest.collection_rule (
    pattern text PRIMARY KEY CHECK (pattern <> ''),
    internal boolean NOT NULL
);
COMMENT ON TABLE almagest.collection_rule IS
    'Which collections are internal-only. A rule needs no collection: it may be there before, and stays behind.';
COMMENT ON COLUMN almagest.collection_rule.pattern IS
    'Id of a collection, or a pattern in which * stands for anything. The id wins over patterns, a longer one over a shorter.';


CREATE TABLE almagest.exposed (
    collection text NOT NULL,
    item text NOT NULL,
    key text NOT NULL,
    location text NOT NULL CHECK (location ~ '^(file:///|s3://)'),
    PRIMARY KEY (collection, item, key)
);
COMMENT ON TABLE almagest.exposed IS
    'Stored assets that outsiders may read, and where their bytes lie. Holds as long as the asset still names that place.';
