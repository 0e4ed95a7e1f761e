//! SQL of the audit. Entries are written by [`Change::commit`](crate::store::revision::Change::commit) alone.

use chrono::{DateTime, Utc};
use serde_json::Value;
use sqlx::{PgConnection, types::Json};

use crate::{
    domain::{
        audit::{Entry, NewEntry},
        page::{Listed, Page},
        permission::{Allowed, ReadAudit},
    },
    store::{StoreError, signed, unsigned},
};

#[derive(sqlx::FromRow)]
struct Row {
    id: i64,
    at: DateTime<Utc>,
    actor: String,
    action: String,
    noun: String,
    resource: String,
    tenant: String,
    revision: i64,
    change: Json<Value>,
}

impl From<Row> for Entry {
    fn from(row: Row) -> Self {
        Self {
            id: unsigned(row.id),
            at: row.at,
            actor: row.actor,
            action: row.action,
            noun: row.noun,
            resource: row.resource,
            tenant: row.tenant,
            revision: unsigned(row.revision),
            change: row.change.0,
        }
    }
}

/// Lists entries that the access covers, newest first.
pub async fn list(
    db: &mut PgConnection,
    allowed: &Allowed<ReadAudit>,
    page: &Page<u64>,
) -> Result<Listed<Entry>, StoreError> {
    let rows: Vec<Row> = sqlx::query_as(
        "SELECT id, at, actor, action, noun, resource, tenant, revision, change FROM audit
         WHERE ($1::text IS NULL OR tenant = $1) AND id < $2 ORDER BY id DESC LIMIT $3",
    )
    .bind(allowed.scope())
    .bind(page.after.map_or(i64::MAX, signed))
    .bind(page.fetch())
    .fetch_all(db)
    .await?;
    Ok(page.cut(rows.into_iter().map(Entry::from).collect(), |entry: &Entry| entry.id))
}

/// Writes entries of one change.
pub(in crate::store) async fn insert(
    db: &mut PgConnection,
    actor: &str,
    revision: u64,
    entries: &[NewEntry],
) -> Result<(), StoreError> {
    for entry in entries {
        sqlx::query(
            "INSERT INTO audit (actor, action, noun, resource, tenant, revision, change)
             VALUES ($1, $2, $3, $4, $5, $6, $7)",
        )
        .bind(actor)
        .bind(entry.verb.as_str())
        .bind(entry.noun)
        .bind(&entry.resource)
        .bind(&entry.tenant)
        .bind(signed(revision))
        .bind(Json(&entry.change))
        .execute(&mut *db)
        .await?;
    }
    Ok(())
}
