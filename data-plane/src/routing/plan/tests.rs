//! Plans as tables: a request, and who may serve it in which order, or why not.

mod account;
mod credentials;
mod names;
mod operations;
mod policies;
mod preference;
mod vectors;

use bytes::Bytes;
use serde_json::{Value, json};
use switchyard_proto::v1::resource::Body;
use switchyard_proto::v1::{DataPolicy, EndpointConfig, ProviderConfig, Resource};

use super::{Plan, PlanError, plan};
use crate::api::openai_chat;
use crate::config::fixtures::{caller, endpoint, full, model, provider, resource, tenant};
use crate::config::snapshot::{Endpoint, Snapshot};
use crate::error::RequestError;
use crate::model::request::ChatRequest;
use crate::routing::health::Reading;
use crate::routing::inputs::Inputs;

/// Providers `cheap` ($1), `mid` ($2, fp8, no tools, may train) and `dear` ($3) for `a/m`; `cheap` for `b/n`.
fn config() -> Snapshot {
    config_with(|_, _| {})
}

fn config_with(change: impl Fn(&mut ProviderConfig, &mut EndpointConfig)) -> Snapshot {
    let mut resources: Vec<Resource> = Vec::new();
    let mut endpoints = Vec::new();
    for (id, dollars) in [("cheap", "1"), ("mid", "2"), ("dear", "3")] {
        let (mut provider, mut endpoint) = (provider(id), endpoint("a/m", id, dollars));
        if id == "mid" {
            provider.data_policy = Some(DataPolicy { retains_prompts: Some(true), ..DataPolicy::default() });
            endpoint.quantization = "mxfp8".into();
            endpoint.supported_parameters = vec!["temperature".into(), "max_tokens".into()];
        }
        change(&mut provider, &mut endpoint);
        resources.push(resource(Body::Provider(provider)));
        endpoints.push(resource(Body::Endpoint(endpoint)));
    }
    resources.extend([resource(Body::Model(model("a/m"))), resource(Body::Model(model("b/n")))]);
    resources.extend(endpoints);
    resources.push(resource(Body::Endpoint(endpoint("b/n", "cheap", "1"))));
    resources.extend(tenant());
    let compiled = full(resources);
    assert_eq!(compiled.refused, []);
    compiled.snapshot
}

fn request(fields: Value) -> ChatRequest {
    let mut body = json!({"model": "a/m", "messages": [{"role": "user", "content": "hi"}]});
    for (key, value) in fields.as_object().expect("fields are an object") {
        body[key] = value.clone();
    }
    openai_chat::decode(Bytes::from(body.to_string())).expect("the request is well-formed")
}

fn run(config: &Snapshot, fields: Value, failing: &[&str]) -> Result<Plan, PlanError> {
    let reading = |endpoint: &Endpoint| Reading {
        recent_outage: failing.contains(&endpoint.id.as_str()),
        ..Reading::default()
    };
    plan(config, &Inputs::of(&caller(config), &request(fields), 7, &reading))
}

fn order(plan: &Plan) -> Vec<String> {
    plan.candidates().map(|candidate| candidate.endpoint.full_id()).collect()
}

/// The order of candidates, and the excluded with their rules.
#[track_caller]
fn check(fields: Value, expected: &[&str], excluded: &[(&str, &str)]) {
    let config = config();
    let plan = run(&config, fields, &[]).expect("somebody is left");
    assert_eq!(order(&plan), expected);
    let mut rules: Vec<_> = plan
        .excluded
        .iter()
        .map(|excluded| (excluded.endpoint.id.to_string(), excluded.rule.as_str()))
        .collect();
    rules.sort();
    let mut wanted: Vec<_> = excluded.iter().map(|(id, rule)| ((*id).to_owned(), *rule)).collect();
    wanted.sort();
    assert_eq!(rules, wanted);
}

const CHEAP: &str = "a/m#cheap";
const MID: &str = "a/m#mid";
const DEAR: &str = "a/m#dear";

#[test]
fn sort_by_price_is_deterministic() {
    check(json!({"provider": {"sort": "price"}}), &[CHEAP, MID, DEAR], &[]);
}

#[test]
fn order_comes_first_and_the_rest_follow() {
    check(json!({"provider": {"order": ["dear", "mid"], "sort": "price"}}), &[DEAR, MID, CHEAP], &[]);
}

#[test]
fn only_and_ignore_are_told_apart() {
    check(
        json!({"provider": {"only": ["cheap", "mid"], "ignore": ["mid"]}}),
        &[CHEAP],
        &[("mid", "ignored_providers"), ("dear", "allowed_providers")],
    );
}

#[test]
fn without_fallbacks_one_candidate_is_left() {
    check(
        json!({"provider": {"sort": "price", "allow_fallbacks": false}}),
        &[CHEAP],
        &[("mid", "allow_fallbacks"), ("dear", "allow_fallbacks")],
    );
}

#[test]
fn unknown_data_policies_count_as_the_worse() {
    check(
        json!({"provider": {"sort": "price", "data_collection": "deny"}}),
        &[CHEAP, DEAR],
        &[("mid", "data_policy:training")],
    );
    check(json!({"provider": {"sort": "price", "zdr": true}}), &[CHEAP, DEAR], &[("mid", "data_policy:zdr")]);
}

#[test]
fn quantizations_cover_their_families() {
    check(
        json!({"provider": {"quantizations": ["fp8"]}}),
        &[MID],
        &[("cheap", "quantization"), ("dear", "quantization")],
    );
}

#[test]
fn max_price_is_a_hard_ceiling() {
    check(
        json!({"provider": {"sort": "price", "max_price": {"prompt": 2}}}),
        &[CHEAP, MID],
        &[("dear", "max_price")],
    );
}

#[test]
fn tools_need_support_and_other_parameters_only_when_required() {
    let tools = json!([{"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}]);
    check(json!({"tools": tools, "provider": {"sort": "price"}}), &[CHEAP, DEAR], &[("mid", "tools")]);
    check(json!({"seed": 1, "provider": {"sort": "price"}}), &[CHEAP, MID, DEAR], &[]);
    check(
        json!({"seed": 1, "provider": {"sort": "price", "require_parameters": true}}),
        &[CHEAP, DEAR],
        &[("mid", "require_parameters")],
    );
}

#[test]
fn fallback_models_follow_the_first_model() {
    check(json!({"models": ["b/n"], "provider": {"sort": "price"}}), &[CHEAP, MID, DEAR, "b/n#cheap"], &[]);
}

#[test]
fn recent_outage_goes_last_unless_the_caller_orders() {
    let config = config();
    for seed_free in [json!({}), json!({"provider": {}})] {
        let plan = run(&config, seed_free, &["cheap", "mid"]).unwrap();
        assert_eq!(order(&plan)[0], DEAR);
    }
    let plan = run(&config, json!({"provider": {"order": ["cheap"]}}), &["cheap"]).unwrap();
    assert_eq!(order(&plan)[0], CHEAP);
}

#[test]
fn cheaper_endpoints_are_drawn_by_the_inverse_square_of_their_price() {
    let config = config();
    let request = request(json!({}));
    let caller = caller(&config);
    let mut first = std::collections::HashMap::<String, u32>::new();
    for seed in 0..4_000 {
        let inputs = Inputs::of(&caller, &request, seed * 7_919, &|_| Reading::default());
        let plan = plan(&config, &inputs).unwrap();
        *first.entry(order(&plan)[0].clone()).or_default() += 1;
    }
    // 1 : 1/4 : 1/9 of 4000.
    for (id, expected) in [(CHEAP, 2939.0), (MID, 735.0), (DEAR, 326.0)] {
        let drawn = f64::from(first[id]);
        assert!((drawn - expected).abs() < expected * 0.15 + 20.0, "{id}: {drawn}");
    }
}

#[test]
fn the_same_seed_gives_the_same_plan() {
    let config = config();
    let one = order(&run(&config, json!({}), &[]).unwrap());
    assert_eq!(one, order(&run(&config, json!({}), &[]).unwrap()));
}

#[test]
fn an_unknown_model_names_its_likely_neighbours() {
    let config = config();
    let error = RequestError::from(run(&config, json!({"model": "a/mm"}), &[]).unwrap_err());
    assert_eq!(error.code.status(), 400);
    assert!(
        error.public.contains("`a/mm` is not a valid model ID") && error.public.contains("`a/m`"),
        "{}",
        error.public
    );
}

#[test]
fn an_emptied_set_says_which_rule_emptied_it() {
    let config = config();
    let error = RequestError::from(run(&config, json!({"provider": {"only": ["nobody"]}}), &[]).unwrap_err());
    assert_eq!(error.code.status(), 404);
    assert_eq!(error.metadata["availability"]["excluded_by"], json!(["allowed_providers"]));
}

#[test]
fn a_prompt_that_fits_nowhere_is_the_callers_to_shorten() {
    let config = config();
    let long = "word ".repeat(20_000);
    let fields = json!({"messages": [{"role": "user", "content": long}]});
    let error = RequestError::from(run(&config, fields, &[]).unwrap_err());
    assert_eq!(error.code.error_type(), "context_length_exceeded");
}

#[test]
fn content_that_no_endpoint_accepts_is_refused_as_such() {
    let config = config();
    let content = json!([{"type": "image_url", "image_url": {"url": "https://x.test/a.png"}}]);
    let error = RequestError::from(
        run(&config, json!({"messages": [{"role": "user", "content": content}]}), &[]).unwrap_err(),
    );
    assert_eq!((error.code.status().as_u16(), error.public.contains("image")), (400, true));
}

#[test]
fn disabled_endpoints_are_not_tried() {
    let config = config_with(|provider, endpoint| {
        provider.disabled = provider.id == "mid";
        endpoint.disabled = endpoint.id == "dear";
    });
    let plan = run(&config, json!({}), &[]).unwrap();
    assert_eq!(order(&plan), [CHEAP]);
}
