//! SQL of drift: added to by data planes' reports, read and marked by people, removed by a job.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use sqlx::{PgConnection, types::Json};

use crate::{
    domain::{
        drift::{Drift, Filter, OVERFLOW, Seen, Shape},
        page::{Listed, Page},
        permission::{Allowed, ClearDrift, ReadDrift},
    },
    store::{StoreError, revision::Change, signed, unsigned},
};

/// A shape's columns, as JSON rows carry them.
#[derive(Debug, Serialize, Deserialize, sqlx::FromRow)]
struct ShapeRow {
    provider: String,
    adapter: String,
    model: String,
    kind: String,
    path: String,
    detail: String,
}

#[derive(Debug, Serialize)]
struct NewRow<'a> {
    #[serde(flatten)]
    shape: ShapeRow,
    answers: i64,
    first_seen: &'a DateTime<Utc>,
    last_seen: &'a DateTime<Utc>,
}

#[derive(sqlx::FromRow)]
struct Row {
    id: i64,
    #[sqlx(flatten)]
    shape: ShapeRow,
    answers: i64,
    first_seen: DateTime<Utc>,
    last_seen: DateTime<Utc>,
    cleared_at: Option<DateTime<Utc>>,
}

impl From<&Shape> for ShapeRow {
    fn from(shape: &Shape) -> Self {
        let Shape { provider, adapter, model, kind, path, detail } = shape.clone();
        Self { provider, adapter, model, kind, path, detail }
    }
}

impl From<ShapeRow> for Shape {
    fn from(row: ShapeRow) -> Self {
        let ShapeRow { provider, adapter, model, kind, path, detail } = row;
        Self { provider, adapter, model, kind, path, detail }
    }
}

impl From<Row> for Drift {
    fn from(row: Row) -> Self {
        let seen = Seen { answers: unsigned(row.answers), first: row.first_seen, last: row.last_seen };
        Self { id: unsigned(row.id), shape: row.shape.into(), seen, cleared_at: row.cleared_at }
    }
}

/// Keeps other reports waiting until the transaction ends, so that counting and adding are one step. Readers go on.
pub async fn lock(db: &mut PgConnection) -> Result<(), StoreError> {
    sqlx::query("LOCK TABLE drift IN SHARE ROW EXCLUSIVE MODE").execute(db).await?;
    Ok(())
}

/// Which of these shapes are in the list.
pub async fn known<'a>(
    db: &mut PgConnection,
    shapes: impl Iterator<Item = &'a Shape>,
) -> Result<BTreeSet<Shape>, StoreError> {
    let shapes: Vec<ShapeRow> = shapes.map(ShapeRow::from).collect();
    let rows: Vec<ShapeRow> = sqlx::query_as(
        "SELECT provider, adapter, model, kind, path, detail
         FROM jsonb_populate_recordset(NULL::drift, $1) AS told
         WHERE EXISTS (SELECT FROM drift WHERE (drift.provider, drift.adapter, drift.model, drift.kind, drift.path, drift.detail)
             = (told.provider, told.adapter, told.model, told.kind, told.path, told.detail))",
    )
    .bind(Json(shapes))
    .fetch_all(db)
    .await?;
    Ok(rows.into_iter().map(Shape::from).collect())
}

/// How many shapes of each of these providers are in the list, overflow apart.
pub async fn held(
    db: &mut PgConnection,
    providers: &BTreeSet<String>,
) -> Result<BTreeMap<String, usize>, StoreError> {
    let providers: Vec<&String> = providers.iter().collect();
    let rows: Vec<(String, i64)> = sqlx::query_as(
        "SELECT provider, count(*) FROM drift WHERE provider = ANY($1) AND kind <> $2 GROUP BY provider",
    )
    .bind(providers)
    .bind(OVERFLOW)
    .fetch_all(db)
    .await?;
    Ok(rows.into_iter().map(|(provider, count)| (provider, usize::try_from(count).unwrap_or(0))).collect())
}

/// Adds shapes to the list, or to what is there of them. A mark as known stays.
pub async fn add(db: &mut PgConnection, shapes: &BTreeMap<Shape, Seen>) -> Result<(), StoreError> {
    let rows: Vec<NewRow<'_>> = shapes
        .iter()
        .map(|(shape, seen)| NewRow {
            shape: shape.into(),
            answers: signed(seen.answers),
            first_seen: &seen.first,
            last_seen: &seen.last,
        })
        .collect();
    sqlx::query(
        "INSERT INTO drift (provider, adapter, model, kind, path, detail, answers, first_seen, last_seen)
         SELECT provider, adapter, model, kind, path, detail, answers, first_seen, last_seen
         FROM jsonb_populate_recordset(NULL::drift, $1)
         ON CONFLICT ON CONSTRAINT drift_shape DO UPDATE SET
             answers = least(drift.answers::numeric + excluded.answers, 9223372036854775807)::bigint,
             first_seen = least(drift.first_seen, excluded.first_seen),
             last_seen = greatest(drift.last_seen, excluded.last_seen)",
    )
    .bind(Json(rows))
    .execute(db)
    .await?;
    Ok(())
}

/// Lists shapes, the newest first.
pub async fn list(
    db: &mut PgConnection,
    _allowed: &Allowed<ReadDrift>,
    filter: &Filter,
    page: &Page<u64>,
) -> Result<Listed<Drift>, StoreError> {
    let rows: Vec<Row> = sqlx::query_as(
        "SELECT id, provider, adapter, model, kind, path, detail, answers, first_seen, last_seen, cleared_at FROM drift
         WHERE ($1::text IS NULL OR provider = $1) AND ($2::text IS NULL OR model = $2)
             AND ($3::text IS NULL OR kind = $3) AND ($4::timestamptz IS NULL OR last_seen >= $4)
             AND ($5 OR cleared_at IS NULL) AND id < $6
         ORDER BY id DESC LIMIT $7",
    )
    .bind(&filter.provider)
    .bind(&filter.model)
    .bind(&filter.kind)
    .bind(filter.since)
    .bind(filter.cleared)
    .bind(page.after.map_or(i64::MAX, signed))
    .bind(page.fetch())
    .fetch_all(db)
    .await?;
    Ok(page.cut(rows.into_iter().map(Drift::from).collect(), |drift: &Drift| drift.id))
}

/// Marks what is in the list as known; answers how many were not yet.
pub async fn clear(
    change: &mut Change,
    _allowed: &Allowed<ClearDrift>,
    filter: &Filter,
    now: DateTime<Utc>,
) -> Result<u64, StoreError> {
    let done = sqlx::query(
        "UPDATE drift SET cleared_at = $4 WHERE ($1::text IS NULL OR provider = $1)
             AND ($2::text IS NULL OR model = $2) AND ($3::text IS NULL OR kind = $3) AND cleared_at IS NULL",
    )
    .bind(&filter.provider)
    .bind(&filter.model)
    .bind(&filter.kind)
    .bind(now)
    .execute(change.connection())
    .await?;
    Ok(done.rows_affected())
}

/// Removes what was last seen before a time; answers how many.
pub async fn forget(db: &mut PgConnection, before: DateTime<Utc>) -> Result<u64, StoreError> {
    let done = sqlx::query("DELETE FROM drift WHERE last_seen < $1").bind(before).execute(db).await?;
    Ok(done.rows_affected())
}
