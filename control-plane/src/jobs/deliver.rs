//! Sends the events that are due to their webhooks: each at least once, however often it takes.

use std::time::Duration;

use chrono::{DateTime, Utc};
use futures_util::future::join_all;
use sqlx::PgPool;

use crate::{
    jobs,
    store::{
        StoreError,
        delivery::{self, Due, Outcome},
    },
    telemetry,
    webhooks::send::Sender,
};

/// Tries that are under way at once.
const AT_ONCE: i64 = 16;
/// What a try has beyond its own time to be written down, before another process takes it for lost.
const SLACK: Duration = Duration::from_secs(15);
/// What was sent is shown for so long.
const KEPT: Duration = Duration::from_secs(30 * 24 * 60 * 60);

/// Tries all that is due, some at a time.
pub async fn run_once(pool: &PgPool, sender: &Sender, now: DateTime<Utc>) -> anyhow::Result<()> {
    loop {
        let mut db = pool.acquire().await.map_err(StoreError::from)?;
        let due = delivery::take_due(&mut db, AT_ONCE, sender.timeout() + SLACK, now).await?;
        drop(db);
        if due.is_empty() {
            return Ok(());
        }
        let outcomes = join_all(due.iter().map(|due| sender.send(due, now, rand::random()))).await;
        let mut db = pool.acquire().await.map_err(StoreError::from)?;
        for (due, outcome) in due.iter().zip(&outcomes) {
            tell(due, outcome);
            delivery::settle(&mut db, due, outcome, now).await?;
        }
    }
}

fn tell(due: &Due, outcome: &Outcome) {
    match (outcome.error.is_empty(), outcome.again_at) {
        (true, _) => telemetry::sent("delivered"),
        (false, Some(_)) => telemetry::sent("again"),
        (false, None) => {
            telemetry::sent("failed");
            let (delivery, error) = (due.id, &outcome.error);
            tracing::warn!(%delivery, error, tries = due.tries, "an event could not be delivered to its webhook");
        }
    }
}

/// Forgets what was sent long ago.
pub async fn forget(pool: &PgPool, now: DateTime<Utc>) -> anyhow::Result<()> {
    let mut db = pool.acquire().await.map_err(StoreError::from)?;
    delivery::forget(&mut db, jobs::before(now, KEPT)).await?;
    Ok(())
}
