//! SQL that books: ledger lines and generations once each, partitions for them, and quarantine.

use std::collections::BTreeSet;

use chrono::{DateTime, NaiveDate, Utc};
use sha2::{Digest, Sha256};
use sqlx::{PgConnection, PgPool, types::Json};
use uuid::Uuid;

use crate::{
    domain::ledger::{Generation, Line},
    store::StoreError,
};

/// Copies the named columns of JSON rows into a table; rows that are there already stay as they are and do not come back.
///
/// Columns are named so that a program keeps working when a later migration adds one.
macro_rules! insert_new {
    ($table:literal, $columns:literal, $returning:literal) => {
        concat!(
            "INSERT INTO ",
            $table,
            " (",
            $columns,
            ") SELECT ",
            $columns,
            " FROM jsonb_populate_recordset(NULL::",
            $table,
            ", $1) ON CONFLICT DO NOTHING RETURNING ",
            $returning
        )
    };
}

/// What makes a line the same line: id, attempt, kind.
pub type LineName = (Uuid, i32, String);

/// Inserts lines, and answers those that were not there before.
pub async fn insert_lines(db: &mut PgConnection, lines: &[&Line]) -> Result<BTreeSet<LineName>, StoreError> {
    if lines.is_empty() {
        return Ok(BTreeSet::new());
    }
    let new: Vec<LineName> = sqlx::query_as(insert_new!(
        "lines",
        "id, attempt, kind, booked_at, tenant, key, payer_kind, payer_owner, payer_period, charges, model, endpoint, \
         provider, credential, prompt_tokens, cached_tokens, cache_write_tokens, cache_write_1h_tokens, \
         completion_tokens, reasoning_tokens, audio_prompt_tokens, images, audio_completion_tokens, \
         image_completion_tokens, searches, cost_nano, charge_nano, house_nano, reserved_nano, markup_ppm, \
         provenance, price_incarnation, price_revision, price, tenant_price, outcome, upstream_status, \
         started_at, ended_at, instance, epoch, reason, actor",
        "id, attempt, kind"
    ))
    .bind(Json(lines))
    .fetch_all(db)
    .await?;
    Ok(new.into_iter().collect())
}

/// Inserts generations, and answers how many were not there before.
pub async fn insert_generations(db: &mut PgConnection, rows: &[&Generation]) -> Result<u64, StoreError> {
    if rows.is_empty() {
        return Ok(0);
    }
    let new: Vec<(Uuid,)> = sqlx::query_as(insert_new!(
        "generations",
        "id, booked_at, instance, region, tenant, key, requested_model, model, provider, upstream_id, surface, \
         streamed, cancelled, status, error_type, finish_reason, native_finish_reason, prompt_tokens, cached_tokens, \
         cache_write_tokens, cache_write_1h_tokens, completion_tokens, reasoning_tokens, audio_prompt_tokens, images, \
         audio_completion_tokens, image_completion_tokens, searches, cost_nano, charge_nano, attempts, admitted_at, first_content_ms, duration_ms, config_incarnation, \
         config_revision, user_id, session_id, app_title, app_url, user_agent, trace_id, preset, \
         cache_source, decision",
        "id"
    ))
    .bind(Json(rows))
    .fetch_all(db)
    .await?;
    Ok(new.len() as u64)
}

/// Makes a day's partitions where they are missing.
pub async fn ensure_partitions(pool: &PgPool, day: NaiveDate) -> Result<(), StoreError> {
    sqlx::query("SELECT ensure_partitions($1)").bind(day).execute(pool).await?;
    Ok(())
}

/// A record that cannot be booked, as it came.
#[derive(Debug, Clone)]
pub struct Quarantined {
    pub record: Vec<u8>,
    pub reason: String,
}

/// Puts records away, each once.
pub async fn quarantine(
    db: &mut PgConnection,
    instance: &str,
    epoch: i64,
    records: &[Quarantined],
    now: DateTime<Utc>,
) -> Result<(), StoreError> {
    for Quarantined { record, reason } in records {
        sqlx::query(
            "INSERT INTO quarantine (sha256, received_at, instance, epoch, reason, record)
             VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT DO NOTHING",
        )
        .bind(Sha256::digest(record).to_vec())
        .bind(now)
        .bind(instance)
        .bind(epoch)
        .bind(reason)
        .bind(record)
        .execute(&mut *db)
        .await?;
    }
    Ok(())
}

/// Whether the database refused what a record holds, rather than that anything else went wrong.
pub fn is_about_data(error: &StoreError) -> bool {
    let state = match error {
        StoreError::BadText | StoreError::Duplicate(_) => return true,
        StoreError::Broken(sqlx::Error::Database(cause)) => cause.code().unwrap_or_default().into_owned(),
        _ => return false,
    };
    // Data exceptions, violated constraints, rows too long for an index.
    ["22", "23", "54"].iter().any(|class| state.starts_with(class))
}
