//! SQL that finds which thresholds accounts have reached since the last look, and remembers which were told of.

use sqlx::PgConnection;

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
pub async fn crossings(db: &mut PgConnection, stretch: &Stretch) -> Result<Vec<Crossing>, StoreError> {
    let mut all = Vec::new();
    for (from, until) in &stretch.ids {
        let found: Vec<Crossing> = sqlx::query_as(concat!(
            "WITH touched AS (
                 SELECT c.kind, c.owner, c.period
                 FROM lines, jsonb_to_recordset(charges) AS c(kind smallint, owner text, period text)
                 WHERE ",
            in_stretch!(),
            "    UNION SELECT payer_kind, payer_owner, payer_period FROM lines
                 WHERE lines.kind IN ('credit', 'presumed') AND ",
            in_stretch!(),
            "), watched AS (
                 SELECT w.owner, w.id AS webhook, a.kind, a.owner AS account, a.period, a.tenant, a.limit_nano,
                     a.charged + a.presumed AS used_nano, t.threshold, t.low_balance_nano,
                     CASE WHEN t.threshold = $5 THEN a.limit_nano - a.charged - a.presumed < t.low_balance_nano
                         ELSE (a.charged + a.presumed)::numeric * 100 >= a.limit_nano::numeric * t.threshold END
                         AS is_reached
                 FROM touched JOIN accounts a USING (kind, owner, period)
                 JOIN webhooks w ON (w.owner = '' OR w.owner = a.tenant) AND w.deleted_at IS NULL AND NOT w.disabled
                 CROSS JOIN LATERAL (
                     SELECT threshold, 0::bigint AS low_balance_nano FROM unnest(w.thresholds) AS threshold
                     WHERE a.limit_nano > 0 AND (w.events = '{}' OR 'budget.threshold' = ANY(w.events))
                     UNION ALL SELECT $5, w.low_balance_nano
                     WHERE a.kind = 1 AND w.low_balance_nano IS NOT NULL
                         AND (w.events = '{}' OR 'credits.low' = ANY(w.events))
                 ) AS t
                 WHERE a.limit_nano IS NOT NULL
             )
             SELECT watched.* FROM watched
             LEFT JOIN webhook_marks m USING (owner, webhook, kind, account, period, threshold)
             WHERE is_reached = (m.told_at IS NULL)
             ORDER BY owner, webhook, kind, account, period, threshold"
        ))
        .persistent(false)
        .bind(&stretch.from_xid)
        .bind(&stretch.until_xid)
        .bind(from)
        .bind(until)
        .bind(LOW_BALANCE)
        .fetch_all(&mut *db)
        .await?;
        all.extend(found.into_iter().filter(|crossing| !all.contains(crossing)).collect::<Vec<_>>());
    }
    Ok(all)
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
