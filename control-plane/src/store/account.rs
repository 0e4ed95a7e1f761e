//! SQL of accounts: locking them in order, moving their money, and proving it against the ledger.
//!
//! What is moved is decided by `domain::lending` and `domain::booking`. Listing accounts is `store::usage`'s business.

use std::collections::BTreeMap;

use serde::Serialize;
use sqlx::{PgConnection, PgPool, types::Json};

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

/// Locks those of the accounts that exist until the transaction ends, in the one order that everybody locks them in.
pub async fn lock(
    db: &mut PgConnection,
    accounts: &[&AccountPeriod],
) -> Result<BTreeMap<AccountPeriod, Balance>, StoreError> {
    let rows: Vec<Row> = sqlx::query_as(
        "SELECT a.kind, a.owner, a.period, a.limit_nano, a.charged, a.presumed, a.lent
         FROM accounts a
         JOIN jsonb_to_recordset($1) AS w(kind smallint, owner text, period text) USING (kind, owner, period)
         ORDER BY a.kind, a.owner, a.period FOR UPDATE OF a",
    )
    .bind(Json(accounts))
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
         ORDER BY kind, owner, period
         ON CONFLICT DO NOTHING",
    )
    .bind(Json(accounts))
    .execute(db)
    .await?;
    Ok(())
}

/// Makes those of the accounts that are missing and whose tenant or key is there.
pub async fn open_known(pool: &PgPool, accounts: &[&AccountPeriod]) -> Result<(), StoreError> {
    sqlx::query(
        "INSERT INTO accounts (kind, owner, period, tenant)
         SELECT w.kind, w.owner, w.period, t.id
         FROM jsonb_to_recordset($1) AS w(kind smallint, owner text, period text)
         LEFT JOIN keys k ON w.kind = 3 AND k.id = w.owner AND k.deleted_at IS NULL
         JOIN tenants t ON t.deleted_at IS NULL
             AND t.id = CASE w.kind WHEN 1 THEN w.owner WHEN 3 THEN k.tenant END
         ORDER BY w.kind, w.owner, w.period
         ON CONFLICT DO NOTHING",
    )
    .bind(Json(accounts))
    .execute(pool)
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

/// An account whose balances are not what the ledger and its leases add up to.
#[derive(Debug, Clone, PartialEq, Eq, sqlx::FromRow)]
pub struct Mismatch {
    pub kind: i16,
    pub owner: String,
    pub period: String,
    pub charged: i64,
    pub charged_by_lines: i64,
    pub presumed: i64,
    pub presumed_by_lines: i64,
    pub lent: i64,
    pub lent_by_leases: i64,
}

/// Adds up the whole ledger and every lease, account by account, and answers the accounts that say something else.
///
/// One statement, so it sees one state, whatever is booked meanwhile.
pub async fn prove(pool: &PgPool) -> Result<Vec<Mismatch>, StoreError> {
    Ok(sqlx::query_as(
        "WITH charges AS (
             SELECT c.kind, c.owner, c.period, sum(c.charged)::bigint AS total
             FROM lines, jsonb_to_recordset(charges) AS c(kind smallint, owner text, period text, charged bigint)
             WHERE lines.kind IN ('attempt', 'house')
             GROUP BY c.kind, c.owner, c.period
         ), presumptions AS (
             SELECT payer_kind AS kind, payer_owner AS owner, payer_period AS period, sum(charge_nano)::bigint AS total
             FROM lines WHERE lines.kind = 'presumed' GROUP BY payer_kind, payer_owner, payer_period
         ), loans AS (
             SELECT kind, owner, period, sum(granted - used - presumed)::bigint AS total
             FROM leases GROUP BY kind, owner, period
         )
         SELECT kind, owner, period,
             coalesce(a.charged, 0) AS charged, coalesce(c.total, 0) AS charged_by_lines,
             coalesce(a.presumed, 0) AS presumed, coalesce(p.total, 0) AS presumed_by_lines,
             coalesce(a.lent, 0) AS lent, coalesce(l.total, 0) AS lent_by_leases
         FROM accounts a
         FULL JOIN charges c USING (kind, owner, period)
         FULL JOIN presumptions p USING (kind, owner, period)
         FULL JOIN loans l USING (kind, owner, period)
         WHERE (coalesce(a.charged, 0), coalesce(a.presumed, 0), coalesce(a.lent, 0))
             IS DISTINCT FROM (coalesce(c.total, 0), coalesce(p.total, 0), coalesce(l.total, 0))
         ORDER BY kind, owner, period",
    )
    .fetch_all(pool)
    .await?)
}

/// A tenant whose granted credits are not what its credit lines add up to.
#[derive(Debug, Clone, PartialEq, Eq, sqlx::FromRow)]
pub struct CreditMismatch {
    pub tenant: String,
    pub credits: i64,
    pub credits_by_lines: i64,
}

/// The same proof for credits granted: a tenant's sum against its credit lines, which are negative charges.
pub async fn prove_credits(pool: &PgPool) -> Result<Vec<CreditMismatch>, StoreError> {
    Ok(sqlx::query_as(
        "WITH granted AS (
             SELECT tenant, -sum(charge_nano)::bigint AS total FROM lines WHERE kind = 'credit' GROUP BY tenant
         )
         SELECT t.id AS tenant, t.credits_nano AS credits, coalesce(g.total, 0) AS credits_by_lines
         FROM tenants t LEFT JOIN granted g ON g.tenant = t.id
         WHERE t.credits_nano <> coalesce(g.total, 0) ORDER BY t.id",
    )
    .fetch_all(pool)
    .await?)
}
