//! One step of a policy, in the shape that the store keeps and people write.

use serde::{Deserialize, Serialize};

/// What is tried before the next step is.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Stage {
    #[serde(skip_serializing_if = "is_default")]
    pub name: String,
    /// A condition over the request; empty: always.
    #[serde(skip_serializing_if = "is_default")]
    pub when: String,
    pub models: Vec<Weighted>,
    #[serde(skip_serializing_if = "is_default")]
    pub provider: Preferences,
    /// Names of `switchyard_proto::policy::ESCALATE_ON`.
    #[serde(skip_serializing_if = "is_default")]
    pub escalate_on: Vec<String>,
    /// A condition over the answer.
    #[serde(skip_serializing_if = "is_default")]
    pub check: String,
    /// A JSON schema, as text.
    #[serde(skip_serializing_if = "is_default")]
    pub schema: String,
    #[serde(skip_serializing_if = "is_default")]
    pub deadlines: Deadlines,
    #[serde(skip_serializing_if = "is_default")]
    pub hedge: Hedge,
    /// `None`: the data plane's setting.
    #[serde(skip_serializing_if = "is_default")]
    pub retries: Option<u32>,
}

/// A model and its share.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Weighted {
    pub model: String,
    #[serde(skip_serializing_if = "is_default")]
    pub weight: u32,
}

/// OpenRouter's `provider` object, as far as a policy can set it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Preferences {
    #[serde(skip_serializing_if = "is_default")]
    pub order: Vec<String>,
    #[serde(skip_serializing_if = "is_default")]
    pub only: Vec<String>,
    #[serde(skip_serializing_if = "is_default")]
    pub ignore: Vec<String>,
    #[serde(skip_serializing_if = "is_default")]
    pub sort: String,
    /// What is sorted: each model's endpoints, or with `none` those of all models as one list.
    #[serde(skip_serializing_if = "is_default")]
    pub partition: String,
    #[serde(skip_serializing_if = "is_default")]
    pub max_price: MaxPrice,
    #[serde(skip_serializing_if = "is_default")]
    pub allow_fallbacks: Option<bool>,
    #[serde(skip_serializing_if = "is_default")]
    pub data_collection: String,
    #[serde(skip_serializing_if = "is_default")]
    pub zdr: Option<bool>,
    #[serde(skip_serializing_if = "is_default")]
    pub quantizations: Vec<String>,
    #[serde(skip_serializing_if = "is_default")]
    pub require_parameters: Option<bool>,
    /// Tokens per second.
    #[serde(skip_serializing_if = "is_default")]
    pub preferred_min_throughput: Percentiles,
    /// Seconds to the first content.
    #[serde(skip_serializing_if = "is_default")]
    pub preferred_max_latency: Percentiles,
    #[serde(skip_serializing_if = "is_default")]
    pub enforce_distillable_text: Option<bool>,
}

/// A figure for each share of the requests.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Percentiles {
    #[serde(skip_serializing_if = "is_default")]
    pub p50: Option<f64>,
    #[serde(skip_serializing_if = "is_default")]
    pub p75: Option<f64>,
    #[serde(skip_serializing_if = "is_default")]
    pub p90: Option<f64>,
    #[serde(skip_serializing_if = "is_default")]
    pub p99: Option<f64>,
}

/// Price ceilings as decimals: USD per million tokens (of `audio`: tokens of sound), or per request or image.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct MaxPrice {
    #[serde(skip_serializing_if = "is_default")]
    pub prompt: String,
    #[serde(skip_serializing_if = "is_default")]
    pub completion: String,
    #[serde(skip_serializing_if = "is_default")]
    pub request: String,
    #[serde(skip_serializing_if = "is_default")]
    pub image: String,
    #[serde(skip_serializing_if = "is_default")]
    pub audio: String,
}

/// Deadlines of one attempt in milliseconds; `None`: the provider's, else the data plane's setting.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Deadlines {
    #[serde(skip_serializing_if = "is_default")]
    pub connect_ms: Option<u64>,
    #[serde(skip_serializing_if = "is_default")]
    pub headers_ms: Option<u64>,
    #[serde(skip_serializing_if = "is_default")]
    pub first_content_ms: Option<u64>,
    #[serde(skip_serializing_if = "is_default")]
    pub idle_ms: Option<u64>,
    #[serde(skip_serializing_if = "is_default")]
    pub total_ms: Option<u64>,
    #[serde(skip_serializing_if = "is_default")]
    pub min_tokens_per_second: Option<u32>,
}

/// A second candidate beside a slow first; 0: off.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Hedge {
    #[serde(skip_serializing_if = "is_default")]
    pub quantile_permille: u32,
    #[serde(skip_serializing_if = "is_default")]
    pub max_rate_permille: u32,
    /// USD; empty: no cap of its own.
    #[serde(skip_serializing_if = "is_default")]
    pub max_usd: String,
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}
