//! What admission gives a request: its rate slots, and the right to reserve for its attempts.

use std::sync::Arc;

use super::{Hold, Limits, Reservation, ReserveError, rates::Admitted};
use crate::telemetry::metrics as names;

/// An admitted request. Dropped, it frees the concurrency slot and gives the tokens back; the request itself counts.
pub struct Permit {
    limits: Arc<Limits>,
    admitted: Option<Box<dyn Admitted>>,
}

impl Permit {
    pub(super) fn new(limits: Arc<Limits>, admitted: Option<Box<dyn Admitted>>) -> Self {
        Self { limits, admitted }
    }

    /// Takes the worst case of one attempt from its accounts and writes the intent. Then it may be sent.
    ///
    /// Waits for a grant where the local leases do not suffice: at most `leases.wait` while others hold the money,
    /// about a second for the answer itself.
    ///
    /// # Errors
    /// When an account cannot cover it, or the journal takes no intent: nothing is taken then.
    pub async fn reserve(&self, reservation: Reservation) -> Result<Hold, ReserveError> {
        let hold = self.limits.reserve(reservation).await;
        if let Err(error) = &hold {
            metrics::counter!(names::MONEY_DENIED, "reason" => error.reason()).increment(1);
        }
        hold
    }

    /// Ends the request: the token rate is corrected to what was used.
    pub fn settle(mut self, tokens: u64) {
        if let Some(admitted) = self.admitted.take() {
            admitted.end(Some(tokens));
        }
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        if let Some(admitted) = self.admitted.take() {
            admitted.end(None);
        }
    }
}
