-- As LIKE takes them: every search of outsiders compares ids with all rules.
ALTER TABLE almagest.collection_rule ADD COLUMN likeness text NOT NULL
    GENERATED ALWAYS AS (replace(regexp_replace(pattern, '([\\%_])', '\\\1', 'g'), '*', '%')) STORED;
COMMENT ON COLUMN almagest.collection_rule.likeness IS 'The pattern for LIKE.';
