//! SQL of leases: who holds how much of an account, and on which terms its owner lends.
//!
//! Lease rows are read and written only while their account's row is locked.

use std::collections::BTreeMap;

use serde::Serialize;
use sqlx::{PgConnection, types::Json};

use crate::{
    domain::{
        account::{AccountKind, Reset},
        booking::Held,
        ledger::{self, AccountPeriod},
        lending::{Balance, Holder, Lease, Owner},
    },
    store::StoreError,
};

/// What config says of the owners of accounts; those that are missing or deleted are left out.
pub async fn owners(
    db: &mut PgConnection,
    accounts: &[&AccountPeriod],
) -> Result<BTreeMap<(AccountKind, String), Owner>, StoreError> {
    #[derive(sqlx::FromRow)]
    struct Row {
        kind: i16,
        owner: String,
        tenant: String,
        disabled: bool,
        limit_nano: Option<i64>,
        limit_reset: String,
    }
    let rows: Vec<Row> = sqlx::query_as(
        "SELECT DISTINCT w.kind, w.owner, t.id AS tenant, t.disabled OR coalesce(k.disabled, false) AS disabled,
             CASE w.kind WHEN 3 THEN k.limit_nano ELSE CASE WHEN t.prepaid THEN t.credits_nano END END AS limit_nano,
             coalesce(k.limit_reset, 'never') AS limit_reset
         FROM jsonb_to_recordset($1) AS w(kind smallint, owner text)
         LEFT JOIN keys k ON w.kind = 3 AND k.id = w.owner AND k.deleted_at IS NULL
         JOIN tenants t ON t.deleted_at IS NULL
             AND t.id = CASE w.kind WHEN 1 THEN w.owner WHEN 3 THEN k.tenant END",
    )
    .bind(Json(accounts))
    .fetch_all(db)
    .await?;
    let owner = |row: Row| {
        let kind = ledger::kind_from_number(row.kind.into())?;
        let reset = Reset::parse(&row.limit_reset).unwrap_or_default();
        let owner = Owner { tenant: row.tenant, disabled: row.disabled, limit: row.limit_nano, reset };
        Some(((kind, row.owner), owner))
    };
    Ok(rows.into_iter().filter_map(owner).collect())
}

/// One grant that was decided under the account's lock.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Grant {
    #[serde(flatten)]
    pub account: AccountPeriod,
    pub amount: i64,
    /// In force right now.
    pub limit_nano: i64,
}

/// Lends: debits the accounts, and only where that stays within the limit adds to the holder's leases.
///
/// Answers how many grants were made; fewer than asked for means that the caller decided without the locks.
pub async fn grant(db: &mut PgConnection, holder: &Holder, grants: &[Grant]) -> Result<u64, StoreError> {
    let done = sqlx::query(
        "WITH lent AS (
             UPDATE accounts a SET lent = a.lent + w.amount, limit_nano = w.limit_nano
             FROM jsonb_to_recordset($1) AS w(kind smallint, owner text, period text,
                 amount bigint, limit_nano bigint)
             WHERE (a.kind, a.owner, a.period) = (w.kind, w.owner, w.period)
                 AND a.charged + a.presumed + a.lent + w.amount <= w.limit_nano
             RETURNING a.kind, a.owner, a.period, w.amount
         )
         INSERT INTO leases (kind, owner, period, instance, epoch, granted)
         SELECT kind, owner, period, $2, $3, amount FROM lent
         ON CONFLICT (kind, owner, period, instance, epoch)
         DO UPDATE SET granted = leases.granted + excluded.granted, updated_at = statement_timestamp()",
    )
    .bind(Json(grants))
    .bind(&holder.instance)
    .bind(holder.epoch)
    .execute(db)
    .await?;
    Ok(done.rows_affected())
}

/// What one instance holds of each account, in all its sessions; accounts of which it holds nothing are left out.
pub async fn rests(
    db: &mut PgConnection,
    instance: &str,
    accounts: &[&AccountPeriod],
) -> Result<BTreeMap<AccountPeriod, i64>, StoreError> {
    #[derive(sqlx::FromRow)]
    struct Rest {
        kind: i16,
        owner: String,
        period: String,
        rest: i64,
    }
    let rows: Vec<Rest> = sqlx::query_as(
        "SELECT kind, owner, period, sum(granted - used - presumed)::bigint AS rest
         FROM leases JOIN jsonb_to_recordset($1) AS w(kind smallint, owner text, period text)
             USING (kind, owner, period)
         WHERE instance = $2 GROUP BY kind, owner, period",
    )
    .bind(Json(accounts))
    .bind(instance)
    .fetch_all(db)
    .await?;
    let rest = |row: Rest| {
        let kind = ledger::kind_from_number(row.kind.into())?;
        Some((AccountPeriod { kind, owner: row.owner, period: row.period }, row.rest))
    };
    Ok(rows.into_iter().filter_map(rest).collect())
}

#[derive(sqlx::FromRow)]
struct Row {
    kind: i16,
    owner: String,
    period: String,
    instance: String,
    epoch: i64,
    granted: i64,
    used: i64,
    presumed: i64,
}

impl Row {
    fn account(&self) -> AccountPeriod {
        let kind = ledger::kind_from_number(self.kind.into()).expect("the accounts' table checks the kind");
        AccountPeriod { kind, owner: self.owner.clone(), period: self.period.clone() }
    }

    fn holder(&self) -> Holder {
        Holder { instance: self.instance.clone(), epoch: self.epoch }
    }

    fn lease(&self) -> Lease {
        Lease { granted: self.granted, used: self.used, presumed: self.presumed }
    }
}

/// An account's name and a holder's, as JSON columns.
#[derive(Serialize)]
struct Name<'a> {
    #[serde(flatten)]
    account: &'a AccountPeriod,
    instance: &'a str,
    epoch: i64,
}

/// Puts balances, locked already, together with the leases that `wanted` names; missing leases are left out.
pub async fn held(
    db: &mut PgConnection,
    balances: BTreeMap<AccountPeriod, Balance>,
    wanted: &[(&AccountPeriod, &Holder)],
) -> Result<BTreeMap<AccountPeriod, Held>, StoreError> {
    let names = wanted.iter().map(|(account, holder)| Name {
        account,
        instance: &holder.instance,
        epoch: holder.epoch,
    });
    let rows: Vec<Row> = sqlx::query_as(
        "SELECT l.kind, l.owner, l.period, l.instance, l.epoch, l.granted, l.used, l.presumed
         FROM leases l
         JOIN jsonb_to_recordset($1) AS w(kind smallint, owner text, period text, instance text, epoch bigint)
             USING (kind, owner, period, instance, epoch)",
    )
    .bind(Json(names.collect::<Vec<_>>()))
    .fetch_all(db)
    .await?;
    let with_balance = |(account, balance)| (account, Held { balance, leases: BTreeMap::new() });
    let mut held: BTreeMap<_, _> = balances.into_iter().map(with_balance).collect();
    for row in rows {
        if let Some(held) = held.get_mut(&row.account()) {
            held.leases.insert(row.holder(), row.lease());
        }
    }
    Ok(held)
}

/// Writes what became of leases.
pub async fn write(db: &mut PgConnection, held: &BTreeMap<AccountPeriod, Held>) -> Result<(), StoreError> {
    #[derive(Serialize)]
    struct Moved<'a> {
        #[serde(flatten)]
        name: Name<'a>,
        granted: i64,
        used: i64,
        presumed: i64,
    }
    let moved = held.iter().flat_map(|(account, held)| {
        held.leases.iter().map(move |(holder, lease)| Moved {
            name: Name { account, instance: &holder.instance, epoch: holder.epoch },
            granted: lease.granted,
            used: lease.used,
            presumed: lease.presumed,
        })
    });
    sqlx::query(
        "INSERT INTO leases (kind, owner, period, instance, epoch, granted, used, presumed)
         SELECT kind, owner, period, instance, epoch, granted, used, presumed
         FROM jsonb_to_recordset($1) AS w(kind smallint, owner text, period text, instance text, epoch bigint,
             granted bigint, used bigint, presumed bigint)
         ON CONFLICT (kind, owner, period, instance, epoch) DO UPDATE
         SET granted = excluded.granted, used = excluded.used, presumed = excluded.presumed, updated_at = statement_timestamp()",
    )
    .bind(Json(moved.collect::<Vec<_>>()))
    .execute(db)
    .await?;
    Ok(())
}

/// Accounts of which an instance has something left, in any of its sessions.
pub async fn open_leases(
    db: &mut PgConnection,
    instance: &str,
) -> Result<Vec<(AccountPeriod, Holder)>, StoreError> {
    let rows: Vec<Row> = sqlx::query_as(
        "SELECT kind, owner, period, instance, epoch, granted, used, presumed
         FROM leases WHERE instance = $1 AND granted > used + presumed",
    )
    .bind(instance)
    .fetch_all(db)
    .await?;
    Ok(rows.into_iter().map(|row| (row.account(), row.holder())).collect())
}
