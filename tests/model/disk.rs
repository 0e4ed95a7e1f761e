//! A data plane's journal, as what its records add up to: `journal::State`, and the closings that are to be shipped.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    line::Closing,
    state::{Row, Session},
};

#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Disk {
    /// Money that may be spent, by the epoch that lent it.
    pub balances: BTreeMap<(Row, u64), u64>,
    /// Intents without a closing: the line as it is booked when nothing more is heard.
    pub open: BTreeMap<u8, Closing>,
    pub doubts: BTreeSet<(Row, u64)>,
    pub mark: Option<Session>,
    pub closings: Vec<Closing>,
    /// How many of them are booked, in a store of which incarnation.
    pub acknowledged: usize,
    pub acknowledged_by: Option<u8>,
}

impl Disk {
    /// `State::granted`.
    pub fn granted(&mut self, row: Row, epoch: u64, amount: u64) {
        if amount > 0 {
            *self.balances.entry((row, epoch)).or_default() += amount;
        }
    }

    /// `State::taken`.
    pub fn taken(&mut self, row: Row, epoch: u64, amount: u64) {
        let Some(balance) = self.balances.get_mut(&(row, epoch)) else { return };
        *balance = balance.saturating_sub(amount);
        if *balance == 0 {
            self.balances.remove(&(row, epoch));
        }
    }

    /// `Journal::intend`.
    pub fn intend(&mut self, intent: Closing) {
        for row in &intent.dues.clone() {
            self.taken(*row, intent.epoch, intent.reserved);
        }
        self.open.insert(intent.attempt, intent);
    }

    /// `Slot::write`: only an attempt that was open brings its unspent money back.
    pub fn close(&mut self, closing: Closing) {
        if self.open.remove(&closing.attempt).is_some() {
            let unspent = closing.reserved.saturating_sub(closing.charged());
            for row in &closing.dues {
                self.granted(*row, closing.epoch, unspent);
            }
        }
        self.closings.push(closing);
    }

    /// `Journal::open`: what was under way when the process died is closed at its reservation.
    pub fn replay(&mut self) {
        for intent in std::mem::take(&mut self.open).into_values() {
            self.closings.push(intent);
        }
    }

    /// `State::attached`.
    pub fn attached(&mut self, session: Session) {
        if self.mark.is_some_and(|known| known.incarnation != session.incarnation) {
            self.doubts.clear();
        }
        self.mark = Some(session);
    }

    /// `Journal::offer_to`: a store of another incarnation hears everything again.
    pub fn offer_to(&mut self, incarnation: u8) {
        match self.acknowledged_by {
            Some(known) if known == incarnation => {}
            known => {
                if known.is_some() {
                    self.acknowledged = 0;
                }
                self.acknowledged_by = Some(incarnation);
            }
        }
    }
}
