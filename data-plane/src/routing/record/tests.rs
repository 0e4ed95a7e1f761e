//! A record makes the same plan again, whatever has happened to health and cache since.

use serde_json::{Value, json};
use switchyard_proto::v1::{PolicyConfig, PolicyStage, WeightedModel};

use super::*;
use crate::routing::plan::plan;
use crate::routing::tests::{Ask, World, fast, out, tools, world};

fn catalogue() -> World {
    let weighted = |model: &str, weight| WeightedModel { model: model.into(), weight };
    let stage = PolicyStage {
        models: vec![weighted("m", 3), weighted("n", 1)],
        when: "budget.left < 0.5".into(),
        ..Default::default()
    };
    let then = PolicyStage { models: vec![weighted("n", 0)], ..Default::default() };
    let policy = PolicyConfig { id: "p".into(), stages: vec![stage, then], ..Default::default() };
    let rows = [("m", "a", "1"), ("m", "b", "2"), ("m", "c", "3"), ("m", "a/flex", "1"), ("n", "d", "1")];
    world(&rows).own("k", "b", |_| {}).policy(policy)
}

/// Everything about a plan that a record must give again.
fn shown(plan: &Plan) -> String {
    let candidates: Vec<_> = plan
        .candidates()
        .map(|one| {
            let own = one.credential.as_ref().map(|own| own.id.clone());
            (one.model.id.clone(), one.endpoint.id.clone(), own, one.reading, one.place)
        })
        .collect();
    let excluded: Vec<_> =
        plan.excluded.iter().map(|row| (row.endpoint.id.clone(), row.rule, row.detail)).collect();
    let stages: Vec<_> = plan.stages.iter().map(|stage| (stage.index, stage.candidates.len())).collect();
    let policy = plan.policy.as_ref().map(|policy| policy.id.clone());
    format!("{policy:?} {stages:?} {:?} {candidates:?} {excluded:?} {:?}", plan.skipped, plan.strategy)
}

#[track_caller]
fn check(ask: &Ask) {
    let (made, record) = ask.with(|inputs| {
        let inputs = Inputs { now_ms: 5, budget_left: Some(0.25), ..inputs };
        let made = plan(&ask.config, &inputs).expect("somebody is left");
        let record = Recorded::of(&inputs, &made);
        (made, record)
    });
    let text = serde_json::to_string(&record).expect("a record is plain data");
    let read: Recorded = serde_json::from_str(&text).expect("what was written is read");
    assert_eq!(read, record);
    let again = read.replay(&ask.config).expect("the record is whole").expect("somebody is left");
    assert_eq!(shown(&again), shown(&made), "{text}");
}

#[test]
fn replaying_a_record_gives_the_same_plan() {
    let requests: [Value; 9] = [
        json!({}),
        json!({"provider": {"sort": "price"}}),
        json!({"models": ["n"], "provider": {"sort": {"by": "throughput", "partition": "none"}}}),
        json!({"tools": tools(), "tool_choice": "required"}),
        json!({"service_tier": "flex", "model": "m"}),
        json!({"model": "policy/p", "user": "ada"}),
        json!({"provider": {"allow_fallbacks": false}}),
        json!({"provider": {"ignore": ["c"], "max_price": {"prompt": "2.5"}}, "max_tokens": 5}),
        json!({"model": "m:nitro", "provider": {"preferred_min_throughput": {"p90": 20}}}),
    ];
    for fields in requests {
        for seed in [0, 7, u64::MAX] {
            let ask = catalogue().ask(fields.clone()).seed(seed);
            check(&ask.read("a", out()).read("b", fast(20.0)).read("c", fast(40.0)).cached_at("m", "c"));
        }
    }
}

#[test]
fn replaying_a_refusal_gives_the_same_refusal() {
    let ask = catalogue().ask(json!({"provider": {"max_price": {"prompt": "0.5"}}}));
    let record = ask.with(|inputs| Recorded::of_refused(&inputs));
    let again = record.replay(&ask.config).expect("the record is whole").expect_err("nobody is left");
    assert_eq!(crate::error::RequestError::from(again).metadata, ask.refusal().metadata);
}

#[test]
fn a_record_is_small_whatever_was_sent_and_says_that_it_was_cut() {
    let many: Vec<String> = (0..10_000).map(|at| format!("provider-{at}")).collect();
    let fields = json!({"provider": {"ignore": many}, "user": "é".repeat(200), "session_id": "s"});
    let ask = catalogue().ask(fields);
    let record = ask.with(|inputs| Recorded::of(&inputs, &plan(&ask.config, &inputs).expect("a plan")));
    let text = serde_json::to_string(&record).expect("a record is plain data");
    assert!(text.len() < 16_384 && !record.is_whole, "{}", text.len());
    assert_eq!(record.replay(&ask.config).map(|_| ()), Err(ReplayError::Cut));
}

#[test]
fn a_record_holds_no_word_of_the_prompt() {
    let canary = "canary-in-the-prompt";
    let fields = json!({"messages": [{"role": "user", "content": canary}],
        "provider": {"options": {"a": {"note": canary}}}});
    let ask = catalogue().ask(fields);
    let record = ask.with(|inputs| Recorded::of(&inputs, &plan(&ask.config, &inputs).expect("a plan")));
    assert!(!serde_json::to_string(&record).expect("plain data").contains(canary));
}
