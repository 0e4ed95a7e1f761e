//! Tenants and keys, with their limits.

use switchyard_proto::clock;
use switchyard_proto::id::{KeyId, TenantId};
use switchyard_proto::key::KeyHash;
use switchyard_proto::money::NanoUsd;
use switchyard_proto::v1;
use switchyard_proto::window::Window;

use super::{Fault, fault};
use crate::config::snapshot::{Budget, Key, Limit};

/// What a tenant may spend, broadest window first, and each of its users.
pub(super) fn limits(config: &v1::TenantConfig) -> Result<(Vec<Budget>, Option<Limit>), Fault> {
    let mut budgets = config.budgets.iter().map(budget).collect::<Result<Vec<_>, _>>()?;
    budgets.sort_by_key(|budget| std::cmp::Reverse(budget.window.hours()));
    let user_limit = config.user_limit.as_ref().map(|given| limit("user_limit", given)).transpose()?;
    Ok((budgets, user_limit))
}

fn budget(budget: &v1::Budget) -> Result<Budget, Fault> {
    let window = Window::parse(&budget.window).map_err(|error| fault("budgets.window", error.to_string()))?;
    let amount = NanoUsd::parse(&budget.usd).map_err(|error| fault("budgets.usd", error.to_string()))?;
    Ok(Budget { window, amount })
}

pub(super) fn key(config: v1::KeyConfig, revision: u64) -> Result<Key, Fault> {
    let hash = KeyHash::from_bytes(&config.sha256).ok_or_else(|| fault("sha256", "is not 32 bytes"))?;
    let own = config.limit.as_ref().map(|given| limit("limit", given)).transpose()?;
    let user_limit = config.user_limit.as_ref().map(|given| limit("user_limit", given)).transpose()?;
    let expires_at = match &config.expires_at {
        Some(at) => Some(clock::from_timestamp(at).ok_or_else(|| fault("expires_at", "is out of range"))?),
        None => None,
    };
    Ok(Key {
        id: KeyId::new(config.id.as_str()),
        tenant: TenantId::new(config.tenant.as_str()),
        hash,
        expires_at,
        limit: own,
        user_limit: user_limit.filter(|_| config.trust_user),
        config,
        revision,
    })
}

pub(super) fn limit(field: &str, limit: &v1::SpendLimit) -> Result<Limit, Fault> {
    let amount =
        NanoUsd::parse(&limit.usd).map_err(|error| fault(format!("{field}.usd"), error.to_string()))?;
    let reset = match limit.reset() {
        v1::Reset::Unspecified => v1::Reset::Never,
        reset => reset,
    };
    Ok(Limit { amount, reset })
}
