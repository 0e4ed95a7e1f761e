//! Keys and admin tokens of callers that a data plane passes on: the control plane looks at them itself.

use chrono::{DateTime, Utc};
use sqlx::PgPool;
use switchyard_proto::key::KeyHash;

use crate::{
    auth::{Actor, AuthError, Role},
    domain::{key::Key, token::Token},
    store::{self, StoreError},
};

/// Who calls a tenant's own API.
#[derive(Debug, Clone)]
pub struct Presented {
    pub actor: Actor,
    pub with: Credential,
}

/// What was shown.
#[derive(Debug, Clone)]
pub enum Credential {
    /// A caller's key: reads what belongs to its tenant.
    Key(Box<Key>),
    /// An admin token: does what its role allows. OpenRouter's name for it is management key.
    Token(Box<Token>),
}

/// Names the actor of a presented key or admin token.
///
/// # Errors
/// [`AuthError::Invalid`] for what is not known, and for tokens that open nothing; [`AuthError::Store`] is never the caller's
/// fault.
pub async fn authenticate(pool: &PgPool, hash: KeyHash, now: DateTime<Utc>) -> Result<Presented, AuthError> {
    let mut db = pool.acquire().await.map_err(StoreError::from)?;
    if let Some(key) = store::key::by_secret(&mut db, hash).await? {
        return of_key(key, now);
    }
    let token = store::token::by_secret(&mut db, hash).await?;
    let token = token.filter(|token| token.is_live(now)).ok_or(AuthError::Invalid)?;
    store::token::mark_used(&mut db, &token.id).await?;
    Ok(Presented { actor: token.actor(), with: Credential::Token(Box::new(token)) })
}

fn of_key(key: Key, now: DateTime<Utc>) -> Result<Presented, AuthError> {
    if key.draft.disabled {
        return Err(AuthError::Disabled);
    }
    if key.draft.expires_at.is_some_and(|end| end <= now) {
        return Err(AuthError::Expired);
    }
    let actor = Actor { id: key.id.to_string(), role: Role::Viewer, tenant: Some(key.tenant.clone()) };
    Ok(Presented { actor, with: Credential::Key(Box::new(key)) })
}
