//! Removes what was deleted a week ago; who has not heard of it by then is sent a full state.

use chrono::{DateTime, Utc};
use sqlx::PgPool;

use crate::{jobs, store::revision};

/// Removes old tombstones.
pub async fn run_once(pool: &PgPool, now: DateTime<Utc>) -> anyhow::Result<()> {
    let removed = revision::purge(pool, jobs::before(now, revision::TOMBSTONES_KEPT)).await?;
    if removed > 0 {
        tracing::info!(removed, "tombstones are removed");
    }
    Ok(())
}
