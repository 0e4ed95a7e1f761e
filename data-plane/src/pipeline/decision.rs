//! How a request was routed, in full: for its generation's record, and for callers who only ask.
//!
//! Holds what the plan was made from, so that it can be made again; who was considered, in which order and why; who was
//! excluded by which rule; what the attempts came to. Never a word of the prompt or of an answer.

use serde_json::{Map, Value, json};

use crate::error::RequestError;
use crate::pipeline::trail::{AttemptNote, SkipNote, StageNote, Trail};
use crate::routing::filter::Excluded;
use crate::routing::inputs::Inputs;
use crate::routing::plan::{Candidate, Plan, PlanError, Stage};
use crate::routing::record::Recorded;
use crate::routing::stages::Skipped;

/// Most rows of a list; of more the first are kept, with their number.
const MOST_ROWS: usize = 100;

/// Keeps what a plan was made from, so that the record holds the decision.
pub fn keep(trail: &mut Trail, inputs: &Inputs<'_>, plan: &Plan) {
    if trail.inputs.is_none() {
        trail.inputs = Some(Box::new(Recorded::of(inputs, plan)));
    }
}

/// Keeps why there is no plan, and what none could be made from; the caller's error.
pub fn refused(trail: &mut Trail, inputs: &Inputs<'_>, refusal: PlanError) -> RequestError {
    trail.inputs = Some(Box::new(Recorded::of_refused(inputs)));
    trail.refusal = Some(refusal.clone());
    refusal.into()
}

/// The decision as JSON text; empty where it is not kept.
pub fn kept(trail: &Trail) -> String {
    match &trail.inputs {
        None => String::new(),
        Some(inputs) => whole(trail, inputs).to_string(),
    }
}

fn whole(trail: &Trail, inputs: &Recorded) -> Value {
    let mut decision = match (&trail.plan, &trail.refusal) {
        (Some(plan), _) => self::plan(plan),
        (None, Some(refusal)) => refusal_rows(refusal, inputs.seed),
        (None, None) => Map::new(),
    };
    decision.insert("requested".to_owned(), json!(trail.requested_model));
    decision.insert("config_revision".to_owned(), revision(trail));
    decision.insert("moves".to_owned(), trail.stages.iter().map(moved).collect());
    let attempts = trail.in_order().into_iter().map(|note| kept_attempt(note, trail)).take(MOST_ROWS);
    decision.insert("attempts".to_owned(), attempts.collect());
    decision.insert("skipped".to_owned(), skipped(trail));
    decision.insert("inputs".to_owned(), serde_json::to_value(inputs).unwrap_or_default());
    Value::Object(decision)
}

/// What a plan would be, for a caller who only asks.
pub fn explained(plan: &Plan, inputs: &Inputs<'_>, trail: &Trail) -> Value {
    let mut decision = self::plan(plan);
    decision.insert("requested".to_owned(), json!(inputs.models().collect::<Vec<_>>()));
    decision.insert("config_revision".to_owned(), revision(trail));
    let inputs = serde_json::to_value(Recorded::of(inputs, plan)).unwrap_or_default();
    decision.insert("inputs".to_owned(), inputs);
    json!({"data": decision})
}

/// The config state that a plan was made from.
pub fn revision(trail: &Trail) -> Value {
    json!({"incarnation": &*trail.revision.incarnation, "number": trail.revision.number})
}

/// A plan: its stages with their candidates in order, and the excluded.
pub fn plan(plan: &Plan) -> Map<String, Value> {
    let mut out = Map::new();
    out.insert("strategy".to_owned(), json!(plan.strategy.as_str()));
    // As text: numbers beyond 2^53 do not survive everywhere.
    out.insert("seed".to_owned(), json!(plan.seed.to_string()));
    if let Some(policy) = &plan.policy {
        out.insert(
            "policy".to_owned(),
            json!({"id": policy.id.as_str(), "tenant": policy.tenant.as_ref().map(|id| id.as_str()), "revision": policy.revision}),
        );
    }
    out.insert("stages".to_owned(), plan.stages.iter().map(|stage| self::stage(plan, stage)).collect());
    let skipped = plan
        .skipped
        .iter()
        .map(|skipped| json!({"stage": name(plan, skipped.stage), "reason": skipped.reason.as_str()}));
    out.insert("skipped_stages".to_owned(), skipped.collect());
    out.insert("excluded".to_owned(), excluded(&plan.excluded, Some(plan)));
    out.insert("excluded_total".to_owned(), json!(plan.excluded.len()));
    out
}

/// What stood in the way of a plan.
fn refusal_rows(refusal: &PlanError, seed: u64) -> Map<String, Value> {
    let (word, excluded, skipped) = match refusal {
        PlanError::NoModel => ("no_model", &[][..], &[][..]),
        PlanError::UnknownModel { .. } => ("unknown_model", &[][..], &[][..]),
        PlanError::UnknownPolicy { .. } => ("unknown_policy", &[][..], &[][..]),
        PlanError::NoStage { skipped, .. } => ("no_stage", &[][..], &skipped[..]),
        PlanError::Forbidden { .. } => ("forbidden", &[][..], &[][..]),
        PlanError::Empty { excluded, .. } => ("no_candidate", &excluded[..], &[][..]),
    };
    let stage = |skipped: &Skipped| {
        let number = u32::from(skipped.stage) + 1;
        json!({"stage": number.to_string(), "reason": skipped.reason.as_str()})
    };
    let mut out = Map::new();
    out.insert("refused".to_owned(), json!(word));
    out.insert("seed".to_owned(), json!(seed.to_string()));
    out.insert("skipped_stages".to_owned(), skipped.iter().map(stage).collect());
    out.insert("excluded".to_owned(), self::excluded(excluded, None));
    out.insert("excluded_total".to_owned(), json!(excluded.len()));
    out
}

/// The planned candidates that were not tried, each with the rule that stood against it and the value that it met.
pub fn skipped(trail: &Trail) -> Value {
    let row = |skip: &SkipNote| {
        json!({
            "provider": skip.endpoint.provider.display_name,
            "model": skip.endpoint.model.as_str(),
            "endpoint": skip.endpoint.id.as_str(),
            "stage": skip.stage,
            "is_byok": skip.is_byok,
            "at_ms": millis(skip.at),
            "rule": skip.why.rule,
            "detail": skip.why.detail,
        })
    };
    trail.skips.iter().map(row).collect()
}

/// The excluded, each with the rule that excluded it and the value that the rule met.
pub fn excluded(excluded: &[Excluded], plan: Option<&Plan>) -> Value {
    let row = |excluded: &Excluded| {
        let mut row = json!({
            "provider": excluded.endpoint.provider.display_name,
            "model": excluded.endpoint.model.as_str(),
            "endpoint": excluded.endpoint.id.as_str(),
            "rule": excluded.rule.as_str(),
            "detail": excluded.to_string(),
        });
        if let Some(plan) = plan.filter(|plan| plan.policy.is_some()) {
            row["stage"] = json!(name(plan, excluded.stage));
        }
        row
    };
    excluded.iter().take(MOST_ROWS).map(row).collect()
}

fn stage(plan: &Plan, stage: &Stage) -> Value {
    let candidates = stage.candidates.iter().take(MOST_ROWS).map(candidate);
    let mut row = json!({"candidates": candidates.collect::<Vec<_>>()});
    if let Some(rules) = plan.rules(stage) {
        row["name"] = json!(rules.name);
        row["escalate_on"] = rules.escalate_on.names().collect();
    }
    row
}

fn candidate(candidate: &Candidate) -> Value {
    let endpoint = &candidate.endpoint;
    json!({
        "provider": endpoint.provider.display_name,
        "model": candidate.model.id.as_str(),
        "endpoint": endpoint.id.as_str(),
        "is_byok": candidate.is_byok(),
        "credential": candidate.credential.as_ref().map(|own| own.id.as_str()),
        "place": candidate.place,
        "health": candidate.reading,
        "price_revision": endpoint.revision,
    })
}

fn name(plan: &Plan, stage: u16) -> &str {
    let stage = plan.policy.as_ref().and_then(|policy| policy.stages.get(usize::from(stage)));
    stage.map_or("", |stage| stage.name.as_str())
}

fn moved(stage: &StageNote) -> Value {
    json!({"stage": stage.name, "entered_ms": millis(stage.entered), "left": stage.left})
}

/// One attempt as it is kept: what a provider says of a request that is at fault may repeat the request.
fn kept_attempt(note: &AttemptNote, trail: &Trail) -> Value {
    let mut row = attempt(note, trail);
    if note.code.is_some_and(|code| code.status().is_client_error()) {
        row["reason"] = Value::Null;
    }
    row
}

/// One attempt as it went, for the caller itself.
pub fn attempt(note: &AttemptNote, trail: &Trail) -> Value {
    json!({
        "attempt": note.number,
        "provider": note.endpoint.provider.display_name,
        "model": note.endpoint.model.as_str(),
        "endpoint": note.endpoint.id.as_str(),
        "stage": note.stage,
        "is_byok": note.is_byok,
        "status": note.status,
        "outcome": note.outcome,
        "reason": note.reason,
        "started_ms": millis(note.started.saturating_duration_since(trail.started)),
        "duration_ms": millis(note.duration),
        "charge": note.charged.to_string(),
    })
}

fn millis(duration: std::time::Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
