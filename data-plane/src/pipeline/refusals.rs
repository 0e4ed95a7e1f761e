//! How many requests that came to no attempt are remembered: so many a second and instance, so that a flood of them fills
//! neither journal nor ledger.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// A calm instance may remember the requests of so long at once.
const SAVED: Duration = Duration::from_secs(10);

/// A share of time that every remembered request takes.
#[derive(Debug)]
pub struct Refusals {
    started: Instant,
    /// Microseconds that one takes; none: nothing is remembered.
    each: Option<u64>,
    /// Until when all time is taken, in microseconds from the start.
    taken_until: AtomicU64,
}

impl Refusals {
    /// At most so many a second, over some time; 0: none.
    pub fn new(per_second: u32) -> Self {
        let each = (per_second > 0).then(|| 1_000_000 / u64::from(per_second));
        Self { started: Instant::now(), each, taken_until: AtomicU64::default() }
    }

    /// Whether one more is remembered.
    pub fn take(&self) -> bool {
        self.take_at(u64::try_from(self.started.elapsed().as_micros()).unwrap_or(u64::MAX))
    }

    fn take_at(&self, now: u64) -> bool {
        let Some(each) = self.each else { return false };
        let most = now.saturating_add(SAVED.as_micros() as u64);
        let take = |until: u64| Some(until.max(now).saturating_add(each)).filter(|until| *until <= most);
        self.taken_until.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000;

    #[test]
    fn a_flood_is_remembered_at_its_rate_and_a_calm_instance_remembers_some_at_once() {
        let refusals = Refusals::new(5);
        let taken = |at: u64| (0..1000).filter(|_| refusals.take_at(at)).count();
        assert_eq!([taken(0), taken(0), taken(SECOND), taken(3 * SECOND)], [50, 0, 5, 10]);
        assert_eq!(taken(3600 * SECOND), 50, "what was not used long ago is not saved");
    }

    #[test]
    fn none_may_be_remembered() {
        assert!(!Refusals::new(0).take_at(9 * SECOND));
    }
}
