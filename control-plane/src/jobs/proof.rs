//! Proves that balances are what the ledger adds up to.

use chrono::{DateTime, Utc};
use sqlx::PgPool;

use crate::{
    store::{
        StoreError,
        account::{self, CreditMismatch, Mismatch},
    },
    telemetry,
};

/// What does not add up; empty when all is well.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Proof {
    pub accounts: Vec<Mismatch>,
    pub credits: Vec<CreditMismatch>,
}

impl Proof {
    /// Whether everything adds up.
    pub fn holds(&self) -> bool {
        self.accounts.is_empty() && self.credits.is_empty()
    }
}

/// Adds up the ledger, account by account.
///
/// # Errors
/// [`StoreError::Unavailable`], among others.
pub async fn prove(pool: &PgPool) -> Result<Proof, StoreError> {
    Ok(Proof { accounts: account::prove(pool).await?, credits: account::prove_credits(pool).await? })
}

/// Proves and raises the alarm.
pub async fn run_once(pool: &PgPool, _now: DateTime<Utc>) -> anyhow::Result<()> {
    let proof = prove(pool).await?;
    telemetry::mismatches(proof.accounts.len() + proof.credits.len());
    for mismatch in &proof.accounts {
        tracing::error!(?mismatch, "an account is not what the ledger adds up to");
    }
    for mismatch in &proof.credits {
        tracing::error!(?mismatch, "a tenant's credits are not what the ledger adds up to");
    }
    Ok(())
}
