-- Budgets of tenants, users and provider credentials; usage of tenants' own credentials; audited releases.
SET LOCAL lock_timeout = '5s';

-- [{"window": "daily", "usd": "50"}]
ALTER TABLE tenants ADD COLUMN budgets jsonb NOT NULL DEFAULT '[]';
-- What the tenant's own credentials pay for counts on `budgets` and the limit for users too.
ALTER TABLE tenants ADD COLUMN include_byok_in_budgets boolean NOT NULL DEFAULT false;
-- For each user, over all keys that trust the request's `user`; null: none.
ALTER TABLE tenants ADD COLUMN user_limit_nano bigint CHECK (user_limit_nano >= 0);
ALTER TABLE tenants ADD COLUMN user_limit_reset text NOT NULL DEFAULT 'never';

-- The request's `user` says who spends.
ALTER TABLE keys ADD COLUMN trust_user boolean NOT NULL DEFAULT false;
ALTER TABLE keys ADD COLUMN user_limit_nano bigint CHECK (user_limit_nano >= 0);
ALTER TABLE keys ADD COLUMN user_limit_reset text NOT NULL DEFAULT 'never';

-- What each of the provider's credentials may cost; null: no limit.
ALTER TABLE providers ADD COLUMN credential_budget_nano bigint CHECK (credential_budget_nano >= 0);
ALTER TABLE providers ADD COLUMN credential_budget_reset text NOT NULL DEFAULT 'never';

-- Kind 7 is what tenants' own credentials were billed.
ALTER TABLE accounts DROP CONSTRAINT accounts_kind_check;
ALTER TABLE accounts ADD CONSTRAINT accounts_kind_check CHECK (kind BETWEEN 1 AND 7) NOT VALID;

-- Leases of sessions up to this one were released by an operator: late lines of them are the house's.
ALTER TABLE instances ADD COLUMN released_epoch bigint NOT NULL DEFAULT 0;
