//! The stages that a request is planned in: one without a policy, else those of its policy that hold for it.

use std::sync::Arc;

use sha2::{Digest, Sha256};
use switchyard_proto::policy::PREFIX;

use crate::config::snapshot::Snapshot;
use crate::config::snapshot::policy::{Policy, PolicyStage, StickyBy};
use crate::model::preferences::Preferences;
use crate::routing::inputs::Inputs;
use crate::routing::names::{self, Target};
use crate::routing::order::price;
use crate::routing::plan::PlanError;

/// A stage before its candidates are known.
#[derive(Debug)]
pub struct Draft<'a> {
    /// The place in the policy; 0 without one.
    pub index: u16,
    /// Never empty.
    pub targets: Vec<Target<'a>>,
    /// The policy's, under those of the request.
    pub preferences: Option<&'a Preferences>,
}

/// The stages of one request.
#[derive(Debug)]
pub struct Drafts<'a> {
    pub policy: Option<&'a Arc<Policy>>,
    /// Never empty.
    pub stages: Vec<Draft<'a>>,
    pub skipped: Vec<Skipped>,
}

/// A stage that is not tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Skipped {
    /// The place in the policy.
    pub stage: u16,
    pub reason: SkipReason,
}

/// Why a stage is not tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SkipReason {
    /// Its condition does not hold.
    Condition,
    /// Its condition needs what the request does not have.
    ConditionFailed,
    /// None of its models is there for the caller.
    NoModel,
    /// Every endpoint was excluded.
    NoCandidate,
}

impl SkipReason {
    /// The word in explanations.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Condition => "condition",
            Self::ConditionFailed => "condition_failed",
            Self::NoModel => "no_model",
            Self::NoCandidate => "no_candidate",
        }
    }
}

/// Drafts the stages of a request: of the policy that it names, of the first that matches it, or the models asked for.
///
/// # Errors
/// [`PlanError`] where there is no model to look for.
pub fn draft<'a>(config: &'a Snapshot, inputs: &Inputs<'a>) -> Result<Drafts<'a>, PlanError> {
    match policy(config, inputs)? {
        Some(policy) => of_policy(config, inputs, policy),
        None => {
            let targets = names::resolve(config, inputs)?;
            let stage = Draft { index: 0, targets, preferences: None };
            Ok(Drafts { policy: None, stages: vec![stage], skipped: Vec::new() })
        }
    }
}

fn policy<'a>(config: &'a Snapshot, inputs: &Inputs<'a>) -> Result<Option<&'a Arc<Policy>>, PlanError> {
    let tenant = &inputs.caller.tenant.id;
    let named = inputs.models().next().and_then(|name| Some((name, name.strip_prefix(PREFIX)?)));
    if let Some((model, name)) = named {
        return match config.policy(tenant, name) {
            Some(policy) => Ok(Some(policy)),
            None => Err(PlanError::UnknownPolicy { name: model.to_owned() }),
        };
    }
    let mut matching = config.matching_policies(tenant).peekable();
    if matching.peek().is_none() {
        return Ok(None);
    }
    let facts = inputs.facts();
    // A condition that fails does not hold.
    let holds = |policy: &&Arc<Policy>| {
        policy.matches.as_ref().is_some_and(|condition| condition.holds(&facts).unwrap_or(false))
    };
    Ok(matching.find(holds))
}

fn of_policy<'a>(
    config: &'a Snapshot,
    inputs: &Inputs<'a>,
    policy: &'a Arc<Policy>,
) -> Result<Drafts<'a>, PlanError> {
    let facts = inputs.facts();
    let (mut stages, mut skipped) = (Vec::with_capacity(policy.stages.len()), Vec::new());
    for (index, stage) in (0..).zip(&policy.stages) {
        let mut skip = |reason| skipped.push(Skipped { stage: index, reason });
        match stage.when.as_ref().map(|when| when.holds(&facts)) {
            None | Some(Ok(true)) => {}
            Some(Ok(false)) => {
                skip(SkipReason::Condition);
                continue;
            }
            Some(Err(_)) => {
                skip(SkipReason::ConditionFailed);
                continue;
            }
        }
        match targets(config, inputs, policy, stage) {
            targets if targets.is_empty() => skip(SkipReason::NoModel),
            targets => stages.push(Draft { index, targets, preferences: Some(&stage.preferences) }),
        }
    }
    if stages.is_empty() {
        return Err(PlanError::NoStage { policy: policy.id.to_string(), skipped });
    }
    Ok(Drafts { policy: Some(policy), stages, skipped })
}

/// The stage's models that the caller may use, in the order of trying.
fn targets<'a>(
    config: &'a Snapshot,
    inputs: &Inputs<'_>,
    policy: &Policy,
    stage: &'a PolicyStage,
) -> Vec<Target<'a>> {
    let mut rows: Vec<(f64, Target<'a>)> = Vec::with_capacity(stage.models.len());
    for row in &stage.models {
        let Ok(target) = names::target(config, inputs, &row.model) else { continue };
        let lot = if stage.is_weighted {
            price::lot(share(inputs, policy, &stage.name, &row.model), row.weight.into())
        } else {
            0.0
        };
        if !rows.iter().any(|(_, known)| known.model.id == target.model.id) {
            rows.push((lot, target));
        }
    }
    rows.sort_by(|one, two| one.0.total_cmp(&two.0));
    rows.into_iter().map(|(_, target)| target).collect()
}

/// A number from 0 to 1 that is the same wherever and whenever this caller, user or session meets this model in this
/// stage. As each model has its own, a weight that grows takes requests from the others and moves none between them.
fn share(inputs: &Inputs<'_>, policy: &Policy, stage: &str, model: &str) -> f64 {
    let own = match policy.sticky_by {
        StickyBy::Request => None,
        StickyBy::User => inputs.user,
        StickyBy::Session => inputs.session,
        StickyBy::Key => Some(inputs.caller.key.id.as_str()),
    };
    let seed = inputs.seed.to_le_bytes();
    let own = own.map_or(&seed[..], str::as_bytes);
    let owner = policy.tenant.as_ref().map_or("", |tenant| tenant.as_str());
    let tenant = inputs.caller.tenant.id.as_str();
    let mut hash = Sha256::new();
    for part in [owner, policy.id.as_str(), stage, model, tenant].map(str::as_bytes).into_iter().chain([own])
    {
        hash.update(part.len().to_le_bytes());
        hash.update(part);
    }
    let digest = hash.finalize();
    let bits = u64::from_le_bytes([
        digest[0], digest[1], digest[2], digest[3], digest[4], digest[5], digest[6], digest[7],
    ]);
    // 53 bits are what a float holds; never 0, whose logarithm there is none of.
    ((bits >> 11) + 1) as f64 / (1_u64 << 53) as f64
}
