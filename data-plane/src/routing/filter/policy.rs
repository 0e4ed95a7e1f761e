//! What an endpoint's provider does with prompts, and where.

use crate::config::snapshot::Endpoint;
use crate::model::preferences::Preferences;
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
        return Some((Rule::DataPolicy, whose(wishes, |wishes| wishes.deny_data_collection)));
    }
    let keeps_nothing = declared_zdr.unwrap_or_else(|| endpoint.provider.keeps_nothing());
    (wishes.zdr && !keeps_nothing).then(|| (Rule::Zdr, whose(wishes, |wishes| wishes.zdr)))
}

/// Excludes providers outside the account's regions, whoever's credential would be used.
pub fn region(wishes: &Wishes<'_>, endpoint: &Endpoint) -> Option<Reason> {
    let is_allowed = wishes.takes_region(&endpoint.provider.config.region);
    (!is_allowed).then_some((Rule::Region, Detail::Account))
}

fn whose(wishes: &Wishes<'_>, wish: fn(&Preferences) -> bool) -> Detail {
    if wishes.only_account(wish) { Detail::Account } else { Detail::Plain }
}
