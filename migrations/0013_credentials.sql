-- Tenants' own credentials for the operator's providers, and whether what they pay for counts on a key's limit.
SET lock_timeout = '5s';

CREATE TABLE credentials (
    tenant text NOT NULL REFERENCES tenants,
    id text NOT NULL,
    provider text NOT NULL REFERENCES providers,
    name text NOT NULL DEFAULT '',
    disabled boolean NOT NULL DEFAULT false,
    -- Used after the shared endpoints, not before them.
    fallback boolean NOT NULL DEFAULT false,
    -- Lower ones are used first.
    sort_order integer NOT NULL DEFAULT 0,
    -- The tenant's credits are never spent on the provider.
    required boolean NOT NULL DEFAULT false,
    -- Empty lists: all.
    allowed_models text[] NOT NULL DEFAULT '{}',
    allowed_keys text[] NOT NULL DEFAULT '{}',
    allowed_users text[] NOT NULL DEFAULT '{}',
    -- Null: the provider's data policy holds.
    declared_zdr boolean,
    -- Scheme, host and port that the secret was sealed for; part of the seal.
    origin text NOT NULL,
    data_key uuid NOT NULL REFERENCES data_keys,
    -- Null in tombstones: a deleted secret is gone at once.
    sealed bytea CHECK ((sealed IS NULL) = (deleted_at IS NOT NULL)),
    revision bigint NOT NULL DEFAULT 0,
    managed_by text NOT NULL DEFAULT '',
    managed_revision bigint NOT NULL DEFAULT 0,
    created_at timestamptz NOT NULL DEFAULT statement_timestamp(),
    updated_at timestamptz NOT NULL DEFAULT statement_timestamp(),
    deleted_at timestamptz,
    PRIMARY KEY (tenant, id)
);
CREATE INDEX credentials_by_age ON credentials (tenant, created_at, id) WHERE deleted_at IS NULL;
CREATE INDEX credentials_by_provider ON credentials (provider) WHERE deleted_at IS NULL;
CREATE INDEX credentials_by_revision ON credentials (revision);

ALTER TABLE keys ADD COLUMN include_byok_in_limit boolean NOT NULL DEFAULT false;
