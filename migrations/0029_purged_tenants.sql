-- What was granted to tenants whose rows are removed for good: their ledger lines stay, and so does the proof. A tenant that
-- is made again under such an id takes it over, with the accounts that are still there.
CREATE TABLE purged_tenants (
    tenant text PRIMARY KEY,
    credits_nano bigint NOT NULL
);
INSERT INTO purged_tenants (tenant, credits_nano)
SELECT tenant, sum(credits)::bigint FROM (
    SELECT tenant, -charge_nano AS credits FROM lines WHERE kind = 'credit'
    UNION ALL SELECT tenant, credits FROM credit_openings
) AS part
WHERE NOT EXISTS (SELECT FROM tenants t WHERE t.id = part.tenant)
GROUP BY tenant HAVING sum(credits) <> 0;
