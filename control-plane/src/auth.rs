//! Who is asking: an admin token, or a key that a data plane passes on.
//!
//! What they may do is `domain::permission`'s business.

pub mod presented;
pub mod token;

pub use crate::domain::permission::{Actor, Role};
use crate::store::StoreError;

/// Why nobody could be named.
#[derive(Debug, thiserror::Error)]
pub enum AuthError {
    #[error("no admin token; send `authorization: Bearer <token>`")]
    Missing,
    /// Malformed, unknown, disabled and expired look alike to whoever tries tokens.
    #[error("invalid token")]
    Invalid,
    #[error("the key is disabled")]
    Disabled,
    #[error("the key has expired")]
    Expired,
    /// Nobody can be named while the store is out of reach: never the caller's fault.
    #[error(transparent)]
    Store(#[from] StoreError),
}
