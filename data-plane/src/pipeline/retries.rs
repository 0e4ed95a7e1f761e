//! Retries of the same candidate: a share of a provider's traffic and no more, so that trouble is never multiplied.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use crate::adapters::failure::{Failure, FailureClass};
use crate::settings;

/// One retry, in the unit of the balances.
const RETRY: u64 = 1000;

/// The budgets of all keys (providers, stages of policies) of one kind.
#[derive(Debug, Default)]
pub struct Budgets {
    balances: RwLock<HashMap<Box<str>, Arc<AtomicU64>>>,
}

impl Budgets {
    /// Adds what one request earns: `permille` thousandths of a retry, up to `burst` retries. A new budget is full.
    pub fn earn(&self, key: &str, permille: u32, burst: u32) {
        let most = u64::from(burst) * RETRY;
        let add = |balance: u64| Some(balance.saturating_add(permille.into()).min(most));
        self.with(key, most, |balance| {
            // Full is the usual state, and reading it costs no write to a shared line.
            if balance.load(Ordering::Relaxed) < most {
                let _ = balance.fetch_update(Ordering::Relaxed, Ordering::Relaxed, add);
            }
        });
    }

    /// Takes one, if there is one.
    pub fn spend(&self, key: &str, burst: u32) -> bool {
        let take = |balance: u64| balance.checked_sub(RETRY);
        self.with(key, u64::from(burst) * RETRY, |balance| {
            balance.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take).is_ok()
        })
    }

    fn with<T>(&self, key: &str, full: u64, act: impl FnOnce(&AtomicU64) -> T) -> T {
        let balances = self.balances.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(balance) = balances.get(key) {
            return act(balance);
        }
        drop(balances);
        let mut balances = self.balances.write().unwrap_or_else(PoisonError::into_inner);
        let balance = balances.entry(key.into()).or_insert_with(|| Arc::new(AtomicU64::new(full))).clone();
        drop(balances);
        act(&balance)
    }
}

/// How long to wait before a candidate is tried again; none where it is not worth it: the failure is not of the passing
/// kind, the provider said so, or it wants more time than there is.
///
/// Grows by doubling with every `round` (from 0), spread by `seed` between a half and the whole, and never less than the
/// provider asks for.
pub fn pause(failure: &Failure, round: u32, settings: &settings::Retries, seed: u64) -> Option<Duration> {
    // Silence has no status. It has cost its deadline, and is not to cost it twice.
    let is_silence = failure.class == FailureClass::Timeout && failure.status.is_none();
    if !failure.should_retry.unwrap_or(failure.class.may_retry() && !is_silence) {
        return None;
    }
    let grown = settings.base.saturating_mul(1 << round.min(16)).min(settings.longest);
    let spread = (seed.wrapping_mul(0x9E37_79B9_7F4A_7C15).wrapping_add(round.into()) >> 40) as u32 % 1001;
    let jittered = grown / 2 + (grown / 2) * spread / 1000;
    let wanted = failure.retry_after.unwrap_or_default();
    (wanted <= settings.longest).then(|| jittered.max(wanted))
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);
    const SETTINGS: settings::Retries = settings::Retries {
        most: 1,
        share: 0.2,
        burst: 2,
        base: Duration::from_millis(100),
        longest: Duration::from_secs(2),
    };

    #[test]
    fn a_share_of_the_traffic_and_a_burst_may_be_retried() {
        let budgets = Budgets::default();
        let spend = || budgets.spend("p", 2);
        assert_eq!([spend(), spend(), spend()], [true, true, false], "a new budget holds the burst");
        for _ in 0..4 {
            budgets.earn("p", 200, 2);
        }
        assert!(!spend(), "four requests earn four fifths");
        budgets.earn("p", 200, 2);
        assert!(spend() && !spend());
        (0..100).for_each(|_| budgets.earn("p", 200, 2));
        assert_eq!([spend(), spend(), spend()], [true, true, false], "never more than the burst");
        assert!(budgets.spend("q", 2), "each provider has its own");
    }

    #[test]
    fn pauses_double_within_their_bounds_and_heed_the_provider() {
        let failure = |class, after: Option<u64>, should| Failure {
            retry_after: after.map(Duration::from_millis),
            should_retry: should,
            ..Failure::new(class, "x")
        };
        let pause = |failure: &Failure, round| pause(failure, round, &SETTINGS, 7);
        let broken = failure(FailureClass::Server, None, None);
        for (round, least, most) in
            [(0, 50, 100), (1, 100, 200), (2, 200, 400), (9, 1000, 2000), (40, 1000, 2000)]
        {
            let paused = pause(&broken, round).unwrap();
            assert!((least * MS..=most * MS).contains(&paused), "{round}: {paused:?}");
        }
        assert_eq!(pause(&failure(FailureClass::RateLimited, Some(1500), None), 0), Some(1500 * MS));
        assert_eq!(
            pause(&failure(FailureClass::RateLimited, Some(2001), None), 0),
            None,
            "longer than we wait"
        );
        assert_eq!(pause(&failure(FailureClass::Server, None, Some(false)), 0), None, "the provider said no");
        assert!(
            pause(&failure(FailureClass::NotFound, None, Some(true)), 0).is_some(),
            "the provider said yes"
        );
        assert_eq!(pause(&failure(FailureClass::Auth, None, None), 0), None);
        assert_eq!(pause(&failure(FailureClass::Timeout, None, None), 0), None, "our own deadline");
    }
}
