//! The arithmetic of a bucket that holds one minute's ceiling and refills evenly (GCRA).
//!
//! Pure. A bucket is one number: the time, in nanoseconds, at which it will be full again. A changed ceiling needs no
//! migration, because the number is time and not tokens.

use std::time::Duration;

/// A bucket refills in a minute.
pub(super) const PERIOD_NS: u64 = 60_000_000_000;

/// How long `amount` takes to refill.
pub(super) fn cost(amount: u64, ceiling: u64) -> u64 {
    let cost = u128::from(amount) * u128::from(PERIOD_NS) / u128::from(ceiling.max(1));
    u64::try_from(cost).unwrap_or(u64::MAX / 2)
}

/// The bucket's number after taking `amount`, or how long until that is possible.
pub(super) fn take(full_at: u64, now: u64, amount: u64, ceiling: u64) -> Result<u64, Duration> {
    if ceiling == 0 {
        return Err(Duration::from_nanos(PERIOD_NS));
    }
    let after = full_at.max(now).saturating_add(cost(amount, ceiling));
    match after.saturating_sub(now) {
        used if used <= PERIOD_NS => Ok(after),
        used => Err(Duration::from_nanos(used - PERIOD_NS)),
    }
}

/// Units that could pass now, and how long until the bucket is full.
pub(super) fn level(full_at: u64, now: u64, ceiling: u64) -> (u64, Duration) {
    let used = full_at.saturating_sub(now);
    let room = u128::from(PERIOD_NS.saturating_sub(used)) * u128::from(ceiling) / u128::from(PERIOD_NS);
    (u64::try_from(room).unwrap_or(u64::MAX), Duration::from_nanos(used))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_minutes_worth_at_once_then_evenly() {
        let (mut full_at, start) = (0, 1_000);
        for _ in 0..60 {
            full_at = take(full_at, start, 1, 60).unwrap();
        }
        assert_eq!(take(full_at, start, 1, 60), Err(Duration::from_secs(1)));
        let later = start + 1_000_000_000;
        full_at = take(full_at, later, 1, 60).unwrap();
        assert!(take(full_at, later, 1, 60).is_err());
    }

    #[test]
    fn waiting_times_are_exact() {
        let full_at = take(0, 0, 3, 3).unwrap();
        let wait = take(full_at, 0, 2, 3).unwrap_err();
        assert_eq!(wait, Duration::from_secs(40));
        assert!(take(full_at, 40_000_000_000, 2, 3).is_ok());
    }

    #[test]
    fn a_level_is_what_could_pass_and_the_time_to_full() {
        let full_at = take(0, 0, 3, 4).unwrap();
        assert_eq!(level(full_at, 0, 4), (1, Duration::from_secs(45)));
        assert_eq!(level(full_at, 15_000_000_000, 4), (2, Duration::from_secs(30)));
        assert_eq!(level(full_at, 2 * PERIOD_NS, 4), (4, Duration::ZERO));
        // More was used than there was.
        assert_eq!(level(3 * PERIOD_NS, 0, 4), (0, Duration::from_secs(180)));
    }

    #[test]
    fn a_ceiling_of_zero_lets_nothing_pass() {
        assert!(take(0, u64::MAX / 2, 1, 0).is_err());
    }
}
