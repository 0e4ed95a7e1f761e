//! Endpoints: made, changed and deleted by operators.

use switchyard_proto::id::{EndpointId, ModelId, ProviderId};

use crate::{
    domain::{
        audit::{NewEntry, Verb},
        diff,
        endpoint::{Draft, Endpoint, check_id, full_id},
        invalid::Invalid,
        page::{ByAge, Listed, Page},
        permission::{Actor, Allowed, ReadCatalogue, WriteCatalogue},
    },
    error::ServiceError,
    service::{State, Update, allow, missing},
    store::{self, StoreError, revision::Change},
};

/// Lists a model's endpoints.
pub async fn list(
    state: &State,
    actor: &Actor,
    model: &ModelId,
    page: &Page<ByAge>,
) -> Result<Listed<Endpoint>, ServiceError> {
    let allowed = allow::<ReadCatalogue>(actor, None)?;
    let mut db = state.connection().await?;
    store::model::get(&mut db, &allowed, model).await.map_err(missing("model", model))?;
    Ok(store::endpoint::list(&mut db, &allowed, model, page).await?)
}

/// One endpoint of a model.
pub async fn get(
    state: &State,
    actor: &Actor,
    model: &ModelId,
    id: &EndpointId,
) -> Result<Endpoint, ServiceError> {
    let allowed = allow::<ReadCatalogue>(actor, None)?;
    let mut db = state.connection().await?;
    let full_id = full_id(model, id);
    store::endpoint::get(&mut db, &allowed, model, id).await.map_err(missing("endpoint", full_id))
}

/// Makes an endpoint of a model; without an id it has its provider's.
pub async fn create(
    state: &State,
    actor: &Actor,
    model: &ModelId,
    (id, draft): (Option<EndpointId>, Draft),
) -> Result<Endpoint, ServiceError> {
    let allowed = allow::<WriteCatalogue>(actor, None)?;
    let mut change = Change::begin(&state.pool, &actor.id).await?;
    let mut endpoint = create_in(&mut change, &allowed, model, (id, draft)).await?;
    endpoint.meta.revision = change.commit().await?.number;
    Ok(endpoint)
}

/// Makes an endpoint inside a change.
pub async fn create_in(
    change: &mut Change,
    allowed: &Allowed<WriteCatalogue>,
    model: &ModelId,
    (id, draft): (Option<EndpointId>, Draft),
) -> Result<Endpoint, ServiceError> {
    let id = id.unwrap_or_else(|| EndpointId::new(draft.provider.as_str()));
    draft.check().and_then(|()| check_id(id.as_str())).map_err(|invalid| invalid.within("endpoint"))?;
    store::model::hold(change, allowed, model).await.map_err(missing("model", model))?;
    hold_provider(change, allowed, &draft).await?;
    let endpoint =
        store::endpoint::insert(change, allowed, model, &id, &draft).await.map_err(|error| match error {
            StoreError::Duplicate(_) => ServiceError::exists("endpoint", full_id(model, &id)),
            other => other.into(),
        })?;
    let changes = diff::from_nothing(&endpoint.draft);
    change.record(NewEntry::new(Verb::Create, "endpoint", &endpoint.full_id(), &changes));
    Ok(endpoint)
}

async fn hold_provider(
    change: &mut Change,
    allowed: &Allowed<WriteCatalogue>,
    draft: &Draft,
) -> Result<(), ServiceError> {
    let provider = ProviderId::new(draft.provider.as_str());
    store::provider::hold(change, allowed, &provider).await.map_err(|error| match error {
        StoreError::NotFound => {
            ServiceError::invalid("endpoint.provider", format!("names unknown provider `{provider}`"))
        }
        other => other.into(),
    })
}

/// Changes an endpoint.
pub async fn update(
    state: &State,
    actor: &Actor,
    (model, id): (&ModelId, &EndpointId),
    update: Update<impl FnOnce(&Endpoint) -> Result<Draft, Invalid>>,
) -> Result<Endpoint, ServiceError> {
    let allowed = allow::<WriteCatalogue>(actor, None)?;
    let mut change = Change::begin(&state.pool, &actor.id).await?;
    let endpoint = store::endpoint::lock(&mut change, &allowed, model, id)
        .await
        .map_err(missing("endpoint", full_id(model, id)))?;
    endpoint.meta.expect(update.revision)?;
    let draft = (update.patch)(&endpoint)?;
    let mut endpoint = update_in(&mut change, &allowed, endpoint, draft).await?;
    let is_changed = !change.is_empty();
    let revision = change.commit().await?;
    if is_changed {
        endpoint.meta.revision = revision.number;
    }
    Ok(endpoint)
}

/// Changes a locked endpoint inside a change; what stays the same is not written.
pub async fn update_in(
    change: &mut Change,
    allowed: &Allowed<WriteCatalogue>,
    endpoint: Endpoint,
    draft: Draft,
) -> Result<Endpoint, ServiceError> {
    draft.check().map_err(|invalid| invalid.within("endpoint"))?;
    if draft == endpoint.draft {
        return Ok(endpoint);
    }
    if draft.provider != endpoint.draft.provider {
        hold_provider(change, allowed, &draft).await?;
    }
    let stored = store::endpoint::update(change, allowed, &endpoint.model, &endpoint.id, &draft).await?;
    let changes = diff::between(&endpoint.draft, &stored.draft);
    change.record(NewEntry::new(Verb::Update, "endpoint", &stored.full_id(), &changes));
    Ok(stored)
}

/// Deletes an endpoint.
pub async fn delete(
    state: &State,
    actor: &Actor,
    (model, id): (&ModelId, &EndpointId),
    revision: u64,
) -> Result<(), ServiceError> {
    let allowed = allow::<WriteCatalogue>(actor, None)?;
    let mut change = Change::begin(&state.pool, &actor.id).await?;
    let endpoint = store::endpoint::lock(&mut change, &allowed, model, id)
        .await
        .map_err(missing("endpoint", full_id(model, id)))?;
    endpoint.meta.expect(revision)?;
    delete_in(&mut change, &allowed, &endpoint).await?;
    change.commit().await?;
    Ok(())
}

/// Deletes a locked endpoint inside a change.
pub async fn delete_in(
    change: &mut Change,
    allowed: &Allowed<WriteCatalogue>,
    endpoint: &Endpoint,
) -> Result<(), ServiceError> {
    store::endpoint::delete(change, allowed, &endpoint.model, &endpoint.id).await?;
    change.record(NewEntry::new(Verb::Delete, "endpoint", &endpoint.full_id(), &[]));
    Ok(())
}
