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
    let Some(step) = follow::begin(&mut tx, FOLLOWER, now).await? else { return Ok(()) };
    rollup::take(&mut tx, &step).await?;
    follow::finish(&mut tx, &step).await?;
    tx.commit().await.map_err(StoreError::from)?;
    telemetry::rolled_up((now - step.complete_until).as_seconds_f64());
    Ok(())
}
