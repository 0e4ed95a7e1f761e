//! SQL of providers, their credentials apart.

use std::collections::BTreeMap;

use sqlx::{PgConnection, types::Json};
use switchyard_proto::id::{ProviderId, TenantId};

use crate::{
    domain::{
        credential::Address,
        page::{self, ByAge, Listed, Page},
        permission::{Allowed, ReadCatalogue, WriteCatalogue, WriteCredentials},
        provider::{DataPolicy, Draft, Provider},
    },
    store::{
        MetaRow, RatesRow, StoreError, limit_columns,
        revision::{Change, Table},
        signed, spend_limit, start, unsigned,
    },
};

macro_rules! columns {
    () => {
        "id, tenant, display_name, adapter, base_url, retains_prompts, trains, region, disabled, quirks, \
         connect_timeout_ms, first_content_timeout_ms, idle_timeout_ms, total_timeout_ms, credential_ref, profile, auth, \
         zdr, headers_timeout_ms, min_tokens_per_second, requests_per_minute, tokens_per_minute, concurrency, \
         credential_budget_nano, credential_budget_reset, \
         EXISTS (SELECT FROM provider_credentials c WHERE c.provider = providers.id) AS has_credential, \
         revision, managed_by, managed_revision, created_at, updated_at"
    };
}

#[derive(sqlx::FromRow)]
struct Row {
    id: String,
    tenant: Option<String>,
    display_name: String,
    adapter: String,
    base_url: String,
    retains_prompts: Option<bool>,
    trains: Option<bool>,
    region: String,
    disabled: bool,
    quirks: Json<BTreeMap<String, String>>,
    connect_timeout_ms: i64,
    first_content_timeout_ms: i64,
    idle_timeout_ms: i64,
    total_timeout_ms: i64,
    credential_ref: String,
    profile: String,
    auth: String,
    zdr: Option<bool>,
    headers_timeout_ms: i64,
    min_tokens_per_second: f64,
    #[sqlx(flatten)]
    rates: RatesRow,
    credential_budget_nano: Option<i64>,
    credential_budget_reset: String,
    has_credential: bool,
    #[sqlx(flatten)]
    meta: MetaRow,
}

impl From<Row> for Provider {
    fn from(row: Row) -> Self {
        Self {
            id: ProviderId::new(row.id),
            tenant: row.tenant.map(TenantId::new),
            draft: Draft {
                profile: row.profile,
                display_name: row.display_name,
                adapter: row.adapter,
                base_url: row.base_url,
                auth: row.auth,
                data_policy: DataPolicy {
                    retains_prompts: row.retains_prompts,
                    trains: row.trains,
                    zdr: row.zdr,
                },
                region: row.region,
                disabled: row.disabled,
                quirks: row.quirks.0,
                connect_timeout_ms: unsigned(row.connect_timeout_ms),
                headers_timeout_ms: unsigned(row.headers_timeout_ms),
                first_content_timeout_ms: unsigned(row.first_content_timeout_ms),
                idle_timeout_ms: unsigned(row.idle_timeout_ms),
                total_timeout_ms: unsigned(row.total_timeout_ms),
                min_tokens_per_second: row.min_tokens_per_second,
                rates: row.rates.into(),
                credential_budget: spend_limit(row.credential_budget_nano, &row.credential_budget_reset),
            },
            has_credential: row.has_credential,
            credential_ref: row.credential_ref,
            meta: row.meta.into(),
        }
    }
}

/// Lists the operator's providers, and those of the access's tenant (all tenants' where it has none), oldest first.
pub async fn list(
    db: &mut PgConnection,
    allowed: &Allowed<ReadCatalogue>,
    page: &Page<ByAge>,
) -> Result<Listed<Provider>, StoreError> {
    let (after, after_id) = start(page);
    let rows: Vec<Row> = sqlx::query_as(concat!(
        "SELECT ",
        columns!(),
        " FROM providers WHERE (tenant IS NULL OR $1::text IS NULL OR tenant = $1) AND deleted_at IS NULL
          AND (created_at, id) > ($2, $3) ORDER BY created_at, id LIMIT $4"
    ))
    .bind(allowed.scope())
    .bind(after)
    .bind(after_id)
    .bind(page.fetch())
    .fetch_all(db)
    .await?;
    let providers = rows.into_iter().map(Provider::from).collect();
    Ok(page
        .cut(providers, |provider: &Provider| page::by_age(provider.meta.created_at, provider.id.as_str())))
}

/// One provider.
pub async fn get(
    db: &mut PgConnection,
    allowed: &Allowed<ReadCatalogue>,
    id: &ProviderId,
) -> Result<Provider, StoreError> {
    let row: Row = sqlx::query_as(concat!(
        "SELECT ",
        columns!(),
        " FROM providers WHERE (tenant IS NULL OR $1::text IS NULL OR tenant = $1) AND id = $2
          AND deleted_at IS NULL"
    ))
    .bind(allowed.scope())
    .bind(id.as_str())
    .fetch_one(db)
    .await?;
    Ok(row.into())
}

/// Whether a provider is there; keeps it from being deleted until the change ends.
pub async fn hold(
    change: &mut Change,
    _allowed: &Allowed<WriteCatalogue>,
    id: &ProviderId,
) -> Result<(), StoreError> {
    let found: Option<i32> =
        sqlx::query_scalar("SELECT 1 FROM providers WHERE id = $1 AND deleted_at IS NULL FOR SHARE")
            .bind(id.as_str())
            .fetch_optional(change.connection())
            .await?;
    found.map(|_| ()).ok_or(StoreError::NotFound)
}

/// Where one of the operator's providers is; keeps it so until the change ends. For tenants' credentials for it.
pub async fn hold_address(
    change: &mut Change,
    _allowed: &Allowed<WriteCredentials>,
    id: &ProviderId,
) -> Result<Address, StoreError> {
    let (profile, base_url) = sqlx::query_as(
        "SELECT profile, base_url FROM providers WHERE id = $1 AND tenant IS NULL AND deleted_at IS NULL FOR SHARE",
    )
    .bind(id.as_str())
    .fetch_one(change.connection())
    .await?;
    Ok(Address { profile, base_url })
}

/// One provider, locked until the change ends.
pub async fn lock(
    change: &mut Change,
    _allowed: &Allowed<WriteCatalogue>,
    id: &ProviderId,
) -> Result<Provider, StoreError> {
    let row: Row = sqlx::query_as(concat!(
        "SELECT ",
        columns!(),
        " FROM providers WHERE id = $1 AND deleted_at IS NULL FOR UPDATE"
    ))
    .bind(id.as_str())
    .fetch_one(change.connection())
    .await?;
    Ok(row.into())
}

/// Adds a provider of the operator's; a deleted one of the same id comes back as this one.
///
/// # Errors
/// [`StoreError::Duplicate`] of `providers_pkey`, among others.
pub async fn insert(
    change: &mut Change,
    _allowed: &Allowed<WriteCatalogue>,
    id: &ProviderId,
    draft: &Draft,
    credential_ref: &str,
) -> Result<Provider, StoreError> {
    let managed_by = change.managed_by();
    let (budget_nano, budget_reset) = limit_columns(draft.credential_budget);
    let row: Option<Row> = sqlx::query_as(concat!(
        "INSERT INTO providers (id, display_name, adapter, base_url, retains_prompts, trains, region, disabled, quirks,
             connect_timeout_ms, first_content_timeout_ms, idle_timeout_ms, total_timeout_ms, credential_ref,
             managed_by, profile, auth, zdr, headers_timeout_ms, min_tokens_per_second, requests_per_minute,
             tokens_per_minute, concurrency, credential_budget_nano, credential_budget_reset)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21, $22, $23,
             $24, $25)
         ON CONFLICT (id) DO UPDATE SET tenant = NULL, display_name = $2, adapter = $3, base_url = $4,
             retains_prompts = $5, trains = $6, region = $7, disabled = $8, quirks = $9, connect_timeout_ms = $10,
             first_content_timeout_ms = $11, idle_timeout_ms = $12, total_timeout_ms = $13, credential_ref = $14,
             managed_by = $15, profile = $16, auth = $17, zdr = $18, headers_timeout_ms = $19,
             min_tokens_per_second = $20, requests_per_minute = $21, tokens_per_minute = $22, concurrency = $23,
             credential_budget_nano = $24, credential_budget_reset = $25,
             managed_revision = 0, created_at = statement_timestamp(),
             updated_at = statement_timestamp(), deleted_at = NULL
             WHERE providers.deleted_at IS NOT NULL
         RETURNING ",
        columns!()
    ))
    .bind(id.as_str())
    .bind(&draft.display_name)
    .bind(&draft.adapter)
    .bind(&draft.base_url)
    .bind(draft.data_policy.retains_prompts)
    .bind(draft.data_policy.trains)
    .bind(&draft.region)
    .bind(draft.disabled)
    .bind(Json(&draft.quirks))
    .bind(signed(draft.connect_timeout_ms))
    .bind(signed(draft.first_content_timeout_ms))
    .bind(signed(draft.idle_timeout_ms))
    .bind(signed(draft.total_timeout_ms))
    .bind(credential_ref)
    .bind(managed_by)
    .bind(&draft.profile)
    .bind(&draft.auth)
    .bind(draft.data_policy.zdr)
    .bind(signed(draft.headers_timeout_ms))
    .bind(draft.min_tokens_per_second)
    .bind(draft.rates.requests_per_minute.map(signed))
    .bind(draft.rates.tokens_per_minute.map(signed))
    .bind(draft.rates.concurrency.map(signed))
    .bind(budget_nano)
    .bind(budget_reset)
    .fetch_optional(change.connection())
    .await?;
    change.touch(Table::Providers, id.as_str(), "");
    row.map(Provider::from).ok_or_else(|| StoreError::Duplicate("providers_pkey".to_owned()))
}

/// Writes what the operator chose of a provider.
pub async fn update(
    change: &mut Change,
    _allowed: &Allowed<WriteCatalogue>,
    id: &ProviderId,
    draft: &Draft,
    credential_ref: &str,
) -> Result<Provider, StoreError> {
    let (budget_nano, budget_reset) = limit_columns(draft.credential_budget);
    let row: Row = sqlx::query_as(concat!(
        "UPDATE providers SET display_name = $2, adapter = $3, base_url = $4, retains_prompts = $5, trains = $6,
             region = $7, disabled = $8, quirks = $9, connect_timeout_ms = $10, first_content_timeout_ms = $11,
             idle_timeout_ms = $12, total_timeout_ms = $13, credential_ref = $14, profile = $15, auth = $16,
             zdr = $17, headers_timeout_ms = $18, min_tokens_per_second = $19, requests_per_minute = $20,
             tokens_per_minute = $21, concurrency = $22, credential_budget_nano = $23, credential_budget_reset = $24,
             updated_at = statement_timestamp()
         WHERE id = $1 AND deleted_at IS NULL RETURNING ",
        columns!()
    ))
    .bind(id.as_str())
    .bind(&draft.display_name)
    .bind(&draft.adapter)
    .bind(&draft.base_url)
    .bind(draft.data_policy.retains_prompts)
    .bind(draft.data_policy.trains)
    .bind(&draft.region)
    .bind(draft.disabled)
    .bind(Json(&draft.quirks))
    .bind(signed(draft.connect_timeout_ms))
    .bind(signed(draft.first_content_timeout_ms))
    .bind(signed(draft.idle_timeout_ms))
    .bind(signed(draft.total_timeout_ms))
    .bind(credential_ref)
    .bind(&draft.profile)
    .bind(&draft.auth)
    .bind(draft.data_policy.zdr)
    .bind(signed(draft.headers_timeout_ms))
    .bind(draft.min_tokens_per_second)
    .bind(draft.rates.requests_per_minute.map(signed))
    .bind(draft.rates.tokens_per_minute.map(signed))
    .bind(draft.rates.concurrency.map(signed))
    .bind(budget_nano)
    .bind(budget_reset)
    .fetch_one(change.connection())
    .await?;
    change.touch(Table::Providers, id.as_str(), "");
    Ok(row.into())
}

/// Live endpoints that a provider serves, as `model#endpoint`; at most eleven.
pub async fn users(
    change: &mut Change,
    _allowed: &Allowed<WriteCatalogue>,
    id: &ProviderId,
) -> Result<Vec<String>, StoreError> {
    let users = sqlx::query_scalar(
        "SELECT model || '#' || id FROM endpoints WHERE provider = $1 AND deleted_at IS NULL
         ORDER BY model, id LIMIT 11",
    )
    .bind(id.as_str())
    .fetch_all(change.connection())
    .await?;
    Ok(users)
}

/// Makes a provider a tombstone.
pub async fn delete(
    change: &mut Change,
    _allowed: &Allowed<WriteCatalogue>,
    id: &ProviderId,
) -> Result<(), StoreError> {
    sqlx::query("UPDATE providers SET deleted_at = now(), updated_at = statement_timestamp() WHERE id = $1")
        .bind(id.as_str())
        .execute(change.connection())
        .await?;
    change.touch(Table::Providers, id.as_str(), "");
    Ok(())
}
