//! Makes the plan of one request: candidates in order, stage by stage, and the excluded with the rule that did it.

use std::sync::Arc;

use crate::config::snapshot::{Endpoint, Model, Snapshot, TenantCredential};
use crate::routing::candidates::Search;
use crate::routing::filter::Excluded;
use crate::routing::inputs::Inputs;
use crate::routing::names::{self, Address};
use crate::routing::order::Place;
use crate::routing::health::Reading;
use crate::routing::wishes::Wishes;

/// Who to try for a request, in what order, and why not the others.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Never empty, and none of them is.
    pub stages: Vec<Stage>,
    pub excluded: Vec<Excluded>,
    /// What the random choices were made from.
    pub seed: u64,
    /// How the first model was addressed.
    pub strategy: Address,
}

/// Candidates that are tried one after the other.
#[derive(Debug, Clone)]
pub struct Stage {
    /// As its policy calls it; empty without a policy.
    pub name: Arc<str>,
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
#[derive(Debug)]
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
    /// The caller may not use the model.
    Forbidden { model: String },
    /// Every endpoint was excluded.
    Empty {
        models: Vec<String>,
        excluded: Vec<Excluded>,
        /// What `provider.only` allows, where it was given.
        only: Vec<String>,
    },
}

impl Plan {
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
    let targets = names::resolve(config, inputs)?;
    let mut excluded = Vec::new();
    let wishes = Wishes::of(inputs.preferences, None);
    let own = config.credentials(&inputs.caller.tenant.id);
    let search = Search { own, inputs, wishes: &wishes, targets: &targets, stage: 0 };
    let candidates = search.run(inputs.seed, &mut excluded);
    if candidates.is_empty() {
        let models = targets.iter().map(|target| target.model.id.to_string()).collect();
        return Err(PlanError::Empty { models, excluded, only: inputs.preferences.only.clone() });
    }
    let stage = Stage { name: Arc::default(), candidates };
    Ok(Plan { stages: vec![stage], excluded, seed: inputs.seed, strategy: targets[0].address })
}

#[cfg(test)]
mod tests;
