//! Background jobs: each has a `run_once(pool, now)` for tests and commands, and here a rhythm.
//!
//! Jobs of several control planes on one store do no harm to each other.

use std::time::Duration;

use chrono::{DateTime, Utc};
use sqlx::PgPool;
use switchyard_proto::clock;
use tokio::time::{self, Instant, MissedTickBehavior};
use tokio_util::sync::CancellationToken;

use crate::{
    distribution::{Feed, feed},
    settings, telemetry,
    webhooks::send::Sender,
};

pub mod alerts;
pub mod deliver;
pub mod drift;
pub mod health;
pub mod partitions;
pub mod presume;
pub mod proof;
pub mod retention;
pub mod rollup;
pub mod tombstones;

/// Between two times of rolling up: usage is that old where it is not asked for to the second.
const ROLLUP: Duration = Duration::from_secs(2);
const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(60 * 60);
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// Runs all jobs until shutdown.
pub async fn run(
    (pool, sender): (PgPool, Sender),
    feed: Feed,
    settings: &settings::Settings,
    shutdown: CancellationToken,
) {
    let settings::Settings { money, drift, retention, .. } = settings;
    let jobs = async {
        tokio::join!(
            every(HOUR, "partitions", || partitions::run_once(&pool, clock::now())),
            every(HOUR, "tombstones", || tombstones::run_once(&pool, clock::now())),
            every(HOUR, "retention", || retention::run_once(&pool, clock::now(), *retention)),
            every(ROLLUP, "rollup", || rollup::run_once(&pool, clock::now())),
            every(ROLLUP, "alerts", || alerts::run_once(&pool, clock::now())),
            every(SECOND, "deliver", || deliver::run_once(&pool, &sender, clock::now())),
            every(HOUR, "deliveries", || deliver::forget(&pool, clock::now())),
            every(HOUR, "drift", || drift::run_once(&pool, clock::now(), drift.keep)),
            every(HOUR, "health", || health::run_once(&pool, clock::now())),
            every(DAY, "proof", || proof::run_once(&pool, clock::now())),
            presume_the_lost(&pool, &feed, *money),
        )
    };
    tokio::select! {
        () = shutdown.cancelled() => {}
        _ = jobs => {}
    }
}

async fn every<F>(period: Duration, name: &'static str, run: impl Fn() -> F)
where
    F: Future<Output = anyhow::Result<()>>,
{
    let mut ticks = time::interval(period);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        report(name, run().await);
    }
}

fn report(name: &'static str, outcome: anyhow::Result<()>) {
    telemetry::job(name, outcome.is_ok());
    if let Err(error) = outcome {
        tracing::warn!(job = name, error = format!("{error:#}"), "a job failed; it runs again later");
    }
}

/// Silence only counts while data planes could have been heard: after our own start, or an outage of the store,
/// everybody gets the whole grace period again.
async fn presume_the_lost(pool: &PgPool, feed: &Feed, money: settings::Money) {
    let period = MINUTE.min(money.presume_after.max(Duration::from_secs(1)));
    let mut ticks = time::interval(period);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    // Between two of these marks whoever is attached looks silent.
    let silence = money.presume_after + feed::TOUCH;
    let mut listening_since = Instant::now();
    loop {
        ticks.tick().await;
        if !feed.is_store_reachable() {
            listening_since = Instant::now();
        } else if listening_since.elapsed() >= silence {
            report("presume", presume::run_once(pool, clock::now(), silence).await);
        }
    }
}

/// A span of time before `now`.
fn before(now: DateTime<Utc>, span: Duration) -> DateTime<Utc> {
    chrono::TimeDelta::from_std(span)
        .ok()
        .and_then(|span| now.checked_sub_signed(span))
        .unwrap_or(DateTime::UNIX_EPOCH)
}
