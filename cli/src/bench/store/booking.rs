//! The load: batches of usage records at a steady rate, booked by the control plane's own function.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use prost::Message;
use rand::{SeedableRng, rngs::StdRng};
use sqlx::PgPool;
use switchyard_control_plane::{domain::lending::Holder, money::ingest::Ingest};
use switchyard_proto::{clock, v1};
use tokio::{
    task::JoinSet,
    time::{MissedTickBehavior, interval},
};

use crate::bench::store::{StoreError, asking::Samples, fill::Made};

/// Data planes that report, each a batch at a time.
const PLANES: usize = 4;
/// Between two batches of one data plane.
const EVERY: Duration = Duration::from_millis(1_000);

/// How much comes.
#[derive(Debug, Clone, Copy)]
pub struct Load {
    /// Requests per second; each is a ledger line and a finished request.
    pub rate: u64,
    pub seconds: u64,
}

/// What became of it.
pub struct Booked {
    pub requests: u64,
    pub took: Duration,
    pub batch: u64,
    pub batches: Samples,
    /// How far the slowest data plane was behind its time at the end.
    pub behind: Duration,
}

/// Books for so many seconds.
pub async fn run(pool: &PgPool, load: Load) -> Result<Booked, StoreError> {
    let ingest = Arc::new(Ingest::new(pool.clone()));
    let batch = load.rate.div_ceil(PLANES as u64);
    let began = Instant::now();
    let mut planes = JoinSet::new();
    for number in 0..PLANES {
        let instance = format!("bench-{number}");
        sqlx::query(
            "INSERT INTO instances (id, epoch, replica, attached, attached_at, last_seen)
             VALUES ($1, 1, gen_random_uuid(), false, now(), now()) ON CONFLICT (id) DO UPDATE SET epoch = 1",
        )
        .bind(&instance)
        .execute(pool)
        .await?;
        planes.spawn(report(ingest.clone(), instance, (batch, load.seconds)));
    }
    let mut all = Booked {
        requests: 0,
        took: Duration::ZERO,
        batch,
        batches: Samples::default(),
        behind: Duration::ZERO,
    };
    while let Some(done) = planes.join_next().await {
        let (times, behind) = done.map_err(std::io::Error::other)??;
        all.requests += times.len() as u64 * batch;
        all.behind = all.behind.max(behind);
        times.into_iter().for_each(|took| all.batches.take(took));
    }
    all.took = began.elapsed();
    Ok(all)
}

/// One data plane: a batch a second, one at a time, as the journal ships them.
async fn report(
    ingest: Arc<Ingest>,
    instance: String,
    (batch, seconds): (u64, u64),
) -> Result<(Vec<Duration>, Duration), StoreError> {
    let holder = Holder { instance: instance.clone(), epoch: 1 };
    let mut dice = StdRng::from_os_rng();
    let mut ticks = interval(EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
    let (began, mut times) = (Instant::now(), Vec::new());
    for _ in 0..seconds {
        ticks.tick().await;
        let records = (0..batch).flat_map(|_| records(&instance, &mut dice)).collect::<Vec<_>>();
        let start = Instant::now();
        let booked = ingest.report(&holder, &records, clock::now()).await;
        let booked = booked.map_err(|error| StoreError::Booking(error.to_string()))?;
        if booked.booked != 2 * batch {
            return Err(StoreError::Booking(format!("{booked:?} of {batch} requests")));
        }
        times.push(start.elapsed());
    }
    // The last batch was due a second before the end.
    let due = EVERY.saturating_mul(u32::try_from(seconds.saturating_sub(1)).unwrap_or(u32::MAX));
    Ok((times, began.elapsed().saturating_sub(due)))
}

/// A request's ledger line and its end, as they come off a journal.
fn records(instance: &str, dice: &mut StdRng) -> [Vec<u8>; 2] {
    let now = clock::now();
    let made = Made::at(u64::try_from(now.timestamp_millis()).unwrap_or(0), dice);
    let (id, tenant, key) = (made.id.as_bytes().to_vec(), made.tenant(), made.key());
    let charge = |kind: v1::AccountKind, owner: &str| v1::Charge {
        account: Some(v1::AccountPeriod {
            kind: kind.into(),
            owner: owner.to_owned(),
            period: "all".to_owned(),
        }),
        charged_nano: made.charge_nano,
        reserved_nano: made.charge_nano,
        leased: false,
    };
    let tokens =
        Some(v1::TokenUsage { prompt: made.prompt, completion: made.completion, ..Default::default() });
    let at = Some(clock::to_timestamp(now));
    let attempt = v1::AttemptRecord {
        generation: id.clone(),
        attempt: 1,
        instance: instance.to_owned(),
        epoch: 1,
        tenant: tenant.clone(),
        key: key.clone(),
        model: made.model(),
        endpoint: made.provider(),
        provider: made.provider(),
        credential: "cred_1".to_owned(),
        charges: vec![
            charge(v1::AccountKind::TenantCredits, &tenant),
            charge(v1::AccountKind::KeyLimit, &key),
        ],
        cost_nano: made.charge_nano,
        charge_nano: made.charge_nano,
        reserved_nano: made.charge_nano,
        tokens,
        provenance: v1::Provenance::ProviderFinal.into(),
        price: Some(v1::Price { input: "0.25".to_owned(), output: "2".to_owned(), ..Default::default() }),
        outcome: "ok".to_owned(),
        upstream_status: 200,
        started_at: at,
        ended_at: at,
        ..Default::default()
    };
    let generation = v1::GenerationRecord {
        id,
        instance: instance.to_owned(),
        region: "eu".to_owned(),
        tenant,
        key,
        requested_model: made.model(),
        model: made.model(),
        provider: made.provider(),
        surface: "chat_completions".to_owned(),
        streamed: true,
        status: 200,
        finish_reason: "stop".to_owned(),
        tokens,
        cost_nano: made.charge_nano,
        charge_nano: made.charge_nano,
        attempts: 1,
        admitted_at: at,
        first_content_ms: 350,
        duration_ms: 1_800,
        user: made.user(),
        user_agent: "bench/1.0".to_owned(),
        ..Default::default()
    };
    [v1::usage_record::Kind::Attempt(attempt), v1::usage_record::Kind::Generation(generation)]
        .map(|kind| v1::UsageRecord { kind: Some(kind) }.encode_to_vec())
}
