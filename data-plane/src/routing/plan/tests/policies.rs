//! Stages of policies: which apply, which models they draw, and what their preferences narrow.

use serde_json::json;
use switchyard_proto::v1::{
    MaxPrice, PercentileWish, PolicyConfig, PolicyStage, ProviderPreferences, WeightedModel,
};

use crate::routing::inputs::Inputs;
use crate::routing::names::Address;
use crate::routing::plan::{Plan, Stage, plan};
use crate::routing::stages::SkipReason;
use crate::routing::tests::{World, excluded, fast, order, world};

fn stage(models: &[(&str, u32)], when: &str) -> PolicyStage {
    let model = |(model, weight): &(&str, u32)| WeightedModel { model: (*model).into(), weight: *weight };
    PolicyStage { models: models.iter().map(model).collect(), when: when.into(), ..Default::default() }
}

fn policy(id: &str, condition: &str, stages: Vec<PolicyStage>) -> PolicyConfig {
    PolicyConfig { id: id.into(), r#match: condition.into(), stages, ..Default::default() }
}

fn models() -> World {
    world(&[("a/cheap", "x", "1"), ("a/strong", "x", "9"), ("a/other", "x", "5")])
}

/// The models of each stage's candidates.
fn stages(plan: &Plan) -> Vec<(u16, Vec<&str>)> {
    fn models(stage: &Stage) -> Vec<&str> {
        stage.candidates.iter().map(|one| one.model.id.as_str()).collect()
    }
    plan.stages.iter().map(|stage| (stage.index, models(stage))).collect()
}

#[test]
fn a_named_policy_is_its_stages_in_order() {
    let cheap_then_strong =
        policy("p", "", vec![stage(&[("a/cheap", 0), ("a/other", 0)], ""), stage(&[("a/strong", 0)], "")]);
    let plan = models().policy(cheap_then_strong).ask(json!({"model": "policy/p"})).plan().unwrap();
    assert_eq!(stages(&plan), [(0, vec!["a/cheap", "a/other"]), (1, vec!["a/strong"])]);
    assert_eq!(plan.strategy, Address::Policy);
    assert_eq!(plan.rules(&plan.stages[1]).map(|rules| rules.name.as_str()), Some("2"));
}

#[test]
fn a_stage_whose_condition_does_not_hold_is_skipped_and_says_so() {
    let rows = vec![
        stage(&[("a/cheap", 0)], "request.prompt_tokens > 1000"),
        stage(&[("gone/gone", 0)], ""),
        stage(&[("a/strong", 0)], "request.user == 'ada'"),
    ];
    let world = models().policy(policy("p", "", rows));
    let plan = world.ask(json!({"model": "policy/p", "user": "ada"})).plan().unwrap();
    assert_eq!(stages(&plan), [(2, vec!["a/strong"])]);
    let skipped: Vec<_> = plan.skipped.iter().map(|row| (row.stage, row.reason)).collect();
    assert_eq!(skipped, [(0, SkipReason::Condition), (1, SkipReason::NoModel)]);
    let error = world.ask(json!({"model": "policy/p"})).refusal();
    assert_eq!(error.code.status(), 404);
    assert!(error.public.contains("policy `p` has no stage"), "{}", error.public);
}

#[test]
fn a_stage_may_wish_all_that_a_request_may() {
    let ask = |provider: ProviderPreferences| {
        let row = PolicyStage { provider: Some(provider), ..stage(&[("m", 0), ("n", 0)], "") };
        let world = world(&[("m", "a", "9"), ("m", "b", "1"), ("n", "a", "5")])
            .model("n", |row| row.distillable = Some(true))
            .policy(policy("p", "", vec![row]));
        let ask = world.ask(json!({"model": "policy/p"}));
        ask.read("a", fast(90.0)).read("b", fast(10.0)).order()
    };
    let half = |figure| Some(PercentileWish { p50: Some(figure), ..Default::default() });
    for (provider, expected) in [
        (ProviderPreferences { sort: "price".into(), ..Default::default() }, &["m@b", "m@a", "n@a"][..]),
        (
            ProviderPreferences { sort: "price".into(), partition: "none".into(), ..Default::default() },
            &["m@b", "n@a", "m@a"],
        ),
        (
            ProviderPreferences {
                sort: "price".into(),
                preferred_min_throughput: half(50.0),
                ..Default::default()
            },
            &["m@a", "m@b", "n@a"],
        ),
        (ProviderPreferences { enforce_distillable_text: Some(true), ..Default::default() }, &["n@a"]),
        (ProviderPreferences { sort: "exacto".into(), ..Default::default() }, &["m@b", "m@a", "n@a"]),
    ] {
        let shown = format!("{provider:?}");
        assert_eq!(ask(provider), expected, "{shown}");
    }
}

#[test]
fn a_stages_ceiling_on_sound_is_per_million_tokens_as_a_requests_is() {
    let price = |audio: &str| MaxPrice { audio: audio.into(), ..Default::default() };
    let ask = |audio: &str, fields: serde_json::Value| {
        let provider = ProviderPreferences { max_price: Some(price(audio)), ..Default::default() };
        let row = PolicyStage { provider: Some(provider), ..stage(&[("m", 0)], "") };
        let world = world(&[("m", "a", "1")])
            .at("a", |row| row.price.as_mut().unwrap().audio_input = "3".into())
            .policy(policy("p", "true", vec![row]));
        world.ask(fields).plan().is_ok()
    };
    assert!(ask("3", json!({})) && !ask("2.9", json!({})));
    assert!(!ask("4", json!({"provider": {"max_price": {"audio": 2.9}}})), "the request's own is lower");
}

#[test]
fn an_unknown_policy_is_an_unknown_model() {
    let error = models().ask(json!({"model": "policy/p"})).refusal();
    assert_eq!(
        (error.code.status().as_u16(), error.public.as_str()),
        (400, "There is no policy `policy/p`.")
    );
}

#[test]
fn the_first_policy_that_matches_applies_and_others_do_not() {
    let downgrade = policy("downgrade", "budget.left < 0.2", vec![stage(&[("a/cheap", 0)], "")]);
    let late = PolicyConfig {
        priority: -1,
        ..policy("late", "request.model == 'a/strong'", vec![stage(&[("a/other", 0)], "")])
    };
    let world = models().policy(downgrade).policy(late);
    for (budget_left, model, expected) in [
        (Some(0.1), "a/strong", "a/cheap@x"),
        (Some(0.9), "a/strong", "a/other@x"),
        (None, "a/strong", "a/other@x"),
        (None, "a/cheap", "a/cheap@x"),
    ] {
        let ask = world.ask(json!({"model": model}));
        let found = ask.with(|inputs| plan(&ask.config, &Inputs { budget_left, ..inputs })).unwrap();
        assert_eq!(order(&found), [expected], "{budget_left:?} {model}");
    }
}

/// Which runs, with a user and a seed each, the strong model stands first in.
fn drawn(sticky_by: &str, strong: u32) -> Vec<u64> {
    let config = PolicyConfig {
        sticky_by: sticky_by.into(),
        ..policy("canary", "", vec![stage(&[("a/cheap", 100 - strong), ("a/strong", strong)], "")])
    };
    let world = models().policy(config);
    let mut ask = world.ask(json!({"model": "policy/canary"}));
    let mut runs = Vec::new();
    for run in 0..1_000 {
        ask.request.user = Some(format!("user-{run}"));
        ask.seed = run * 7_919;
        if ask.order()[0] == "a/strong@x" {
            runs.push(run);
        }
    }
    runs
}

#[test]
fn canaries_take_their_share_and_a_growing_share_keeps_whom_it_has() {
    for sticky_by in ["user", "request"] {
        let (few, more) = (drawn(sticky_by, 10), drawn(sticky_by, 30));
        assert!((70..=130).contains(&few.len()), "{sticky_by}: {}", few.len());
        assert!((250..=350).contains(&more.len()), "{sticky_by}: {}", more.len());
        assert!(few.iter().all(|run| more.contains(run)), "{sticky_by}");
    }
}

#[test]
fn a_user_meets_the_same_model_whatever_the_seed() {
    let config = PolicyConfig {
        sticky_by: "user".into(),
        ..policy("canary", "", vec![stage(&[("a/cheap", 50), ("a/strong", 50)], "")])
    };
    let world = models().policy(config);
    let ask = || world.ask(json!({"model": "policy/canary", "user": "ada"}));
    let first = ask().order();
    assert_eq!(first.len(), 2, "the other one is its fallback");
    for seed in 0..20 {
        assert_eq!(ask().seed(seed).order(), first);
    }
}

#[test]
fn a_stage_narrows_what_the_request_allows() {
    let with = |provider: ProviderPreferences| {
        let stage = PolicyStage { provider: Some(provider), ..stage(&[("m", 0)], "") };
        world(&[("m", "a", "1"), ("m", "b", "2"), ("m", "c", "3")]).policy(policy("p", "true", vec![stage]))
    };
    let check = |provider, request, expected: &[&str], gone: &[(&str, &str)]| {
        let plan = with(provider).ask(json!({"provider": request})).plan().unwrap();
        let gone: Vec<_> = gone.iter().map(|(id, rule)| ((*id).to_owned(), *rule)).collect();
        assert_eq!(
            (order(&plan), excluded(&plan)),
            (expected.iter().map(ToString::to_string).collect(), gone)
        );
    };
    check(
        ProviderPreferences { only: vec!["a".into(), "b".into()], ..Default::default() },
        json!({"only": ["b", "c"]}),
        &["m@b"],
        &[("a", "allowed_providers"), ("c", "allowed_providers")],
    );
    check(
        ProviderPreferences { ignore: vec!["a".into()], ..Default::default() },
        json!({"ignore": ["b"]}),
        &["m@c"],
        &[("a", "ignored_providers"), ("b", "ignored_providers")],
    );
    let ceiling = MaxPrice { prompt: "2".into(), ..Default::default() };
    check(
        ProviderPreferences { max_price: Some(ceiling), ..Default::default() },
        json!({"max_price": {"prompt": 9}, "sort": "price"}),
        &["m@a", "m@b"],
        &[("c", "max_price")],
    );
    let sorted = || ProviderPreferences { sort: "price".into(), ..Default::default() };
    check(sorted(), json!({}), &["m@a", "m@b", "m@c"], &[]);
    check(sorted(), json!({"order": ["c", "b", "a"]}), &["m@c", "m@b", "m@a"], &[]);
    check(
        ProviderPreferences { order: vec!["c".into(), "a".into(), "b".into()], ..Default::default() },
        json!({}),
        &["m@c", "m@a", "m@b"],
        &[],
    );
}
