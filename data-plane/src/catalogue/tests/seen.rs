//! Who sees which models and endpoints, in which order, at whose price, and how they are said to do.

use std::collections::HashMap;

use switchyard_proto::id::{EndpointId, ModelId};
use switchyard_proto::v1::{
    DataPolicy, EndpointConfig, KeyConfig, ModelConfig, PriceRule, ProviderConfig, Resource, TenantConfig,
};

use super::*;
use crate::config::fixtures::{SECRET, credential, tenant};
use crate::identity;
use crate::routing::health::fleet::{FleetEndpoint, Uptime, View};
use crate::routing::health::{Band, Quantiles, State};

/// Three models at two providers of the operator's and one of the tenant's.
fn bodies() -> Vec<Body> {
    let at = |seconds| Some(prost_types::Timestamp { seconds, nanos: 0 });
    let dear = EndpointConfig { context_length: 200_000, ..endpoint("a/new", "dear", "8") };
    let cheap = EndpointConfig {
        supported_parameters: vec!["tools".into(), "seed".into()],
        ..endpoint("a/new", "cheap", "2")
    };
    let fast = EndpointConfig {
        id: "cheap-fast".into(),
        service_tier: "priority".into(),
        ..endpoint("a/new", "cheap", "1")
    };
    let retains = DataPolicy { retains_prompts: Some(true), trains: Some(false), zdr: None };
    vec![
        Body::Provider(ProviderConfig { region: "eu-west-1".into(), ..provider("dear") }),
        Body::Provider(ProviderConfig { data_policy: Some(retains), ..provider("cheap") }),
        Body::Provider(ProviderConfig { tenant: "acme".into(), ..provider("own") }),
        Body::Model(ModelConfig { created: at(2_000_000), name: "The New".into(), ..model("a/new") }),
        Body::Model(ModelConfig { created: at(1_000_000), aliases: vec!["oldie".into()], ..model("b/old") }),
        Body::Model(ModelConfig { output_modalities: vec!["embeddings".into()], ..model("b/vectors") }),
        Body::Endpoint(dear),
        Body::Endpoint(cheap),
        Body::Endpoint(fast),
        Body::Endpoint(endpoint("b/old", "own", "5")),
        Body::Endpoint(endpoint("b/vectors", "cheap", "1")),
    ]
}

fn config(change: impl FnOnce(&mut TenantConfig, &mut KeyConfig)) -> Snapshot {
    let [mut owner, mut key] = tenant();
    if let (Some(Body::Tenant(owner)), Some(Body::Key(key))) = (&mut owner.body, &mut key.body) {
        change(owner, key);
    }
    let resources: Vec<Resource> = bodies().into_iter().map(resource).chain([owner, key]).collect();
    let compiled = full(resources);
    assert!(compiled.refused.is_empty(), "{:?}", compiled.refused);
    compiled.snapshot
}

fn caller(config: &Snapshot) -> Caller {
    let head = [("x-api-key".parse().unwrap(), SECRET.parse().unwrap())].into_iter().collect();
    identity::identify(config, &head, DateTime::UNIX_EPOCH).unwrap()
}

fn viewer<'a>(config: &'a Snapshot, caller: Option<&'a Caller>) -> Viewer<'a> {
    Viewer {
        config,
        caller,
        now: DateTime::from_timestamp(10_000_000, 0).unwrap(),
        doing: &|_| Doing::default(),
    }
}

fn ids(list: &Value) -> Vec<String> {
    let ids = list["data"].as_array().unwrap().iter();
    ids.map(|model| model["id"].as_str().unwrap().to_owned()).collect()
}

fn asked(viewer: &Viewer<'_>, query: &str) -> Vec<String> {
    ids(&list(viewer, &Query::parse(query).unwrap(), "/models"))
}

/// What acme sees after a change of its rules: models, and the tags of `a/new`'s endpoints.
fn seen_by_acme(change: impl FnOnce(&mut TenantConfig, &mut KeyConfig)) -> (Vec<String>, Vec<String>) {
    let config = config(change);
    let caller = caller(&config);
    let viewer = viewer(&config, Some(&caller));
    let tags = viewer
        .model("a/new")
        .map(|seen| seen.endpoints.iter().map(|endpoint| endpoint::tag(&seen, endpoint)).collect());
    (asked(&viewer, "output_modalities=all"), tags.unwrap_or_default())
}

#[test]
fn the_public_sees_the_operators_models_and_a_tenant_its_own_too() {
    let config = config(|_, _| {});
    let caller = caller(&config);
    assert_eq!(asked(&viewer(&config, None), "output_modalities=all"), ["a/new", "b/vectors"]);
    assert_eq!(
        asked(&viewer(&config, Some(&caller)), "output_modalities=all"),
        ["a/new", "b/old", "b/vectors"]
    );
    assert!(viewer(&config, None).model("b/old").is_none());
}

/// What is changed of tenant and key, and the models and endpoints that are shown then.
type Case<'a> = (&'a str, fn(&mut TenantConfig, &mut KeyConfig), &'a [&'a str], &'a [&'a str]);

#[test]
fn what_an_account_may_not_use_is_not_shown() {
    let all = ["cheap", "cheap/priority", "dear/eu-west-1"];
    let models = ["a/new", "b/old", "b/vectors"];
    let texts = |list: &[&str]| list.iter().map(ToString::to_string).collect::<Vec<_>>();
    assert_eq!(seen_by_acme(|_, _| {}), (texts(&models), texts(&all)));
    let cases: [Case<'_>; 8] = [
        ("models", |tenant, _| tenant.allowed_models = vec!["b/*".into()], &models[1..], &[]),
        ("the key's models", |_, key| key.allowed_models = vec!["a/new".into()], &models[..1], &all),
        ("only", |tenant, _| tenant.allowed_providers = vec!["dear".into()], &models[..1], &all[2..]),
        ("ignore", |tenant, _| tenant.ignored_providers = vec!["dear".into()], &models, &all[..2]),
        (
            "one of a provider",
            |tenant, _| tenant.ignored_providers = vec!["cheap/priority".into()],
            &models,
            &[all[0], all[2]],
        ),
        ("zdr", |tenant, _| tenant.zdr = true, &models[..2], &all[2..]),
        ("collection", |tenant, _| tenant.data_collection = "deny".into(), &models[..2], &all[2..]),
        ("regions", |tenant, _| tenant.allowed_regions = vec!["eu".into()], &models[..1], &all[2..]),
    ];
    for (rule, change, models, tags) in cases {
        assert_eq!(seen_by_acme(change), (texts(models), texts(tags)), "{rule}");
    }
}

#[test]
fn a_contract_of_ones_own_shows_what_the_providers_policy_would_hide() {
    let [mut owner, key] = tenant();
    if let Some(Body::Tenant(owner)) = &mut owner.body {
        owner.zdr = true;
    }
    let own = |zdr| {
        let credential =
            switchyard_proto::v1::TenantCredentialConfig { declared_zdr: zdr, ..credential("c", "cheap") };
        let all = bodies().into_iter().map(resource).chain([owner.clone(), key.clone()]);
        let config = full(all.chain([resource(Body::Credential(credential))])).snapshot;
        let caller = caller(&config);
        viewer(&config, Some(&caller)).model("b/vectors").is_some()
    };
    assert_eq!([own(None), own(Some(false)), own(Some(true))], [false, false, true]);
}

#[test]
fn names_lead_to_models_with_suffixes_and_without() {
    let config = config(|_, _| {});
    let caller = caller(&config);
    let viewer = viewer(&config, Some(&caller));
    for (name, expected) in [
        ("a/new", Some("a/new")),
        ("new", Some("a/new")),
        ("a/new:nitro", Some("a/new")),
        ("oldie", Some("b/old")),
        ("oldie:free:online", Some("b/old")),
        ("a/newer", None),
        (":free", None),
    ] {
        let found = viewer.model(name);
        assert_eq!(found.as_ref().map(|seen| seen.model.id.as_str()), expected, "{name}");
    }
}

#[test]
fn filters_and_orders_do_what_they_say() {
    let config = config(|_, _| {});
    let caller = caller(&config);
    let viewer = viewer(&config, Some(&caller));
    for (query, expected) in [
        ("", &["a/new", "b/old"][..]),
        ("output_modalities=embeddings", &["b/vectors"]),
        ("output_modalities=image,text", &["a/new", "b/old"]),
        ("input_modalities=text,image", &[]),
        ("q=THE%20new", &["a/new"]),
        ("q=oldie", &["b/old"]),
        ("supported_parameters=tools,seed", &["a/new"]),
        ("supported_parameters=tools,stop", &[]),
        ("context=200000", &["a/new"]),
        ("max_price=2", &["a/new"]),
        ("min_price=2.1", &["b/old"]),
        ("max_output_price=1", &[]),
        ("max_age_days=93", &["a/new"]),
        ("min_age_days=100", &["b/old"]),
        ("model_authors=B", &["b/old"]),
        ("providers=own,nobody", &["b/old"]),
        ("zdr=true", &["a/new", "b/old"]),
        ("region=eu", &["a/new"]),
        ("region=e", &[]),
        ("distillable=true", &[]),
        ("arch=GPT", &[]),
        ("min_tool_success_rate=0.1", &[]),
        ("sort=pricing-high-to-low", &["b/old", "a/new"]),
        ("sort=pricing-low-to-high", &["a/new", "b/old"]),
        ("sort=context-high-to-low", &["a/new", "b/old"]),
        ("sort=intelligence-high-to-low", &["a/new", "b/old"]),
        ("limit=1", &["a/new"]),
        ("offset=1", &["b/old"]),
        ("offset=9&limit=3", &[]),
    ] {
        assert_eq!(asked(&viewer, query), expected, "{query}");
    }
}

#[test]
fn pages_say_how_many_there_are_and_where_the_next_is() {
    let config = config(|_, _| {});
    let caller = caller(&config);
    let viewer = viewer(&config, Some(&caller));
    let page = |query: &str| {
        let page = list(&viewer, &Query::parse(query).unwrap(), "/models/user");
        (page["total_count"].clone(), page["links"]["next"].clone(), page["has_more"].clone())
    };
    assert_eq!(page("limit=1"), (json!(2), json!("/api/v1/models/user?offset=1&limit=1"), json!(true)));
    assert_eq!(page("limit=1&offset=1"), (json!(2), json!(null), json!(false)));
    assert_eq!(page(""), (json!(2), json!(null), json!(false)));
    assert_eq!(count(&viewer, &Query::default()), json!({"data": {"count": 2}}));
    assert_eq!(ids(&embeddings(&viewer, &Query::default())), ["b/vectors"]);
}

#[test]
fn a_model_is_shown_at_its_cheapest_endpoint_of_the_default_tier() {
    let config = config(|_, _| {});
    let shown = one(&viewer(&config, None), &viewer(&config, None).model("a/new").unwrap());
    assert_eq!(shown["data"]["pricing"]["prompt"], "0.000002");
    assert_eq!(
        (&shown["context_length"], &shown["top_provider"]["context_length"]),
        (&json!(200_000), &json!(10_000))
    );
    assert_eq!(shown["supported_parameters"], json!(["seed", "tools"]));
}

#[test]
fn a_tenant_sees_what_it_pays() {
    let pays = |change: fn(&mut TenantConfig)| {
        let config = config(|tenant, _| change(tenant));
        let caller = caller(&config);
        let viewer = viewer(&config, Some(&caller));
        ["a/new", "b/old"]
            .map(|model| one(&viewer, &viewer.model(model).unwrap())["pricing"]["prompt"].clone())
    };
    assert_eq!(pays(|_| {}), ["0.000002", "0.000005"]);
    assert_eq!(
        pays(|tenant| tenant.markup_ppm = 100_000),
        ["0.0000022", "0.000005"],
        "its own provider is its own"
    );
    assert_eq!(pays(|tenant| tenant.markup_ppm = 333_333), ["0.000002666666", "0.000005"]);
    let own = |tenant: &mut TenantConfig| {
        let price = Some(PriceParts { input: "7".into(), output: "9".into(), ..PriceParts::default() });
        tenant.markup_ppm = 500_000;
        tenant.price_book = vec![PriceRule { model: "a/*".into(), price, ..PriceRule::default() }];
    };
    assert_eq!(pays(own), ["0.000007", "0.000005"]);
}

#[test]
fn providers_are_those_that_serve_something() {
    let config = config(|tenant, _| tenant.allowed_providers = vec!["dear".into(), "own".into()]);
    let caller = caller(&config);
    let slugs = |viewer: &Viewer<'_>| {
        let list = providers(viewer);
        let rows = list["data"].as_array().unwrap().iter();
        rows.map(|row| row["slug"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(slugs(&viewer(&config, None)), ["cheap", "dear"]);
    assert_eq!(slugs(&viewer(&config, Some(&caller))), ["dear", "own"]);
    let kept = zdr(&viewer(&config, None));
    assert_eq!(kept["data"].as_array().unwrap().len(), 1);
    assert_eq!(
        (&kept["data"][0]["model_id"], &kept["data"][0]["tag"]),
        (&json!("a/new"), &json!("dear/eu-west-1"))
    );
}

/// One endpoint with this health, as the public and as a tenant see it.
fn printed(doing: Doing) -> [Value; 2] {
    let config = config(|_, _| {});
    let caller = caller(&config);
    let doing = move |_: &Endpoint| doing.clone();
    [None, Some(&caller)].map(|caller| {
        let viewer = Viewer { doing: &doing, ..viewer(&config, caller) };
        endpoints(&viewer, &viewer.model("a/new").unwrap())["data"]["endpoints"][0].clone()
    })
}

#[test]
fn an_endpoint_says_how_the_fleet_saw_it_and_how_fast_only_to_callers() {
    let quantiles = |p50, samples| Quantiles { samples, p50, p75: p50 * 2.0, p90: p50 * 3.0, p99: p50 * 4.0 };
    let uptime = |permille, requests| Uptime { permille, requests };
    let health = FleetEndpoint {
        model: ModelId::new("a/new"),
        endpoint: EndpointId::new("cheap"),
        uptime_5m: uptime(0, 0),
        uptime_30m: uptime(995, 400),
        uptime_1d: uptime(1000, 9000),
        latency_ms: quantiles(120.04, 400),
        throughput: quantiles(0.0, 0),
        tools: uptime(0, 0),
        is_out: false,
        open_instances: 0,
    };
    let reading = Reading {
        uptime_permille: 900,
        requests: 20,
        latency_ms: quantiles(80.0, 20),
        throughput: quantiles(55.5, 20),
        ..Reading::default()
    };
    let view = View { until: 1, health };
    let [public, known] = printed(Doing { reading, fleet: Some(Arc::new(view)) });
    for printed in [&public, &known] {
        let uptimes =
            ["uptime_last_5m", "uptime_last_30m", "uptime_last_1d"].map(|name| printed[name].clone());
        assert_eq!(uptimes, [json!(90.0), json!(99.5), json!(100.0)]);
    }
    assert_eq!(known["latency_last_30m"], json!({"p50": 120.0, "p75": 240.1, "p90": 360.1, "p99": 480.2}));
    assert_eq!(known["throughput_last_30m"]["p50"], 55.5);
    assert_eq!((&public["latency_last_30m"], &public["throughput_last_30m"]), (&json!(null), &json!(null)));
    let [_, unknown] = printed(Doing::default());
    for name in
        ["uptime_last_5m", "uptime_last_30m", "uptime_last_1d", "latency_last_30m", "throughput_last_30m"]
    {
        assert_eq!(unknown[name], json!(null), "{name}");
    }
}

#[test]
fn a_status_is_worse_the_less_an_endpoint_is_used() {
    let until_ms = 9;
    for (reading, expected) in [
        (Reading::default(), 0),
        (Reading { uptime: Band::Normal, ..Reading::default() }, 0),
        (Reading { recent_outage: true, ..Reading::default() }, -1),
        (Reading { state: State::Limited { until_ms }, ..Reading::default() }, -1),
        (Reading { uptime: Band::Degraded, recent_outage: true, ..Reading::default() }, -2),
        (Reading { uptime: Band::Bad, ..Reading::default() }, -3),
        (Reading { state: State::Open { until_ms }, uptime: Band::Bad, ..Reading::default() }, -5),
    ] {
        let [printed, _] = printed(Doing { reading, fleet: None });
        assert_eq!(printed["status"], expected, "{reading:?}");
    }
}

#[test]
fn models_are_ordered_by_how_they_do_and_those_of_whom_nothing_is_known_come_last() {
    let config = config(|_, _| {});
    let caller = caller(&config);
    let known: HashMap<&str, (f32, f32, u32)> = [("b/old", (100.0, 20.0, 50))].into();
    let doing = |endpoint: &Endpoint| {
        let (latency, throughput, requests) = known.get(endpoint.model.as_str()).copied().unwrap_or_default();
        let of = |p50| Quantiles { samples: requests, p50, ..Quantiles::default() };
        let reading = Reading {
            requests,
            latency_ms: of(latency),
            throughput: of(throughput),
            tool_requests: requests,
            tool_success_permille: 900,
            ..Reading::default()
        };
        Doing { reading, fleet: None }
    };
    let viewer = Viewer { doing: &doing, ..viewer(&config, Some(&caller)) };
    for sort in ["throughput-high-to-low", "latency-low-to-high", "top-weekly", "most-popular"] {
        assert_eq!(asked(&viewer, &format!("sort={sort}")), ["b/old", "a/new"], "{sort}");
    }
    assert_eq!(asked(&viewer, "min_tool_success_rate=0.9"), ["b/old"]);
    assert_eq!(asked(&viewer, "min_tool_success_rate=0.91"), [""; 0]);
}

#[test]
fn what_an_endpoint_can_do_is_said_of_it() {
    let config = config(|_, _| {});
    let viewer = viewer(&config, None);
    let seen = viewer.model("a/new").unwrap();
    let printed = endpoints(&viewer, &seen);
    let named = |id: &str| {
        let at = seen.endpoints.iter().position(|endpoint| endpoint.id.as_str() == id).unwrap();
        printed["data"]["endpoints"][at].clone()
    };
    let cheap = named("cheap");
    assert_eq!(
        cheap["supports_tool_choice"],
        json!({"auto": true, "none": true, "required": false, "function": false})
    );
    assert_eq!(
        named("dear")["supports_tool_choice"]["function"],
        true,
        "where nobody said, everything is tried"
    );
    assert_eq!((&cheap["quantization"], &cheap["max_completion_tokens"]), (&json!("unknown"), &json!(1000)));
    assert_eq!(cheap["name"], "cheap | a/new");
}
