-- Prices by prompt length, hour and date; tenants' own prices; what of an answer is billed apart.
SET lock_timeout = '5s';

-- Beside `price`, which stays an object of texts: {"overrides": [...], "versions": [...]}, named as in `Price`.
ALTER TABLE endpoints ADD COLUMN price_schedule jsonb NOT NULL DEFAULT '{}';

-- [{"model", "provider", "markup_ppm", "price"}], as in `PriceRule`.
ALTER TABLE tenants ADD COLUMN price_book jsonb NOT NULL DEFAULT '[]';

ALTER TABLE lines
    ADD COLUMN audio_completion_tokens bigint NOT NULL DEFAULT 0,
    ADD COLUMN image_completion_tokens bigint NOT NULL DEFAULT 0,
    ADD COLUMN searches bigint NOT NULL DEFAULT 0,
    -- The tenant's own price; empty: it pays the cost with the mark-up.
    ADD COLUMN tenant_price jsonb NOT NULL DEFAULT '{}';

ALTER TABLE generations
    ADD COLUMN audio_completion_tokens bigint NOT NULL DEFAULT 0,
    ADD COLUMN image_completion_tokens bigint NOT NULL DEFAULT 0,
    ADD COLUMN searches bigint NOT NULL DEFAULT 0;
