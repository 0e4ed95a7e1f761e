//! Rates: requests and tokens per minute and requests at once, per key and per tenant.
//!
//! One trait, two stores: this process's memory, and Redis for a fleet. Rates fail open: an unreachable store makes
//! them approximate, never a reason to refuse. Money is not counted here.

mod gcra;
mod memory;
mod redis;
#[cfg(test)]
mod tests;

use std::{fmt, sync::Arc, time::Duration};

use futures_util::future::BoxFuture;
use switchyard_proto::{
    id::{InstanceId, KeyId, TenantId},
    secret::Secret,
    v1,
};

use super::AdmitError;
use crate::{background::Background, telemetry::metrics as names};

/// Ceilings; `None` means no limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rates {
    pub requests_per_minute: Option<u64>,
    pub tokens_per_minute: Option<u64>,
    /// Requests under way at once.
    pub concurrency: Option<u64>,
}

impl From<&v1::Rates> for Rates {
    fn from(rates: &v1::Rates) -> Self {
        Self {
            requests_per_minute: rates.requests_per_minute,
            tokens_per_minute: rates.tokens_per_minute,
            concurrency: rates.concurrency,
        }
    }
}

/// Who asks, for how much.
#[derive(Clone, Copy, Debug)]
pub struct Admission<'a> {
    pub tenant: &'a TenantId,
    pub key: &'a KeyId,
    pub tenant_rates: Rates,
    pub key_rates: Rates,
    /// An estimate; corrected when the request ends.
    pub tokens: u64,
}

/// Whose limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Scope {
    Key,
    Tenant,
}

/// What is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Measure {
    Requests,
    Tokens,
    Concurrency,
}

/// One limit of a caller, e.g. "requests per minute of the key".
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Limit {
    pub scope: Scope,
    pub measure: Measure,
}

impl Measure {
    fn label(self) -> &'static str {
        match self {
            Self::Requests => "requests",
            Self::Tokens => "tokens",
            Self::Concurrency => "concurrency",
        }
    }
}

impl Scope {
    fn label(self) -> &'static str {
        match self {
            Self::Key => "key",
            Self::Tenant => "tenant",
        }
    }
}

impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let measure = match self.measure {
            Measure::Requests => "requests per minute",
            Measure::Tokens => "tokens per minute",
            Measure::Concurrency => "requests at once",
        };
        write!(f, "{measure} of the {}", self.scope.label())
    }
}

/// A limit that is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limited {
    pub limit: Limit,
    pub ceiling: u64,
    pub retry_after: Duration,
}

impl From<Limited> for AdmitError {
    fn from(Limited { limit, ceiling, retry_after }: Limited) -> Self {
        Self::Limited { limit, ceiling, retry_after }
    }
}

/// What a request takes from one limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Want {
    limit: Limit,
    ceiling: u64,
    /// At most the ceiling: a request larger than a minute's tokens passes when nothing else did.
    amount: u64,
}

/// Counts what callers take.
pub(super) trait RateStore: Send + Sync {
    /// Takes all or nothing.
    fn admit<'a>(
        &'a self,
        tenant: &'a TenantId,
        key: &'a KeyId,
        wants: &'a [Want],
    ) -> BoxFuture<'a, Result<Box<dyn Admitted>, Limited>>;
}

/// What an admitted request took.
pub(super) trait Admitted: Send + Sync {
    /// Frees concurrency; corrects tokens to what was used, `None` giving them all back.
    fn end(self: Box<Self>, tokens: Option<u64>);
}

/// Why rates cannot be counted at all: wrong settings.
#[derive(Debug, thiserror::Error)]
pub enum RateError {
    // The cause could show the address, and that may hold a password.
    #[error("setting `redis_url` is not a Redis address")]
    Address,
}

/// The store that the settings chose.
#[derive(Clone)]
pub struct RateLimiter(Arc<dyn RateStore>);

impl RateLimiter {
    /// Counts in this process.
    pub fn memory() -> Self {
        Self(Arc::new(memory::Memory::default()))
    }

    /// Counts in Redis, for all instances together; connects in the background.
    ///
    /// # Errors
    /// When the address cannot be read.
    pub fn redis(url: &Secret, instance: &InstanceId, background: &Background) -> Result<Self, RateError> {
        Ok(Self(redis::Redis::start(url, instance, redis::DEADLINE, background)?))
    }

    /// Takes what the request needs of every limit; nothing to hold where there is none.
    pub(super) async fn admit(
        &self,
        admission: &Admission<'_>,
    ) -> Result<Option<Box<dyn Admitted>>, AdmitError> {
        let wants = wants(admission);
        if wants.is_empty() {
            return Ok(None);
        }
        match self.0.admit(admission.tenant, admission.key, &wants).await {
            Ok(admitted) => Ok(Some(admitted)),
            Err(limited) => {
                let (scope, limit) = (limited.limit.scope.label(), limited.limit.measure.label());
                metrics::counter!(names::RATE_LIMITED, "scope" => scope, "limit" => limit).increment(1);
                Err(limited.into())
            }
        }
    }
}

/// The limits in force for a request, the key's first. Allocates only if there are any.
fn wants(admission: &Admission<'_>) -> Vec<Want> {
    let mut wants = Vec::new();
    for (scope, rates) in [(Scope::Key, admission.key_rates), (Scope::Tenant, admission.tenant_rates)] {
        for (measure, ceiling, amount) in [
            (Measure::Concurrency, rates.concurrency, 1),
            (Measure::Requests, rates.requests_per_minute, 1),
            (Measure::Tokens, rates.tokens_per_minute, admission.tokens),
        ] {
            if let Some(ceiling) = ceiling {
                wants.push(Want { limit: Limit { scope, measure }, ceiling, amount: amount.min(ceiling) });
            }
        }
    }
    wants
}
