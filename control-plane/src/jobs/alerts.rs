//! Looks at the accounts that money was moved on since the last time, and puts events on their way to whoever wants to
//! hear that a threshold is reached.

use chrono::{DateTime, Utc};
use sqlx::PgPool;

use crate::{
    store::{
        StoreError,
        alert::{self, FOLLOWER},
        delivery, follow,
    },
    webhooks::event,
};

/// Looks at what is new. Events are put on their way in the transaction that moves on, so that none is lost or doubled.
pub async fn run_once(pool: &PgPool, now: DateTime<Utc>) -> anyhow::Result<()> {
    let mut tx = pool.begin().await.map_err(StoreError::from)?;
    let Some(step) = follow::begin(&mut tx, FOLLOWER, now).await? else { return Ok(()) };
    if alert::is_anybody_listening(&mut tx).await? {
        for crossing in alert::crossings(&mut tx, &step.stretch, now).await? {
            if !crossing.is_reached {
                alert::unmark(&mut tx, &crossing).await?;
            } else if alert::mark(&mut tx, &crossing).await? {
                delivery::insert(&mut tx, &event::of_crossing(&crossing, now), now).await?;
            }
        }
    }
    follow::finish(&mut tx, &step).await?;
    tx.commit().await.map_err(StoreError::from)?;
    Ok(())
}
