//! SQL of the config stream: everything that changed since a revision, read as of one moment.
//!
//! Rows are those that data planes need, with the columns that they need. Secrets are `store::sealed`'s and
//! `store::credential`'s business,
//! turning rows into messages `distribution::snapshot`'s.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use futures_util::stream::BoxStream;
use sqlx::{PgConnection, PgPool, Postgres, Transaction, types::Json};
use switchyard_proto::price::{Parts, written::Schedule};

use crate::{
    domain::{budget::Budget, meta::Revision, policy, price},
    store::{StoreError, signed, unsigned},
};

/// The config state at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct State {
    pub revision: Revision,
    /// Who holds less than this needs a full state: tombstones up to it are gone.
    pub tombstones_from: u64,
}

/// The newest state.
pub async fn state(db: &mut PgConnection) -> Result<State, StoreError> {
    let (incarnation, revision, tombstones_from): (String, i64, i64) =
        sqlx::query_as("SELECT incarnation::text, revision, tombstones_from FROM config_state")
            .fetch_one(db)
            .await?;
    let revision = Revision { incarnation, number: unsigned(revision) };
    Ok(State { revision, tombstones_from: unsigned(tombstones_from) })
}

/// A transaction that sees the config as of one moment.
pub struct Reader {
    tx: Transaction<'static, Postgres>,
}

#[derive(Debug, sqlx::FromRow)]
pub struct Provider {
    pub revision: i64,
    pub id: String,
    pub tenant: Option<String>,
    pub display_name: String,
    pub profile: String,
    pub adapter: String,
    pub base_url: String,
    pub auth: String,
    pub retains_prompts: Option<bool>,
    pub trains: Option<bool>,
    pub zdr: Option<bool>,
    pub region: String,
    pub disabled: bool,
    pub quirks: Json<BTreeMap<String, String>>,
    pub connect_timeout_ms: i64,
    pub headers_timeout_ms: i64,
    pub first_content_timeout_ms: i64,
    pub idle_timeout_ms: i64,
    pub total_timeout_ms: i64,
    pub min_tokens_per_second: f64,
    pub requests_per_minute: Option<i64>,
    pub tokens_per_minute: Option<i64>,
    pub concurrency: Option<i64>,
    pub credential_budget_nano: Option<i64>,
    pub credential_budget_reset: String,
    /// Names of the quirks that were filled in from the profile; no column.
    #[sqlx(skip)]
    pub profile_quirks: Vec<String>,
}

#[derive(Debug, sqlx::FromRow)]
pub struct Model {
    pub revision: i64,
    pub id: String,
    pub name: String,
    pub description: String,
    pub released_at: Option<DateTime<Utc>>,
    pub created_at: DateTime<Utc>,
    pub input_modalities: Vec<String>,
    pub output_modalities: Vec<String>,
    pub tokenizer: String,
    pub aliases: Vec<String>,
    pub disabled: bool,
    pub distillable: Option<bool>,
    pub requests_per_minute: Option<i64>,
    pub tokens_per_minute: Option<i64>,
    pub concurrency: Option<i64>,
}

#[derive(Debug, sqlx::FromRow)]
pub struct Endpoint {
    pub revision: i64,
    pub model: String,
    pub id: String,
    pub provider: String,
    pub upstream_id: String,
    pub context_length: i64,
    pub max_output_tokens: i64,
    pub price: Json<Parts>,
    pub supported_parameters: Vec<String>,
    pub quantization: String,
    pub cancel_stops_billing: bool,
    pub disabled: bool,
    pub quirks: Json<BTreeMap<String, String>>,
    pub input_modalities: Vec<String>,
    pub billing: Json<BTreeMap<String, u64>>,
    pub service_tier: String,
    pub price_schedule: Json<Schedule>,
}

#[derive(Debug, sqlx::FromRow)]
pub struct Tenant {
    pub revision: i64,
    pub id: String,
    pub name: String,
    pub disabled: bool,
    pub requests_per_minute: Option<i64>,
    pub tokens_per_minute: Option<i64>,
    pub concurrency: Option<i64>,
    pub prepaid: bool,
    pub markup_ppm: i64,
    pub allowed_models: Vec<String>,
    pub allowed_providers: Vec<String>,
    pub ignored_providers: Vec<String>,
    pub zdr: bool,
    pub data_collection: String,
    pub allowed_regions: Vec<String>,
    pub price_book: Json<Vec<price::Rule>>,
    pub budgets: Json<Vec<Budget>>,
    pub include_byok_in_budgets: bool,
    pub user_limit_nano: Option<i64>,
    pub user_limit_reset: String,
}

#[derive(Debug, sqlx::FromRow)]
pub struct Policy {
    pub revision: i64,
    /// A tenant; empty: the operator.
    pub owner: String,
    pub id: String,
    pub description: String,
    pub disabled: bool,
    #[sqlx(rename = "match")]
    pub matches: String,
    pub priority: i32,
    pub stages: Json<Vec<policy::Stage>>,
    pub sticky_by: String,
    pub deadlines: Json<policy::Deadlines>,
}

#[derive(Debug, sqlx::FromRow)]
pub struct Preset {
    pub revision: i64,
    pub tenant: String,
    pub id: String,
    pub disabled: bool,
    pub version: i64,
    pub system_prompt: String,
    pub config: String,
}

#[derive(Debug, sqlx::FromRow)]
pub struct Key {
    pub revision: i64,
    pub id: String,
    pub tenant: String,
    pub name: String,
    pub sha256: Vec<u8>,
    pub label: String,
    pub disabled: bool,
    pub expires_at: Option<DateTime<Utc>>,
    pub limit_nano: Option<i64>,
    pub limit_reset: String,
    pub requests_per_minute: Option<i64>,
    pub tokens_per_minute: Option<i64>,
    pub concurrency: Option<i64>,
    pub allowed_models: Vec<String>,
    pub include_byok_in_limit: bool,
    pub trust_user: bool,
    pub user_limit_nano: Option<i64>,
    pub user_limit_reset: String,
    pub created_at: DateTime<Utc>,
}

/// Something that is gone.
#[derive(Debug, sqlx::FromRow)]
pub struct Tombstone {
    pub revision: i64,
    pub id: String,
}

macro_rules! live {
    ($table:literal, $columns:literal) => {
        concat!(
            "SELECT revision, ",
            $columns,
            " FROM ",
            $table,
            " WHERE revision > $1 AND deleted_at IS NULL"
        )
    };
}

macro_rules! gone {
    ($table:literal, $id:literal) => {
        concat!(
            "SELECT revision, ",
            $id,
            " AS id FROM ",
            $table,
            " WHERE revision > $1 AND deleted_at IS NOT NULL"
        )
    };
}

macro_rules! key_columns {
    () => {
        "id, tenant, name, sha256, label, disabled, expires_at, limit_nano, limit_reset, requests_per_minute, \
         tokens_per_minute, concurrency, allowed_models, include_byok_in_limit, trust_user, user_limit_nano, \
         user_limit_reset, created_at"
    };
}

macro_rules! tenant_columns {
    () => {
        "id, name, disabled, requests_per_minute, tokens_per_minute, concurrency, prepaid, markup_ppm, allowed_models, \
         allowed_providers, ignored_providers, zdr, data_collection, allowed_regions, price_book, budgets, \
         include_byok_in_budgets, user_limit_nano, user_limit_reset"
    };
}

impl Reader {
    /// Fixes the moment, and says which state it shows.
    pub async fn open(pool: &PgPool) -> Result<(Self, State), StoreError> {
        let mut tx = pool.begin_with("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY").await?;
        let state = state(&mut tx).await?;
        Ok((Self { tx }, state))
    }

    /// For reads that belong to the same moment.
    pub fn connection(&mut self) -> &mut PgConnection {
        &mut self.tx
    }

    /// Live providers that changed after `since`; all of them without one.
    pub async fn providers(&mut self, since: Option<u64>) -> Result<Vec<Provider>, StoreError> {
        let rows = sqlx::query_as(live!(
            "providers",
            "id, tenant, display_name, profile, adapter, base_url, auth, retains_prompts, trains, region, disabled, \
             quirks, zdr, connect_timeout_ms, headers_timeout_ms, first_content_timeout_ms, idle_timeout_ms, \
             total_timeout_ms, min_tokens_per_second, requests_per_minute, tokens_per_minute, concurrency, \
             credential_budget_nano, credential_budget_reset"
        ));
        Ok(rows.bind(after(since)).fetch_all(&mut *self.tx).await?)
    }

    /// Live models that changed after `since`.
    pub fn models(&mut self, since: Option<u64>) -> BoxStream<'_, sqlx::Result<Model>> {
        let rows = sqlx::query_as(live!(
            "models",
            "id, name, description, released_at, created_at, input_modalities, output_modalities, tokenizer, \
             aliases, disabled, distillable, requests_per_minute, tokens_per_minute, concurrency"
        ));
        rows.bind(after(since)).fetch(&mut *self.tx)
    }

    /// Live endpoints that changed after `since`.
    pub fn endpoints(&mut self, since: Option<u64>) -> BoxStream<'_, sqlx::Result<Endpoint>> {
        let rows = sqlx::query_as(live!(
            "endpoints",
            "model, id, provider, upstream_id, context_length, max_output_tokens, price, supported_parameters, \
             quantization, cancel_stops_billing, disabled, quirks, input_modalities, billing, service_tier, \
             price_schedule"
        ));
        rows.bind(after(since)).fetch(&mut *self.tx)
    }

    /// Live tenants that changed after `since`.
    pub fn tenants(&mut self, since: Option<u64>) -> BoxStream<'_, sqlx::Result<Tenant>> {
        let rows = sqlx::query_as(concat!(
            "SELECT revision, ",
            tenant_columns!(),
            " FROM tenants WHERE revision > $1 AND deleted_at IS NULL"
        ));
        rows.bind(after(since)).fetch(&mut *self.tx)
    }

    /// Live policies that changed after `since`.
    pub fn policies(&mut self, since: Option<u64>) -> BoxStream<'_, sqlx::Result<Policy>> {
        let rows = sqlx::query_as(live!(
            "policies",
            "owner, id, description, disabled, match, priority, stages, sticky_by, deadlines"
        ));
        rows.bind(after(since)).fetch(&mut *self.tx)
    }

    /// Live presets that changed after `since`.
    pub fn presets(&mut self, since: Option<u64>) -> BoxStream<'_, sqlx::Result<Preset>> {
        let rows = sqlx::query_as(live!("presets", "tenant, id, disabled, version, system_prompt, config"));
        rows.bind(after(since)).fetch(&mut *self.tx)
    }

    /// Live keys that changed after `since`: a million of them, when a data plane holds nothing.
    pub fn keys(&mut self, since: Option<u64>) -> BoxStream<'_, sqlx::Result<Key>> {
        let rows = sqlx::query_as(concat!(
            "SELECT revision, ",
            key_columns!(),
            " FROM keys WHERE revision > $1 AND deleted_at IS NULL"
        ));
        rows.bind(after(since)).fetch(&mut *self.tx)
    }

    /// What was deleted after `since`, of one table.
    pub fn tombstones(&mut self, of: Table, since: Option<u64>) -> BoxStream<'_, sqlx::Result<Tombstone>> {
        let statement = match of {
            Table::Providers => gone!("providers", "id"),
            Table::Models => gone!("models", "id"),
            Table::Endpoints => gone!("endpoints", "model || '#' || id"),
            Table::Tenants => gone!("tenants", "id"),
            Table::Credentials => gone!("credentials", "tenant || '#' || id"),
            Table::Policies => gone!("policies", "owner || '#' || id"),
            Table::Presets => gone!("presets", "tenant || '#' || id"),
            Table::Keys => gone!("keys", "id"),
        };
        sqlx::query_as(statement).bind(after(since)).fetch(&mut *self.tx)
    }
}

/// Every revision that was ever drawn is greater than this.
const BEFORE_ALL: i64 = -1;

pub(in crate::store) fn after(since: Option<u64>) -> i64 {
    since.map_or(BEFORE_ALL, signed)
}

/// The tables that data planes hear of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Table {
    Providers,
    Models,
    Endpoints,
    Tenants,
    Credentials,
    Policies,
    Presets,
    Keys,
}

/// The live key with this secret, and its tenant, which is live too.
pub async fn by_secret(pool: &PgPool, sha256: &[u8]) -> Result<Option<(Key, Tenant)>, StoreError> {
    let (mut reader, _) = Reader::open(pool).await?;
    let key: Option<Key> = sqlx::query_as(concat!(
        "SELECT revision, ",
        key_columns!(),
        " FROM keys WHERE sha256 = $1 AND deleted_at IS NULL"
    ))
    .bind(sha256)
    .fetch_optional(reader.connection())
    .await?;
    let Some(key) = key else { return Ok(None) };
    let tenant: Option<Tenant> = sqlx::query_as(concat!(
        "SELECT revision, ",
        tenant_columns!(),
        " FROM tenants WHERE id = $1 AND deleted_at IS NULL"
    ))
    .bind(&key.tenant)
    .fetch_optional(reader.connection())
    .await?;
    Ok(tenant.map(|tenant| (key, tenant)))
}
