//! SQL of admin tokens.

use chrono::{DateTime, Utc};
use sqlx::PgConnection;
use switchyard_proto::{id::TenantId, key::KeyHash};

use crate::{
    domain::{
        page::{self, ByAge, Listed, Page},
        permission::{Allowed, ManageTokens, Role, WriteTenants},
        token::{Draft, Token},
    },
    store::{
        StoreError,
        revision::{Change, Table},
        start, unsigned,
    },
};

macro_rules! columns {
    () => {
        "id, name, role, tenant, label, disabled, expires_at, last_used_at, revision, created_at"
    };
}

#[derive(sqlx::FromRow)]
struct Row {
    id: String,
    name: String,
    role: String,
    tenant: Option<String>,
    label: String,
    disabled: bool,
    expires_at: Option<DateTime<Utc>>,
    last_used_at: Option<DateTime<Utc>>,
    revision: i64,
    created_at: DateTime<Utc>,
}

impl From<Row> for Token {
    fn from(row: Row) -> Self {
        Self {
            id: row.id,
            draft: Draft {
                name: row.name,
                role: Role::parse(&row.role).expect("the table checks the role"),
                tenant: row.tenant.map(TenantId::new),
                disabled: row.disabled,
                expires_at: row.expires_at,
            },
            label: row.label,
            last_used_at: row.last_used_at,
            revision: unsigned(row.revision),
            created_at: row.created_at,
        }
    }
}

/// The token with this secret. Who asks proves the right by knowing it.
pub async fn by_secret(db: &mut PgConnection, hash: KeyHash) -> Result<Option<Token>, StoreError> {
    let row: Option<Row> = sqlx::query_as(concat!(
        "SELECT ",
        columns!(),
        " FROM admin_tokens WHERE sha256 = $1 AND deleted_at IS NULL"
    ))
    .bind(hash.0.as_slice())
    .fetch_optional(db)
    .await?;
    Ok(row.map(Token::from))
}

/// Remembers that a token was used, to the minute.
pub async fn mark_used(db: &mut PgConnection, id: &str) -> Result<(), StoreError> {
    sqlx::query(
        "UPDATE admin_tokens SET last_used_at = now()
         WHERE id = $1 AND (last_used_at IS NULL OR last_used_at < now() - interval '1 minute')",
    )
    .bind(id)
    .execute(db)
    .await?;
    Ok(())
}

/// Whether any live token of an operator is there; waits for others that ask the same in a change.
pub async fn operator_exists(
    change: &mut Change,
    _allowed: &Allowed<ManageTokens>,
) -> Result<bool, StoreError> {
    sqlx::query("LOCK TABLE admin_tokens IN SHARE ROW EXCLUSIVE MODE").execute(change.connection()).await?;
    let found = sqlx::query_scalar(
        "SELECT EXISTS (SELECT FROM admin_tokens WHERE role = 'operator' AND deleted_at IS NULL)",
    )
    .fetch_one(change.connection())
    .await?;
    Ok(found)
}

/// Lists tokens, oldest first.
pub async fn list(
    db: &mut PgConnection,
    _allowed: &Allowed<ManageTokens>,
    page: &Page<ByAge>,
) -> Result<Listed<Token>, StoreError> {
    let (after, after_id) = start(page);
    let rows: Vec<Row> = sqlx::query_as(concat!(
        "SELECT ",
        columns!(),
        " FROM admin_tokens WHERE deleted_at IS NULL AND (created_at, id) > ($1, $2)
          ORDER BY created_at, id LIMIT $3"
    ))
    .bind(after)
    .bind(after_id)
    .bind(page.fetch())
    .fetch_all(db)
    .await?;
    let tokens = rows.into_iter().map(Token::from).collect();
    Ok(page.cut(tokens, |token: &Token| page::by_age(token.created_at, &token.id)))
}

/// One token.
pub async fn get(
    db: &mut PgConnection,
    _allowed: &Allowed<ManageTokens>,
    id: &str,
) -> Result<Token, StoreError> {
    let row: Row = sqlx::query_as(concat!(
        "SELECT ",
        columns!(),
        " FROM admin_tokens WHERE id = $1 AND deleted_at IS NULL"
    ))
    .bind(id)
    .fetch_one(db)
    .await?;
    Ok(row.into())
}

/// One token, locked until the change ends.
pub async fn lock(
    change: &mut Change,
    _allowed: &Allowed<ManageTokens>,
    id: &str,
) -> Result<Token, StoreError> {
    let row: Row = sqlx::query_as(concat!(
        "SELECT ",
        columns!(),
        " FROM admin_tokens WHERE id = $1 AND deleted_at IS NULL FOR UPDATE"
    ))
    .bind(id)
    .fetch_one(change.connection())
    .await?;
    Ok(row.into())
}

/// What is stored of a new token.
pub struct NewToken<'a> {
    pub id: String,
    pub draft: &'a Draft,
    pub label: String,
    pub hash: KeyHash,
}

/// Adds a token.
pub async fn insert(
    change: &mut Change,
    _allowed: &Allowed<ManageTokens>,
    token: NewToken<'_>,
) -> Result<Token, StoreError> {
    let row: Row = sqlx::query_as(concat!(
        "INSERT INTO admin_tokens (id, name, role, tenant, sha256, label, disabled, expires_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8) RETURNING ",
        columns!()
    ))
    .bind(&token.id)
    .bind(&token.draft.name)
    .bind(token.draft.role.as_str())
    .bind(token.draft.tenant.as_ref().map(TenantId::as_str))
    .bind(token.hash.0.as_slice())
    .bind(&token.label)
    .bind(token.draft.disabled)
    .bind(token.draft.expires_at)
    .fetch_one(change.connection())
    .await?;
    change.touch(Table::AdminTokens, &token.id, "");
    Ok(row.into())
}

/// Writes what an operator chose of a token.
pub async fn update(
    change: &mut Change,
    _allowed: &Allowed<ManageTokens>,
    id: &str,
    draft: &Draft,
) -> Result<Token, StoreError> {
    let row: Row = sqlx::query_as(concat!(
        "UPDATE admin_tokens SET name = $2, role = $3, tenant = $4, disabled = $5, expires_at = $6, updated_at = statement_timestamp()
         WHERE id = $1 AND deleted_at IS NULL RETURNING ",
        columns!()
    ))
    .bind(id)
    .bind(&draft.name)
    .bind(draft.role.as_str())
    .bind(draft.tenant.as_ref().map(TenantId::as_str))
    .bind(draft.disabled)
    .bind(draft.expires_at)
    .fetch_one(change.connection())
    .await?;
    change.touch(Table::AdminTokens, id, "");
    Ok(row.into())
}

/// Makes a token a tombstone.
pub async fn delete(
    change: &mut Change,
    _allowed: &Allowed<ManageTokens>,
    id: &str,
) -> Result<(), StoreError> {
    sqlx::query(
        "UPDATE admin_tokens SET deleted_at = now(), updated_at = statement_timestamp() WHERE id = $1",
    )
    .bind(id)
    .execute(change.connection())
    .await?;
    change.touch(Table::AdminTokens, id, "");
    Ok(())
}

/// Makes all tokens of a tenant tombstones, and says which.
pub async fn delete_all(
    change: &mut Change,
    _allowed: &Allowed<WriteTenants>,
    tenant: &TenantId,
) -> Result<Vec<String>, StoreError> {
    let ids: Vec<String> = sqlx::query_scalar(
        "UPDATE admin_tokens SET deleted_at = now(), updated_at = statement_timestamp()
         WHERE tenant = $1 AND deleted_at IS NULL RETURNING id",
    )
    .bind(tenant.as_str())
    .fetch_all(change.connection())
    .await?;
    for id in &ids {
        change.touch(Table::AdminTokens, id, "");
    }
    Ok(ids)
}
