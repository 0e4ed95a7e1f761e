//! Tells a caller what was tried and why it did not work: the last error, with those before it.

use std::sync::Arc;

use serde_json::{Value, json};
use switchyard_proto::code::ErrorCode;

use crate::adapters::failure::FailureClass;
use crate::config::snapshot::Endpoint;
use crate::error::RequestError;
use crate::pipeline::decision;
use crate::pipeline::reserve::Skip;
use crate::pipeline::trail::{AttemptNote, Trail};
use crate::routing::plan::Plan;
use crate::routing::refusal::{self, Availability};
use crate::upstream::attempt::Failed;

/// Whether a failure says something about the endpoint, and not about the request.
pub fn blames_endpoint(class: FailureClass) -> bool {
    match class {
        FailureClass::InvalidRequest
        | FailureClass::Unsupported
        | FailureClass::ContextLength
        | FailureClass::ContentFiltered => false,
        FailureClass::Auth
        | FailureClass::Permission
        | FailureClass::Payment
        | FailureClass::NotFound
        | FailureClass::RateLimited
        | FailureClass::Overloaded
        | FailureClass::Timeout
        | FailureClass::Server
        | FailureClass::Malformed => true,
    }
}

/// The error of a request that ran out of candidates.
///
/// A failed attempt says most; then a budget, which the caller can act on; then a URL that could not be read; then what
/// could not be expressed.
pub fn exhausted(trail: &Trail, skips: Vec<Skip>) -> RequestError {
    let weight = |skip: &Skip| match skip {
        Skip::Unsupported(..) | Skip::Gone => 0,
        Skip::Media(error) if error.retry_after.is_none() => 1,
        Skip::Budget { affordable_tokens, .. } => 2 + u64::from(*affordable_tokens > 0),
        // What cannot be told now may be well in a moment, so a budget is no final word.
        Skip::Refused(_) | Skip::Media(_) => 4,
        Skip::Failed(..) | Skip::Faulty(..) => 5,
    };
    let (limited, passing) = (all_rate_limited(&skips), all_passing(&skips));
    let Some(last) = skips.into_iter().max_by_key(weight) else {
        return RequestError::new(ErrorCode::ProviderUnavailable, "No provider could be tried in time.");
    };
    let error = with_previous(last.into(), trail);
    match limited {
        Some(after) => RequestError { retry_after: after, ..error }.with(
            "availability",
            refusal::after_attempts(
                Availability::CapacityExhausted,
                after.map(|after| after.as_secs_f64().ceil()),
            ),
        ),
        None if passing => {
            error.with("availability", refusal::after_attempts(Availability::TemporarilyUnavailable, None))
        }
        None => error,
    }
}

/// Whether every attempt failed in a way that may pass.
fn all_passing(skips: &[Skip]) -> bool {
    let mut failures =
        skips.iter().filter_map(|skip| if let Skip::Failed(failed, _) = skip { Some(failed) } else { None });
    let first = failures.next().is_some_and(|failed| failed.failure.class.may_retry());
    first && failures.all(|failed| failed.failure.class.may_retry())
}

/// Where every attempt was a 429: the shortest wait that a provider named, if any did.
#[expect(clippy::option_option, reason = "whether all were limited, and what they said, are two facts")]
fn all_rate_limited(skips: &[Skip]) -> Option<Option<std::time::Duration>> {
    let failures: Vec<&Failed> = skips
        .iter()
        .filter_map(|skip| if let Skip::Failed(failed, _) = skip { Some(&**failed) } else { None })
        .collect();
    let limited = !failures.is_empty()
        && failures.iter().all(|failed| failed.failure.class == FailureClass::RateLimited);
    limited.then(|| failures.iter().filter_map(|failed| failed.failure.retry_after).min())
}

/// Names the attempts before the last, as `previous_errors`.
fn with_previous(error: RequestError, trail: &Trail) -> RequestError {
    let Some((_, before)) = trail.attempts.split_last() else { return error };
    if before.is_empty() {
        return error;
    }
    let rows: Vec<Value> = before.iter().map(previous).collect();
    error.with("previous_errors", rows)
}

fn previous(attempt: &AttemptNote) -> Value {
    json!({
        "provider": attempt.endpoint.provider.display_name,
        "code": attempt.code.map(ErrorCode::error_type),
        "status": (attempt.status > 0).then_some(attempt.status),
    })
}

/// `openrouter_metadata`: what was asked, who could serve, and who was tried, briefly.
pub fn metadata(trail: &Trail) -> Value {
    let selected = trail.last();
    let is_selected = |endpoint: &Arc<Endpoint>| {
        selected.is_some_and(|attempt| attempt.code.is_none() && Arc::ptr_eq(&attempt.endpoint, endpoint))
    };
    let plan = trail.plan.as_deref();
    let available: Vec<Value> = plan
        .into_iter()
        .flat_map(Plan::candidates)
        .map(|candidate| {
            let endpoint = &candidate.endpoint;
            json!({
                "provider": endpoint.provider.display_name,
                "model": endpoint.model.as_str(),
                "selected": is_selected(endpoint) && candidate.is_byok() == selected.is_some_and(|note| note.is_byok),
            })
        })
        .collect();
    let excluded = plan.map_or(&[][..], |plan| &plan.excluded);
    let attempts: Vec<Value> = trail.attempts.iter().map(|note| decision::attempt(note, trail)).collect();
    let mut metadata = json!({
        "requested": trail.requested_model,
        "strategy": strategy(trail),
        "attempt": attempts.len(),
        "is_byok": selected.is_some_and(|attempt| attempt.is_byok),
        "config_revision": trail.revision.number,
        "endpoints": {
            "total": available.len() + excluded.len(),
            "available": available,
            "excluded": decision::excluded(excluded, plan),
        },
        "attempts": attempts,
    });
    if let Some(policy) = plan.and_then(|plan| plan.policy.as_ref()) {
        metadata["policy"] = json!(policy.id.as_str());
        metadata["stages"] =
            trail.stages.iter().map(|stage| json!({"name": stage.name, "left": stage.left})).collect();
    }
    metadata
}

/// How the model was found; `fallback` where the first attempt was not the last.
fn strategy(trail: &Trail) -> &'static str {
    match &trail.plan {
        Some(plan) if plan.policy.is_some() => plan.strategy.as_str(),
        _ if trail.attempts.len() > 1 => "fallback",
        Some(plan) => plan.strategy.as_str(),
        None => "direct",
    }
}
