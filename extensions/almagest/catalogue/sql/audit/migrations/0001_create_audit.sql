-- Who changed something, was refused, or did what admins do. Rows are only ever added; blocks seal them afterwards.

-- Numbers are taken by note_requests alone, which has the number of its transaction before: see settle_audit.
CREATE SEQUENCE almagest.request_audit_id;

CREATE TABLE almagest.request_audit (
    id bigint NOT NULL,
    at timestamptz NOT NULL CHECK (isfinite(at)),
    login text NOT NULL,
    subject text NOT NULL,
    name text NOT NULL,
    key_id text NOT NULL,
    request_id text NOT NULL,
    address text NOT NULL,
    method text NOT NULL,
    route text NOT NULL,
    path text NOT NULL,
    status int NOT NULL,
    duration_us bigint NOT NULL,
    times int NOT NULL,
    PRIMARY KEY (id, at)
) PARTITION BY RANGE (at);
COMMENT ON TABLE almagest.request_audit IS
    'Requests that change something, were refused, or are an admin''s. No row is ever changed; old months go as a whole.';
COMMENT ON COLUMN almagest.request_audit.at IS 'When the answer was ready.';
COMMENT ON COLUMN almagest.request_audit.login IS 'Role of the process that answered.';
COMMENT ON COLUMN almagest.request_audit.subject IS 'Whose request it was: user:<id> or key:<id>; empty where nobody knows.';
COMMENT ON COLUMN almagest.request_audit.route IS 'The address as the inventory lists it, with its parameters by name.';
COMMENT ON COLUMN almagest.request_audit.path IS 'The address itself, without its query; cut where it is long.';
COMMENT ON COLUMN almagest.request_audit.status IS 'What was answered; 0 in a row that sums up several.';
COMMENT ON COLUMN almagest.request_audit.times IS 'How many requests of one address this row stands for.';
-- So that no row is ever refused for want of a partition.
CREATE TABLE almagest.request_audit_rest PARTITION OF almagest.request_audit DEFAULT;

CREATE TABLE almagest.audit_block (
    number bigint PRIMARY KEY CHECK (number > 0),
    month date NOT NULL,
    forgets boolean NOT NULL,
    through_id bigint NOT NULL,
    rows int NOT NULL CHECK (rows >= 0),
    leaves bytea NOT NULL,
    root bytea NOT NULL CHECK (length(root) = 32),
    previous bytea NOT NULL,
    hash bytea NOT NULL CHECK (length(hash) = 32),
    sealed_at timestamptz NOT NULL,
    CHECK (length(leaves) = 32 * rows)
);
ALTER TABLE almagest.audit_block ALTER COLUMN leaves SET STORAGE EXTERNAL;
COMMENT ON TABLE almagest.audit_block IS 'Rows of the audit, sealed: each block holds the hash of the one before.';
COMMENT ON COLUMN almagest.audit_block.month IS 'A block has rows of one month only, so that months can be forgotten.';
COMMENT ON COLUMN almagest.audit_block.forgets IS 'It has no rows, but says that those of its month, in the blocks before, are gone.';
COMMENT ON COLUMN almagest.audit_block.through_id IS 'It has the rows behind the block before, up to this one.';
COMMENT ON COLUMN almagest.audit_block.leaves IS 'SHA-256 of each row, by id: they tell which one is no longer what it was.';
COMMENT ON COLUMN almagest.audit_block.root IS 'Root of the Merkle tree (RFC 9162) above the leaves.';

CREATE TABLE almagest.audit_state (
    only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    blocks bigint NOT NULL DEFAULT 0,
    head bytea NOT NULL DEFAULT '',
    settled_id bigint NOT NULL DEFAULT 0,
    pending_id bigint,
    pending_xact xid8
);
INSERT INTO almagest.audit_state DEFAULT VALUES;
COMMENT ON TABLE almagest.audit_state IS 'How far sealing has come.';
COMMENT ON COLUMN almagest.audit_state.blocks IS 'Number of the last block, and in `head` its hash: nobody takes one off the end unseen.';
COMMENT ON COLUMN almagest.audit_state.settled_id IS 'No row will come any more that has this id or one below.';
COMMENT ON COLUMN almagest.audit_state.pending_id IS 'That will be true of this id, once every transaction before pending_xact has ended.';

CREATE FUNCTION almagest.refuse_audit_change() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RAISE insufficient_privilege USING MESSAGE = 'What the audit holds is neither changed nor removed.',
        HINT = 'Old months are forgotten as a whole: almagest.forget_audit.';
END;
$$;
COMMENT ON FUNCTION almagest.refuse_audit_change() IS 'Keeps even the owner from slips.';
CREATE TRIGGER kept BEFORE UPDATE OR DELETE ON almagest.request_audit
    FOR EACH ROW EXECUTE FUNCTION almagest.refuse_audit_change();
CREATE TRIGGER kept_whole BEFORE TRUNCATE ON almagest.request_audit
    FOR EACH STATEMENT EXECUTE FUNCTION almagest.refuse_audit_change();
CREATE TRIGGER kept_whole BEFORE TRUNCATE ON almagest.request_audit_rest
    FOR EACH STATEMENT EXECUTE FUNCTION almagest.refuse_audit_change();
CREATE TRIGGER kept BEFORE UPDATE OR DELETE ON almagest.audit_block
    FOR EACH ROW EXECUTE FUNCTION almagest.refuse_audit_change();
CREATE TRIGGER kept_whole BEFORE TRUNCATE ON almagest.audit_block
    FOR EACH STATEMENT EXECUTE FUNCTION almagest.refuse_audit_change();
