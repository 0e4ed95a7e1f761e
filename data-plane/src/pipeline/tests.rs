//! A panic within a request: it becomes an error of ours, and what was held when it came is booked once.

use std::time::Duration;

use chrono::DateTime;
use prost::Message;
use switchyard_proto::id::{CredentialId, EndpointId, GenerationId, KeyId, ModelId, ProviderId, TenantId};
use switchyard_proto::money::NanoUsd;
use switchyard_proto::v1::{self, usage_record};

use super::*;
use crate::background::Background;
use crate::journal::{Account, Period, Position, Replay};
use crate::limits::rates::RateLimiter;
use crate::limits::{Admission, Due, Facts, Parts, Permit, Reservation};
use crate::link::Link;
use crate::settings;

fn open(dir: &std::path::Path) -> (Arc<Journal>, Replay) {
    let settings = settings::Journal {
        max_bytes: 1 << 20,
        segment_bytes: 1 << 20,
        fsync_every: Duration::ZERO,
        keep_acknowledged: Duration::from_secs(3600),
        ship_every: Duration::from_secs(3600),
    };
    Journal::open(dir, &settings).unwrap()
}

/// A permit of a request whose tenant has no limit, so that nobody need be asked for money.
async fn permit(journal: &Arc<Journal>, replay: Replay, background: &Background) -> Permit {
    let link = Link::new("http://127.0.0.1:1", &settings::FleetTls::default(), background).unwrap();
    let settings = settings::Leases {
        autonomy: Duration::from_secs(900),
        wait: Duration::from_secs(1),
        default_output_tokens: 1,
        idle: Duration::from_secs(60),
    };
    let limits = Limits::new(Parts {
        settings,
        journal: Arc::clone(journal),
        replay,
        session: link.session(),
        lender: link,
        rates: RateLimiter::memory(),
        background: background.clone(),
    });
    limits.admit(&Admission { owners: &[], tokens: 0 }).await.unwrap()
}

fn reservation(generation: GenerationId) -> Reservation {
    let account = Account { kind: v1::AccountKind::TenantCredits, owner: "acme".into(), period: Period::All };
    Reservation {
        generation,
        attempt: 1,
        charges: vec![Due { account, amount: NanoUsd(400), leased: false }],
        cost_bound: NanoUsd(400),
        facts: Facts {
            tenant: TenantId::new("acme"),
            key: KeyId::new("k"),
            model: ModelId::new("a/b"),
            endpoint: EndpointId::new("e"),
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

/// Outcomes and charges.
type Lines = Vec<(String, u64)>;
/// Statuses and charges.
type Generations = Vec<(u32, u64)>;

fn written(journal: &Journal) -> (Lines, Generations) {
    let batch = journal.backlog(Position::default(), usize::MAX, usize::MAX).unwrap();
    let (mut lines, mut generations) = (Vec::new(), Vec::new());
    for record in batch.records {
        match v1::UsageRecord::decode(record).unwrap().kind.unwrap() {
            usage_record::Kind::Attempt(line) => lines.push((line.outcome, line.charge_nano)),
            usage_record::Kind::Generation(row) => generations.push((row.status, row.charge_nano)),
        }
    }
    (lines, generations)
}

#[tokio::test]
async fn a_panic_with_an_attempt_under_way_is_an_error_of_ours_and_one_line_at_its_reservation() {
    let dir = tempfile::tempdir().unwrap();
    let (journal, replay) = open(dir.path());
    let background = Background::new(tokio::runtime::Handle::current());
    let (permit, id) = (permit(&journal, replay, &background).await, GenerationId::generate());
    let serving = async {
        let _hold = permit.reserve(reservation(id), Vec::new()).await.unwrap();
        tokio::task::yield_now().await;
        panic!("in the middle of an attempt")
    };
    let error = guarded(serving).await.unwrap_err();
    assert_eq!((error.code, &*error.public), (ErrorCode::Server, "Internal error. Please try again."));
    let line = vec![("interrupted".to_owned(), 400)];
    assert_eq!(written(&journal), (line.clone(), vec![]));
    // What the one ending does then.
    let generation =
        v1::GenerationRecord { id: id.to_bytes(), status: 500, charge_nano: 400, ..Default::default() };
    journal.generation(&generation, "").unwrap();
    drop(permit);
    assert!(background.stop(Duration::from_secs(5)).await);
    drop(journal);
    let (journal, replay) = open(dir.path());
    assert_eq!(replay.interrupted, 0);
    assert_eq!(written(&journal), (line, vec![(500, 400)]), "and nothing again after a restart");
}
