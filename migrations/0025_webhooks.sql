-- Webhooks: where events about money are sent, what was sent, and which thresholds were told already.
CREATE TABLE webhooks (
    -- A tenant; empty: the operator.
    owner text NOT NULL,
    id text NOT NULL,
    tenant text GENERATED ALWAYS AS (nullif(owner, '')) STORED REFERENCES tenants,
    url text NOT NULL,
    description text NOT NULL DEFAULT '',
    disabled boolean NOT NULL DEFAULT false,
    -- Types of events; empty: all.
    events text[] NOT NULL DEFAULT '{}',
    -- Percent of a limit at which it is told of; ascending.
    thresholds integer[] NOT NULL DEFAULT '{80,100}',
    -- Credits left below which it is told of; null: never.
    low_balance_nano bigint CHECK (low_balance_nano > 0),
    data_key uuid NOT NULL REFERENCES data_keys,
    -- Null in tombstones: a deleted secret is gone at once.
    sealed bytea CHECK ((sealed IS NULL) = (deleted_at IS NOT NULL)),
    revision bigint NOT NULL DEFAULT 0,
    managed_by text NOT NULL DEFAULT '',
    managed_revision bigint NOT NULL DEFAULT 0,
    created_at timestamptz NOT NULL DEFAULT statement_timestamp(),
    updated_at timestamptz NOT NULL DEFAULT statement_timestamp(),
    deleted_at timestamptz,
    PRIMARY KEY (owner, id)
);
CREATE INDEX webhooks_by_age ON webhooks (owner, created_at, id) WHERE deleted_at IS NULL;

-- Thresholds that were reached and told of, so that each is told once; they go when the account is below them again.
CREATE TABLE webhook_marks (
    owner text NOT NULL,
    webhook text NOT NULL,
    kind smallint NOT NULL,
    account text NOT NULL,
    period text NOT NULL,
    -- Percent; -1: low balance.
    threshold integer NOT NULL,
    told_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (owner, webhook, kind, account, period, threshold),
    FOREIGN KEY (owner, webhook) REFERENCES webhooks ON DELETE CASCADE
);

-- Events on their way to one webhook each. Written with what they tell of, sent by a job, kept for some weeks.
CREATE TABLE deliveries (
    id uuid PRIMARY KEY,
    owner text NOT NULL,
    webhook text NOT NULL,
    type text NOT NULL,
    -- The body, byte for byte as it is signed.
    body text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    -- Tries so far.
    tries integer NOT NULL DEFAULT 0,
    -- When it is tried (again); while one is under way, when others may take it over. Null: it is over.
    next_at timestamptz DEFAULT now(),
    -- `pending`, `delivered`, `failed`.
    state text NOT NULL DEFAULT 'pending' CHECK (state IN ('pending', 'delivered', 'failed')),
    -- Of the last answer; 0: none came.
    status integer NOT NULL DEFAULT 0,
    -- Why the last try failed; never a body.
    error text NOT NULL DEFAULT '',
    ended_at timestamptz,
    FOREIGN KEY (owner, webhook) REFERENCES webhooks ON DELETE CASCADE,
    CHECK ((state = 'pending') = (next_at IS NOT NULL))
);
CREATE INDEX deliveries_due ON deliveries (next_at) WHERE state = 'pending';
CREATE INDEX deliveries_by_webhook ON deliveries (owner, webhook, id);
CREATE INDEX deliveries_by_age ON deliveries (created_at);
