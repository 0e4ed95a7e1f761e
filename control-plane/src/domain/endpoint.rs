//! Endpoints: one model served by one provider.

use std::collections::BTreeMap;

use serde::Serialize;
use switchyard_proto::{
    id::{EndpointId, ModelId, ProviderId},
    price::Written,
};

use crate::domain::{
    invalid::{self, Invalid},
    meta::Meta,
    model, price, provider,
};

const MOST_TOKENS: u64 = 1_000_000_000;

/// What the operator chooses of an endpoint.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Draft {
    pub provider: String,
    /// The model's name at the provider.
    pub upstream_id: String,
    /// Tokens that prompt and answer may have together.
    pub context_length: u64,
    /// 0: as much as the context length leaves.
    pub max_output_tokens: u64,
    pub price: Written,
    /// Empty: unknown, everything is tried.
    pub supported_parameters: Vec<String>,
    pub quantization: String,
    /// Closing the connection stops the provider's billing.
    pub cancel_stops_billing: bool,
    pub disabled: bool,
    pub quirks: BTreeMap<String, String>,
    /// Empty: as the model.
    pub input_modalities: Vec<String>,
    pub billing: Billing,
    /// The tier of the provider that this is; empty: its default one.
    pub service_tier: String,
}

/// Tokens that a provider counts beyond the visible prompt, by the names of the message `Billing`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Billing(pub BTreeMap<String, u64>);

/// An endpoint as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    pub model: ModelId,
    pub id: EndpointId,
    pub draft: Draft,
    pub meta: Meta,
}

impl Endpoint {
    /// `model#endpoint`: unique among all endpoints.
    pub fn full_id(&self) -> String {
        full_id(&self.model, &self.id)
    }

    /// The provider that serves it.
    pub fn provider(&self) -> ProviderId {
        ProviderId::new(self.draft.provider.as_str())
    }
}

/// `model#endpoint`.
pub fn full_id(model: &ModelId, id: &EndpointId) -> String {
    format!("{model}#{id}")
}

impl Draft {
    /// Checks everything that needs no other row.
    ///
    /// # Errors
    /// Names the field as it is called in `Endpoint`.
    pub fn check(&self) -> Result<(), Invalid> {
        invalid::required("provider", &self.provider, 63)?;
        invalid::required("upstream_id", &self.upstream_id, 500)?;
        if self.context_length == 0 {
            return Err(Invalid::new("context_length", "is required"));
        }
        invalid::at_most("context_length", self.context_length, MOST_TOKENS)?;
        invalid::at_most("max_output_tokens", self.max_output_tokens, self.context_length)?;
        price::check("price", &self.price)?;
        for (index, name) in self.supported_parameters.iter().enumerate() {
            invalid::required(&format!("supported_parameters[{index}]"), name, 100)?;
        }
        invalid::text("quantization", &self.quantization, 50)?;
        check_tier(&self.service_tier)?;
        provider::check_quirks(&self.quirks)?;
        for (name, tokens) in &self.billing.0 {
            invalid::at_most(&format!("billing.{name}"), *tokens, MOST_TOKENS)?;
        }
        model::check_modalities("input_modalities", &self.input_modalities)
    }
}

fn check_tier(tier: &str) -> Result<(), Invalid> {
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"_-".contains(&byte);
    if tier.len() > 50 || !tier.bytes().all(plain) {
        let reason = "is not the name of a tier: lower-case letters, digits, `_` and `-`, at most 50";
        return Err(Invalid::new("service_tier", reason));
    }
    Ok(())
}

/// Checks an endpoint's id.
///
/// # Errors
/// Names the field `id`.
pub fn check_id(id: &str) -> Result<(), Invalid> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._:-".contains(&byte);
    if id.is_empty() || id.len() > 100 || !id.bytes().all(plain) {
        return Err(Invalid::new("id", "is not an endpoint id: letters, digits and `._:-`, at most 100"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use switchyard_proto::price::Parts;

    use super::*;

    fn fine() -> Draft {
        Draft {
            provider: "openai".into(),
            upstream_id: "gpt-5".into(),
            context_length: 1000,
            max_output_tokens: 100,
            ..Draft::default()
        }
    }

    #[test]
    fn a_draft_is_checked_by_field() {
        assert_eq!(fine().check(), Ok(()));
        let price = |name: &str, text: &str| Written {
            parts: Parts([(name.into(), text.into())].into()),
            ..Written::default()
        };
        for (draft, field) in [
            (Draft { provider: String::new(), ..fine() }, "provider"),
            (Draft { upstream_id: String::new(), ..fine() }, "upstream_id"),
            (Draft { context_length: 0, ..fine() }, "context_length"),
            (Draft { max_output_tokens: 1001, ..fine() }, "max_output_tokens"),
            (Draft { price: price("output", "cheap"), ..fine() }, "price.output"),
            (Draft { price: price("input", "-1"), ..fine() }, "price.input"),
            (Draft { price: price("tea", "1"), ..fine() }, "price.tea"),
            (Draft { input_modalities: vec!["smell".into()], ..fine() }, "input_modalities[0]"),
            (
                Draft { billing: Billing([("tokens_per_image".into(), u64::MAX)].into()), ..fine() },
                "billing.tokens_per_image",
            ),
            (Draft { quirks: [(String::new(), "x".into())].into(), ..fine() }, "quirks"),
        ] {
            assert_eq!(draft.check().unwrap_err().field, field);
        }
    }

    #[test]
    fn tiers_are_plain_names() {
        for (tier, is_fine) in [
            ("", true),
            ("priority", true),
            ("on-demand_2", true),
            ("Priority", false),
            ("fl ex", false),
            ("a/b", false),
            (&"a".repeat(51), false),
        ] {
            let found = Draft { service_tier: tier.to_owned(), ..fine() }.check().err();
            let expected = (!is_fine).then_some("service_tier");
            assert_eq!(found.as_ref().map(|invalid| invalid.field.as_str()), expected, "{tier}");
        }
    }

    #[test]
    fn ids_fit_into_a_path() {
        for (id, fine) in
            [("openai", true), ("openai-eu.1:fp8", true), ("", false), ("a/b", false), ("a#b", false)]
        {
            assert_eq!(check_id(id).is_ok(), fine, "{id}");
        }
    }
}
