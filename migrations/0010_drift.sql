-- What providers answer that their adapters have never seen: paths and types, never values.
-- Data planes add to it beside the ledger, never in the same transaction; a job removes what was not seen for long.
CREATE TABLE drift (
    id bigint PRIMARY KEY GENERATED ALWAYS AS IDENTITY,
    -- Not a reference: it outlives its provider, and a report may come after a deletion.
    provider text NOT NULL,
    adapter text NOT NULL,
    model text NOT NULL,
    kind text NOT NULL,
    path text NOT NULL,
    detail text NOT NULL,
    -- Answers that had it, of those that were looked at.
    answers bigint NOT NULL CHECK (answers >= 0),
    first_seen timestamptz NOT NULL,
    last_seen timestamptz NOT NULL,
    -- When somebody marked it as known.
    cleared_at timestamptz,
    CONSTRAINT drift_shape UNIQUE (provider, adapter, model, kind, path, detail)
);
CREATE INDEX drift_by_last_seen ON drift (last_seen);
