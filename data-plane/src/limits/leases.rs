//! Leases: money that this instance may spend on its own, by account.
//!
//! The table is sharded and a busy account's reservation is a few locks of nanoseconds each; who lacks money lines up
//! for `desk`, which asks for it. Writing intents is `limits`' business.

mod closing;
mod desk;
mod entry;
mod lots;

use std::{
    collections::{HashMap, HashSet},
    hash::{BuildHasher, RandomState},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use switchyard_proto::{account::Side, money::NanoUsd, v1::AccountKind};
use tokio::sync::{Notify, watch};

pub use self::lots::Lots;
use self::{
    closing::Closing,
    entry::{Entry, Refusal, Standing},
};
use super::{Due, ReserveError, lender::Lender};
use crate::{
    journal::{Account, Journal, Replay},
    link::Session,
    settings,
    telemetry::metrics as names,
};

/// What a caller is told to wait when money is lent elsewhere, or reserved by attempts under way.
const BUSY_RETRY: Duration = Duration::from_secs(1);
/// An answer that is under way is waited for at least so long: refusing a cold account would be worse.
const ANSWER: Duration = Duration::from_secs(1);
const SHARDS: usize = 64;

type Shard = HashMap<Account, Entry>;

/// All leases of this instance.
pub(super) struct Leases {
    shards: Vec<Mutex<Shard>>,
    hasher: RandomState,
    settings: settings::Leases,
    journal: Arc<Journal>,
    lender: Arc<dyn Lender>,
    session: watch::Receiver<Option<Session>>,
    /// The epoch of the last run: lines without a lease carry it before the first session.
    last_epoch: u64,
    /// Grows when the control plane's store becomes another incarnation: what the old one lent is void.
    lineage: AtomicU64,
    incarnation: Mutex<Option<String>>,
    /// An operator released what epochs up to this one lent.
    released: AtomicU64,
    /// Asks that were not sent yet, by group.
    queue: Mutex<Vec<Vec<Account>>>,
    queued: Notify,
    closing: Closing,
}

/// Money that one attempt may spend.
#[derive(Debug)]
pub(super) struct Taken {
    /// Which leases paid: those that are still marked as leased.
    pub dues: Vec<Due>,
    pub epoch: u64,
    pub lineage: u64,
}

impl Leases {
    pub fn new(
        settings: settings::Leases,
        journal: Arc<Journal>,
        replay: Replay,
        lender: Arc<dyn Lender>,
        session: watch::Receiver<Option<Session>>,
    ) -> Self {
        let leases = Self {
            shards: (0..SHARDS).map(|_| Mutex::default()).collect(),
            hasher: RandomState::new(),
            settings,
            journal,
            lender,
            session,
            last_epoch: replay.session.as_ref().map_or(0, |session| session.epoch),
            lineage: AtomicU64::new(0),
            released: AtomicU64::new(0),
            incarnation: Mutex::new(replay.session.map(|session| session.incarnation)),
            queue: Mutex::default(),
            queued: Notify::new(),
            closing: Closing::default(),
        };
        for (account, epoch, amount) in &replay.balances {
            leases.with(account, |entry| entry.add(*epoch, *amount));
        }
        leases
    }

    /// Takes every leased amount, all from leases of one epoch; waits for a grant where they do not suffice.
    ///
    /// # Errors
    /// When the accounts cannot cover it, or nobody can be asked in time.
    pub async fn take(&self, dues: Vec<Due>) -> Result<Taken, ReserveError> {
        let mut dues = dues;
        if let Some(free) = dues.iter().find(|due| is_free(due)) {
            self.ensure_sound(free).await?;
        }
        let taken = self.take_now(&mut dues);
        if let Some((epoch, lineage)) = taken {
            return Ok(Taken { dues, epoch, lineage });
        }
        let taken = self.wait_and_take(&mut dues, &[], |dues| self.take_now(dues)).await;
        let (epoch, lineage) = taken?;
        Ok(Taken { dues, epoch, lineage })
    }

    /// Refuses what costs nothing, too, while its payer's credits are below zero.
    ///
    /// Nobody is refused for want of an answer: no money is at stake.
    async fn ensure_sound(&self, due: &Due) -> Result<(), ReserveError> {
        let (waiter, until) = (Arc::new(Notify::new()), Instant::now() + self.settings.wait.max(ANSWER));
        loop {
            let now = Instant::now();
            let (standing, asks, limit) = self.with(&due.account, |entry| {
                let is_away = matches!(entry.refusal(1, now), Some((Refusal::Away, _)));
                let standing = if is_away { Standing::Sound } else { entry.standing(now) };
                let asks = match standing {
                    Standing::Sound | Standing::Overdrawn => false,
                    Standing::Stale | Standing::Unknown => entry.wait(1, &waiter),
                };
                (standing, asks, entry.limit())
            });
            if asks {
                self.enqueue(vec![due.account.clone()]);
            }
            match standing {
                Standing::Overdrawn => {
                    let (account, limit) = (due.account.clone(), NanoUsd(limit));
                    return Err(ReserveError::Exhausted { account, limit, affordable: NanoUsd::ZERO });
                }
                Standing::Sound | Standing::Stale => return Ok(()),
                Standing::Unknown if now >= until => return Ok(()),
                Standing::Unknown => {
                    tokio::time::timeout_at(until.into(), waiter.notified()).await.ok();
                }
            }
        }
    }

    /// Takes `more` beside what an attempt has: from the session that lent the first part, for an attempt is booked as of one.
    ///
    /// # Errors
    /// As [`Leases::take`]; and where that session lends no more.
    pub async fn take_more(&self, taken: &Taken, more: Vec<Due>) -> Result<Taken, ReserveError> {
        let (epoch, lineage, mut dues) = (taken.epoch, taken.lineage, more);
        let is_void = || lineage != self.lineage() || epoch <= self.released();
        let now =
            |dues: &mut [Due]| (!is_void() && self.take_from(epoch, dues, Instant::now())).then_some(());
        if now(&mut dues).is_none() {
            if is_void() || self.epoch() != Some(epoch) {
                return Err(ReserveError::Unavailable);
            }
            self.wait_and_take(&mut dues, &taken.dues, now).await?;
        }
        Ok(Taken { dues, epoch, lineage })
    }

    /// Asks for money until `take` finds enough. What the attempt has `held` so far is nothing that could come back to it.
    async fn wait_and_take<T>(
        &self,
        dues: &mut [Due],
        held: &[Due],
        take: impl Fn(&mut [Due]) -> Option<T>,
    ) -> Result<T, ReserveError> {
        let start = Instant::now();
        let taken = self.wait_until((dues, held), start, take).await;
        metrics::histogram!(names::LEASE_WAIT).record(start.elapsed());
        taken
    }

    async fn wait_until<T>(
        &self,
        (dues, held): (&mut [Due], &[Due]),
        start: Instant,
        take: impl Fn(&mut [Due]) -> Option<T>,
    ) -> Result<T, ReserveError> {
        let (waiter, mut was_busy) = (Arc::new(Notify::new()), false);
        loop {
            let now = Instant::now();
            let busy_until = self.line_up((dues, held), &waiter, now)?;
            was_busy |= busy_until.is_some();
            let deadline = match was_busy {
                true => start + self.settings.wait,
                false => start + self.settings.wait.max(ANSWER),
            };
            if now >= deadline {
                return Err(match was_busy {
                    true => ReserveError::Busy { retry_after: BUSY_RETRY },
                    false => ReserveError::Unavailable,
                });
            }
            let until = busy_until.map_or(deadline, |until| until.min(deadline));
            // A wake-up and a time-out lead to the same: look again.
            tokio::time::timeout_at(until.into(), waiter.notified()).await.ok();
            if let Some(taken) = take(dues) {
                return Ok(taken);
            }
        }
    }

    /// Epoch and lineage of the leases that paid, if they sufficed.
    fn take_now(&self, dues: &mut [Due]) -> Option<(u64, u64)> {
        let lineage = self.lineage();
        let now = Instant::now();
        let mut epochs = Vec::new();
        for due in dues.iter_mut().filter(|due| due.leased) {
            self.with(&due.account, |entry| {
                due.leased = due.amount.0 > 0 && !entry.is_unlimited();
                epochs.extend(entry.balances().map(|(epoch, _)| epoch));
            });
        }
        if dues.iter().all(|due| !due.leased) {
            return Some((self.epoch().unwrap_or(self.last_epoch), lineage));
        }
        epochs.sort_unstable();
        epochs.dedup();
        epochs.into_iter().find(|epoch| self.take_from(*epoch, dues, now)).map(|epoch| (epoch, lineage))
    }

    /// All or nothing.
    fn take_from(&self, epoch: u64, dues: &[Due], now: Instant) -> bool {
        for (index, due) in dues.iter().enumerate().filter(|(_, due)| due.leased) {
            let taken = self.with(&due.account, |entry| entry.take(epoch, due.amount.0, now));
            if !taken {
                for due in dues[..index].iter().filter(|due| due.leased) {
                    self.with(&due.account, |entry| entry.untake(epoch, due.amount.0));
                }
                return false;
            }
        }
        for due in dues.iter().filter(|due| due.leased) {
            self.renew(due, now);
        }
        true
    }

    /// Asks ahead, so that a busy account does not wait.
    fn renew(&self, due: &Due, now: Instant) {
        let Some(epoch) = self.epoch() else { return };
        if self.with(&due.account, |entry| entry.renew(epoch, due.amount.0, self.settings.autonomy, now)) {
            self.enqueue(vec![due.account.clone()]);
        }
    }

    /// Lines up at every account that lacks money; until when one of them is known to be busy.
    ///
    /// Nothing is asked for while an answer that is known already stands against the attempt: an account that could lend
    /// would do so in vain. What is asked for is asked as one group, of which all or nothing is lent.
    fn line_up(
        &self,
        (dues, held): (&[Due], &[Due]),
        waiter: &Arc<Notify>,
        now: Instant,
    ) -> Result<Option<Instant>, ReserveError> {
        let epoch = self.epoch().ok_or(ReserveError::Unavailable)?;
        let busy_until = self.known((dues, held), epoch, now)?;
        let (mut group, mut short) = (Vec::new(), false);
        for due in dues.iter().filter(|due| due.leased) {
            let is_asked = self.with(&due.account, |entry| {
                let shortage = due.amount.0.saturating_sub(entry.free(epoch));
                short |= shortage > 0;
                match shortage {
                    0 => false,
                    _ if busy_until.is_some() => {
                        entry.listen(waiter);
                        false
                    }
                    _ => entry.wait(shortage, waiter),
                }
            });
            if is_asked {
                group.push(due.account.clone());
            }
        }
        self.enqueue(group);
        if !short {
            // Somebody gave money back in the meantime.
            waiter.notify_one();
        }
        Ok(busy_until)
    }

    /// What is known to stand against an attempt; until when an account is busy.
    fn known(
        &self,
        (dues, held): (&[Due], &[Due]),
        epoch: u64,
        now: Instant,
    ) -> Result<Option<Instant>, ReserveError> {
        let (mut busy_until, mut away) = (None, None);
        for due in dues.iter().filter(|due| due.leased) {
            let own = own(held, due);
            match self.with(&due.account, |entry| stands(entry, (due, own), epoch, now)) {
                Stands::Open => {}
                Stands::Busy(until) => {
                    busy_until = Some(busy_until.map_or(until, |other: Instant| other.max(until)));
                }
                Stands::Exhausted => return Err(self.exhausted((dues, held), due, epoch)),
                Stands::Away => away = Some(ReserveError::Unavailable),
                Stands::Unknown => return Err(ReserveError::UnknownAccount { kind: due.account.kind }),
            }
        }
        away.map_or(Ok(busy_until), Err)
    }

    /// Names the first account that cannot cover its part, as far as is known: accounts are listed so that it says most.
    fn exhausted(&self, (dues, held): (&[Due], &[Due]), known: &Due, epoch: u64) -> ReserveError {
        let is_short = |due: &&Due| {
            due.leased
                && self.with(&due.account, |entry| {
                    let affordable = entry.affordable(epoch);
                    affordable.is_some_and(|most| most < due.amount.0)
                        && !entry.may_come_back(epoch, due.amount.0, own(held, due))
                })
        };
        let due = dues.iter().find(is_short).unwrap_or(known);
        self.with(&due.account, |entry| ReserveError::Exhausted {
            account: due.account.clone(),
            limit: NanoUsd(entry.limit()),
            affordable: NanoUsd(entry.affordable(epoch).unwrap_or(0)),
        })
    }

    /// Queues asks that are of use together alone.
    fn enqueue(&self, group: Vec<Account>) {
        if !group.is_empty() {
            lock(&self.queue).push(group);
            self.queued.notify_one();
        }
    }

    /// Undoes a [`Leases::take_now`] whose attempt was not sent.
    pub fn untake(&self, taken: &Taken) {
        for due in taken.dues.iter().filter(|due| due.leased) {
            self.with(&due.account, |entry| entry.untake(taken.epoch, due.amount.0));
        }
    }

    /// Ends a reservation: what the tenant owes, and what the provider bills.
    pub fn settle(&self, taken: &Taken, price: NanoUsd, cost: NanoUsd) {
        let is_void = taken.lineage != self.lineage() || taken.epoch <= self.released();
        for due in taken.dues.iter().filter(|due| due.leased) {
            let counted = match due.side() {
                Side::Charge => price,
                Side::Cost => cost,
            };
            let charged = counted.min(due.amount).0;
            self.with(&due.account, |entry| entry.settle(taken.epoch, due.amount.0, charged, is_void));
            let unspent = due.amount.0 - charged;
            if is_void && unspent > 0 && self.journal.returned(&due.account, taken.epoch, unspent).is_err() {
                tracing::warn!(account = %due.account, "void money stays in the journal");
            }
        }
    }

    /// See [`Entry::affordable`].
    #[cfg(test)]
    pub fn affordable(&self, account: &Account) -> Option<NanoUsd> {
        let epoch = self.epoch().unwrap_or(self.last_epoch);
        self.shard(account).get(account)?.affordable(epoch).map(NanoUsd)
    }

    /// See [`Entry::left`].
    pub fn left(&self, account: &Account) -> Option<f64> {
        self.shard(account).get(account)?.left()
    }

    /// These owners changed: their denials are dropped.
    pub fn config_changed(&self, owners: &[&str]) {
        let owners: HashSet<&str> = owners.iter().copied().collect();
        for shard in &self.shards {
            let mut shard = lock(shard);
            let changed = shard.iter_mut().filter(|(account, _)| owners.contains(config_owner(account)));
            changed.for_each(|(_, entry)| entry.forget_answers());
        }
    }

    /// Anything may have changed.
    pub fn config_replaced(&self) {
        for shard in &self.shards {
            lock(shard).values_mut().for_each(Entry::forget_answers);
        }
    }

    #[cfg(test)]
    pub fn known_incarnation(&self) -> Option<String> {
        lock(&self.incarnation).clone()
    }

    fn epoch(&self) -> Option<u64> {
        self.session.borrow().as_ref().map(|session| session.epoch)
    }

    fn lineage(&self) -> u64 {
        self.lineage.load(Ordering::Acquire)
    }

    fn with<T>(&self, account: &Account, work: impl FnOnce(&mut Entry) -> T) -> T {
        let mut shard = self.shard(account);
        match shard.get_mut(account) {
            Some(entry) => work(entry),
            None => work(shard.entry(account.clone()).or_insert_with(|| Entry::new(Instant::now()))),
        }
    }

    /// Epochs up to this one are no more ours.
    fn released(&self) -> u64 {
        self.released.load(Ordering::Acquire)
    }

    fn shard(&self, account: &Account) -> MutexGuard<'_, Shard> {
        let hash = self.hasher.hash_one(&account.owner) as usize;
        lock(&self.shards[hash % SHARDS])
    }
}

/// Whether prepaid credits are to pay nothing.
fn is_free(due: &Due) -> bool {
    due.leased && due.amount == NanoUsd::ZERO && due.account.kind == AccountKind::TenantCredits
}

/// Whose config limits an account: a user's is that of its key, or of its tenant for all keys.
fn config_owner(account: &Account) -> &str {
    let owner = account.owner.as_ref();
    if account.kind != AccountKind::UserBudget {
        return owner;
    }
    let mut parts = owner.splitn(3, '/');
    match (parts.next(), parts.next(), parts.next()) {
        (Some(tenant), Some(""), Some(_)) => tenant,
        (Some(_), Some(key), Some(_)) => key,
        _ => owner,
    }
}

/// What an attempt itself has of an account.
fn own(held: &[Due], due: &Due) -> u64 {
    held.iter().find(|held| held.leased && held.account == due.account).map_or(0, |held| held.amount.0)
}

/// What is known to stand against a reservation at one account.
enum Stands {
    /// Nothing; perhaps nobody has asked yet.
    Open,
    Busy(Instant),
    Exhausted,
    Away,
    Unknown,
}

fn stands(entry: &Entry, (due, own): (&Due, u64), epoch: u64, now: Instant) -> Stands {
    let shortage = due.amount.0.saturating_sub(entry.free(epoch));
    if shortage == 0 {
        return Stands::Open;
    }
    match entry.refusal(shortage, now) {
        None => Stands::Open,
        Some((Refusal::Busy, until)) => Stands::Busy(until),
        // Worst cases of attempts under way hold the rest; most of it comes back.
        Some((Refusal::Exhausted { .. }, until)) if entry.may_come_back(epoch, due.amount.0, own) => {
            Stands::Busy(until)
        }
        Some((Refusal::Exhausted { .. }, _)) => Stands::Exhausted,
        Some((Refusal::Away, _)) => Stands::Away,
        Some((Refusal::Unknown, _)) => Stands::Unknown,
    }
}

pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Nothing under these locks panics half-way.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
