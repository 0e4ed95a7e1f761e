//! Reservations and settlements against a scripted lender and a real journal.

use std::{
    collections::HashMap,
    sync::{
        Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Instant,
};

use chrono::DateTime;
use futures_util::future::{BoxFuture, join_all};
use prost::Message;
use switchyard_proto::{
    id::{CredentialId, EndpointId, GenerationId, InstanceId, KeyId, ModelId, ProviderId, TenantId},
    v1::{GrantOutcome, usage_record},
};
use tempfile::TempDir;

use super::*;
use crate::link::CallError;

mod standing;
mod steps;
mod together;

/// Lends up to a limit per account, as the control plane would.
#[derive(Default)]
struct Bank {
    limits: Mutex<HashMap<String, u64>>,
    lent: Mutex<HashMap<String, u64>>,
    returned: AtomicU64,
    calls: AtomicU64,
    is_away: AtomicBool,
    /// Does what it is asked, but the answer never arrives.
    is_deaf: AtomicBool,
    /// Lends so slowly that asks overlap.
    delay: Duration,
    busy: AtomicBool,
    overdrawn: AtomicBool,
}

impl Bank {
    fn with(limits: &[(&str, u64)]) -> Self {
        let limits = limits.iter().map(|(owner, limit)| ((*owner).to_owned(), *limit)).collect();
        Self { limits: Mutex::new(limits), ..Self::default() }
    }

    fn grant(&self, ask: &v1::Ask) -> v1::Grant {
        let owner = ask.account.as_ref().unwrap().owner.clone();
        let limits = self.limits.lock().unwrap();
        let mut lent = self.lent.lock().unwrap();
        let lent = lent.entry(owner.clone()).or_default();
        let (outcome, granted) = match limits.get(&owner) {
            _ if owner == "unlimited" => (GrantOutcome::Unlimited, 0),
            None => (GrantOutcome::UnknownAccount, 0),
            Some(_) if self.busy.load(Ordering::SeqCst) => (GrantOutcome::Busy, 0),
            Some(limit) if limit - *lent < ask.least_nano => (GrantOutcome::Exhausted, 0),
            Some(limit) => (GrantOutcome::Granted, ask.wanted_nano.min(limit - *lent)),
        };
        *lent += granted;
        let headroom_nano = limits.get(&owner).map_or(0, |limit| limit - *lent);
        v1::Grant {
            account: ask.account.clone(),
            outcome: outcome.into(),
            granted_nano: granted,
            headroom_nano,
            limit_nano: 0,
            overdrawn: self.overdrawn.load(Ordering::SeqCst),
        }
    }

    /// Takes back what a group was granted of which another ask was refused.
    fn withhold(&self, asks: &[v1::Ask], grants: &mut [v1::Grant]) {
        let is_refused =
            |grant: &v1::Grant| !matches!(grant.outcome(), GrantOutcome::Granted | GrantOutcome::Unlimited);
        let refused: Vec<u32> = asks
            .iter()
            .zip(grants.iter())
            .filter(|(ask, grant)| ask.group > 0 && is_refused(grant))
            .map(|(ask, _)| ask.group)
            .collect();
        for (ask, grant) in asks.iter().zip(grants) {
            if grant.outcome() == GrantOutcome::Granted && refused.contains(&ask.group) {
                let owner = &ask.account.as_ref().unwrap().owner;
                *self.lent.lock().unwrap().get_mut(owner).unwrap() -= grant.granted_nano;
                grant.headroom_nano += grant.granted_nano;
                grant.granted_nano = 0;
                grant.outcome = GrantOutcome::Withheld.into();
            }
        }
    }

    fn lent(&self, owner: &str) -> u64 {
        self.lent.lock().unwrap().get(owner).copied().unwrap_or(0)
    }

    fn answer<T>(&self, answer: T) -> Result<T, CallError> {
        match self.is_deaf.load(Ordering::SeqCst) {
            true => Err(CallError::Lost(tonic::Status::unavailable("the connection broke"))),
            false => Ok(answer),
        }
    }

    fn calls(&self) -> u64 {
        self.calls.load(Ordering::SeqCst)
    }
}

impl Lender for Bank {
    fn acquire(&self, request: v1::AcquireRequest) -> BoxFuture<'_, Result<v1::AcquireResponse, CallError>> {
        Box::pin(async move {
            self.calls.fetch_add(1, Ordering::SeqCst);
            if self.is_away.load(Ordering::SeqCst) {
                return Err(CallError::Away);
            }
            tokio::time::sleep(self.delay).await;
            let mut grants: Vec<v1::Grant> = request.asks.iter().map(|ask| self.grant(ask)).collect();
            self.withhold(&request.asks, &mut grants);
            self.answer(v1::AcquireResponse { grants })
        })
    }

    fn give_back(&self, request: v1::ReturnRequest) -> BoxFuture<'_, Result<(), CallError>> {
        Box::pin(async move {
            for surplus in request.surplus {
                let mut lent = self.lent.lock().unwrap();
                let lent = lent.get_mut(&surplus.account.unwrap().owner).unwrap();
                let amount = surplus.amount_nano.min(*lent);
                *lent -= amount;
                self.returned.fetch_add(amount, Ordering::SeqCst);
            }
            self.answer(())
        })
    }

    fn is_reachable(&self) -> bool {
        !self.is_away.load(Ordering::SeqCst)
    }
}

struct World {
    dir: TempDir,
    bank: Arc<Bank>,
    journal: Arc<Journal>,
    limits: Arc<Limits>,
    session: watch::Sender<Option<Session>>,
    background: Background,
}

fn session(epoch: u64, incarnation: &str) -> Option<Session> {
    let incarnation = incarnation.to_owned();
    Some(Session { instance: InstanceId::new("dp_1"), epoch, incarnation, released_epoch: 0 })
}

fn journal_settings() -> settings::Journal {
    settings::Journal {
        max_bytes: 64 << 20,
        segment_bytes: 1 << 20,
        fsync_every: Duration::ZERO,
        keep_acknowledged: Duration::from_secs(3600),
        ship_every: Duration::from_millis(10),
    }
}

impl World {
    fn new(bank: Bank) -> Self {
        Self::at(tempfile::tempdir().unwrap(), Arc::new(bank), session(1, "one"))
    }

    fn at(dir: TempDir, bank: Arc<Bank>, first: Option<Session>) -> Self {
        let (journal, replay) = Journal::open(dir.path(), &journal_settings()).unwrap();
        let (sender, session) = watch::channel(first);
        let background = Background::new(tokio::runtime::Handle::current());
        let limits = Limits::new(Parts {
            settings: settings::Leases {
                autonomy: Duration::from_secs(900),
                // Long, so that a slow machine does not fail what is not about time.
                wait: Duration::from_secs(5),
                default_output_tokens: 1000,
                idle: Duration::from_secs(60),
            },
            journal: Arc::clone(&journal),
            replay,
            lender: bank.clone(),
            rates: RateLimiter::memory(),
            session,
            background: background.clone(),
        });
        Self { dir, bank, journal, limits, session: sender, background }
    }

    /// The process ends; everything but the disk and the bank is gone.
    async fn restart(self, first: Option<Session>) -> Self {
        let Self { dir, bank, journal, limits, background, .. } = self;
        assert!(background.stop(Duration::from_secs(5)).await);
        drop((limits, journal));
        Self::at(dir, bank, first)
    }

    async fn permit(&self) -> Permit {
        self.limits.admit(&Admission { owners: &[], tokens: 0 }).await.unwrap()
    }

    async fn reserve(&self, dues: &[(&str, u64)]) -> Result<Hold, ReserveError> {
        self.permit().await.reserve(reservation(dues), Vec::new()).await
    }

    fn lines(&self) -> Vec<v1::AttemptRecord> {
        let batch = self.journal.backlog(Default::default(), usize::MAX, usize::MAX).unwrap();
        let records = batch.records.into_iter().map(|record| v1::UsageRecord::decode(record).unwrap().kind);
        records
            .filter_map(|kind| match kind {
                Some(usage_record::Kind::Attempt(record)) => Some(record),
                _ => None,
            })
            .collect()
    }

    fn affordable(&self, owner: &str) -> Option<u64> {
        self.limits.affordable(&account(owner)).map(|amount| amount.0)
    }
}

fn account(owner: &str) -> Account {
    Account { kind: AccountKind::KeyLimit, owner: owner.into(), period: Period::All }
}

fn reservation(dues: &[(&str, u64)]) -> Reservation {
    let due = |(owner, amount): &(&str, u64)| Due {
        account: account(owner),
        amount: NanoUsd(*amount),
        leased: *owner != "unleased",
    };
    Reservation {
        generation: GenerationId::generate(),
        attempt: 1,
        charges: dues.iter().map(due).collect(),
        cost_bound: NanoUsd(1),
        facts: Facts {
            tenant: TenantId::new("acme"),
            key: KeyId::new("k"),
            model: ModelId::new("a/b"),
            endpoint: EndpointId::new("p"),
            provider: ProviderId::new("p"),
            credential: CredentialId::new("c"),
            price: Arc::default(),
            tenant_price: None,
            price_revision: Arc::default(),
            markup_ppm: 0,
            started_at: DateTime::UNIX_EPOCH,
        },
        traceparent: String::new(),
    }
}

fn settlement(price: u64) -> Settlement {
    Settlement {
        cost: NanoUsd(price),
        price: NanoUsd(price),
        tokens: v1::TokenUsage::default(),
        provenance: v1::Provenance::ProviderFinal,
        outcome: "ok".into(),
        upstream_status: 200,
        ended_at: DateTime::UNIX_EPOCH,
        used: None,
        generation: None,
    }
}

#[tokio::test]
async fn unspent_money_serves_the_next_attempt_without_a_call() {
    let world = World::new(Bank::with(&[("k", 1000)]));
    for _ in 0..5 {
        let hold = world.reserve(&[("k", 400)]).await.unwrap();
        let settled = hold.settle(settlement(0));
        assert_eq!(settled, Settled { charged: NanoUsd(0), house: NanoUsd(0) });
    }
    assert_eq!(world.bank.calls(), 1);
    assert_eq!(world.lines().len(), 5);
}

#[tokio::test]
async fn an_exhausted_account_is_asked_at_most_once_a_second_until_it_changes() {
    let world = World::new(Bank::with(&[("k", 1000)]));
    world.reserve(&[("k", 900)]).await.unwrap().settle(settlement(900));
    for _ in 0..10 {
        let error = world.reserve(&[("k", 200)]).await.err().unwrap();
        assert!(matches!(error, ReserveError::Exhausted { affordable: NanoUsd(100), .. }), "{error}");
        assert_eq!(error.code().status().as_u16(), 402);
    }
    assert_eq!(world.bank.calls(), 2);
    world.bank.limits.lock().unwrap().insert("k".into(), 5000);
    assert!(world.reserve(&[("k", 200)]).await.is_err(), "the denial is still believed");
    world.limits.config_changed(&["k"]);
    assert!(world.reserve(&[("k", 200)]).await.is_ok());
}

#[tokio::test]
async fn charges_never_exceed_reservations() {
    let world = World::new(Bank::with(&[("k", 1000)]));
    let hold = world.reserve(&[("k", 400), ("unleased", 300)]).await.unwrap();
    assert_eq!(hold.reserved(), NanoUsd(400));
    let settled = hold.settle(settlement(500));
    assert_eq!(settled, Settled { charged: NanoUsd(400), house: NanoUsd(100) });
    let line = world.lines().remove(0);
    let charges: Vec<_> = line.charges.iter().map(|charge| (charge.charged_nano, charge.leased)).collect();
    assert_eq!((charges, line.house_nano), (vec![(400, true), (300, false)], 100));
}

#[tokio::test]
async fn a_dropped_hold_closes_as_interrupted_and_stays_charged() {
    let world = World::new(Bank::with(&[("k", 1000)]));
    drop(world.reserve(&[("k", 400)]).await.unwrap());
    let line = world.lines().remove(0);
    assert_eq!((line.outcome.as_str(), line.charge_nano), ("interrupted", 400));
    assert_eq!(line.provenance(), v1::Provenance::Interrupted);
    assert_eq!(world.affordable("k"), Some(600));
}

#[tokio::test]
async fn a_released_hold_is_a_line_of_nothing() {
    let world = World::new(Bank::with(&[("k", 1000)]));
    let hold = world.reserve(&[("k", 400)]).await.unwrap();
    hold.release("provider_unavailable", DateTime::UNIX_EPOCH, None);
    let line = world.lines().remove(0);
    assert_eq!((line.outcome.as_str(), line.charge_nano, line.cost_nano), ("provider_unavailable", 0, 0));
    assert_eq!(world.affordable("k"), Some(1000));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn concurrent_reservations_never_exceed_the_limit_and_share_calls() {
    let bank = Bank { delay: Duration::from_millis(20), ..Bank::with(&[("k", 1000)]) };
    let world = Arc::new(World::new(bank));
    let tasks = (0..50).map(|_| {
        let world = Arc::clone(&world);
        world.background.clone().spawn(async move { world.reserve(&[("k", 100)]).await.ok() })
    });
    let holds: Vec<Hold> = join_all(tasks).await.into_iter().filter_map(Result::unwrap).collect();
    assert_eq!(holds.len(), 10);
    assert!(world.bank.calls() < 15, "{} calls for 50 attempts", world.bank.calls());
    for hold in holds {
        hold.settle(settlement(100));
    }
    assert_eq!(world.lines().iter().map(|line| line.charge_nano).sum::<u64>(), 1000);
    assert!(world.reserve(&[("k", 1)]).await.is_err());
}

#[tokio::test]
async fn a_waiting_attempt_gets_what_another_gives_back() {
    let world = World::new(Bank { busy: AtomicBool::new(false), ..Bank::with(&[("k", 100)]) });
    let hold = world.reserve(&[("k", 100)]).await.unwrap();
    world.bank.busy.store(true, Ordering::SeqCst);
    let next = world.reserve(&[("k", 50)]);
    let settle = async {
        while world.bank.calls() < 3 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        hold.settle(settlement(10));
    };
    let (next, ()) = tokio::join!(next, settle);
    assert!(next.is_ok());
}

#[tokio::test]
async fn without_a_control_plane_only_leases_are_spent() {
    let world = World::new(Bank::with(&[("k", 1000)]));
    let hold = world.reserve(&[("k", 400)]).await.unwrap();
    world.bank.is_away.store(true, Ordering::SeqCst);
    hold.settle(settlement(100));
    assert!(world.reserve(&[("k", 300)]).await.is_ok());
    let start = Instant::now();
    let error = world.reserve(&[("k", 300)]).await.err().unwrap();
    assert_eq!((error.code().error_type(), error.code().status().as_u16()), ("budget_unavailable", 503));
    assert!(start.elapsed() < Duration::from_secs(4), "known at once, not after the longest wait");
    assert!(world.reserve(&[("unleased", 300)]).await.is_ok());
}

#[tokio::test]
async fn before_the_first_session_there_is_no_money() {
    let world = World::at(tempfile::tempdir().unwrap(), Arc::new(Bank::with(&[("k", 9)])), None);
    assert!(matches!(world.reserve(&[("k", 1)]).await, Err(ReserveError::Unavailable)));
    world.session.send_replace(session(1, "one"));
    assert!(world.reserve(&[("k", 1)]).await.is_ok());
}

#[tokio::test]
async fn unlimited_and_unknown_accounts_are_told_apart() {
    let world = World::new(Bank::with(&[]));
    for _ in 0..3 {
        world.reserve(&[("unlimited", 100)]).await.unwrap().settle(settlement(100));
    }
    assert_eq!(world.bank.calls(), 1);
    assert!(world.lines().iter().all(|line| !line.charges[0].leased && line.charge_nano == 100));
    let error = world.reserve(&[("stranger", 1)]).await.err().unwrap();
    assert!(matches!(error, ReserveError::UnknownAccount { .. }), "{error}");
}

#[tokio::test]
async fn all_accounts_pay_or_none() {
    let world = World::new(Bank::with(&[("rich", 1000), ("poor", 10)]));
    assert!(world.reserve(&[("rich", 100), ("poor", 100)]).await.is_err());
    assert_eq!(world.affordable("rich"), Some(1000));
    assert!(world.lines().is_empty());
    let hold = world.reserve(&[("rich", 100), ("poor", 10)]).await.unwrap();
    assert_eq!(hold.settle(settlement(20)), Settled { charged: NanoUsd(20), house: NanoUsd(0) });
    let charges: Vec<u64> = world.lines()[0].charges.iter().map(|charge| charge.charged_nano).collect();
    assert_eq!(charges, [20, 10]);
}

#[tokio::test]
async fn a_restart_keeps_leases_and_a_new_session_adds_to_them() {
    let world = World::new(Bank::with(&[("k", 1000)]));
    world.reserve(&[("k", 400)]).await.unwrap().settle(settlement(100));
    let world = world.restart(None).await;
    let hold = world.reserve(&[("k", 300)]).await.unwrap();
    assert_eq!(world.bank.calls(), 1, "paid by the lease of the last run");
    hold.settle(settlement(0));
    world.session.send_replace(session(2, "one"));
    let hold = world.reserve(&[("k", 500)]).await.unwrap();
    hold.settle(settlement(500));
    let epochs: Vec<u64> = world.lines().iter().map(|line| line.epoch).collect();
    assert_eq!(epochs, [1, 1, 2], "an attempt draws from one epoch");
    assert_eq!(world.affordable("k"), Some(300));
}

#[tokio::test]
async fn a_store_of_another_incarnation_voids_what_the_old_one_lent() {
    let world = World::new(Bank::with(&[("k", 1000)]));
    let under_way = world.reserve(&[("k", 300)]).await.unwrap();
    world.reserve(&[("k", 200)]).await.unwrap().settle(settlement(0));
    let world = { world.restart_seen(session(1, "two")).await };
    under_way.settle(settlement(0));
    world.bank.is_away.store(true, Ordering::SeqCst);
    assert!(world.reserve(&[("k", 1)]).await.is_err(), "nothing is left to spend");
    let world = world.restart(None).await;
    assert!(world.reserve(&[("k", 1)]).await.is_err(), "nor after a restart");
}

impl World {
    /// Waits until the new session is in force.
    async fn restart_seen(self, next: Option<Session>) -> Self {
        let incarnation = next.as_ref().map(|session| session.incarnation.clone());
        self.session.send_replace(next);
        while self.limits.leases.known_incarnation() != incarnation {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        self
    }
}

#[tokio::test]
async fn recalled_and_unneeded_leases_go_back() {
    let world = World::new(Bank::with(&[("k", 1000)]));
    world.reserve(&[("k", 400)]).await.unwrap().settle(settlement(100));
    world.limits.recall(&[account("k").to_proto()]);
    while world.bank.returned.load(Ordering::SeqCst) < 150 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    world.limits.close(Duration::from_secs(5)).await;
    assert_eq!(world.bank.returned.load(Ordering::SeqCst), 300);
    let world = world.restart(None).await;
    assert!(world.reserve(&[("k", 1)]).await.is_err(), "what went back is not found again");
}

#[tokio::test]
async fn a_grant_whose_answer_was_lost_goes_back_in_the_next_session() {
    let world = World::new(Bank::with(&[("k", 1000)]));
    world.reserve(&[("k", 100)]).await.unwrap().settle(settlement(100));
    world.bank.is_deaf.store(true, Ordering::SeqCst);
    assert!(matches!(world.reserve(&[("k", 300)]).await, Err(ReserveError::Unavailable)));
    world.bank.is_deaf.store(false, Ordering::SeqCst);
    let world = world.restart(session(2, "one")).await;
    world.journal.acknowledge(world.journal.written(), "one");
    while world.bank.returned.load(Ordering::SeqCst) < 300 {
        // Standing in for the shipper.
        world.journal.acknowledge(world.journal.written(), "one");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    while !world.journal.doubts_before(2).is_empty() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn an_answered_call_says_nothing_about_another_that_got_lost() {
    let world = World::new(Bank::default());
    let leases = &world.limits.leases;
    let doubt = |owner| leases.doubt([(account(owner), 1)].into_iter());
    let (back, ask) = (doubt("lost"), doubt("lost"));
    leases.ended(ask, true);
    leases.ended(back, false);
    let (back, _under_way) = (doubt("under way"), doubt("under way"));
    leases.ended(back, false);
    for calls in [doubt("answered"), doubt("lost")] {
        leases.ended(calls, false);
    }
    let mut doubts: Vec<_> =
        world.journal.doubts_before(2).into_iter().map(|(account, _)| account.owner.to_string()).collect();
    doubts.sort();
    assert_eq!(doubts, ["lost", "under way"]);
}

#[tokio::test]
async fn a_session_that_still_holds_money_is_not_closed() {
    let world = World::new(Bank::with(&[("k", 1000)]));
    let under_way = world.reserve(&[("k", 100)]).await.unwrap();
    world.bank.is_deaf.store(true, Ordering::SeqCst);
    assert!(world.reserve(&[("k", 300)]).await.is_err());
    world.bank.is_deaf.store(false, Ordering::SeqCst);
    world.session.send_replace(session(2, "one"));
    for _ in 0..3 {
        world.journal.acknowledge(world.journal.written(), "one");
        world.limits.leases.close_old(&world.background);
        tokio::task::yield_now().await;
    }
    assert_eq!(world.bank.returned.load(Ordering::SeqCst), 0);
    under_way.settle(settlement(100));
    while world.bank.returned.load(Ordering::SeqCst) < 400 {
        world.limits.leases.close_old(&world.background);
        world.journal.acknowledge(world.journal.written(), "one");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    // The bank knows nothing of charges, so what was charged goes back with the rest.
    assert_eq!(world.bank.returned.load(Ordering::SeqCst), 400);
}

#[tokio::test]
async fn money_that_attempts_hold_here_is_waited_for_and_not_called_spent() {
    let world = World::new(Bank::with(&[("k", 100)]));
    let hold = world.reserve(&[("k", 100)]).await.unwrap();
    let next = world.reserve(&[("k", 50)]);
    let settle = async {
        while world.bank.calls() < 2 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        hold.settle(settlement(10));
    };
    let (next, ()) = tokio::join!(next, settle);
    assert!(next.is_ok());
}

#[tokio::test]
async fn what_costs_nothing_needs_no_money() {
    let world = World::new(Bank::with(&[]));
    let hold = world.reserve(&[("k", 0)]).await.unwrap();
    assert_eq!(hold.settle(settlement(0)).house, NanoUsd(0));
    assert_eq!((world.bank.calls(), world.lines()[0].charges[0].leased), (0, false));
}

#[tokio::test]
async fn without_a_control_plane_leases_stay_at_shutdown() {
    let world = World::new(Bank::with(&[("k", 1000)]));
    world.reserve(&[("k", 400)]).await.unwrap().settle(settlement(100));
    world.bank.is_away.store(true, Ordering::SeqCst);
    world.limits.close(Duration::from_secs(5)).await;
    let world = world.restart(None).await;
    assert!(world.reserve(&[("k", 300)]).await.is_ok());
}

#[tokio::test]
async fn a_journal_without_room_costs_no_money() {
    let dir = tempfile::tempdir().unwrap();
    let settings = settings::Journal { max_bytes: 1, ..journal_settings() };
    let (journal, replay) = Journal::open(dir.path(), &settings).unwrap();
    let bank = Arc::new(Bank::with(&[("k", 1000)]));
    let (_sender, session) = watch::channel(session(1, "one"));
    let background = Background::new(tokio::runtime::Handle::current());
    let leases = settings::Leases {
        autonomy: Duration::from_secs(1),
        wait: Duration::from_secs(5),
        default_output_tokens: 1,
        idle: Duration::from_secs(60),
    };
    let rates = RateLimiter::memory();
    let parts = Parts { settings: leases, journal, replay, lender: bank, rates, session, background };
    let limits = Limits::new(parts);
    let error = limits.reserve(reservation(&[("k", 400)]), Vec::new()).await.err().unwrap();
    assert_eq!(error.code().error_type(), "journal_unavailable");
    assert_eq!(limits.affordable(&account("k")), Some(NanoUsd(1000)));
}
