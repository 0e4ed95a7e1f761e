-- no-transaction
-- The indexes for what 0022 added, day by day: whoever books waits for the index of one day at most, and what was made
-- stays when this is broken off. Only then the whole tables get them, which takes over those of the days.
--
-- One statement: between two, a file would be one transaction after all.
DO $$
DECLARE
    part record;
BEGIN
    PERFORM set_config('lock_timeout', '5s', false);
    FOR part IN
        SELECT p.relname AS parent, c.relname AS name FROM pg_inherits i
        JOIN pg_class c ON c.oid = i.inhrelid JOIN pg_class p ON p.oid = i.inhparent
        WHERE i.inhparent IN ('lines'::regclass, 'generations'::regclass) ORDER BY c.relname
    LOOP
        EXECUTE format('CREATE INDEX IF NOT EXISTS %I ON %I (xid)', part.name || '_by_xid', part.name);
        COMMIT;
        IF part.parent = 'lines' THEN
            EXECUTE format('CREATE INDEX IF NOT EXISTS %I ON %I (tenant, id) WHERE kind = %L',
                part.name || '_of_credits', part.name, 'credit');
            COMMIT;
        END IF;
    END LOOP;
    CREATE INDEX IF NOT EXISTS lines_by_xid ON lines (xid);
    COMMIT;
    CREATE INDEX IF NOT EXISTS lines_of_credits ON lines (tenant, id) WHERE kind = 'credit';
    COMMIT;
    CREATE INDEX IF NOT EXISTS generations_by_xid ON generations (xid);
END
$$;
