//! Use cases of presets.

use switchyard_proto::id::{PresetId, TenantId};

use crate::{
    domain::{
        audit::{NewEntry, Verb},
        diff,
        invalid::Invalid,
        page::{ByAge, Listed, Page},
        permission::{Actor, Allowed, ReadPresets, WritePresets},
        preset::{Draft, Preset, Version, check_id, shown},
    },
    error::ServiceError,
    service::{State, Update, allow, missing},
    store::{self, StoreError, revision::Change},
};

/// Lists a tenant's presets.
pub async fn list(
    state: &State,
    actor: &Actor,
    tenant: &TenantId,
    page: &Page<ByAge>,
) -> Result<Listed<Preset>, ServiceError> {
    let allowed = allow::<ReadPresets>(actor, Some(tenant))?;
    let mut db = state.connection().await?;
    store::tenant::check(&mut db, &allowed).await.map_err(missing("tenant", tenant))?;
    Ok(store::preset::list(&mut db, &allowed, page).await?)
}

/// One preset.
pub async fn get(
    state: &State,
    actor: &Actor,
    (tenant, id): (&TenantId, &PresetId),
) -> Result<Preset, ServiceError> {
    let allowed = allow::<ReadPresets>(actor, Some(tenant))?;
    let mut db = state.connection().await?;
    store::preset::get(&mut db, &allowed, id).await.map_err(missing("preset", shown(tenant, id)))
}

/// Lists a preset's versions.
pub async fn versions(
    state: &State,
    actor: &Actor,
    (tenant, id): (&TenantId, &PresetId),
    page: &Page<u64>,
) -> Result<Listed<Version>, ServiceError> {
    let allowed = allow::<ReadPresets>(actor, Some(tenant))?;
    let mut db = state.connection().await?;
    store::preset::get(&mut db, &allowed, id).await.map_err(missing("preset", shown(tenant, id)))?;
    Ok(store::preset::versions(&mut db, &allowed, id, page).await?)
}

/// One version of a preset.
pub async fn version(
    state: &State,
    actor: &Actor,
    (tenant, id): (&TenantId, &PresetId),
    version: u64,
) -> Result<Version, ServiceError> {
    let allowed = allow::<ReadPresets>(actor, Some(tenant))?;
    let mut db = state.connection().await?;
    let named = format!("{} version {version}", shown(tenant, id));
    store::preset::version(&mut db, &allowed, id, version).await.map_err(missing("preset", named))
}

/// Makes a preset.
pub async fn create(
    state: &State,
    actor: &Actor,
    (tenant, id): (&TenantId, &PresetId),
    draft: Draft,
) -> Result<Preset, ServiceError> {
    let allowed = allow::<WritePresets>(actor, Some(tenant))?;
    check_id(id.as_str()).and_then(|()| draft.check()).map_err(|invalid| invalid.within("preset"))?;
    let mut change = Change::begin(&state.pool, &actor.id).await?;
    store::tenant::hold(&mut change, &allowed, tenant).await.map_err(missing("tenant", tenant))?;
    let made = store::preset::insert(&mut change, &allowed, tenant, id, &draft).await;
    let mut preset = made.map_err(|error| match error {
        StoreError::Duplicate(_) => ServiceError::exists("preset", shown(tenant, id)),
        other => other.into(),
    })?;
    let changes = diff::from_nothing(&preset.told());
    change.record(entry(Verb::Create, &preset, &changes));
    preset.meta.revision = change.commit().await?.number;
    Ok(preset)
}

/// Changes a preset.
pub async fn update(
    state: &State,
    actor: &Actor,
    (tenant, id): (&TenantId, &PresetId),
    update: Update<impl FnOnce(&Preset) -> Result<Draft, Invalid>>,
) -> Result<Preset, ServiceError> {
    let allowed = allow::<WritePresets>(actor, Some(tenant))?;
    let mut change = Change::begin(&state.pool, &actor.id).await?;
    let before = held(&mut change, &allowed, (tenant, id)).await?;
    before.meta.expect(update.revision)?;
    let draft = (update.patch)(&before)?;
    draft.check().map_err(|invalid| invalid.within("preset"))?;
    if draft == before.draft {
        return Ok(before);
    }
    let mut preset = store::preset::update(&mut change, &allowed, &before, &draft).await?;
    let changes = diff::between(&before.told(), &preset.told());
    change.record(entry(Verb::Update, &preset, &changes));
    preset.meta.revision = change.commit().await?.number;
    Ok(preset)
}

/// Deletes a preset and what it said.
pub async fn delete(
    state: &State,
    actor: &Actor,
    (tenant, id): (&TenantId, &PresetId),
    revision: u64,
) -> Result<(), ServiceError> {
    let allowed = allow::<WritePresets>(actor, Some(tenant))?;
    let mut change = Change::begin(&state.pool, &actor.id).await?;
    let preset = held(&mut change, &allowed, (tenant, id)).await?;
    preset.meta.expect(revision)?;
    store::preset::delete(&mut change, &allowed, &preset).await?;
    change.record(entry(Verb::Delete, &preset, &[]));
    change.commit().await?;
    Ok(())
}

async fn held(
    change: &mut Change,
    allowed: &Allowed<WritePresets>,
    (tenant, id): (&TenantId, &PresetId),
) -> Result<Preset, ServiceError> {
    store::preset::lock(change, allowed, id).await.map_err(missing("preset", shown(tenant, id)))
}

fn entry(verb: Verb, preset: &Preset, changes: &[diff::Changed]) -> NewEntry {
    NewEntry::new(verb, "preset", &preset.shown(), changes).of_tenant(preset.tenant.as_str())
}
