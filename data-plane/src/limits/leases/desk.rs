//! The background side of leases: asks for what is lacking, gives back what is not needed, follows the session.
//!
//! One call per account is under way at a time; calls for different accounts do not wait for each other.

use std::{
    collections::BTreeMap,
    sync::{Arc, atomic::Ordering},
    time::{Duration, Instant},
};

use switchyard_proto::v1::{self, GrantOutcome};
use tokio::{sync::watch, time::MissedTickBehavior};

use super::{
    Leases,
    closing::Returning,
    entry::{Answer, Entry, Refusal},
    lock,
};
use crate::{
    background::Background,
    journal::{Account, SessionMark},
    link::{CallError, Session},
    telemetry::metrics as names,
};

const TICK: Duration = Duration::from_secs(1);
/// Asks in one call.
const MOST_ASKS: usize = 256;
/// Returns in one call.
const MOST_RETURNS: usize = 1024;

/// Asks of one call: accounts, and which of them belong together.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Batch {
    accounts: Vec<Account>,
    /// Of each account; 0: it is alone.
    groups: Vec<u32>,
}

/// Puts groups together into as few calls as they fit in; none is torn apart.
fn batches(queue: Vec<Vec<Account>>) -> Vec<Batch> {
    let mut batches: Vec<Batch> = Vec::new();
    for (group, number) in queue.into_iter().zip(1u32..) {
        let fits = |batch: &&mut Batch| batch.accounts.len() + group.len() <= MOST_ASKS;
        let batch = match batches.last_mut().filter(fits) {
            Some(batch) => batch,
            None => {
                batches.push(Batch::default());
                batches.last_mut().expect("one was just added")
            }
        };
        let number = if group.len() > 1 { number } else { 0 };
        batch.groups.extend(group.iter().map(|_| number));
        batch.accounts.extend(group);
    }
    batches
}

/// Money on its way back.
#[derive(Clone, Debug)]
struct Surplus {
    account: Account,
    epoch: u64,
    amount: u64,
}

impl Leases {
    /// Starts the loop.
    pub fn start(self: &Arc<Self>, background: &Background) {
        let (leases, tasks) = (Arc::clone(self), background.clone());
        background.spawn(async move { leases.run(tasks).await });
    }

    async fn run(self: Arc<Self>, background: Background) {
        let mut session = self.session.clone();
        session.mark_changed();
        let mut tick = tokio::time::interval(TICK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                // A new store is followed before anything is asked of it.
                biased;
                () = background.stopping().cancelled() => return,
                Ok(()) = session.changed() => self.follow(&mut session),
                _ = tick.tick() => self.look_around(&background),
                () = self.queued.notified() => self.ask_for_all(&background),
            }
        }
    }

    /// Sends every queued ask.
    fn ask_for_all(self: &Arc<Self>, background: &Background) {
        let queue = std::mem::take(&mut *lock(&self.queue));
        for batch in batches(queue) {
            let leases = Arc::clone(self);
            background.spawn(async move { leases.ask(batch).await });
        }
    }

    async fn ask(&self, Batch { accounts, groups }: Batch) {
        let Some((session, lineage)) = self.followed() else {
            self.refuse_all(&accounts, Refusal::Away);
            return;
        };
        let _under_way = self.closing.asking(session.epoch);
        let doubts = self.doubt(accounts.iter().map(|account| (account.clone(), session.epoch)));
        let answer = self.lender.acquire(self.request(&accounts, &groups, &session)).await;
        let is_lost = matches!(answer, Err(CallError::Lost(_)));
        match answer {
            Ok(response) if lineage == self.lineage() => {
                let mut grants = response.grants.into_iter();
                for account in &accounts {
                    self.book(account, session.epoch, grants.next());
                }
                self.wake_all(&accounts);
            }
            Ok(_) => self.refuse_all(&accounts, Refusal::Away),
            Err(error) => {
                tracing::warn!(%error, accounts = accounts.len(), "money could not be borrowed");
                self.refuse_all(&accounts, Refusal::Away);
            }
        }
        self.ended(doubts, is_lost);
    }

    /// The session to ask in, and the lineage of what it lends.
    ///
    /// None while its store is another than the leases are of: what it lent would be taken for the old store's.
    fn followed(&self) -> Option<(Session, u64)> {
        let known = lock(&self.incarnation);
        let session = self.session.borrow().clone()?;
        known.as_ref().is_none_or(|known| *known == session.incarnation).then(|| (session, self.lineage()))
    }

    fn request(&self, accounts: &[Account], groups: &[u32], session: &Session) -> v1::AcquireRequest {
        let asks = accounts.iter().zip(groups).map(|(account, group)| {
            let ask = self.with(account, |entry| entry.ask(session.epoch, self.settings.autonomy));
            v1::Ask {
                account: Some(account.to_proto()),
                wanted_nano: ask.wanted,
                least_nano: ask.least,
                group: *group,
            }
        });
        v1::AcquireRequest {
            instance: session.instance.as_str().to_owned(),
            epoch: session.epoch,
            asks: asks.collect(),
        }
    }

    fn refuse_all(&self, accounts: &[Account], refusal: Refusal) {
        let now = Instant::now();
        for account in accounts {
            self.with(account, |entry| entry.answered(Answer::Refused(refusal), now));
        }
        self.wake_all(accounts);
        metrics::counter!(names::LEASE_GRANTS, "outcome" => "unanswered").increment(accounts.len() as u64);
    }

    fn wake_all(&self, accounts: &[Account]) {
        for account in accounts {
            self.with(account, Entry::wake);
        }
    }

    /// Books the answer to one ask: in the journal first, so that a restart finds the money.
    fn book(&self, account: &Account, epoch: u64, grant: Option<v1::Grant>) {
        let outcome = grant.as_ref().map_or(GrantOutcome::Unspecified, v1::Grant::outcome);
        let grant = grant.unwrap_or_default();
        let (amount, headroom, limit) = (grant.granted_nano, grant.headroom_nano, grant.limit_nano);
        let (answer, label) = match outcome {
            GrantOutcome::Granted => (Answer::Granted { epoch, amount, headroom }, "granted"),
            GrantOutcome::Exhausted => (Answer::Refused(Refusal::Exhausted { headroom }), "exhausted"),
            GrantOutcome::Busy => (Answer::Refused(Refusal::Busy), "busy"),
            GrantOutcome::Unlimited => (Answer::Unlimited, "unlimited"),
            GrantOutcome::UnknownAccount => (Answer::Refused(Refusal::Unknown), "unknown_account"),
            GrantOutcome::Withheld => (Answer::Withheld { headroom }, "withheld"),
            GrantOutcome::Unspecified => (Answer::Refused(Refusal::Away), "unanswered"),
        };
        metrics::counter!(names::LEASE_GRANTS, "outcome" => label).increment(1);
        if outcome == GrantOutcome::Granted
            && amount > 0
            && let Err(error) = self.journal.granted(account, epoch, amount)
        {
            tracing::warn!(%error, %account, "a grant is not in the journal: a restart would forget it");
        }
        self.with(account, |entry| {
            entry.is_limited_to(limit);
            if outcome != GrantOutcome::Unspecified {
                entry.is_overdrawn(grant.overdrawn, Instant::now());
            }
            entry.answered(answer, Instant::now());
        });
    }

    /// Once a second: demand, idle leases, gauges.
    fn look_around(self: &Arc<Self>, background: &Background) {
        self.close_old(background);
        let returning = self.closing.returning(self.lineage());
        let (now, is_reachable) = (Instant::now(), self.lender.is_reachable());
        let epoch = self.epoch().unwrap_or(self.last_epoch);
        let (mut surplus, mut free, mut accounts) = (Vec::new(), 0u64, 0);
        for shard in &self.shards {
            let mut shard = lock(shard);
            shard.retain(|_, entry| !entry.is_spent(self.settings.idle, now));
            for (account, entry) in shard.iter_mut() {
                entry.tick();
                if is_reachable {
                    for (epoch, amount) in
                        entry.surplus(epoch, self.settings.autonomy, self.settings.idle, now)
                    {
                        let amount = entry.remove(epoch, amount);
                        surplus.push(Surplus { account: account.clone(), epoch, amount });
                    }
                }
                free = free.saturating_add(entry.total());
            }
            accounts += shard.len();
        }
        metrics::gauge!(names::LEASE_BALANCE).set(free as f64 / 1e9);
        metrics::gauge!(names::LEASE_ACCOUNTS).set(accounts as f64);
        self.send_back(surplus, "idle", returning, background);
    }

    /// Other instances need this money.
    pub fn recall(self: &Arc<Self>, accounts: &[v1::AccountPeriod], background: &Background) {
        if !self.lender.is_reachable() {
            return;
        }
        let (now, returning) = (Instant::now(), self.closing.returning(self.lineage()));
        let mut surplus = Vec::new();
        for account in accounts.iter().filter_map(Account::from_proto) {
            if let Some(entry) = self.shard(&account).get_mut(&account) {
                for (epoch, amount) in entry.spare(now) {
                    let amount = entry.remove(epoch, amount);
                    surplus.push(Surplus { account: account.clone(), epoch, amount });
                }
            }
        }
        self.send_back(surplus, "recall", returning, background);
    }

    /// At shutdown: gives everything back, if there is somebody to take it; else the journal keeps it.
    pub async fn close(&self, within: Duration) {
        if !self.lender.is_reachable() {
            return;
        }
        let returning = self.closing.returning(self.lineage());
        let surplus = self.empty();
        if tokio::time::timeout(within, self.give_back(surplus, "shutdown", &returning)).await.is_err() {
            tracing::warn!(
                "some leases were not given back in time; they stay lent until this instance returns"
            );
        }
    }

    /// Takes every free amount out of the table.
    fn empty(&self) -> Vec<Surplus> {
        let mut surplus = Vec::new();
        for shard in &self.shards {
            for (account, entry) in lock(shard).iter_mut() {
                for (epoch, amount) in entry.balances().collect::<Vec<_>>() {
                    entry.remove(epoch, amount);
                    surplus.push(Surplus { account: account.clone(), epoch, amount });
                }
            }
        }
        surplus
    }

    fn send_back(
        self: &Arc<Self>,
        surplus: Vec<Surplus>,
        reason: &'static str,
        returning: Returning,
        background: &Background,
    ) {
        if surplus.is_empty() {
            return;
        }
        let leases = Arc::clone(self);
        background.spawn(async move {
            leases.give_back(surplus, reason, &returning).await;
            drop(returning);
        });
    }

    /// Gives back what was taken out of the table. The journal hears of it first: a restart must not find it again.
    async fn give_back(&self, surplus: Vec<Surplus>, reason: &'static str, returning: &Returning) {
        let Some(session) = self.session.borrow().clone() else {
            self.put_back(surplus, returning, false);
            return;
        };
        let doubts = self.doubt(surplus.iter().map(|part| (part.account.clone(), part.epoch)));
        let ended = |parts: &[Surplus], is_lost| {
            let leases = parts.iter().map(|part| (part.account.clone(), part.epoch));
            self.ended(leases.filter(|lease| doubts.contains(lease)), is_lost);
        };
        let mut by_epoch: BTreeMap<u64, Vec<Surplus>> = BTreeMap::new();
        for part in surplus {
            match self.journal.returned(&part.account, part.epoch, part.amount) {
                Ok(()) => by_epoch.entry(part.epoch).or_default().push(part),
                Err(_) => {
                    self.put_back(vec![part.clone()], returning, false);
                    ended(&[part], false);
                }
            }
        }
        for (epoch, parts) in by_epoch {
            for parts in parts.chunks(MOST_RETURNS) {
                let is_known = self.give_back_epoch(&session, epoch, parts, reason, returning).await;
                ended(parts, !is_known);
            }
        }
    }

    /// Whether it is known what became of the money.
    async fn give_back_epoch(
        &self,
        session: &Session,
        epoch: u64,
        parts: &[Surplus],
        reason: &'static str,
        returning: &Returning,
    ) -> bool {
        let surplus = parts
            .iter()
            .map(|part| v1::Surplus { account: Some(part.account.to_proto()), amount_nano: part.amount });
        let request = v1::ReturnRequest {
            instance: session.instance.as_str().to_owned(),
            epoch,
            surplus: surplus.collect(),
        };
        match self.lender.give_back(request).await {
            Ok(()) => {
                metrics::counter!(names::LEASE_RETURNS, "reason" => reason).increment(parts.len() as u64);
                true
            }
            Err(error @ CallError::Lost(_)) => {
                // Whether it arrived is not known; spending it, or giving it back again, could overspend.
                tracing::warn!(%error, leases = parts.len(), "leases given back without an answer are in doubt");
                false
            }
            Err(error @ (CallError::Away | CallError::Refused(_))) => {
                tracing::warn!(%error, leases = parts.len(), "leases could not be given back and are kept");
                self.put_back(parts.to_vec(), returning, true)
            }
        }
    }

    /// Puts money back into the table, unless it became void while it was out of it; whether all is back.
    fn put_back(&self, parts: Vec<Surplus>, returning: &Returning, is_in_journal: bool) -> bool {
        let mut is_kept = true;
        for Surplus { account, epoch, amount } in parts {
            self.with(&account, |entry| {
                // Under the entry's lock: a new lineage is there before the entries are emptied.
                if returning.lineage != self.lineage() {
                    is_kept = false;
                    return;
                }
                if is_in_journal && self.journal.granted(&account, epoch, amount).is_err() {
                    tracing::warn!(%account, "a kept lease is not in the journal: a restart would forget it");
                }
                entry.touch(Instant::now());
                entry.add(epoch, amount);
            });
        }
        is_kept
    }

    /// A new session: remembers it, and voids what a store of another incarnation lent.
    fn follow(&self, session: &mut watch::Receiver<Option<Session>>) {
        let Some(session) = session.borrow_and_update().clone() else { return };
        if self.becomes_void(&session) {
            let void = self.empty();
            tracing::warn!(
                leases = void.len(),
                "the control plane's store was replaced: what it lent is void"
            );
            for part in void {
                self.journal.returned(&part.account, part.epoch, part.amount).ok();
            }
        }
        self.released.store(session.released_epoch, Ordering::Release);
        self.forget_released(session.released_epoch);
        let mark = SessionMark { epoch: session.epoch, incarnation: session.incarnation };
        if let Err(error) = self.journal.session(mark) {
            tracing::warn!(%error, "the session is not in the journal");
        }
    }

    /// Whether a session's store is another than the leases are of; from then on it is theirs.
    fn becomes_void(&self, session: &Session) -> bool {
        let mut incarnation = lock(&self.incarnation);
        let known = incarnation.replace(session.incarnation.clone());
        let is_other = known.is_some_and(|known| known != session.incarnation);
        if is_other {
            self.lineage.fetch_add(1, Ordering::AcqRel);
        }
        is_other
    }

    /// Drops what an operator took from sessions up to this one: spending it now would be the operator's loss.
    fn forget_released(&self, epoch: u64) {
        let mut gone = Vec::new();
        for shard in &self.shards {
            for (account, entry) in lock(shard).iter_mut() {
                let old: Vec<_> = entry.balances().filter(|(of, _)| *of <= epoch).collect();
                for (of, amount) in old {
                    gone.push(Surplus {
                        account: account.clone(),
                        epoch: of,
                        amount: entry.remove(of, amount),
                    });
                }
            }
        }
        for part in gone {
            tracing::warn!(account = %part.account, epoch = part.epoch, "a lease was released by an operator");
            self.journal.returned(&part.account, part.epoch, part.amount).ok();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::journal::Period;

    fn accounts(count: usize) -> Vec<Account> {
        let account = |number: usize| Account {
            kind: v1::AccountKind::KeyLimit,
            owner: number.to_string().into(),
            period: Period::All,
        };
        (0..count).map(account).collect()
    }

    #[test]
    fn groups_are_told_apart_and_never_torn() {
        let batches = batches(vec![accounts(1), accounts(3), accounts(MOST_ASKS - 2), accounts(2)]);
        let shown: Vec<_> = batches.iter().map(|batch| batch.groups.clone()).collect();
        assert_eq!(shown[0], [0, 2, 2, 2]);
        assert_eq!(shown[1].len(), MOST_ASKS);
        assert_eq!((shown[1][0], shown[1][MOST_ASKS - 1]), (3, 4));
        assert_eq!(shown.len(), 2);
    }
}
