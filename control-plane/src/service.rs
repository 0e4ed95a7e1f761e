//! Use cases, one file per noun: check the right, check the input, write in one transaction, audit.
//!
//! Functions that end in `_in` work inside a [`Change`](crate::store::revision::Change) that the caller commits;
//! the others are whole calls. `grpc` calls them; SQL is `store`'s business.

use std::{sync::Arc, time::Duration};

use futures_util::future::BoxFuture;
use sqlx::{PgPool, Postgres, pool::PoolConnection};
use switchyard_proto::{code::ErrorCode, id::TenantId};

use crate::{
    auth::AuthError,
    crypto::{Crypto, CryptoError},
    domain::{
        fleet::Instance,
        health::Endpoint,
        invalid::Invalid,
        meta::Stale,
        permission::{self, Action, Actor, Allowed, Denied},
    },
    error::ServiceError,
    store::StoreError,
};

pub mod apply;
pub mod audit;
pub mod credential;
pub mod drift;
pub mod endpoint;
pub mod fleet;
pub mod key;
pub mod ledger;
pub mod model;
pub mod policy;
pub mod preset;
pub mod provider;
mod seal;
pub mod tenant;
pub mod token;
pub mod usage;
pub mod webhook;

/// What every use case works with. Cheap to clone.
#[derive(Clone)]
pub struct State {
    pub pool: PgPool,
    pub crypto: Crypto,
    pub fleet: Arc<dyn Fleet>,
    /// The adapters that data planes have; a provider names one of them.
    pub adapters: Arc<[&'static str]>,
}

/// What the admin side asks of the config distribution.
pub trait Fleet: Send + Sync {
    /// Waits until every attached data plane runs this revision; false if one takes longer than `within`.
    fn served(&self, revision: u64, within: Duration) -> BoxFuture<'_, bool>;
    /// Every known data plane, by id.
    fn instances(&self) -> BoxFuture<'_, Result<Vec<Instance>, ServiceError>>;
    /// How endpoints do over the whole fleet, by name.
    fn health(&self) -> BoxFuture<'_, Result<Vec<Endpoint>, ServiceError>>;
}

impl State {
    async fn connection(&self) -> Result<PoolConnection<Postgres>, ServiceError> {
        self.pool.acquire().await.map_err(|error| StoreError::from(error).into())
    }
}

/// A change of one row: the revision that it was based on (0: whatever is there), and what it makes of the row.
pub struct Update<P> {
    pub revision: u64,
    pub patch: P,
}

/// Checks a right; `tenant` is whose rows it is about.
///
/// Use cases check by themselves. `grpc` checks before it reads a message, so that whoever may not do a thing hears
/// that, and not what is wrong with how it was asked for.
///
/// # Errors
/// What another tenant has does not exist; the rest is refused.
pub fn allow<A: Action>(actor: &Actor, tenant: Option<&TenantId>) -> Result<Allowed<A>, ServiceError> {
    permission::check(actor, tenant).map_err(|denied| match (denied, tenant) {
        (Denied::Hidden, Some(tenant)) => ServiceError::not_found("tenant", tenant),
        (Denied::Hidden | Denied::Role, _) => {
            let public = format!("the role `{}` may not do this", actor.role.as_str());
            ServiceError::new(ErrorCode::PermissionDenied, public)
        }
    })
}

/// Says which row is missing, where the store only knows that one is.
fn missing(noun: &'static str, id: impl std::fmt::Display) -> impl FnOnce(StoreError) -> ServiceError {
    move |error| match error {
        StoreError::NotFound => ServiceError::not_found(noun, id),
        other => other.into(),
    }
}

impl From<StoreError> for ServiceError {
    fn from(error: StoreError) -> Self {
        let (code, public) = match &error {
            StoreError::Unavailable(_) => {
                (ErrorCode::StoreUnavailable, "the control plane's database is out of reach; try again")
            }
            StoreError::NotFound => (ErrorCode::NotFound, "not found"),
            StoreError::Duplicate(_) => (ErrorCode::AlreadyExists, "already exists"),
            StoreError::Raced(_) => {
                (ErrorCode::Conflict, "changed by somebody else at the same time; try again")
            }
            StoreError::BadText => (ErrorCode::InvalidRequest, "a text has a NUL character"),
            StoreError::Broken(_) => return Self::internal(error),
        };
        Self::new(code, public).with_source(error)
    }
}

impl From<Invalid> for ServiceError {
    fn from(invalid: Invalid) -> Self {
        Self::invalid(&invalid.field, &invalid.reason)
    }
}

impl From<Stale> for ServiceError {
    fn from(stale: Stale) -> Self {
        Self::new(ErrorCode::Conflict, stale.to_string())
    }
}

impl From<AuthError> for ServiceError {
    fn from(error: AuthError) -> Self {
        match error {
            AuthError::Missing | AuthError::Invalid => {
                Self::new(ErrorCode::Authentication, error.to_string())
            }
            AuthError::Disabled | AuthError::Expired => {
                Self::new(ErrorCode::PermissionDenied, error.to_string())
            }
            AuthError::Store(error) => error.into(),
        }
    }
}

impl From<CryptoError> for ServiceError {
    fn from(error: CryptoError) -> Self {
        match error {
            CryptoError::Unavailable(_) => {
                Self::new(ErrorCode::StoreUnavailable, "the key service is out of reach; try again")
                    .with_source(error)
            }
            CryptoError::OtherMasterKey { .. } | CryptoError::DataKey(..) | CryptoError::Credential(..) => {
                Self::internal(error)
            }
        }
    }
}
