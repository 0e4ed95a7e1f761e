-- Rates of models, of providers' credentials and of tenants' own; null: no limit.
SET lock_timeout = '5s';

ALTER TABLE models
    ADD COLUMN requests_per_minute bigint CHECK (requests_per_minute > 0),
    ADD COLUMN tokens_per_minute bigint CHECK (tokens_per_minute > 0),
    ADD COLUMN concurrency bigint CHECK (concurrency > 0);

ALTER TABLE providers
    ADD COLUMN requests_per_minute bigint CHECK (requests_per_minute > 0),
    ADD COLUMN tokens_per_minute bigint CHECK (tokens_per_minute > 0),
    ADD COLUMN concurrency bigint CHECK (concurrency > 0);

ALTER TABLE credentials
    ADD COLUMN requests_per_minute bigint CHECK (requests_per_minute > 0),
    ADD COLUMN tokens_per_minute bigint CHECK (tokens_per_minute > 0),
    ADD COLUMN concurrency bigint CHECK (concurrency > 0);
