//! Which answers are looked at: the first of every provider and model, then every so-many-th.
//!
//! One shared counter each, without a lock and of fixed size: two models whose names fall together share one.

use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicU32, Ordering};

/// A power of two; far more than most installations have endpoints.
const COUNTERS: usize = 4096;

#[derive(Debug)]
pub struct Sampler {
    first: u32,
    /// 0: none but the first.
    every: u32,
    counters: Box<[AtomicU32]>,
    hash: RandomState,
}

impl Sampler {
    /// Takes the `first` answers and then this share, 0 to 1, of the others.
    pub fn new(first: u32, share: f64) -> Self {
        let every =
            if share > 0.0 { (1.0 / share).round().clamp(1.0, f64::from(u32::MAX)) as u32 } else { 0 };
        let counters = (0..COUNTERS).map(|_| AtomicU32::new(0)).collect();
        Self { first, every, counters, hash: RandomState::new() }
    }

    /// Counts one answer, and tells whether it is to be looked at.
    pub fn takes(&self, provider: &str, model: &str) -> bool {
        if self.first == 0 && self.every == 0 {
            return false;
        }
        let place = self.hash.hash_one((provider, model)) as usize % COUNTERS;
        let number = self.counters[place].fetch_add(1, Ordering::Relaxed);
        number < self.first || (self.every > 0 && number.is_multiple_of(self.every))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_answers_are_taken_and_then_a_share() {
        for (first, share, of_thousand) in
            [(20, 0.01, 20 + 9), (0, 0.0, 0), (5, 0.0, 5), (0, 1.0, 1000), (0, 0.1, 100), (2000, 0.0, 1000)]
        {
            let sampler = Sampler::new(first, share);
            let taken = (0..1000).filter(|_| sampler.takes("lab", "test/echo")).count();
            assert_eq!(taken, of_thousand, "first {first}, share {share}");
        }
    }

    #[test]
    fn every_provider_and_model_has_its_own_first_answers() {
        let sampler = Sampler::new(1, 0.0);
        let taken = (0..100).filter(|at| sampler.takes("lab", &format!("test/{at}"))).count();
        assert!(taken > 90, "names seldom fall together: {taken}");
        assert!(!sampler.takes("lab", "test/0"));
    }
}
