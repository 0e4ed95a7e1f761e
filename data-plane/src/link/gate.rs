//! Keeps calls from piling up on a control plane that is away: after a failure nobody tries for a while.
//!
//! The pause doubles with each failure in a row, with jitter, so that a fleet does not come back in step.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

const SHORTEST: Duration = Duration::from_millis(100);
const LONGEST: Duration = Duration::from_secs(5);

/// Whether a call is worth trying.
#[derive(Debug, Default)]
pub(super) struct Gate(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    failures: u32,
    closed_until: Option<Instant>,
}

impl Gate {
    /// Whether a call may be tried.
    pub fn is_open(&self, now: Instant) -> bool {
        self.state().closed_until.is_none_or(|until| now >= until)
    }

    /// The peer answered.
    pub fn passed(&self) {
        *self.state() = State::default();
    }

    /// Nobody answered. Calls that were under way together count as one failure.
    pub fn failed(&self, now: Instant) {
        let mut state = self.state();
        if state.closed_until.is_some_and(|until| now < until) {
            return;
        }
        state.closed_until = Some(now + pause(state.failures));
        state.failures = state.failures.saturating_add(1);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Between half and all of the doubled pause.
fn pause(failures: u32) -> Duration {
    let full = SHORTEST.saturating_mul(1 << failures.min(10)).min(LONGEST);
    full.mul_f64(rand::random_range(0.5..=1.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_until_somebody_answers() {
        let (gate, start) = (Gate::default(), Instant::now());
        assert!(gate.is_open(start));
        gate.failed(start);
        gate.failed(start);
        assert!(!gate.is_open(start));
        let later = start + SHORTEST;
        assert!(gate.is_open(later), "two failures at once are one");
        gate.failed(later);
        assert!(!gate.is_open(later + SHORTEST * 9 / 10));
        gate.passed();
        assert!(gate.is_open(later));
    }
}
