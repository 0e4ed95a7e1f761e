-- What people configure: tenants, keys, providers, models, endpoints, admin tokens; and who changed what.
--
-- Every config table has the same tail:
--   revision          number of the config state that last changed the row
--   managed_by        'file' where `apply` owns the row, else ''
--   managed_revision  the revision at which `apply` last wrote it; older than `revision`: somebody else edited it since
--   created_at        of the statement, not the transaction: what one apply makes is listed in the order of its file
--   deleted_at        set: a tombstone, kept seven days so that every data plane hears of it

-- One row. Nothing else is locked for as short a time or as often: see store/revision.rs.
CREATE TABLE config_state (
    only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    -- Changed by hand (or by the restore procedure) when the store went back in time.
    incarnation uuid NOT NULL DEFAULT gen_random_uuid(),
    revision bigint NOT NULL DEFAULT 0 CHECK (revision >= 0),
    -- Tombstones up to this revision are gone: who holds less needs a full state.
    tombstones_from bigint NOT NULL DEFAULT 0
);
INSERT INTO config_state DEFAULT VALUES;

CREATE TABLE tenants (
    id text PRIMARY KEY,
    name text NOT NULL,
    disabled boolean NOT NULL DEFAULT false,
    requests_per_minute bigint CHECK (requests_per_minute > 0),
    tokens_per_minute bigint CHECK (tokens_per_minute > 0),
    concurrency bigint CHECK (concurrency > 0),
    prepaid boolean NOT NULL DEFAULT false,
    -- Sum of the tenant's credit lines: the limit of its credits account whenever it is prepaid.
    credits_nano bigint NOT NULL DEFAULT 0 CHECK (credits_nano >= 0),
    markup_ppm bigint NOT NULL DEFAULT 0 CHECK (markup_ppm >= 0),
    allowed_models text[] NOT NULL DEFAULT '{}',
    revision bigint NOT NULL DEFAULT 0,
    managed_by text NOT NULL DEFAULT '',
    managed_revision bigint NOT NULL DEFAULT 0,
    created_at timestamptz NOT NULL DEFAULT statement_timestamp(),
    updated_at timestamptz NOT NULL DEFAULT statement_timestamp(),
    deleted_at timestamptz
);
CREATE INDEX tenants_by_age ON tenants (created_at, id) WHERE deleted_at IS NULL;
CREATE INDEX tenants_by_revision ON tenants (revision);

CREATE TABLE keys (
    id text PRIMARY KEY,
    tenant text NOT NULL REFERENCES tenants,
    name text NOT NULL,
    sha256 bytea NOT NULL CHECK (octet_length(sha256) = 32),
    label text NOT NULL,
    disabled boolean NOT NULL DEFAULT false,
    expires_at timestamptz,
    -- Null: no limit of its own.
    limit_nano bigint CHECK (limit_nano >= 0),
    limit_reset text NOT NULL DEFAULT 'never' CHECK (limit_reset IN ('never', 'daily', 'weekly', 'monthly')),
    requests_per_minute bigint CHECK (requests_per_minute > 0),
    tokens_per_minute bigint CHECK (tokens_per_minute > 0),
    concurrency bigint CHECK (concurrency > 0),
    allowed_models text[] NOT NULL DEFAULT '{}',
    -- Environment variable that the file names the secret by.
    secret_ref text NOT NULL DEFAULT '',
    revision bigint NOT NULL DEFAULT 0,
    managed_by text NOT NULL DEFAULT '',
    managed_revision bigint NOT NULL DEFAULT 0,
    created_at timestamptz NOT NULL DEFAULT statement_timestamp(),
    updated_at timestamptz NOT NULL DEFAULT statement_timestamp(),
    deleted_at timestamptz
);
CREATE UNIQUE INDEX keys_secret ON keys (sha256) WHERE deleted_at IS NULL;
CREATE UNIQUE INDEX keys_name ON keys (tenant, name) WHERE deleted_at IS NULL;
CREATE INDEX keys_by_age ON keys (tenant, created_at, id) WHERE deleted_at IS NULL;
CREATE INDEX keys_by_revision ON keys (revision);

CREATE TABLE providers (
    id text PRIMARY KEY,
    -- Null: owned by the operator.
    tenant text REFERENCES tenants,
    display_name text NOT NULL DEFAULT '',
    adapter text NOT NULL,
    base_url text NOT NULL,
    -- Null: unknown.
    retains_prompts boolean,
    trains boolean,
    region text NOT NULL DEFAULT '',
    disabled boolean NOT NULL DEFAULT false,
    -- Object of strings.
    quirks jsonb NOT NULL DEFAULT '{}',
    -- Milliseconds; 0: the data plane's setting.
    connect_timeout_ms bigint NOT NULL DEFAULT 0,
    first_content_timeout_ms bigint NOT NULL DEFAULT 0,
    idle_timeout_ms bigint NOT NULL DEFAULT 0,
    total_timeout_ms bigint NOT NULL DEFAULT 0,
    -- Environment variable that the file names the credential by.
    credential_ref text NOT NULL DEFAULT '',
    revision bigint NOT NULL DEFAULT 0,
    managed_by text NOT NULL DEFAULT '',
    managed_revision bigint NOT NULL DEFAULT 0,
    created_at timestamptz NOT NULL DEFAULT statement_timestamp(),
    updated_at timestamptz NOT NULL DEFAULT statement_timestamp(),
    deleted_at timestamptz
);
CREATE INDEX providers_by_age ON providers (created_at, id) WHERE deleted_at IS NULL;
CREATE INDEX providers_by_revision ON providers (revision);

-- Keys that seal credentials, one in use per owner, themselves wrapped by a master key.
CREATE TABLE data_keys (
    id uuid PRIMARY KEY,
    -- A tenant; empty: the operator.
    owner text NOT NULL,
    -- Which master key wraps it, so that one can be replaced while the other is still needed.
    master_key text NOT NULL,
    wrapped bytea NOT NULL,
    created_at timestamptz NOT NULL DEFAULT statement_timestamp(),
    -- Set: opens what it sealed, seals nothing new.
    retired_at timestamptz
);
CREATE UNIQUE INDEX data_keys_in_use ON data_keys (owner) WHERE retired_at IS NULL;

-- Changes with its provider, whose revision it counts under. Rows go at once when the provider is deleted.
CREATE TABLE provider_credentials (
    id text PRIMARY KEY,
    provider text NOT NULL REFERENCES providers,
    data_key uuid NOT NULL REFERENCES data_keys,
    -- Scheme, host and port that it was sealed for; part of the seal.
    origin text NOT NULL,
    sealed bytea NOT NULL,
    -- Share of calls among the provider's credentials.
    weight integer NOT NULL DEFAULT 1 CHECK (weight >= 0),
    created_at timestamptz NOT NULL DEFAULT statement_timestamp()
);
CREATE INDEX provider_credentials_by_provider ON provider_credentials (provider);

CREATE TABLE models (
    id text PRIMARY KEY,
    name text NOT NULL DEFAULT '',
    description text NOT NULL DEFAULT '',
    released_at timestamptz,
    input_modalities text[] NOT NULL DEFAULT '{}',
    output_modalities text[] NOT NULL DEFAULT '{}',
    tokenizer text NOT NULL DEFAULT '',
    aliases text[] NOT NULL DEFAULT '{}',
    disabled boolean NOT NULL DEFAULT false,
    revision bigint NOT NULL DEFAULT 0,
    managed_by text NOT NULL DEFAULT '',
    managed_revision bigint NOT NULL DEFAULT 0,
    created_at timestamptz NOT NULL DEFAULT statement_timestamp(),
    updated_at timestamptz NOT NULL DEFAULT statement_timestamp(),
    deleted_at timestamptz
);
CREATE INDEX models_by_age ON models (created_at, id) WHERE deleted_at IS NULL;
CREATE INDEX models_by_revision ON models (revision);

-- Ids and aliases of live models: a name means one model.
CREATE TABLE model_names (
    name text PRIMARY KEY,
    model text NOT NULL REFERENCES models
);
CREATE INDEX model_names_by_model ON model_names (model);

CREATE TABLE endpoints (
    model text NOT NULL REFERENCES models,
    id text NOT NULL,
    provider text NOT NULL REFERENCES providers,
    upstream_id text NOT NULL,
    context_length bigint NOT NULL CHECK (context_length > 0),
    -- 0: as much as the context length leaves.
    max_output_tokens bigint NOT NULL DEFAULT 0,
    -- Object of decimal strings, named as in `Price`; absent and empty are the same.
    price jsonb NOT NULL DEFAULT '{}',
    supported_parameters text[] NOT NULL DEFAULT '{}',
    quantization text NOT NULL DEFAULT '',
    cancel_stops_billing boolean NOT NULL DEFAULT false,
    disabled boolean NOT NULL DEFAULT false,
    quirks jsonb NOT NULL DEFAULT '{}',
    input_modalities text[] NOT NULL DEFAULT '{}',
    revision bigint NOT NULL DEFAULT 0,
    managed_by text NOT NULL DEFAULT '',
    managed_revision bigint NOT NULL DEFAULT 0,
    created_at timestamptz NOT NULL DEFAULT statement_timestamp(),
    updated_at timestamptz NOT NULL DEFAULT statement_timestamp(),
    deleted_at timestamptz,
    PRIMARY KEY (model, id)
);
CREATE INDEX endpoints_by_age ON endpoints (model, created_at, id) WHERE deleted_at IS NULL;
CREATE INDEX endpoints_by_provider ON endpoints (provider) WHERE deleted_at IS NULL;
CREATE INDEX endpoints_by_revision ON endpoints (revision);

CREATE TABLE admin_tokens (
    id text PRIMARY KEY,
    name text NOT NULL,
    role text NOT NULL CHECK (role IN ('operator', 'tenant_admin', 'viewer')),
    -- Null: all tenants.
    tenant text REFERENCES tenants,
    sha256 bytea NOT NULL CHECK (octet_length(sha256) = 32),
    label text NOT NULL,
    disabled boolean NOT NULL DEFAULT false,
    expires_at timestamptz,
    last_used_at timestamptz,
    revision bigint NOT NULL DEFAULT 0,
    created_at timestamptz NOT NULL DEFAULT statement_timestamp(),
    updated_at timestamptz NOT NULL DEFAULT statement_timestamp(),
    deleted_at timestamptz,
    CHECK (role <> 'tenant_admin' OR tenant IS NOT NULL),
    CHECK (role <> 'operator' OR tenant IS NULL)
);
CREATE UNIQUE INDEX admin_tokens_secret ON admin_tokens (sha256) WHERE deleted_at IS NULL;
CREATE INDEX admin_tokens_by_age ON admin_tokens (created_at, id) WHERE deleted_at IS NULL;
CREATE INDEX admin_tokens_by_tenant ON admin_tokens (tenant) WHERE deleted_at IS NULL;

-- A repeated call with the same idempotency key finds its first one here.
CREATE TABLE credit_requests (
    tenant text NOT NULL,
    idempotency_key text NOT NULL,
    amount_nano bigint NOT NULL,
    line uuid NOT NULL,
    created_at timestamptz NOT NULL DEFAULT statement_timestamp(),
    PRIMARY KEY (tenant, idempotency_key)
);

CREATE TABLE audit (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at timestamptz NOT NULL DEFAULT now(),
    actor text NOT NULL,
    action text NOT NULL,
    noun text NOT NULL,
    resource text NOT NULL,
    -- Empty: concerns no single tenant.
    tenant text NOT NULL DEFAULT '',
    revision bigint NOT NULL,
    -- Changed fields: {"field": {"before": …, "after": …}}. Never a secret.
    change jsonb NOT NULL
);
CREATE INDEX audit_by_tenant ON audit (tenant, id);
