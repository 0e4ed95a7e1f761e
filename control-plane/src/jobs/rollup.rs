//! Rolls up what was booked since the last time. Runs beside the ledger, never in its transactions.

use chrono::{DateTime, Utc};
use sqlx::PgPool;

use crate::{
    store::{StoreError, follow, report::FOLLOWER, rollup},
    telemetry,
};

/// Takes what is new; whoever else is at it does the work, and this does nothing.
pub async fn run_once(pool: &PgPool, now: DateTime<Utc>) -> anyhow::Result<()> {
    let mut tx = pool.begin().await.map_err(StoreError::from)?;
    let complete_until = match follow::begin(&mut tx, FOLLOWER, now).await? {
        None => follow::complete_until(&mut tx, FOLLOWER).await?,
        Some(step) => {
            rollup::take(&mut tx, &step).await?;
            follow::finish(&mut tx, &step).await?;
            step.complete_until
        }
    };
    tx.commit().await.map_err(StoreError::from)?;
    // Also where nothing was taken: a transaction that never ends keeps it from being complete.
    telemetry::rolled_up((now - complete_until).as_seconds_f64());
    Ok(())
}
