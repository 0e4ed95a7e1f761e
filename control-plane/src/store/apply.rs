//! SQL that only `apply` needs: what an owner made, and whether the ledger or somebody else's rows depend on it.

use sqlx::{PgConnection, PgPool, Postgres, Transaction};
use switchyard_proto::id::{
    CredentialId, EndpointId, KeyId, ModelId, PolicyId, ProviderId, TenantId, WebhookId,
};

use crate::{
    domain::permission::{Allowed, Apply},
    store::StoreError,
};

/// Live rows that an owner made.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Owned {
    pub credentials: Vec<(TenantId, CredentialId)>,
    pub keys: Vec<(TenantId, KeyId)>,
    pub tenants: Vec<TenantId>,
    pub endpoints: Vec<(ModelId, EndpointId)>,
    pub models: Vec<ModelId>,
    pub providers: Vec<ProviderId>,
    pub policies: Vec<(Option<TenantId>, PolicyId)>,
    pub webhooks: Vec<(Option<TenantId>, WebhookId)>,
}

/// Lists what `owner` made and nobody deleted, by id; keys by tenant and name.
pub async fn owned(
    db: &mut PgConnection,
    _allowed: &Allowed<Apply>,
    owner: &str,
) -> Result<Owned, StoreError> {
    let credentials = pairs(
        db,
        "SELECT tenant, id FROM credentials WHERE managed_by = $1 AND deleted_at IS NULL ORDER BY tenant, id",
        owner,
    )
    .await?;
    let keys = pairs(
        db,
        "SELECT tenant, id FROM keys WHERE managed_by = $1 AND deleted_at IS NULL ORDER BY tenant, name",
        owner,
    )
    .await?;
    let endpoints = pairs(
        db,
        "SELECT model, id FROM endpoints WHERE managed_by = $1 AND deleted_at IS NULL ORDER BY model, id",
        owner,
    )
    .await?;
    let tenants =
        ids(db, "SELECT id FROM tenants WHERE managed_by = $1 AND deleted_at IS NULL ORDER BY id", owner)
            .await?;
    let models =
        ids(db, "SELECT id FROM models WHERE managed_by = $1 AND deleted_at IS NULL ORDER BY id", owner)
            .await?;
    let providers = ids(db, "SELECT id FROM providers WHERE managed_by = $1 AND tenant IS NULL AND deleted_at IS NULL ORDER BY id", owner).await?;
    let policies = pairs(
        db,
        "SELECT owner, id FROM policies WHERE managed_by = $1 AND deleted_at IS NULL ORDER BY owner, id",
        owner,
    )
    .await?;
    let webhooks = pairs(
        db,
        "SELECT owner, id FROM webhooks WHERE managed_by = $1 AND deleted_at IS NULL ORDER BY owner, id",
        owner,
    )
    .await?;
    let of_tenant = |owner: String| (!owner.is_empty()).then(|| TenantId::new(owner));
    Ok(Owned {
        credentials: credentials
            .into_iter()
            .map(|(tenant, id)| (TenantId::new(tenant), CredentialId::new(id)))
            .collect(),
        webhooks: webhooks.into_iter().map(|(owner, id)| (of_tenant(owner), WebhookId::new(id))).collect(),
        policies: policies.into_iter().map(|(owner, id)| (of_tenant(owner), PolicyId::new(id))).collect(),
        keys: keys.into_iter().map(|(tenant, id)| (TenantId::new(tenant), KeyId::new(id))).collect(),
        tenants: tenants.into_iter().map(TenantId::new).collect(),
        endpoints: endpoints
            .into_iter()
            .map(|(model, id)| (ModelId::new(model), EndpointId::new(id)))
            .collect(),
        models: models.into_iter().map(ModelId::new).collect(),
        providers: providers.into_iter().map(ProviderId::new).collect(),
    })
}

async fn ids(db: &mut PgConnection, statement: &'static str, owner: &str) -> Result<Vec<String>, StoreError> {
    Ok(sqlx::query_scalar(statement).bind(owner).fetch_all(db).await?)
}

async fn pairs(
    db: &mut PgConnection,
    statement: &'static str,
    owner: &str,
) -> Result<Vec<(String, String)>, StoreError> {
    Ok(sqlx::query_as(statement).bind(owner).fetch_all(db).await?)
}

/// A row that is about to be removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Row<'a> {
    Key(&'a KeyId),
    Tenant(&'a TenantId),
    Endpoint(&'a ModelId, &'a EndpointId),
    Model(&'a ModelId),
    Provider(&'a ProviderId),
}

/// Whether a row must stay, if only disabled: the ledger names it, or rows hang on it that would go with it.
///
/// Lines are found by index for tenants and keys. Models and providers have none: removing one that was never used
/// reads the ledger once, outside of the revision lock.
pub async fn is_needed(
    db: &mut PgConnection,
    _allowed: &Allowed<Apply>,
    row: Row<'_>,
) -> Result<bool, StoreError> {
    let (statement, first, second) = match row {
        Row::Key(id) => ("SELECT EXISTS (SELECT FROM lines WHERE key = $1 AND $2 = '')", id.as_str(), ""),
        Row::Tenant(id) => (
            "SELECT EXISTS (SELECT FROM lines WHERE tenant = $1 AND $2 = '')
                 OR EXISTS (SELECT FROM keys WHERE tenant = $1 AND deleted_at IS NULL)
                 OR EXISTS (SELECT FROM credentials WHERE tenant = $1 AND deleted_at IS NULL)
                 OR EXISTS (SELECT FROM providers WHERE tenant = $1 AND deleted_at IS NULL)
                 OR EXISTS (SELECT FROM policies WHERE tenant = $1 AND deleted_at IS NULL)
                 OR EXISTS (SELECT FROM presets WHERE tenant = $1 AND deleted_at IS NULL)
                 OR EXISTS (SELECT FROM webhooks WHERE tenant = $1 AND deleted_at IS NULL)
                 OR EXISTS (SELECT FROM admin_tokens WHERE tenant = $1 AND deleted_at IS NULL)",
            id.as_str(),
            "",
        ),
        Row::Endpoint(model, id) => (
            "SELECT EXISTS (SELECT FROM lines WHERE model = $1 AND endpoint = $2)",
            model.as_str(),
            id.as_str(),
        ),
        Row::Model(id) => (
            "SELECT EXISTS (SELECT FROM endpoints WHERE model = $1 AND deleted_at IS NULL AND $2 = '')
                 OR EXISTS (SELECT FROM lines WHERE model = $1)",
            id.as_str(),
            "",
        ),
        Row::Provider(id) => (
            "SELECT EXISTS (SELECT FROM endpoints WHERE provider = $1 AND deleted_at IS NULL AND $2 = '')
                 OR EXISTS (SELECT FROM credentials WHERE provider = $1 AND deleted_at IS NULL)
                 OR EXISTS (SELECT FROM lines WHERE provider = $1)",
            id.as_str(),
            "",
        ),
    };
    Ok(sqlx::query_scalar(statement).bind(first).bind(second).fetch_one(db).await?)
}

/// A transaction that reads one state of everything and writes nothing.
pub async fn reading(
    pool: &PgPool,
    _allowed: &Allowed<Apply>,
) -> Result<Transaction<'static, Postgres>, StoreError> {
    let mut tx = pool.begin().await?;
    sqlx::query("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY").execute(&mut *tx).await?;
    Ok(tx)
}
