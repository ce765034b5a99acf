-- Answers to outsiders depend on these.
CREATE TRIGGER almagest_rules AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON almagest.audience_policy
    FOR EACH STATEMENT EXECUTE FUNCTION almagest.capture_rules();
CREATE TRIGGER almagest_rules AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON almagest.collection_rule
    FOR EACH STATEMENT EXECUTE FUNCTION almagest.capture_rules();
CREATE TRIGGER almagest_rules AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON almagest.exposed
    FOR EACH STATEMENT EXECUTE FUNCTION almagest.capture_rules();
