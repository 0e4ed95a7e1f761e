//! A tenant's own credential, as people write it.

use serde::{Deserialize, Serialize};
use switchyard_proto::secret::Secret;

use crate::apply::file::{Rates, expose, is_default, secret};

/// A tenant's own credential for one of the providers.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Credential {
    /// Unique in its tenant.
    pub id: String,
    pub provider: String,
    #[serde(default, skip_serializing_if = "is_default")]
    pub name: String,
    /// May hold `${NAME}`; absent: the stored one is kept.
    #[serde(
        default,
        deserialize_with = "secret",
        serialize_with = "expose",
        skip_serializing_if = "Option::is_none"
    )]
    pub secret: Option<Secret>,
    #[serde(default, skip_serializing_if = "is_default")]
    pub disabled: bool,
    #[serde(default, skip_serializing_if = "is_default")]
    pub fallback: bool,
    #[serde(default, skip_serializing_if = "is_default")]
    pub order: i32,
    #[serde(default, skip_serializing_if = "is_default")]
    pub required: bool,
    #[serde(default, skip_serializing_if = "is_default")]
    pub allowed_models: Vec<String>,
    /// Names of the tenant's keys.
    #[serde(default, skip_serializing_if = "is_default")]
    pub allowed_keys: Vec<String>,
    #[serde(default, skip_serializing_if = "is_default")]
    pub allowed_users: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub declared_zdr: Option<bool>,
    #[serde(default, skip_serializing_if = "is_default")]
    pub rates: Rates,
}
