//! OpenRouter's documented behaviour, one test per vector, by its number.

use serde_json::json;
use switchyard_proto::v1::{DataPolicy, PolicyConfig, PolicyStage, ProviderPreferences, WeightedModel};

use crate::config::snapshot::Endpoint;
use crate::routing::health::Reading;
use crate::routing::sticky::Stickiness;
use crate::routing::tests::{World, excluded, fast, out, speed, tools, world};

/// How often each of these stands first over many seeds.
fn first(world: &World, fields: &serde_json::Value, out_at: &str, runs: u64) -> Vec<(String, u64)> {
    let mut counts = std::collections::BTreeMap::<String, u64>::new();
    let mut ask = world.ask(fields.clone()).read(out_at, out());
    for seed in 0..runs {
        ask.seed = seed * 7_919;
        let order = ask.order();
        assert_eq!(order.last().map(String::as_str), Some("m@b"), "the one that is out is last");
        *counts.entry(order[0].clone()).or_default() += 1;
    }
    counts.into_iter().collect()
}

#[test]
fn r01_weights_and_outage_last() {
    let world = world(&[("m", "a", "1"), ("m", "b", "2"), ("m", "c", "3")]);
    let counts = first(&world, &json!({}), "b", 2_000);
    let [(a, often), (c, seldom)] = counts.as_slice() else { panic!("{counts:?}") };
    assert_eq!((a.as_str(), c.as_str()), ("m@a", "m@c"));
    // 1 : 1/9 of 2000.
    assert!((1_720..=1_880).contains(often) && *seldom == 2_000 - often, "{counts:?}");
}

#[test]
fn r02_order_names_who_does_not_serve() {
    let world = world(&[("m", "together", "9"), ("m", "azure", "1"), ("n", "openai", "1")]);
    let order = json!({"provider": {"order": ["openai", "together"]}});
    assert_eq!(world.ask(order).order(), ["m@together", "m@azure"]);
    let alone = json!({"provider": {"order": ["openai", "together"], "allow_fallbacks": false}});
    let plan = world.ask(alone).plan().unwrap();
    assert_eq!(crate::routing::tests::order(&plan), ["m@together"]);
    assert_eq!(excluded(&plan), [("azure".to_owned(), "allow_fallbacks")]);
}

const CLOUDS: [(&str, &str, &str); 3] =
    [("m", "amazon-bedrock", "1"), ("m", "anthropic", "1"), ("m", "google-vertex", "1")];

#[test]
fn r03_own_credential_goes_before_the_order() {
    let world = world(&[CLOUDS[0], CLOUDS[2]]).own("k", "google-vertex", |_| {});
    let order = json!({"provider": {"order": ["amazon-bedrock", "google-vertex"]}});
    assert_eq!(world.ask(order).order(), ["m@google-vertex+k", "m@amazon-bedrock", "m@google-vertex"]);
}

#[test]
fn r04_own_credentials_in_the_order_then_shared_in_the_order() {
    let world = world(&CLOUDS).own("a", "anthropic", |_| {}).own("b", "amazon-bedrock", |_| {}).own(
        "v",
        "google-vertex",
        |_| {},
    );
    let order = json!({"provider": {"order": ["amazon-bedrock", "google-vertex", "anthropic"]}});
    assert_eq!(
        world.ask(order).order(),
        [
            "m@amazon-bedrock+b",
            "m@google-vertex+v",
            "m@anthropic+a",
            "m@amazon-bedrock",
            "m@google-vertex",
            "m@anthropic",
        ]
    );
}

#[test]
fn r05_prioritised_then_shared_then_fallback() {
    let base = |required: bool| {
        world(&[("m", "openai", "1")])
            .own("k3", "openai", |row| row.fallback = true)
            .own("k2", "openai", |row| row.order = 2)
            .own("k1", "openai", move |row| (row.order, row.required) = (1, required))
    };
    assert_eq!(base(false).ask(json!({})).order(), ["m@openai+k1", "m@openai+k2", "m@openai", "m@openai+k3"]);
    let plan = base(true).ask(json!({})).plan().unwrap();
    assert_eq!(crate::routing::tests::order(&plan), ["m@openai+k1", "m@openai+k2", "m@openai+k3"]);
    assert_eq!(excluded(&plan), [("openai".to_owned(), "byok_required")]);
}

/// Two models of two providers, with speeds that cross.
fn crossing(sort: serde_json::Value) -> Vec<String> {
    let world = world(&[("m", "a", "1"), ("m", "b", "1"), ("n", "c", "1"), ("n", "d", "1")]);
    let ask = world.ask(json!({"models": ["n"], "provider": {"sort": sort}}));
    ask.read("a", fast(10.0)).read("b", fast(30.0)).read("c", fast(20.0)).read("d", fast(40.0)).order()
}

#[test]
fn r06_fallback_models_stay_behind_when_sorting() {
    assert_eq!(crossing(json!("throughput")), ["m@b", "m@a", "n@d", "n@c"]);
}

#[test]
fn r07_partition_none_is_one_list() {
    assert_eq!(crossing(json!({"by": "throughput", "partition": "none"})), ["n@d", "m@b", "n@c", "m@a"]);
}

#[test]
fn r08_preferred_throughput_moves_back_and_never_drops() {
    let world = world(&[("m", "slow", "1"), ("m", "quick", "2"), ("m", "quicker", "3"), ("m", "new", "1")]);
    let wish = json!({"provider": {"sort": "price", "preferred_min_throughput": {"p90": 50}}});
    // The p90 of these is four fifths of their p50.
    let ask = world.ask(wish).read("slow", fast(60.0)).read("quick", fast(63.0)).read("quicker", fast(90.0));
    assert_eq!(ask.order(), ["m@quick", "m@quicker", "m@new", "m@slow"]);
}

#[test]
fn r09_all_dearer_than_max_price() {
    let world = world(&[("m", "a", "3"), ("m", "b", "4")]);
    let error = world.ask(json!({"provider": {"max_price": {"prompt": 1, "completion": 2}}})).refusal();
    let availability = &error.metadata["availability"];
    assert_eq!(error.code.status(), 404);
    assert_eq!(availability["code"], "constraint_filtered");
    assert_eq!(availability["excluded_by"], json!(["max_price"]));
    assert_eq!(availability["affected_providers"], json!(["a", "b"]));
    assert_eq!(availability["constraint"]["field"], "provider.max_price");
    assert!(
        error.public.contains("a: costs $3 per prompt, more than max_price.prompt = $1"),
        "{}",
        error.public
    );
}

#[test]
fn r10_only_against_the_account_names_both_sides() {
    let only = ProviderPreferences { only: vec!["openai".into()], ..Default::default() };
    let stage = PolicyStage {
        models: vec![WeightedModel { model: "m".into(), weight: 0 }],
        provider: Some(only),
        ..Default::default()
    };
    let account = PolicyConfig {
        id: "account".into(),
        r#match: "true".into(),
        stages: vec![stage],
        ..Default::default()
    };
    let world = world(&[("m", "openai", "1"), ("m", "azure", "1")]).policy(account);
    let error = world.ask(json!({"provider": {"only": ["azure"]}})).refusal();
    assert_eq!(error.code.status(), 404);
    for part in ["azure: is not in provider.only", "openai: is not in provider.only", "`azure`", "`openai`"] {
        assert!(error.public.contains(part), "{part}: {}", error.public);
    }
    assert_eq!(error.metadata["availability"]["excluded_by"], json!(["allowed_providers"]));
}

#[test]
fn r10_only_against_the_accounts_own_list_names_both_sides() {
    let world = world(&[("m", "openai", "1"), ("m", "azure", "1")])
        .tenant(|row| row.allowed_providers = vec!["openai".into()]);
    let error = world.ask(json!({"provider": {"only": ["azure"]}})).refusal();
    assert_eq!(error.code.status(), 404);
    for part in [
        "azure: is not among the providers that the account allows",
        "openai: is not in provider.only",
        "provider.only allows `azure`.",
        "The account allows `openai`.",
    ] {
        assert!(error.public.contains(part), "{part}: {}", error.public);
    }
    assert_eq!(error.metadata["availability"]["excluded_by"], json!(["allowed_providers"]));
}

#[test]
fn r11_zdr_holds_for_own_credentials_unless_declared() {
    let retaining = |declared| {
        world(&[("m", "openai", "1")])
            .provider("openai", |row| {
                row.data_policy = Some(DataPolicy { retains_prompts: Some(true), ..Default::default() });
            })
            .own("k", "openai", move |row| row.declared_zdr = declared)
            .ask(json!({"provider": {"zdr": true}}))
    };
    let plan = retaining(Some(true)).plan().unwrap();
    assert_eq!(crate::routing::tests::order(&plan), ["m@openai+k"]);
    assert_eq!(excluded(&plan), [("openai".to_owned(), "data_policy:zdr")]);
    for declared in [None, Some(false)] {
        let error = retaining(declared).refusal();
        assert_eq!(error.code.status(), 404);
        assert_eq!(error.metadata["availability"]["code"], "privacy_restricted");
    }
}

/// A reading with enough tool calls to be judged.
fn calls(tokens_per_second: f32, success_permille: u16) -> Reading {
    Reading {
        requests: 500,
        throughput: speed(tokens_per_second),
        tool_requests: 300,
        tool_success_permille: success_permille,
        ..Reading::default()
    }
}

#[test]
fn r12_tools_order_by_quality_before_price() {
    let rows = [
        ("m", "bad", "1"),
        ("m", "slow", "1"),
        ("m", "new", "1"),
        ("m", "x", "50"),
        ("m", "y", "50"),
        ("m", "z", "50"),
    ];
    let order = |fields: serde_json::Value| {
        let ask = world(&rows).ask(fields).read("bad", calls(50.0, 700)).read("slow", calls(5.0, 990));
        ask.read("x", calls(50.0, 990)).read("y", calls(51.0, 985)).read("z", calls(49.0, 995)).order()
    };
    let mut with_tools = order(json!({"tools": tools()}));
    assert_eq!(with_tools[3], "m@new", "{with_tools:?}");
    with_tools[..3].sort();
    with_tools[4..].sort();
    assert_eq!(with_tools, ["m@x", "m@y", "m@z", "m@new", "m@bad", "m@slow"]);
    for by_price in [
        json!({"tools": tools(), "provider": {"sort": "price"}}),
        json!({"tools": tools(), "model": "m:floor"}),
    ] {
        let mut cheapest = order(by_price)[..3].to_vec();
        cheapest.sort();
        assert_eq!(cheapest, ["m@bad", "m@new", "m@slow"]);
    }
    assert_eq!(order(json!({"model": "m:exacto"}))[3], "m@new");
}

#[test]
fn r13_flex_alone_where_there_is_flex() {
    let with = world(&[("m", "openai", "2"), ("m", "openai/flex", "1"), ("m", "azure", "2")]);
    let plan = with.ask(json!({"service_tier": "flex"})).plan().unwrap();
    assert_eq!(crate::routing::tests::order(&plan), ["m@openai/flex"]);
    let gone = ["azure", "openai"].map(|id| (id.to_owned(), "service_tier"));
    assert_eq!(excluded(&plan), gone);
    let without = world(&[("m", "openai", "2")]);
    assert_eq!(without.ask(json!({"service_tier": "flex"})).order(), ["m@openai"]);
}

#[test]
fn r14_priority_first_by_throughput_then_default() {
    let world = world(&[
        ("m", "openai", "1"),
        ("m", "openai/priority", "4"),
        ("m", "azure/priority2", "2"),
        ("m", "other/flex", "1"),
    ])
    .at("azure", |row| row.service_tier = "priority".into());
    let ask = world.ask(json!({"service_tier": "priority"}));
    let ask = ask.read("priority", fast(90.0)).read("priority2", fast(50.0));
    assert_eq!(ask.order(), ["m@openai/priority", "m@azure/priority2", "m@openai"]);
}

#[test]
fn r15_a_tier_is_reached_by_its_full_slug_alone() {
    let world = world(&[("m", "openai", "1"), ("m", "openai/priority", "4")]);
    let order = |fields| world.ask(fields).order();
    assert_eq!(order(json!({})), ["m@openai"]);
    assert_eq!(order(json!({"provider": {"only": ["openai"]}})), ["m@openai"]);
    assert_eq!(order(json!({"provider": {"only": ["openai/priority"]}})), ["m@openai/priority"]);
    assert_eq!(order(json!({"model": "m:nitro", "provider": {"order": ["openai"]}})), ["m@openai"]);
    let mut nitro = order(json!({"model": "m:nitro"}));
    nitro.sort();
    assert_eq!(nitro, ["m@openai", "m@openai/priority"]);
}

/// Two endpoints, `b` dearer by far, with prompt caches.
fn cached() -> World {
    let cheaper = |row: &mut switchyard_proto::v1::EndpointConfig| {
        row.price.as_mut().unwrap().cached_input = "0.1".into();
    };
    world(&[("m", "a", "1"), ("m", "b", "900")]).at("a", cheaper).at("b", cheaper)
}

fn endpoint_b(world: &World) -> std::sync::Arc<Endpoint> {
    world.snapshot().model("m").unwrap().endpoints[1].clone()
}

#[test]
fn r16_a_cache_hit_keeps_the_conversation() {
    let world = cached();
    let (stickiness, b) = (Stickiness::default(), endpoint_b(&world));
    let ask = world.ask(json!({"messages": [
        {"role": "system", "content": "Be brief."}, {"role": "user", "content": "hi"}]}));
    let tenant = &ask.caller.tenant.id;
    let turn = stickiness.conversation(tenant, &ask.request, None).unwrap();
    stickiness.tell(turn, &b, 0, 0);
    assert_eq!(stickiness.hint(turn, 1), None, "no hit was seen");
    stickiness.tell(turn, &b, 1_000, 0);
    let second = world.ask(json!({"messages": [
        {"role": "system", "content": "Be brief."}, {"role": "user", "content": "hi"},
        {"role": "assistant", "content": "Hello."}, {"role": "user", "content": "And now?"}]}));
    let next = stickiness.conversation(tenant, &second.request, None).unwrap();
    assert_eq!(stickiness.hint(next, 600_000), None, "ten minutes are over");
    let hint = stickiness.hint(next, 599_999).unwrap();
    assert_eq!((hint.model.as_str(), hint.endpoint.as_str()), ("m", "b"));

    assert_eq!(world.ask(json!({})).cached_at("m", "b").order(), ["m@b", "m@a"]);
    let ordered = world.ask(json!({"provider": {"order": ["a"]}})).cached_at("m", "b");
    assert_eq!(ordered.order(), ["m@a", "m@b"]);
    let as_dear = cached().at("b", |row| row.price.as_mut().unwrap().cached_input = "900".into());
    assert_eq!(as_dear.ask(json!({})).cached_at("m", "b").order(), ["m@a", "m@b"]);
    let dear = endpoint_b(&as_dear);
    let other = Stickiness::default();
    let turn = other.conversation(tenant, &ask.request, None).unwrap();
    other.tell(turn, &dear, 1_000, 0);
    assert_eq!(other.hint(turn, 1), None, "its cache is not cheaper");
}

#[test]
fn r17_a_session_sticks_from_the_first_success() {
    let world = cached();
    let (stickiness, b) = (Stickiness::default(), endpoint_b(&world));
    let ask = world.ask(json!({}));
    let tenant = &ask.caller.tenant.id;
    let turn = stickiness.conversation(tenant, &ask.request, Some("s")).unwrap();
    stickiness.tell(turn, &b, 0, 0);
    assert_eq!(stickiness.hint(turn, 1).unwrap().endpoint.as_str(), "b");
    let other = stickiness.conversation(tenant, &ask.request, Some("t")).unwrap();
    assert_eq!(stickiness.hint(other, 1), None);
}

#[test]
fn r18_a_failing_cache_is_passed_over_and_not_refreshed() {
    let world = cached();
    let ask = world.ask(json!({})).cached_at("m", "b").read("b", out());
    assert_eq!(ask.order(), ["m@a", "m@b"]);
    // A failure is not told, so it neither moves the conversation nor keeps it longer.
    let (stickiness, b) = (Stickiness::default(), endpoint_b(&world));
    let turn = stickiness.conversation(&ask.caller.tenant.id, &ask.request, Some("s")).unwrap();
    stickiness.tell(turn, &b, 0, 0);
    assert!(stickiness.hint(turn, 599_999).is_some());
    assert_eq!(stickiness.hint(turn, 600_000), None);
}
