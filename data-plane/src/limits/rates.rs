//! Rates: requests and tokens per minute and requests at once, per key, tenant, model and credential.
//!
//! One trait, two stores: this process's memory, and Redis for a fleet. Rates fail open: an unreachable store makes
//! them approximate, never a reason to refuse. Money is not counted here.

mod gcra;
mod level;
mod memory;
mod passage;
mod redis;
#[cfg(test)]
mod tests;

use std::{fmt, sync::Arc, time::Duration};

use futures_util::future::BoxFuture;
use switchyard_proto::{
    id::{InstanceId, KeyId, ModelId, ProviderId, TenantId},
    secret::Secret,
    v1,
};

pub use self::{
    level::{Level, tightest},
    passage::Passage,
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

impl Rates {
    /// Whether there is no limit at all.
    pub fn is_open(&self) -> bool {
        *self == Self::default()
    }
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

impl From<Option<&v1::Rates>> for Rates {
    fn from(rates: Option<&v1::Rates>) -> Self {
        rates.map(Self::from).unwrap_or_default()
    }
}

/// Whose rates.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Owner<'a> {
    Key(&'a TenantId, &'a KeyId),
    Tenant(&'a TenantId),
    /// All callers of a model together.
    Model(&'a ModelId),
    /// What a provider is shown, by its id among all credentials.
    Credential(&'a str),
    /// A provider that is shown nothing.
    Provider(&'a ProviderId),
}

/// Who asks, for how much. All owners of one admission are counted in one place of a cluster: a key and its tenant may
/// stand together, others alone.
#[derive(Clone, Copy, Debug)]
pub struct Admission<'a> {
    pub owners: &'a [(Owner<'a>, Rates)],
    /// An estimate; corrected when the request ends.
    pub tokens: u64,
}

/// Whose limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Scope {
    Key,
    Tenant,
    Model,
    Credential,
    Provider,
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

impl Owner<'_> {
    fn scope(&self) -> Scope {
        match self {
            Self::Key(..) => Scope::Key,
            Self::Tenant(_) => Scope::Tenant,
            Self::Model(_) => Scope::Model,
            Self::Credential(_) => Scope::Credential,
            Self::Provider(_) => Scope::Provider,
        }
    }
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
            Self::Model => "model",
            Self::Credential => "credential",
            Self::Provider => "provider",
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
    /// How the bucket stands; absent where there is none.
    pub level: Option<Level>,
}

impl From<Limited> for AdmitError {
    fn from(Limited { limit, ceiling, retry_after, level }: Limited) -> Self {
        Self::Limited { limit, ceiling, retry_after, level }
    }
}

/// What a request takes from one limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Want<'a> {
    owner: Owner<'a>,
    limit: Limit,
    ceiling: u64,
    /// At most the ceiling: a request larger than a minute's tokens passes when nothing else did.
    amount: u64,
}

/// Counts what callers take.
pub(super) trait RateStore: Send + Sync {
    /// Takes all or nothing.
    fn admit<'a>(&'a self, wants: &'a [Want<'a>]) -> BoxFuture<'a, Result<Granted, Limited>>;
}

/// What was taken, and how the buckets stand after it.
pub(super) struct Granted {
    pub admitted: Box<dyn Admitted>,
    pub levels: Vec<Level>,
}

/// What an admitted request took.
pub(super) trait Admitted: Send + Sync {
    /// Frees concurrency; corrects tokens to what was used, `None` giving them all back.
    fn end(self: Box<Self>, tokens: Option<u64>);

    /// Gives all back, as if nobody had asked.
    fn undo(self: Box<Self>);
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
        Ok(Self(redis::Redis::start(url, instance, redis::Times::default(), background)?))
    }

    /// Takes what the request needs of every limit; nothing to hold where there is none.
    pub(super) async fn admit(&self, admission: &Admission<'_>) -> Result<Option<Granted>, AdmitError> {
        let wants = wants(admission);
        if wants.is_empty() {
            return Ok(None);
        }
        match self.0.admit(&wants).await {
            Ok(granted) => Ok(Some(granted)),
            Err(limited) => {
                let (scope, limit) = (limited.limit.scope.label(), limited.limit.measure.label());
                metrics::counter!(names::RATE_LIMITED, "scope" => scope, "limit" => limit).increment(1);
                Err(limited.into())
            }
        }
    }

    /// What one attempt needs of the rates of one owner; nothing where there are none.
    pub(super) async fn pass(
        &self,
        (owner, rates): (Owner<'_>, Rates),
        tokens: u64,
    ) -> Result<Option<Passage>, AdmitError> {
        if rates.is_open() {
            return Ok(None);
        }
        let granted = self.admit(&Admission { owners: &[(owner, rates)], tokens }).await?;
        Ok(granted.map(|granted| Passage::new(granted.admitted)))
    }
}

/// The limits in force for a request, in the owners' order. Allocates only if there are any.
fn wants<'a>(admission: &Admission<'a>) -> Vec<Want<'a>> {
    let mut wants = Vec::new();
    for (owner, rates) in admission.owners {
        let scope = owner.scope();
        for (measure, ceiling, amount) in [
            (Measure::Concurrency, rates.concurrency, 1),
            (Measure::Requests, rates.requests_per_minute, 1),
            (Measure::Tokens, rates.tokens_per_minute, admission.tokens),
        ] {
            if let Some(ceiling) = ceiling {
                let limit = Limit { scope, measure };
                wants.push(Want { owner: *owner, limit, ceiling, amount: amount.min(ceiling) });
            }
        }
    }
    wants
}
