//! SQL of webhooks. The operator's have the empty owner. Secrets are sealed before they come here.

use sqlx::PgConnection;
use switchyard_proto::id::{ProviderId, TenantId, WebhookId};

use crate::{
    crypto::{Place, Sealed},
    domain::{
        page::{self, ByAge, Listed, Page},
        permission::{Allowed, ReadWebhooks, WriteTenants, WriteWebhooks},
        webhook::{Draft, Webhook},
    },
    store::{
        MetaRow, StoreError,
        revision::{Change, Table},
        sealed::DataKeyRow,
        start,
    },
};

macro_rules! columns {
    () => {
        "w.tenant, w.id, w.url, w.description, w.disabled, w.events, w.thresholds, w.low_balance_nano, w.revision, \
         w.managed_by, w.managed_revision, w.created_at, w.updated_at"
    };
}

#[derive(sqlx::FromRow)]
struct Row {
    tenant: Option<String>,
    id: String,
    url: String,
    description: String,
    disabled: bool,
    events: Vec<String>,
    thresholds: Vec<i32>,
    low_balance_nano: Option<i64>,
    #[sqlx(flatten)]
    meta: MetaRow,
}

impl From<Row> for Webhook {
    fn from(row: Row) -> Self {
        Self {
            id: WebhookId::new(row.id),
            tenant: row.tenant.map(TenantId::new),
            draft: Draft {
                url: row.url,
                description: row.description,
                disabled: row.disabled,
                events: row.events,
                thresholds: row.thresholds,
                low_balance_nano: row.low_balance_nano,
            },
            meta: row.meta.into(),
        }
    }
}

/// A webhook with its sealed secret.
#[derive(Debug)]
pub struct Stored {
    pub webhook: Webhook,
    pub sealed: Sealed,
}

#[derive(sqlx::FromRow)]
struct StoredRow {
    #[sqlx(flatten)]
    row: Row,
    sealed: Vec<u8>,
    #[sqlx(flatten)]
    data_key: DataKeyRow,
}

/// What a webhook's secret is sealed to: its owner and itself, wherever it is. It signs and is sent nowhere.
pub fn place(tenant: Option<TenantId>, id: &WebhookId) -> Place {
    // No provider's id has a slash in it.
    Place { tenant, provider: ProviderId::new(format!("webhook/{id}")), origin: String::new() }
}

impl From<StoredRow> for Stored {
    fn from(stored: StoredRow) -> Self {
        let webhook = Webhook::from(stored.row);
        let place = place(webhook.tenant.clone(), &webhook.id);
        Self { sealed: Sealed { place, key: stored.data_key.into(), bytes: stored.sealed }, webhook }
    }
}

/// Whose webhooks an access is about: its tenant's, or the operator's where it has none.
fn owner<A>(allowed: &Allowed<A>) -> &str {
    allowed.scope().unwrap_or_default()
}

/// Lists one owner's webhooks, oldest first.
pub async fn list(
    db: &mut PgConnection,
    allowed: &Allowed<ReadWebhooks>,
    page: &Page<ByAge>,
) -> Result<Listed<Webhook>, StoreError> {
    let (after, after_id) = start(page);
    let rows: Vec<Row> = sqlx::query_as(concat!(
        "SELECT ",
        columns!(),
        " FROM webhooks w WHERE owner = $1 AND deleted_at IS NULL AND (created_at, id) > ($2, $3)
          ORDER BY created_at, id LIMIT $4"
    ))
    .bind(owner(allowed))
    .bind(after)
    .bind(after_id)
    .bind(page.fetch())
    .fetch_all(db)
    .await?;
    let webhooks = rows.into_iter().map(Webhook::from).collect();
    Ok(page.cut(webhooks, |row: &Webhook| page::by_age(row.meta.created_at, row.id.as_str())))
}

/// One webhook. For rights to read or write it.
pub async fn get<A>(
    db: &mut PgConnection,
    allowed: &Allowed<A>,
    id: &WebhookId,
) -> Result<Webhook, StoreError> {
    let row: Row = sqlx::query_as(concat!(
        "SELECT ",
        columns!(),
        " FROM webhooks w WHERE owner = $1 AND id = $2 AND deleted_at IS NULL"
    ))
    .bind(owner(allowed))
    .bind(id.as_str())
    .fetch_one(db)
    .await?;
    Ok(row.into())
}

/// One webhook with its sealed secret, locked until the change ends.
pub async fn lock(
    change: &mut Change,
    allowed: &Allowed<WriteWebhooks>,
    id: &WebhookId,
) -> Result<Stored, StoreError> {
    let row: StoredRow = sqlx::query_as(concat!(
        "SELECT w.sealed, w.data_key, k.owner, k.master_key, k.wrapped, ",
        columns!(),
        " FROM webhooks w JOIN data_keys k ON k.id = w.data_key
          WHERE w.owner = $1 AND w.id = $2 AND w.deleted_at IS NULL FOR UPDATE OF w"
    ))
    .bind(owner(allowed))
    .bind(id.as_str())
    .fetch_one(change.connection())
    .await?;
    Ok(row.into())
}

/// Adds a webhook; a deleted one of the same id comes back as this one.
///
/// # Errors
/// [`StoreError::Duplicate`] of `webhooks_pkey`, among others.
pub async fn insert(
    change: &mut Change,
    allowed: &Allowed<WriteWebhooks>,
    id: &WebhookId,
    (draft, sealed): (&Draft, &Sealed),
) -> Result<Webhook, StoreError> {
    let managed_by = change.managed_by();
    let row: Option<Row> = sqlx::query_as(concat!(
        "INSERT INTO webhooks AS w (owner, id, url, description, disabled, events, thresholds, low_balance_nano, data_key,
             sealed, managed_by)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)
         ON CONFLICT (owner, id) DO UPDATE SET url = $3, description = $4, disabled = $5, events = $6, thresholds = $7,
             low_balance_nano = $8, data_key = $9, sealed = $10, managed_by = $11, managed_revision = 0,
             created_at = statement_timestamp(), updated_at = statement_timestamp(), deleted_at = NULL
             WHERE w.deleted_at IS NOT NULL
         RETURNING ",
        columns!()
    ))
    .bind(owner(allowed))
    .bind(id.as_str())
    .bind(&draft.url)
    .bind(&draft.description)
    .bind(draft.disabled)
    .bind(&draft.events)
    .bind(&draft.thresholds)
    .bind(draft.low_balance_nano)
    .bind(sealed.key.id)
    .bind(&sealed.bytes)
    .bind(managed_by)
    .fetch_optional(change.connection())
    .await?;
    change.touch(Table::Webhooks, owner(allowed), id.as_str());
    row.map(Webhook::from).ok_or_else(|| StoreError::Duplicate("webhooks_pkey".to_owned()))
}

/// Writes what the owner chose of a webhook; `sealed` is its new secret, where there is one.
pub async fn update(
    change: &mut Change,
    allowed: &Allowed<WriteWebhooks>,
    id: &WebhookId,
    (draft, sealed): (&Draft, Option<&Sealed>),
) -> Result<Webhook, StoreError> {
    let row: Row = sqlx::query_as(concat!(
        "UPDATE webhooks w SET url = $3, description = $4, disabled = $5, events = $6, thresholds = $7,
             low_balance_nano = $8, data_key = coalesce($9, data_key), sealed = coalesce($10, sealed),
             updated_at = statement_timestamp()
         WHERE owner = $1 AND id = $2 AND deleted_at IS NULL RETURNING ",
        columns!()
    ))
    .bind(owner(allowed))
    .bind(id.as_str())
    .bind(&draft.url)
    .bind(&draft.description)
    .bind(draft.disabled)
    .bind(&draft.events)
    .bind(&draft.thresholds)
    .bind(draft.low_balance_nano)
    .bind(sealed.map(|sealed| sealed.key.id))
    .bind(sealed.map(|sealed| &sealed.bytes))
    .fetch_one(change.connection())
    .await?;
    change.touch(Table::Webhooks, owner(allowed), id.as_str());
    Ok(row.into())
}

/// Makes a webhook a tombstone; its secret is gone at once, and what was under way to it is given up.
pub async fn delete(
    change: &mut Change,
    allowed: &Allowed<WriteWebhooks>,
    id: &WebhookId,
) -> Result<(), StoreError> {
    delete_where(change, owner(allowed), Some(id.as_str())).await.map(|_| ())
}

/// Makes all webhooks of a tenant tombstones, and says which.
pub async fn delete_all(
    change: &mut Change,
    _allowed: &Allowed<WriteTenants>,
    tenant: &TenantId,
) -> Result<Vec<WebhookId>, StoreError> {
    delete_where(change, tenant.as_str(), None).await
}

async fn delete_where(
    change: &mut Change,
    owner: &str,
    id: Option<&str>,
) -> Result<Vec<WebhookId>, StoreError> {
    let ids: Vec<String> = sqlx::query_scalar(
        "UPDATE webhooks SET deleted_at = now(), sealed = NULL, updated_at = statement_timestamp()
         WHERE owner = $1 AND ($2::text IS NULL OR id = $2) AND deleted_at IS NULL RETURNING id",
    )
    .bind(owner)
    .bind(id)
    .fetch_all(change.connection())
    .await?;
    sqlx::query(
        "UPDATE deliveries SET state = 'failed', next_at = NULL, ended_at = now(), error = 'the webhook is deleted'
         WHERE owner = $1 AND webhook = ANY($2) AND state = 'pending'",
    )
    .bind(owner)
    .bind(&ids)
    .execute(change.connection())
    .await?;
    sqlx::query("DELETE FROM webhook_marks WHERE owner = $1 AND webhook = ANY($2)")
        .bind(owner)
        .bind(&ids)
        .execute(change.connection())
        .await?;
    for id in &ids {
        change.touch(Table::Webhooks, owner, id);
    }
    Ok(ids.into_iter().map(WebhookId::new).collect())
}
