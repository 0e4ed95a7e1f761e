//! A price as people write it and the store keeps it: texts by name, with overrides and versions.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::{clock, v1};

/// Prices by name, as decimal texts in USD; an absent one has the default that `common.proto` documents.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Parts(pub BTreeMap<String, String>);

/// An endpoint's price.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Written {
    #[serde(flatten)]
    pub schedule: Schedule,
    #[serde(flatten)]
    pub parts: Parts,
}

/// What is beside an endpoint's plain prices.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Schedule {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub overrides: Vec<Override>,
    /// In the order of their moments.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub versions: Vec<Version>,
}

/// Prices that hold for long prompts, or in hours of the day.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Override {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub min_prompt_tokens: Option<u64>,
    /// `HH:MM` in UTC.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub utc_start: String,
    /// `HH:MM` in UTC; not part of the hours.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub utc_end: String,
    pub price: Parts,
}

/// All prices from a moment on.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Version {
    pub from: Option<DateTime<Utc>>,
    pub price: Parts,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub overrides: Vec<Override>,
}

impl Parts {
    /// One price as text; empty where absent.
    pub fn get(&self, name: &str) -> String {
        self.0.get(name).cloned().unwrap_or_default()
    }
}

impl Written {
    /// Whether nothing is written.
    pub fn is_empty(&self) -> bool {
        self.parts.0.is_empty() && self.schedule == Schedule::default()
    }
}

impl From<v1::PriceParts> for Parts {
    fn from(parts: v1::PriceParts) -> Self {
        Self(parts.named().map(|(name, text)| (name.to_owned(), text.to_owned())).collect())
    }
}

impl From<&Parts> for v1::PriceParts {
    fn from(parts: &Parts) -> Self {
        Self::of_named(|name| parts.get(name))
    }
}

impl From<&v1::Price> for Written {
    fn from(price: &v1::Price) -> Self {
        let versions = price.versions.iter().map(Version::from).collect();
        let overrides = price.overrides.iter().map(Override::from).collect();
        Self { parts: price.parts().into(), schedule: Schedule { overrides, versions } }
    }
}

impl From<&Written> for v1::Price {
    fn from(price: &Written) -> Self {
        let Schedule { overrides, versions } = &price.schedule;
        Self {
            overrides: overrides.iter().map(v1::PriceOverride::from).collect(),
            versions: versions.iter().map(v1::PriceVersion::from).collect(),
            ..v1::PriceParts::from(&price.parts).into()
        }
    }
}

impl From<&v1::PriceOverride> for Override {
    fn from(row: &v1::PriceOverride) -> Self {
        Self {
            min_prompt_tokens: row.min_prompt_tokens,
            utc_start: row.utc_start.clone(),
            utc_end: row.utc_end.clone(),
            price: row.price.clone().unwrap_or_default().into(),
        }
    }
}

impl From<&Override> for v1::PriceOverride {
    fn from(row: &Override) -> Self {
        Self {
            min_prompt_tokens: row.min_prompt_tokens,
            utc_start: row.utc_start.clone(),
            utc_end: row.utc_end.clone(),
            price: Some((&row.price).into()),
        }
    }
}

impl From<&v1::PriceVersion> for Version {
    fn from(version: &v1::PriceVersion) -> Self {
        Self {
            from: version.from.as_ref().and_then(clock::from_timestamp),
            price: version.price.clone().unwrap_or_default().into(),
            overrides: version.overrides.iter().map(Override::from).collect(),
        }
    }
}

impl From<&Version> for v1::PriceVersion {
    fn from(version: &Version) -> Self {
        Self {
            from: version.from.map(clock::to_timestamp),
            price: Some((&version.price).into()),
            overrides: version.overrides.iter().map(v1::PriceOverride::from).collect(),
        }
    }
}
