//! Provider slugs: which endpoints a name in a request means.

use crate::config::snapshot::Endpoint;

/// How a slug means an endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fit {
    /// By its provider: `google-vertex`, or a display name.
    Base,
    /// By itself: `google-vertex/us-east5`, `deepinfra/turbo`, `openai/priority`.
    Full,
}

/// How this slug means the endpoint, if it does. Variants are the endpoint's id, tier, region or quantization.
pub fn fit(endpoint: &Endpoint, slug: &str) -> Option<Fit> {
    let provider = &*endpoint.provider;
    let is_provider = |name: &str| name.eq_ignore_ascii_case(provider.id.as_str());
    if is_provider(slug) || slug.eq_ignore_ascii_case(&provider.display_name) {
        return Some(Fit::Base);
    }
    let (base, variant) = slug.split_once('/')?;
    let config = &endpoint.config;
    let own = [endpoint.id.as_str(), &config.service_tier, &provider.config.region, &config.quantization];
    let is_variant = own.iter().any(|own| !own.is_empty() && own.eq_ignore_ascii_case(variant));
    (is_provider(base) && is_variant).then_some(Fit::Full)
}

/// Whether any of these slugs means the endpoint.
pub fn names(list: &[String], endpoint: &Endpoint) -> bool {
    list.iter().any(|slug| fit(endpoint, slug).is_some())
}

/// Whether any of these slugs means this endpoint and its tier: by its own id or by the tier, not by what it shares with
/// endpoints of other tiers.
pub fn names_tier(list: &[String], endpoint: &Endpoint) -> bool {
    let is_own = |slug: &String| {
        let variant = slug.split_once('/').map_or("", |(_, variant)| variant);
        let own = [endpoint.id.as_str(), &endpoint.config.service_tier];
        own.iter().any(|own| own.eq_ignore_ascii_case(variant))
    };
    list.iter().any(|slug| fit(endpoint, slug) == Some(Fit::Full) && is_own(slug))
}
