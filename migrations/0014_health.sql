-- How endpoints do, over all data planes. Added to beside the ledger, never in the same transaction; a job removes what
-- is old. Nothing refers to models or endpoints: reports may come after a deletion.

-- Attempts by minute and by how they ended.
CREATE TABLE health_minutes (
    minute timestamptz NOT NULL,
    model text NOT NULL,
    endpoint text NOT NULL,
    ok bigint NOT NULL CHECK (ok >= 0),
    rate_limited bigint NOT NULL CHECK (rate_limited >= 0),
    overloaded bigint NOT NULL CHECK (overloaded >= 0),
    timeout bigint NOT NULL CHECK (timeout >= 0),
    server bigint NOT NULL CHECK (server >= 0),
    malformed bigint NOT NULL CHECK (malformed >= 0),
    credential bigint NOT NULL CHECK (credential >= 0),
    permission bigint NOT NULL CHECK (permission >= 0),
    not_found bigint NOT NULL CHECK (not_found >= 0),
    tools_valid bigint NOT NULL CHECK (tools_valid >= 0),
    tools_invalid bigint NOT NULL CHECK (tools_invalid >= 0),
    CONSTRAINT health_minutes_key PRIMARY KEY (minute, model, endpoint)
);

-- Distributions by minute: a count per bucket (proto/src/sketch.rs). Larger than counts, and kept for a day only.
CREATE TABLE health_sketches (
    minute timestamptz NOT NULL,
    model text NOT NULL,
    endpoint text NOT NULL,
    -- Milliseconds to the first content.
    latency bigint[] NOT NULL,
    -- Tenths of a token per second.
    throughput bigint[] NOT NULL,
    CONSTRAINT health_sketches_key PRIMARY KEY (minute, model, endpoint)
);

-- What each data plane said last of an endpoint.
CREATE TABLE health_instances (
    model text NOT NULL,
    endpoint text NOT NULL,
    instance text NOT NULL,
    consecutive_failures bigint NOT NULL,
    -- `BreakerState` of the wire.
    state integer NOT NULL,
    -- When requests may go there again; null unless open or limited.
    until timestamptz,
    failed_at timestamptz,
    succeeded_at timestamptz,
    reported_at timestamptz NOT NULL,
    CONSTRAINT health_instances_key PRIMARY KEY (model, endpoint, instance)
);
CREATE INDEX health_instances_by_reported_at ON health_instances (reported_at);
