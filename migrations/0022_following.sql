-- Following the ledger: who reads what was booked after them, and never misses a slow transaction.
--
-- Every row names the transaction that booked it. All transactions below the oldest running one are over, so a reader
-- that takes the rows of [what it has seen, the oldest running one) takes each row once, however late it is committed.
SET lock_timeout = '5s';

-- The default is that of the statement, not of each row, so that no table is rewritten: rows from before bear the
-- number of this migration.
ALTER TABLE lines ADD COLUMN xid xid8 NOT NULL DEFAULT pg_current_xact_id();
ALTER TABLE generations ADD COLUMN xid xid8 NOT NULL DEFAULT pg_current_xact_id();

-- What a credit line is: money paid in, money paid out, or a correction; empty: from before, told apart by its sign.
ALTER TABLE lines ADD COLUMN credit text NOT NULL DEFAULT '',
    ADD CONSTRAINT lines_credit_check CHECK (credit IN ('', 'top_up', 'adjustment', 'refund')) NOT VALID;

CREATE TABLE followers (
    name text PRIMARY KEY,
    -- Rows of transactions below this are taken.
    seen xid8 NOT NULL DEFAULT '0',
    -- Rows that are not taken have ids of this day or later, or of a day in `late_days`.
    from_day date NOT NULL DEFAULT '1970-01-01',
    -- Everything committed by then is taken.
    complete_until timestamptz NOT NULL DEFAULT 'epoch',
    -- When `seen` reaches this transaction, everything committed by `promised_at` is taken.
    promised xid8 NOT NULL DEFAULT '0',
    promised_at timestamptz NOT NULL DEFAULT 'epoch'
);
INSERT INTO followers (name) VALUES ('usage'), ('alerts');

-- Days before the day before yesterday for which something was booked: where followers look besides the last days.
CREATE TABLE late_days (
    day date NOT NULL,
    xid xid8 NOT NULL DEFAULT pg_current_xact_id(),
    PRIMARY KEY (day, xid)
);

-- The UTC day of an id's time: which partition it is in.
CREATE FUNCTION day_of(id uuid) RETURNS date LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT DATE '1970-01-01'
        + (('x' || left(replace(id::text, '-', ''), 12))::bit(48)::bigint / 86400000)::integer
$$;
