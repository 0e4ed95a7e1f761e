-- Where a tenant's requests may go, whatever they say themselves.

-- Provider slugs; empty: all.
ALTER TABLE tenants ADD COLUMN allowed_providers text[] NOT NULL DEFAULT '{}';
-- Provider slugs.
ALTER TABLE tenants ADD COLUMN ignored_providers text[] NOT NULL DEFAULT '{}';
-- Only providers that keep nothing.
ALTER TABLE tenants ADD COLUMN zdr boolean NOT NULL DEFAULT false;
-- `deny`: only providers that neither store nor train; empty or `allow`: all.
ALTER TABLE tenants ADD COLUMN data_collection text NOT NULL DEFAULT '';
-- Regions of providers, whole or their beginnings; empty: all.
ALTER TABLE tenants ADD COLUMN allowed_regions text[] NOT NULL DEFAULT '{}';
