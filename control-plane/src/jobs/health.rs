//! Forgets how endpoints did long ago.

use std::time::Duration;

use chrono::{DateTime, Utc};
use sqlx::PgPool;

use crate::{jobs, store};

/// Counts by minute are kept for so long.
const KEEP: Duration = Duration::from_secs(30 * 24 * 60 * 60);
/// Sketches, of which only half an hour is ever read, and what data planes said last.
const KEEP_SKETCHES: Duration = Duration::from_secs(24 * 60 * 60);

/// Removes what is older.
pub async fn run_once(pool: &PgPool, now: DateTime<Utc>) -> anyhow::Result<()> {
    let mut db = pool.acquire().await?;
    store::health::forget(&mut db, jobs::before(now, KEEP), jobs::before(now, KEEP_SKETCHES)).await?;
    Ok(())
}
