//! SQL of credit movements: their ledger lines, and the memory that makes a repeated call harmless.

use switchyard_proto::id::TenantId;
use uuid::Uuid;

use crate::{
    domain::{
        account::{AccountKind, WHOLE_LIFE},
        permission::{Allowed, MoveCredits},
        report::CreditKind,
    },
    store::{StoreError, revision::Change},
};

/// Credits granted, or taken back when negative.
pub struct Movement<'a> {
    pub tenant: &'a TenantId,
    pub amount_nano: i64,
    pub kind: CreditKind,
    pub reason: &'a str,
    /// Empty: none.
    pub idempotency_key: &'a str,
    /// The ledger line's id.
    pub line: Uuid,
}

/// Claims a movement's idempotency key; answers the amount of the movement that had it before, if one had.
///
/// Waits for a change that is claiming the same key.
pub async fn claim(
    change: &mut Change,
    _allowed: &Allowed<MoveCredits>,
    movement: &Movement<'_>,
) -> Result<Option<i64>, StoreError> {
    let claimed = sqlx::query(
        "INSERT INTO credit_requests (tenant, idempotency_key, amount_nano, line) VALUES ($1, $2, $3, $4)
         ON CONFLICT (tenant, idempotency_key) DO NOTHING",
    )
    .bind(movement.tenant.as_str())
    .bind(movement.idempotency_key)
    .bind(movement.amount_nano)
    .bind(movement.line)
    .execute(change.connection())
    .await?;
    if claimed.rows_affected() == 1 {
        return Ok(None);
    }
    let amount = sqlx::query_scalar(
        "SELECT amount_nano FROM credit_requests WHERE tenant = $1 AND idempotency_key = $2",
    )
    .bind(movement.tenant.as_str())
    .bind(movement.idempotency_key)
    .fetch_one(change.connection())
    .await?;
    Ok(Some(amount))
}

/// Writes a movement's ledger line; granted credits are a negative charge.
pub async fn add_line(
    change: &mut Change,
    allowed: &Allowed<MoveCredits>,
    movement: &Movement<'_>,
) -> Result<(), StoreError> {
    sqlx::query(
        "INSERT INTO lines (id, attempt, kind, tenant, payer_kind, payer_owner, payer_period, charge_nano, reason, actor,
             credit)
         VALUES ($1, 0, 'credit', $2, $3, $2, $4, $5, $6, $7, $8)",
    )
    .bind(movement.line)
    .bind(movement.tenant.as_str())
    .bind(AccountKind::TenantCredits as i16)
    .bind(WHOLE_LIFE)
    .bind(-movement.amount_nano)
    .bind(movement.reason)
    .bind(allowed.actor())
    .bind(movement.kind.as_str())
    .execute(change.connection())
    .await?;
    Ok(())
}

/// What of a tenant's credits is charged, presumed or lent; it stays so until the change ends.
pub async fn taken(
    change: &mut Change,
    _allowed: &Allowed<MoveCredits>,
    tenant: &TenantId,
) -> Result<i64, StoreError> {
    let taken: Option<i64> = sqlx::query_scalar(
        "SELECT charged + presumed + lent FROM accounts WHERE kind = $1 AND owner = $2 AND period = $3 FOR UPDATE",
    )
    .bind(AccountKind::TenantCredits as i16)
    .bind(tenant.as_str())
    .bind(WHOLE_LIFE)
    .fetch_optional(change.connection())
    .await?;
    Ok(taken.unwrap_or(0))
}
