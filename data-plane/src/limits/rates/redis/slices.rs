//! What this instance borrowed of each bucket, and which buckets are known to be empty.
//!
//! A slice is about what the bucket was asked for in the last 200 ms; a limit too small to slice is asked each time.
//! What is left of a slice after a second is let go: a little is refused that could have passed, never the reverse.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use super::super::{Want, gcra};

const WINDOW: Duration = Duration::from_millis(200);
/// Windows in a minute.
const WINDOWS: u64 = 300;
/// A limit of fewer than so many units in a window is not sliced.
const LEAST_SLICED: u64 = 4;
const SLICE_EXPIRY: Duration = Duration::from_secs(1);
/// A denial is believed no longer: somebody may give tokens back.
const DENIED: Duration = Duration::from_millis(250);
const SHARDS: usize = 32;
const SWEEP_AT: usize = 4096;

pub(super) struct Slices {
    shards: Vec<Mutex<HashMap<String, Slice>>>,
}

#[derive(Debug)]
struct Slice {
    left: u64,
    borrowed_at: Instant,
    denial: Option<Denial>,
    /// When the bucket will be full, by its last word.
    full_at: Instant,
    /// Borrowing in the background is under way.
    refilling: bool,
    window_start: Instant,
    in_window: u64,
    last_window: u64,
}

/// A bucket that was found empty.
#[derive(Clone, Copy, Debug)]
struct Denial {
    passes_at: Instant,
    believed_until: Instant,
}

impl Default for Slices {
    fn default() -> Self {
        Self { shards: (0..SHARDS).map(|_| Mutex::default()).collect() }
    }
}

impl Slices {
    /// Takes from the slice, if it suffices.
    pub fn take(&self, name: &str, amount: u64, now: Instant) -> bool {
        self.with(name, now, |slice| {
            slice.count(amount, now);
            if now.duration_since(slice.borrowed_at) > SLICE_EXPIRY {
                slice.left = 0;
            }
            if amount > 0 && slice.left < amount {
                return false;
            }
            slice.left -= amount;
            true
        })
    }

    /// What to borrow now: the request's own amount, and a slice where the limit is large enough.
    pub fn wanted(&self, name: &str, want: &Want<'_>, now: Instant) -> u64 {
        let most = want.ceiling / WINDOWS;
        if most < LEAST_SLICED {
            return want.amount;
        }
        self.with(name, now, |slice| want.amount.max(slice.last_window.max(slice.in_window).min(most)))
    }

    pub fn borrowed(&self, name: &str, amount: u64, now: Instant) {
        if amount > 0 {
            self.with(name, now, |slice| {
                slice.left = slice.left.saturating_add(amount);
                slice.borrowed_at = now;
            });
        }
    }

    /// What to borrow behind the requests, so that a busy bucket's next one waits for nobody: where less than half of a
    /// slice is left, or it is about to be let go. Answered once, until [`Slices::refilled`].
    pub fn refill(&self, name: &str, want: &Want, now: Instant) -> Option<u64> {
        let most = want.ceiling / WINDOWS;
        if most < LEAST_SLICED {
            return None;
        }
        self.with(name, now, |slice| {
            let demand = slice.last_window.max(slice.in_window).min(most);
            let is_old = now.saturating_duration_since(slice.borrowed_at) > SLICE_EXPIRY / 2;
            let is_busy = demand > want.amount;
            if slice.refilling || !is_busy || (slice.left >= demand / 2 && !is_old) {
                return None;
            }
            slice.refilling = true;
            Some(demand)
        })
    }

    /// Adds what was borrowed in the background; nothing where the bucket had nothing to spare.
    pub fn refilled(&self, name: &str, amount: u64, now: Instant) {
        self.with(name, now, |slice| slice.refilling = false);
        self.borrowed(name, amount, now);
    }

    pub fn put_back(&self, name: &str, amount: u64) {
        if let Some(slice) = self.shard(name).get_mut(name) {
            slice.left = slice.left.saturating_add(amount);
        }
    }

    pub fn denied(&self, name: &str, wait: Duration, now: Instant) {
        let denial = Denial { passes_at: now + wait, believed_until: now + wait.min(DENIED) };
        self.with(name, now, |slice| slice.denial = Some(denial));
    }

    /// Takes the bucket's word of when it will be full.
    pub fn heard(&self, name: &str, full_in: Duration, now: Instant) {
        self.with(name, now, |slice| slice.full_at = now + full_in);
    }

    /// Units that could pass now, those of the slice included, and how long until the bucket is full.
    pub fn level(&self, name: &str, ceiling: u64, now: Instant) -> (u64, Duration) {
        let shard = self.shard(name);
        let Some(slice) = shard.get(name) else { return (ceiling, Duration::ZERO) };
        let nanos = |wait: Duration| u64::try_from(wait.as_nanos()).unwrap_or(u64::MAX);
        let used = nanos(slice.full_at.saturating_duration_since(now));
        let (room, _) = gcra::level(used, 0, ceiling);
        let reset = used.saturating_sub(gcra::cost(slice.left, ceiling));
        ((room + slice.left).min(ceiling), Duration::from_nanos(reset))
    }

    /// How long the bucket will be empty, as far as is known.
    pub fn denied_for(&self, name: &str, now: Instant) -> Option<Duration> {
        let shard = self.shard(name);
        let denial = shard.get(name)?.denial.filter(|denial| denial.believed_until > now)?;
        Some(denial.passes_at - now)
    }

    fn with<T>(&self, name: &str, now: Instant, work: impl FnOnce(&mut Slice) -> T) -> T {
        let mut shard = self.shard(name);
        if let Some(slice) = shard.get_mut(name) {
            return work(slice);
        }
        if shard.len() >= SWEEP_AT {
            shard.retain(|_, slice| now.saturating_duration_since(slice.window_start) < SLICE_EXPIRY * 60);
        }
        work(shard.entry(name.to_owned()).or_insert_with(|| Slice::new(now)))
    }

    fn shard(&self, name: &str) -> MutexGuard<'_, HashMap<String, Slice>> {
        let at = crc32fast::hash(name.as_bytes()) as usize % SHARDS;
        self.shards[at].lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Slice {
    fn new(now: Instant) -> Self {
        Self {
            left: 0,
            borrowed_at: now,
            denial: None,
            full_at: now,
            refilling: false,
            window_start: now,
            in_window: 0,
            last_window: 0,
        }
    }

    /// Counts demand.
    fn count(&mut self, amount: u64, now: Instant) {
        let age = now.saturating_duration_since(self.window_start);
        if age >= WINDOW {
            self.last_window = if age < WINDOW * 2 { self.in_window } else { 0 };
            self.in_window = 0;
            self.window_start = now;
        }
        self.in_window = self.in_window.saturating_add(amount);
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::{Limit, Measure, Owner, Scope};
    use super::*;

    fn want(ceiling: u64) -> Want<'static> {
        let limit = Limit { scope: Scope::Credential, measure: Measure::Requests };
        Want { owner: Owner::Credential("c"), limit, ceiling, amount: 1 }
    }

    #[test]
    fn a_level_is_the_buckets_word_and_what_is_left_of_the_slice() {
        let (slices, now) = (Slices::default(), Instant::now());
        assert_eq!(slices.level("a", 60, now), (60, Duration::ZERO));
        slices.heard("a", Duration::from_secs(20), now);
        slices.borrowed("a", 5, now);
        assert_eq!(slices.level("a", 60, now), (45, Duration::from_secs(15)));
        assert_eq!(slices.level("a", 60, now + Duration::from_secs(30)), (60, Duration::ZERO));
    }

    #[test]
    fn slices_follow_demand_and_small_limits_are_not_sliced() {
        let (slices, now) = (Slices::default(), Instant::now());
        for _ in 0..50 {
            slices.take("a", 1, now);
        }
        assert_eq!(slices.wanted("a", &want(600_000), now), 50);
        assert_eq!(slices.wanted("a", &want(3_000), now), 10);
        assert_eq!(slices.wanted("a", &want(600), now), 1);
    }

    #[test]
    fn a_busy_bucket_is_refilled_before_it_is_empty() {
        let (slices, now) = (Slices::default(), Instant::now());
        slices.take("a", 1, now);
        assert_eq!(slices.refill("a", &want(600_000), now), None, "one request is no demand");
        for _ in 0..50 {
            slices.take("a", 1, now);
        }
        assert_eq!(slices.refill("a", &want(600), now), None, "too small to slice");
        assert_eq!(slices.refill("a", &want(600_000), now), Some(51));
        assert_eq!(slices.refill("a", &want(600_000), now), None, "once at a time");
        slices.refilled("a", 51, now);
        assert_eq!(slices.refill("a", &want(600_000), now), None, "there is enough");
        for _ in 0..40 {
            assert!(slices.take("a", 1, now));
        }
        assert_eq!(slices.refill("a", &want(600_000), now), Some(91));
    }

    #[test]
    fn a_slice_is_spent_once_and_let_go_after_a_second() {
        let (slices, now) = (Slices::default(), Instant::now());
        slices.borrowed("a", 2, now);
        assert!(slices.take("a", 1, now) && slices.take("a", 1, now) && !slices.take("a", 1, now));
        slices.borrowed("a", 2, now);
        assert!(!slices.take("a", 1, now + SLICE_EXPIRY * 2));
    }

    #[test]
    fn a_denial_is_kept_until_it_can_change() {
        let (slices, now) = (Slices::default(), Instant::now());
        for (wait, believed) in [(Duration::from_millis(30), Duration::from_millis(30)), (DENIED * 9, DENIED)]
        {
            slices.denied("a", wait, now);
            assert_eq!(slices.denied_for("a", now), Some(wait));
            assert_eq!(slices.denied_for("a", now + believed), None);
        }
    }
}
