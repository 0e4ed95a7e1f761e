//! SQL that finds which thresholds accounts have reached since the last look, and remembers which were told of.

use std::collections::{BTreeMap, HashSet};

use chrono::{DateTime, Utc};
use serde::Serialize;
use sqlx::{PgConnection, types::Json};
use switchyard_proto::window::{Rolling, Slot};

use crate::store::{StoreError, follow::Stretch, rollup::in_stretch};

/// The follower that looks at accounts.
pub const FOLLOWER: &str = "alerts";
/// Stands for a webhook's low balance among its thresholds.
pub const LOW_BALANCE: i32 = -1;

/// A threshold of one webhook and one account whose side has changed.
#[derive(Debug, Clone, PartialEq, Eq, sqlx::FromRow)]
pub struct Crossing {
    /// Of the webhook; empty: the operator.
    pub owner: String,
    pub webhook: String,
    pub kind: i16,
    pub account: String,
    /// Of a rolling window its name, `24h`.
    pub period: String,
    pub tenant: String,
    pub limit_nano: i64,
    /// Charged and presumed.
    pub used_nano: i64,
    /// Percent, or [`LOW_BALANCE`].
    pub threshold: i32,
    /// 0 but for a low balance.
    pub low_balance_nano: i64,
    /// False: the account is below it again.
    pub is_reached: bool,
}

/// Whether anybody wants to hear of anything.
pub async fn is_anybody_listening(db: &mut PgConnection) -> Result<bool, StoreError> {
    let is =
        sqlx::query_scalar("SELECT EXISTS (SELECT FROM webhooks WHERE deleted_at IS NULL AND NOT disabled)");
    Ok(is.fetch_one(db).await?)
}

/// Thresholds whose side has changed, of the accounts that lines of this stretch have moved.
///
/// Of a rolling window all slots count together that lie in it now, whichever of them was moved: its period is the window.
pub async fn crossings(
    db: &mut PgConnection,
    stretch: &Stretch,
    now: DateTime<Utc>,
) -> Result<Vec<Crossing>, StoreError> {
    let watched = watched(touched(db, stretch).await?, now);
    if watched.is_empty() {
        return Ok(Vec::new());
    }
    Ok(sqlx::query_as(
        "WITH stands AS (
             SELECT w.kind, w.owner AS account, w.period, a.tenant, a.limit_nano, a.used_nano
             FROM jsonb_to_recordset($1) AS w(kind smallint, owner text, period text, parts text[])
             CROSS JOIN LATERAL (
                 SELECT (array_agg(a.tenant ORDER BY part.place))[1] AS tenant,
                     (array_agg(a.limit_nano ORDER BY part.place))[1] AS limit_nano,
                     sum(a.charged + a.presumed)::bigint AS used_nano
                 FROM unnest(w.parts) WITH ORDINALITY AS part(period, place)
                 JOIN accounts a ON a.kind = w.kind AND a.owner = w.owner AND a.period = part.period
             ) AS a
             WHERE a.limit_nano IS NOT NULL
         ), watched AS (
             SELECT w.owner, w.id AS webhook, s.kind, s.account, s.period, s.tenant, s.limit_nano, s.used_nano,
                 t.threshold, t.low_balance_nano,
                 CASE WHEN t.threshold = $2 THEN s.limit_nano - s.used_nano < t.low_balance_nano
                     ELSE s.used_nano::numeric * 100 >= s.limit_nano::numeric * t.threshold END AS is_reached
             FROM stands s
             JOIN webhooks w ON (w.owner = '' OR w.owner = s.tenant) AND w.deleted_at IS NULL AND NOT w.disabled
             CROSS JOIN LATERAL (
                 SELECT threshold, 0::bigint AS low_balance_nano FROM unnest(w.thresholds) AS threshold
                 WHERE s.limit_nano > 0 AND (w.events = '{}' OR 'budget.threshold' = ANY(w.events))
                 UNION ALL SELECT $2, w.low_balance_nano
                 WHERE s.kind = 1 AND w.low_balance_nano IS NOT NULL
                     AND (w.events = '{}' OR 'credits.low' = ANY(w.events))
             ) AS t
         )
         SELECT watched.* FROM watched
         LEFT JOIN webhook_marks m USING (owner, webhook, kind, account, period, threshold)
         WHERE is_reached = (m.told_at IS NULL)
         ORDER BY owner, webhook, kind, account, period, threshold",
    )
    .bind(Json(watched))
    .bind(LOW_BALANCE)
    .fetch_all(db)
    .await?)
}

/// An account in one of its periods, as lines name it: kind, owner, period.
type Touched = (i16, String, String);

/// The accounts that lines of a stretch have moved.
async fn touched(db: &mut PgConnection, stretch: &Stretch) -> Result<HashSet<Touched>, StoreError> {
    let mut all = HashSet::new();
    for (from, until) in &stretch.ids {
        let found: Vec<Touched> = sqlx::query_as(concat!(
            "SELECT c.kind, c.owner, c.period
             FROM lines, jsonb_to_recordset(charges) AS c(kind smallint, owner text, period text)
             WHERE (c.kind, c.owner, c.period) IS NOT NULL AND ",
            in_stretch!(),
            " UNION SELECT payer_kind, payer_owner, payer_period FROM lines
             WHERE lines.kind IN ('credit', 'presumed') AND ",
            in_stretch!(),
        ))
        .persistent(false)
        .bind(&stretch.from_xid)
        .bind(&stretch.until_xid)
        .bind(from)
        .bind(until)
        .fetch_all(&mut *db)
        .await?;
        all.extend(found);
    }
    Ok(all)
}

/// What is looked at as one: an account, or the slots of a rolling window.
#[derive(Debug, PartialEq, Eq, Serialize)]
struct Watched {
    kind: i16,
    owner: String,
    /// As it is told and marked: of a rolling window its name.
    period: String,
    /// Periods of accounts that count together, newest first. The newest that there is has the limit in force.
    parts: Vec<String>,
}

fn watched(touched: HashSet<Touched>, now: DateTime<Utc>) -> Vec<Watched> {
    let mut windows: BTreeMap<(i16, String, Rolling), Slot> = BTreeMap::new();
    let mut watched = Vec::new();
    for (kind, owner, period) in touched {
        match Slot::parse(&period) {
            None => watched.push(Watched { kind, owner, parts: vec![period.clone()], period }),
            Some(slot) => {
                // A data plane whose clock is ahead may have spent in a slot that is to come.
                let newest =
                    windows.entry((kind, owner, slot.window)).or_insert_with(|| slot.window.slot(now));
                *newest = slot.max(*newest);
            }
        }
    }
    let window = |((kind, owner, window), newest): ((i16, String, Rolling), Slot)| Watched {
        kind,
        owner,
        period: window.to_string(),
        parts: newest.run().map(|slot| slot.to_string()).collect(),
    };
    watched.extend(windows.into_iter().map(window));
    watched
}

/// Remembers that a threshold was told of; false: it was already.
pub async fn mark(db: &mut PgConnection, crossing: &Crossing) -> Result<bool, StoreError> {
    let marked = sqlx::query(
        "INSERT INTO webhook_marks (owner, webhook, kind, account, period, threshold) VALUES ($1, $2, $3, $4, $5, $6)
         ON CONFLICT DO NOTHING",
    );
    let done = of(marked, crossing).execute(db).await?;
    Ok(done.rows_affected() == 1)
}

/// Forgets that a threshold was told of: it is told of again when it is reached again.
pub async fn unmark(db: &mut PgConnection, crossing: &Crossing) -> Result<(), StoreError> {
    let unmarked = sqlx::query(
        "DELETE FROM webhook_marks WHERE owner = $1 AND webhook = $2 AND kind = $3 AND account = $4 AND period = $5
             AND threshold = $6",
    );
    of(unmarked, crossing).execute(db).await?;
    Ok(())
}

type Statement<'q> = sqlx::query::Query<'q, sqlx::Postgres, sqlx::postgres::PgArguments>;

fn of<'q>(statement: Statement<'q>, crossing: &'q Crossing) -> Statement<'q> {
    statement
        .bind(&crossing.owner)
        .bind(&crossing.webhook)
        .bind(crossing.kind)
        .bind(&crossing.account)
        .bind(&crossing.period)
        .bind(crossing.threshold)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_of_one_window_are_looked_at_together_up_to_the_newest() {
        let now = "2026-11-23T10:20:00Z".parse().unwrap();
        let of = |periods: &[&str]| {
            let touched = periods.iter().map(|period| (2, "acme".to_owned(), (*period).to_owned()));
            let mut watched = watched(touched.collect(), now);
            watched.sort_by(|one, other| one.period.cmp(&other.period));
            watched.into_iter().map(|one| (one.period, one.parts)).collect::<Vec<_>>()
        };
        let window =
            |name: &str, parts: &[&str]| (name.to_owned(), parts.iter().map(ToString::to_string).collect());
        let running = ["2h/2026-11-23T10", "2h/2026-11-23T09", "2h/2026-11-23T08"];
        assert_eq!(of(&["2026-11"]), [window("2026-11", &["2026-11"])]);
        assert_eq!(of(&[running[0]]), [window("2h", &running)]);
        assert_eq!(
            of(&[running[2], running[1]]),
            [window("2h", &running)],
            "late lines move the running window"
        );
        assert_eq!(
            of(&["2h/2026-11-23T11", running[0], "1d/2026-11-23"]),
            [
                window("1d", &["1d/2026-11-23", "1d/2026-11-22"]),
                window("2h", &["2h/2026-11-23T11", "2h/2026-11-23T10", "2h/2026-11-23T09"])
            ]
        );
    }
}
