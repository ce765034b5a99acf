-- There is one clock (bootstrap.sql).

ALTER TABLE almagest.registered_search ALTER COLUMN created_at SET DEFAULT almagest.clock();
