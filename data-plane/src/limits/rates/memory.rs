//! Counts in this process's memory: exact for one instance, and the fallback when Redis is away.

use std::{
    collections::HashMap,
    hash::{BuildHasher, RandomState},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use futures_util::future::{self, BoxFuture};
use switchyard_proto::id::{KeyId, TenantId};

use super::{Admitted, Limited, Measure, RateStore, Scope, Want, gcra};

const SHARDS: usize = 64;
/// A shard is searched for idle owners when it has grown to this, then to twice what was left.
const SWEEP_AT: usize = 1024;
/// A concurrency limit may pass at any time; a caller is told to try again in a second.
const CONCURRENCY_RETRY: Duration = Duration::from_secs(1);

/// Buckets of keys and tenants.
pub(super) struct Memory {
    shards: Vec<Mutex<Shard>>,
    hasher: RandomState,
    start: Instant,
}

#[derive(Default)]
struct Shard {
    owners: HashMap<Owner, Arc<Buckets>>,
    sweep_at: usize,
}

#[derive(Debug, PartialEq, Eq, Hash)]
enum Owner {
    Key(KeyId),
    Tenant(TenantId),
}

/// One owner's counters.
#[derive(Debug, Default)]
struct Buckets {
    requests: AtomicU64,
    tokens: AtomicU64,
    active: AtomicU64,
}

impl Default for Memory {
    fn default() -> Self {
        Self {
            shards: (0..SHARDS).map(|_| Mutex::default()).collect(),
            hasher: RandomState::new(),
            start: Instant::now(),
        }
    }
}

impl RateStore for Memory {
    fn admit<'a>(
        &'a self,
        tenant: &'a TenantId,
        key: &'a KeyId,
        wants: &'a [Want],
    ) -> BoxFuture<'a, Result<Box<dyn Admitted>, Limited>> {
        let taken = self.take(tenant, key, wants);
        Box::pin(future::ready(taken.map(|taken| Box::new(taken) as Box<dyn Admitted>)))
    }
}

impl Memory {
    /// Takes all or nothing, without waiting.
    pub fn take(&self, tenant: &TenantId, key: &KeyId, wants: &[Want]) -> Result<Taken, Limited> {
        let now = self.now();
        let mut taken = Taken { parts: Vec::with_capacity(wants.len()) };
        let (mut buckets, mut of) = (None, None);
        for want in wants {
            if of != Some(want.limit.scope) {
                of = Some(want.limit.scope);
                buckets = Some(self.buckets(want.limit.scope, tenant, key));
            }
            let buckets = buckets.as_ref().expect("set for the first want");
            if let Err(retry_after) = buckets.take(want, now) {
                taken.undo();
                return Err(Limited { limit: want.limit, ceiling: want.ceiling, retry_after });
            }
            taken.parts.push((Arc::clone(buckets), *want));
        }
        Ok(taken)
    }

    fn now(&self) -> u64 {
        // A start of one period keeps a fresh bucket's zero in the past.
        u64::try_from(self.start.elapsed().as_nanos()).unwrap_or(u64::MAX / 2) + gcra::PERIOD_NS
    }

    fn buckets(&self, scope: Scope, tenant: &TenantId, key: &KeyId) -> Arc<Buckets> {
        let owner = match scope {
            Scope::Key => Owner::Key(key.clone()),
            Scope::Tenant => Owner::Tenant(tenant.clone()),
        };
        let shard = self.hasher.hash_one(&owner) as usize % SHARDS;
        let mut shard = self.shards[shard].lock().unwrap_or_else(PoisonError::into_inner);
        if shard.owners.len() >= shard.sweep_at.max(SWEEP_AT) {
            let now = self.now();
            shard.owners.retain(|_, buckets| Arc::strong_count(buckets) > 1 || buckets.is_used(now));
            shard.sweep_at = shard.owners.len() * 2;
        }
        Arc::clone(shard.owners.entry(owner).or_default())
    }
}

impl Buckets {
    fn take(&self, want: &Want, now: u64) -> Result<(), Duration> {
        let bucket = match want.limit.measure {
            Measure::Requests => &self.requests,
            Measure::Tokens => &self.tokens,
            Measure::Concurrency => {
                let enter = |active| (active < want.ceiling).then_some(active + 1);
                let entered = self.active.fetch_update(Ordering::AcqRel, Ordering::Acquire, enter);
                return entered.map(|_| ()).map_err(|_| CONCURRENCY_RETRY);
            }
        };
        let mut full_at = bucket.load(Ordering::Acquire);
        loop {
            let after = gcra::take(full_at, now, want.amount, want.ceiling)?;
            match bucket.compare_exchange_weak(full_at, after, Ordering::AcqRel, Ordering::Acquire) {
                Ok(_) => return Ok(()),
                Err(other) => full_at = other,
            }
        }
    }

    fn give_back(&self, want: &Want, amount: u64) {
        let bucket = match want.limit.measure {
            Measure::Requests => &self.requests,
            Measure::Tokens => &self.tokens,
            Measure::Concurrency => {
                self.active.fetch_sub(1, Ordering::AcqRel);
                return;
            }
        };
        bucket.fetch_sub(gcra::cost(amount, want.ceiling), Ordering::AcqRel);
    }

    /// More was used than was asked for: the next ones wait for it.
    fn add(&self, want: &Want, amount: u64) {
        self.tokens.fetch_add(gcra::cost(amount, want.ceiling), Ordering::AcqRel);
    }

    fn is_used(&self, now: u64) -> bool {
        self.active.load(Ordering::Acquire) > 0
            || self.requests.load(Ordering::Acquire) > now
            || self.tokens.load(Ordering::Acquire) > now
    }
}

/// What one request took.
pub(super) struct Taken {
    parts: Vec<(Arc<Buckets>, Want)>,
}

impl Taken {
    fn undo(self) {
        for (buckets, want) in &self.parts {
            buckets.give_back(want, want.amount);
        }
    }
}

impl Admitted for Taken {
    fn end(self: Box<Self>, tokens: Option<u64>) {
        for (buckets, want) in &self.parts {
            match want.limit.measure {
                Measure::Requests => {}
                Measure::Concurrency => buckets.give_back(want, want.amount),
                Measure::Tokens => match tokens.unwrap_or(0) {
                    used if used <= want.amount => buckets.give_back(want, want.amount - used),
                    used => buckets.add(want, used - want.amount),
                },
            }
        }
    }
}
