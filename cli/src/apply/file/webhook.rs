//! A webhook, as people write it.

use serde::{Deserialize, Serialize};
use switchyard_proto::secret::Secret;

use crate::apply::file::{expose, is_default, secret};

/// Where events about money are sent.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Webhook {
    /// Unique with its owner.
    pub id: String,
    /// By default the operator's, which hears of all tenants.
    #[serde(default, skip_serializing_if = "is_default")]
    pub tenant: String,
    /// May hold `${NAME}`.
    pub url: String,
    #[serde(default, skip_serializing_if = "is_default")]
    pub description: String,
    #[serde(default, skip_serializing_if = "is_default")]
    pub disabled: bool,
    /// By default all.
    #[serde(default, skip_serializing_if = "is_default")]
    pub events: Vec<String>,
    /// Percent of a limit; by default 80 and 100.
    #[serde(default, skip_serializing_if = "is_default")]
    pub thresholds: Vec<u32>,
    /// USD of credits left.
    #[serde(default, skip_serializing_if = "is_default")]
    pub low_balance_usd: String,
    /// May hold `${NAME}`; absent: the stored one is kept, or one is made and shown once.
    #[serde(
        default,
        deserialize_with = "secret",
        serialize_with = "expose",
        skip_serializing_if = "Option::is_none"
    )]
    pub secret: Option<Secret>,
}
