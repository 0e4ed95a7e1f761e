//! SQL of events on their way to webhooks: put in beside what they tell of, taken out one try at a time.
//!
//! Whoever takes one out has it for itself for a while; if nothing is heard by then, the next one tries.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use sqlx::PgConnection;
use switchyard_proto::id::WebhookId;
use uuid::Uuid;

use crate::{
    crypto::Sealed,
    domain::{
        page::{Listed, Page},
        permission::{Allowed, ReadWebhooks, WriteWebhooks},
        webhook::Delivery,
    },
    store::{StoreError, sealed::DataKeyRow, webhook::place},
};

macro_rules! select {
    ($rest:literal) => {
        concat!(
            "SELECT id, type, state, tries, status, error, created_at, next_at, ended_at, body FROM deliveries ",
            $rest
        )
    };
}

/// An event to one webhook.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewDelivery {
    pub id: Uuid,
    /// Empty: the operator.
    pub owner: String,
    pub webhook: String,
    pub kind: &'static str,
    pub body: String,
}

/// Puts an event on its way.
pub async fn insert(db: &mut PgConnection, new: &NewDelivery, now: DateTime<Utc>) -> Result<(), StoreError> {
    sqlx::query(
        "INSERT INTO deliveries (id, owner, webhook, type, body, created_at, next_at) VALUES ($1, $2, $3, $4, $5, $6, $6)",
    )
    .bind(new.id)
    .bind(&new.owner)
    .bind(&new.webhook)
    .bind(new.kind)
    .bind(&new.body)
    .bind(now)
    .execute(db)
    .await?;
    Ok(())
}

/// The same for somebody who asks for it.
pub async fn insert_asked(
    db: &mut PgConnection,
    _allowed: &Allowed<WriteWebhooks>,
    new: &NewDelivery,
    now: DateTime<Utc>,
) -> Result<Delivery, StoreError> {
    insert(db, new, now).await?;
    let row: Row = sqlx::query_as(select!("WHERE id = $1")).bind(new.id).fetch_one(db).await?;
    Ok(row.into())
}

#[derive(sqlx::FromRow)]
struct Row {
    id: Uuid,
    r#type: String,
    state: String,
    tries: i32,
    status: i32,
    error: String,
    created_at: DateTime<Utc>,
    next_at: Option<DateTime<Utc>>,
    ended_at: Option<DateTime<Utc>>,
    body: String,
}

impl From<Row> for Delivery {
    fn from(row: Row) -> Self {
        Self {
            id: row.id,
            kind: row.r#type,
            state: row.state,
            tries: row.tries.unsigned_abs(),
            status: row.status.unsigned_abs(),
            error: row.error,
            created_at: row.created_at,
            next_at: row.next_at,
            ended_at: row.ended_at,
            body: row.body,
        }
    }
}

/// Lists what was sent to a webhook, newest first.
pub async fn list(
    db: &mut PgConnection,
    allowed: &Allowed<ReadWebhooks>,
    webhook: &WebhookId,
    page: &Page<Uuid>,
) -> Result<Listed<Delivery>, StoreError> {
    let rows: Vec<Row> =
        sqlx::query_as(select!("WHERE owner = $1 AND webhook = $2 AND id < $3 ORDER BY id DESC LIMIT $4"))
            .bind(allowed.scope().unwrap_or_default())
            .bind(webhook.as_str())
            .bind(page.after.unwrap_or(Uuid::max()))
            .bind(page.fetch())
            .fetch_all(db)
            .await?;
    let deliveries = rows.into_iter().map(Delivery::from).collect();
    Ok(page.cut(deliveries, |row: &Delivery| row.id))
}

/// One try that is due.
#[derive(Debug)]
pub struct Due {
    pub id: Uuid,
    /// Owner, empty for the operator, and id.
    pub webhook: (String, String),
    /// This one included.
    pub tries: u32,
    pub body: String,
    pub url: String,
    /// Whether the webhook is the operator's.
    pub is_operators: bool,
    pub sealed: Sealed,
}

#[derive(sqlx::FromRow)]
struct DueRow {
    id: Uuid,
    tries: i32,
    body: String,
    url: String,
    webhook: String,
    webhook_owner: String,
    tenant: Option<String>,
    sealed: Vec<u8>,
    #[sqlx(flatten)]
    data_key: DataKeyRow,
}

impl From<DueRow> for Due {
    fn from(row: DueRow) -> Self {
        let tenant = row.tenant.map(switchyard_proto::id::TenantId::new);
        let is_operators = tenant.is_none();
        let place = place(tenant, &WebhookId::new(row.webhook.clone()));
        Self {
            id: row.id,
            webhook: (row.webhook_owner, row.webhook),
            tries: row.tries.unsigned_abs(),
            body: row.body,
            url: row.url,
            is_operators,
            sealed: Sealed { place, key: row.data_key.into(), bytes: row.sealed },
        }
    }
}

/// Takes out events that are due, for a while: until then nobody else tries them. Those of webhooks that are disabled,
/// or named in `but_of` by owner and id, wait.
pub async fn take_due(
    db: &mut PgConnection,
    most: i64,
    but_of: &[&(String, String)],
    (hold, now): (Duration, DateTime<Utc>),
) -> Result<Vec<Due>, StoreError> {
    let again_at = now + TimeDelta::from_std(hold).unwrap_or_default();
    let (owners, ids): (Vec<&str>, Vec<&str>) =
        but_of.iter().map(|(owner, id)| (owner.as_str(), id.as_str())).unzip();
    let rows: Vec<DueRow> = sqlx::query_as(
        "WITH due AS (
             SELECT d.id FROM deliveries d JOIN webhooks w ON w.owner = d.owner AND w.id = d.webhook
             WHERE d.state = 'pending' AND d.next_at <= $1 AND NOT w.disabled AND w.deleted_at IS NULL
                 AND NOT EXISTS (SELECT FROM unnest($4::text[], $5::text[]) AS but(owner, id)
                     WHERE but.owner = d.owner AND but.id = d.webhook)
             ORDER BY d.next_at LIMIT $2 FOR UPDATE OF d SKIP LOCKED
         ), taken AS (
             UPDATE deliveries d SET tries = d.tries + 1, next_at = $3 FROM due WHERE d.id = due.id
             RETURNING d.id, d.tries, d.body, d.owner, d.webhook
         )
         SELECT t.id, t.tries, t.body, t.webhook, t.owner AS webhook_owner, w.url, w.tenant, w.sealed, w.data_key, k.owner, k.master_key, k.wrapped
         FROM taken t JOIN webhooks w ON w.owner = t.owner AND w.id = t.webhook JOIN data_keys k ON k.id = w.data_key
         WHERE w.sealed IS NOT NULL",
    )
    .bind(now)
    .bind(most)
    .bind(again_at)
    .bind(owners)
    .bind(ids)
    .fetch_all(db)
    .await?;
    Ok(rows.into_iter().map(Due::from).collect())
}

/// What became of a try.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// 0: no answer.
    pub status: u16,
    /// Empty: delivered.
    pub error: String,
    /// From the end of the try; `None`: it is over.
    pub again_after: Option<TimeDelta>,
}

/// Writes what became of a try, unless a later one is under way by now.
pub async fn settle(
    db: &mut PgConnection,
    due: &Due,
    outcome: &Outcome,
    now: DateTime<Utc>,
) -> Result<(), StoreError> {
    let state = match (outcome.error.is_empty(), outcome.again_after) {
        (true, _) => "delivered",
        (false, Some(_)) => "pending",
        (false, None) => "failed",
    };
    sqlx::query(
        "UPDATE deliveries SET state = $3, status = $4, error = $5, next_at = $6,
             ended_at = CASE WHEN $3 = 'pending' THEN NULL ELSE $7 END
         WHERE id = $1 AND tries = $2 AND state = 'pending'",
    )
    .bind(due.id)
    .bind(i32::try_from(due.tries).unwrap_or(i32::MAX))
    .bind(state)
    .bind(i32::from(outcome.status))
    .bind(&outcome.error)
    .bind(outcome.again_after.filter(|_| state == "pending").map(|after| now + after))
    .bind(now)
    .execute(db)
    .await?;
    Ok(())
}

/// Forgets what ended before, and gives up what nobody took by then.
pub async fn forget(db: &mut PgConnection, before: DateTime<Utc>) -> Result<(), StoreError> {
    sqlx::query("DELETE FROM deliveries WHERE created_at < $1").bind(before).execute(db).await?;
    Ok(())
}
