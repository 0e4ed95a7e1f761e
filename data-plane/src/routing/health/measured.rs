//! A distribution over the last minutes, and what of it was not reported yet. It takes no room before the first value.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

use switchyard_proto::sketch::{BUCKETS, Sketch, bucket_of};

use crate::routing::health::ring::{self, Ring};

/// Slots of time that are remembered.
const SLOTS: usize = 5;

/// One distribution.
#[derive(Debug, Default)]
pub struct Measured(OnceLock<Held>);

#[derive(Debug)]
struct Held {
    ring: Ring<SLOTS, BUCKETS>,
    unreported: Box<[AtomicU32]>,
}

impl Default for Held {
    fn default() -> Self {
        let unreported = (0..BUCKETS).map(|_| AtomicU32::default()).collect();
        Self { ring: Ring::default(), unreported }
    }
}

impl Measured {
    /// Counts a value in a slot of time.
    pub fn record(&self, slot: u32, value: f64) {
        let (held, bucket) = (self.0.get_or_init(Held::default), bucket_of(value));
        held.ring.add(slot, bucket, 1);
        held.unreported[bucket].fetch_add(1, Ordering::Relaxed);
    }

    /// What was counted in the last slots, the running one included.
    pub fn recent(&self, slot: u32) -> Sketch {
        let slots = ring::last(SLOTS as u32, slot);
        self.0.get().map(|held| Sketch::from(held.ring.sums(slots))).unwrap_or_default()
    }

    /// What was counted since it was last taken.
    pub fn take_unreported(&self) -> Sketch {
        let Some(held) = self.0.get() else { return Sketch::default() };
        let take = |bucket: usize| held.unreported[bucket].swap(0, Ordering::Relaxed);
        Sketch::from(std::array::from_fn::<u32, BUCKETS, _>(take))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_forgotten_with_their_slot_and_reported_once() {
        let measured = Measured::default();
        assert_eq!((measured.recent(0), measured.take_unreported()), Default::default());
        measured.record(0, 100.0);
        measured.record(4, 200.0);
        let count = |sketch: Sketch| sketch.filled().map(|(_, count)| count).sum::<u32>();
        assert_eq!([4, 5, 9].map(|slot| count(measured.recent(slot))), [2, 1, 0]);
        assert_eq!((count(measured.take_unreported()), count(measured.take_unreported())), (2, 0));
    }
}
