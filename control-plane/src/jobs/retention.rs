//! Drops days that are older than they are kept: of finished requests, and of ledger lines, whose sums stay.

use chrono::{DateTime, Days, Utc};
use sqlx::PgPool;

use crate::{
    settings::Retention,
    store::retention::{self, Parent},
};

/// Drops what is too old, oldest first; a day that is not rolled up yet, and those after it, wait.
pub async fn run_once(pool: &PgPool, now: DateTime<Utc>, kept: Retention) -> anyhow::Result<()> {
    for (parent, days) in [(Parent::Generations, kept.generations_days), (Parent::Lines, kept.lines_days)] {
        let first_kept = now.date_naive().checked_sub_days(Days::new(days.into()));
        let Some(first_kept) = first_kept.filter(|_| days > 0) else { continue };
        for day in retention::days(pool, parent).await?.into_iter().filter(|day| *day < first_kept) {
            if !retention::drop_day(pool, parent, day).await? {
                tracing::warn!(table = parent.as_str(), %day, "an old day is not rolled up yet, so it stays");
                break;
            }
            tracing::info!(table = parent.as_str(), %day, "an old day is dropped");
        }
    }
    Ok(())
}
