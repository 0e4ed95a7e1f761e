//! How a bucket stands: what may still pass, and when it is full again. For the headers of answers.

use std::time::Duration;

use super::{Limit, Measure};

/// One limit per minute as it stood when a request asked.
///
/// Exact in memory. In Redis what other instances took since this one last asked is not in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Level {
    pub limit: Limit,
    pub ceiling: u64,
    /// Units that could pass at once.
    pub remaining: u64,
    /// Until the ceiling could pass at once.
    pub reset: Duration,
}

/// Of all limits of one measure the one that ends first.
pub fn tightest(levels: &[Level], measure: Measure) -> Option<Level> {
    levels.iter().filter(|level| level.limit.measure == measure).min_by_key(|level| level.remaining).copied()
}

#[cfg(test)]
mod tests {
    use super::super::Scope;
    use super::*;

    #[test]
    fn the_limit_that_ends_first_is_told() {
        let level = |scope, measure, ceiling, remaining| Level {
            limit: Limit { scope, measure },
            ceiling,
            remaining,
            reset: Duration::ZERO,
        };
        let key = level(Scope::Key, Measure::Requests, 10, 5);
        let tenant = level(Scope::Tenant, Measure::Requests, 1000, 3);
        let tokens = level(Scope::Key, Measure::Tokens, 9, 1);
        assert_eq!(tightest(&[key, tenant, tokens], Measure::Requests), Some(tenant));
        assert_eq!(tightest(&[key, tenant, tokens], Measure::Tokens), Some(tokens));
        assert_eq!(tightest(&[key], Measure::Tokens), None);
    }
}
