-- Facts that decide who may serve a request.

-- The provider's tier that an endpoint is, e.g. `priority`; empty: its default one.
ALTER TABLE endpoints ADD COLUMN service_tier text NOT NULL DEFAULT '';

-- Whether a model's author lets its text train other models; null: unknown.
ALTER TABLE models ADD COLUMN distillable boolean;
