//! Prices in the file: an endpoint's, with long prompts, hours and dates, and a tenant's price book.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use switchyard_proto::{clock, v1};

use crate::apply::file::{is_default, or_default};

/// All prices have the same names here and on the wire.
macro_rules! prices {
    ($($name:ident),*) => {
        /// An endpoint's price: USD per million tokens, but for `request`, `image` and `search`.
        #[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
        #[serde(deny_unknown_fields, default)]
        pub struct Price {
            $(#[serde(skip_serializing_if = "is_default")]
            pub $name: String,)*
            #[serde(deserialize_with = "or_default", skip_serializing_if = "Vec::is_empty")]
            pub overrides: Vec<Override>,
            #[serde(deserialize_with = "or_default", skip_serializing_if = "Vec::is_empty")]
            pub versions: Vec<Version>,
        }

        /// Prices alone.
        #[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
        #[serde(deny_unknown_fields, default)]
        pub struct Parts {
            $(#[serde(skip_serializing_if = "is_default")]
            pub $name: String,)*
        }

        impl Price {
            /// As the wire has it.
            pub fn to_proto(&self) -> v1::Price {
                v1::Price {
                    $($name: self.$name.clone(),)*
                    overrides: self.overrides.iter().map(Override::to_proto).collect(),
                    versions: self.versions.iter().map(Version::to_proto).collect(),
                }
            }

            /// From the control plane's answer.
            pub fn of_proto(price: v1::Price) -> Self {
                Self {
                    $($name: price.$name,)*
                    overrides: price.overrides.into_iter().map(Override::of_proto).collect(),
                    versions: price.versions.into_iter().map(Version::of_proto).collect(),
                }
            }
        }

        impl Parts {
            fn to_proto(&self) -> v1::PriceParts {
                v1::PriceParts { $($name: self.$name.clone(),)* }
            }

            fn of_proto(parts: v1::PriceParts) -> Self {
                Self { $($name: parts.$name,)* }
            }
        }
    };
}

prices!(
    input,
    cached_input,
    cache_write,
    cache_write_1h,
    output,
    reasoning,
    request,
    image,
    audio_input,
    audio_output,
    image_output,
    search
);

/// Prices that hold for long prompts, or in hours of the day.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Override {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub min_prompt_tokens: Option<u64>,
    /// `HH:MM` in UTC.
    #[serde(skip_serializing_if = "is_default")]
    pub utc_start: String,
    #[serde(skip_serializing_if = "is_default")]
    pub utc_end: String,
    pub price: Parts,
}

/// All prices from a moment on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Version {
    pub from: DateTime<Utc>,
    pub price: Parts,
    #[serde(default, deserialize_with = "or_default", skip_serializing_if = "Vec::is_empty")]
    pub overrides: Vec<Override>,
}

/// What a tenant pays for some models: a mark-up, or its own price.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Rule {
    /// A model, or `author/*`; absent: every model.
    #[serde(skip_serializing_if = "is_default")]
    pub model: String,
    /// Absent: every provider.
    #[serde(skip_serializing_if = "is_default")]
    pub provider: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub markup_ppm: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub price: Option<Parts>,
}

impl Override {
    fn to_proto(&self) -> v1::PriceOverride {
        v1::PriceOverride {
            min_prompt_tokens: self.min_prompt_tokens,
            utc_start: self.utc_start.clone(),
            utc_end: self.utc_end.clone(),
            price: Some(self.price.to_proto()),
        }
    }

    fn of_proto(row: v1::PriceOverride) -> Self {
        Self {
            min_prompt_tokens: row.min_prompt_tokens,
            utc_start: row.utc_start,
            utc_end: row.utc_end,
            price: Parts::of_proto(row.price.unwrap_or_default()),
        }
    }
}

impl Version {
    fn to_proto(&self) -> v1::PriceVersion {
        v1::PriceVersion {
            from: Some(clock::to_timestamp(self.from)),
            price: Some(self.price.to_proto()),
            overrides: self.overrides.iter().map(Override::to_proto).collect(),
        }
    }

    fn of_proto(version: v1::PriceVersion) -> Self {
        Self {
            from: version.from.as_ref().and_then(clock::from_timestamp).unwrap_or_default(),
            price: Parts::of_proto(version.price.unwrap_or_default()),
            overrides: version.overrides.into_iter().map(Override::of_proto).collect(),
        }
    }
}

impl Rule {
    /// As the wire has it.
    pub fn to_proto(&self) -> v1::PriceRule {
        v1::PriceRule {
            model: self.model.clone(),
            provider: self.provider.clone(),
            markup_ppm: self.markup_ppm,
            price: self.price.as_ref().map(Parts::to_proto),
        }
    }

    /// From the control plane's answer.
    pub fn of_proto(rule: v1::PriceRule) -> Self {
        Self {
            model: rule.model,
            provider: rule.provider,
            markup_ppm: rule.markup_ppm,
            price: rule.price.map(Parts::of_proto),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PRICE: &str = "
input: 1.25
output: 10
search: 0.01
overrides:
  - min_prompt_tokens: 200000
    price: {input: 2.5, output: 15}
  - utc_start: 16:30
    utc_end: 00:30
    price: {input: 0.6}
versions:
  - from: 2027-01-01T00:00:00Z
    price: {input: 2}
";

    #[test]
    fn a_price_goes_over_the_wire_and_comes_back_as_it_was_written() {
        let price: Price = serde_yaml_ng::from_str(PRICE).unwrap();
        let wire = price.to_proto();
        assert_eq!((wire.input.as_str(), wire.search.as_str()), ("1.25", "0.01"));
        assert_eq!(wire.overrides[0].min_prompt_tokens, Some(200_000));
        assert_eq!(
            (wire.overrides[1].utc_start.as_str(), wire.overrides[1].utc_end.as_str()),
            ("16:30", "00:30")
        );
        assert_eq!(wire.versions[0].from.unwrap().seconds, 1_798_761_600);
        assert_eq!(Price::of_proto(wire), price);
    }

    #[test]
    fn a_rule_goes_over_the_wire_and_comes_back_as_it_was_written() {
        let rules = "[{model: a/*, markup_ppm: 0}, {provider: p, price: {input: 1}}]";
        let rules: Vec<Rule> = serde_yaml_ng::from_str(rules).unwrap();
        let wire: Vec<v1::PriceRule> = rules.iter().map(Rule::to_proto).collect();
        assert_eq!((wire[0].markup_ppm, wire[1].markup_ppm), (Some(0), None));
        assert_eq!(wire.into_iter().map(Rule::of_proto).collect::<Vec<_>>(), rules);
    }

    #[test]
    fn a_name_that_is_no_price_is_refused() {
        assert!(serde_yaml_ng::from_str::<Price>("overrides: [{price: {tea: 1}}]").is_err());
    }
}
