//! Drift, read by operators and by viewers of all tenants, and marked as known by operators.

use chrono::{DateTime, Utc};
use serde_json::json;

use crate::{
    domain::{
        audit::{NewEntry, Verb},
        diff,
        drift::{Drift, Filter},
        page::{Listed, Page},
        permission::{Actor, ClearDrift, ReadDrift},
    },
    error::ServiceError,
    service::{State, allow},
    store::{self, revision::Change},
};

/// Lists shapes that adapters have never seen, the newest first.
pub async fn list(
    state: &State,
    actor: &Actor,
    filter: &Filter,
    page: &Page<u64>,
) -> Result<Listed<Drift>, ServiceError> {
    let allowed = allow::<ReadDrift>(actor, None)?;
    let mut db = state.connection().await?;
    Ok(store::drift::list(&mut db, &allowed, filter, page).await?)
}

/// Marks what was seen up to now as known; answers how many shapes were not yet.
pub async fn clear(
    state: &State,
    actor: &Actor,
    filter: &Filter,
    now: DateTime<Utc>,
) -> Result<u64, ServiceError> {
    let allowed = allow::<ClearDrift>(actor, None)?;
    let mut change = Change::begin(&state.pool, &actor.id).await?;
    let cleared = store::drift::clear(&mut change, &allowed, filter, now).await?;
    if cleared > 0 {
        let changes = diff::from_nothing(&json!({
            "provider": filter.provider,
            "model": filter.model,
            "kind": filter.kind,
            "cleared": cleared,
        }));
        let provider = filter.provider.as_deref().unwrap_or_default();
        change.record(NewEntry::new(Verb::Clear, "drift", provider, &changes));
    }
    change.commit().await?;
    Ok(cleared)
}
