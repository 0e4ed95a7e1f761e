//! Models: made, changed and deleted by operators.

use switchyard_proto::{code::ErrorCode, id::ModelId};

use crate::{
    domain::{
        audit::{NewEntry, Verb},
        diff, endpoint,
        invalid::Invalid,
        model::{Draft, Model, check_id},
        page::{ByAge, Listed, Page},
        permission::{Actor, Allowed, ReadCatalogue, WriteCatalogue},
    },
    error::ServiceError,
    service::{State, Update, allow, missing},
    store::{self, StoreError, revision::Change},
};

/// Lists models.
pub async fn list(state: &State, actor: &Actor, page: &Page<ByAge>) -> Result<Listed<Model>, ServiceError> {
    let allowed = allow::<ReadCatalogue>(actor, None)?;
    let mut db = state.connection().await?;
    Ok(store::model::list(&mut db, &allowed, page).await?)
}

/// One model.
pub async fn get(state: &State, actor: &Actor, id: &ModelId) -> Result<Model, ServiceError> {
    let allowed = allow::<ReadCatalogue>(actor, None)?;
    let mut db = state.connection().await?;
    store::model::get(&mut db, &allowed, id).await.map_err(missing("model", id))
}

/// Makes a model.
pub async fn create(state: &State, actor: &Actor, id: &ModelId, draft: Draft) -> Result<Model, ServiceError> {
    let allowed = allow::<WriteCatalogue>(actor, None)?;
    let mut change = Change::begin(&state.pool, &actor.id).await?;
    let mut model = create_in(&mut change, &allowed, id, draft).await?;
    model.meta.revision = change.commit().await?.number;
    Ok(model)
}

/// Makes a model inside a change.
pub async fn create_in(
    change: &mut Change,
    allowed: &Allowed<WriteCatalogue>,
    id: &ModelId,
    draft: Draft,
) -> Result<Model, ServiceError> {
    check_id(id.as_str()).and_then(|()| draft.check(id)).map_err(|invalid| invalid.within("model"))?;
    let model = store::model::insert(change, allowed, id, &draft).await.map_err(|error| match error {
        StoreError::Duplicate(_) => ServiceError::exists("model", id),
        other => other.into(),
    })?;
    claim_names(change, allowed, &model).await?;
    let changes = diff::from_nothing(&model.draft);
    change.record(NewEntry::new(Verb::Create, "model", id.as_str(), &changes));
    Ok(model)
}

async fn claim_names(
    change: &mut Change,
    allowed: &Allowed<WriteCatalogue>,
    model: &Model,
) -> Result<(), ServiceError> {
    let taken = store::model::claim_names(change, allowed, &model.id, &model.draft.aliases).await?;
    let Some((name, owner)) = taken else { return Ok(()) };
    let field = if name == model.id.as_str() { "model.id" } else { "model.aliases" };
    let taken = ServiceError::new(
        ErrorCode::AlreadyExists,
        format!("{field} names `{name}`, which already leads to model `{owner}`"),
    );
    Err(ServiceError { field: Some(field.to_owned()), ..taken })
}

/// Changes a model.
pub async fn update(
    state: &State,
    actor: &Actor,
    id: &ModelId,
    update: Update<impl FnOnce(&Model) -> Result<Draft, Invalid>>,
) -> Result<Model, ServiceError> {
    let allowed = allow::<WriteCatalogue>(actor, None)?;
    let mut change = Change::begin(&state.pool, &actor.id).await?;
    let model = store::model::lock(&mut change, &allowed, id).await.map_err(missing("model", id))?;
    model.meta.expect(update.revision)?;
    let draft = (update.patch)(&model)?;
    let mut model = update_in(&mut change, &allowed, model, draft).await?;
    let is_changed = !change.is_empty();
    let revision = change.commit().await?;
    if is_changed {
        model.meta.revision = revision.number;
    }
    Ok(model)
}

/// Changes a locked model inside a change; what stays the same is not written.
pub async fn update_in(
    change: &mut Change,
    allowed: &Allowed<WriteCatalogue>,
    model: Model,
    draft: Draft,
) -> Result<Model, ServiceError> {
    draft.check(&model.id).map_err(|invalid| invalid.within("model"))?;
    if draft == model.draft {
        return Ok(model);
    }
    let stored = store::model::update(change, allowed, &model.id, &draft).await?;
    if stored.draft.aliases != model.draft.aliases {
        claim_names(change, allowed, &stored).await?;
    }
    let changes = diff::between(&model.draft, &stored.draft);
    change.record(NewEntry::new(Verb::Update, "model", stored.id.as_str(), &changes));
    Ok(stored)
}

/// Deletes a model with its endpoints.
pub async fn delete(state: &State, actor: &Actor, id: &ModelId, revision: u64) -> Result<(), ServiceError> {
    let allowed = allow::<WriteCatalogue>(actor, None)?;
    let mut change = Change::begin(&state.pool, &actor.id).await?;
    let model = store::model::lock(&mut change, &allowed, id).await.map_err(missing("model", id))?;
    model.meta.expect(revision)?;
    delete_in(&mut change, &allowed, &model).await?;
    change.commit().await?;
    Ok(())
}

/// Deletes a locked model inside a change.
pub async fn delete_in(
    change: &mut Change,
    allowed: &Allowed<WriteCatalogue>,
    model: &Model,
) -> Result<(), ServiceError> {
    for id in store::endpoint::delete_all(change, allowed, &model.id).await? {
        let full_id = endpoint::full_id(&model.id, &id);
        change.record(NewEntry::new(Verb::Delete, "endpoint", &full_id, &[]));
    }
    store::model::delete(change, allowed, &model.id).await?;
    change.record(NewEntry::new(Verb::Delete, "model", model.id.as_str(), &[]));
    Ok(())
}
