//! The fleet, read by operators and by viewers of all tenants.

use crate::{
    domain::{
        fleet::Instance,
        health::Endpoint,
        meta::Revision,
        page::{Listed, Page},
        permission::{Actor, Allowed, ReadFleet},
    },
    error::ServiceError,
    service::{State, allow},
    store,
};

/// The newest revision, and how far the fleet is.
#[derive(Debug, Clone)]
pub struct Progress {
    pub revision: Revision,
    pub attached: usize,
    /// Attached instances that run the newest revision.
    pub current: usize,
}

/// Lists data planes by id, with the revision that they should run.
pub async fn list(
    state: &State,
    actor: &Actor,
    page: &Page<String>,
) -> Result<(Listed<Instance>, Revision), ServiceError> {
    allow::<ReadFleet>(actor, None)?;
    let newest = newest(state).await?;
    let mut instances = state.fleet.instances().await?;
    instances.sort_by(|one, other| one.id.cmp(&other.id));
    instances.retain(|instance| page.after.as_ref().is_none_or(|after| instance.id > *after));
    Ok((page.cut(instances, |instance: &Instance| instance.id.clone()), newest))
}

/// Compares the fleet with the newest revision.
pub async fn progress(state: &State, actor: &Actor) -> Result<Progress, ServiceError> {
    let _allowed: Allowed<ReadFleet> = allow(actor, None)?;
    let revision = newest(state).await?;
    let instances = state.fleet.instances().await?;
    let attached = instances.iter().filter(|instance| instance.attached).count();
    let current = instances.iter().filter(|instance| instance.is_current(&revision)).count();
    Ok(Progress { revision, attached, current })
}

/// Lists how endpoints do over the whole fleet, by model and id; `model`: of this one alone.
pub async fn health(
    state: &State,
    actor: &Actor,
    model: Option<&str>,
    page: &Page<(String, String)>,
) -> Result<Listed<Endpoint>, ServiceError> {
    allow::<ReadFleet>(actor, None)?;
    let place = |endpoint: &Endpoint| (endpoint.name.model.clone(), endpoint.name.endpoint.clone());
    let mut endpoints = state.fleet.health().await?;
    endpoints.retain(|endpoint| model.is_none_or(|model| endpoint.name.model == model));
    endpoints.retain(|endpoint| page.after.as_ref().is_none_or(|after| place(endpoint) > *after));
    Ok(page.cut(endpoints, place))
}

async fn newest(state: &State) -> Result<Revision, ServiceError> {
    let mut db = state.connection().await?;
    Ok(store::revision::current(&mut db).await?)
}
