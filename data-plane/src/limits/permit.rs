//! What admission gives a request: its rate slots, and the right to reserve for its attempts.

use std::sync::Arc;

use super::{
    Hold, Level, Limits, Passage, Reservation, ReserveError,
    rates::{Admitted, Granted},
};
use crate::telemetry::metrics as names;

/// An admitted request. Dropped, it frees the concurrency slot and gives the tokens back; the request itself counts.
pub struct Permit {
    limits: Arc<Limits>,
    admitted: Option<Box<dyn Admitted>>,
    levels: Vec<Level>,
}

impl Permit {
    pub(super) fn new(limits: Arc<Limits>, granted: Option<Granted>) -> Self {
        let (admitted, levels) =
            granted.map_or_else(Default::default, |granted| (Some(granted.admitted), granted.levels));
        Self { limits, admitted, levels }
    }

    /// How the caller's limits per minute stood when it was admitted.
    pub fn levels(&self) -> &[Level] {
        &self.levels
    }

    /// Takes the worst case of one attempt from its accounts and writes the intent. Then it may be sent, under the
    /// `passages` that it needs; they end with it.
    ///
    /// Waits for a grant where the local leases do not suffice: at most `leases.wait` while others hold the money,
    /// about a second for the answer itself.
    ///
    /// # Errors
    /// When an account cannot cover it, or the journal takes no intent: nothing is taken then.
    pub async fn reserve(
        &self,
        reservation: Reservation,
        passages: Vec<Arc<Passage>>,
    ) -> Result<Hold, ReserveError> {
        let hold = self.limits.reserve(reservation, passages).await;
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
