//! Service tiers: endpoints that are a provider's priority or flex tier, at prices of their own.
//!
//! Nobody gets one without having asked for it: by `service_tier`, by suffix, or by naming the endpoint in full.

use crate::config::snapshot::Endpoint;
use crate::routing::inputs::Inputs;
use crate::routing::names::Suffixes;
use crate::routing::wishes::Wishes;

/// The faster, dearer tier.
pub const PRIORITY: &str = "priority";
/// The slower, cheaper tier.
pub const FLEX: &str = "flex";

/// The tier that a request asks for by `service_tier`; none where the default one will do.
pub fn asked<'a>(inputs: &Inputs<'a>) -> Option<&'a str> {
    match inputs.service_tier? {
        "auto" | "default" | "standard" | "" => None,
        "fast" => Some(PRIORITY),
        tier => Some(tier),
    }
}

/// Whether an endpoint's tier was asked for; the default tier always is, until `flex` finds better.
pub fn admits(inputs: &Inputs<'_>, wishes: &Wishes<'_>, suffixes: Suffixes, endpoint: &Endpoint) -> bool {
    let tier = endpoint.config.service_tier.as_str();
    if tier.is_empty() || asked(inputs) == Some(tier) {
        return true;
    }
    // Who orders providers gets what is ordered, in full.
    let by_suffix =
        wishes.order.is_empty() && ((suffixes.nitro && tier == PRIORITY) || (suffixes.floor && tier == FLEX));
    by_suffix || wishes.names_tier(endpoint)
}
