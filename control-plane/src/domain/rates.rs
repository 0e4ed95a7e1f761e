//! Ceilings per minute: of a tenant, a key, a model, a credential.

use serde::Serialize;

use crate::domain::invalid::{self, Invalid};

const LARGEST: u64 = 1_000_000_000_000_000;

/// Ceilings; `None`: no limit.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Rates {
    pub requests_per_minute: Option<u64>,
    pub tokens_per_minute: Option<u64>,
    /// Requests under way at once.
    pub concurrency: Option<u64>,
}

impl Rates {
    /// Checks that every given ceiling lets something through.
    ///
    /// # Errors
    /// Names the ceiling.
    pub fn check(&self) -> Result<(), Invalid> {
        for (field, ceiling) in [
            ("rates.requests_per_minute", self.requests_per_minute),
            ("rates.tokens_per_minute", self.tokens_per_minute),
            ("rates.concurrency", self.concurrency),
        ] {
            if ceiling == Some(0) {
                return Err(Invalid::new(field, "must be at least 1; leave it out for no limit"));
            }
            invalid::at_most(field, ceiling.unwrap_or(0), LARGEST)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ceiling_of_nothing_is_a_mistake() {
        assert_eq!(Rates::default().check(), Ok(()));
        let none = Rates { concurrency: Some(0), ..Rates::default() };
        assert_eq!(none.check().unwrap_err().field, "rates.concurrency");
        let huge = Rates { tokens_per_minute: Some(u64::MAX), ..Rates::default() };
        assert_eq!(huge.check().unwrap_err().field, "rates.tokens_per_minute");
    }
}
