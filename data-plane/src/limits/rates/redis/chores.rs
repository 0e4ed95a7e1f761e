//! What no request waits for: borrowing ahead, freeing and renewing slots, correcting tokens, counting instances, probing.
//!
//! Slots are freed at once. Corrections are added up per bucket for a tenth of a second, so a busy key costs Redis a few calls.

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, atomic::Ordering},
    time::{Duration, Instant},
};

use futures_util::future::try_join_all;
use redis::{RedisResult, Script, aio::ConnectionManager, pipe};
use switchyard_proto::id::InstanceId;
use tokio::{
    sync::mpsc,
    time::{MissedTickBehavior, interval},
};

use super::{Shared, Times};
use crate::background::Background;

const FLUSH: Duration = Duration::from_millis(100);
const PROBE: Duration = Duration::from_millis(250);
/// Instances that said so in the time in which slots expire; sorted by when their mark does, in seconds.
const INSTANCES: &str = "sy:instances";

/// Where requests leave their chores.
pub(super) struct Chores(mpsc::UnboundedSender<Chore>);

/// Bounded by the requests that are under way: each leaves a handful.
pub(super) type Work = mpsc::UnboundedReceiver<Chore>;

#[derive(Debug)]
pub(super) enum Chore {
    Entered {
        set: String,
        slot: String,
    },
    Left {
        set: String,
        slot: String,
    },
    /// Asked for, and perhaps taken, by a request that did not wait.
    Abandoned {
        set: String,
        slot: String,
    },
    Correct {
        bucket: String,
        ceiling: u64,
        units: i64,
    },
    Refill(Refill),
}

/// A slice to be borrowed ahead.
#[derive(Debug)]
pub(super) struct Refill {
    bucket: String,
    ceiling: u64,
    units: u64,
}

impl Chores {
    pub fn new() -> (Self, Work) {
        let (sender, work) = mpsc::unbounded_channel();
        (Self(sender), work)
    }

    pub fn entered(&self, set: &str, slot: &str) {
        self.leave(Chore::Entered { set: set.to_owned(), slot: slot.to_owned() });
    }

    pub fn left(&self, set: &str, slot: &str) {
        self.leave(Chore::Left { set: set.to_owned(), slot: slot.to_owned() });
    }

    pub fn abandoned(&self, set: &str, slot: &str) {
        self.leave(Chore::Abandoned { set: set.to_owned(), slot: slot.to_owned() });
    }

    /// `used` instead of the `taken` units.
    pub fn correct(&self, bucket: &str, ceiling: u64, used: u64, taken: u64) {
        let units = i64::try_from(used).unwrap_or(i64::MAX).saturating_sub_unsigned(taken);
        self.leave(Chore::Correct { bucket: bucket.to_owned(), ceiling, units });
    }

    /// So many `units` of a bucket will be wanted soon.
    pub fn refill(&self, bucket: &str, ceiling: u64, units: u64) {
        self.leave(Chore::Refill(Refill { bucket: bucket.to_owned(), ceiling, units }));
    }

    fn leave(&self, chore: Chore) {
        // Nobody listens any more only while the process stops; slots then expire.
        self.0.send(chore).ok();
    }
}

/// Starts the loop.
pub(super) fn start(
    shared: &Arc<Shared>,
    work: Work,
    (instance, times): (&InstanceId, Times),
    background: &Background,
) {
    let keeper = Keeper {
        shared: Arc::clone(shared),
        connection: shared.connection.clone(),
        instance: instance.clone(),
        slot_expiry: times.slot_expiry,
        take: Script::new(include_str!("take.lua")),
        correct: Script::new(include_str!("correct.lua")),
        renew: Script::new(include_str!("renew.lua")),
        slots: HashMap::new(),
        left: Vec::new(),
        abandoned: Vec::new(),
        refills: Vec::new(),
        corrections: HashMap::new(),
    };
    let stopping = background.stopping().clone();
    background.spawn(async move {
        tokio::select! {
            () = stopping.cancelled() => {}
            () = keeper.run(work) => {}
        }
    });
}

struct Keeper {
    shared: Arc<Shared>,
    connection: ConnectionManager,
    instance: InstanceId,
    slot_expiry: Duration,
    take: Script,
    correct: Script,
    renew: Script,
    /// Slots under way, by set.
    slots: HashMap<String, HashSet<String>>,
    left: Vec<(String, String)>,
    abandoned: Vec<(String, String)>,
    refills: Vec<Refill>,
    corrections: HashMap<String, (u64, i64)>,
}

impl Keeper {
    async fn run(mut self, mut work: Work) {
        // Slots and the instance's own mark are renewed thrice before they would expire.
        let (mut flush, mut probe, mut renew) =
            (interval(FLUSH), interval(PROBE), interval(self.slot_expiry / 3));
        for ticker in [&mut flush, &mut probe, &mut renew] {
            ticker.set_missed_tick_behavior(MissedTickBehavior::Delay);
        }
        loop {
            let done = tokio::select! {
                chore = work.recv() => match chore {
                    Some(chore) => {
                        self.note(chore);
                        while let Ok(chore) = work.try_recv() {
                            self.note(chore);
                        }
                        match self.refill_all().await {
                            Ok(()) => self.free().await,
                            failed => failed,
                        }
                    }
                    None => return,
                },
                _ = flush.tick() => self.correct_all().await,
                _ = probe.tick(), if !self.shared.breaker.is_closed() => self.probe().await,
                _ = renew.tick() => self.renew().await,
            };
            if done.is_err() {
                self.shared.breaker.failed();
            }
        }
    }

    fn note(&mut self, chore: Chore) {
        match chore {
            Chore::Entered { set, slot } => {
                self.slots.entry(set).or_default().insert(slot);
            }
            Chore::Left { set, slot } => self.left.push((set, slot)),
            Chore::Abandoned { set, slot } => self.abandoned.push((set, slot)),
            Chore::Refill(refill) => self.refills.push(refill),
            Chore::Correct { bucket, ceiling, units } => {
                let correction = self.corrections.entry(bucket).or_insert((ceiling, 0));
                *correction = (ceiling, correction.1.saturating_add(units));
            }
        }
    }

    fn drop_slot(&mut self, set: &str, slot: &str) {
        if let Some(slots) = self.slots.get_mut(set) {
            slots.remove(slot);
            if slots.is_empty() {
                self.slots.remove(set);
            }
        }
    }

    /// Borrows ahead; where that fails the next request asks for itself.
    async fn refill_all(&mut self) -> RedisResult<()> {
        let mut outcome = Ok(());
        for Refill { bucket, ceiling, units } in std::mem::take(&mut self.refills) {
            let mut call = self.take.key(&bucket);
            // One bucket, no set; at least one unit.
            call.arg(1).arg(0).arg(ceiling).arg(1).arg(units).arg(0);
            let taken = match &outcome {
                Ok(()) => call.invoke_async::<Vec<u64>>(&mut self.connection).await,
                Err(_) => Ok(Vec::new()),
            };
            let amount = match &taken {
                Ok(answer) if answer.first() == Some(&1) => answer.get(1).copied().unwrap_or(0),
                _ => 0,
            };
            self.shared.slices.refilled(&bucket, amount, Instant::now());
            outcome = outcome.and(taken.map(drop));
        }
        outcome
    }

    /// Frees slots. What cannot be said is dropped: they expire.
    async fn free(&mut self) -> RedisResult<()> {
        let mut gone: HashMap<String, Vec<String>> = HashMap::new();
        for (set, slot) in std::mem::take(&mut self.abandoned) {
            gone.entry(set).or_default().push(slot);
        }
        for (set, slot) in std::mem::take(&mut self.left) {
            // Not there: another request entered with it.
            if self.shared.freed.forget(&set, &slot) {
                self.drop_slot(&set, &slot);
                gone.entry(set).or_default().push(slot);
            }
        }
        // A call for each set: in a cluster they are in different places.
        let calls = gone.into_iter().map(|(set, slots)| {
            let mut connection = self.connection.clone();
            async move { redis::cmd("ZREM").arg(set).arg(slots).query_async::<i64>(&mut connection).await }
        });
        try_join_all(calls).await.map(|_| ())
    }

    /// Corrects buckets. What cannot be said is dropped: they refill.
    async fn correct_all(&mut self) -> RedisResult<()> {
        let corrections = std::mem::take(&mut self.corrections);
        for (bucket, (ceiling, units)) in corrections.iter().filter(|(_, (_, units))| *units != 0) {
            let mut call = self.correct.key(bucket);
            call.arg(ceiling).arg(units).invoke_async::<i64>(&mut self.connection).await?;
        }
        Ok(())
    }

    async fn probe(&mut self) -> RedisResult<()> {
        redis::cmd("PING").query_async::<String>(&mut self.connection).await?;
        self.shared.breaker.passed();
        Ok(())
    }

    /// Says that this instance and its slots are alive, and counts the instances.
    async fn renew(&mut self) -> RedisResult<()> {
        let expiry_ms = u64::try_from(self.slot_expiry.as_millis()).unwrap_or(u64::MAX);
        for (set, slots) in &self.slots {
            let mut call = self.renew.key(set);
            call.arg(expiry_ms);
            for slot in slots {
                call.arg(slot);
            }
            call.invoke_async::<i64>(&mut self.connection).await?;
        }
        let (seconds, _): (u64, u64) = redis::cmd("TIME").query_async(&mut self.connection).await?;
        let (count,): (u64,) = pipe()
            .zrembyscore(INSTANCES, "-inf", seconds)
            .ignore()
            .zadd(INSTANCES, self.instance.as_str(), seconds + self.slot_expiry.as_secs().max(1))
            .ignore()
            .zcard(INSTANCES)
            .query_async(&mut self.connection)
            .await?;
        self.shared.instances.store(count.max(1), Ordering::Relaxed);
        Ok(())
    }
}
