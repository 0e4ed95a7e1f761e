//! Proves that balances are what the ledger adds up to.

use chrono::{DateTime, Utc};
use sqlx::PgPool;

use crate::{service::ledger, telemetry};

/// Differences that are logged one by one; `switchyard ledger prove` shows more.
const MOST_LOGGED: usize = 20;

/// Proves and raises the alarm.
pub async fn run_once(pool: &PgPool, _now: DateTime<Utc>) -> anyhow::Result<()> {
    let proof = ledger::prove_all(pool).await?;
    telemetry::mismatches(proof.differences.len());
    let found = proof.differences.len();
    for difference in proof.differences.iter().take(MOST_LOGGED) {
        tracing::error!(?difference, found, "the ledger does not add up");
    }
    Ok(())
}
