//! Proves that balances are what the ledger adds up to.

use chrono::{DateTime, Utc};
use sqlx::PgPool;

use crate::{service::ledger, telemetry};

/// Proves and raises the alarm.
pub async fn run_once(pool: &PgPool, _now: DateTime<Utc>) -> anyhow::Result<()> {
    let proof = ledger::prove_all(pool).await?;
    telemetry::mismatches(proof.differences.len());
    for difference in &proof.differences {
        tracing::error!(?difference, "the ledger does not add up");
    }
    Ok(())
}
