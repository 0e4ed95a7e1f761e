//! Use cases of routing policies. Without a tenant they are about the operator's.

use switchyard_proto::id::{PolicyId, TenantId};

use crate::{
    domain::{
        audit::{NewEntry, Verb},
        diff,
        invalid::Invalid,
        page::{ByAge, Listed, Page},
        permission::{
            Actor, Allowed, ReadOperatorsPolicies, ReadPolicies, WriteOperatorsPolicies, WritePolicies,
        },
        policy::{Draft, Policy, check_id, shown},
    },
    error::ServiceError,
    service::{State, Update, allow, missing},
    store::{self, StoreError, revision::Change},
};

/// The right to read one owner's policies.
///
/// # Errors
/// As [`allow`]: bound actors may not see the operator's, whose conditions may name other tenants.
pub fn may_read(actor: &Actor, tenant: Option<&TenantId>) -> Result<Allowed<ReadPolicies>, ServiceError> {
    if tenant.is_none() {
        allow::<ReadOperatorsPolicies>(actor, None)?;
    }
    allow(actor, tenant)
}

/// The right to write one owner's policies.
///
/// # Errors
/// As [`allow`].
pub fn may_write(actor: &Actor, tenant: Option<&TenantId>) -> Result<Allowed<WritePolicies>, ServiceError> {
    if tenant.is_none() {
        allow::<WriteOperatorsPolicies>(actor, None)?;
    }
    allow(actor, tenant)
}

/// Lists one owner's policies.
pub async fn list(
    state: &State,
    actor: &Actor,
    tenant: Option<&TenantId>,
    page: &Page<ByAge>,
) -> Result<Listed<Policy>, ServiceError> {
    let allowed = may_read(actor, tenant)?;
    let mut db = state.connection().await?;
    if let Some(tenant) = tenant {
        store::tenant::check(&mut db, &allowed).await.map_err(missing("tenant", tenant))?;
    }
    Ok(store::policy::list(&mut db, &allowed, page).await?)
}

/// One policy.
pub async fn get(
    state: &State,
    actor: &Actor,
    (tenant, id): (Option<&TenantId>, &PolicyId),
) -> Result<Policy, ServiceError> {
    let allowed = may_read(actor, tenant)?;
    let mut db = state.connection().await?;
    store::policy::get(&mut db, &allowed, id).await.map_err(missing("policy", shown(tenant, id)))
}

/// Makes a policy.
pub async fn create(
    state: &State,
    actor: &Actor,
    (tenant, id): (Option<&TenantId>, &PolicyId),
    draft: Draft,
) -> Result<Policy, ServiceError> {
    let allowed = may_write(actor, tenant)?;
    let mut change = Change::begin(&state.pool, &actor.id).await?;
    let mut policy = create_in(&mut change, &allowed, (tenant, id), draft).await?;
    policy.meta.revision = change.commit().await?.number;
    Ok(policy)
}

/// Makes a policy inside a change.
pub async fn create_in(
    change: &mut Change,
    allowed: &Allowed<WritePolicies>,
    (tenant, id): (Option<&TenantId>, &PolicyId),
    draft: Draft,
) -> Result<Policy, ServiceError> {
    check_id(id.as_str()).and_then(|()| draft.check()).map_err(|invalid| invalid.within("policy"))?;
    if let Some(tenant) = tenant {
        store::tenant::hold(change, allowed, tenant).await.map_err(missing("tenant", tenant))?;
    }
    let policy = store::policy::insert(change, allowed, id, &draft).await.map_err(|error| match error {
        StoreError::Duplicate(_) => ServiceError::exists("policy", shown(tenant, id)),
        other => other.into(),
    })?;
    let changes = diff::from_nothing(&policy.draft);
    change.record(entry(Verb::Create, &policy, &changes));
    Ok(policy)
}

/// Changes a policy.
pub async fn update(
    state: &State,
    actor: &Actor,
    (tenant, id): (Option<&TenantId>, &PolicyId),
    update: Update<impl FnOnce(&Policy) -> Result<Draft, Invalid>>,
) -> Result<Policy, ServiceError> {
    let allowed = may_write(actor, tenant)?;
    let mut change = Change::begin(&state.pool, &actor.id).await?;
    let policy =
        store::policy::lock(&mut change, &allowed, id).await.map_err(missing("policy", shown(tenant, id)))?;
    policy.meta.expect(update.revision)?;
    let draft = (update.patch)(&policy)?;
    let mut policy = update_in(&mut change, &allowed, policy, draft).await?;
    let is_changed = !change.is_empty();
    let revision = change.commit().await?;
    if is_changed {
        policy.meta.revision = revision.number;
    }
    Ok(policy)
}

/// Changes a locked policy inside a change; what stays the same is not written.
pub async fn update_in(
    change: &mut Change,
    allowed: &Allowed<WritePolicies>,
    policy: Policy,
    draft: Draft,
) -> Result<Policy, ServiceError> {
    draft.check().map_err(|invalid| invalid.within("policy"))?;
    if draft == policy.draft {
        return Ok(policy);
    }
    let stored = store::policy::update(change, allowed, &policy.id, &draft).await?;
    let changes = diff::between(&policy.draft, &stored.draft);
    change.record(entry(Verb::Update, &stored, &changes));
    Ok(stored)
}

/// Deletes a policy.
pub async fn delete(
    state: &State,
    actor: &Actor,
    (tenant, id): (Option<&TenantId>, &PolicyId),
    revision: u64,
) -> Result<(), ServiceError> {
    let allowed = may_write(actor, tenant)?;
    let mut change = Change::begin(&state.pool, &actor.id).await?;
    let policy =
        store::policy::lock(&mut change, &allowed, id).await.map_err(missing("policy", shown(tenant, id)))?;
    policy.meta.expect(revision)?;
    delete_in(&mut change, &allowed, &policy).await?;
    change.commit().await?;
    Ok(())
}

/// Deletes a locked policy inside a change.
pub async fn delete_in(
    change: &mut Change,
    allowed: &Allowed<WritePolicies>,
    policy: &Policy,
) -> Result<(), ServiceError> {
    store::policy::delete(change, allowed, &policy.id).await?;
    change.record(entry(Verb::Delete, policy, &[]));
    Ok(())
}

fn entry(verb: Verb, policy: &Policy, changes: &[diff::Changed]) -> NewEntry {
    let entry = NewEntry::new(verb, "policy", &policy.shown(), changes);
    match &policy.tenant {
        Some(tenant) => entry.of_tenant(tenant.as_str()),
        None => entry,
    }
}
