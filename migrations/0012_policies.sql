-- Routing policies, the operator's and tenants' own.
CREATE TABLE policies (
    -- A tenant; empty: the operator.
    owner text NOT NULL,
    id text NOT NULL,
    tenant text GENERATED ALWAYS AS (nullif(owner, '')) STORED REFERENCES tenants,
    description text NOT NULL DEFAULT '',
    disabled boolean NOT NULL DEFAULT false,
    -- A condition over the request; empty: applied by name only.
    match text NOT NULL DEFAULT '',
    priority integer NOT NULL DEFAULT 0,
    -- As the message `PolicyStage` has them.
    stages jsonb NOT NULL,
    sticky_by text NOT NULL DEFAULT '',
    deadlines jsonb NOT NULL DEFAULT '{}',
    revision bigint NOT NULL DEFAULT 0,
    managed_by text NOT NULL DEFAULT '',
    managed_revision bigint NOT NULL DEFAULT 0,
    created_at timestamptz NOT NULL DEFAULT statement_timestamp(),
    updated_at timestamptz NOT NULL DEFAULT statement_timestamp(),
    deleted_at timestamptz,
    PRIMARY KEY (owner, id)
);
CREATE INDEX policies_by_age ON policies (owner, created_at, id) WHERE deleted_at IS NULL;
CREATE INDEX policies_by_revision ON policies (revision);
