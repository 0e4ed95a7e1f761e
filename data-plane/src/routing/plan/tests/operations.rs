//! Who is asked for what: models are for chat, for vectors or for rankings, and not every dialect has the latter.

use bytes::Bytes;
use serde_json::{Value, json};

use crate::api::{embeddings, rerank};
use crate::config::fixtures::caller;
use crate::config::snapshot::Endpoint;
use crate::error::RequestError;
use crate::model::request::ChatRequest;
use crate::routing::health::Reading;
use crate::routing::inputs::Inputs;
use crate::routing::plan::{Plan, PlanError, plan};
use crate::routing::record::Recorded;
use crate::routing::tests::{World, world};

/// `m` is for chat, `v` for vectors, `r` for rankings; `claude` is spoken to in a dialect without either.
fn rows() -> World {
    world(&[
        ("m", "openai", "1"),
        ("v", "openai", "1"),
        ("v", "claude", "1"),
        ("r", "openai", "1"),
        ("r", "ollama", "1"),
    ])
    .provider("claude", |row| row.adapter = "anthropic".into())
    .provider("ollama", |row| row.adapter = "ollama".into())
    .model("v", |row| row.output_modalities = vec!["embeddings".into()])
    .model("r", |row| row.output_modalities = vec!["rerank".into()])
}

fn vectors(body: Value) -> ChatRequest {
    embeddings::decode(Bytes::from(body.to_string())).expect("well-formed")
}

fn ranking(model: &str) -> ChatRequest {
    let body = json!({"model": model, "query": "q", "documents": ["a"]});
    rerank::decode(Bytes::from(body.to_string())).expect("well-formed")
}

fn chat(model: &str) -> ChatRequest {
    let body = json!({"model": model, "messages": [{"role": "user", "content": "hi"}]});
    crate::api::openai_chat::decode(Bytes::from(body.to_string())).expect("well-formed")
}

fn planned(world: &World, request: &ChatRequest) -> Result<Plan, PlanError> {
    let config = world.snapshot();
    plan(&config, &Inputs::of(&caller(&config), request, 7, &|_: &Endpoint| Reading::default()))
}

fn providers(plan: &Plan) -> Vec<&str> {
    let mut names: Vec<&str> =
        plan.candidates().map(|candidate| candidate.endpoint.provider.id.as_str()).collect();
    names.sort_unstable();
    names
}

#[test]
fn a_dialect_without_the_task_is_excluded() {
    let plan = planned(&rows(), &vectors(json!({"model": "v", "input": "x"}))).unwrap();
    assert_eq!(providers(&plan), ["openai"]);
    let rules: Vec<(&str, String)> =
        plan.excluded.iter().map(|row| (row.rule.as_str(), row.to_string())).collect();
    assert_eq!(rules, [("operation", "is spoken to in a dialect without embeddings".to_owned())]);
    assert_eq!(providers(&planned(&rows(), &ranking("r")).unwrap()), ["openai"]);
    let claude = rows().provider("openai", |row| row.adapter = "anthropic".into());
    let refused = planned(&claude, &vectors(json!({"model": "v", "input": "x"}))).unwrap_err();
    let error = RequestError::from(refused);
    assert_eq!(
        (error.code.status().as_u16(), &error.metadata["availability"]["code"]),
        (404, &json!("constraint_filtered"))
    );
}

#[test]
fn a_model_that_is_for_something_else_is_named_with_the_place_where_it_is_called() {
    for (request, place) in [
        (chat("v"), "/api/v1/embeddings"),
        (chat("r"), "/api/v1/rerank"),
        (vectors(json!({"model": "m", "input": "x"})), "/api/v1/chat/completions"),
        (vectors(json!({"model": "r", "input": "x"})), "/api/v1/rerank"),
        (ranking("v"), "/api/v1/embeddings"),
    ] {
        let error = RequestError::from(planned(&rows(), &request).unwrap_err());
        assert_eq!(error.code.status().as_u16(), 400, "{place}");
        assert_eq!(error.metadata["availability"]["code"], "wrong_endpoint", "{place}");
        assert!(error.public.contains(place), "{}", error.public);
    }
}

#[test]
fn another_model_that_is_for_it_serves() {
    let plan = planned(&rows(), &vectors(json!({"models": ["m", "v"], "input": "x"}))).unwrap();
    assert_eq!(providers(&plan), ["openai"]);
    assert!(plan.candidates().all(|candidate| candidate.model.id.as_str() == "v"));
}

#[test]
fn each_input_has_a_window_of_its_own() {
    let small = rows().at("openai", |row| row.context_length = 10);
    let fits = |input: Value| planned(&small, &vectors(json!({"model": "v", "input": input}))).map(drop);
    assert!(fits(json!(["x".repeat(40), "y".repeat(40), "z".repeat(40)])).is_ok());
    let error = RequestError::from(fits(json!(["x", "y".repeat(44)])).unwrap_err());
    assert_eq!(error.metadata["field"], "input", "{}", error.public);
    assert!(planned(&small, &ranking("r")).is_ok());
}

#[test]
fn a_kept_decision_makes_the_same_plan_again() {
    let config = rows().snapshot();
    let (caller, request) = (caller(&config), vectors(json!({"model": "v", "input": ["x", "y"]})));
    let inputs = Inputs::of(&caller, &request, 7, &|_: &Endpoint| Reading::default());
    let plan = plan(&config, &inputs).unwrap();
    let text = serde_json::to_string(&Recorded::of(&inputs, &plan)).unwrap();
    let kept: Recorded = serde_json::from_str(&text).unwrap();
    let again = kept.replay(&config).unwrap().unwrap();
    assert_eq!((providers(&again), again.excluded.len()), (providers(&plan), plan.excluded.len()));
}
