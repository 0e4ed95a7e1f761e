//! What the caller and the policy want of an endpoint: providers, tiers, precision, price, parameters.

use switchyard_proto::price::{Prices, UnitPrice};

use crate::config::snapshot::Endpoint;
use crate::routing::filter::{Detail, Reason, Rule, capability};
use crate::routing::inputs::Inputs;
use crate::routing::names::Target;
use crate::routing::tier;
use crate::routing::wishes::{Ceilings, Wishes};

/// The first wish that the endpoint does not meet.
pub fn excludes(
    inputs: &Inputs<'_>,
    wishes: &Wishes<'_>,
    target: &Target<'_>,
    endpoint: &Endpoint,
) -> Option<Reason> {
    let plain = |rule| Some((rule, Detail::Plain));
    if !tier::admits(inputs, wishes, target.suffixes, endpoint) {
        return plain(Rule::ServiceTier);
    }
    if !wishes.allows(endpoint) {
        return plain(Rule::AllowedProviders);
    }
    if wishes.ignores(endpoint) {
        return plain(Rule::IgnoredProviders);
    }
    if let Some(rule) = wishes.account_rule(endpoint) {
        return Some((rule, Detail::Account));
    }
    if !wishes.order.is_empty() && !wishes.allow_fallbacks && wishes.rank(endpoint) == u16::MAX {
        return plain(Rule::Fallbacks);
    }
    if wishes.distillable && target.model.config.distillable != Some(true) {
        return plain(Rule::Distillable);
    }
    if !wishes.takes_quantization(quantization(endpoint)) {
        return plain(Rule::Quantization);
    }
    if wishes.require_parameters {
        let lacking = capability::lacking(inputs.facts, endpoint);
        if !lacking.is_empty() {
            return Some((Rule::RequireParameters, Detail::Parameters(lacking)));
        }
    }
    if target.suffixes.free && !endpoint.tariff.is_free() {
        return plain(Rule::Free);
    }
    too_dear(&inputs.prices(endpoint), &wishes.ceilings)
}

/// The endpoint's precision in OpenRouter's words.
pub fn quantization(endpoint: &Endpoint) -> &str {
    match endpoint.config.quantization.as_str() {
        "" => "unknown",
        quantization => quantization,
    }
}

fn too_dear(prices: &Prices, ceilings: &Ceilings) -> Option<Reason> {
    let rows = [
        ("prompt", ceilings.prompt, prices.input),
        ("completion", ceilings.completion, prices.output),
        ("request", ceilings.request, prices.request),
        ("image", ceilings.image, prices.image),
        ("audio", ceilings.audio, prices.audio_input),
    ];
    rows.into_iter().find_map(|(part, ceiling, price)| {
        let ceiling = ceiling.filter(|ceiling| price > *ceiling)?;
        Some((Rule::MaxPrice, Detail::Price { part, price, ceiling }))
    })
}

/// A price in the unit of `max_price`: dollars per million tokens, or per request and image.
pub fn dollars(part: &str, price: UnitPrice) -> String {
    match part {
        "request" | "image" => format!("${}", price.per_unit()),
        _ => format!("${}", price.per_million()),
    }
}
