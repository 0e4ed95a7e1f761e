//! Makes the plan of one request: candidates in order, and the excluded with the rule that excluded them.

use std::sync::Arc;

use serde_json::json;
use switchyard_proto::code::ErrorCode;

use crate::config::snapshot::{Endpoint, Model, Snapshot};
use crate::error::RequestError;
use crate::identity::Caller;
use crate::model::request::ChatRequest;
use crate::routing::filter::{self, Rule};
use crate::routing::order;

/// Who to try for a request, in what order, and why not the others.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Never empty.
    pub candidates: Vec<Candidate>,
    pub excluded: Vec<Excluded>,
    /// What the random choices were made from.
    pub seed: u64,
}

/// One endpoint worth trying.
#[derive(Debug, Clone)]
pub struct Candidate {
    pub model: Arc<Model>,
    pub endpoint: Arc<Endpoint>,
    /// Failed lately, so it stands behind those that did not.
    pub is_failing: bool,
}

/// One endpoint that may not be tried.
#[derive(Debug, Clone)]
pub struct Excluded {
    pub endpoint: Arc<Endpoint>,
    pub rule: Rule,
    /// The value that the rule met, for people.
    pub detail: String,
}

/// Why there is no plan.
#[derive(Debug)]
pub enum PlanError {
    /// The request names no model.
    NoModel,
    UnknownModel {
        name: String,
        /// Names that look like it, best first.
        near: Vec<String>,
    },
    /// The caller may not use the model.
    Forbidden { model: String },
    /// Every endpoint was excluded.
    Empty { models: Vec<String>, excluded: Vec<Excluded> },
}

/// Plans a request. `is_failing` is the health reading; `seed` decides random choices.
///
/// # Errors
/// [`PlanError`] if there is nobody to try.
pub fn plan(
    config: &Snapshot,
    is_failing: impl Fn(&Endpoint) -> bool,
    caller: &Caller,
    request: &ChatRequest,
    seed: u64,
) -> Result<Plan, PlanError> {
    let models = models(config, caller, request)?;
    let mut candidates = Vec::new();
    let mut excluded = Vec::new();
    for (rank, model) in models.iter().enumerate() {
        let (mut open, closed) = sift(model, caller, request, &is_failing);
        order::order(&mut open, &request.provider, seed.wrapping_add(rank as u64));
        candidates.extend(open);
        excluded.extend(closed);
    }
    if request.provider.sort.is_some_and(|sort| sort.across_models) {
        order::order(&mut candidates, &request.provider, seed);
    }
    if !request.provider.allow_fallbacks {
        excluded.extend(candidates.drain(candidates.len().min(1)..).map(|candidate| Excluded {
            endpoint: candidate.endpoint,
            rule: Rule::Fallbacks,
            detail: "allow_fallbacks is false".to_owned(),
        }));
    }
    if candidates.is_empty() {
        let models = models.iter().map(|model| model.id.to_string()).collect();
        return Err(PlanError::Empty { models, excluded });
    }
    Ok(Plan { candidates, excluded, seed })
}

/// The models asked for, in order, each once. An unknown fallback is passed over while another model is known.
fn models(config: &Snapshot, caller: &Caller, request: &ChatRequest) -> Result<Vec<Arc<Model>>, PlanError> {
    let mut found: Vec<Arc<Model>> = Vec::new();
    let mut problem = None;
    for name in request.model.iter().chain(&request.fallback_models) {
        match config.model(name) {
            None => problem = problem.or_else(|| Some(unknown(config, name))),
            Some(model) if !filter::may_use(caller, &model.id) => {
                problem = problem.or_else(|| Some(PlanError::Forbidden { model: model.id.to_string() }));
            }
            Some(model) if found.iter().any(|known| known.id == model.id) => {}
            Some(model) => found.push(model.clone()),
        }
    }
    match (found.is_empty(), problem) {
        (false, None) => Ok(found),
        // A wrong first model is a mistake to hear of; wrong fallbacks of a right one are not worth failing for.
        (false, Some(_)) if request.model.as_deref().is_none_or(|name| config.model(name).is_some()) => {
            Ok(found)
        }
        (_, Some(problem)) => Err(problem),
        (true, None) => Err(PlanError::NoModel),
    }
}

fn sift(
    model: &Arc<Model>,
    caller: &Caller,
    request: &ChatRequest,
    is_failing: impl Fn(&Endpoint) -> bool,
) -> (Vec<Candidate>, Vec<Excluded>) {
    let (mut open, mut closed) = (Vec::new(), Vec::new());
    for endpoint in &model.endpoints {
        match filter::excludes(model, endpoint, caller, request) {
            Some((rule, detail)) => closed.push(Excluded { endpoint: endpoint.clone(), rule, detail }),
            None => open.push(Candidate {
                model: model.clone(),
                is_failing: is_failing(endpoint),
                endpoint: endpoint.clone(),
            }),
        }
    }
    (open, closed)
}

/// At most three names that look like an unknown one.
fn unknown(config: &Snapshot, name: &str) -> PlanError {
    let tail = |id: &str| id.split_once('/').map_or(id.to_owned(), |(_, tail)| tail.to_owned());
    let mut near: Vec<(f64, &str)> = config
        .catalogue
        .models
        .values()
        .filter(|model| !model.config.disabled)
        .map(|model| {
            let id = model.id.as_str();
            let likeness = strsim::jaro_winkler(name, id).max(strsim::jaro_winkler(&tail(name), &tail(id)));
            (likeness, id)
        })
        .filter(|(likeness, _)| *likeness > 0.8)
        .collect();
    near.sort_by(|one, two| two.0.total_cmp(&one.0).then(one.1.cmp(two.1)));
    let near = near.iter().take(3).map(|(_, id)| (*id).to_owned()).collect();
    PlanError::UnknownModel { name: name.to_owned(), near }
}

impl From<PlanError> for RequestError {
    fn from(error: PlanError) -> Self {
        match error {
            PlanError::NoModel => Self::new(ErrorCode::InvalidRequest, "`model` is required.").field("model"),
            PlanError::UnknownModel { name, near } => {
                let hint = match near.as_slice() {
                    [] => " `GET /api/v1/models` lists what there is.".to_owned(),
                    near => format!(
                        " Did you mean {}?",
                        near.iter().map(|id| format!("`{id}`")).collect::<Vec<_>>().join(", ")
                    ),
                };
                Self::new(ErrorCode::InvalidRequest, format!("`{name}` is not a valid model ID.{hint}"))
                    .field("model")
                    .with("availability", json!({"code": "model_not_found", "retryable": false, "requested_models": [name], "fallback_models": near}))
            }
            PlanError::Forbidden { model } => Self::new(
                ErrorCode::PermissionDenied,
                format!("This API key may not use the model `{model}`."),
            )
            .field("model"),
            PlanError::Empty { models, excluded } => empty(&models, &excluded),
        }
    }
}

/// Says which rules emptied the set, and for which endpoints.
fn empty(models: &[String], excluded: &[Excluded]) -> RequestError {
    let mut rules: Vec<&str> = excluded.iter().map(|excluded| excluded.rule.as_str()).collect();
    rules.sort_unstable();
    rules.dedup();
    let names = models.join("`, `");
    let text = if excluded.is_empty() {
        format!("No provider serves `{names}`.")
    } else {
        let first = excluded
            .iter()
            .map(|excluded| format!("{}: {}", excluded.endpoint.provider.display_name, excluded.detail))
            .collect::<Vec<_>>()
            .join("; ");
        format!("No endpoint of `{names}` meets the request ({first}).")
    };
    // A prompt that fits nowhere is the caller's to shorten; everything else is a missing endpoint.
    let only = |rule: Rule| !excluded.is_empty() && excluded.iter().all(|excluded| excluded.rule == rule);
    let code = if only(Rule::ContextLength) {
        ErrorCode::ContextLengthExceeded
    } else if only(Rule::Modality) {
        ErrorCode::InvalidRequest
    } else {
        ErrorCode::NotFound
    };
    let field = if only(Rule::Modality) { "messages" } else { "" };
    RequestError::new(code, text).field(field).with(
        "availability",
        json!({"code": if excluded.is_empty() { "no_endpoints" } else { "constraint_filtered" }, "retryable": false, "requested_models": models, "excluded_by": rules}),
    )
}

#[cfg(test)]
mod tests;
