-- One key's usage over all days, for `GET /key`. Only the roll-up waits while it is made.
SET LOCAL lock_timeout = '5s';
CREATE INDEX usage_days_by_key ON usage_days_key (key, day);
