//! The automatic model: which models `switchyard/auto` stands for, in which order.
//!
//! A policy of the name `auto` decides, the tenant's before the operator's. Without one models are chosen by price and
//! age from all that the caller may use; what each of them can do is the plan's to ask.

use std::cmp::Reverse;
use std::str::FromStr;

use switchyard_proto::code::ErrorCode;
use switchyard_proto::policy::PREFIX;

use crate::config::snapshot::policy::Policy;
use crate::config::snapshot::{Model, Snapshot};
use crate::error::RequestError;
use crate::identity::Caller;
use crate::routing::filter::covers;

/// What callers say for it.
const NAMES: [&str; 2] = ["switchyard/auto", "openrouter/auto"];
/// The policy that decides, where there is one.
const POLICY: &str = "auto";
/// Most models that are considered: as many as a request may name.
const MOST: usize = 32;

/// What a request wants of the choice.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Narrowing {
    /// Names, in which `*` stands for any letters; empty: all.
    pub allowed: Vec<String>,
    pub excluded: Vec<String>,
    pub tier: Tier,
}

/// How dear the model may be among those that there are.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Tier {
    Low,
    #[default]
    Medium,
    High,
    Xhigh,
    Max,
}

impl FromStr for Tier {
    type Err = ();

    fn from_str(word: &str) -> Result<Self, ()> {
        match word {
            "low" => Ok(Self::Low),
            "medium" => Ok(Self::Medium),
            "high" => Ok(Self::High),
            "xhigh" => Ok(Self::Xhigh),
            "max" => Ok(Self::Max),
            _ => Err(()),
        }
    }
}

impl Tier {
    /// The fifth of the models, by price.
    fn band(self) -> usize {
        match self {
            Self::Low => 0,
            Self::Medium => 1,
            Self::High => 2,
            Self::Xhigh => 3,
            Self::Max => 4,
        }
    }
}

/// Whether a model's name is the automatic one.
pub fn is_auto(model: &str) -> bool {
    NAMES.contains(&model)
}

/// The models that the automatic one stands for: a policy's name, or ids in the order of trying.
///
/// # Errors
/// 404 where nothing is left to choose from.
pub fn choose(
    config: &Snapshot,
    caller: &Caller,
    narrowing: &Narrowing,
    now_ms: u64,
) -> Result<Vec<String>, RequestError> {
    let policy = config.policy(&caller.tenant.id, POLICY);
    let is_narrowed = !narrowing.allowed.is_empty() || !narrowing.excluded.is_empty();
    let models = match policy {
        Some(_) if !is_narrowed => return Ok(vec![format!("{PREFIX}{POLICY}")]),
        Some(policy) => of_policy(config, caller, policy),
        None => by_price(config, caller, narrowing, now_ms),
    };
    let chosen: Vec<String> = models
        .into_iter()
        .map(|model| model.id.to_string())
        .filter(|id| narrowing.takes(id))
        .take(MOST)
        .collect();
    if chosen.is_empty() {
        let text = "No model is left that the automatic one could be: none is allowed by account, key and auto-router.";
        return Err(RequestError::new(ErrorCode::NotFound, text).field("model"));
    }
    Ok(chosen)
}

impl Narrowing {
    fn takes(&self, id: &str) -> bool {
        let any = |patterns: &[String]| patterns.iter().any(|pattern| fits(pattern, id));
        (self.allowed.is_empty() || any(&self.allowed)) && !any(&self.excluded)
    }
}

/// Whether a name fits a pattern, in which `*` stands for any letters.
fn fits(pattern: &str, name: &str) -> bool {
    let Some((start, rest)) = pattern.split_once('*') else { return pattern == name };
    let Some(mut left) = name.strip_prefix(start) else { return false };
    let (middle, end) = rest.rsplit_once('*').unwrap_or(("", rest));
    for piece in middle.split('*').filter(|piece| !piece.is_empty()) {
        let Some((_, after)) = left.split_once(piece) else { return false };
        left = after;
    }
    left.ends_with(end)
}

/// The policy's models in its order: its stages' rules are about the whole list, and do not hold for a part of it.
fn of_policy<'a>(config: &'a Snapshot, caller: &Caller, policy: &Policy) -> Vec<&'a Model> {
    let mut models: Vec<&Model> = Vec::new();
    for row in policy.stages.iter().flat_map(|stage| &stage.models) {
        let found = config.model(&row.model).filter(|model| is_usable(caller, model));
        if let Some(model) = found.filter(|model| !models.iter().any(|known| known.id == model.id)) {
            models.push(model);
        }
    }
    models
}

/// Those of the wanted fifth first, then the next ones; in each the newest first.
fn by_price<'a>(config: &'a Snapshot, caller: &Caller, narrowing: &Narrowing, now_ms: u64) -> Vec<&'a Model> {
    let all = config.catalogue.models.values().map(|model| &**model);
    let mut models: Vec<&Model> =
        all.filter(|model| is_usable(caller, model) && narrowing.takes(model.id.as_str())).collect();
    models.sort_by_cached_key(|model| (price(model, now_ms), model.id.clone()));
    let (count, wanted) = (models.len(), narrowing.tier.band());
    let mut ranked: Vec<(usize, Reverse<i64>, &Model)> = models
        .into_iter()
        .enumerate()
        .map(|(place, model)| ((place * 5 / count).abs_diff(wanted), Reverse(created(model)), model))
        .collect();
    ranked.sort_by_key(|(distance, age, _)| (*distance, *age));
    ranked.into_iter().map(|(_, _, model)| model).collect()
}

/// Whether it answers in text, somebody serves it and the caller may ask it.
fn is_usable(caller: &Caller, model: &Model) -> bool {
    let (id, produced) = (model.id.as_str(), &model.config.output_modalities);
    let is_allowed =
        covers(&caller.tenant.config.allowed_models, id) && covers(&caller.key.config.allowed_models, id);
    !model.config.disabled
        && is_allowed
        && (produced.is_empty() || produced.iter().any(|kind| kind == "text"))
        && model.endpoints.iter().any(|endpoint| endpoint.is_enabled())
}

/// Of the cheapest endpoint: what three tokens of prompt and one of the answer cost.
fn price(model: &Model, now_ms: u64) -> u128 {
    let enabled = model.endpoints.iter().filter(|endpoint| endpoint.is_enabled());
    let prices = enabled.map(|endpoint| endpoint.tariff.at_ms(now_ms).base());
    prices.map(|prices| prices.input.times(3) + prices.output.times(1)).min().unwrap_or(u128::MAX)
}

fn created(model: &Model) -> i64 {
    model.config.created.as_ref().map_or(0, |at| at.seconds)
}

#[cfg(test)]
mod tests;
