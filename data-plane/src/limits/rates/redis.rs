//! Counts in Redis, for all instances together; a busy bucket is borrowed from in slices, so most requests stay local.
//!
//! Every wait has a deadline of milliseconds and a breaker before it. While Redis is away each instance allows its
//! share of a limit by itself and says so in a metric. Scripts are beside this file.

mod breaker;
mod chores;
mod freed;
mod slices;

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use futures_util::future::BoxFuture;
use redis::{
    Client, Script,
    aio::{ConnectionManager, ConnectionManagerConfig},
};
use switchyard_proto::{id::InstanceId, secret::Secret};

use self::{breaker::Breaker, chores::Chores, freed::Freed, slices::Slices};
use super::{Admitted, Granted, Level, Limited, Measure, Owner, RateError, RateStore, Want, memory::Memory};
use crate::background::Background;

/// The connection itself gives up a call after this; the shared connection is not torn down for it.
const RESPONSE_TIMEOUT: Duration = Duration::from_millis(200);
const CONNECTION_TIMEOUT: Duration = Duration::from_millis(500);
/// A concurrency limit may pass at any time.
const CONCURRENCY_RETRY: Duration = Duration::from_secs(1);

/// What tests have otherwise.
#[derive(Clone, Copy, Debug)]
pub(super) struct Times {
    /// A request waits no longer for Redis.
    pub deadline: Duration,
    /// A concurrency slot that nobody renews is free again after this; slots are renewed thrice before.
    pub slot_expiry: Duration,
}

impl Default for Times {
    fn default() -> Self {
        Self { deadline: Duration::from_millis(5), slot_expiry: Duration::from_secs(30) }
    }
}

/// Counters shared by a fleet.
pub(super) struct Redis {
    shared: Arc<Shared>,
    take: Script,
    times: Times,
    instance: InstanceId,
    next_slot: AtomicU64,
}

/// What requests and background chores both use.
struct Shared {
    connection: ConnectionManager,
    breaker: Breaker,
    slices: Slices,
    freed: Freed,
    /// Limits while Redis is away, and the last known number of instances.
    fallback: Memory,
    instances: AtomicU64,
    chores: Chores,
}

impl Redis {
    pub fn start(
        url: &Secret,
        instance: &InstanceId,
        times: Times,
        background: &Background,
    ) -> Result<Arc<Self>, RateError> {
        let client = Client::open(url.expose()).map_err(|_| RateError::Address)?;
        let config = ConnectionManagerConfig::new()
            .set_response_timeout(Some(RESPONSE_TIMEOUT))
            .set_connection_timeout(Some(CONNECTION_TIMEOUT))
            .set_number_of_retries(1)
            .set_max_delay(CONNECTION_TIMEOUT);
        let _entered = background.handle().enter();
        let connection =
            ConnectionManager::new_lazy_with_config(client, config).map_err(|_| RateError::Address)?;
        let (chores, work) = Chores::new();
        let shared = Arc::new(Shared {
            connection,
            breaker: Breaker::default(),
            slices: Slices::default(),
            freed: Freed::default(),
            fallback: Memory::default(),
            instances: AtomicU64::new(1),
            chores,
        });
        chores::start(&shared, work, (instance, times), background);
        Ok(Arc::new(Self {
            shared,
            take: Script::new(include_str!("redis/take.lua")),
            times,
            instance: instance.clone(),
            next_slot: AtomicU64::new(0),
        }))
    }

    /// How many instances were last seen.
    #[cfg(test)]
    pub fn instances(&self) -> u64 {
        self.shared.instances.load(Ordering::Relaxed)
    }

    async fn take(&self, wants: &[Want<'_>]) -> Result<Granted, Limited> {
        if !self.shared.breaker.is_closed() {
            return self.take_degraded(wants);
        }
        let now = Instant::now();
        let mut trying = Trying { redis: self, parts: Vec::with_capacity(wants.len()), is_asked: false };
        for want in wants {
            let part = self.part(*want);
            if let Some(wait) = self.shared.slices.denied_for(&part.name, now) {
                return Err(self.limited(&part, wait, now));
            }
            trying.parts.push(self.take_local(part, now));
        }
        if trying.parts.iter().all(|part| part.is_local) {
            self.borrow_ahead(&trying.parts, now);
            return Ok(self.granted(&trying.taken(), now));
        }
        trying.is_asked = true;
        match tokio::time::timeout(self.times.deadline, self.take_remote(&trying.parts, now)).await {
            Ok(Ok(Answer::Taken)) => {
                self.shared.breaker.passed();
                Ok(self.granted(&trying.taken(), now))
            }
            Ok(Ok(Answer::Limited(limited))) => {
                self.shared.breaker.passed();
                trying.is_asked = false;
                Err(limited)
            }
            Ok(Err(_)) | Err(_) => {
                self.shared.breaker.failed();
                drop(trying);
                self.take_degraded(wants)
            }
        }
    }

    /// Leaves the next slices of busy buckets to be fetched behind the requests.
    fn borrow_ahead(&self, parts: &[Part], now: Instant) {
        for part in parts.iter().filter(|part| !part.is_slot() && part.want.ceiling > 0) {
            if let Some(units) = self.shared.slices.refill(&part.name, &part.want, now) {
                self.shared.chores.refill(&part.name, part.want.ceiling, units);
            }
        }
    }

    /// What the script is asked for one limit, and where.
    ///
    /// What stands in braces decides the slot in a cluster: all that one script touches has the same.
    fn part<'a>(&self, want: Want<'a>) -> Part<'a> {
        let measure = match want.limit.measure {
            Measure::Requests => 'r',
            Measure::Tokens => 't',
            Measure::Concurrency => 'c',
        };
        let name = match want.owner {
            Owner::Key(tenant, key) => format!("sy:{{{tenant}}}:k:{key}:{measure}"),
            Owner::Tenant(tenant) => format!("sy:{{{tenant}}}:t:{measure}"),
            Owner::Model(model) => format!("sy:{{m/{model}}}:{measure}"),
            Owner::Credential(credential) => format!("sy:{{c/{credential}}}:{measure}"),
            Owner::Provider(provider) => format!("sy:{{p/{provider}}}:{measure}"),
        };
        let slot = match want.limit.measure {
            Measure::Requests | Measure::Tokens => String::new(),
            Measure::Concurrency => {
                format!("{}:{}", self.instance, self.next_slot.fetch_add(1, Ordering::Relaxed))
            }
        };
        Part { name, want, slot, is_local: false }
    }

    /// From a slice, or with a slot that another request just left.
    fn take_local<'a>(&self, part: Part<'a>, now: Instant) -> Part<'a> {
        if part.want.ceiling == 0 {
            return part;
        }
        if part.is_slot() {
            return match self.shared.freed.take(&part.name) {
                Some(slot) => Part { slot, is_local: true, ..part },
                None => part,
            };
        }
        Part { is_local: self.shared.slices.take(&part.name, part.want.amount, now), ..part }
    }

    async fn take_remote(&self, parts: &[Part<'_>], now: Instant) -> redis::RedisResult<Answer> {
        let remote = || parts.iter().filter(|part| !part.is_local);
        let buckets: Vec<&Part<'_>> = remote().filter(|part| !part.is_slot()).collect();
        let slots: Vec<&Part<'_>> = remote().filter(|part| part.is_slot()).collect();
        let mut call = self.take.prepare_invoke();
        for part in buckets.iter().chain(&slots) {
            call.key(&part.name);
        }
        call.arg(buckets.len()).arg(slots.len());
        for part in &buckets {
            let wanted = self.shared.slices.wanted(&part.name, &part.want, now);
            call.arg(part.want.ceiling).arg(part.want.amount).arg(wanted);
        }
        for part in &slots {
            call.arg(part.want.ceiling).arg(&part.slot);
        }
        call.arg(u64::try_from(self.times.slot_expiry.as_millis()).unwrap_or(u64::MAX));
        let mut connection = self.shared.connection.clone();
        let answer: Vec<u64> = call.invoke_async(&mut connection).await?;
        let in_order: Vec<&Part<'_>> = buckets.into_iter().chain(slots).collect();
        Ok(self.read(&answer, &in_order, now))
    }

    fn read(&self, answer: &[u64], parts: &[&Part<'_>], now: Instant) -> Answer {
        let slices = &self.shared.slices;
        match answer {
            [1, taken @ ..] => {
                for (part, taken) in parts.iter().zip(taken.chunks_exact(2)) {
                    slices.borrowed(&part.name, taken[0].saturating_sub(part.want.amount), now);
                    slices.heard(&part.name, Duration::from_micros(taken[1]), now);
                }
                Answer::Taken
            }
            [0, index, wait_us, full_us] => {
                let at = usize::try_from(*index).unwrap_or(usize::MAX).wrapping_sub(1);
                let Some(part) = parts.get(at) else { return Answer::Taken };
                let wait = Duration::from_micros(*wait_us);
                if part.is_slot() {
                    return Answer::Limited(self.limited(part, CONCURRENCY_RETRY, now));
                }
                slices.denied(&part.name, wait, now);
                slices.heard(&part.name, Duration::from_micros(*full_us), now);
                Answer::Limited(self.limited(part, wait, now))
            }
            // A script answers nothing else.
            _ => Answer::Taken,
        }
    }

    fn granted(&self, parts: &[Part<'_>], now: Instant) -> Granted {
        for part in parts.iter().filter(|part| part.is_slot() && !part.is_local) {
            self.shared.chores.entered(&part.name, &part.slot);
        }
        let levels = parts.iter().filter_map(|part| self.level(part, now)).collect();
        let parts = parts.iter().map(Taking::of).collect();
        Granted { admitted: Box::new(Taken { shared: Arc::clone(&self.shared), parts }), levels }
    }

    /// How a bucket stands, as far as this instance knows.
    fn level(&self, part: &Part<'_>, now: Instant) -> Option<Level> {
        let Want { limit, ceiling, .. } = part.want;
        let (remaining, reset) =
            (!part.is_slot()).then(|| self.shared.slices.level(&part.name, ceiling, now))?;
        Some(Level { limit, ceiling, remaining, reset })
    }

    fn limited(&self, part: &Part<'_>, retry_after: Duration, now: Instant) -> Limited {
        let Want { limit, ceiling, .. } = part.want;
        Limited { limit, ceiling, retry_after, level: self.level(part, now) }
    }

    /// Each instance allows its share of the limit, at least one.
    fn take_degraded(&self, wants: &[Want<'_>]) -> Result<Granted, Limited> {
        let instances = self.shared.instances.load(Ordering::Relaxed).max(1);
        let shares: Vec<Want<'_>> = wants.iter().map(|want| want.share_of(instances)).collect();
        // Callers are told of their whole limit.
        let ceiling = |limit| wants.iter().find(|want| want.limit == limit).map_or(0, |want| want.ceiling);
        let whole = |level: Level| Level { ceiling: ceiling(level.limit), ..level };
        match self.shared.fallback.take(&shares) {
            Ok(granted) => Ok(Granted { levels: granted.levels.into_iter().map(whole).collect(), ..granted }),
            Err(limited) => {
                Err(Limited { ceiling: ceiling(limited.limit), level: limited.level.map(whole), ..limited })
            }
        }
    }
}

impl Shared {
    /// Frees a slot: first for a request here, then in Redis.
    fn leave(&self, name: &str, slot: &str) {
        self.freed.add(name, slot);
        self.chores.left(name, slot);
    }
}

impl RateStore for Redis {
    fn admit<'a>(&'a self, wants: &'a [Want<'a>]) -> BoxFuture<'a, Result<Granted, Limited>> {
        Box::pin(self.take(wants))
    }
}

impl Want<'_> {
    /// What one of so many instances may take by itself: at least one, unless nothing may pass at all.
    fn share_of(&self, instances: u64) -> Self {
        let ceiling = match self.ceiling {
            0 => 0,
            ceiling => (ceiling / instances).max(1),
        };
        Self { ceiling, amount: self.amount.min(ceiling), ..*self }
    }
}

enum Answer {
    Taken,
    Limited(Limited),
}

/// One limit of one request.
struct Part<'a> {
    /// The Redis key.
    name: String,
    want: Want<'a>,
    /// The member of a concurrency set; empty for buckets.
    slot: String,
    /// A slice paid.
    is_local: bool,
}

impl Part<'_> {
    fn is_slot(&self) -> bool {
        self.want.limit.measure == Measure::Concurrency
    }
}

/// What is taken of the limits so far: given back where the rest is refused, or where nobody waits for it any more.
struct Trying<'r, 'a> {
    redis: &'r Redis,
    parts: Vec<Part<'a>>,
    /// Redis may have heard of what is not local.
    is_asked: bool,
}

impl<'a> Trying<'_, 'a> {
    /// All of it; nothing is given back.
    fn taken(&mut self) -> Vec<Part<'a>> {
        std::mem::take(&mut self.parts)
    }
}

impl Drop for Trying<'_, '_> {
    fn drop(&mut self) {
        let shared = &self.redis.shared;
        for part in &self.parts {
            match (part.is_local, part.is_slot()) {
                (true, true) => shared.leave(&part.name, &part.slot),
                (true, false) => shared.slices.put_back(&part.name, part.want.amount),
                // Nobody is under way in this slot.
                (false, true) if self.is_asked => shared.chores.abandoned(&part.name, &part.slot),
                (false, _) => {}
            }
        }
    }
}

/// What one request took.
struct Taken {
    shared: Arc<Shared>,
    parts: Vec<Taking>,
}

/// What it took of one limit.
struct Taking {
    name: String,
    slot: String,
    measure: Measure,
    ceiling: u64,
    amount: u64,
}

impl Taking {
    fn of(part: &Part<'_>) -> Self {
        let Want { limit, ceiling, amount, .. } = part.want;
        Self { name: part.name.clone(), slot: part.slot.clone(), measure: limit.measure, ceiling, amount }
    }
}

impl Taken {
    /// Leaves the slots; what was `used` of each bucket is counted in place of what was taken.
    fn settle(&self, used: impl Fn(&Taking) -> u64) {
        for taking in &self.parts {
            match (taking.measure, used(taking)) {
                (Measure::Concurrency, _) => self.shared.leave(&taking.name, &taking.slot),
                (_, used) if used == taking.amount => {}
                (_, used) => {
                    self.shared.chores.correct(&taking.name, taking.ceiling, used, taking.amount);
                }
            }
        }
    }
}

impl Admitted for Taken {
    fn end(self: Box<Self>, tokens: Option<u64>) {
        self.settle(|taking| match taking.measure {
            Measure::Tokens => tokens.unwrap_or(0),
            Measure::Requests | Measure::Concurrency => taking.amount,
        });
    }

    fn undo(self: Box<Self>) {
        self.settle(|_| 0);
    }
}
