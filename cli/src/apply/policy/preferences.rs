//! What a stage of a policy wants of providers, in OpenRouter's words.

use serde::{Deserialize, Serialize};
use switchyard_proto::v1;

use crate::apply::policy::is_default;

/// OpenRouter's `provider` object, as far as a policy can set it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Preferences {
    #[serde(skip_serializing_if = "is_default")]
    pub order: Vec<String>,
    #[serde(skip_serializing_if = "is_default")]
    pub only: Vec<String>,
    #[serde(skip_serializing_if = "is_default")]
    pub ignore: Vec<String>,
    #[serde(skip_serializing_if = "is_default")]
    pub sort: Sort,
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
    #[serde(skip_serializing_if = "is_default")]
    pub preferred_min_throughput: Wish,
    #[serde(skip_serializing_if = "is_default")]
    pub preferred_max_latency: Wish,
    #[serde(skip_serializing_if = "is_default")]
    pub enforce_distillable_text: Option<bool>,
}

/// A measure by its name, or with what it sorts.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged, expecting = "a sort is a measure's name, or `by` and `partition`")]
pub enum Sort {
    By(String),
    Parted(Parted),
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Parted {
    pub by: String,
    #[serde(default, skip_serializing_if = "is_default")]
    pub partition: String,
}

/// One figure, for half of the requests, or one for each share of them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged, expecting = "a wish is a number, or numbers for `p50`, `p75`, `p90` and `p99`")]
pub enum Wish {
    Half(f64),
    Each(Percentiles),
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
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

/// USD per million tokens (of `audio`: tokens of sound), or per request or image.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
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

impl Preferences {
    pub(super) fn to_proto(&self) -> v1::ProviderPreferences {
        let (sort, partition) = self.sort.parts();
        v1::ProviderPreferences {
            order: self.order.clone(),
            only: self.only.clone(),
            ignore: self.ignore.clone(),
            sort,
            partition,
            max_price: (!is_default(&self.max_price)).then(|| self.max_price.to_proto()),
            allow_fallbacks: self.allow_fallbacks,
            data_collection: self.data_collection.clone(),
            zdr: self.zdr,
            quantizations: self.quantizations.clone(),
            require_parameters: self.require_parameters,
            preferred_min_throughput: self.preferred_min_throughput.to_proto(),
            preferred_max_latency: self.preferred_max_latency.to_proto(),
            enforce_distillable_text: self.enforce_distillable_text,
        }
    }

    pub(super) fn of_proto(preferences: v1::ProviderPreferences) -> Self {
        Self {
            order: preferences.order,
            only: preferences.only,
            ignore: preferences.ignore,
            sort: Sort::of(preferences.sort, preferences.partition),
            max_price: preferences.max_price.map(MaxPrice::of_proto).unwrap_or_default(),
            allow_fallbacks: preferences.allow_fallbacks,
            data_collection: preferences.data_collection,
            zdr: preferences.zdr,
            quantizations: preferences.quantizations,
            require_parameters: preferences.require_parameters,
            preferred_min_throughput: Wish::of_proto(preferences.preferred_min_throughput),
            preferred_max_latency: Wish::of_proto(preferences.preferred_max_latency),
            enforce_distillable_text: preferences.enforce_distillable_text,
        }
    }
}

impl MaxPrice {
    fn to_proto(&self) -> v1::MaxPrice {
        v1::MaxPrice {
            prompt: self.prompt.clone(),
            completion: self.completion.clone(),
            request: self.request.clone(),
            image: self.image.clone(),
            audio: self.audio.clone(),
        }
    }

    fn of_proto(price: v1::MaxPrice) -> Self {
        Self {
            prompt: price.prompt,
            completion: price.completion,
            request: price.request,
            image: price.image,
            audio: price.audio,
        }
    }
}

impl Default for Sort {
    fn default() -> Self {
        Self::By(String::new())
    }
}

impl Sort {
    fn of(by: String, partition: String) -> Self {
        if partition.is_empty() { Self::By(by) } else { Self::Parted(Parted { by, partition }) }
    }

    fn parts(&self) -> (String, String) {
        match self {
            Self::By(by) => (by.clone(), String::new()),
            Self::Parted(Parted { by, partition }) => (by.clone(), partition.clone()),
        }
    }
}

impl Default for Wish {
    fn default() -> Self {
        Self::Each(Percentiles::default())
    }
}

impl Wish {
    fn to_proto(&self) -> Option<v1::PercentileWish> {
        let Percentiles { p50, p75, p90, p99 } = match self {
            Self::Half(figure) => Percentiles { p50: Some(*figure), ..Percentiles::default() },
            Self::Each(each) => *each,
        };
        let figures = v1::PercentileWish { p50, p75, p90, p99 };
        (figures != v1::PercentileWish::default()).then_some(figures)
    }

    fn of_proto(figures: Option<v1::PercentileWish>) -> Self {
        match figures.unwrap_or_default() {
            v1::PercentileWish { p50: Some(half), p75: None, p90: None, p99: None } => Self::Half(half),
            v1::PercentileWish { p50, p75, p90, p99 } => Self::Each(Percentiles { p50, p75, p90, p99 }),
        }
    }
}
