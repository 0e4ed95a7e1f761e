//! The inputs of one plan as they are kept with its generation: enough to make the same plan again from the same
//! snapshot, bounded in size, and without a word of the prompt.

use serde::{Deserialize, Serialize};
use switchyard_proto::id::{EndpointId, ModelId};

use crate::config::snapshot::{Endpoint, Snapshot};
use crate::identity::Caller;
use crate::model::facts::Facts;
use crate::model::preferences::Preferences;
use crate::model::request::Effort;
use crate::routing::health::Reading;
use crate::routing::inputs::{FormatDemand, Inputs, Sticky, ToolDemand};
use crate::routing::plan::{self, Plan, PlanError};

/// Most names that a list keeps.
const MOST_NAMES: usize = 64;
/// Most bytes that a text keeps.
const MOST_BYTES: usize = 256;
/// Most endpoints whose readings are kept.
const MOST_READINGS: usize = 512;

/// What a plan was made from, besides the snapshot.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Recorded {
    pub tenant: String,
    pub key: String,
    pub model: Option<String>,
    #[serde(default)]
    pub fallback_models: Vec<String>,
    pub preferences: Preferences,
    pub facts: Facts,
    pub max_output_tokens: Option<u64>,
    pub n: u32,
    pub stream: bool,
    pub tools: ToolDemand,
    pub tool_choice: String,
    pub format: FormatDemand,
    pub reasoning: bool,
    pub effort: Option<String>,
    #[serde(default)]
    pub output_modalities: Vec<String>,
    pub service_tier: Option<String>,
    pub user: Option<String>,
    pub session: Option<String>,
    pub priority: Option<String>,
    #[serde(default)]
    pub headers: Vec<(String, String)>,
    pub now_ms: u64,
    pub budget_left: Option<f64>,
    /// Model and endpoint.
    pub sticky: Option<(String, String)>,
    pub seed: u64,
    /// What was read of the endpoints that got so far.
    pub readings: Vec<Read>,
    /// Own credentials that were not taken.
    #[serde(default)]
    pub unusable: Vec<String>,
    /// Whether all was kept. Else this explains the plan, but need not make it again.
    pub is_whole: bool,
}

/// One endpoint's health as it was read.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Read {
    pub model: String,
    pub endpoint: String,
    pub reading: Reading,
}

/// Why a record cannot be made a plan again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ReplayError {
    #[error("the snapshot does not know the caller")]
    NoCaller,
    #[error("the record is not whole")]
    Cut,
}

impl Recorded {
    /// Keeps what a plan was made from.
    pub fn of(inputs: &Inputs<'_>, plan: &Plan) -> Self {
        Self::keep(inputs, readings(plan), plan.unusable.iter().map(ToString::to_string).collect())
    }

    /// Keeps what no plan could be made from. Nothing was read of the excluded.
    pub fn of_refused(inputs: &Inputs<'_>) -> Self {
        Self::keep(inputs, Vec::new(), Vec::new())
    }

    fn keep(inputs: &Inputs<'_>, readings: Vec<Read>, unusable: Vec<String>) -> Self {
        let mut cut = Cut::default();
        let text = |cut: &mut Cut, text: Option<&str>| text.map(|text| cut.text(text));
        let mut record = Self {
            tenant: inputs.caller.tenant.id.to_string(),
            key: inputs.caller.key.id.to_string(),
            model: text(&mut cut, inputs.model),
            fallback_models: cut.names(inputs.fallback_models),
            preferences: cut.preferences(inputs.preferences),
            facts: *inputs.facts,
            max_output_tokens: inputs.max_output_tokens,
            n: inputs.n,
            stream: inputs.stream,
            tools: inputs.tools,
            tool_choice: cut.text(inputs.tool_choice),
            format: inputs.format,
            reasoning: inputs.reasoning,
            effort: inputs.effort.map(|effort| effort.as_str().to_owned()),
            output_modalities: cut.names(inputs.output_modalities),
            service_tier: text(&mut cut, inputs.service_tier),
            user: text(&mut cut, inputs.user),
            session: text(&mut cut, inputs.session),
            priority: text(&mut cut, inputs.priority),
            headers: cut.pairs(inputs.headers),
            now_ms: inputs.now_ms,
            budget_left: inputs.budget_left,
            sticky: inputs.sticky.map(|hint| (hint.model.to_string(), hint.endpoint.to_string())),
            seed: inputs.seed,
            readings: cut.list(readings, MOST_READINGS),
            unusable: cut.list(unusable, MOST_NAMES),
            is_whole: true,
        };
        record.is_whole = !cut.is_cut;
        record
    }

    /// Makes the plan again.
    ///
    /// # Errors
    /// [`ReplayError`] where this cannot give the same plan; the plan's own error is the inner one.
    pub fn replay(&self, config: &Snapshot) -> Result<Result<Plan, PlanError>, ReplayError> {
        if !self.is_whole {
            return Err(ReplayError::Cut);
        }
        let caller = self.caller(config).ok_or(ReplayError::NoCaller)?;
        let reading = |endpoint: &Endpoint| self.reading(endpoint);
        let usable = |own: &crate::config::snapshot::TenantCredential| {
            !self.unusable.iter().any(|id| id == own.id.as_str())
        };
        let sticky = self.sticky.as_ref().map(|(model, endpoint)| Sticky {
            model: ModelId::new(model.as_str()),
            endpoint: EndpointId::new(endpoint.as_str()),
        });
        let inputs = self.inputs(&caller, sticky.as_ref(), &reading);
        Ok(plan::plan(config, &Inputs { usable: &usable, ..inputs }))
    }

    /// The inputs that were kept.
    pub fn inputs<'a>(
        &'a self,
        caller: &'a Caller,
        sticky: Option<&'a Sticky>,
        reading: &'a (dyn Fn(&Endpoint) -> Reading + Sync),
    ) -> Inputs<'a> {
        Inputs {
            caller,
            model: self.model.as_deref(),
            fallback_models: &self.fallback_models,
            preferences: &self.preferences,
            facts: &self.facts,
            max_output_tokens: self.max_output_tokens,
            n: self.n,
            stream: self.stream,
            tools: self.tools,
            tool_choice: &self.tool_choice,
            format: self.format,
            reasoning: self.reasoning,
            effort: self.effort.as_deref().and_then(Effort::from_name),
            output_modalities: &self.output_modalities,
            service_tier: self.service_tier.as_deref(),
            user: self.user.as_deref(),
            session: self.session.as_deref(),
            priority: self.priority.as_deref(),
            headers: &self.headers,
            now_ms: self.now_ms,
            budget_left: self.budget_left,
            sticky,
            seed: self.seed,
            reading,
            usable: &|_| true,
        }
    }

    /// What was read of an endpoint then; nothing of those that did not get so far.
    pub fn reading(&self, endpoint: &Endpoint) -> Reading {
        let is_it =
            |read: &&Read| read.model == endpoint.model.as_str() && read.endpoint == endpoint.id.as_str();
        self.readings.iter().find(is_it).map(|read| read.reading).unwrap_or_default()
    }

    fn caller(&self, config: &Snapshot) -> Option<Caller> {
        let hash = config.key_hashes.get(self.key.as_str())?;
        let key = config.keys.get(hash)?.clone();
        let tenant = config.tenants.get(self.tenant.as_str())?.clone();
        Some(Caller { tenant, key })
    }
}

/// The readings of candidates, and of those that were candidates until others were preferred; each endpoint once.
fn readings(plan: &Plan) -> Vec<Read> {
    let mut reads: Vec<Read> = Vec::new();
    let tried = plan.candidates().map(|candidate| (&candidate.endpoint, candidate.reading));
    let dropped = plan.excluded.iter().filter_map(|row| Some((&row.endpoint, row.reading?)));
    for (endpoint, reading) in tried.chain(dropped) {
        let (model, id) = (endpoint.model.as_str(), endpoint.id.as_str());
        if !reads.iter().any(|read| read.model == model && read.endpoint == id) {
            reads.push(Read { model: model.to_owned(), endpoint: id.to_owned(), reading });
        }
    }
    reads
}

/// Keeps lists and texts small, and says whether something was lost.
#[derive(Debug, Default)]
struct Cut {
    is_cut: bool,
}

impl Cut {
    fn text(&mut self, text: &str) -> String {
        let kept = &text[..text.floor_char_boundary(MOST_BYTES)];
        self.is_cut |= kept.len() < text.len();
        kept.to_owned()
    }

    fn names(&mut self, names: &[String]) -> Vec<String> {
        self.is_cut |= names.len() > MOST_NAMES;
        names.iter().take(MOST_NAMES).map(|name| self.text(name)).collect()
    }

    fn pairs(&mut self, pairs: &[(String, String)]) -> Vec<(String, String)> {
        self.is_cut |= pairs.len() > MOST_NAMES;
        pairs.iter().take(MOST_NAMES).map(|(name, value)| (self.text(name), self.text(value))).collect()
    }

    fn list<T>(&mut self, mut list: Vec<T>, most: usize) -> Vec<T> {
        self.is_cut |= list.len() > most;
        list.truncate(most);
        list
    }

    fn preferences(&mut self, wishes: &Preferences) -> Preferences {
        Preferences {
            order: self.names(&wishes.order),
            only: self.names(&wishes.only),
            ignore: self.names(&wishes.ignore),
            quantizations: self.names(&wishes.quantizations),
            options: None,
            ..wishes.clone()
        }
    }
}

#[cfg(test)]
mod tests;
