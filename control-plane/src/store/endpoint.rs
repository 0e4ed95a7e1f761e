//! SQL of endpoints.

use std::collections::BTreeMap;

use sqlx::{PgConnection, types::Json};
use switchyard_proto::{
    id::{EndpointId, ModelId},
    price::{Parts, Written, written::Schedule},
};

use crate::{
    domain::{
        endpoint::{Billing, Draft, Endpoint},
        page::{self, ByAge, Listed, Page},
        permission::{Allowed, ReadCatalogue, WriteCatalogue},
    },
    store::{
        MetaRow, StoreError,
        revision::{Change, Table},
        signed, start, unsigned,
    },
};

macro_rules! columns {
    () => {
        "model, id, provider, upstream_id, context_length, max_output_tokens, price, supported_parameters, \
         quantization, cancel_stops_billing, disabled, quirks, input_modalities, billing, service_tier, \
         price_schedule, revision, managed_by, managed_revision, created_at, updated_at"
    };
}

#[derive(sqlx::FromRow)]
struct Row {
    model: String,
    id: String,
    provider: String,
    upstream_id: String,
    context_length: i64,
    max_output_tokens: i64,
    price: Json<Parts>,
    supported_parameters: Vec<String>,
    quantization: String,
    cancel_stops_billing: bool,
    disabled: bool,
    quirks: Json<BTreeMap<String, String>>,
    input_modalities: Vec<String>,
    billing: Json<BTreeMap<String, u64>>,
    service_tier: String,
    price_schedule: Json<Schedule>,
    #[sqlx(flatten)]
    meta: MetaRow,
}

impl From<Row> for Endpoint {
    fn from(row: Row) -> Self {
        Self {
            model: ModelId::new(row.model),
            id: EndpointId::new(row.id),
            draft: Draft {
                provider: row.provider,
                upstream_id: row.upstream_id,
                context_length: unsigned(row.context_length),
                max_output_tokens: unsigned(row.max_output_tokens),
                price: Written { parts: row.price.0, schedule: row.price_schedule.0 },
                supported_parameters: row.supported_parameters,
                quantization: row.quantization,
                cancel_stops_billing: row.cancel_stops_billing,
                disabled: row.disabled,
                quirks: row.quirks.0,
                input_modalities: row.input_modalities,
                billing: Billing(row.billing.0),
                service_tier: row.service_tier,
            },
            meta: row.meta.into(),
        }
    }
}

/// Lists a model's endpoints, oldest first.
pub async fn list(
    db: &mut PgConnection,
    _allowed: &Allowed<ReadCatalogue>,
    model: &ModelId,
    page: &Page<ByAge>,
) -> Result<Listed<Endpoint>, StoreError> {
    let (after, after_id) = start(page);
    let rows: Vec<Row> = sqlx::query_as(concat!(
        "SELECT ",
        columns!(),
        " FROM endpoints WHERE model = $1 AND deleted_at IS NULL AND (created_at, id) > ($2, $3)
          ORDER BY created_at, id LIMIT $4"
    ))
    .bind(model.as_str())
    .bind(after)
    .bind(after_id)
    .bind(page.fetch())
    .fetch_all(db)
    .await?;
    let endpoints = rows.into_iter().map(Endpoint::from).collect();
    Ok(page
        .cut(endpoints, |endpoint: &Endpoint| page::by_age(endpoint.meta.created_at, endpoint.id.as_str())))
}

/// One endpoint of a model.
pub async fn get(
    db: &mut PgConnection,
    _allowed: &Allowed<ReadCatalogue>,
    model: &ModelId,
    id: &EndpointId,
) -> Result<Endpoint, StoreError> {
    let row: Row = sqlx::query_as(concat!(
        "SELECT ",
        columns!(),
        " FROM endpoints WHERE model = $1 AND id = $2 AND deleted_at IS NULL"
    ))
    .bind(model.as_str())
    .bind(id.as_str())
    .fetch_one(db)
    .await?;
    Ok(row.into())
}

/// One endpoint of a model, locked until the change ends.
pub async fn lock(
    change: &mut Change,
    _allowed: &Allowed<WriteCatalogue>,
    model: &ModelId,
    id: &EndpointId,
) -> Result<Endpoint, StoreError> {
    let row: Row = sqlx::query_as(concat!(
        "SELECT ",
        columns!(),
        " FROM endpoints WHERE model = $1 AND id = $2 AND deleted_at IS NULL FOR UPDATE"
    ))
    .bind(model.as_str())
    .bind(id.as_str())
    .fetch_one(change.connection())
    .await?;
    Ok(row.into())
}

/// Adds an endpoint; a deleted one of the same id comes back as this one.
///
/// # Errors
/// [`StoreError::Duplicate`] of `endpoints_pkey`, among others.
pub async fn insert(
    change: &mut Change,
    _allowed: &Allowed<WriteCatalogue>,
    model: &ModelId,
    id: &EndpointId,
    draft: &Draft,
) -> Result<Endpoint, StoreError> {
    let managed_by = change.managed_by();
    let row: Option<Row> = sqlx::query_as(concat!(
        "INSERT INTO endpoints (model, id, provider, upstream_id, context_length, max_output_tokens, price,
             supported_parameters, quantization, cancel_stops_billing, disabled, quirks, input_modalities, billing,
             managed_by, service_tier, price_schedule)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17)
         ON CONFLICT (model, id) DO UPDATE SET provider = $3, upstream_id = $4, context_length = $5,
             max_output_tokens = $6, price = $7, supported_parameters = $8, quantization = $9,
             cancel_stops_billing = $10, disabled = $11, quirks = $12, input_modalities = $13, billing = $14,
             managed_by = $15, service_tier = $16, price_schedule = $17, managed_revision = 0, created_at = statement_timestamp(),
             updated_at = statement_timestamp(), deleted_at = NULL
             WHERE endpoints.deleted_at IS NOT NULL
         RETURNING ",
        columns!()
    ))
    .bind(model.as_str())
    .bind(id.as_str())
    .bind(&draft.provider)
    .bind(&draft.upstream_id)
    .bind(signed(draft.context_length))
    .bind(signed(draft.max_output_tokens))
    .bind(Json(&draft.price.parts))
    .bind(&draft.supported_parameters)
    .bind(&draft.quantization)
    .bind(draft.cancel_stops_billing)
    .bind(draft.disabled)
    .bind(Json(&draft.quirks))
    .bind(&draft.input_modalities)
    .bind(Json(&draft.billing.0))
    .bind(managed_by)
    .bind(&draft.service_tier)
    .bind(Json(&draft.price.schedule))
    .fetch_optional(change.connection())
    .await?;
    change.touch(Table::Endpoints, model.as_str(), id.as_str());
    row.map(Endpoint::from).ok_or_else(|| StoreError::Duplicate("endpoints_pkey".to_owned()))
}

/// Writes what the operator chose of an endpoint.
pub async fn update(
    change: &mut Change,
    _allowed: &Allowed<WriteCatalogue>,
    model: &ModelId,
    id: &EndpointId,
    draft: &Draft,
) -> Result<Endpoint, StoreError> {
    let row: Row = sqlx::query_as(concat!(
        "UPDATE endpoints SET provider = $3, upstream_id = $4, context_length = $5, max_output_tokens = $6, price = $7,
             supported_parameters = $8, quantization = $9, cancel_stops_billing = $10, disabled = $11, quirks = $12,
             input_modalities = $13, billing = $14, service_tier = $15, price_schedule = $16,
             updated_at = statement_timestamp()
         WHERE model = $1 AND id = $2 AND deleted_at IS NULL RETURNING ",
        columns!()
    ))
    .bind(model.as_str())
    .bind(id.as_str())
    .bind(&draft.provider)
    .bind(&draft.upstream_id)
    .bind(signed(draft.context_length))
    .bind(signed(draft.max_output_tokens))
    .bind(Json(&draft.price.parts))
    .bind(&draft.supported_parameters)
    .bind(&draft.quantization)
    .bind(draft.cancel_stops_billing)
    .bind(draft.disabled)
    .bind(Json(&draft.quirks))
    .bind(&draft.input_modalities)
    .bind(Json(&draft.billing.0))
    .bind(&draft.service_tier)
    .bind(Json(&draft.price.schedule))
    .fetch_one(change.connection())
    .await?;
    change.touch(Table::Endpoints, model.as_str(), id.as_str());
    Ok(row.into())
}

/// Makes an endpoint a tombstone.
pub async fn delete(
    change: &mut Change,
    _allowed: &Allowed<WriteCatalogue>,
    model: &ModelId,
    id: &EndpointId,
) -> Result<(), StoreError> {
    sqlx::query("UPDATE endpoints SET deleted_at = now(), updated_at = statement_timestamp() WHERE model = $1 AND id = $2")
        .bind(model.as_str())
        .bind(id.as_str())
        .execute(change.connection())
        .await?;
    change.touch(Table::Endpoints, model.as_str(), id.as_str());
    Ok(())
}

/// Makes all endpoints of a model tombstones, and says which.
pub async fn delete_all(
    change: &mut Change,
    _allowed: &Allowed<WriteCatalogue>,
    model: &ModelId,
) -> Result<Vec<EndpointId>, StoreError> {
    let ids: Vec<String> = sqlx::query_scalar(
        "UPDATE endpoints SET deleted_at = now(), updated_at = statement_timestamp()
         WHERE model = $1 AND deleted_at IS NULL RETURNING id",
    )
    .bind(model.as_str())
    .fetch_all(change.connection())
    .await?;
    for id in &ids {
        change.touch(Table::Endpoints, model.as_str(), id);
    }
    Ok(ids.into_iter().map(EndpointId::new).collect())
}
