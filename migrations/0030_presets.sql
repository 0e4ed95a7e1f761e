-- Presets: tenants' stored parts of requests, and what they said before.
CREATE TABLE presets (
    tenant text NOT NULL REFERENCES tenants,
    id text NOT NULL,
    description text NOT NULL DEFAULT '',
    disabled boolean NOT NULL DEFAULT false,
    -- The newest version's number and what it says; grows over deletion too.
    version bigint NOT NULL DEFAULT 1,
    system_prompt text NOT NULL DEFAULT '',
    -- JSON of an object, as it was written.
    config text NOT NULL DEFAULT '',
    revision bigint NOT NULL DEFAULT 0,
    managed_by text NOT NULL DEFAULT '',
    managed_revision bigint NOT NULL DEFAULT 0,
    created_at timestamptz NOT NULL DEFAULT statement_timestamp(),
    updated_at timestamptz NOT NULL DEFAULT statement_timestamp(),
    deleted_at timestamptz,
    PRIMARY KEY (tenant, id)
);
CREATE INDEX presets_by_age ON presets (tenant, created_at, id) WHERE deleted_at IS NULL;
CREATE INDEX presets_by_revision ON presets (revision);

-- The last hundred of each.
CREATE TABLE preset_versions (
    tenant text NOT NULL,
    preset text NOT NULL,
    version bigint NOT NULL,
    system_prompt text NOT NULL,
    config text NOT NULL,
    -- An admin token's id.
    created_by text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT statement_timestamp(),
    PRIMARY KEY (tenant, preset, version),
    FOREIGN KEY (tenant, preset) REFERENCES presets (tenant, id) ON DELETE CASCADE
);
