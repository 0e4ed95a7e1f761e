//! SQL of rolling windows: what their slots hold together, and the lock that keeps two slots from being lent from at once.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use sqlx::{PgConnection, types::Json};

use crate::{
    domain::{
        ledger::{self, AccountPeriod},
        lending::{self, Others},
    },
    store::StoreError,
};

/// The first of two keys of advisory locks: whole series of slots of rolling windows.
const WINDOWS: i32 = 7_310_002;

/// Locks the whole series of those of the accounts that are slots of rolling windows, until the transaction ends. Taken
/// before any row, so that two slots of one window are never lent from at once.
pub async fn lock(db: &mut PgConnection, accounts: &[&AccountPeriod]) -> Result<(), StoreError> {
    let series = |account: &&AccountPeriod| {
        let slot = lending::slot(account)?;
        Some(format!("{}/{}/{}", account.kind as i16, account.owner, slot.window))
    };
    let series: BTreeSet<String> = accounts.iter().filter_map(series).collect();
    if series.is_empty() {
        return Ok(());
    }
    sqlx::query(
        "SELECT pg_advisory_xact_lock($1, of.lock)
         FROM (SELECT DISTINCT hashtext(name) AS lock FROM unnest($2::text[]) AS name ORDER BY lock) AS of",
    )
    .bind(WINDOWS)
    .bind(series.into_iter().collect::<Vec<_>>())
    .execute(db)
    .await?;
    Ok(())
}

/// What the slots hold that share a rolling window with each of the accounts; accounts that are no slots are left out.
///
/// Read it while the series are locked.
pub async fn others(
    db: &mut PgConnection,
    accounts: &[&AccountPeriod],
) -> Result<BTreeMap<AccountPeriod, Others>, StoreError> {
    #[derive(Serialize)]
    struct Wanted<'a> {
        #[serde(flatten)]
        account: &'a AccountPeriod,
        others: Vec<String>,
    }
    let wanted = |account: &&'_ AccountPeriod| {
        let others = lending::slot(account)?.neighbours().map(|slot| slot.to_string()).collect();
        Some((AccountPeriod::clone(account), others))
    };
    let slots: Vec<(AccountPeriod, Vec<String>)> = accounts.iter().filter_map(wanted).collect();
    if slots.is_empty() {
        return Ok(BTreeMap::new());
    }
    let wanted: Vec<_> =
        slots.iter().map(|(account, others)| Wanted { account, others: others.clone() }).collect();
    let rows: Vec<OtherRow> = sqlx::query_as(
        "SELECT w.kind, w.owner, w.period, o.period AS other, o.charged, o.presumed, o.lent
         FROM jsonb_to_recordset($1) AS w(kind smallint, owner text, period text, others text[])
         JOIN accounts o ON o.kind = w.kind AND o.owner = w.owner AND o.period = ANY (w.others)",
    )
    .bind(Json(wanted))
    .fetch_all(db)
    .await?;
    let mut others: BTreeMap<AccountPeriod, Others> =
        slots.into_iter().map(|(account, _)| (account, Others::default())).collect();
    for row in rows {
        let Some(kind) = ledger::kind_from_number(row.kind.into()) else { continue };
        let account = AccountPeriod { kind, owner: row.owner.clone(), period: row.period.clone() };
        others.entry(account).or_default().add(row);
    }
    Ok(others)
}

#[derive(sqlx::FromRow)]
struct OtherRow {
    kind: i16,
    owner: String,
    period: String,
    other: String,
    charged: i64,
    presumed: i64,
    lent: i64,
}

impl Others {
    fn add(&mut self, row: OtherRow) {
        self.charged = self.charged.saturating_add(row.charged);
        self.presumed = self.presumed.saturating_add(row.presumed);
        self.lent = self.lent.saturating_add(row.lent);
        if row.lent > 0 {
            self.lent_periods.push(row.other.clone());
        }
        self.periods.push(row.other);
    }
}
