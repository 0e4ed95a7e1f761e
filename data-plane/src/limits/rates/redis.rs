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
use switchyard_proto::{
    id::{InstanceId, KeyId, TenantId},
    secret::Secret,
};

use self::{breaker::Breaker, chores::Chores, freed::Freed, slices::Slices};
use super::{Admitted, Limited, Measure, RateError, RateStore, Scope, Want, memory::Memory};
use crate::background::Background;

/// A request waits no longer for Redis.
pub(super) const DEADLINE: Duration = Duration::from_millis(5);
/// The connection itself gives up a call after this; the shared connection is not torn down for it.
const RESPONSE_TIMEOUT: Duration = Duration::from_millis(200);
const CONNECTION_TIMEOUT: Duration = Duration::from_millis(500);
/// A concurrency slot that nobody renews is free again after this.
const SLOT_EXPIRY: Duration = Duration::from_secs(30);
/// A concurrency limit may pass at any time.
const CONCURRENCY_RETRY: Duration = Duration::from_secs(1);

/// Counters shared by a fleet.
pub(super) struct Redis {
    shared: Arc<Shared>,
    take: Script,
    deadline: Duration,
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
        deadline: Duration,
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
        chores::start(&shared, work, instance, background);
        Ok(Arc::new(Self {
            shared,
            take: Script::new(include_str!("redis/take.lua")),
            deadline,
            instance: instance.clone(),
            next_slot: AtomicU64::new(0),
        }))
    }

    async fn take(
        &self,
        tenant: &TenantId,
        key: &KeyId,
        wants: &[Want],
    ) -> Result<Box<dyn Admitted>, Limited> {
        if !self.shared.breaker.is_closed() {
            return self.take_degraded(tenant, key, wants);
        }
        let now = Instant::now();
        let mut parts: Vec<Part> = Vec::with_capacity(wants.len());
        for want in wants {
            let part = self.part(tenant, key, *want);
            if let Some(wait) = self.shared.slices.denied_for(&part.name, now) {
                self.undo(&parts);
                return Err(limited(want, wait));
            }
            parts.push(self.take_local(part, now));
        }
        if parts.iter().all(|part| part.is_local) {
            return Ok(self.admitted(parts));
        }
        match tokio::time::timeout(self.deadline, self.take_remote(&parts, now)).await {
            Ok(Ok(Answer::Taken)) => {
                self.shared.breaker.passed();
                Ok(self.admitted(parts))
            }
            Ok(Ok(Answer::Limited(limited))) => {
                self.shared.breaker.passed();
                self.undo(&parts);
                Err(limited)
            }
            Ok(Err(_)) | Err(_) => {
                self.shared.breaker.failed();
                self.undo(&parts);
                self.take_degraded(tenant, key, wants)
            }
        }
    }

    /// What the script is asked for one limit, and where.
    fn part(&self, tenant: &TenantId, key: &KeyId, want: Want) -> Part {
        let measure = match want.limit.measure {
            Measure::Requests => 'r',
            Measure::Tokens => 't',
            Measure::Concurrency => 'c',
        };
        let name = match want.limit.scope {
            Scope::Key => format!("sy:{{{tenant}}}:k:{key}:{measure}"),
            Scope::Tenant => format!("sy:{{{tenant}}}:t:{measure}"),
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
    fn take_local(&self, part: Part, now: Instant) -> Part {
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

    async fn take_remote(&self, parts: &[Part], now: Instant) -> redis::RedisResult<Answer> {
        let remote = || parts.iter().filter(|part| !part.is_local);
        let buckets: Vec<&Part> = remote().filter(|part| !part.is_slot()).collect();
        let slots: Vec<&Part> = remote().filter(|part| part.is_slot()).collect();
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
        call.arg(u64::try_from(SLOT_EXPIRY.as_millis()).unwrap_or(u64::MAX));
        let mut connection = self.shared.connection.clone();
        let answer: Vec<u64> = call.invoke_async(&mut connection).await?;
        let in_order: Vec<&Part> = buckets.into_iter().chain(slots).collect();
        Ok(self.read(&answer, &in_order, now))
    }

    fn read(&self, answer: &[u64], parts: &[&Part], now: Instant) -> Answer {
        match answer {
            [1, taken @ ..] => {
                for (part, taken) in parts.iter().zip(taken) {
                    self.shared.slices.borrowed(&part.name, taken.saturating_sub(part.want.amount), now);
                }
                Answer::Taken
            }
            [0, index, wait_us] => {
                let at = usize::try_from(*index).unwrap_or(usize::MAX).wrapping_sub(1);
                let Some(part) = parts.get(at) else { return Answer::Taken };
                let wait = Duration::from_micros(*wait_us);
                if part.is_slot() {
                    return Answer::Limited(limited(&part.want, CONCURRENCY_RETRY));
                }
                self.shared.slices.denied(&part.name, wait, now);
                Answer::Limited(limited(&part.want, wait))
            }
            // A script answers nothing else.
            _ => Answer::Taken,
        }
    }

    fn undo(&self, parts: &[Part]) {
        for part in parts.iter().filter(|part| part.is_local) {
            match part.is_slot() {
                true => self.shared.leave(part),
                false => self.shared.slices.put_back(&part.name, part.want.amount),
            }
        }
    }

    fn admitted(&self, parts: Vec<Part>) -> Box<dyn Admitted> {
        for part in parts.iter().filter(|part| part.is_slot() && !part.is_local) {
            self.shared.chores.entered(&part.name, &part.slot);
        }
        Box::new(Taken { shared: Arc::clone(&self.shared), parts })
    }

    /// Each instance allows its share of the limit, at least one.
    fn take_degraded(
        &self,
        tenant: &TenantId,
        key: &KeyId,
        wants: &[Want],
    ) -> Result<Box<dyn Admitted>, Limited> {
        let instances = self.shared.instances.load(Ordering::Relaxed).max(1);
        let share = |want: &Want| match want.ceiling {
            0 => *want,
            ceiling => {
                let ceiling = (ceiling / instances).max(1);
                Want { ceiling, amount: want.amount.min(ceiling), ..*want }
            }
        };
        let wants: Vec<Want> = wants.iter().map(share).collect();
        let taken = self.shared.fallback.take(tenant, key, &wants)?;
        Ok(Box::new(taken))
    }
}

impl Shared {
    /// Frees a slot: first for a request here, then in Redis.
    fn leave(&self, part: &Part) {
        self.freed.add(&part.name, &part.slot);
        self.chores.left(&part.name, &part.slot);
    }
}

impl RateStore for Redis {
    fn admit<'a>(
        &'a self,
        tenant: &'a TenantId,
        key: &'a KeyId,
        wants: &'a [Want],
    ) -> BoxFuture<'a, Result<Box<dyn Admitted>, Limited>> {
        Box::pin(self.take(tenant, key, wants))
    }
}

enum Answer {
    Taken,
    Limited(Limited),
}

/// One limit of one request.
struct Part {
    /// The Redis key.
    name: String,
    want: Want,
    /// The member of a concurrency set; empty for buckets.
    slot: String,
    /// A slice paid.
    is_local: bool,
}

impl Part {
    fn is_slot(&self) -> bool {
        self.want.limit.measure == Measure::Concurrency
    }
}

fn limited(want: &Want, retry_after: Duration) -> Limited {
    Limited { limit: want.limit, ceiling: want.ceiling, retry_after }
}

/// What one request took.
struct Taken {
    shared: Arc<Shared>,
    parts: Vec<Part>,
}

impl Admitted for Taken {
    fn end(self: Box<Self>, tokens: Option<u64>) {
        for part in &self.parts {
            let want = &part.want;
            match want.limit.measure {
                Measure::Requests => {}
                Measure::Concurrency => self.shared.leave(part),
                Measure::Tokens => match tokens.unwrap_or(0) {
                    used if used == want.amount => {}
                    used => self.shared.chores.correct(&part.name, want.ceiling, used, want.amount),
                },
            }
        }
    }
}
