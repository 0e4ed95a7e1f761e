-- Facts that decide who may serve a request.

-- The provider's tier that an endpoint is, e.g. `priority`; empty: its default one.
ALTER TABLE endpoints ADD COLUMN service_tier text NOT NULL DEFAULT '';

-- Whether a model's author lets its text train other models; null: unknown.
ALTER TABLE models ADD COLUMN distillable boolean;

-- Whether a provider keeps nothing at all; null: as `retains_prompts` says.
ALTER TABLE providers ADD COLUMN zdr boolean;
-- Milliseconds until an answer's headers; 0: the data plane's setting.
ALTER TABLE providers ADD COLUMN headers_timeout_ms bigint NOT NULL DEFAULT 0;
-- A slower stream has failed; 0: none is too slow.
ALTER TABLE providers ADD COLUMN min_tokens_per_second double precision NOT NULL DEFAULT 0;

-- Version of the built-in catalogue that was last seen, beside its checksum; an older program leaves both alone.
ALTER TABLE config_state ADD COLUMN catalogue_version bigint NOT NULL DEFAULT 0;
