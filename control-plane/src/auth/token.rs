//! Admin tokens in the `authorization` header.

use chrono::{DateTime, Utc};
use sqlx::PgPool;
use switchyard_proto::key::{self, KeyHash};

use crate::{
    auth::{Actor, AuthError},
    store,
};

/// Names the actor of an `authorization` value.
///
/// # Errors
/// [`AuthError::Missing`] and [`AuthError::Invalid`] are the caller's, [`AuthError::Store`] is ours.
pub async fn authenticate(
    pool: &PgPool,
    authorization: Option<&str>,
    now: DateTime<Utc>,
) -> Result<Actor, AuthError> {
    let presented = bearer(authorization.ok_or(AuthError::Missing)?).ok_or(AuthError::Missing)?;
    // Garbage fails without a lookup.
    if !key::is_well_formed_token(presented) {
        return Err(AuthError::Invalid);
    }
    let mut db = pool.acquire().await.map_err(store::StoreError::from)?;
    let token = store::token::by_secret(&mut db, KeyHash::of(presented)).await?;
    let token = token.filter(|token| token.is_live(now)).ok_or(AuthError::Invalid)?;
    store::token::mark_used(&mut db, &token.id).await?;
    Ok(token.actor())
}

/// The token of `Bearer <token>`; the scheme in any case.
fn bearer(authorization: &str) -> Option<&str> {
    let (scheme, token) = authorization.trim().split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim()).filter(|token| !token.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_bearer_tokens_are_read() {
        for (authorization, token) in [
            ("Bearer abc", Some("abc")),
            ("bearer  abc ", Some("abc")),
            ("Basic abc", None),
            ("Bearer ", None),
            ("Bearer", None),
            ("abc", None),
            ("", None),
        ] {
            assert_eq!(bearer(authorization), token, "{authorization}");
        }
    }
}
