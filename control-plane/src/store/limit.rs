//! SQL of account limits: what the operator or a tenant sets. Moving money is `store::account`'s business.

use switchyard_proto::id::TenantId;

use crate::{
    domain::{account::AccountKind, permission::Allowed},
    store::{StoreError, revision::Change},
};

/// An account whose limit is set.
pub struct Target<'a> {
    pub kind: AccountKind,
    pub owner: &'a str,
    pub period: &'a str,
    pub tenant: &'a TenantId,
}

/// Sets the limit of an account in one period, opening it where it is not there yet; `None`: no limit. For rights to
/// write the account's owner.
///
/// The row is always written, so that a grant which read the old limit cannot open the account with it afterwards.
pub async fn set<A>(
    change: &mut Change,
    _allowed: &Allowed<A>,
    target: Target<'_>,
    limit_nano: Option<i64>,
) -> Result<(), StoreError> {
    sqlx::query(
        "INSERT INTO accounts (kind, owner, period, tenant, limit_nano) VALUES ($1, $2, $3, $4, $5)
         ON CONFLICT (kind, owner, period) DO UPDATE SET limit_nano = excluded.limit_nano",
    )
    .bind(target.kind as i16)
    .bind(target.owner)
    .bind(target.period)
    .bind(target.tenant.as_str())
    .bind(limit_nano)
    .execute(change.connection())
    .await?;
    Ok(())
}
