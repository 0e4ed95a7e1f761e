-- Money and the fleet: accounts, leases, the ledger, finished requests, and who is attached.
--
-- Amounts are nano-dollars. Everything here is moved by the fleet port and by jobs; people only read it, and grant credits.

-- An account in one of its periods; `kind` numbers are `AccountKind`'s. A reset is a new row.
-- For each: charged + presumed + lent <= limit_nano held whenever money was lent.
CREATE TABLE accounts (
    kind smallint NOT NULL CHECK (kind BETWEEN 1 AND 6),
    -- Tenant, key, user or credential; empty for the house.
    owner text NOT NULL,
    -- `all`, `2026-11-23`, `2026-W48` or `2026-11`; UTC.
    period text NOT NULL,
    -- Empty: the operator.
    tenant text NOT NULL DEFAULT '',
    -- The limit in force when it was last looked at, for display and for kinds that have no config; null: none.
    limit_nano bigint,
    -- Sum of the ledger's charges.
    charged bigint NOT NULL DEFAULT 0 CHECK (charged >= 0),
    -- Sum of the ledger's presumed lines: lent to instances that never came back.
    presumed bigint NOT NULL DEFAULT 0 CHECK (presumed >= 0),
    -- Sum of what the leases have left.
    lent bigint NOT NULL DEFAULT 0 CHECK (lent >= 0),
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (kind, owner, period)
);
CREATE INDEX accounts_by_tenant ON accounts (tenant, kind, owner, period);

-- What one data plane may spend on its own. Left of it: granted - used - presumed.
-- Rows are touched only while the account's row is locked, so locking accounts in order is enough.
CREATE TABLE leases (
    kind smallint NOT NULL,
    owner text NOT NULL,
    period text NOT NULL,
    instance text NOT NULL,
    -- The session that borrowed it.
    epoch bigint NOT NULL,
    -- Lent, less what was given back.
    granted bigint NOT NULL DEFAULT 0,
    used bigint NOT NULL DEFAULT 0 CHECK (used >= 0),
    -- Booked as presumed when the instance was lost.
    presumed bigint NOT NULL DEFAULT 0 CHECK (presumed >= 0),
    updated_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (kind, owner, period, instance, epoch),
    FOREIGN KEY (kind, owner, period) REFERENCES accounts,
    CHECK (granted >= used + presumed)
);
CREATE INDEX leases_by_instance ON leases (instance, epoch) WHERE granted > used + presumed;

-- The ledger. Lines are added, never changed. The id carries the time that picks the partition:
-- an attempt's is its generation's, every other line's is its own.
CREATE TABLE lines (
    id uuid NOT NULL,
    -- From 1 for attempts, else 0.
    attempt integer NOT NULL DEFAULT 0,
    -- `attempt`; `credit`: credits granted (negative charge) or taken back; `presumed`: money of a lost instance, and what
    -- draws it down again (negative); `house`: what no reservation or lease covered.
    kind text NOT NULL CHECK (kind IN ('attempt', 'credit', 'presumed', 'house')),
    booked_at timestamptz NOT NULL DEFAULT now(),
    tenant text NOT NULL DEFAULT '',
    key text NOT NULL DEFAULT '',
    payer_kind smallint NOT NULL DEFAULT 0,
    payer_owner text NOT NULL DEFAULT '',
    payer_period text NOT NULL DEFAULT '',
    -- What moves on `accounts.charged`: [{"kind", "owner", "period", "charged", "reserved", "leased"}].
    charges jsonb NOT NULL DEFAULT '[]',
    model text NOT NULL DEFAULT '',
    endpoint text NOT NULL DEFAULT '',
    provider text NOT NULL DEFAULT '',
    credential text NOT NULL DEFAULT '',
    prompt_tokens bigint NOT NULL DEFAULT 0,
    cached_tokens bigint NOT NULL DEFAULT 0,
    cache_write_tokens bigint NOT NULL DEFAULT 0,
    cache_write_1h_tokens bigint NOT NULL DEFAULT 0,
    completion_tokens bigint NOT NULL DEFAULT 0,
    reasoning_tokens bigint NOT NULL DEFAULT 0,
    audio_prompt_tokens bigint NOT NULL DEFAULT 0,
    images bigint NOT NULL DEFAULT 0,
    -- What the provider bills us.
    cost_nano bigint NOT NULL DEFAULT 0,
    -- What the payer pays.
    charge_nano bigint NOT NULL DEFAULT 0,
    -- Of an attempt: what its reservation did not cover. The `house` line beside it carries the money.
    house_nano bigint NOT NULL DEFAULT 0,
    reserved_nano bigint NOT NULL DEFAULT 0,
    markup_ppm bigint NOT NULL DEFAULT 0,
    -- `Provenance`.
    provenance smallint NOT NULL DEFAULT 0,
    price_incarnation text NOT NULL DEFAULT '',
    price_revision bigint NOT NULL DEFAULT 0,
    -- Object of decimal strings, named as in `Price`.
    price jsonb NOT NULL DEFAULT '{}',
    outcome text NOT NULL DEFAULT '',
    upstream_status integer NOT NULL DEFAULT 0,
    started_at timestamptz,
    ended_at timestamptz,
    instance text NOT NULL DEFAULT '',
    epoch bigint NOT NULL DEFAULT 0,
    reason text NOT NULL DEFAULT '',
    actor text NOT NULL DEFAULT '',
    -- An attempt may have a house line beside its own.
    PRIMARY KEY (id, attempt, kind)
) PARTITION BY RANGE (id);
CREATE INDEX lines_by_tenant ON lines (tenant, id);
CREATE INDEX lines_by_key ON lines (key, id) INCLUDE (charge_nano);

-- Finished requests, as they are remembered.
CREATE TABLE generations (
    id uuid PRIMARY KEY,
    booked_at timestamptz NOT NULL DEFAULT now(),
    instance text NOT NULL,
    region text NOT NULL,
    tenant text NOT NULL,
    key text NOT NULL,
    requested_model text NOT NULL,
    model text NOT NULL,
    provider text NOT NULL,
    upstream_id text NOT NULL,
    surface text NOT NULL,
    streamed boolean NOT NULL,
    cancelled boolean NOT NULL,
    status integer NOT NULL,
    error_type text NOT NULL,
    finish_reason text NOT NULL,
    native_finish_reason text NOT NULL,
    prompt_tokens bigint NOT NULL,
    cached_tokens bigint NOT NULL,
    cache_write_tokens bigint NOT NULL,
    cache_write_1h_tokens bigint NOT NULL,
    completion_tokens bigint NOT NULL,
    reasoning_tokens bigint NOT NULL,
    audio_prompt_tokens bigint NOT NULL,
    images bigint NOT NULL,
    cost_nano bigint NOT NULL,
    charge_nano bigint NOT NULL,
    attempts integer NOT NULL,
    admitted_at timestamptz NOT NULL,
    first_content_ms bigint NOT NULL,
    duration_ms bigint NOT NULL,
    config_incarnation text NOT NULL,
    config_revision bigint NOT NULL,
    -- The caller's own words, never the prompt.
    user_id text NOT NULL,
    session_id text NOT NULL,
    app_title text NOT NULL,
    app_url text NOT NULL,
    user_agent text NOT NULL,
    trace_id text NOT NULL,
    -- JSON of the plan and what became of it; empty unless kept.
    decision text NOT NULL
) PARTITION BY RANGE (id);
CREATE INDEX generations_by_tenant ON generations (tenant, id);
CREATE INDEX generations_by_key ON generations (key, id);

-- Records that could not be booked, as they came. Their money stays lent until somebody looks.
CREATE TABLE quarantine (
    sha256 bytea PRIMARY KEY CHECK (octet_length(sha256) = 32),
    received_at timestamptz NOT NULL DEFAULT now(),
    instance text NOT NULL,
    epoch bigint NOT NULL,
    reason text NOT NULL,
    record bytea NOT NULL
);
CREATE INDEX quarantine_by_time ON quarantine (received_at);

-- Every data plane that ever said hello, by the id of its disk.
CREATE TABLE instances (
    id text PRIMARY KEY,
    -- The newest session; older ones are fenced.
    epoch bigint NOT NULL DEFAULT 0,
    -- Which control plane holds the session.
    replica uuid NOT NULL,
    attached boolean NOT NULL,
    version text NOT NULL DEFAULT '',
    region text NOT NULL DEFAULT '',
    attached_at timestamptz NOT NULL,
    last_seen timestamptz NOT NULL,
    -- Revisions of this store's incarnation; 0: none.
    sent bigint NOT NULL DEFAULT 0,
    applied bigint NOT NULL DEFAULT 0,
    -- [{"kind", "id", "field", "reason"}] of the applied revision.
    refused jsonb NOT NULL DEFAULT '[]',
    apply_ms bigint NOT NULL DEFAULT 0
);

-- The smallest UUIDv7 of an instant.
CREATE FUNCTION first_id(at timestamptz) RETURNS uuid LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT (lpad(to_hex(floor(extract(epoch FROM at) * 1000)::bigint), 12, '0') || '00000000000000000000')::uuid
$$;

-- Makes one day's partitions of lines and generations where they are missing.
-- Attaching locks the parents less than `CREATE TABLE ... PARTITION OF` would.
CREATE FUNCTION ensure_partitions(day date) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    parent text;
    part text;
BEGIN
    PERFORM pg_advisory_xact_lock(7310001);
    FOREACH parent IN ARRAY ARRAY['lines', 'generations'] LOOP
        part := parent || to_char(day, '_YYYYMMDD');
        CONTINUE WHEN to_regclass(part) IS NOT NULL;
        EXECUTE format('CREATE TABLE %I (LIKE %I INCLUDING DEFAULTS INCLUDING CONSTRAINTS)', part, parent);
        EXECUTE format('ALTER TABLE %I ATTACH PARTITION %I FOR VALUES FROM (%L) TO (%L)', parent, part,
            first_id(day::timestamp AT TIME ZONE 'UTC'), first_id((day + 1)::timestamp AT TIME ZONE 'UTC'));
    END LOOP;
END
$$;

SELECT ensure_partitions((now() AT TIME ZONE 'UTC')::date + ahead) FROM generate_series(-1, 7) AS ahead;
