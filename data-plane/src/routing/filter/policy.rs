//! What an endpoint's provider does with prompts.

use crate::config::snapshot::Endpoint;
use crate::routing::filter::{Detail, Reason, Rule};
use crate::routing::wishes::Wishes;

/// Excludes providers that keep prompts or learn from them. `declared_zdr` is what a tenant says of its own contract
/// with the provider: where nothing is kept, nothing is learnt from.
pub fn privacy(wishes: &Wishes<'_>, endpoint: &Endpoint, declared_zdr: Option<bool>) -> Option<Reason> {
    // What is not known of a provider is taken as the worse.
    let policy = endpoint.provider.config.data_policy.unwrap_or_default();
    let retains = policy.retains_prompts.unwrap_or(true);
    let collects = declared_zdr != Some(true) && (retains || policy.trains.unwrap_or(true));
    if wishes.deny_data_collection && collects {
        return Some((Rule::DataPolicy, Detail::Plain));
    }
    let keeps_nothing = declared_zdr.unwrap_or_else(|| endpoint.provider.keeps_nothing());
    (wishes.zdr && !keeps_nothing).then_some((Rule::Zdr, Detail::Plain))
}
