//! SQL of models, and of the names that lead to them.

use chrono::{DateTime, Utc};
use sqlx::PgConnection;
use switchyard_proto::id::ModelId;

use crate::{
    domain::{
        model::{Draft, Model},
        page::{self, ByAge, Listed, Page},
        permission::{Allowed, ReadCatalogue, WriteCatalogue},
    },
    store::{
        MetaRow, RatesRow, StoreError,
        revision::{Change, Table},
        signed, start,
    },
};

macro_rules! columns {
    () => {
        "id, name, description, released_at, input_modalities, output_modalities, tokenizer, aliases, disabled, \
         distillable, requests_per_minute, tokens_per_minute, concurrency, revision, managed_by, managed_revision, created_at, updated_at"
    };
}

#[derive(sqlx::FromRow)]
struct Row {
    id: String,
    name: String,
    description: String,
    released_at: Option<DateTime<Utc>>,
    input_modalities: Vec<String>,
    output_modalities: Vec<String>,
    tokenizer: String,
    aliases: Vec<String>,
    disabled: bool,
    distillable: Option<bool>,
    #[sqlx(flatten)]
    rates: RatesRow,
    #[sqlx(flatten)]
    meta: MetaRow,
}

impl From<Row> for Model {
    fn from(row: Row) -> Self {
        Self {
            id: ModelId::new(row.id),
            draft: Draft {
                name: row.name,
                description: row.description,
                released_at: row.released_at,
                input_modalities: row.input_modalities,
                output_modalities: row.output_modalities,
                tokenizer: row.tokenizer,
                aliases: row.aliases,
                disabled: row.disabled,
                distillable: row.distillable,
                rates: row.rates.into(),
            },
            meta: row.meta.into(),
        }
    }
}

/// Lists models, oldest first.
pub async fn list(
    db: &mut PgConnection,
    _allowed: &Allowed<ReadCatalogue>,
    page: &Page<ByAge>,
) -> Result<Listed<Model>, StoreError> {
    let (after, after_id) = start(page);
    let rows: Vec<Row> = sqlx::query_as(concat!(
        "SELECT ",
        columns!(),
        " FROM models WHERE deleted_at IS NULL AND (created_at, id) > ($1, $2) ORDER BY created_at, id LIMIT $3"
    ))
    .bind(after)
    .bind(after_id)
    .bind(page.fetch())
    .fetch_all(db)
    .await?;
    let models = rows.into_iter().map(Model::from).collect();
    Ok(page.cut(models, |model: &Model| page::by_age(model.meta.created_at, model.id.as_str())))
}

/// One model.
pub async fn get(
    db: &mut PgConnection,
    _allowed: &Allowed<ReadCatalogue>,
    id: &ModelId,
) -> Result<Model, StoreError> {
    let row: Row =
        sqlx::query_as(concat!("SELECT ", columns!(), " FROM models WHERE id = $1 AND deleted_at IS NULL"))
            .bind(id.as_str())
            .fetch_one(db)
            .await?;
    Ok(row.into())
}

/// Whether a model is there; keeps it from being deleted until the change ends.
pub async fn hold(
    change: &mut Change,
    _allowed: &Allowed<WriteCatalogue>,
    id: &ModelId,
) -> Result<(), StoreError> {
    let found: Option<i32> =
        sqlx::query_scalar("SELECT 1 FROM models WHERE id = $1 AND deleted_at IS NULL FOR SHARE")
            .bind(id.as_str())
            .fetch_optional(change.connection())
            .await?;
    found.map(|_| ()).ok_or(StoreError::NotFound)
}

/// One model, locked until the change ends.
pub async fn lock(
    change: &mut Change,
    _allowed: &Allowed<WriteCatalogue>,
    id: &ModelId,
) -> Result<Model, StoreError> {
    let row: Row = sqlx::query_as(concat!(
        "SELECT ",
        columns!(),
        " FROM models WHERE id = $1 AND deleted_at IS NULL FOR UPDATE"
    ))
    .bind(id.as_str())
    .fetch_one(change.connection())
    .await?;
    Ok(row.into())
}

/// Adds a model; a deleted one of the same id comes back as this one. Names are claimed by [`claim_names`].
///
/// # Errors
/// [`StoreError::Duplicate`] of `models_pkey`, among others.
pub async fn insert(
    change: &mut Change,
    _allowed: &Allowed<WriteCatalogue>,
    id: &ModelId,
    draft: &Draft,
) -> Result<Model, StoreError> {
    let managed_by = change.managed_by();
    let row: Option<Row> = sqlx::query_as(concat!(
        "INSERT INTO models (id, name, description, released_at, input_modalities, output_modalities, tokenizer,
             aliases, disabled, managed_by, distillable, requests_per_minute, tokens_per_minute, concurrency)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)
         ON CONFLICT (id) DO UPDATE SET name = $2, description = $3, released_at = $4, input_modalities = $5,
             output_modalities = $6, tokenizer = $7, aliases = $8, disabled = $9, managed_by = $10,
             distillable = $11, requests_per_minute = $12, tokens_per_minute = $13, concurrency = $14, managed_revision = 0, created_at = statement_timestamp(),
             updated_at = statement_timestamp(), deleted_at = NULL
             WHERE models.deleted_at IS NOT NULL
         RETURNING ",
        columns!()
    ))
    .bind(id.as_str())
    .bind(&draft.name)
    .bind(&draft.description)
    .bind(draft.released_at)
    .bind(&draft.input_modalities)
    .bind(&draft.output_modalities)
    .bind(&draft.tokenizer)
    .bind(&draft.aliases)
    .bind(draft.disabled)
    .bind(managed_by)
    .bind(draft.distillable)
    .bind(draft.rates.requests_per_minute.map(signed))
    .bind(draft.rates.tokens_per_minute.map(signed))
    .bind(draft.rates.concurrency.map(signed))
    .fetch_optional(change.connection())
    .await?;
    change.touch(Table::Models, id.as_str(), "");
    row.map(Model::from).ok_or_else(|| StoreError::Duplicate("models_pkey".to_owned()))
}

/// Writes what the operator chose of a model.
pub async fn update(
    change: &mut Change,
    _allowed: &Allowed<WriteCatalogue>,
    id: &ModelId,
    draft: &Draft,
) -> Result<Model, StoreError> {
    let row: Row = sqlx::query_as(concat!(
        "UPDATE models SET name = $2, description = $3, released_at = $4, input_modalities = $5,
             output_modalities = $6, tokenizer = $7, aliases = $8, disabled = $9, distillable = $10,
             requests_per_minute = $11, tokens_per_minute = $12, concurrency = $13, updated_at = statement_timestamp()
         WHERE id = $1 AND deleted_at IS NULL RETURNING ",
        columns!()
    ))
    .bind(id.as_str())
    .bind(&draft.name)
    .bind(&draft.description)
    .bind(draft.released_at)
    .bind(&draft.input_modalities)
    .bind(&draft.output_modalities)
    .bind(&draft.tokenizer)
    .bind(&draft.aliases)
    .bind(draft.disabled)
    .bind(draft.distillable)
    .bind(draft.rates.requests_per_minute.map(signed))
    .bind(draft.rates.tokens_per_minute.map(signed))
    .bind(draft.rates.concurrency.map(signed))
    .fetch_one(change.connection())
    .await?;
    change.touch(Table::Models, id.as_str(), "");
    Ok(row.into())
}

/// Makes a model's id and aliases its own; those it had before and lacks now become free.
///
/// Returns a name that belongs to another model, and that model, if there is one.
pub async fn claim_names(
    change: &mut Change,
    _allowed: &Allowed<WriteCatalogue>,
    id: &ModelId,
    aliases: &[String],
) -> Result<Option<(String, String)>, StoreError> {
    sqlx::query("DELETE FROM model_names WHERE model = $1")
        .bind(id.as_str())
        .execute(change.connection())
        .await?;
    let mut names: Vec<&str> = aliases.iter().map(String::as_str).chain([id.as_str()]).collect();
    // In one order everywhere, so that two changes cannot wait for each other.
    names.sort_unstable();
    let claimed = sqlx::query(
        "INSERT INTO model_names (name, model) SELECT name, $2 FROM unnest($1::text[]) AS given(name)
         ON CONFLICT (name) DO NOTHING",
    )
    .bind(&names)
    .bind(id.as_str())
    .execute(change.connection())
    .await?;
    if claimed.rows_affected() == names.len() as u64 {
        return Ok(None);
    }
    let taken =
        sqlx::query_as("SELECT name, model FROM model_names WHERE name = ANY($1) AND model <> $2 LIMIT 1")
            .bind(&names)
            .bind(id.as_str())
            .fetch_optional(change.connection())
            .await?;
    Ok(taken)
}

/// Makes a model a tombstone and frees its names.
pub async fn delete(
    change: &mut Change,
    _allowed: &Allowed<WriteCatalogue>,
    id: &ModelId,
) -> Result<(), StoreError> {
    sqlx::query("DELETE FROM model_names WHERE model = $1")
        .bind(id.as_str())
        .execute(change.connection())
        .await?;
    sqlx::query("UPDATE models SET deleted_at = now(), updated_at = statement_timestamp() WHERE id = $1")
        .bind(id.as_str())
        .execute(change.connection())
        .await?;
    change.touch(Table::Models, id.as_str(), "");
    Ok(())
}
