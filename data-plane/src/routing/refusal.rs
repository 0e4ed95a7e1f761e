//! What a caller hears of a request that nobody can be tried for: status, which rule removed whom, what is near.

use std::time::Duration;

use serde_json::{Value, json};
use switchyard_proto::code::ErrorCode;

use crate::config::snapshot::Endpoint;
use crate::error::{RequestError, Side};
use crate::routing::filter::{Detail, Excluded, Rule};
use crate::routing::health::{Cause, Shut};
use crate::routing::plan::PlanError;
use crate::routing::stages::{SkipReason, Skipped};

/// OpenRouter's words for why a model cannot be had.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Availability {
    ModelNotFound,
    /// The model is for something else, which is called elsewhere.
    WrongEndpoint,
    /// Nobody serves it.
    NoEndpoints,
    /// A wish of the request is met by nobody.
    ConstraintFiltered,
    PrivacyRestricted,
    /// Served only outside the regions that the account allows.
    RegionRestricted,
    /// Every attempt was rate limited.
    CapacityExhausted,
    TemporarilyUnavailable,
}

impl Availability {
    /// The word on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ModelNotFound => "model_not_found",
            Self::WrongEndpoint => "wrong_endpoint",
            Self::NoEndpoints => "no_endpoints",
            Self::ConstraintFiltered => "constraint_filtered",
            Self::PrivacyRestricted => "privacy_restricted",
            Self::RegionRestricted => "region_restricted",
            Self::CapacityExhausted => "capacity_exhausted",
            Self::TemporarilyUnavailable => "temporarily_unavailable",
        }
    }

    /// Whether the same request may be served a little later.
    pub fn is_retryable(self) -> bool {
        matches!(self, Self::CapacityExhausted | Self::TemporarilyUnavailable)
    }

    /// The error's code where nothing says it more exactly.
    fn code(self) -> ErrorCode {
        match self {
            Self::ModelNotFound | Self::WrongEndpoint => ErrorCode::InvalidRequest,
            Self::NoEndpoints | Self::ConstraintFiltered | Self::PrivacyRestricted => ErrorCode::NotFound,
            Self::RegionRestricted => ErrorCode::PermissionDenied,
            Self::CapacityExhausted => ErrorCode::RateLimitExceeded,
            Self::TemporarilyUnavailable => ErrorCode::ProviderOverloaded,
        }
    }
}

impl From<PlanError> for RequestError {
    fn from(error: PlanError) -> Self {
        match error {
            PlanError::NoModel => Self::new(ErrorCode::InvalidRequest, "`model` is required.").field("model"),
            PlanError::UnknownModel { name, suffix, near } => unknown(&name, suffix.as_deref(), &near),
            PlanError::UnknownPolicy { name } => {
                let text = format!("There is no policy `{name}`.");
                let rows = rows(Availability::ModelNotFound, &[name]);
                Self::new(ErrorCode::InvalidRequest, text).field("model").with("availability", rows)
            }
            PlanError::NoStage { policy, skipped } => no_stage(&policy, &skipped),
            PlanError::Forbidden { model } => Self::new(
                ErrorCode::PermissionDenied,
                format!("This API key may not use the model `{model}`."),
            )
            .field("model"),
            PlanError::Empty { models, excluded, only, account } => {
                empty(&models, &excluded, &[("provider.only", only), ("The account", account)])
            }
        }
    }
}

/// The members that every availability has.
fn rows(availability: Availability, requested: &[String]) -> Value {
    json!({
        "code": availability.as_str(),
        "retryable": availability.is_retryable(),
        "requested_models": requested,
    })
}

fn no_stage(policy: &str, skipped: &[Skipped]) -> RequestError {
    let all = |reason| skipped.iter().all(|skipped| skipped.reason == reason);
    let why = if all(SkipReason::NoModel) {
        "names no model that this API key may use"
    } else {
        "has no stage for this request"
    };
    let availability = Availability::ConstraintFiltered;
    RequestError::new(availability.code(), format!("The policy `{policy}` {why}."))
        .field("model")
        .with("availability", rows(availability, &[format!("policy/{policy}")]))
}

fn unknown(name: &str, suffix: Option<&str>, near: &[String]) -> RequestError {
    let hint = match (suffix, near) {
        (Some(suffix), _) => {
            format!(" The suffix `:{suffix}` is none of `:free`, `:nitro`, `:floor`, `:exacto`.")
        }
        (None, []) => " `GET /api/v1/models` lists what there is.".to_owned(),
        (None, near) => {
            let near: Vec<String> = near.iter().map(|id| format!("`{id}`")).collect();
            format!(" Did you mean {}?", near.join(", "))
        }
    };
    let availability = Availability::ModelNotFound;
    let rows = json!({"code": availability.as_str(), "retryable": false, "requested_models": [name], "fallback_models": near});
    RequestError::new(availability.code(), format!("`{name}` is not a valid model ID.{hint}"))
        .field("model")
        .with("availability", rows)
}

/// Says which rules emptied the set, and for which endpoints.
fn empty(models: &[String], excluded: &[Excluded], lists: &[(&str, Vec<String>)]) -> RequestError {
    let availability = availability(excluded);
    // Who has no such endpoint at all says nothing of the request.
    let all = |rule: Rule| {
        let mut able = excluded.iter().filter(|row| row.rule != Rule::Operation).peekable();
        able.peek().is_some() && able.all(|row| row.rule == rule)
    };
    // A prompt that fits nowhere is the caller's to shorten.
    let code = if all(Rule::ContextLength) {
        ErrorCode::ContextLengthExceeded
    } else if !excluded.is_empty() && excluded.iter().all(|row| is_content(row.rule)) {
        ErrorCode::InvalidRequest
    } else {
        availability.code()
    };
    let decisive = decisive(excluded);
    let field = decisive.map_or("", Excluded::field);
    let constraint =
        decisive.map(|excluded| json!({"field": field, "detail": excluded.to_string()})).unwrap_or_default();
    let rows = json!({
        "code": availability.as_str(),
        "retryable": availability.is_retryable(),
        "requested_models": models,
        "affected_providers": distinct(excluded.iter().map(|row| row.endpoint.provider.display_name.as_str())),
        "excluded_by": distinct(excluded.iter().map(|row| row.rule.as_str())),
        "constraint": constraint,
    });
    RequestError::new(code, text(models, excluded, lists)).field(field).with("availability", rows)
}

/// Whether it is what the prompt holds that cannot be taken.
fn is_content(rule: Rule) -> bool {
    matches!(rule, Rule::Modality | Rule::FileType)
}

/// What the emptiness is called: by the rule that was asked last, as all else fitted there.
fn availability(excluded: &[Excluded]) -> Availability {
    let is_elsewhere = |row: &Excluded| matches!(row.detail, Detail::MadeFor(_));
    if !excluded.is_empty() && excluded.iter().all(is_elsewhere) {
        return Availability::WrongEndpoint;
    }
    match decisive(excluded).map(|excluded| excluded.rule) {
        None | Some(Rule::Disabled) => Availability::NoEndpoints,
        Some(Rule::Zdr | Rule::DataPolicy) => Availability::PrivacyRestricted,
        Some(Rule::Region) => Availability::RegionRestricted,
        Some(_) => Availability::ConstraintFiltered,
    }
}

/// The exclusion that came nearest to being none.
fn decisive(excluded: &[Excluded]) -> Option<&Excluded> {
    excluded.iter().rev().max_by_key(|excluded| match excluded.rule {
        Rule::Disabled | Rule::Operation => 0,
        Rule::Zdr | Rule::DataPolicy | Rule::Region => 2,
        _ => 1,
    })
}

/// Names in order, each once.
pub fn distinct<'a>(names: impl Iterator<Item = &'a str>) -> Vec<&'a str> {
    let mut names: Vec<&str> = names.collect();
    names.sort_unstable();
    names.dedup();
    names
}

fn text(models: &[String], excluded: &[Excluded], lists: &[(&str, Vec<String>)]) -> String {
    let names = models.join("`, `");
    if excluded.iter().all(|row| row.rule == Rule::Disabled) {
        return format!("No provider serves `{names}`.");
    }
    let rows: Vec<String> =
        excluded.iter().map(|row| format!("{}: {row}", row.endpoint.provider.display_name)).collect();
    let lists = lists.iter().filter(|(_, list)| !list.is_empty());
    let allow: String =
        lists.map(|(whose, list)| format!(" {whose} allows `{}`.", list.join("`, `"))).collect();
    format!("No endpoint of `{names}` meets the request ({}).{allow}", rows.join("; "))
}

/// The error of an endpoint that is not asked at the moment.
pub fn shut(shut: Shut, endpoint: &Endpoint) -> RequestError {
    let name = &endpoint.provider.display_name;
    let wait = Duration::from_millis(shut.for_ms);
    let seconds = wait.as_secs_f64().ceil().max(1.0);
    let (availability, why) = match shut.cause {
        Cause::Limited => (Availability::CapacityExhausted, "asked to wait"),
        Cause::Open => (Availability::TemporarilyUnavailable, "failed too often to be asked now"),
        Cause::Probed => {
            (Availability::TemporarilyUnavailable, "failed too often, and is just being tried again")
        }
    };
    let text = format!("{name} {why}. Try again in {seconds} s.");
    let error = RequestError::new(availability.code(), text).retry_after(wait);
    RequestError { side: Side::Provider, provider: Some(name.clone()), ..error }
}

/// The rule's word for that, in `excluded_by`.
pub fn shut_by(shut: Shut) -> &'static str {
    match shut.cause {
        Cause::Open | Cause::Probed => "circuit_open",
        Cause::Limited => "rate_limited",
    }
}

/// The `availability` of an error that came after attempts.
pub fn after_attempts(availability: Availability, retry_after_s: Option<f64>) -> Value {
    json!({"code": availability.as_str(), "retryable": availability.is_retryable(), "retry_after": retry_after_s})
}
