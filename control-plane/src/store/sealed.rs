//! SQL of sealed provider credentials and the data keys that seal them. Nothing here sees plaintext.

use sqlx::PgConnection;
use switchyard_proto::id::{ProviderId, TenantId};
use uuid::Uuid;

use crate::{
    crypto::{Place, Sealed, WrappedKey},
    domain::permission::{Allowed, WriteCatalogue},
    store::{StoreError, revision::Change},
};

/// A stored credential, sealed, with the wrapped key that opens it.
#[derive(Debug)]
pub struct Credential {
    pub id: String,
    pub provider: ProviderId,
    pub weight: u32,
    pub sealed: Sealed,
}

#[derive(sqlx::FromRow)]
struct Row {
    id: String,
    provider: String,
    tenant: Option<String>,
    origin: String,
    sealed: Vec<u8>,
    weight: i32,
    #[sqlx(flatten)]
    data_key: DataKeyRow,
}

/// A data key beside what it seals.
#[derive(sqlx::FromRow)]
pub(in crate::store) struct DataKeyRow {
    data_key: Uuid,
    owner: String,
    master_key: String,
    wrapped: Vec<u8>,
}

impl From<DataKeyRow> for WrappedKey {
    fn from(row: DataKeyRow) -> Self {
        Self { id: row.data_key, owner: row.owner, master_key: row.master_key, wrapped: row.wrapped }
    }
}

impl From<Row> for Credential {
    fn from(row: Row) -> Self {
        let place = Place {
            tenant: row.tenant.map(TenantId::new),
            provider: ProviderId::new(row.provider.as_str()),
            origin: row.origin,
        };
        Self {
            id: row.id,
            provider: ProviderId::new(row.provider),
            weight: row.weight.unsigned_abs(),
            sealed: Sealed { place, key: row.data_key.into(), bytes: row.sealed },
        }
    }
}

/// The credentials of these providers, in a stable order: for the config stream, which opens them for data planes.
pub async fn of_providers(
    db: &mut PgConnection,
    providers: &[String],
) -> Result<Vec<Credential>, StoreError> {
    let rows: Vec<Row> = sqlx::query_as(
        "SELECT c.id, c.provider, p.tenant, c.origin, c.sealed, c.weight, c.data_key, k.owner, k.master_key, k.wrapped
         FROM provider_credentials c JOIN providers p ON p.id = c.provider JOIN data_keys k ON k.id = c.data_key
         WHERE c.provider = ANY($1) ORDER BY c.provider, c.created_at, c.id",
    )
    .bind(providers)
    .fetch_all(db)
    .await?;
    Ok(rows.into_iter().map(Credential::from).collect())
}

/// The data key that seals for an owner now.
pub async fn data_key(db: &mut PgConnection, owner: &str) -> Result<Option<WrappedKey>, StoreError> {
    let row: Option<DataKeyRow> = sqlx::query_as(
        "SELECT id AS data_key, owner, master_key, wrapped FROM data_keys WHERE owner = $1 AND retired_at IS NULL",
    )
    .bind(owner)
    .fetch_optional(db)
    .await?;
    Ok(row.map(WrappedKey::from))
}

/// Adds a data key, unless another change was faster; returns the one in use. For rights to write what it seals.
pub async fn add_data_key<A>(
    change: &mut Change,
    _allowed: &Allowed<A>,
    key: &WrappedKey,
) -> Result<WrappedKey, StoreError> {
    sqlx::query(
        "INSERT INTO data_keys (id, owner, master_key, wrapped) VALUES ($1, $2, $3, $4)
         ON CONFLICT (owner) WHERE retired_at IS NULL DO NOTHING",
    )
    .bind(key.id)
    .bind(&key.owner)
    .bind(&key.master_key)
    .bind(&key.wrapped)
    .execute(change.connection())
    .await?;
    data_key(change.connection(), &key.owner).await?.ok_or(StoreError::NotFound)
}

/// Replaces a provider's credentials by one.
pub async fn replace(
    change: &mut Change,
    allowed: &Allowed<WriteCatalogue>,
    id: &str,
    sealed: &Sealed,
) -> Result<(), StoreError> {
    remove(change, allowed, &sealed.place.provider).await?;
    sqlx::query(
        "INSERT INTO provider_credentials (id, provider, data_key, origin, sealed) VALUES ($1, $2, $3, $4, $5)",
    )
    .bind(id)
    .bind(sealed.place.provider.as_str())
    .bind(sealed.key.id)
    .bind(&sealed.place.origin)
    .bind(&sealed.bytes)
    .execute(change.connection())
    .await?;
    Ok(())
}

/// Removes a provider's credentials for good: secrets have no tombstones.
pub async fn remove(
    change: &mut Change,
    _allowed: &Allowed<WriteCatalogue>,
    provider: &ProviderId,
) -> Result<(), StoreError> {
    sqlx::query("DELETE FROM provider_credentials WHERE provider = $1")
        .bind(provider.as_str())
        .execute(change.connection())
        .await?;
    Ok(())
}
