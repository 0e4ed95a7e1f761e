//! SQL of leases: who holds how much of an account. On which terms it lends is `store::owner`'s business.
//!
//! Lease rows are read and written only while their account's row is locked.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use sqlx::{PgConnection, types::Json};

use crate::{
    domain::{
        booking::{self, Held, Why},
        ledger::{self, AccountPeriod, Line, LineKind},
        lending::{self, Balance, Holder, Lease},
    },
    store::{StoreError, account, ingest},
};

/// One grant that was decided under the account's lock.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Grant {
    #[serde(flatten)]
    pub account: AccountPeriod,
    pub amount: i64,
    /// In force right now.
    pub limit_nano: i64,
    /// Periods that count with this one: the slots of a rolling window that it shares with others.
    pub others: Vec<String>,
}

/// Lends: debits the accounts, and only where that stays within the limit adds to the holder's leases.
///
/// Of a rolling window no run of slots that holds this one may go beyond the limit; the series is locked
/// ([`window::lock`](crate::store::window::lock)), so no other slot of it is lent from meanwhile.
///
/// Answers how many grants were made; fewer than asked for means that the caller decided without the locks.
pub async fn grant(db: &mut PgConnection, holder: &Holder, grants: &[Grant]) -> Result<u64, StoreError> {
    // A statement sees no grant of its own: slots of one window go one by one.
    let (slots, plain): (Vec<&Grant>, Vec<&Grant>) =
        grants.iter().partition(|grant| lending::slot(&grant.account).is_some());
    let mut done = grant_at_once(&mut *db, holder, &plain).await?;
    for slot in slots {
        done += grant_at_once(&mut *db, holder, &[slot]).await?;
    }
    Ok(done)
}

async fn grant_at_once(db: &mut PgConnection, holder: &Holder, grants: &[&Grant]) -> Result<u64, StoreError> {
    if grants.is_empty() {
        return Ok(0);
    }
    let done = sqlx::query(
        "WITH lent AS (
             UPDATE accounts a SET lent = a.lent + w.amount, limit_nano = w.limit_nano
             FROM jsonb_to_recordset($1) AS w(kind smallint, owner text, period text,
                 amount bigint, limit_nano bigint, others text[])
             WHERE (a.kind, a.owner, a.period) = (w.kind, w.owner, w.period)
                 AND a.charged + a.presumed + a.lent + w.amount + coalesce((
                     SELECT sum(o.charged + o.presumed + o.lent) FROM accounts o
                     WHERE o.kind = w.kind AND o.owner = w.owner AND o.period = ANY (w.others)), 0) <= w.limit_nano
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
    .fetch_all(&mut *db)
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

/// Those of the holders whose leases an operator released. Read it while their accounts are locked: a release gives back
/// what was lent under the same locks.
pub async fn released(
    db: &mut PgConnection,
    holders: &BTreeSet<&Holder>,
) -> Result<BTreeSet<Holder>, StoreError> {
    if holders.is_empty() {
        return Ok(BTreeSet::new());
    }
    let instances: Vec<&str> = holders.iter().map(|holder| holder.instance.as_str()).collect();
    let rows: Vec<(String, i64)> =
        sqlx::query_as("SELECT id, released_epoch FROM instances WHERE id = ANY($1) AND released_epoch > 0")
            .bind(instances)
            .fetch_all(db)
            .await?;
    let rows: BTreeMap<String, i64> = rows.into_iter().collect();
    let is_released =
        |holder: &&&Holder| rows.get(&holder.instance).is_some_and(|epoch| holder.epoch <= *epoch);
    Ok(holders.iter().filter(is_released).map(|holder| Holder::clone(holder)).collect())
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

/// Accounts of which an instance has something left, or presumed lost, in any of its sessions up to `epoch`.
pub async fn unsettled(
    db: &mut PgConnection,
    instance: &str,
    epoch: i64,
) -> Result<Vec<(AccountPeriod, Holder)>, StoreError> {
    let rows: Vec<Row> = sqlx::query_as(
        "SELECT kind, owner, period, instance, epoch, granted, used, presumed
         FROM leases WHERE instance = $1 AND epoch <= $2 AND granted > used",
    )
    .bind(instance)
    .bind(epoch)
    .fetch_all(db)
    .await?;
    Ok(rows.into_iter().map(|row| (row.account(), row.holder())).collect())
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

/// Locks leases, changes each, and writes them back with a `presumed` line for what `change` says was presumed by it.
///
/// Answers how many lines that were.
pub async fn change(
    db: &mut PgConnection,
    names: &[(AccountPeriod, Holder)],
    why: &Why,
    mut change: impl FnMut(&AccountPeriod, &mut Lease, &mut Balance) -> i64,
) -> Result<usize, StoreError> {
    let accounts: Vec<_> = names.iter().map(|(account, _)| account).collect();
    let balances = account::lock(db, &accounts).await?;
    let tenants = account::tenants(db, &accounts).await?;
    let names: Vec<_> = names.iter().map(|(account, holder)| (account, holder)).collect();
    let mut held = held(db, balances, &names).await?;
    let mut lines = Vec::new();
    for (account, held) in &mut held {
        for (holder, lease) in &mut held.leases {
            let presumed = change(account, lease, &mut held.balance);
            if presumed != 0 {
                let tenant = tenants.get(account).map(String::as_str).unwrap_or_default();
                let line = Line::movement(LineKind::Presumed, account, presumed, why.now);
                let line = booking::of(line, tenant, holder, &why.reason);
                lines.push(Line { actor: why.actor.clone(), ..line });
            }
        }
    }
    write(db, &held).await?;
    account::write(db, &held).await?;
    ingest::insert_lines(db, &lines.iter().collect::<Vec<_>>()).await?;
    Ok(lines.len())
}
