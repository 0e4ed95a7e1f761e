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
use switchyard_proto::id::{KeyId, ModelId, ProviderId, TenantId};

use super::{Admitted, Granted, Level, Limited, Measure, Owner, RateStore, Want, gcra};

const SHARDS: usize = 64;
/// A shard is searched for idle owners when it has grown to this, then to twice what was left.
const SWEEP_AT: usize = 1024;
/// A concurrency limit may pass at any time; a caller is told to try again in a second.
const CONCURRENCY_RETRY: Duration = Duration::from_secs(1);

/// Buckets of all owners.
pub(super) struct Memory {
    shards: Vec<Mutex<Shard>>,
    hasher: RandomState,
    start: Instant,
}

#[derive(Default)]
struct Shard {
    owners: HashMap<Own, Arc<Buckets>>,
    sweep_at: usize,
}

/// An owner, as it is kept.
#[derive(Debug, PartialEq, Eq, Hash)]
enum Own {
    Key(KeyId),
    Tenant(TenantId),
    Model(ModelId),
    Credential(Box<str>),
    Provider(ProviderId),
}

impl From<Owner<'_>> for Own {
    fn from(owner: Owner<'_>) -> Self {
        match owner {
            Owner::Key(_, key) => Self::Key(key.clone()),
            Owner::Tenant(tenant) => Self::Tenant(tenant.clone()),
            Owner::Model(model) => Self::Model(model.clone()),
            Owner::Credential(credential) => Self::Credential(credential.into()),
            Owner::Provider(provider) => Self::Provider(provider.clone()),
        }
    }
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
    fn admit<'a>(&'a self, wants: &'a [Want<'a>]) -> BoxFuture<'a, Result<Granted, Limited>> {
        Box::pin(future::ready(self.take(wants)))
    }
}

impl Memory {
    /// Takes all or nothing, without waiting.
    pub fn take(&self, wants: &[Want<'_>]) -> Result<Granted, Limited> {
        let now = self.now();
        let mut taken = Taken { parts: Vec::with_capacity(wants.len()) };
        let mut levels = Vec::with_capacity(wants.len());
        let (mut buckets, mut of) = (None, None);
        for want in wants {
            if of != Some(want.owner) {
                of = Some(want.owner);
                buckets = Some(self.buckets(want.owner));
            }
            let buckets = buckets.as_ref().expect("set for the first want");
            if let Err(retry_after) = buckets.take(want, now) {
                taken.give_back();
                let level = buckets.level(want, now);
                return Err(Limited { limit: want.limit, ceiling: want.ceiling, retry_after, level });
            }
            levels.extend(buckets.level(want, now));
            taken.parts.push((Arc::clone(buckets), Taking::of(want)));
        }
        Ok(Granted { admitted: Box::new(taken), levels })
    }

    fn now(&self) -> u64 {
        // A start of one period keeps a fresh bucket's zero in the past.
        u64::try_from(self.start.elapsed().as_nanos()).unwrap_or(u64::MAX / 2) + gcra::PERIOD_NS
    }

    fn buckets(&self, owner: Owner<'_>) -> Arc<Buckets> {
        let owner = Own::from(owner);
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
    fn take(&self, want: &Want<'_>, now: u64) -> Result<(), Duration> {
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

    /// How the bucket of a limit per minute stands.
    fn level(&self, want: &Want<'_>, now: u64) -> Option<Level> {
        let bucket = match want.limit.measure {
            Measure::Requests => &self.requests,
            Measure::Tokens => &self.tokens,
            Measure::Concurrency => return None,
        };
        let (remaining, reset) = gcra::level(bucket.load(Ordering::Acquire), now, want.ceiling);
        Some(Level { limit: want.limit, ceiling: want.ceiling, remaining, reset })
    }

    fn give_back(&self, taking: &Taking, amount: u64) {
        let bucket = match taking.measure {
            Measure::Requests => &self.requests,
            Measure::Tokens => &self.tokens,
            Measure::Concurrency => {
                self.active.fetch_sub(1, Ordering::AcqRel);
                return;
            }
        };
        bucket.fetch_sub(gcra::cost(amount, taking.ceiling), Ordering::AcqRel);
    }

    /// More was used than was asked for: the next ones wait for it.
    fn add(&self, taking: &Taking, amount: u64) {
        self.tokens.fetch_add(gcra::cost(amount, taking.ceiling), Ordering::AcqRel);
    }

    fn is_used(&self, now: u64) -> bool {
        self.active.load(Ordering::Acquire) > 0
            || self.requests.load(Ordering::Acquire) > now
            || self.tokens.load(Ordering::Acquire) > now
    }
}

/// What one request took.
struct Taken {
    parts: Vec<(Arc<Buckets>, Taking)>,
}

/// What it took of one limit.
#[derive(Clone, Copy)]
struct Taking {
    measure: Measure,
    ceiling: u64,
    amount: u64,
}

impl Taking {
    fn of(want: &Want<'_>) -> Self {
        Self { measure: want.limit.measure, ceiling: want.ceiling, amount: want.amount }
    }
}

impl Taken {
    fn give_back(self) {
        for (buckets, taking) in &self.parts {
            buckets.give_back(taking, taking.amount);
        }
    }
}

impl Admitted for Taken {
    fn end(self: Box<Self>, tokens: Option<u64>) {
        for (buckets, taking) in &self.parts {
            match taking.measure {
                Measure::Requests => {}
                Measure::Concurrency => buckets.give_back(taking, taking.amount),
                Measure::Tokens => match tokens.unwrap_or(0) {
                    used if used <= taking.amount => buckets.give_back(taking, taking.amount - used),
                    used => buckets.add(taking, used - taking.amount),
                },
            }
        }
    }

    fn undo(self: Box<Self>) {
        self.give_back();
    }
}
