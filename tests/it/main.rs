//! Whole-system tests: one module per behaviour that a user can see.
#![allow(
    clippy::unwrap_used,
    clippy::print_stderr,
    reason = "a test that cannot go on fails, one that skips says so; clippy knows it only of `#[test]` itself"
)]

mod account;
mod admin_access;
mod admin_catalogue;
mod admin_changes;
mod admin_credentials;
mod admin_keys;
mod admin_policies;
mod admin_port;
mod admin_presets;
mod admin_tenants;
mod admin_usage;
mod apply;
mod bad_input;
mod bills;
mod budgets;
mod canary;
mod catalogue;
mod chat;
mod client_port;
mod commit;
mod config;
mod conformance;
mod deploy;
mod dev;
mod dialects;
mod drift;
mod embeddings;
mod endings;
mod explain;
mod failover;
mod faults;
mod feed;
mod health;
mod hedges;
mod media;
mod money;
mod node;
mod openapi;
mod orphans;
mod plugins;
mod policies;
mod presets;
mod prices;
mod profiles;
mod python;
mod rates;
mod real_model;
mod recordings_faults;
mod records;
mod response_cache;
mod retries;
mod routing;
mod sdk;
mod sdk_python;
mod sdk_rust;
mod servers;
mod slow_readers;
mod soak;
mod steps;
mod surfaces;
mod tidy;
mod traces;
mod usage;
mod vectors;
mod webhooks;
