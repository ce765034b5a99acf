-- The story of an item asks for the requests that wrote it, and for those about it.

-- Most rows have no request's number that anything else has; an empty one is that of nobody.
CREATE INDEX ON almagest.request_audit (request_id) WHERE request_id <> '';
-- A path has up to 1,000 characters, of which some take four bytes: more than an index takes.
CREATE INDEX ON almagest.request_audit (left(path, 500) COLLATE "C");
