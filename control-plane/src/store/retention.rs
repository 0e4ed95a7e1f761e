//! SQL of dropping old days. What their ledger lines added up to stays in `ledger_openings` and `credit_openings`.

use chrono::NaiveDate;
use sqlx::PgPool;

use crate::store::StoreError;

/// What is partitioned by day.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Parent {
    Lines,
    Generations,
}

impl Parent {
    /// The table's name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Lines => "lines",
            Self::Generations => "generations",
        }
    }
}

/// Days that have a partition, oldest first.
pub async fn days(pool: &PgPool, parent: Parent) -> Result<Vec<NaiveDate>, StoreError> {
    let names: Vec<String> = sqlx::query_scalar(
        "SELECT c.relname::text FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
         WHERE i.inhparent = $1::regclass ORDER BY c.relname",
    )
    .bind(parent.as_str())
    .fetch_all(pool)
    .await?;
    let day = |name: &String| NaiveDate::parse_from_str(name.rsplit('_').next()?, "%Y%m%d").ok();
    Ok(names.iter().filter_map(day).collect())
}

/// Drops a day; false where something of it is not rolled up yet.
///
/// # Errors
/// [`StoreError::Raced`] where somebody reads the table for longer than this waits.
pub async fn drop_day(pool: &PgPool, parent: Parent, day: NaiveDate) -> Result<bool, StoreError> {
    let mut tx = pool.begin().await?;
    // Whoever books queues behind this wait.
    sqlx::query("SET LOCAL lock_timeout = '1s'").execute(&mut *tx).await?;
    let is_dropped = sqlx::query_scalar("SELECT drop_day($1, $2)")
        .bind(parent.as_str())
        .bind(day)
        .fetch_one(&mut *tx)
        .await?;
    tx.commit().await?;
    Ok(is_dropped)
}
