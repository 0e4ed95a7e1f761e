//! SQL of account limits: what the operator or a tenant sets. Moving money is `store::account`'s business.

use switchyard_proto::id::TenantId;

use crate::{
    domain::{account::AccountKind, ledger::AccountPeriod, permission::Allowed},
    store::{StoreError, instance, revision::Change},
};

/// An account whose limit is set.
pub struct Target<'a> {
    pub kind: AccountKind,
    pub owner: &'a str,
    pub period: &'a str,
    /// `None`: the operator's own.
    pub tenant: Option<&'a TenantId>,
}

/// Sets the limit of an account in one period, opening it where it is not there yet; `None`: no limit. For rights to
/// write the account's owner.
///
/// The row is always written, so that a grant which read the old limit cannot open the account with it afterwards.
/// Where more is lent than the limit now bears, everybody's idle money is asked back.
pub async fn set<A>(
    change: &mut Change,
    _allowed: &Allowed<A>,
    target: Target<'_>,
    limit_nano: Option<i64>,
) -> Result<(), StoreError> {
    let is_overlent: Option<bool> = sqlx::query_scalar(
        "INSERT INTO accounts (kind, owner, period, tenant, limit_nano) VALUES ($1, $2, $3, $4, $5)
         ON CONFLICT (kind, owner, period) DO UPDATE SET limit_nano = excluded.limit_nano
         RETURNING lent > greatest(limit_nano - charged - presumed, 0) / 2",
    )
    .bind(target.kind as i16)
    .bind(target.owner)
    .bind(target.period)
    .bind(target.tenant.map(TenantId::as_str).unwrap_or_default())
    .bind(limit_nano)
    .fetch_one(change.connection())
    .await?;
    if is_overlent == Some(true) {
        let account = AccountPeriod {
            kind: target.kind,
            owner: target.owner.to_owned(),
            period: target.period.to_owned(),
        };
        instance::recall(change.connection(), &account, instance::NOBODY).await?;
    }
    Ok(())
}
