//! Money that is taken while an answer comes: a step before it is sent, the next one before the tokens of the last are used up.
//!
//! Only where the endpoint's row says that all it bills is streamed, and that leaving it ends its billing: then what was not
//! reserved is not produced. Every byte that came may have been a token, so a step ends early rather than late; what was taken
//! and not used comes back when the attempt is settled.

use switchyard_proto::account::Side;
use switchyard_proto::money::NanoUsd;

use crate::config::snapshot::Endpoint;
use crate::limits::{Due, Hold, ReserveError};
use crate::pipeline::Job;
use crate::pipeline::cap::bounds;
use crate::price::WorstCase;
use crate::routing::plan::Candidate;

/// Tokens that an endpoint's answers are reserved for at a time, where they may be.
pub fn size(endpoint: &Endpoint) -> Option<u64> {
    let step = endpoint.config.billing.unwrap_or_default().step_tokens.unwrap_or(0);
    (step > 0 && endpoint.config.cancel_stops_billing).then_some(step)
}

/// How far the money of an answer reaches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Steps {
    /// Tokens of each answer that are reserved.
    reserved: u64,
    step: u64,
    /// The output cap.
    most: u64,
    is_byok: bool,
    /// The next step was asked for ahead of time, in vain: it is asked for once more when it is needed.
    is_refused: bool,
}

impl Steps {
    pub fn new(reserved: u64, step: u64, most: u64, is_byok: bool) -> Self {
        Self { reserved, step, most, is_byok, is_refused: false }
    }

    /// Makes sure that money reaches beyond what was produced: `text_bytes` of `n` answers.
    ///
    /// # Errors
    /// When it does not, and no more can be had.
    pub async fn cover(
        &mut self,
        text_bytes: u64,
        job: &Job<'_>,
        candidate: &Candidate,
        hold: &mut Hold,
    ) -> Result<(), ReserveError> {
        let n = u64::from(job.request.n.max(1));
        loop {
            let reserved = self.reserved.saturating_mul(n);
            let is_used_up = text_bytes >= reserved;
            let is_low = text_bytes.saturating_add(self.step.saturating_mul(n) / 2) >= reserved;
            if self.reserved >= self.most || !is_low || (self.is_refused && !is_used_up) {
                return Ok(());
            }
            match self.take(job, candidate, hold).await {
                Ok(()) => self.is_refused = false,
                Err(error) if is_used_up => return Err(error),
                Err(_) => {
                    self.is_refused = true;
                    return Ok(());
                }
            }
        }
    }

    /// Takes the next step, or as much of it as can be had.
    async fn take(
        &mut self,
        job: &Job<'_>,
        candidate: &Candidate,
        hold: &mut Hold,
    ) -> Result<(), ReserveError> {
        let bounds = bounds(&candidate.endpoint, job);
        let mut target = self.reserved.saturating_add(self.step).min(self.most);
        loop {
            let worst = bounds.worst(target);
            match hold.raise(|due| self.amount(due, &worst), worst.cost).await {
                Ok(()) => {
                    self.reserved = target;
                    return Ok(());
                }
                Err(error) => {
                    let ReserveError::Exhausted { account, affordable, .. } = &error else {
                        return Err(error);
                    };
                    let held = hold.dues().iter().find(|due| due.account == *account);
                    let fits = |worst: &WorstCase| {
                        held.is_some_and(|due| {
                            self.amount(due, worst) <= due.amount.saturating_add(*affordable)
                        })
                    };
                    match bounds.largest_cap(target - 1, fits) {
                        Some(less) if less > self.reserved && less < target => target = less,
                        _ => return Err(error),
                    }
                }
            }
        }
    }

    /// What an account that covers the attempt must cover of a worst case; one that nothing was taken from stays so.
    fn amount(&self, due: &Due, worst: &WorstCase) -> NanoUsd {
        match due.side() {
            _ if due.amount == NanoUsd::ZERO => NanoUsd::ZERO,
            Side::Charge if !self.is_byok => worst.charge,
            Side::Charge | Side::Cost => worst.cost,
        }
    }
}
