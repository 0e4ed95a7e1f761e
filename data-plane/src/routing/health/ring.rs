//! Counters over a rolling time, without locks: a ring of slots that forget by themselves.
//!
//! A counter carries the number of the slot of time that it was last added in, so nobody has to empty it, and two
//! threads that meet at the turn of a slot lose nothing.

use std::ops::RangeInclusive;
use std::sync::atomic::{AtomicU64, Ordering};

/// `COUNTERS` counters for each of the last `SLOTS` slots of time.
#[derive(Debug)]
pub struct Ring<const SLOTS: usize, const COUNTERS: usize>(Box<[Stamped]>);

/// The slot that was counted in, above; what was counted, below.
#[derive(Debug, Default)]
struct Stamped(AtomicU64);

impl<const SLOTS: usize, const COUNTERS: usize> Default for Ring<SLOTS, COUNTERS> {
    fn default() -> Self {
        Self((0..SLOTS * COUNTERS).map(|_| Stamped::default()).collect())
    }
}

impl<const SLOTS: usize, const COUNTERS: usize> Ring<SLOTS, COUNTERS> {
    /// Adds to a counter in a slot of time. What is older than the ring is dropped.
    pub fn add(&self, slot: u32, counter: usize, amount: u32) {
        self.place(slot)[counter].add(slot, amount);
    }

    /// What was counted in some slots of time; those that the ring has forgotten count nothing.
    pub fn sums(&self, slots: RangeInclusive<u32>) -> [u32; COUNTERS] {
        let mut sums = [0u32; COUNTERS];
        for slot in slots {
            for (sum, counter) in sums.iter_mut().zip(self.place(slot)) {
                *sum = sum.saturating_add(counter.get(slot));
            }
        }
        sums
    }

    fn place(&self, slot: u32) -> &[Stamped] {
        let at = slot as usize % SLOTS * COUNTERS;
        &self.0[at..at + COUNTERS]
    }
}

/// The last `many` slots, the running one included.
pub fn last(many: u32, now: u32) -> RangeInclusive<u32> {
    now.saturating_sub(many.saturating_sub(1))..=now
}

impl Stamped {
    fn add(&self, slot: u32, amount: u32) {
        let counted = |held: u64| {
            let (stamp, count) = split(held);
            // A thread that was held up may come after its slot was given to a later time.
            (stamp <= slot).then(|| {
                let before = if stamp == slot { count } else { 0 };
                join(slot, before.saturating_add(amount))
            })
        };
        let _ = self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, counted);
    }

    fn get(&self, slot: u32) -> u32 {
        let (stamp, count) = split(self.0.load(Ordering::Relaxed));
        if stamp == slot { count } else { 0 }
    }
}

/// Two numbers in one word.
pub fn join(high: u32, low: u32) -> u64 {
    u64::from(high) << 32 | u64::from(low)
}

/// The two numbers of a word.
pub fn split(word: u64) -> (u32, u32) {
    ((word >> 32) as u32, word as u32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slot_is_forgotten_when_the_ring_has_turned() {
        let ring = Ring::<3, 2>::default();
        ring.add(1, 0, 5);
        ring.add(2, 0, 7);
        ring.add(2, 1, 1);
        assert_eq!(ring.sums(last(3, 3)), [12, 1]);
        assert_eq!(ring.sums(last(3, 4)), [7, 1]);
        ring.add(4, 0, 2);
        assert_eq!(ring.sums(last(3, 4)), [9, 1]);
        assert_eq!(ring.sums(last(1, 4)), [2, 0]);
        assert_eq!(ring.sums(last(3, 40)), [0, 0]);
    }

    #[test]
    fn what_comes_after_its_slot_was_given_away_is_dropped() {
        let ring = Ring::<3, 1>::default();
        ring.add(5, 0, 1);
        ring.add(2, 0, 1);
        assert_eq!(ring.sums(last(3, 5)), [1]);
    }

    #[test]
    fn threads_that_count_at_the_turn_of_slots_lose_nothing() {
        let ring = Ring::<64, 1>::default();
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| (0..6000).for_each(|step| ring.add(step / 100, 0, 1)));
            }
        });
        assert_eq!(ring.sums(last(64, 60)), [24_000]);
    }

    #[test]
    fn a_count_stops_at_its_largest() {
        let ring = Ring::<2, 1>::default();
        ring.add(1, 0, u32::MAX);
        ring.add(1, 0, 1);
        assert_eq!(ring.sums(last(2, 1)), [u32::MAX]);
    }
}
