-- What a finished request was made of besides its own body: a preset, an answer that was kept.
SET lock_timeout = '5s';
ALTER TABLE generations
    ADD COLUMN preset text NOT NULL DEFAULT '',
    -- The generation whose answer was given again.
    ADD COLUMN cache_source text NOT NULL DEFAULT '';
