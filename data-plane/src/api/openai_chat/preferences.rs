//! Reads OpenRouter's `provider` object.
//!
//! Unknown members are ignored, as new preferences appear faster than routers; wrong types are not.

use std::num::NonZeroU64;
use std::time::Duration;

use serde::Deserialize;
use serde::de::{self, Deserializer, Visitor};
use serde_json::Value;
use serde_json::value::RawValue;

use crate::api::openai_chat::explain::about;
use crate::api::openai_chat::scan::{Word, cut};
use crate::model::deadlines::Deadlines;
use crate::model::preferences::{MaxPrice, Percentiles, Preferences, Sort, SortBy};

/// Precisions that `quantizations` may name.
const QUANTIZATIONS: [&str; 12] =
    ["int4", "int8", "fp4", "mxfp4", "nvfp4", "fp6", "fp8", "mxfp8", "fp16", "bf16", "fp32", "unknown"];

/// The object as sent: every member may be null.
#[derive(Debug, Default, Deserialize)]
pub struct ProviderObject {
    #[serde(default)]
    order: Option<Vec<String>>,
    #[serde(default)]
    only: Option<Vec<String>>,
    #[serde(default)]
    ignore: Option<Vec<String>>,
    #[serde(default)]
    allow_fallbacks: Option<bool>,
    #[serde(default)]
    require_parameters: Option<bool>,
    #[serde(default)]
    data_collection: Option<DataCollection>,
    #[serde(default)]
    zdr: Option<bool>,
    #[serde(default)]
    enforce_distillable_text: Option<bool>,
    #[serde(default)]
    quantizations: Option<Vec<Quantization>>,
    #[serde(default)]
    sort: Option<SortWish>,
    #[serde(default)]
    max_price: Option<MaxPriceObject>,
    #[serde(default)]
    preferred_min_throughput: Option<PercentilesWish>,
    #[serde(default)]
    preferred_max_latency: Option<PercentilesWish>,
    #[serde(default)]
    options: Option<Value>,
    #[serde(default)]
    deadlines: Option<DeadlinesObject>,
}

impl From<ProviderObject> for Preferences {
    fn from(object: ProviderObject) -> Self {
        let percentiles = |wish: Option<PercentilesWish>| wish.map(|wish| wish.0).unwrap_or_default();
        let quantizations = object.quantizations.unwrap_or_default();
        Self {
            order: object.order.unwrap_or_default(),
            only: object.only.unwrap_or_default(),
            ignore: object.ignore.unwrap_or_default(),
            allow_fallbacks: object.allow_fallbacks.unwrap_or(true),
            require_parameters: object.require_parameters.unwrap_or(false),
            deny_data_collection: object.data_collection == Some(DataCollection::Deny),
            zdr: object.zdr.unwrap_or(false),
            enforce_distillable_text: object.enforce_distillable_text.unwrap_or(false),
            quantizations: quantizations.into_iter().map(|name| name.0).collect(),
            sort: object.sort.map(|sort| sort.0),
            max_price: object.max_price.unwrap_or_default().into(),
            preferred_min_throughput: percentiles(object.preferred_min_throughput),
            preferred_max_latency: percentiles(object.preferred_max_latency),
            options: object.options,
            deadlines: object.deadlines.unwrap_or_default().into(),
        }
    }
}

/// Deadlines in milliseconds; a misspelt one would be a deadline that nobody keeps, so here unknown members are refused.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct DeadlinesObject {
    #[serde(default)]
    connect_ms: Option<NonZeroU64>,
    #[serde(default)]
    headers_ms: Option<NonZeroU64>,
    #[serde(default)]
    first_content_ms: Option<NonZeroU64>,
    #[serde(default)]
    idle_ms: Option<NonZeroU64>,
    #[serde(default)]
    total_ms: Option<NonZeroU64>,
    #[serde(default)]
    min_tokens_per_second: Option<f64>,
}

impl From<DeadlinesObject> for Deadlines {
    fn from(object: DeadlinesObject) -> Self {
        let ms = |ms: Option<NonZeroU64>| ms.map(|ms| Duration::from_millis(ms.get()));
        Self {
            connect: ms(object.connect_ms),
            headers: ms(object.headers_ms),
            first_content: ms(object.first_content_ms),
            idle: ms(object.idle_ms),
            total: ms(object.total_ms),
            min_tokens_per_second: object.min_tokens_per_second.filter(|rate| *rate > 0.0),
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum DataCollection {
    Allow,
    Deny,
}

#[derive(Debug)]
struct Quantization(String);

impl<'de> Deserialize<'de> for Quantization {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let Word(name) = Word::deserialize(deserializer)?;
        if QUANTIZATIONS.contains(&name.as_ref()) {
            return Ok(Self(name.into_owned()));
        }
        let (name, known) = (cut(&name), QUANTIZATIONS.join(", "));
        Err(de::Error::custom(format_args!("`{name}` is none of {known}")))
    }
}

#[derive(Debug)]
struct SortWish(Sort);

impl<'de> Deserialize<'de> for SortWish {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct SortVisitor;
        impl<'de> Visitor<'de> for SortVisitor {
            type Value = SortWish;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("price, throughput, latency, exacto or an object with `by`")
            }
            fn visit_str<E: de::Error>(self, name: &str) -> Result<SortWish, E> {
                Ok(SortWish(Sort { by: sort_by(name)?, across_models: false }))
            }
            fn visit_map<A: de::MapAccess<'de>>(self, members: A) -> Result<SortWish, A::Error> {
                #[derive(Deserialize)]
                struct Object {
                    #[serde(default)]
                    by: Option<String>,
                    #[serde(default)]
                    partition: Option<String>,
                }
                let object = Object::deserialize(de::value::MapAccessDeserializer::new(members))?;
                let by = object.by.ok_or_else(|| about("by", "is required"))?;
                let across_models = match object.partition.as_deref() {
                    None | Some("model") => false,
                    Some("none") => true,
                    Some(other) => {
                        return Err(about(
                            "partition",
                            format_args!("`{}` is none of model, none", cut(other)),
                        ));
                    }
                };
                Ok(SortWish(Sort { by: sort_by(&by)?, across_models }))
            }
        }
        deserializer.deserialize_any(SortVisitor)
    }
}

fn sort_by<E: de::Error>(name: &str) -> Result<SortBy, E> {
    match name {
        "price" => Ok(SortBy::Price),
        "throughput" => Ok(SortBy::Throughput),
        "latency" => Ok(SortBy::Latency),
        "exacto" => Ok(SortBy::Exacto),
        other => {
            let other = cut(other);
            Err(E::custom(format_args!("`{other}` is none of price, throughput, latency, exacto")))
        }
    }
}

#[derive(Debug, Default, Deserialize)]
struct MaxPriceObject {
    #[serde(default)]
    prompt: Option<Decimal>,
    #[serde(default)]
    completion: Option<Decimal>,
    #[serde(default)]
    request: Option<Decimal>,
    #[serde(default)]
    image: Option<Decimal>,
    #[serde(default)]
    audio: Option<Decimal>,
}

impl From<MaxPriceObject> for MaxPrice {
    fn from(object: MaxPriceObject) -> Self {
        let text = |decimal: Option<Decimal>| decimal.map(|decimal| decimal.0);
        Self {
            prompt: text(object.prompt),
            completion: text(object.completion),
            request: text(object.request),
            image: text(object.image),
            audio: text(object.audio),
        }
    }
}

/// A price given as a number or as text; kept as decimal text, so that no digit is lost.
#[derive(Debug)]
struct Decimal(String);

impl<'de> Deserialize<'de> for Decimal {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let raw = <&RawValue>::deserialize(deserializer)?.get();
        let text = raw.trim_matches('"');
        let plain = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
        if plain && text.bytes().filter(|byte| *byte == b'.').count() <= 1 {
            return Ok(Self(text.to_owned()));
        }
        match text.parse::<f64>() {
            Ok(number) if number.is_finite() && number >= 0.0 => Ok(Self(format!("{number}"))),
            _ => Err(de::Error::custom("must be a price: a decimal number that is not negative")),
        }
    }
}

#[derive(Debug)]
struct PercentilesWish(Percentiles);

impl<'de> Deserialize<'de> for PercentilesWish {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct PercentilesVisitor;
        impl<'de> Visitor<'de> for PercentilesVisitor {
            type Value = PercentilesWish;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a number or an object of percentiles")
            }
            fn visit_f64<E: de::Error>(self, p50: f64) -> Result<PercentilesWish, E> {
                Ok(PercentilesWish(Percentiles { p50: Some(p50), ..Percentiles::default() }))
            }
            fn visit_u64<E: de::Error>(self, p50: u64) -> Result<PercentilesWish, E> {
                self.visit_f64(p50 as f64)
            }
            fn visit_i64<E: de::Error>(self, p50: i64) -> Result<PercentilesWish, E> {
                self.visit_f64(p50 as f64)
            }
            fn visit_map<A: de::MapAccess<'de>>(self, members: A) -> Result<PercentilesWish, A::Error> {
                #[derive(Deserialize)]
                struct Object {
                    #[serde(default)]
                    p50: Option<f64>,
                    #[serde(default)]
                    p75: Option<f64>,
                    #[serde(default)]
                    p90: Option<f64>,
                    #[serde(default)]
                    p99: Option<f64>,
                }
                let Object { p50, p75, p90, p99 } =
                    Object::deserialize(de::value::MapAccessDeserializer::new(members))?;
                Ok(PercentilesWish(Percentiles { p50, p75, p90, p99 }))
            }
        }
        deserializer.deserialize_any(PercentilesVisitor)
    }
}
