//! Which endpoints of the models asked for may be tried, with whose credential, and which may not.
//!
//! Policies about data hold for everybody's credentials; a tenant's own are added for what is left.

use std::sync::Arc;

use crate::config::snapshot::{Endpoint, TenantCredential};
use crate::routing::filter::{self, Detail, Excluded, Reason, Rule, policy};
use crate::routing::inputs::Inputs;
use crate::routing::names::Target;
use crate::routing::order::Place;
use crate::routing::plan::Candidate;
use crate::routing::tier;
use crate::routing::wishes::Wishes;

/// What one stage gathers for.
#[derive(Clone, Copy)]
pub struct Search<'a> {
    /// The tenant's own credentials in their order.
    pub own: &'a [Arc<TenantCredential>],
    pub inputs: &'a Inputs<'a>,
    pub wishes: &'a Wishes<'a>,
    pub targets: &'a [Target<'a>],
    /// The stage's place in its policy.
    pub stage: u16,
}

impl Search<'_> {
    /// Who may be tried, in order; `excluded` takes the others. `seed` decides what is drawn.
    pub fn run(&self, seed: u64, excluded: &mut Vec<Excluded>) -> Vec<Candidate> {
        let mut candidates = self.gather(excluded);
        self.order(&mut candidates, seed);
        // Who orders providers without fallbacks has excluded all others already.
        if !self.wishes.allow_fallbacks && self.wishes.order.is_empty() {
            self.keep_primary(&mut candidates, excluded);
        }
        candidates
    }

    /// Candidates in the order of models and endpoints; `excluded` takes the others.
    fn gather(&self, excluded: &mut Vec<Excluded>) -> Vec<Candidate> {
        let most = self.targets.iter().map(|target| target.model.endpoints.len()).sum();
        let mut candidates = Vec::with_capacity(most);
        for (rank, target) in self.targets.iter().enumerate() {
            let from = candidates.len();
            for endpoint in &target.model.endpoints {
                self.endpoint(rank, target, endpoint, &mut candidates, excluded);
            }
            self.keep_flex(from, &mut candidates, excluded);
        }
        candidates
    }

    /// One endpoint: once for each of the tenant's own credentials that fit, and once for everybody's.
    fn endpoint(
        &self,
        rank: usize,
        target: &Target<'_>,
        endpoint: &Arc<Endpoint>,
        candidates: &mut Vec<Candidate>,
        excluded: &mut Vec<Excluded>,
    ) {
        // Another tenant's provider is nobody's to hear of.
        let owner = endpoint.provider.tenant.as_ref();
        if owner.is_some_and(|owner| *owner != self.inputs.caller.tenant.id) {
            return;
        }
        if let Some(reason) = filter::excludes(self.inputs, self.wishes, target, endpoint) {
            return excluded.push(self.out(endpoint, reason));
        }
        let reading = (self.inputs.reading)(endpoint);
        let make = |credential: Option<&Arc<TenantCredential>>| Candidate {
            model: target.model.clone(),
            endpoint: endpoint.clone(),
            credential: credential.cloned(),
            reading,
            place: Place { model: u16::try_from(rank).unwrap_or(u16::MAX), ..Place::default() },
        };
        let mut is_required = false;
        for own in self.own.iter().filter(|own| fits(own, self.inputs, endpoint)) {
            is_required |= own.required;
            let is_private = policy::privacy(self.wishes, endpoint, own.declared_zdr).is_none();
            if is_private && own.secret.is_some() {
                candidates.push(make(Some(own)));
            }
        }
        match policy::privacy(self.wishes, endpoint, None) {
            Some(reason) => excluded.push(self.out(endpoint, reason)),
            None if is_required => {
                excluded.push(self.out(endpoint, (Rule::OwnCredential, Detail::Plain)));
            }
            None => candidates.push(make(None)),
        }
    }

    /// Who asks for flex gets nothing else from a model that has it.
    fn keep_flex(&self, from: usize, candidates: &mut Vec<Candidate>, excluded: &mut Vec<Excluded>) {
        let is_flex = |candidate: &Candidate| candidate.endpoint.config.service_tier == tier::FLEX;
        if tier::asked(self.inputs) != Some(tier::FLEX) || !candidates[from..].iter().any(is_flex) {
            return;
        }
        let own = candidates.split_off(from);
        let (flex, others): (Vec<_>, Vec<_>) = own.into_iter().partition(is_flex);
        candidates.extend(flex);
        self.drop(others, Rule::ServiceTier, excluded);
    }

    /// Without fallbacks only the first candidate's endpoint is left, with every credential for it.
    fn keep_primary(&self, candidates: &mut Vec<Candidate>, excluded: &mut Vec<Excluded>) {
        let Some(first) = candidates.first() else { return };
        let endpoint = first.endpoint.clone();
        let is_primary = |candidate: &Candidate| Arc::ptr_eq(&candidate.endpoint, &endpoint);
        let (primary, others): (Vec<_>, Vec<_>) = candidates.drain(..).partition(is_primary);
        candidates.extend(primary);
        self.drop(others, Rule::Fallbacks, excluded);
    }

    /// Excludes candidates, each endpoint once.
    fn drop(&self, others: Vec<Candidate>, rule: Rule, excluded: &mut Vec<Excluded>) {
        let from = excluded.len();
        for candidate in others {
            let known = &excluded[from..];
            if !known.iter().any(|known| Arc::ptr_eq(&known.endpoint, &candidate.endpoint)) {
                let reading = Some(candidate.reading);
                excluded.push(Excluded { reading, ..self.out(&candidate.endpoint, (rule, Detail::Plain)) });
            }
        }
    }

    fn out(&self, endpoint: &Arc<Endpoint>, (rule, detail): Reason) -> Excluded {
        let operation = self.inputs.facts.operation;
        Excluded { endpoint: endpoint.clone(), rule, detail, operation, reading: None, stage: self.stage }
    }
}

/// Whether a credential is for this endpoint's provider and model, and for this key and user.
fn fits(own: &TenantCredential, inputs: &Inputs<'_>, endpoint: &Endpoint) -> bool {
    let (keys, users) = (&own.allowed_keys, &own.allowed_users);
    own.provider == endpoint.provider.id
        && !own.disabled
        && filter::covers(&own.allowed_models, endpoint.model.as_str())
        && (keys.is_empty() || keys.contains(&inputs.caller.key.id))
        && (users.is_empty() || inputs.user.is_some_and(|user| users.iter().any(|one| one == user)))
}
