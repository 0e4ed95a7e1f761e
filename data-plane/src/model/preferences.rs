//! OpenRouter's `provider` object: what a caller wants of the providers that may serve a request.
//!
//! Only data; what each preference does is `routing`'s business.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::model::deadlines::Deadlines;

/// The parsed `provider` object; the default is what an absent object means.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Preferences {
    /// Provider slugs to try first, in this order.
    pub order: Vec<String>,
    /// The only provider slugs allowed; empty means any.
    pub only: Vec<String>,
    /// Provider slugs never to use.
    pub ignore: Vec<String>,
    /// Whether providers after the first may be tried. Default true.
    pub allow_fallbacks: bool,
    /// Whether every parameter sent must be supported. Default false.
    pub require_parameters: bool,
    /// Whether providers that store or train on prompts are out.
    pub deny_data_collection: bool,
    /// Zero data retention asked for; can only tighten.
    pub zdr: bool,
    /// Only models whose author allows distillation.
    pub enforce_distillable_text: bool,
    /// Quantizations allowed; empty means any.
    pub quantizations: Vec<String>,
    /// A deterministic order instead of load balancing.
    pub sort: Option<Sort>,
    /// Hard price ceilings.
    pub max_price: MaxPrice,
    /// Tokens per second below which an endpoint goes to the back.
    pub preferred_min_throughput: Percentiles,
    /// Seconds above which an endpoint goes to the back.
    pub preferred_max_latency: Percentiles,
    /// Pass-through options by provider slug, as sent; they may hold anything, so they are never written down.
    #[serde(skip)]
    pub options: Option<Value>,
    /// Stricter deadlines for this request; Switchyard's own extension.
    pub deadlines: Deadlines,
}

impl Default for Preferences {
    fn default() -> Self {
        Self {
            order: Vec::new(),
            only: Vec::new(),
            ignore: Vec::new(),
            allow_fallbacks: true,
            require_parameters: false,
            deny_data_collection: false,
            zdr: false,
            enforce_distillable_text: false,
            quantizations: Vec::new(),
            sort: None,
            max_price: MaxPrice::default(),
            preferred_min_throughput: Percentiles::default(),
            preferred_max_latency: Percentiles::default(),
            options: None,
            deadlines: Deadlines::default(),
        }
    }
}

/// The `provider.sort` preference.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sort {
    /// The measure to sort by.
    pub by: SortBy,
    /// Whether fallback models stay behind the first model (`model`, the default) or all endpoints of all
    /// models form one list (`none`).
    pub across_models: bool,
}

/// A measure that endpoints can be sorted by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SortBy {
    Price,
    Throughput,
    Latency,
    /// Tool-calling quality.
    Exacto,
}

impl SortBy {
    /// The name in requests.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Price => "price",
            Self::Throughput => "throughput",
            Self::Latency => "latency",
            Self::Exacto => "exacto",
        }
    }
}

/// Price ceilings as decimal text: USD per million tokens (of `audio`: tokens of sound), or per request or image.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct MaxPrice {
    pub prompt: Option<String>,
    pub completion: Option<String>,
    pub request: Option<String>,
    pub image: Option<String>,
    pub audio: Option<String>,
}

/// A wish per percentile; a plain number in the request means `p50`.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct Percentiles {
    pub p50: Option<f64>,
    pub p75: Option<f64>,
    pub p90: Option<f64>,
    pub p99: Option<f64>,
}

impl Percentiles {
    /// Whether nothing is wished.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}
