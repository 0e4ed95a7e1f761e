-- Usage by day, rolled up from the ledger and from finished requests by a job that follows them.
--
-- `grain` says which columns tell rows apart; the others are empty:
--   0  model, provider: of all tenants together
--   1  tenant, model, provider
--   2  tenant, key, model, provider
--   3  tenant, key, user, model, provider: all of it as finished requests tell it, since ledger lines name no user
CREATE TABLE usage_days (
    grain smallint NOT NULL,
    tenant text NOT NULL,
    -- Of admission, UTC.
    day date NOT NULL,
    key text NOT NULL,
    user_id text NOT NULL,
    model text NOT NULL,
    provider text NOT NULL,
    -- Finished requests, and those of them that failed.
    requests bigint NOT NULL DEFAULT 0,
    errors bigint NOT NULL DEFAULT 0,
    -- From ledger lines. Tokens in the normal form: totals include their parts.
    attempts bigint NOT NULL DEFAULT 0,
    prompt_tokens bigint NOT NULL DEFAULT 0,
    cached_tokens bigint NOT NULL DEFAULT 0,
    cache_write_tokens bigint NOT NULL DEFAULT 0,
    completion_tokens bigint NOT NULL DEFAULT 0,
    reasoning_tokens bigint NOT NULL DEFAULT 0,
    images bigint NOT NULL DEFAULT 0,
    -- What providers bill the operator.
    cost_nano bigint NOT NULL DEFAULT 0,
    -- What tenants pay.
    charge_nano bigint NOT NULL DEFAULT 0,
    -- What providers bill tenants, for their own credentials.
    byok_cost_nano bigint NOT NULL DEFAULT 0,
    PRIMARY KEY (grain, tenant, day, key, user_id, model, provider)
) PARTITION BY LIST (grain);
-- Pages keep room for new versions of their rows, of which each day's get many.
CREATE TABLE usage_days_all PARTITION OF usage_days FOR VALUES IN (0) WITH (fillfactor = 50);
CREATE TABLE usage_days_tenant PARTITION OF usage_days FOR VALUES IN (1) WITH (fillfactor = 70);
CREATE TABLE usage_days_key PARTITION OF usage_days FOR VALUES IN (2) WITH (fillfactor = 80);
CREATE TABLE usage_days_user PARTITION OF usage_days FOR VALUES IN (3) WITH (fillfactor = 80);

-- What moved on each tenant's credits account by day: the ledger's sums, kept when its lines are dropped.
CREATE TABLE credit_days (
    tenant text NOT NULL,
    day date NOT NULL,
    topped_up bigint NOT NULL DEFAULT 0,
    -- Negative where credits were taken away.
    adjusted bigint NOT NULL DEFAULT 0,
    -- Never positive.
    refunded bigint NOT NULL DEFAULT 0,
    charged bigint NOT NULL DEFAULT 0,
    presumed bigint NOT NULL DEFAULT 0,
    PRIMARY KEY (tenant, day)
);
