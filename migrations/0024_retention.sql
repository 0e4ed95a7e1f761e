-- Dropping old partitions without losing the proof: what dropped lines added up to stays, account by account.

-- Sums of dropped ledger lines. With the lines that are left they are each account's charged and presumed.
CREATE TABLE ledger_openings (
    kind smallint NOT NULL,
    owner text NOT NULL,
    period text NOT NULL,
    charged bigint NOT NULL,
    presumed bigint NOT NULL,
    PRIMARY KEY (kind, owner, period)
);
-- The same of credits granted: with the credit lines that are left they are `tenants.credits_nano`.
CREATE TABLE credit_openings (
    tenant text PRIMARY KEY,
    credits bigint NOT NULL
);

-- Days before this one have no partitions any more and get none: what comes for them cannot be booked.
CREATE TABLE dropped (
    parent text PRIMARY KEY,
    before date NOT NULL
);

CREATE OR REPLACE FUNCTION ensure_partitions(day date) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    whole text;
    part text;
BEGIN
    PERFORM pg_advisory_xact_lock(7310001);
    FOREACH whole IN ARRAY ARRAY['lines', 'generations'] LOOP
        part := whole || to_char(day, '_YYYYMMDD');
        CONTINUE WHEN to_regclass(part) IS NOT NULL;
        CONTINUE WHEN EXISTS (SELECT FROM dropped d WHERE d.parent = whole AND day < d.before);
        EXECUTE format('CREATE TABLE %I (LIKE %I INCLUDING DEFAULTS INCLUDING CONSTRAINTS)', part, whole);
        EXECUTE format('ALTER TABLE %I ATTACH PARTITION %I FOR VALUES FROM (%L) TO (%L)', whole, part,
            first_id(day::timestamp AT TIME ZONE 'UTC'), first_id((day + 1)::timestamp AT TIME ZONE 'UTC'));
    END LOOP;
END
$$;

-- Drops one day's partition of `lines` or `generations`; false: something in it is not rolled up yet, so it stays.
--
-- Nobody can book for the day meanwhile; the parent is locked at the very end and for a moment only.
CREATE FUNCTION drop_day(parent text, day date) RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
    part text := parent || to_char(day, '_YYYYMMDD');
    is_unseen boolean;
BEGIN
    PERFORM pg_advisory_xact_lock(7310001);
    IF to_regclass(part) IS NOT NULL THEN
        EXECUTE format('LOCK TABLE %I IN SHARE MODE', part);
        EXECUTE format('SELECT EXISTS (SELECT FROM %I WHERE xid >= (SELECT min(seen) FROM followers))', part)
            INTO is_unseen;
        IF is_unseen THEN
            RETURN false;
        END IF;
        IF parent = 'lines' THEN
            EXECUTE format($sql$
                INSERT INTO ledger_openings AS o (kind, owner, period, charged, presumed)
                SELECT kind, owner, period, sum(charged)::bigint, sum(presumed)::bigint FROM (
                    SELECT c.kind, c.owner, c.period, c.charged, 0 AS presumed
                    FROM %1$I l, jsonb_to_recordset(l.charges)
                        AS c(kind smallint, owner text, period text, charged bigint)
                    WHERE l.kind IN ('attempt', 'house')
                    UNION ALL
                    SELECT payer_kind, payer_owner, payer_period, 0, charge_nano FROM %1$I WHERE kind = 'presumed'
                ) AS moved GROUP BY kind, owner, period
                ON CONFLICT (kind, owner, period) DO UPDATE
                    SET charged = o.charged + excluded.charged, presumed = o.presumed + excluded.presumed
            $sql$, part);
            EXECUTE format($sql$
                INSERT INTO credit_openings AS o (tenant, credits)
                SELECT tenant, -sum(charge_nano)::bigint FROM %I WHERE kind = 'credit' GROUP BY tenant
                ON CONFLICT (tenant) DO UPDATE SET credits = o.credits + excluded.credits
            $sql$, part);
        END IF;
        EXECUTE format('ALTER TABLE %I DETACH PARTITION %I', parent, part);
        EXECUTE format('DROP TABLE %I', part);
    END IF;
    INSERT INTO dropped (parent, before) VALUES (drop_day.parent, day + 1)
        ON CONFLICT ON CONSTRAINT dropped_pkey DO UPDATE SET before = greatest(dropped.before, excluded.before);
    RETURN true;
END
$$;
