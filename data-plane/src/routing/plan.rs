//! Makes the plan of one request: candidates in order, stage by stage, and the excluded with the rule that did it.

use std::sync::Arc;

use switchyard_proto::id::CredentialId;

use crate::config::snapshot::policy::{Policy, PolicyStage};
use crate::config::snapshot::{Endpoint, Model, Snapshot, TenantCredential};
use crate::routing::candidates::Search;
use crate::routing::filter::Excluded;
use crate::routing::health::Reading;
use crate::routing::inputs::Inputs;
use crate::routing::names::Address;
use crate::routing::order::Place;
use crate::routing::stages::{self, Draft, SkipReason, Skipped};
use crate::routing::wishes::Wishes;

/// Who to try for a request, in what order, and why not the others.
#[derive(Debug, Clone)]
pub struct Plan {
    /// The policy whose stages these are.
    pub policy: Option<Arc<Policy>>,
    /// Never empty, and none of them is.
    pub stages: Vec<Stage>,
    /// The policy's other stages.
    pub skipped: Vec<Skipped>,
    pub excluded: Vec<Excluded>,
    /// The tenant's own credentials that were not taken when this was made.
    pub unusable: Vec<CredentialId>,
    /// What the random choices were made from.
    pub seed: u64,
    /// How the first model was addressed.
    pub strategy: Address,
}

/// Candidates that are tried one after the other.
#[derive(Debug, Clone)]
pub struct Stage {
    /// The place in the policy; 0 without one.
    pub index: u16,
    /// Never empty.
    pub candidates: Vec<Candidate>,
}

/// One endpoint worth trying.
#[derive(Debug, Clone)]
pub struct Candidate {
    pub model: Arc<Model>,
    pub endpoint: Arc<Endpoint>,
    /// The tenant's own credential to call it with; absent: one of the provider's.
    pub credential: Option<Arc<TenantCredential>>,
    /// Its health as it was read for this plan.
    pub reading: Reading,
    /// Why it stands where it stands.
    pub place: Place,
}

/// Why there is no plan.
#[derive(Debug, Clone)]
pub enum PlanError {
    /// The request names no model.
    NoModel,
    UnknownModel {
        name: String,
        /// The suffix at fault, where the model is there without it.
        suffix: Option<String>,
        /// Names that look like it, best first.
        near: Vec<String>,
    },
    /// No policy of this name, `policy/` included.
    UnknownPolicy { name: String },
    /// No stage of the policy is for this request.
    NoStage { policy: String, skipped: Vec<Skipped> },
    /// The caller may not use the model.
    Forbidden { model: String },
    /// Every endpoint was excluded.
    Empty {
        models: Vec<String>,
        excluded: Vec<Excluded>,
        /// What `provider.only` allows, where it was given.
        only: Vec<String>,
        /// What the account allows, where it does not allow all.
        account: Vec<String>,
    },
}

impl Candidate {
    /// Whether the tenant pays the provider itself.
    pub fn is_byok(&self) -> bool {
        self.credential.is_some()
    }
}

impl Plan {
    /// What the policy says of a stage: when to escalate, what to check, how long to wait; none without a policy.
    pub fn rules(&self, stage: &Stage) -> Option<&PolicyStage> {
        self.policy.as_ref()?.stages.get(usize::from(stage.index))
    }

    /// Every candidate in the order of trying.
    pub fn candidates(&self) -> impl Iterator<Item = &Candidate> {
        self.stages.iter().flat_map(|stage| &stage.candidates)
    }
}

/// Plans a request.
///
/// # Errors
/// [`PlanError`] if there is nobody to try.
pub fn plan(config: &Snapshot, inputs: &Inputs<'_>) -> Result<Plan, PlanError> {
    let drafts = stages::draft(config, inputs)?;
    let own = config.credentials(&inputs.caller.tenant.id);
    let (mut stages, mut skipped) = (Vec::with_capacity(drafts.stages.len()), drafts.skipped);
    let mut excluded = Vec::new();
    for draft in &drafts.stages {
        let wishes = Wishes::of(inputs.preferences, draft.preferences, &inputs.caller.tenant.config);
        let search = Search { own, inputs, wishes: &wishes, targets: &draft.targets, stage: draft.index };
        // Each stage draws lots of its own.
        let candidates = search.run(inputs.seed.wrapping_add(u64::from(draft.index) << 32), &mut excluded);
        if candidates.is_empty() {
            skipped.push(Skipped { stage: draft.index, reason: SkipReason::NoCandidate });
        } else {
            stages.push(Stage { index: draft.index, candidates });
        }
    }
    if stages.is_empty() {
        return Err(empty(inputs, &drafts.stages, excluded));
    }
    let strategy = drafts.policy.map_or(drafts.stages[0].targets[0].address, |_| Address::Policy);
    let unusable = own.iter().filter(|own| !(inputs.usable)(own)).map(|own| own.id.clone()).collect();
    Ok(Plan {
        policy: drafts.policy.cloned(),
        stages,
        skipped,
        excluded,
        unusable,
        seed: inputs.seed,
        strategy,
    })
}

fn empty(inputs: &Inputs<'_>, stages: &[Draft<'_>], excluded: Vec<Excluded>) -> PlanError {
    let mut models: Vec<String> = Vec::new();
    for target in stages.iter().flat_map(|stage| &stage.targets) {
        if !models.iter().any(|known| known == target.model.id.as_str()) {
            models.push(target.model.id.to_string());
        }
    }
    let stages = stages.iter().filter_map(|stage| stage.preferences);
    let lists = std::iter::once(inputs.preferences).chain(stages);
    let only = lists.flat_map(|wishes| &wishes.only).cloned().collect();
    let account = inputs.caller.tenant.config.allowed_providers.clone();
    PlanError::Empty { models, excluded, only, account }
}

#[cfg(test)]
mod tests;
