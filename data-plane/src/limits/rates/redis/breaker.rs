//! Keeps requests from waiting for a Redis that does not answer.
//!
//! Opens after a few failures in a row; a chore probes and closes it, so no request pays for the probe.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use crate::telemetry::metrics as names;

const FAILURES: u32 = 3;

#[derive(Debug, Default)]
pub(super) struct Breaker {
    failures: AtomicU32,
    is_open: AtomicBool,
}

impl Breaker {
    pub fn is_closed(&self) -> bool {
        !self.is_open.load(Ordering::Relaxed)
    }

    pub fn passed(&self) {
        self.failures.store(0, Ordering::Relaxed);
        if self.is_open.swap(false, Ordering::Relaxed) {
            tracing::info!("rate limits are exact again");
            metrics::gauge!(names::RATES_DEGRADED).set(0);
        }
    }

    pub fn failed(&self) {
        let failures = self.failures.fetch_add(1, Ordering::Relaxed).saturating_add(1);
        if failures >= FAILURES && !self.is_open.swap(true, Ordering::Relaxed) {
            tracing::warn!("Redis does not answer: rate limits are approximate until it does");
            metrics::gauge!(names::RATES_DEGRADED).set(1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn opens_after_failures_in_a_row_only() {
        let breaker = Breaker::default();
        for _ in 0..2 {
            breaker.failed();
            breaker.failed();
            breaker.passed();
        }
        assert!(breaker.is_closed());
        for _ in 0..FAILURES {
            breaker.failed();
        }
        assert!(!breaker.is_closed());
        breaker.passed();
        assert!(breaker.is_closed());
    }
}
