//! Shipping to a scripted control plane.

use std::sync::{
    Mutex,
    atomic::{AtomicU64, Ordering},
};

use bytes::Bytes;
use prost::Message;
use switchyard_proto::id::InstanceId;

use super::*;

/// Fails a number of times, then books.
#[derive(Default)]
struct Ledger {
    failures: AtomicU64,
    booked: Mutex<Vec<Bytes>>,
    largest: AtomicU64,
    drift: Mutex<Vec<v1::DriftCount>>,
}

impl Sink for Ledger {
    fn report(&self, request: v1::ReportRequest) -> BoxFuture<'_, Result<v1::ReportResponse, CallError>> {
        let left = self.failures.load(Ordering::SeqCst);
        if left > 0 {
            self.failures.store(left - 1, Ordering::SeqCst);
            return Box::pin(async { Err(CallError::Away) });
        }
        self.largest.fetch_max(request.records.len() as u64, Ordering::SeqCst);
        self.booked.lock().unwrap().extend(request.records);
        Box::pin(async { Ok(v1::ReportResponse::default()) })
    }

    fn report_drift(
        &self,
        request: v1::ReportDriftRequest,
    ) -> BoxFuture<'_, Result<v1::ReportDriftResponse, CallError>> {
        self.drift.lock().unwrap().extend(request.findings);
        Box::pin(async { Ok(v1::ReportDriftResponse::default()) })
    }
}

impl Ledger {
    fn statuses(&self) -> Vec<u32> {
        let booked = self.booked.lock().unwrap();
        let status = |record: &Bytes| match v1::UsageRecord::decode(record.clone()).unwrap().kind {
            Some(v1::usage_record::Kind::Generation(record)) => record.status,
            _ => panic!("only generations are written here"),
        };
        booked.iter().map(status).collect()
    }
}

fn settings() -> settings::Journal {
    settings::Journal {
        max_bytes: 64 << 20,
        segment_bytes: 16 << 10,
        fsync_every: Duration::ZERO,
        keep_acknowledged: Duration::from_secs(3600),
        ship_every: Duration::from_millis(10),
    }
}

fn no_drift(background: &Background) -> Arc<Drift> {
    Drift::start(&settings::Drift { first: 0, sample: 0.0, max_bytes: 0 }, background)
}

fn session(incarnation: &str) -> Option<Session> {
    let incarnation = incarnation.to_owned();
    Some(Session { instance: InstanceId::new("dp_1"), epoch: 1, incarnation, released_epoch: 0 })
}

fn write(journal: &Journal, statuses: impl IntoIterator<Item = u32>) {
    for status in statuses {
        journal.generation(&v1::GenerationRecord { status, ..Default::default() }, "").unwrap();
    }
}

#[tokio::test]
async fn everything_arrives_once_and_in_order_in_spite_of_failures() {
    let dir = tempfile::tempdir().unwrap();
    let (journal, _) = Journal::open(dir.path(), &settings()).unwrap();
    write(&journal, 1..=1200);
    let ledger = Arc::new(Ledger { failures: AtomicU64::new(2), ..Ledger::default() });
    let (_sender, session) = watch::channel(session("one"));
    let background = Background::new(tokio::runtime::Handle::current());
    let shipper = Shipper::start_to(
        Arc::clone(&journal),
        no_drift(&background),
        ledger.clone(),
        session,
        &settings(),
        &background,
    );
    assert!(shipper.drain(Duration::from_secs(10)).await);
    assert_eq!(ledger.statuses(), (1..=1200).collect::<Vec<_>>());
    assert!(ledger.largest.load(Ordering::SeqCst) <= 500);
    write(&journal, [7]);
    assert!(shipper.drain(Duration::from_secs(10)).await);
    assert_eq!(ledger.statuses().last(), Some(&7));
    assert!(background.stop(Duration::from_secs(5)).await);
}

#[tokio::test]
async fn large_records_go_in_many_batches_one_right_after_the_other() {
    let dir = tempfile::tempdir().unwrap();
    let settings = settings::Journal { ship_every: Duration::from_secs(3600), ..settings() };
    let (journal, _) = Journal::open(dir.path(), &settings).unwrap();
    for status in 1..=30 {
        let decision = "x".repeat(200 << 10);
        journal.generation(&v1::GenerationRecord { status, decision, ..Default::default() }, "").unwrap();
    }
    let ledger = Arc::new(Ledger::default());
    let (_sender, session) = watch::channel(session("one"));
    let background = Background::new(tokio::runtime::Handle::current());
    let shipper =
        Shipper::start_to(journal, no_drift(&background), ledger.clone(), session, &settings, &background);
    assert!(shipper.drain(Duration::from_secs(20)).await);
    assert_eq!(ledger.statuses(), (1..=30).collect::<Vec<_>>());
    assert!(ledger.largest.load(Ordering::SeqCst) < 10, "a message has its bounds");
    assert!(background.stop(Duration::from_secs(5)).await);
}

#[tokio::test]
async fn what_was_not_acknowledged_is_sent_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let ledger = Arc::new(Ledger::default());
    for (round, statuses) in [[1, 2], [3, 4]].into_iter().enumerate() {
        let (journal, _) = Journal::open(dir.path(), &settings()).unwrap();
        write(&journal, statuses);
        // The first round has no session: nothing may be sent.
        let (_sender, session) = watch::channel(session("one").filter(|_| round == 1));
        let background = Background::new(tokio::runtime::Handle::current());
        let shipper = Shipper::start_to(
            journal,
            no_drift(&background),
            ledger.clone(),
            session,
            &settings(),
            &background,
        );
        let within = Duration::from_millis(if round == 1 { 10_000 } else { 50 });
        assert_eq!(shipper.drain(within).await, round == 1);
        assert!(background.stop(Duration::from_secs(5)).await);
    }
    assert_eq!(ledger.statuses(), [1, 2, 3, 4]);
}

#[tokio::test]
async fn a_restored_store_hears_everything_again() {
    let dir = tempfile::tempdir().unwrap();
    let (journal, _) = Journal::open(dir.path(), &settings()).unwrap();
    write(&journal, [1, 2]);
    let ledger = Arc::new(Ledger::default());
    let (sender, receiver) = watch::channel(session("one"));
    let background = Background::new(tokio::runtime::Handle::current());
    let shipper =
        Shipper::start_to(journal, no_drift(&background), ledger.clone(), receiver, &settings(), &background);
    assert!(shipper.drain(Duration::from_secs(10)).await);
    sender.send_replace(session("two"));
    let start = Instant::now();
    while ledger.statuses() != [1, 2, 1, 2] {
        assert!(start.elapsed() < Duration::from_secs(10), "{:?}", ledger.statuses());
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert!(background.stop(Duration::from_secs(5)).await);
}
