//! SQL of tenants.

use sqlx::{PgConnection, types::Json};
use switchyard_proto::id::TenantId;

use crate::{
    domain::{
        budget::Budget,
        page::{self, ByAge, Listed, Page},
        permission::{Allowed, MoveCredits, ReadTenants, WriteTenants},
        price,
        tenant::{Draft, Rules, Tenant},
    },
    store::{
        MetaRow, RatesRow, StoreError, limit_columns,
        revision::{Change, Table},
        signed, spend_limit, start, unsigned,
    },
};

macro_rules! columns {
    () => {
        "id, name, disabled, requests_per_minute, tokens_per_minute, concurrency, prepaid, credits_nano, markup_ppm, \
         allowed_models, allowed_providers, ignored_providers, zdr, data_collection, allowed_regions, price_book, budgets, include_byok_in_budgets, user_limit_nano, user_limit_reset, revision, managed_by, managed_revision, created_at, updated_at"
    };
}

#[derive(sqlx::FromRow)]
struct Row {
    id: String,
    name: String,
    disabled: bool,
    #[sqlx(flatten)]
    rates: RatesRow,
    prepaid: bool,
    credits_nano: i64,
    markup_ppm: i64,
    allowed_models: Vec<String>,
    price_book: Json<Vec<price::Rule>>,
    #[sqlx(flatten)]
    rules: RulesRow,
    budgets: Json<Vec<Budget>>,
    include_byok_in_budgets: bool,
    user_limit_nano: Option<i64>,
    user_limit_reset: String,
    #[sqlx(flatten)]
    meta: MetaRow,
}

/// The columns of a tenant's rules.
#[derive(sqlx::FromRow)]
struct RulesRow {
    allowed_providers: Vec<String>,
    ignored_providers: Vec<String>,
    zdr: bool,
    data_collection: String,
    allowed_regions: Vec<String>,
}

impl From<RulesRow> for Rules {
    fn from(row: RulesRow) -> Self {
        Self {
            allowed_providers: row.allowed_providers,
            ignored_providers: row.ignored_providers,
            zdr: row.zdr,
            data_collection: row.data_collection,
            allowed_regions: row.allowed_regions,
        }
    }
}

impl From<Row> for Tenant {
    fn from(row: Row) -> Self {
        Self {
            id: TenantId::new(row.id),
            draft: Draft {
                name: row.name,
                disabled: row.disabled,
                rates: row.rates.into(),
                prepaid: row.prepaid,
                markup_ppm: unsigned(row.markup_ppm),
                allowed_models: row.allowed_models,
                rules: row.rules.into(),
                price_book: row.price_book.0,
                budgets: row.budgets.0,
                include_byok_in_budgets: row.include_byok_in_budgets,
                user_limit: spend_limit(row.user_limit_nano, &row.user_limit_reset),
            },
            credits_nano: row.credits_nano,
            meta: row.meta.into(),
        }
    }
}

/// Lists the tenants that the access covers, oldest first.
pub async fn list(
    db: &mut PgConnection,
    allowed: &Allowed<ReadTenants>,
    page: &Page<ByAge>,
) -> Result<Listed<Tenant>, StoreError> {
    let (after, after_id) = start(page);
    let rows: Vec<Row> = sqlx::query_as(concat!(
        "SELECT ",
        columns!(),
        " FROM tenants WHERE ($1::text IS NULL OR id = $1) AND deleted_at IS NULL AND (created_at, id) > ($2, $3)
          ORDER BY created_at, id LIMIT $4"
    ))
    .bind(allowed.scope())
    .bind(after)
    .bind(after_id)
    .bind(page.fetch())
    .fetch_all(db)
    .await?;
    let tenants = rows.into_iter().map(Tenant::from).collect();
    Ok(page.cut(tenants, |tenant: &Tenant| page::by_age(tenant.meta.created_at, tenant.id.as_str())))
}

/// The access's tenant.
pub async fn get(db: &mut PgConnection, allowed: &Allowed<ReadTenants>) -> Result<Tenant, StoreError> {
    let row: Row =
        sqlx::query_as(concat!("SELECT ", columns!(), " FROM tenants WHERE id = $1 AND deleted_at IS NULL"))
            .bind(allowed.scope())
            .fetch_one(db)
            .await?;
    Ok(row.into())
}

/// Whether the access's tenant is there. For rights to read what belongs to it.
pub async fn check<A>(db: &mut PgConnection, allowed: &Allowed<A>) -> Result<(), StoreError> {
    let found: Option<i32> = sqlx::query_scalar("SELECT 1 FROM tenants WHERE id = $1 AND deleted_at IS NULL")
        .bind(allowed.scope())
        .fetch_optional(db)
        .await?;
    found.map(|_| ()).ok_or(StoreError::NotFound)
}

/// Whether a tenant is there; keeps it from being deleted until the change ends. For rights to write what belongs to it.
pub async fn hold<A>(change: &mut Change, _allowed: &Allowed<A>, id: &TenantId) -> Result<(), StoreError> {
    let found: Option<i32> =
        sqlx::query_scalar("SELECT 1 FROM tenants WHERE id = $1 AND deleted_at IS NULL FOR SHARE")
            .bind(id.as_str())
            .fetch_optional(change.connection())
            .await?;
    found.map(|_| ()).ok_or(StoreError::NotFound)
}

/// A tenant, locked until the change ends.
pub async fn lock(
    change: &mut Change,
    _allowed: &Allowed<WriteTenants>,
    id: &TenantId,
) -> Result<Tenant, StoreError> {
    let row: Row = sqlx::query_as(concat!(
        "SELECT ",
        columns!(),
        " FROM tenants WHERE id = $1 AND deleted_at IS NULL FOR UPDATE"
    ))
    .bind(id.as_str())
    .fetch_one(change.connection())
    .await?;
    Ok(row.into())
}

/// Adds a tenant. A deleted one of the same id comes back with its credits and history, but none of its keys; also when its
/// row is gone by now.
///
/// # Errors
/// [`StoreError::Duplicate`] of `tenants_pkey`, among others.
pub async fn insert(
    change: &mut Change,
    _allowed: &Allowed<WriteTenants>,
    id: &TenantId,
    draft: &Draft,
) -> Result<Tenant, StoreError> {
    let managed_by = change.managed_by();
    let (user_limit_nano, user_limit_reset) = limit_columns(draft.user_limit);
    let row: Option<Row> = sqlx::query_as(concat!(
        "INSERT INTO tenants (id, name, disabled, requests_per_minute, tokens_per_minute, concurrency, prepaid,
             markup_ppm, allowed_models, managed_by, allowed_providers, ignored_providers, zdr, data_collection,
             allowed_regions, price_book, budgets, include_byok_in_budgets, user_limit_nano, user_limit_reset)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20)
         ON CONFLICT (id) DO UPDATE SET name = $2, disabled = $3, requests_per_minute = $4, tokens_per_minute = $5,
             concurrency = $6, prepaid = $7, markup_ppm = $8, allowed_models = $9, managed_by = $10,
             allowed_providers = $11, ignored_providers = $12, zdr = $13, data_collection = $14, allowed_regions = $15,
             price_book = $16, budgets = $17, include_byok_in_budgets = $18, user_limit_nano = $19,
             user_limit_reset = $20, managed_revision = 0, created_at = statement_timestamp(),
             updated_at = statement_timestamp(), deleted_at = NULL
             WHERE tenants.deleted_at IS NOT NULL
         RETURNING ",
        columns!()
    ))
    .bind(id.as_str())
    .bind(&draft.name)
    .bind(draft.disabled)
    .bind(draft.rates.requests_per_minute.map(signed))
    .bind(draft.rates.tokens_per_minute.map(signed))
    .bind(draft.rates.concurrency.map(signed))
    .bind(draft.prepaid)
    .bind(signed(draft.markup_ppm))
    .bind(&draft.allowed_models)
    .bind(managed_by)
    .bind(&draft.rules.allowed_providers)
    .bind(&draft.rules.ignored_providers)
    .bind(draft.rules.zdr)
    .bind(&draft.rules.data_collection)
    .bind(&draft.rules.allowed_regions)
    .bind(Json(&draft.price_book))
    .bind(Json(&draft.budgets))
    .bind(draft.include_byok_in_budgets)
    .bind(user_limit_nano)
    .bind(user_limit_reset)
    .fetch_optional(change.connection())
    .await?;
    let mut tenant = row.map(Tenant::from).ok_or_else(|| StoreError::Duplicate("tenants_pkey".to_owned()))?;
    change.touch(Table::Tenants, id.as_str(), "");
    if let Some(credits_nano) = take_back_credits(change, id).await? {
        tenant.credits_nano = credits_nano;
    }
    Ok(tenant)
}

/// What a tenant of this id had been granted when its row was removed; the accounts that it was spent from are there still.
async fn take_back_credits(change: &mut Change, id: &TenantId) -> Result<Option<i64>, StoreError> {
    // After the insert, which waits for a purge that is under way.
    let credits = sqlx::query_scalar(
        "WITH back AS (DELETE FROM purged_tenants WHERE tenant = $1 RETURNING credits_nano)
         UPDATE tenants t SET credits_nano = t.credits_nano + back.credits_nano FROM back WHERE t.id = $1
         RETURNING t.credits_nano",
    );
    Ok(credits.bind(id.as_str()).fetch_optional(change.connection()).await?)
}

/// Writes what the operator chose of a tenant.
pub async fn update(
    change: &mut Change,
    _allowed: &Allowed<WriteTenants>,
    id: &TenantId,
    draft: &Draft,
) -> Result<Tenant, StoreError> {
    let (user_limit_nano, user_limit_reset) = limit_columns(draft.user_limit);
    let row: Row = sqlx::query_as(concat!(
        "UPDATE tenants SET name = $2, disabled = $3, requests_per_minute = $4, tokens_per_minute = $5,
             concurrency = $6, prepaid = $7, markup_ppm = $8, allowed_models = $9, allowed_providers = $10,
             ignored_providers = $11, zdr = $12, data_collection = $13, allowed_regions = $14, price_book = $15,
             budgets = $16, include_byok_in_budgets = $17, user_limit_nano = $18, user_limit_reset = $19,
             updated_at = statement_timestamp()
         WHERE id = $1 AND deleted_at IS NULL RETURNING ",
        columns!()
    ))
    .bind(id.as_str())
    .bind(&draft.name)
    .bind(draft.disabled)
    .bind(draft.rates.requests_per_minute.map(signed))
    .bind(draft.rates.tokens_per_minute.map(signed))
    .bind(draft.rates.concurrency.map(signed))
    .bind(draft.prepaid)
    .bind(signed(draft.markup_ppm))
    .bind(&draft.allowed_models)
    .bind(&draft.rules.allowed_providers)
    .bind(&draft.rules.ignored_providers)
    .bind(draft.rules.zdr)
    .bind(&draft.rules.data_collection)
    .bind(&draft.rules.allowed_regions)
    .bind(Json(&draft.price_book))
    .bind(Json(&draft.budgets))
    .bind(draft.include_byok_in_budgets)
    .bind(user_limit_nano)
    .bind(user_limit_reset)
    .fetch_one(change.connection())
    .await?;
    change.touch(Table::Tenants, id.as_str(), "");
    Ok(row.into())
}

/// A tenant whose credits are about to move, locked until the change ends.
pub async fn lock_for_credits(
    change: &mut Change,
    _allowed: &Allowed<MoveCredits>,
    id: &TenantId,
) -> Result<Tenant, StoreError> {
    let row: Row = sqlx::query_as(concat!(
        "SELECT ",
        columns!(),
        " FROM tenants WHERE id = $1 AND deleted_at IS NULL FOR UPDATE"
    ))
    .bind(id.as_str())
    .fetch_one(change.connection())
    .await?;
    Ok(row.into())
}

/// Writes the sum of credits granted of a locked tenant.
///
/// Not a config change: data planes learn of credits by their leases.
pub async fn set_credits(
    change: &mut Change,
    _allowed: &Allowed<MoveCredits>,
    id: &TenantId,
    credits_nano: i64,
) -> Result<(), StoreError> {
    sqlx::query("UPDATE tenants SET credits_nano = $2 WHERE id = $1")
        .bind(id.as_str())
        .bind(credits_nano)
        .execute(change.connection())
        .await?;
    Ok(())
}

/// Makes a tenant a tombstone.
pub async fn delete(
    change: &mut Change,
    _allowed: &Allowed<WriteTenants>,
    id: &TenantId,
) -> Result<(), StoreError> {
    sqlx::query("UPDATE tenants SET deleted_at = now(), updated_at = statement_timestamp() WHERE id = $1")
        .bind(id.as_str())
        .execute(change.connection())
        .await?;
    change.touch(Table::Tenants, id.as_str(), "");
    Ok(())
}
