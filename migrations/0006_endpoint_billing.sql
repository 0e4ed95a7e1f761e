-- What a provider counts beyond the visible prompt, by the names of the message `Billing`.
ALTER TABLE endpoints ADD COLUMN billing jsonb NOT NULL DEFAULT '{}';

-- Checksum of the built-in catalogue that was last seen: what is pushed depends on it.
ALTER TABLE config_state ADD COLUMN catalogue text NOT NULL DEFAULT '';
