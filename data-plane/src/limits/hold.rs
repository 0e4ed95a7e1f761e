//! Money held for one attempt, from before it is sent until it is settled, exactly once.

use std::{borrow::Cow, sync::Arc};

use chrono::{DateTime, Utc};
use switchyard_proto::{account::Side, id::GenerationId, money::NanoUsd, v1};

use super::{
    Facts, Limits, Passage, ReserveError, Settlement,
    leases::{Leases, Taken},
};
use crate::{
    journal::{Account, Intent, Slot},
    telemetry::metrics as names,
    usage::record,
};

/// The worst case of one attempt.
#[derive(Clone, Debug)]
pub struct Reservation {
    pub generation: GenerationId,
    /// From 1, in the order tried.
    pub attempt: u32,
    /// Who pays; the first is the payer of record.
    pub charges: Vec<Due>,
    /// The worst case at the provider's own price.
    pub cost_bound: NanoUsd,
    pub facts: Facts,
    /// W3C trace context; empty where the request is not sampled.
    pub traceparent: String,
}

/// What one account has to cover.
#[derive(Clone, Debug)]
pub struct Due {
    pub account: Account,
    pub amount: NanoUsd,
    /// False where the account has no limit: it is charged, but nothing is borrowed.
    pub leased: bool,
}

impl Due {
    /// Whether it counts what the tenant pays or what the provider bills.
    pub fn side(&self) -> Side {
        self.account.kind.rule().counts
    }
}

/// What a settled attempt cost its payers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settled {
    /// What the payer of record was charged.
    pub charged: NanoUsd,
    /// What the reservation did not cover.
    pub house: NanoUsd,
}

/// A reservation whose intent is in the journal.
///
/// Dropped without an ending, by a panic or a cancelled task, it closes as interrupted: all of it stays charged.
pub struct Hold {
    leases: Arc<Leases>,
    taken: Taken,
    reserved: NanoUsd,
    /// The most that any account can be charged of what the tenant owes.
    covered: NanoUsd,
    slot: Option<Slot>,
    started_at: DateTime<Utc>,
    /// Rates that it was sent under.
    passages: Vec<Arc<Passage>>,
}

impl Limits {
    pub(super) async fn reserve(
        &self,
        reservation: Reservation,
        passages: Vec<Arc<Passage>>,
    ) -> Result<Hold, ReserveError> {
        let Reservation { generation, attempt, charges, cost_bound, facts, traceparent } = reservation;
        let (reserved, covered) = covered(&charges);
        let taken = self.leases.take(charges).await?;
        let charges = taken.dues.iter().map(charge).collect();
        let record = record::interrupted(generation, attempt, taken.epoch, charges, cost_bound, &facts);
        let intent = Intent { record, draws: draws(&taken.dues), traceparent };
        match self.journal.intend(intent) {
            Ok(slot) => {
                passages.iter().for_each(|passage| passage.enter());
                let (leases, started_at) = (Arc::clone(&self.leases), facts.started_at);
                Ok(Hold { leases, taken, reserved, covered, slot: Some(slot), started_at, passages })
            }
            Err(error) => {
                metrics::counter!(names::JOURNAL_REFUSED).increment(1);
                self.leases.untake(&taken);
                Err(ReserveError::Journal(error))
            }
        }
    }
}

impl Hold {
    /// The most that the payer of record can be charged.
    pub fn reserved(&self) -> NanoUsd {
        self.reserved
    }

    /// What its accounts cover.
    pub fn dues(&self) -> &[Due] {
        &self.taken.dues
    }

    /// Takes more from the accounts, until each covers its `amount`; one that covers more keeps it. Waits for a grant as
    /// [`Permit::reserve`](super::Permit::reserve) does.
    ///
    /// # Errors
    /// When an account cannot cover it, its lease's session is over, or the journal takes no intent: nothing is taken then. Of
    /// an account that cannot, `affordable` is what it could cover beyond what it does.
    pub async fn raise(
        &mut self,
        amount: impl Fn(&Due) -> NanoUsd,
        cost_bound: NanoUsd,
    ) -> Result<(), ReserveError> {
        let more = |due: &Due| {
            let amount = amount(due).saturating_sub(due.amount);
            Due { amount, leased: due.leased && amount > NanoUsd::ZERO, ..due.clone() }
        };
        let more: Vec<Due> = self.taken.dues.iter().map(more).collect();
        let more = self.leases.take_more(&self.taken, more).await?;
        if let Some(slot) = &mut self.slot
            && let Err(error) = slot.raise(&amounts(&more.dues), cost_bound.0)
        {
            self.leases.untake(&more);
            return Err(ReserveError::Journal(error));
        }
        for (due, more) in self.taken.dues.iter_mut().zip(&more.dues) {
            due.amount = due.amount.saturating_add(more.amount);
        }
        (self.reserved, self.covered) = covered(&self.taken.dues);
        Ok(())
    }

    /// When the attempt began: its price is of that moment.
    pub fn started_at(&self) -> DateTime<Utc> {
        self.started_at
    }

    /// Books the attempt as it ended. Does not wait for anything but one write(2).
    pub fn settle(mut self, settlement: Settlement) -> Settled {
        let (price, cost) = (settlement.price, settlement.cost);
        let (charged, house) = (price.min(self.reserved), price.saturating_sub(self.covered));
        let settled = Settled { charged, house };
        let tokens = settlement.tokens.prompt.saturating_add(settlement.tokens.completion);
        self.passages.iter().for_each(|passage| passage.spend(tokens));
        if let Some(slot) = self.slot.take() {
            slot.close(|open| {
                count_house(&open, settled.house);
                record::ended(open, settlement)
            });
            self.leases.settle(&self.taken, price, cost);
        }
        settled
    }

    /// Books an attempt that provably never reached the provider: one line, nothing charged.
    pub fn release(
        self,
        outcome: impl Into<Cow<'static, str>>,
        ended_at: DateTime<Utc>,
        generation: Option<v1::GenerationRecord>,
    ) {
        self.settle(Settlement {
            cost: NanoUsd::ZERO,
            price: NanoUsd::ZERO,
            tokens: v1::TokenUsage::default(),
            provenance: v1::Provenance::Estimated,
            outcome: outcome.into(),
            upstream_status: 0,
            ended_at,
            used: None,
            generation,
        });
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        // The slot writes the interrupted line when it is dropped.
        if self.slot.take().is_some() {
            let all = NanoUsd(u64::MAX);
            self.leases.settle(&self.taken, all, all);
        }
    }
}

/// What the payer of record covers, and the most that any account does of what the tenant owes.
fn covered(dues: &[Due]) -> (NanoUsd, NanoUsd) {
    let reserved = dues.first().map_or(NanoUsd::ZERO, |due| due.amount);
    let paying = dues.iter().filter(|due| due.side() == Side::Charge);
    (reserved, paying.map(|due| due.amount).max().unwrap_or(NanoUsd::ZERO))
}

fn amounts(dues: &[Due]) -> Vec<u64> {
    dues.iter().map(|due| due.amount.0).collect()
}

/// A provider that bills more than its endpoint's row bounds needs an operator.
fn count_house(open: &v1::AttemptRecord, house: NanoUsd) {
    if house > NanoUsd::ZERO {
        let (provider, model) = (open.provider.clone(), open.model.clone());
        tracing::warn!(provider, model, usd = %house, "an attempt cost more than was reserved; the house bears the rest");
        metrics::counter!(names::HOUSE_CHARGES, "provider" => provider, "model" => model).increment(1);
    }
}

/// The charge of an attempt that was interrupted: all of it.
fn charge(due: &Due) -> v1::Charge {
    v1::Charge {
        account: Some(due.account.to_proto()),
        charged_nano: due.amount.0,
        reserved_nano: due.amount.0,
        leased: due.leased,
    }
}

fn draws(dues: &[Due]) -> Vec<(Account, u64)> {
    dues.iter().filter(|due| due.leased).map(|due| (due.account.clone(), due.amount.0)).collect()
}
