//! SQL of account limits: what the operator or a tenant sets. Moving money is `store::account`'s business.

use std::collections::BTreeMap;

use sqlx::{PgConnection, types::Json};
use switchyard_proto::{id::TenantId, window::Window};

use crate::{
    domain::{
        account::AccountKind,
        ledger::AccountPeriod,
        lending::{self, Balance, Others},
        permission::Allowed,
    },
    store::{StoreError, account, instance, revision::Change, window},
};

/// An account's limit from its running period on.
#[derive(Debug, Clone)]
pub struct Limit {
    /// Whose the account is; `None`: the operator's own.
    pub tenant: Option<TenantId>,
    /// `None`: no limit.
    pub nano: Option<i64>,
}

/// Limits by the account of their running period.
pub(in crate::store) type Limits = BTreeMap<AccountPeriod, Limit>;

/// Sets a limit when the change commits, opening the account where it is not there yet. For rights to write the account's
/// owner.
pub fn set<A>(change: &mut Change, _allowed: &Allowed<A>, account: AccountPeriod, limit: Limit) {
    change.limit(account, limit);
}

/// Sets the limits of a change in one sweep: rows are locked in the order that everybody locks them in, and after the
/// series of their windows, so that no loan and no change wait for each other.
///
/// The rows are always written, so that a grant which read an old limit cannot open an account with it afterwards. Where
/// more is lent than a limit now bears, everybody's idle money is asked back, and so is what lies in periods that are over.
pub(in crate::store) async fn write(db: &mut PgConnection, limits: &Limits) -> Result<(), StoreError> {
    if limits.is_empty() {
        return Ok(());
    }
    let accounts: Vec<&AccountPeriod> = limits.keys().collect();
    window::lock(db, &accounts).await?;
    upsert(db, limits).await?;
    let lent = account::lent(db, &accounts).await?;
    let others = window::others(db, &accounts).await?;
    for account in limits.iter().flat_map(|limit| asked_back(limit, &lent, &others)) {
        instance::recall(db, account, instance::NOBODY).await?;
    }
    Ok(())
}

async fn upsert(db: &mut PgConnection, limits: &Limits) -> Result<(), StoreError> {
    let row = |(account, limit): (&AccountPeriod, &Limit)| {
        serde_json::json!({
            "kind": account.kind as i16,
            "owner": account.owner,
            "period": account.period,
            "tenant": limit.tenant.as_ref().map(TenantId::as_str).unwrap_or_default(),
            "limit_nano": limit.nano,
        })
    };
    sqlx::query(
        "INSERT INTO accounts (kind, owner, period, tenant, limit_nano)
         SELECT kind, owner, period, tenant, limit_nano
         FROM jsonb_to_recordset($1) AS w(kind smallint, owner text, period text, tenant text, limit_nano bigint)
         ORDER BY kind = 6, kind, owner, period
         ON CONFLICT (kind, owner, period) DO UPDATE SET limit_nano = excluded.limit_nano",
    )
    .bind(Json(limits.iter().map(row).collect::<Vec<_>>()))
    .execute(db)
    .await?;
    Ok(())
}

/// The periods of a limit whose idle money is asked back, of those of which something is lent.
fn asked_back<'a>(
    (running, limit): (&AccountPeriod, &Limit),
    lent: &'a BTreeMap<AccountPeriod, Balance>,
    others: &BTreeMap<AccountPeriod, Others>,
) -> Vec<&'a AccountPeriod> {
    let own = lent.get(running).copied().unwrap_or_default();
    let whole = Balance { limit: limit.nano, ..own };
    let whole = others.get(running).map_or(whole, |others| whole.with(others));
    let is_overlent = lending::is_overlent(&whole);
    let counts = |account: &AccountPeriod| {
        let slots = lending::slot(account).zip(lending::slot(running));
        account == running || slots.is_some_and(|(one, other)| one.is_neighbour_of(other))
    };
    lent.keys().filter(|account| is_of(account, running) && (is_overlent || !counts(account))).collect()
}

/// Whether two accounts are one limit's in two of its periods.
fn is_of(account: &AccountPeriod, running: &AccountPeriod) -> bool {
    let is_of_window = || Window::of_period(&account.period) == Window::of_period(&running.period);
    (account.kind, &account.owner) == (running.kind, &running.owner)
        && (running.kind != AccountKind::TenantBudget || is_of_window())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn budget(period: &str) -> AccountPeriod {
        AccountPeriod { kind: AccountKind::TenantBudget, owner: "acme".into(), period: period.into() }
    }

    /// What is asked back of an account that nothing was charged of, under this limit.
    fn check(running: &str, nano: Option<i64>, lent: &[(&str, i64)], others: Option<i64>) -> Vec<String> {
        let limit = Limit { tenant: None, nano };
        let balance = |lent| Balance { lent, ..Balance::default() };
        let lent = lent.iter().map(|(period, lent)| (budget(period), balance(*lent))).collect();
        let others = others.map(|lent| (budget(running), Others { lent, ..Others::default() }));
        let found = asked_back((&budget(running), &limit), &lent, &others.into_iter().collect());
        found.into_iter().map(|account| account.period.clone()).collect()
    }

    #[test]
    fn what_a_limit_does_not_bear_is_asked_back_and_what_is_over_always() {
        let days = [("2026-11-22", 1), ("2026-11-23", 50), ("2026-11", 90)];
        assert_eq!(check("2026-11-23", Some(100), &days, None), ["2026-11-22"]);
        assert_eq!(check("2026-11-23", Some(99), &days, None), ["2026-11-22", "2026-11-23"]);
        assert_eq!(check("2026-11-23", None, &days, None), ["2026-11-22", "2026-11-23"]);
        assert_eq!(check("2026-W48", Some(0), &days, None), [""; 0]);
    }

    #[test]
    fn slots_of_a_rolling_window_are_asked_back_together() {
        let slots = [
            ("2h/2026-11-23T07", 1),
            ("2h/2026-11-23T09", 30),
            ("2h/2026-11-23T10", 20),
            ("3h/2026-11-23T10", 9),
        ];
        let of = |limit| check("2h/2026-11-23T10", Some(limit), &slots, Some(30));
        assert_eq!(of(100), ["2h/2026-11-23T07"]);
        assert_eq!(of(99), ["2h/2026-11-23T07", "2h/2026-11-23T09", "2h/2026-11-23T10"]);
    }
}
