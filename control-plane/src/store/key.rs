//! SQL of keys.

use chrono::{DateTime, Utc};
use sqlx::PgConnection;
use switchyard_proto::{
    id::{KeyId, TenantId},
    key::KeyHash,
};

use crate::{
    domain::{
        key::{Draft, Key},
        page::{self, ByAge, Listed, Page},
        permission::{Allowed, ReadKeys, WriteKeys, WriteTenants},
    },
    store::{
        MetaRow, RatesRow, StoreError, limit_columns,
        revision::{Change, Table},
        signed, spend_limit, start,
    },
};

macro_rules! columns {
    () => {
        "id, tenant, name, sha256, label, disabled, expires_at, limit_nano, limit_reset, requests_per_minute, \
         tokens_per_minute, concurrency, allowed_models, include_byok_in_limit, trust_user, user_limit_nano, \
         user_limit_reset, secret_ref, revision, managed_by, managed_revision, \
         created_at, updated_at"
    };
}

#[derive(sqlx::FromRow)]
struct Row {
    id: String,
    tenant: String,
    name: String,
    sha256: Vec<u8>,
    label: String,
    disabled: bool,
    expires_at: Option<DateTime<Utc>>,
    limit_nano: Option<i64>,
    limit_reset: String,
    #[sqlx(flatten)]
    rates: RatesRow,
    allowed_models: Vec<String>,
    include_byok_in_limit: bool,
    trust_user: bool,
    user_limit_nano: Option<i64>,
    user_limit_reset: String,
    secret_ref: String,
    #[sqlx(flatten)]
    meta: MetaRow,
}

impl From<Row> for Key {
    fn from(row: Row) -> Self {
        Self {
            id: KeyId::new(row.id),
            tenant: TenantId::new(row.tenant),
            draft: Draft {
                name: row.name,
                disabled: row.disabled,
                expires_at: row.expires_at,
                limit: spend_limit(row.limit_nano, &row.limit_reset),
                rates: row.rates.into(),
                allowed_models: row.allowed_models,
                include_byok_in_limit: row.include_byok_in_limit,
                trust_user: row.trust_user,
                user_limit: spend_limit(row.user_limit_nano, &row.user_limit_reset),
            },
            label: row.label,
            hash: KeyHash::from_bytes(&row.sha256).expect("the table checks for 32 bytes"),
            secret_ref: row.secret_ref,
            meta: row.meta.into(),
        }
    }
}

/// Lists a tenant's keys, oldest first.
pub async fn list(
    db: &mut PgConnection,
    allowed: &Allowed<ReadKeys>,
    page: &Page<ByAge>,
) -> Result<Listed<Key>, StoreError> {
    let (after, after_id) = start(page);
    let rows: Vec<Row> = sqlx::query_as(concat!(
        "SELECT ",
        columns!(),
        " FROM keys WHERE tenant = $1 AND deleted_at IS NULL AND (created_at, id) > ($2, $3)
          ORDER BY created_at, id LIMIT $4"
    ))
    .bind(allowed.scope())
    .bind(after)
    .bind(after_id)
    .bind(page.fetch())
    .fetch_all(db)
    .await?;
    let keys = rows.into_iter().map(Key::from).collect();
    Ok(page.cut(keys, |key: &Key| page::by_age(key.meta.created_at, key.id.as_str())))
}

/// One key of a tenant.
pub async fn get(db: &mut PgConnection, allowed: &Allowed<ReadKeys>, id: &KeyId) -> Result<Key, StoreError> {
    let row: Row = sqlx::query_as(concat!(
        "SELECT ",
        columns!(),
        " FROM keys WHERE tenant = $1 AND id = $2 AND deleted_at IS NULL"
    ))
    .bind(allowed.scope())
    .bind(id.as_str())
    .fetch_one(db)
    .await?;
    Ok(row.into())
}

/// Keys of one page of [`list_newest`].
const NEWEST: i64 = 100;

/// A tenant's keys from a place on, newest first: at most a hundred.
pub async fn list_newest(
    db: &mut PgConnection,
    allowed: &Allowed<ReadKeys>,
    offset: i64,
    include_disabled: bool,
) -> Result<Vec<Key>, StoreError> {
    let rows: Vec<Row> = sqlx::query_as(concat!(
        "SELECT ",
        columns!(),
        " FROM keys WHERE tenant = $1 AND deleted_at IS NULL AND ($2 OR NOT disabled)
          ORDER BY created_at DESC, id DESC OFFSET $3 LIMIT $4"
    ))
    .bind(allowed.scope())
    .bind(include_disabled)
    .bind(offset)
    .bind(NEWEST)
    .fetch_all(db)
    .await?;
    Ok(rows.into_iter().map(Key::from).collect())
}

/// One key of a tenant, by the hash of its secret.
pub async fn by_hash(
    db: &mut PgConnection,
    allowed: &Allowed<ReadKeys>,
    hash: KeyHash,
) -> Result<Key, StoreError> {
    let row: Row = sqlx::query_as(concat!(
        "SELECT ",
        columns!(),
        " FROM keys WHERE tenant = $1 AND sha256 = $2 AND deleted_at IS NULL"
    ))
    .bind(allowed.scope())
    .bind(hash.0.as_slice())
    .fetch_one(db)
    .await?;
    Ok(row.into())
}

/// The live key with this secret, of a tenant that is there. Who asks proves the right by knowing it.
pub async fn by_secret(db: &mut PgConnection, hash: KeyHash) -> Result<Option<Key>, StoreError> {
    let row: Option<Row> =
        sqlx::query_as(concat!("SELECT ", columns!(), " FROM keys WHERE sha256 = $1 AND deleted_at IS NULL"))
            .bind(hash.0.as_slice())
            .fetch_optional(db)
            .await?;
    Ok(row.map(Key::from))
}

/// One key of a tenant, locked until the change ends.
pub async fn lock(change: &mut Change, allowed: &Allowed<WriteKeys>, id: &KeyId) -> Result<Key, StoreError> {
    let row: Row = sqlx::query_as(concat!(
        "SELECT ",
        columns!(),
        " FROM keys WHERE tenant = $1 AND id = $2 AND deleted_at IS NULL FOR UPDATE"
    ))
    .bind(allowed.scope())
    .bind(id.as_str())
    .fetch_one(change.connection())
    .await?;
    Ok(row.into())
}

/// The tenant's key of this name, locked until the change ends.
pub async fn lock_by_name(
    change: &mut Change,
    allowed: &Allowed<WriteKeys>,
    name: &str,
) -> Result<Option<Key>, StoreError> {
    let row: Option<Row> = sqlx::query_as(concat!(
        "SELECT ",
        columns!(),
        " FROM keys WHERE tenant = $1 AND name = $2 AND deleted_at IS NULL FOR UPDATE"
    ))
    .bind(allowed.scope())
    .bind(name)
    .fetch_optional(change.connection())
    .await?;
    Ok(row.map(Key::from))
}

/// What is stored of a new key.
pub struct NewKey<'a> {
    pub id: KeyId,
    pub draft: &'a Draft,
    pub label: String,
    pub hash: KeyHash,
    pub secret_ref: &'a str,
}

/// Adds a key to the access's tenant.
///
/// # Errors
/// [`StoreError::Duplicate`] of `keys_name` or `keys_secret`, among others.
pub async fn insert(
    change: &mut Change,
    allowed: &Allowed<WriteKeys>,
    key: NewKey<'_>,
) -> Result<Key, StoreError> {
    let draft = key.draft;
    let managed_by = change.managed_by();
    let ((limit_nano, limit_reset), (user_limit_nano, user_limit_reset)) =
        (limit_columns(draft.limit), limit_columns(draft.user_limit));
    let row: Row = sqlx::query_as(concat!(
        "INSERT INTO keys (id, tenant, name, sha256, label, disabled, expires_at, limit_nano, limit_reset,
             requests_per_minute, tokens_per_minute, concurrency, allowed_models, secret_ref, managed_by,
             include_byok_in_limit, trust_user, user_limit_nano, user_limit_reset)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19) RETURNING ",
        columns!()
    ))
    .bind(key.id.as_str())
    .bind(allowed.scope())
    .bind(&draft.name)
    .bind(key.hash.0.as_slice())
    .bind(&key.label)
    .bind(draft.disabled)
    .bind(draft.expires_at)
    .bind(limit_nano)
    .bind(limit_reset)
    .bind(draft.rates.requests_per_minute.map(signed))
    .bind(draft.rates.tokens_per_minute.map(signed))
    .bind(draft.rates.concurrency.map(signed))
    .bind(&draft.allowed_models)
    .bind(key.secret_ref)
    .bind(managed_by)
    .bind(draft.include_byok_in_limit)
    .bind(draft.trust_user)
    .bind(user_limit_nano)
    .bind(user_limit_reset)
    .fetch_one(change.connection())
    .await?;
    change.touch(Table::Keys, key.id.as_str(), "");
    Ok(row.into())
}

/// Writes what a key's owner chose, its secret included: the hash and label of `key` are stored as they are.
///
/// # Errors
/// [`StoreError::Duplicate`] of `keys_name` or `keys_secret`, among others.
pub async fn update(change: &mut Change, allowed: &Allowed<WriteKeys>, key: &Key) -> Result<Key, StoreError> {
    let draft = &key.draft;
    let ((limit_nano, limit_reset), (user_limit_nano, user_limit_reset)) =
        (limit_columns(draft.limit), limit_columns(draft.user_limit));
    let row: Row = sqlx::query_as(concat!(
        "UPDATE keys SET name = $3, disabled = $4, expires_at = $5, limit_nano = $6, limit_reset = $7,
             requests_per_minute = $8, tokens_per_minute = $9, concurrency = $10, allowed_models = $11,
             secret_ref = $12, sha256 = $13, label = $14, include_byok_in_limit = $15, trust_user = $16,
             user_limit_nano = $17, user_limit_reset = $18,
             updated_at = statement_timestamp()
         WHERE tenant = $1 AND id = $2 AND deleted_at IS NULL RETURNING ",
        columns!()
    ))
    .bind(allowed.scope())
    .bind(key.id.as_str())
    .bind(&draft.name)
    .bind(draft.disabled)
    .bind(draft.expires_at)
    .bind(limit_nano)
    .bind(limit_reset)
    .bind(draft.rates.requests_per_minute.map(signed))
    .bind(draft.rates.tokens_per_minute.map(signed))
    .bind(draft.rates.concurrency.map(signed))
    .bind(&draft.allowed_models)
    .bind(&key.secret_ref)
    .bind(key.hash.0.as_slice())
    .bind(&key.label)
    .bind(draft.include_byok_in_limit)
    .bind(draft.trust_user)
    .bind(user_limit_nano)
    .bind(user_limit_reset)
    .fetch_one(change.connection())
    .await?;
    change.touch(Table::Keys, key.id.as_str(), "");
    Ok(row.into())
}

/// Makes a key a tombstone.
pub async fn delete(change: &mut Change, allowed: &Allowed<WriteKeys>, id: &KeyId) -> Result<(), StoreError> {
    let done = sqlx::query(
        "UPDATE keys SET deleted_at = now(), updated_at = statement_timestamp()
         WHERE tenant = $1 AND id = $2 AND deleted_at IS NULL",
    )
    .bind(allowed.scope())
    .bind(id.as_str())
    .execute(change.connection())
    .await?;
    if done.rows_affected() == 0 {
        return Err(StoreError::NotFound);
    }
    change.touch(Table::Keys, id.as_str(), "");
    Ok(())
}

/// Makes all keys of a tenant tombstones, and says which.
pub async fn delete_all(
    change: &mut Change,
    _allowed: &Allowed<WriteTenants>,
    tenant: &TenantId,
) -> Result<Vec<KeyId>, StoreError> {
    let ids: Vec<String> = sqlx::query_scalar(
        "UPDATE keys SET deleted_at = now(), updated_at = statement_timestamp()
         WHERE tenant = $1 AND deleted_at IS NULL RETURNING id",
    )
    .bind(tenant.as_str())
    .fetch_all(change.connection())
    .await?;
    for id in &ids {
        change.touch(Table::Keys, id, "");
    }
    Ok(ids.into_iter().map(KeyId::new).collect())
}
