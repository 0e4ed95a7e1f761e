//! SQL of the built-in catalogue: rows take from it when they are pushed, so another catalogue is another config.

use sqlx::{Connection, PgConnection};

use crate::{
    domain::edition::Edition,
    store::{
        StoreError,
        revision::{CHANNEL, REVISION_LOCK},
        signed, unsigned,
    },
};

/// Notes which catalogue this program has. Where the store last saw an older one, every provider and endpoint gets a new
/// revision, so that all data planes hear of them again; where it saw a newer one, nothing happens. Says whether rows got
/// a new revision.
///
/// # Errors
/// [`StoreError::Unavailable`], among others; then nothing has happened.
pub async fn refresh(db: &mut PgConnection, own: &Edition) -> Result<bool, StoreError> {
    let mut tx = db.begin().await?;
    if !own.replaces(&seen(&mut tx).await?) {
        return Ok(false);
    }
    // As every change does: rows first, the revision last.
    for statement in LOCKS {
        sqlx::query(*statement).execute(&mut *tx).await?;
    }
    sqlx::query("SELECT pg_advisory_xact_lock($1)").bind(REVISION_LOCK).execute(&mut *tx).await?;
    if !own.replaces(&seen(&mut tx).await?) {
        return Ok(false);
    }
    sqlx::query("UPDATE config_state SET catalogue = $1, catalogue_version = $2")
        .bind(&own.checksum)
        .bind(signed(own.version))
        .execute(&mut *tx)
        .await?;
    let has_rows: bool = sqlx::query_scalar("SELECT EXISTS (SELECT FROM providers WHERE deleted_at IS NULL)")
        .fetch_one(&mut *tx)
        .await?;
    if has_rows {
        let revision: i64 =
            sqlx::query_scalar("UPDATE config_state SET revision = revision + 1 RETURNING revision")
                .fetch_one(&mut *tx)
                .await?;
        for statement in REFRESHES {
            sqlx::query(*statement).bind(revision).execute(&mut *tx).await?;
        }
        sqlx::query("SELECT pg_notify($1, $2)")
            .bind(CHANNEL)
            .bind(revision.to_string())
            .execute(&mut *tx)
            .await?;
    }
    tx.commit().await?;
    Ok(has_rows)
}

async fn seen(db: &mut PgConnection) -> Result<Edition, StoreError> {
    let (version, checksum): (i64, String) =
        sqlx::query_as("SELECT catalogue_version, catalogue FROM config_state").fetch_one(db).await?;
    Ok(Edition { version: unsigned(version), checksum })
}

/// In the order in which changes write them.
const LOCKS: &[&str] = &[
    "SELECT FROM providers WHERE deleted_at IS NULL ORDER BY id FOR UPDATE",
    "SELECT FROM endpoints WHERE deleted_at IS NULL ORDER BY model, id FOR UPDATE",
];

/// A row that `apply` owns and nobody else changed since stays so.
const REFRESHES: &[&str] = &[
    "UPDATE providers SET revision = $1, managed_revision = CASE WHEN managed_revision = revision THEN $1
         ELSE managed_revision END WHERE deleted_at IS NULL",
    "UPDATE endpoints SET revision = $1, managed_revision = CASE WHEN managed_revision = revision THEN $1
         ELSE managed_revision END WHERE deleted_at IS NULL",
];
