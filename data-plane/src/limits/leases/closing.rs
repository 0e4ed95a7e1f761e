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
    calls: Mutex<HashMap<Lease, Calls>>,
    /// Leases that nothing is held of, and how far the journal was written when that was seen.
    seen: Mutex<Option<(Position, HashSet<Lease>)>>,
}

/// The calls about one lease.
#[derive(Debug)]
struct Calls {
    under_way: usize,
    /// One got lost, in this run or an earlier one: the answer to another says nothing about it.
    is_lost: bool,
}

/// An ask that is under way: its answer could still bring money of this epoch.
#[derive(Debug)]
pub(super) struct Asking {
    asks: Arc<Mutex<HashMap<u64, usize>>>,
    epoch: u64,
}

/// Money that was taken out to be given back: it could still be put back.
#[derive(Debug)]
pub(super) struct Returning {
    count: Arc<AtomicUsize>,
    /// Of which store the money is.
    pub lineage: u64,
}

impl Closing {
    /// Call it before the ask is sent.
    pub fn asking(&self, epoch: u64) -> Asking {
        *lock(&self.asks).entry(epoch).or_default() += 1;
        Asking { asks: Arc::clone(&self.asks), epoch }
    }

    /// Call it before the money is taken out.
    pub fn returning(&self, lineage: u64) -> Returning {
        self.returns.fetch_add(1, Ordering::AcqRel);
        Returning { count: Arc::clone(&self.returns), lineage }
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
        self.count.fetch_sub(1, Ordering::AcqRel);
    }
}

impl Leases {
    /// Notes in the journal that calls about these leases are under way; those of which it took note.
    pub(in crate::limits) fn doubt(&self, leases: impl Iterator<Item = Lease>) -> HashSet<Lease> {
        let mut calls = lock(&self.closing.calls);
        let mut is_noted = |lease: &Lease| match self.journal.doubt(&lease.0, lease.1) {
            Ok(is_new) => {
                let first = || Calls { under_way: 0, is_lost: !is_new };
                calls.entry(lease.clone()).or_insert_with(first).under_way += 1;
                true
            }
            Err(error) => {
                let account = &lease.0;
                tracing::warn!(%error, %account, "a lost answer about this account could not be made good");
                false
            }
        };
        leases.filter(|lease| is_noted(lease)).collect()
    }

    /// Calls that [`Leases::doubt`] took note of ended; whether it is not known what became of them.
    ///
    /// A lease stays in doubt while another call about it is under way, and once one got lost.
    pub(in crate::limits) fn ended(&self, leases: impl IntoIterator<Item = Lease>, is_lost: bool) {
        let mut calls = lock(&self.closing.calls);
        for lease in leases {
            let Some(of) = calls.get_mut(&lease) else { continue };
            of.under_way -= 1;
            of.is_lost |= is_lost;
            if of.under_way == 0 {
                let is_sure = !of.is_lost;
                calls.remove(&lease);
                if is_sure {
                    self.believe(&lease);
                }
            }
        }
    }

    /// Both sides know the same of a lease.
    fn believe(&self, (account, epoch): &Lease) {
        if let Err(error) = self.journal.clear(account, *epoch) {
            // Closing it later finds nothing to give back.
            tracing::debug!(%error, %account, "an answered call stays in doubt");
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
        let (leases, returning) = (Arc::clone(self), self.closing.returning(self.lineage()));
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
                        accounts.iter().for_each(|account| self.believe(&(account.clone(), epoch)));
                    }
                    Err(error) => tracing::debug!(%error, epoch, "leases in doubt are closed later"),
                }
            }
        }
    }
}
