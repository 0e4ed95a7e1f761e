//! Whether an account's own rules let its requests go to an endpoint at all, whatever a request says: what its catalogue shows.

use std::sync::Arc;

use switchyard_proto::v1::TenantConfig;

use crate::config::snapshot::{Endpoint, TenantCredential};
use crate::model::preferences::Preferences;
use crate::routing::filter::{self, policy};
use crate::routing::wishes::Wishes;

/// Whether some request of the account may be served there. `own` are its own credentials: what it says of its contract
/// with a provider counts for these.
pub fn admits(account: &TenantConfig, own: &[Arc<TenantCredential>], endpoint: &Endpoint) -> bool {
    let plain = Preferences::default();
    let wishes = Wishes::of(&plain, None, account);
    let is_private = |declared_zdr| policy::privacy(&wishes, endpoint, declared_zdr).is_none();
    wishes.account_rule(endpoint).is_none()
        && policy::region(&wishes, endpoint).is_none()
        && (is_private(None) || own.iter().any(|own| is_for(own, endpoint) && is_private(own.declared_zdr)))
}

/// Whether a credential can be shown to the endpoint's provider for this model, by some key and user.
fn is_for(own: &TenantCredential, endpoint: &Endpoint) -> bool {
    own.provider == endpoint.provider.id
        && own.secret.is_some()
        && !own.disabled
        && filter::covers(&own.allowed_models, endpoint.model.as_str())
}
