-- Jobs that come by themselves, at times that are written as in a crontab.

CREATE TABLE almagest.schedule (
    name text PRIMARY KEY CHECK (name COLLATE "C" ~ '^[a-z0-9][a-z0-9-]{0,62}$'),
    process text NOT NULL,
    inputs jsonb NOT NULL,
    cron text NOT NULL,
    zone text NOT NULL,
    principal text NOT NULL,
    enabled boolean NOT NULL DEFAULT true,
    next_at timestamptz NOT NULL,
    last_at timestamptz,
    last_job uuid,
    last_error text,
    created_at timestamptz NOT NULL DEFAULT almagest.clock()
);
CREATE INDEX schedule_due ON almagest.schedule (next_at) WHERE enabled;

COMMENT ON TABLE almagest.schedule IS 'Jobs that come by themselves.';
COMMENT ON COLUMN almagest.schedule.cron IS 'Minute, hour, day of month, month, day of week.';
COMMENT ON COLUMN almagest.schedule.zone IS 'IANA name of the time zone that its hours are in.';
COMMENT ON COLUMN almagest.schedule.principal IS 'Whose jobs they become.';
COMMENT ON COLUMN almagest.schedule.next_at IS 'Its next moment. One that has passed is due, be it missed or not: of several, the latest.';
COMMENT ON COLUMN almagest.schedule.last_at IS 'The moment that it was last due at.';
COMMENT ON COLUMN almagest.schedule.last_job IS 'What came of it last; that job may be gone by now.';
COMMENT ON COLUMN almagest.schedule.last_error IS 'Why nothing came of its last moment; NULL: something did.';
