//! SQL of accounts: locking them in order, and moving their money.
//!
//! What is moved is decided by `domain::lending` and `domain::booking`. Listing accounts is `store::usage`'s business,
//! proving them `store::proof`'s.

use std::collections::BTreeMap;

use serde::Serialize;
use sqlx::{PgConnection, types::Json};

use crate::{
    domain::{
        booking::Held,
        ledger::{self, AccountPeriod},
        lending::Balance,
    },
    store::StoreError,
};

#[derive(sqlx::FromRow)]
struct Row {
    kind: i16,
    owner: String,
    period: String,
    limit_nano: Option<i64>,
    charged: i64,
    presumed: i64,
    lent: i64,
}

impl Row {
    fn into_pair(self) -> (AccountPeriod, Balance) {
        let kind = ledger::kind_from_number(self.kind.into()).expect("the table checks the kind");
        let account = AccountPeriod { kind, owner: self.owner, period: self.period };
        let balance = Balance {
            limit: self.limit_nano,
            charged: self.charged,
            presumed: self.presumed,
            lent: self.lent,
        };
        (account, balance)
    }
}

/// Locks those of the accounts that exist until the transaction ends, in the one order that everybody locks them in: by kind,
/// the house last.
pub async fn lock(
    db: &mut PgConnection,
    accounts: &[&AccountPeriod],
) -> Result<BTreeMap<AccountPeriod, Balance>, StoreError> {
    let rows: Vec<Row> = sqlx::query_as(
        "SELECT a.kind, a.owner, a.period, a.limit_nano, a.charged, a.presumed, a.lent
         FROM accounts a
         JOIN jsonb_to_recordset($1) AS w(kind smallint, owner text, period text) USING (kind, owner, period)
         ORDER BY a.kind = 6, a.kind, a.owner, a.period FOR UPDATE OF a",
    )
    .bind(Json(accounts))
    .fetch_all(db)
    .await?;
    Ok(rows.into_iter().map(Row::into_pair).collect())
}

/// The accounts of these owners, in whichever period, of which something is lent.
pub async fn lent(
    db: &mut PgConnection,
    owners: &[&AccountPeriod],
) -> Result<BTreeMap<AccountPeriod, Balance>, StoreError> {
    let rows: Vec<Row> = sqlx::query_as(
        "SELECT a.kind, a.owner, a.period, a.limit_nano, a.charged, a.presumed, a.lent
         FROM (SELECT DISTINCT kind, owner FROM jsonb_to_recordset($1) AS w(kind smallint, owner text)) AS w
         JOIN accounts a USING (kind, owner) WHERE a.lent > 0",
    )
    .bind(Json(owners))
    .fetch_all(db)
    .await?;
    Ok(rows.into_iter().map(Row::into_pair).collect())
}

/// An account that is about to be charged, and whose it is.
#[derive(Debug, Clone, Serialize)]
pub struct Opening<'a> {
    #[serde(flatten)]
    pub account: &'a AccountPeriod,
    pub tenant: &'a str,
}

/// Makes the accounts that are missing, without a limit: granting looks the limit up each time.
pub async fn open(db: &mut PgConnection, accounts: &[Opening<'_>]) -> Result<(), StoreError> {
    sqlx::query(
        "INSERT INTO accounts (kind, owner, period, tenant)
         SELECT kind, owner, period, tenant
         FROM jsonb_to_recordset($1) AS w(kind smallint, owner text, period text, tenant text)
         ORDER BY kind = 6, kind, owner, period
         ON CONFLICT DO NOTHING",
    )
    .bind(Json(accounts))
    .execute(db)
    .await?;
    Ok(())
}

/// Whose the accounts are.
pub async fn tenants(
    db: &mut PgConnection,
    accounts: &[&AccountPeriod],
) -> Result<BTreeMap<AccountPeriod, String>, StoreError> {
    let rows: Vec<(i16, String, String, String)> = sqlx::query_as(
        "SELECT kind, owner, period, tenant FROM accounts
         JOIN jsonb_to_recordset($1) AS w(kind smallint, owner text, period text) USING (kind, owner, period)",
    )
    .bind(Json(accounts))
    .fetch_all(db)
    .await?;
    let named = |(kind, owner, period, tenant): (i16, String, String, String)| {
        Some((AccountPeriod { kind: ledger::kind_from_number(kind.into())?, owner, period }, tenant))
    };
    Ok(rows.into_iter().filter_map(named).collect())
}

/// Writes what became of locked accounts; their limits are left alone.
pub async fn write(db: &mut PgConnection, held: &BTreeMap<AccountPeriod, Held>) -> Result<(), StoreError> {
    #[derive(Serialize)]
    struct Moved<'a> {
        #[serde(flatten)]
        account: &'a AccountPeriod,
        charged: i64,
        presumed: i64,
        lent: i64,
    }
    let moved = held.iter().map(|(account, held)| Moved {
        account,
        charged: held.balance.charged,
        presumed: held.balance.presumed,
        lent: held.balance.lent,
    });
    sqlx::query(
        "UPDATE accounts a SET charged = w.charged, presumed = w.presumed, lent = w.lent
         FROM jsonb_to_recordset($1) AS w(kind smallint, owner text, period text,
             charged bigint, presumed bigint, lent bigint)
         WHERE (a.kind, a.owner, a.period) = (w.kind, w.owner, w.period)",
    )
    .bind(Json(moved.collect::<Vec<_>>()))
    .execute(db)
    .await?;
    Ok(())
}

/// Charges the operator's own account, opening it where it is missing.
pub async fn charge_house(db: &mut PgConnection, amount: i64) -> Result<(), StoreError> {
    let house = AccountPeriod::house();
    sqlx::query(
        "INSERT INTO accounts (kind, owner, period, charged) VALUES ($1, $2, $3, $4)
         ON CONFLICT (kind, owner, period) DO UPDATE SET charged = accounts.charged + excluded.charged",
    )
    .bind(house.kind as i16)
    .bind(&house.owner)
    .bind(&house.period)
    .bind(amount)
    .execute(db)
    .await?;
    Ok(())
}
