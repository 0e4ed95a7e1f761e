//! The ledger as a whole: proven on demand, and nightly by a job.

use sqlx::PgPool;

use crate::{
    domain::{
        permission::{Actor, ProveLedger},
        proof::{Account, Balance, Difference, Of, Proof},
    },
    error::ServiceError,
    service::{State, allow},
    store::{
        self, StoreError,
        proof::{CreditMismatch, LineMismatch, Mismatch},
    },
};

/// Adds up every line and every lease.
pub async fn prove(state: &State, actor: &Actor) -> Result<Proof, ServiceError> {
    allow::<ProveLedger>(actor, None)?;
    Ok(prove_all(&state.pool).await?)
}

/// The proof itself, for whoever may.
///
/// # Errors
/// [`StoreError::Unavailable`], among others.
pub async fn prove_all(pool: &PgPool) -> Result<Proof, StoreError> {
    let (accounts, tenants, lines) = store::proof::sizes(pool).await?;
    let mut differences: Vec<Difference> =
        store::proof::accounts(pool).await?.iter().flat_map(of_account).collect();
    differences.extend(store::proof::credits(pool).await?.into_iter().map(of_credits));
    differences.extend(store::proof::lines(pool).await?.into_iter().map(of_line));
    let count = |number: i64| u64::try_from(number).unwrap_or(0);
    Ok(Proof { accounts: count(accounts), tenants: count(tenants), lines: count(lines), differences })
}

fn of_account(row: &Mismatch) -> Vec<Difference> {
    let account = Account { kind: row.kind, owner: row.owner.clone(), period: row.period.clone() };
    let balances = [
        (Balance::Charged, row.charged, row.charged_by_lines),
        (Balance::Presumed, row.presumed, row.presumed_by_lines),
        (Balance::Lent, row.lent, row.lent_by_leases),
    ];
    let differing = balances.into_iter().filter(|(_, recorded, proven)| recorded != proven);
    let difference = |(balance, recorded_nano, proven_nano)| Difference {
        of: Of::Account(account.clone(), balance),
        tenant: row.tenant.clone(),
        recorded_nano,
        proven_nano,
    };
    differing.map(difference).collect()
}

fn of_credits(row: CreditMismatch) -> Difference {
    Difference {
        of: Of::Credits,
        tenant: row.tenant,
        recorded_nano: row.credits,
        proven_nano: row.credits_by_lines,
    }
}

fn of_line(row: LineMismatch) -> Difference {
    Difference {
        of: Of::Line(row.id, row.attempt),
        tenant: row.tenant,
        recorded_nano: row.charge,
        proven_nano: row.charge_by_charges,
    }
}
