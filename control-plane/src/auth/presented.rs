//! Keys of callers that a data plane passes on: the control plane looks at them itself.

use chrono::{DateTime, Utc};
use sqlx::PgPool;
use switchyard_proto::key::KeyHash;

use crate::{
    auth::{Actor, AuthError, Role},
    domain::key::Key,
    store::{self, StoreError},
};

/// Whoever holds a key: reads what belongs to its tenant.
#[derive(Debug, Clone)]
pub struct Presented {
    pub actor: Actor,
    pub key: Key,
}

/// Names the actor of a presented key.
///
/// # Errors
/// [`AuthError::Invalid`] for an unknown key; [`AuthError::Store`] is never the caller's fault.
pub async fn authenticate(pool: &PgPool, hash: KeyHash, now: DateTime<Utc>) -> Result<Presented, AuthError> {
    let mut db = pool.acquire().await.map_err(StoreError::from)?;
    let key = store::key::by_secret(&mut db, hash).await?.ok_or(AuthError::Invalid)?;
    if key.draft.disabled {
        return Err(AuthError::Disabled);
    }
    if key.draft.expires_at.is_some_and(|end| end <= now) {
        return Err(AuthError::Expired);
    }
    let actor = Actor { id: key.id.to_string(), role: Role::Viewer, tenant: Some(key.tenant.clone()) };
    Ok(Presented { actor, key })
}
