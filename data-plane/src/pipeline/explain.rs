//! Tells a caller what was tried and why it did not work: the last error, with those before it.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use switchyard_proto::code::ErrorCode;

use crate::adapters::failure::FailureClass;
use crate::config::snapshot::Endpoint;
use crate::error::RequestError;
use crate::limits::AdmitError;
use crate::pipeline::decision;
use crate::pipeline::reserve::Skip;
use crate::pipeline::trail::{AttemptNote, Trail};
use crate::routing::health::Cause;
use crate::routing::plan::{Plan, PlanError};
use crate::routing::refusal::{self, Availability};

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
/// A failed attempt says most; then that nobody is asked at the moment; then a budget, which the caller can act on; then a
/// URL that could not be read; then what could not be expressed.
pub fn exhausted(trail: &Trail, skips: Vec<Skip>) -> RequestError {
    let weight = |skip: &Skip| match skip {
        Skip::Unsupported(..) | Skip::Gone(_) => 0,
        Skip::Media(error) if error.retry_after.is_none() => 1,
        Skip::Budget { affordable_tokens, .. } => 2 + u64::from(*affordable_tokens > 0),
        // What cannot be told now may be well in a moment, so a budget is no final word.
        Skip::Refused(_) | Skip::CredentialBudget | Skip::Media(_) | Skip::Limited(..) => 4,
        Skip::Shut(shut, _) => 5 + u64::from(shut.cause != Cause::Limited),
        Skip::Failed(..) | Skip::Faulty(..) => 7,
    };
    let waiting = Waiting::of(&skips);
    let Some(last) = skips.into_iter().max_by_key(weight) else {
        return RequestError::new(ErrorCode::ProviderUnavailable, "No provider could be tried in time.");
    };
    waiting.told(with_previous(last.into(), trail))
}

/// What is known of when the same request may be served, where all that stands against it may pass.
struct Waiting {
    availability: Option<Availability>,
    /// The shortest wait that a provider named, or until one is tried again.
    retry_after: Option<Duration>,
    /// Why nobody was asked, and who.
    shut: Vec<(&'static str, String)>,
}

impl Waiting {
    fn of(skips: &[Skip]) -> Self {
        let failed = skips.iter().filter_map(|skip| match skip {
            Skip::Failed(failed, _) => Some(&failed.failure),
            _ => None,
        });
        let shut = skips.iter().filter_map(|skip| match skip {
            Skip::Shut(shut, endpoint) => Some((shut, endpoint)),
            _ => None,
        });
        let own = skips.iter().filter_map(|skip| match skip {
            Skip::Limited(AdmitError::Limited { retry_after, .. }, _) => Some(*retry_after),
            _ => None,
        });
        // An answer that a policy does not take says nothing of when there is a better one.
        let is_judged = skips.iter().any(|skip| matches!(skip, Skip::Faulty(..)));
        let is_any =
            failed.clone().next().is_some() || shut.clone().next().is_some() || own.clone().next().is_some();
        let is_limited = failed.clone().all(|failure| failure.class == FailureClass::RateLimited)
            && shut.clone().all(|(shut, _)| shut.cause == Cause::Limited);
        let is_passing = failed.clone().all(|failure| failure.class.may_retry());
        let availability = match (is_limited, is_passing) {
            _ if !is_any || is_judged => None,
            (true, _) => Some(Availability::CapacityExhausted),
            (false, true) => Some(Availability::TemporarilyUnavailable),
            (false, false) => None,
        };
        let hints = failed.filter(|_| is_limited).filter_map(|failure| failure.retry_after);
        let pauses = shut.clone().map(|(shut, _)| Duration::from_millis(shut.for_ms));
        Self {
            availability,
            retry_after: hints.chain(pauses).chain(own).min(),
            shut: shut.map(|(shut, endpoint)| (refusal::shut_by(*shut), shown(endpoint))).collect(),
        }
    }

    /// The error with what is known.
    fn told(self, error: RequestError) -> RequestError {
        let Some(availability) = self.availability else { return error };
        let retry_after = match availability {
            Availability::CapacityExhausted => self.retry_after,
            _ => error.retry_after.into_iter().chain(self.retry_after).min(),
        };
        let seconds = retry_after.map(|after| after.as_secs_f64().ceil());
        let mut rows = refusal::after_attempts(availability, seconds);
        if !self.shut.is_empty() {
            let (rules, providers): (Vec<_>, Vec<_>) = self.shut.into_iter().unzip();
            rows["excluded_by"] = json!(refusal::distinct(rules.into_iter()));
            rows["affected_providers"] = json!(refusal::distinct(providers.iter().map(String::as_str)));
        }
        RequestError { retry_after, ..error }.with("availability", rows)
    }
}

fn shown(endpoint: &Endpoint) -> String {
    endpoint.provider.display_name.clone()
}

/// Names the attempts before the last, as `previous_errors`.
fn with_previous(error: RequestError, trail: &Trail) -> RequestError {
    // In the order of ending: the last one's error is what is told.
    let Some((_, before)) = trail.attempts.split_last() else { return error };
    if before.is_empty() {
        return error;
    }
    let rows: Vec<Value> = before.iter().map(previous).collect();
    error.with("previous_errors", rows)
}

fn previous(attempt: &AttemptNote) -> Value {
    json!({
        "attempt": attempt.number,
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
    let excluded = match (plan, &trail.refusal) {
        (Some(plan), _) => &plan.excluded[..],
        (None, Some(PlanError::Empty { excluded, .. })) => excluded,
        (None, _) => &[],
    };
    let attempts: Vec<Value> =
        trail.in_order().into_iter().map(|note| decision::attempt(note, trail)).collect();
    let mut metadata = json!({
        "requested": trail.requested_model,
        "strategy": strategy(trail),
        // Which of them served, or failed last; 0 where none was made.
        "attempt": selected.map_or(0, |attempt| attempt.number),
        "is_byok": selected.is_some_and(|attempt| attempt.is_byok),
        "config_revision": trail.revision.number,
        "endpoints": {
            "total": available.len() + excluded.len(),
            "available": available,
            "excluded": decision::excluded(excluded, plan),
        },
        "attempts": attempts,
        "skipped": decision::skipped(trail),
    });
    if !trail.steps.is_empty() {
        metadata["pipeline"] = json!(trail.steps);
    }
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

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use switchyard_proto::v1::resource::Body;

    use super::*;
    use crate::adapters::Failure;
    use crate::api::surface::Surface;
    use crate::config::fixtures::{endpoint, full, model, provider, resource};
    use crate::config::snapshot::Revision;
    use crate::pipeline::client::Client;
    use crate::routing::health::Shut;
    use crate::upstream::attempt::Failed;

    fn at() -> Arc<Endpoint> {
        let rows =
            [Body::Provider(provider("p")), Body::Model(model("m")), Body::Endpoint(endpoint("m", "p", "1"))];
        full(rows.map(resource)).snapshot.model("m").unwrap().endpoints[0].clone()
    }

    fn failed(class: FailureClass, wait: Option<u64>) -> Skip {
        let retry_after = wait.map(Duration::from_secs);
        let failure = Failure { retry_after, ..Failure::new(class, "x") };
        Skip::Failed(Box::new(Failed { failure, reached: true, refused: true, usage: None }), at())
    }

    fn shut(cause: Cause, seconds: u64) -> Skip {
        Skip::Shut(Shut { cause, for_ms: seconds * 1000 }, at())
    }

    fn budget() -> Skip {
        let kind = switchyard_proto::v1::AccountKind::TenantCredits;
        let account = crate::limits::Account { kind, owner: "t".into(), period: crate::limits::Period::All };
        let limit = switchyard_proto::money::NanoUsd::ZERO;
        Skip::Budget { account, limit, affordable_tokens: 5, asked_tokens: 9, of: "output" }
    }

    #[test]
    fn what_stood_against_everybody_decides_status_and_when_to_come_again() {
        use FailureClass::{NotFound, RateLimited, Server};
        let trail = Trail::begin(Surface::ChatCompletions, Client::default(), Revision::default());
        let check = |skips: Vec<Skip>, status: u16, availability: Option<&str>, wait: Option<u64>| {
            let shown = format!("{skips:?}");
            let error = exhausted(&trail, skips);
            let code = error.metadata.get("availability").map(|rows| rows["code"].clone());
            assert_eq!(error.code.status().as_u16(), status, "{shown}");
            assert_eq!(code, availability.map(|code| json!(code)), "{shown}");
            assert_eq!(error.retry_after, wait.map(Duration::from_secs), "{shown}");
        };
        let (passing, limited) = (Some("temporarily_unavailable"), Some("capacity_exhausted"));
        check(vec![shut(Cause::Open, 4), shut(Cause::Open, 2)], 503, passing, Some(2));
        check(vec![shut(Cause::Probed, 1)], 503, passing, Some(1));
        check(vec![shut(Cause::Limited, 9), shut(Cause::Limited, 7)], 429, limited, Some(7));
        check(vec![shut(Cause::Open, 9), shut(Cause::Limited, 7)], 503, passing, Some(7));
        check(vec![shut(Cause::Limited, 3), failed(RateLimited, Some(8))], 429, limited, Some(3));
        check(vec![failed(RateLimited, None)], 429, limited, None);
        check(vec![failed(Server, None), shut(Cause::Open, 5)], 502, passing, Some(5));
        check(vec![failed(NotFound, None), shut(Cause::Open, 5)], 404, None, None);
        check(vec![budget(), shut(Cause::Open, 5)], 503, passing, Some(5));
        check(vec![budget()], 402, None, None);
    }
}
