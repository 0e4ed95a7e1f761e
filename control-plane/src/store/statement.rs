//! SQL of statements: what moved on a tenant's credits before a month and in it, and the month's credit lines.

use chrono::{DateTime, NaiveDate, Utc};
use sqlx::PgConnection;
use uuid::Uuid;

use crate::{
    domain::{
        permission::{Allowed, ReadUsage},
        report::{CreditKind, Month, Moved, Movement},
    },
    store::{
        StoreError,
        follow::{self, start},
        report::FOLLOWER,
        rollup::credit_movements,
    },
};

#[derive(sqlx::FromRow)]
struct Day {
    day: NaiveDate,
    topped_up: i64,
    adjusted: i64,
    refunded: i64,
    charged: i64,
    presumed: i64,
}

impl Day {
    fn add_to(&self, moved: &mut Moved) {
        moved.topped_up += self.topped_up;
        moved.adjusted += self.adjusted;
        moved.refunded += self.refunded;
        moved.charged += self.charged;
        moved.presumed += self.presumed;
    }
}

/// What moved on the access's tenant's credits before the month, and in it.
///
/// The connection must be one of [`report::reading`](crate::store::report::reading).
pub async fn moved(
    db: &mut PgConnection,
    allowed: &Allowed<ReadUsage>,
    month: Month,
) -> Result<(Moved, Moved), StoreError> {
    let tenant = allowed.scope().unwrap_or_default();
    let mut days: Vec<Day> = sqlx::query_as(
        "SELECT day, topped_up, adjusted, refunded, charged, presumed FROM credit_days
         WHERE tenant = $1 AND day < $2",
    )
    .bind(tenant)
    .bind(month.after())
    .fetch_all(&mut *db)
    .await?;
    let rest = follow::rest(db, FOLLOWER).await?.stretch;
    for (from, until) in rest.ids {
        let fresh: Vec<Day> = sqlx::query_as(concat!(
            "SELECT day, sum(topped_up)::bigint AS topped_up, sum(adjusted)::bigint AS adjusted,
                 sum(refunded)::bigint AS refunded, sum(charged)::bigint AS charged,
                 sum(presumed)::bigint AS presumed
             FROM (",
            credit_movements!(),
            ") AS moved WHERE tenant = $5 GROUP BY day"
        ))
        .persistent(false)
        .bind(&rest.from_xid)
        .bind(&rest.until_xid)
        .bind(from)
        .bind(until.min(start(month.after())))
        .bind(tenant)
        .fetch_all(&mut *db)
        .await?;
        days.extend(fresh);
    }
    let (mut before, mut within) = (Moved::default(), Moved::default());
    for day in days {
        day.add_to(if day.day < month.first() { &mut before } else { &mut within });
    }
    Ok((before, within))
}

/// The month's credit lines of the access's tenant, oldest first.
pub async fn movements(
    db: &mut PgConnection,
    allowed: &Allowed<ReadUsage>,
    month: Month,
) -> Result<Vec<Movement>, StoreError> {
    let rows: Vec<(Uuid, DateTime<Utc>, String, i64, String, String)> = sqlx::query_as(
        "SELECT id, booked_at, credit, -charge_nano, reason, actor FROM lines
         WHERE kind = 'credit' AND tenant = $1 AND id >= $2 AND id < $3 ORDER BY id",
    )
    .persistent(false)
    .bind(allowed.scope())
    .bind(start(month.first()))
    .bind(start(month.after()))
    .fetch_all(db)
    .await?;
    let movement = |(_, at, kind, amount_nano, reason, actor): (_, _, String, i64, _, _)| Movement {
        at,
        kind: CreditKind::parse(&kind, amount_nano),
        amount_nano,
        reason,
        actor,
    };
    Ok(rows.into_iter().map(movement).collect())
}
