//! Forgets drift that was not seen for long: the provider has stopped, or an adapter has learnt it.

use std::time::Duration;

use chrono::{DateTime, Utc};
use sqlx::PgPool;

use crate::{jobs, store};

/// Removes what was last seen longer ago than `keep`.
pub async fn run_once(pool: &PgPool, now: DateTime<Utc>, keep: Duration) -> anyhow::Result<()> {
    let mut db = pool.acquire().await?;
    let removed = store::drift::forget(&mut db, jobs::before(now, keep)).await?;
    if removed > 0 {
        tracing::info!(removed, "drift that was not seen for long is forgotten");
    }
    Ok(())
}
