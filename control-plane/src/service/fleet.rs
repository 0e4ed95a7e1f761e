//! The fleet, read by operators and by viewers of all tenants; and lost instances, released by operators.

use chrono::{DateTime, Utc};
use serde_json::json;
use switchyard_proto::{code::ErrorCode, money};

use crate::{
    domain::{
        audit::{NewEntry, Verb},
        booking::Why,
        diff,
        fleet::{Instance, Released},
        health::Endpoint,
        invalid,
        ledger::AccountPeriod,
        lending::{Balance, Lease},
        meta::Revision,
        page::{Listed, Page},
        permission::{Actor, Allowed, ReadFleet, ReleaseInstances},
    },
    error::ServiceError,
    service::{State, allow, missing},
    store::{self, instance::Releasable, revision::Change},
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

/// Gives back what a data plane that never returns was lent, presumed money included. What it still reports of it is the
/// house's.
///
/// # Errors
/// Without a reason, and while it is attached.
pub async fn release(
    state: &State,
    actor: &Actor,
    (id, reason): (&str, &str),
    now: DateTime<Utc>,
) -> Result<Released, ServiceError> {
    let allowed = allow::<ReleaseInstances>(actor, None)?;
    invalid::required("reason", reason, 1000)?;
    let mut change = Change::begin(&state.pool, &actor.id).await?;
    let lookup = store::instance::release(&mut change, &allowed, id, now).await;
    let Releasable::UpTo(epoch) = lookup.map_err(missing("instance", id))? else {
        let public = format!("instance `{id}` is attached; stop it, and it gives back what it holds");
        return Err(ServiceError::new(ErrorCode::PreconditionFailed, public));
    };
    let names = store::lease::unsettled(change.connection(), id, epoch).await?;
    let mut released = Released::default();
    let give_back = |_: &AccountPeriod, lease: &mut Lease, balance: &mut Balance| {
        let back = lease.give_back(balance, i64::MAX);
        released.add(back);
        -back.presumed
    };
    let why = Why { reason: format!("released: {reason}"), actor: actor.id.clone(), now };
    store::lease::change(change.connection(), &names, &why, give_back).await?;
    let changes = diff::from_nothing(&json!({
        "leases": released.leases,
        "lent_usd": money::signed(released.lent_nano),
        "presumed_usd": money::signed(released.presumed_nano),
        "epoch": epoch,
        "reason": reason,
    }));
    change.record(NewEntry::new(Verb::Release, "instance", id, &changes));
    change.commit().await?;
    Ok(released)
}

async fn newest(state: &State) -> Result<Revision, ServiceError> {
    let mut db = state.connection().await?;
    Ok(store::revision::current(&mut db).await?)
}
