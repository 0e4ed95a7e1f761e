//! Makes partitions of the ledger ahead of time, so that nobody who books has to.

use chrono::{DateTime, TimeDelta, Utc};
use sqlx::PgPool;

use crate::store;

/// Days ahead: what a control plane may be away for without slowing the first batch of a day.
const AHEAD: i64 = 7;

/// Makes what is missing from yesterday on.
pub async fn run_once(pool: &PgPool, now: DateTime<Utc>) -> anyhow::Result<()> {
    for day in -1..=AHEAD {
        store::ingest::ensure_partitions(pool, (now + TimeDelta::days(day)).date_naive()).await?;
    }
    Ok(())
}
