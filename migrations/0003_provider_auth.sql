-- How a provider's credential is shown to it; empty: the adapter's own way.
SET lock_timeout = '5s';
ALTER TABLE providers ADD COLUMN auth text NOT NULL DEFAULT '';
