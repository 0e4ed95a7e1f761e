//! Makes good what got lost between the planes: a grant whose answer never came, a return that may have arrived.
//!
//! Such a lease is in doubt until its session is over, nothing of it is held here and every line of it is booked.
//! Then whatever the control plane still counts of it is given back; repeating that does no harm.

use std::{
    collections::{HashMap, HashSet},
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

use switchyard_proto::v1;

use super::{Leases, lock};
use crate::{
    background::Background,
    journal::{Account, Position},
    link::Session,
    telemetry::metrics as names,
};

/// Leases closed in one call.
const MOST: usize = 1024;
/// All that there is.
const ALL: u64 = i64::MAX as u64;

/// A lease: an account and the epoch that lent.
type Lease = (Account, u64);

/// What must be over before a session's leases are closed.
#[derive(Debug, Default)]
pub(super) struct Closing {
    asks: Arc<Mutex<HashMap<u64, usize>>>,
    returns: Arc<AtomicUsize>,
    /// Leases that nothing is held of, and how far the journal was written when that was seen.
    seen: Mutex<Option<(Position, HashSet<Lease>)>>,
}

/// An ask that is under way: its answer could still bring money of this epoch.
#[derive(Debug)]
pub(super) struct Asking {
    asks: Arc<Mutex<HashMap<u64, usize>>>,
    epoch: u64,
}

/// Money that was taken out to be given back: it could still be put back.
#[derive(Debug)]
pub(super) struct Returning(Arc<AtomicUsize>);

impl Closing {
    /// Call it before the ask is sent.
    pub fn asking(&self, epoch: u64) -> Asking {
        *lock(&self.asks).entry(epoch).or_default() += 1;
        Asking { asks: Arc::clone(&self.asks), epoch }
    }

    /// Call it before the money is taken out.
    pub fn returning(&self) -> Returning {
        self.returns.fetch_add(1, Ordering::AcqRel);
        Returning(Arc::clone(&self.returns))
    }

    fn is_quiet(&self, epoch: u64) -> bool {
        self.returns.load(Ordering::Acquire) == 0 && !lock(&self.asks).contains_key(&epoch)
    }
}

impl Drop for Asking {
    fn drop(&mut self) {
        let mut asks = lock(&self.asks);
        if let Some(count) = asks.get_mut(&self.epoch) {
            *count -= 1;
            if *count == 0 {
                asks.remove(&self.epoch);
            }
        }
    }
}

impl Drop for Returning {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

impl Leases {
    /// Notes in the journal that calls about these leases are under way; those that were not in doubt before.
    pub(super) fn doubt(&self, leases: impl Iterator<Item = Lease>) -> HashSet<Lease> {
        let is_new = |(account, epoch): &Lease| match self.journal.doubt(account, *epoch) {
            Ok(is_new) => is_new,
            Err(error) => {
                tracing::warn!(%error, %account, "a lost answer about this account could not be made good");
                false
            }
        };
        leases.filter(is_new).collect()
    }

    /// The calls were answered.
    pub(super) fn believe(&self, leases: impl Iterator<Item = Lease>) {
        for (account, epoch) in leases {
            if let Err(error) = self.journal.clear(&account, epoch) {
                // Closing it later finds nothing to give back.
                tracing::debug!(%error, %account, "an answered call stays in doubt");
            }
        }
    }

    /// Once a second: closes what is in doubt of sessions that are over.
    pub fn close_old(self: &Arc<Self>, background: &Background) {
        let Some(session) = self.session.borrow().clone() else { return };
        let over: HashSet<Lease> = match self.lender.is_reachable() {
            true => self
                .journal
                .doubts_before(session.epoch)
                .into_iter()
                .filter(|lease| self.is_over(lease))
                .collect(),
            false => HashSet::new(),
        };
        let mut seen = lock(&self.closing.seen);
        if over.is_empty() {
            *seen = None;
            return;
        }
        let Some((written, waiting)) = seen.take() else {
            *seen = Some((self.journal.written(), over));
            return;
        };
        if self.journal.acknowledged() < written {
            *seen = Some((written, waiting));
            return;
        }
        let ready: Vec<Lease> = over.into_iter().filter(|lease| waiting.contains(lease)).collect();
        let (leases, returning) = (Arc::clone(self), self.closing.returning());
        background.spawn(async move {
            leases.close_leases(&session, ready).await;
            drop(returning);
        });
    }

    /// Nothing of it is held, reserved or on its way.
    fn is_over(&self, (account, epoch): &Lease) -> bool {
        let is_held = self.shard(account).get(account).is_some_and(|entry| entry.holds(*epoch));
        !is_held && self.closing.is_quiet(*epoch)
    }

    async fn close_leases(&self, session: &Session, ready: Vec<Lease>) {
        let mut by_epoch: HashMap<u64, Vec<Account>> = HashMap::new();
        for (account, epoch) in ready {
            by_epoch.entry(epoch).or_default().push(account);
        }
        for (epoch, accounts) in by_epoch {
            for accounts in accounts.chunks(MOST) {
                let surplus = accounts
                    .iter()
                    .map(|account| v1::Surplus { account: Some(account.to_proto()), amount_nano: ALL });
                let instance = session.instance.as_str().to_owned();
                let request = v1::ReturnRequest { instance, epoch, surplus: surplus.collect() };
                match self.lender.give_back(request).await {
                    Ok(()) => {
                        metrics::counter!(names::LEASE_RETURNS, "reason" => "doubt")
                            .increment(accounts.len() as u64);
                        self.believe(accounts.iter().map(|account| (account.clone(), epoch)));
                    }
                    Err(error) => tracing::debug!(%error, epoch, "leases in doubt are closed later"),
                }
            }
        }
    }
}
