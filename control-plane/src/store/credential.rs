//! SQL of tenants' own credentials. Secrets are sealed before they come here and opened after they leave.

use futures_util::StreamExt;
use futures_util::stream::BoxStream;
use sqlx::PgConnection;
use switchyard_proto::id::{CredentialId, ProviderId, TenantId};

use crate::{
    crypto::{Place, Sealed},
    domain::{
        credential::{Address, Credential, Draft},
        page::{self, ByAge, Listed, Page},
        permission::{Allowed, ReadCredentials, WriteCatalogue, WriteCredentials, WriteTenants},
    },
    store::{
        MetaRow, RatesRow, StoreError,
        feed::after,
        revision::{Change, Table},
        sealed::DataKeyRow,
        signed, start,
    },
};

macro_rules! columns {
    () => {
        "c.id, c.tenant, c.provider, c.name, c.disabled, c.fallback, c.sort_order, c.required, c.allowed_models, \
         c.allowed_keys, c.allowed_users, c.declared_zdr, c.requests_per_minute, c.tokens_per_minute, \
         c.concurrency, c.origin, p.profile, p.base_url, c.revision, c.managed_by, c.managed_revision, c.created_at, \
         c.updated_at"
    };
}

/// Reads live credentials, with what their providers' rows say of the address.
macro_rules! select {
    ($rest:literal) => {
        concat!(
            "SELECT ",
            columns!(),
            " FROM credentials c JOIN providers p ON p.id = c.provider WHERE c.deleted_at IS NULL AND ",
            $rest
        )
    };
}

#[derive(sqlx::FromRow)]
struct Row {
    id: String,
    tenant: String,
    provider: String,
    name: String,
    disabled: bool,
    fallback: bool,
    sort_order: i32,
    required: bool,
    allowed_models: Vec<String>,
    allowed_keys: Vec<String>,
    allowed_users: Vec<String>,
    declared_zdr: Option<bool>,
    #[sqlx(flatten)]
    rates: RatesRow,
    origin: String,
    profile: String,
    base_url: String,
    #[sqlx(flatten)]
    meta: MetaRow,
}

impl From<Row> for Credential {
    fn from(row: Row) -> Self {
        Self {
            id: CredentialId::new(row.id),
            tenant: TenantId::new(row.tenant),
            draft: Draft {
                provider: row.provider,
                name: row.name,
                disabled: row.disabled,
                fallback: row.fallback,
                order: row.sort_order,
                required: row.required,
                allowed_models: row.allowed_models,
                allowed_keys: row.allowed_keys,
                allowed_users: row.allowed_users,
                declared_zdr: row.declared_zdr,
                rates: row.rates.into(),
            },
            origin: row.origin,
            provider_at: Address { profile: row.profile, base_url: row.base_url },
            meta: row.meta.into(),
        }
    }
}

/// A credential with its sealed secret.
#[derive(Debug)]
pub struct Stored {
    pub credential: Credential,
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

impl From<StoredRow> for Stored {
    fn from(stored: StoredRow) -> Self {
        let credential = Credential::from(stored.row);
        let place = Place {
            tenant: Some(credential.tenant.clone()),
            provider: credential.draft.provider_id(),
            origin: credential.origin.clone(),
        };
        Self { sealed: Sealed { place, key: stored.data_key.into(), bytes: stored.sealed }, credential }
    }
}

/// Lists a tenant's credentials, oldest first.
pub async fn list(
    db: &mut PgConnection,
    allowed: &Allowed<ReadCredentials>,
    page: &Page<ByAge>,
) -> Result<Listed<Credential>, StoreError> {
    let (after, after_id) = start(page);
    let rows: Vec<Row> = sqlx::query_as(select!(
        "c.tenant = $1 AND (c.created_at, c.id) > ($2, $3) ORDER BY c.created_at, c.id LIMIT $4"
    ))
    .bind(allowed.scope())
    .bind(after)
    .bind(after_id)
    .bind(page.fetch())
    .fetch_all(db)
    .await?;
    let credentials = rows.into_iter().map(Credential::from).collect();
    Ok(page.cut(credentials, |row: &Credential| page::by_age(row.meta.created_at, row.id.as_str())))
}

/// One credential of a tenant.
pub async fn get(
    db: &mut PgConnection,
    allowed: &Allowed<ReadCredentials>,
    id: &CredentialId,
) -> Result<Credential, StoreError> {
    let row: Row = sqlx::query_as(select!("c.tenant = $1 AND c.id = $2"))
        .bind(allowed.scope())
        .bind(id.as_str())
        .fetch_one(db)
        .await?;
    Ok(row.into())
}

/// One credential of a tenant with its sealed secret, locked until the change ends.
pub async fn lock(
    change: &mut Change,
    allowed: &Allowed<WriteCredentials>,
    id: &CredentialId,
) -> Result<Stored, StoreError> {
    let row: StoredRow = sqlx::query_as(concat!(
        "SELECT c.sealed, c.data_key, k.owner, k.master_key, k.wrapped, ",
        columns!(),
        " FROM credentials c JOIN providers p ON p.id = c.provider JOIN data_keys k ON k.id = c.data_key
          WHERE c.deleted_at IS NULL AND c.tenant = $1 AND c.id = $2 FOR UPDATE OF c"
    ))
    .bind(allowed.scope())
    .bind(id.as_str())
    .fetch_one(change.connection())
    .await?;
    Ok(row.into())
}

/// Live credentials that changed after `since`, or whose provider did: it may have moved. For the config stream, which
/// opens them for data planes.
pub fn changed(db: &mut PgConnection, since: Option<u64>) -> BoxStream<'_, sqlx::Result<Stored>> {
    let rows = sqlx::query_as::<_, StoredRow>(concat!(
        "SELECT c.sealed, c.data_key, k.owner, k.master_key, k.wrapped, ",
        columns!(),
        " FROM credentials c JOIN providers p ON p.id = c.provider JOIN data_keys k ON k.id = c.data_key
          WHERE c.deleted_at IS NULL
              AND (c.revision > $1 OR c.provider = ANY(ARRAY(SELECT id FROM providers WHERE revision > $1)))"
    ));
    rows.bind(after(since)).fetch(db).map(|row| row.map(Stored::from)).boxed()
}

/// Adds a credential to the access's tenant; a deleted one of the same id comes back as this one.
///
/// # Errors
/// [`StoreError::Duplicate`] of `credentials_pkey`, among others.
pub async fn insert(
    change: &mut Change,
    allowed: &Allowed<WriteCredentials>,
    id: &CredentialId,
    (draft, sealed): (&Draft, &Sealed),
) -> Result<Credential, StoreError> {
    let managed_by = change.managed_by();
    let row: Option<Row> = sqlx::query_as(concat!(
        "WITH c AS (
             INSERT INTO credentials (tenant, id, provider, name, disabled, fallback, sort_order, required,
                 allowed_models, allowed_keys, allowed_users, declared_zdr, origin, data_key, sealed, managed_by,
                 requests_per_minute, tokens_per_minute, concurrency)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19)
             ON CONFLICT (tenant, id) DO UPDATE SET provider = $3, name = $4, disabled = $5, fallback = $6,
                 sort_order = $7, required = $8, allowed_models = $9, allowed_keys = $10, allowed_users = $11,
                 declared_zdr = $12, origin = $13, data_key = $14, sealed = $15, managed_by = $16,
                 requests_per_minute = $17, tokens_per_minute = $18, concurrency = $19, managed_revision = 0, created_at = statement_timestamp(), updated_at = statement_timestamp(),
                 deleted_at = NULL
                 WHERE credentials.deleted_at IS NOT NULL
             RETURNING *)
         SELECT ",
        columns!(),
        " FROM c JOIN providers p ON p.id = c.provider"
    ))
    .bind(allowed.scope())
    .bind(id.as_str())
    .bind(&draft.provider)
    .bind(&draft.name)
    .bind(draft.disabled)
    .bind(draft.fallback)
    .bind(draft.order)
    .bind(draft.required)
    .bind(&draft.allowed_models)
    .bind(&draft.allowed_keys)
    .bind(&draft.allowed_users)
    .bind(draft.declared_zdr)
    .bind(&sealed.place.origin)
    .bind(sealed.key.id)
    .bind(&sealed.bytes)
    .bind(managed_by)
    .bind(draft.rates.requests_per_minute.map(signed))
    .bind(draft.rates.tokens_per_minute.map(signed))
    .bind(draft.rates.concurrency.map(signed))
    .fetch_optional(change.connection())
    .await?;
    change.touch(Table::Credentials, allowed.scope().unwrap_or_default(), id.as_str());
    row.map(Credential::from).ok_or_else(|| StoreError::Duplicate("credentials_pkey".to_owned()))
}

/// Writes what a credential's owner chose; `sealed` is its new secret, where there is one.
pub async fn update(
    change: &mut Change,
    allowed: &Allowed<WriteCredentials>,
    id: &CredentialId,
    (draft, sealed): (&Draft, Option<&Sealed>),
) -> Result<Credential, StoreError> {
    let row: Row = sqlx::query_as(concat!(
        "WITH c AS (
             UPDATE credentials SET provider = $3, name = $4, disabled = $5, fallback = $6, sort_order = $7,
                 required = $8, allowed_models = $9, allowed_keys = $10, allowed_users = $11, declared_zdr = $12,
                 origin = coalesce($13, origin), data_key = coalesce($14, data_key), sealed = coalesce($15, sealed),
                 requests_per_minute = $16, tokens_per_minute = $17, concurrency = $18, updated_at = statement_timestamp()
             WHERE tenant = $1 AND id = $2 AND deleted_at IS NULL RETURNING *)
         SELECT ",
        columns!(),
        " FROM c JOIN providers p ON p.id = c.provider"
    ))
    .bind(allowed.scope())
    .bind(id.as_str())
    .bind(&draft.provider)
    .bind(&draft.name)
    .bind(draft.disabled)
    .bind(draft.fallback)
    .bind(draft.order)
    .bind(draft.required)
    .bind(&draft.allowed_models)
    .bind(&draft.allowed_keys)
    .bind(&draft.allowed_users)
    .bind(draft.declared_zdr)
    .bind(sealed.map(|sealed| &sealed.place.origin))
    .bind(sealed.map(|sealed| sealed.key.id))
    .bind(sealed.map(|sealed| &sealed.bytes))
    .bind(draft.rates.requests_per_minute.map(signed))
    .bind(draft.rates.tokens_per_minute.map(signed))
    .bind(draft.rates.concurrency.map(signed))
    .fetch_one(change.connection())
    .await?;
    change.touch(Table::Credentials, allowed.scope().unwrap_or_default(), id.as_str());
    Ok(row.into())
}

/// Those of some ids that are no live keys of the access's tenant.
pub async fn unknown_keys(
    change: &mut Change,
    allowed: &Allowed<WriteCredentials>,
    ids: &[String],
) -> Result<Vec<String>, StoreError> {
    let unknown = sqlx::query_scalar(
        "SELECT named FROM unnest($2::text[]) AS named
         WHERE NOT EXISTS (SELECT FROM keys WHERE tenant = $1 AND id = named AND deleted_at IS NULL)",
    );
    Ok(unknown.bind(allowed.scope()).bind(ids).fetch_all(change.connection()).await?)
}

/// Makes a credential a tombstone; its secret is gone at once.
pub async fn delete(
    change: &mut Change,
    allowed: &Allowed<WriteCredentials>,
    id: &CredentialId,
) -> Result<(), StoreError> {
    let done = sqlx::query(
        "UPDATE credentials SET deleted_at = now(), sealed = NULL, updated_at = statement_timestamp()
         WHERE tenant = $1 AND id = $2 AND deleted_at IS NULL",
    )
    .bind(allowed.scope())
    .bind(id.as_str())
    .execute(change.connection())
    .await?;
    if done.rows_affected() == 0 {
        return Err(StoreError::NotFound);
    }
    change.touch(Table::Credentials, allowed.scope().unwrap_or_default(), id.as_str());
    Ok(())
}

/// Makes all credentials of a tenant tombstones, and says which.
pub async fn delete_of_tenant(
    change: &mut Change,
    _allowed: &Allowed<WriteTenants>,
    tenant: &TenantId,
) -> Result<Vec<CredentialId>, StoreError> {
    let gone = delete_where(change, DELETE_OF_TENANT, tenant.as_str()).await?;
    Ok(gone.into_iter().map(|(_, id)| id).collect())
}

/// Makes all tenants' credentials for a provider tombstones, and says which.
pub async fn delete_of_provider(
    change: &mut Change,
    _allowed: &Allowed<WriteCatalogue>,
    provider: &ProviderId,
) -> Result<Vec<(TenantId, CredentialId)>, StoreError> {
    delete_where(change, DELETE_OF_PROVIDER, provider.as_str()).await
}

const DELETE_OF_TENANT: &str =
    "UPDATE credentials SET deleted_at = now(), sealed = NULL, updated_at = statement_timestamp()
     WHERE tenant = $1 AND deleted_at IS NULL RETURNING tenant, id";
const DELETE_OF_PROVIDER: &str =
    "UPDATE credentials SET deleted_at = now(), sealed = NULL, updated_at = statement_timestamp()
     WHERE provider = $1 AND deleted_at IS NULL RETURNING tenant, id";

async fn delete_where(
    change: &mut Change,
    statement: &'static str,
    parent: &str,
) -> Result<Vec<(TenantId, CredentialId)>, StoreError> {
    let gone: Vec<(String, String)> =
        sqlx::query_as(statement).bind(parent).fetch_all(change.connection()).await?;
    for (tenant, id) in &gone {
        change.touch(Table::Credentials, tenant, id);
    }
    Ok(gone.into_iter().map(|(tenant, id)| (TenantId::new(tenant), CredentialId::new(id))).collect())
}
