//! What a data plane does: borrows, reserves, ends attempts, gives back, and makes good what got lost.
//!
//! Calls are made here and answered here; who delivers them is `steps`' business.

use std::collections::BTreeSet;

use crate::{
    line::Closing,
    setup::Setup,
    state::{Ask, Call, Hold, Message, Plane, Process, Reply, Row},
};

/// All that there is of a lease.
pub const ALL: u64 = i64::MAX as u64;

/// How a call ends for its caller.
#[derive(Debug)]
pub enum Ending {
    Answered(Reply),
    /// Nothing was sent: `CallError::Away`.
    Away,
    /// Whether it was done is not known: `CallError::Lost`.
    Lost,
}

impl Plane {
    /// `Journal::open` and `Leases::new`: the leases of the last run are still ours.
    pub fn start(&mut self, setup: &Setup) {
        if !setup.guards.journal_kept {
            self.disk = Default::default();
        }
        self.disk.replay();
        let incarnation = self.disk.mark.map(|mark| mark.incarnation);
        let mut process = Process { incarnation, lost: self.disk.doubts.clone(), ..Default::default() };
        for ((row, epoch), amount) in &self.disk.balances {
            process.lots.entry(*row).or_default().add(*epoch, *amount);
        }
        self.process = Some(process);
    }

    /// `Leases::follow`: voids what a store of another incarnation lent.
    pub fn follow(&mut self, setup: &Setup) {
        let Some(process) = &mut self.process else { return };
        let Some(session) = process.session else { return };
        let known = process.incarnation.replace(session.incarnation);
        if known.is_some_and(|known| known != session.incarnation) && setup.guards.other_incarnation_void {
            process.lineage += 1;
            for (row, epoch, amount) in process.empty(|_| true) {
                self.disk.taken(row, epoch, amount);
            }
        }
        self.disk.attached(session);
        process.lost.retain(|lease| self.disk.doubts.contains(lease));
    }

    /// Whether the leases are those of the session's store.
    pub fn has_followed(&self) -> bool {
        let session = self.process.as_ref().and_then(|process| process.session);
        session.is_some() && self.disk.mark == session
    }

    /// `Leases::line_up` and `Leases::ask`: asks for what the next attempt lacks.
    pub fn ask(&mut self, setup: &Setup, dues: &[Row]) -> Option<Call> {
        let process = self.process.as_ref()?;
        let session = process.session?;
        let is_other = process.incarnation.is_some_and(|known| known != session.incarnation);
        if is_other && setup.guards.ask_follows_session {
            return None;
        }
        let epoch = session.epoch;
        let ask = |row: &Row| {
            let least = setup.reserve.saturating_sub(process.free(*row, epoch));
            (least > 0).then_some(Ask { row: *row, wanted: least.max(setup.appetite), least })
        };
        let asks: Vec<Ask> = dues.iter().filter_map(ask).collect();
        if asks.is_empty() || process.covering(dues, setup.reserve).is_some() {
            return None;
        }
        self.disk.doubts.extend(asks.iter().map(|ask| (ask.row, epoch)));
        Some(Call::Ask { epoch, lineage: process.lineage, asks })
    }

    /// `Limits::reserve`: takes the worst case from the leases of one epoch, and writes the intent; whether it may be
    /// sent.
    pub fn reserve(&mut self, setup: &Setup, number: u8, attempt: u8, dues: &[Row]) -> bool {
        let Some(process) = &mut self.process else { return false };
        let Some(epoch) = process.covering(dues, setup.reserve) else { return false };
        for row in dues {
            process.lots.entry(*row).or_default().take(epoch, setup.reserve);
        }
        let hold = Hold { epoch, lineage: process.lineage, dues: dues.to_vec() };
        let intent = closing(setup, number, attempt, &hold, None);
        process.holds.insert(attempt, hold);
        if setup.guards.intent_before_send {
            self.disk.intend(intent);
        }
        true
    }

    /// `Hold::settle`: writes the closing and frees what was not spent.
    pub fn settle(&mut self, setup: &Setup, number: u8, attempt: u8, price: u64) {
        let Some(process) = &mut self.process else { return };
        let Some(hold) = process.holds.remove(&attempt) else { return };
        if !setup.guards.intent_before_send {
            self.disk.intend(closing(setup, number, attempt, &hold, None));
        }
        let closing = closing(setup, number, attempt, &hold, Some(price));
        let unspent = setup.reserve.saturating_sub(closing.charged());
        self.disk.close(closing);
        let is_void = hold.lineage != process.lineage;
        for row in &hold.dues {
            let free = if is_void { 0 } else { unspent };
            process.lots.entry(*row).or_default().end(hold.epoch, setup.reserve, free);
            if is_void {
                self.disk.taken(*row, hold.epoch, unspent);
            }
        }
        process.lots.retain(|_, lots| !lots.is_empty());
    }

    /// `Leases::give_back`: takes what is free of an epoch out of the table, the journal first.
    pub fn give_back(&mut self, setup: &Setup, epoch: u64) -> Option<Call> {
        let process = self.process.as_mut()?;
        process.session?;
        let parts: Vec<(Row, u64)> =
            process.empty(|of| of == epoch).into_iter().map(|(row, _, amount)| (row, amount)).collect();
        if parts.is_empty() {
            return None;
        }
        self.disk.doubts.extend(parts.iter().map(|(row, _)| (*row, epoch)));
        if setup.guards.return_in_journal_first {
            parts.iter().for_each(|(row, amount)| self.disk.taken(*row, epoch, *amount));
        }
        Some(Call::Return { epoch, lineage: process.lineage, parts, closes: false })
    }

    /// `Leases::close_old`: closes what is in doubt of sessions that are over, in two looks.
    pub fn look_around(&mut self, setup: &Setup, own: &[&Message]) -> Option<Call> {
        let process = self.process.as_mut()?;
        let session = process.session?;
        let doubts = self.disk.doubts.iter().filter(|(_, epoch)| *epoch < session.epoch);
        let over: BTreeSet<_> = doubts.filter(|lease| process.is_over(setup, lease, own)).copied().collect();
        if over.is_empty() {
            process.seen = None;
            return None;
        }
        let written = self.disk.closings.len();
        let (seen_at, waiting) = match process.seen.take() {
            Some(seen) => seen,
            None if setup.guards.closing_waits_for_lines => {
                process.seen = Some((written, over));
                return None;
            }
            None => (0, over.clone()),
        };
        if self.disk.acknowledged < seen_at {
            process.seen = Some((seen_at, waiting));
            return None;
        }
        // One call per epoch; the next look closes the next.
        let ready: Vec<_> = over.intersection(&waiting).copied().collect();
        let epoch = ready.first()?.1;
        let parts = ready.iter().filter(|(_, of)| *of == epoch).map(|(row, _)| (*row, ALL)).collect();
        Some(Call::Return { epoch, lineage: process.lineage, parts, closes: true })
    }

    /// `usage::ship`: everything that is not acknowledged.
    pub fn report(&mut self) -> Option<Call> {
        let session = self.process.as_ref()?.session?;
        self.disk.offer_to(session.incarnation);
        let closings = self.disk.closings[self.disk.acknowledged..].to_vec();
        let upto = self.disk.closings.len();
        (!closings.is_empty()).then_some(Call::Report { session, closings, upto })
    }

    /// What a caller makes of the end of its call; `others` are its other calls under way.
    pub fn hear(&mut self, setup: &Setup, call: Call, ending: Ending, others: &[&Message]) {
        let leases = call.leases();
        let is_sure = match call {
            Call::Ask { epoch, lineage, .. } => self.hear_grant(epoch, lineage, ending),
            Call::Return { epoch, lineage, parts, closes: false } => {
                self.hear_returned(setup, epoch, lineage, &parts, ending)
            }
            Call::Return { .. } => {
                if let Ending::Answered(Reply::Done) = ending {
                    leases.iter().for_each(|lease| self.forget_doubt(lease));
                }
                return;
            }
            Call::Report { session, upto, .. } => {
                if let Ending::Answered(Reply::Done) = ending {
                    (self.disk.acknowledged, self.disk.acknowledged_by) = (upto, Some(session.incarnation));
                }
                return;
            }
        };
        self.end_calls(setup, &leases, is_sure, others);
    }

    /// `Leases::ended`: a lease stays in doubt while another call about it is under way, and once one got lost.
    fn end_calls(&mut self, setup: &Setup, leases: &[(Row, u64)], is_sure: bool, others: &[&Message]) {
        for lease in leases {
            if !is_sure {
                if let Some(process) = &mut self.process {
                    process.lost.insert(*lease);
                }
                continue;
            }
            let is_lost = self.process.as_ref().is_some_and(|process| process.lost.contains(lease));
            let is_under_way = others.iter().any(|other| other.call.leases().contains(lease));
            if !(is_lost || is_under_way) || !setup.guards.doubt_of_each_call {
                self.forget_doubt(lease);
            }
        }
    }

    fn forget_doubt(&mut self, lease: &(Row, u64)) {
        self.disk.doubts.remove(lease);
        if let Some(process) = &mut self.process {
            process.lost.remove(lease);
        }
    }

    /// The second half of `Leases::ask`; whether it is known what became of it.
    fn hear_grant(&mut self, epoch: u64, lineage: u8, ending: Ending) -> bool {
        let Some(process) = &mut self.process else { return false };
        if let Ending::Answered(Reply::Granted(grants)) = &ending
            && lineage == process.lineage
        {
            for (row, amount) in grants.iter().filter(|(_, amount)| *amount > 0) {
                self.disk.granted(*row, epoch, *amount);
                process.lots.entry(*row).or_default().add(epoch, *amount);
            }
        }
        !matches!(ending, Ending::Lost)
    }

    /// `Leases::give_back_epoch`: what certainly did not arrive is kept; whether it is known what became of the money.
    fn hear_returned(
        &mut self,
        setup: &Setup,
        epoch: u64,
        lineage: u8,
        parts: &[(Row, u64)],
        ending: Ending,
    ) -> bool {
        let Some(process) = &mut self.process else { return false };
        let (is_kept, is_known) = match ending {
            Ending::Answered(Reply::Fenced) | Ending::Away => (true, true),
            Ending::Lost => (!setup.guards.lost_return_is_gone, false),
            Ending::Answered(_) => (false, true),
        };
        let is_void = lineage != process.lineage && setup.guards.void_stays_void;
        let first = setup.guards.return_in_journal_first;
        for (row, amount) in parts {
            if is_kept && !is_void {
                process.lots.entry(*row).or_default().add(epoch, *amount);
                self.disk.granted(*row, epoch, if first { *amount } else { 0 });
            } else if !first {
                self.disk.taken(*row, epoch, *amount);
            }
        }
        is_known && !(is_kept && is_void)
    }

    /// What of an epoch it may still spend of an account.
    pub fn spendable(&self, row: Row, epoch: u64) -> u64 {
        match &self.process {
            Some(process) => process.free(row, epoch),
            None if self.is_lost => 0,
            None => self.disk.balances.get(&(row, epoch)).copied().unwrap_or(0),
        }
    }

    /// The same, and what attempts have reserved.
    pub fn holds_of(&self, row: Row, epoch: u64, reserve: u64) -> u64 {
        let attempts = match &self.process {
            Some(process) => {
                let holds = process.holds.values().filter(|hold| hold.lineage == process.lineage);
                holds.filter(|hold| hold.epoch == epoch && hold.dues.contains(&row)).count()
            }
            None => {
                let open = self.disk.open.values();
                open.filter(|intent| intent.epoch == epoch && intent.dues.contains(&row)).count()
            }
        };
        self.spendable(row, epoch) + attempts as u64 * reserve
    }
}

impl Process {
    /// What is free of an account's lease.
    pub fn free(&self, row: Row, epoch: u64) -> u64 {
        self.lots.get(&row).map_or(0, |lots| lots.free(epoch))
    }

    /// `Leases::take_now`: the oldest epoch whose leases cover every account.
    pub fn covering(&self, dues: &[Row], amount: u64) -> Option<u64> {
        let epochs: BTreeSet<u64> =
            self.lots.values().flat_map(|lots| lots.balances().map(|(epoch, _)| epoch)).collect();
        epochs.into_iter().find(|epoch| dues.iter().all(|row| self.free(*row, *epoch) >= amount))
    }

    /// Epochs of which something is free, oldest first.
    pub fn epochs(&self) -> BTreeSet<u64> {
        self.lots.values().flat_map(|lots| lots.balances().map(|(epoch, _)| epoch)).collect()
    }

    /// `Leases::empty`: takes free money out of the table.
    fn empty(&mut self, wanted: impl Fn(u64) -> bool) -> Vec<(Row, u64, u64)> {
        let mut taken = Vec::new();
        for (row, lots) in &mut self.lots {
            for (epoch, amount) in lots.balances().filter(|(epoch, _)| wanted(*epoch)).collect::<Vec<_>>() {
                taken.push((*row, epoch, lots.remove(epoch, amount)));
            }
        }
        self.lots.retain(|_, lots| !lots.is_empty());
        taken
    }

    /// `Leases::is_over`: nothing of it is held, reserved or on its way.
    fn is_over(&self, setup: &Setup, (row, epoch): &(Row, u64), own: &[&Message]) -> bool {
        let is_quiet = own.iter().all(|message| match &message.call {
            Call::Ask { epoch: of, .. } => of != epoch,
            Call::Return { .. } => false,
            Call::Report { .. } => true,
        });
        let is_held = self.lots.get(row).is_some_and(|lots| lots.holds(*epoch));
        !is_held && (is_quiet || !setup.guards.closing_waits_for_calls)
    }
}

fn closing(setup: &Setup, plane: u8, attempt: u8, hold: &Hold, price: Option<u64>) -> Closing {
    Closing {
        attempt,
        plane,
        epoch: hold.epoch,
        dues: hold.dues.clone(),
        reserved: setup.reserve,
        price,
        overcharges: !setup.guards.charge_within_reservation && price.is_some(),
    }
}
