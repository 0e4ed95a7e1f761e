//! What a plan costs. Read the rows beside the calibration row: machines differ.
//!
//! Rows name the endpoints of the model asked for, and what of them is excluded.

use std::hint::black_box;

use bytes::Bytes;
use criterion::{Criterion, criterion_group, criterion_main};
use serde_json::{Value, json};
use switchyard_data_plane::api::openai_chat;
use switchyard_data_plane::config::compile::compile;
use switchyard_data_plane::config::snapshot::{Endpoint, Revision, Snapshot};
use switchyard_data_plane::identity::Caller;
use switchyard_data_plane::model::request::ChatRequest;
use switchyard_data_plane::routing::health::{Quantiles, Reading};
use switchyard_data_plane::routing::inputs::Inputs;
use switchyard_data_plane::routing::plan::plan;
use switchyard_data_plane::routing::record::Recorded;
use switchyard_proto::v1::resource::Body;
use switchyard_proto::v1::{
    EndpointConfig, KeyConfig, ModelConfig, PolicyConfig, PolicyStage, Price, ProviderConfig, Resource,
    TenantConfig, WeightedModel,
};

/// A model at so many providers, every other one with a row that says what it supports, and other models beside it.
fn snapshot(endpoints: usize) -> Snapshot {
    let mut rows = Vec::new();
    for number in 0..endpoints {
        rows.push(Body::Provider(ProviderConfig {
            id: format!("provider-{number}"),
            adapter: "openai".into(),
            base_url: format!("http://provider-{number}.test/v1"),
            ..Default::default()
        }));
    }
    for model in ["author/model", "author/other", "author/third"] {
        rows.push(Body::Model(ModelConfig { id: model.into(), ..Default::default() }));
        rows.extend((0..endpoints).map(|number| Body::Endpoint(endpoint(model, number))));
    }
    rows.push(Body::Tenant(TenantConfig { id: "acme".into(), ..Default::default() }));
    let key =
        KeyConfig { id: "key".into(), tenant: "acme".into(), sha256: vec![7; 32], ..Default::default() };
    rows.push(Body::Key(key));
    let model = WeightedModel { model: "author/model".into(), weight: 0 };
    let stage = PolicyStage {
        models: vec![model],
        when: "request.prompt_tokens < 1000".into(),
        ..Default::default()
    };
    rows.push(Body::Policy(PolicyConfig { id: "p".into(), stages: vec![stage], ..Default::default() }));
    let rows = rows.into_iter().map(|body| Resource { revision: 1, body: Some(body) }).collect();
    let compiled = compile(&Snapshot::default(), true, rows, Revision { incarnation: "i".into(), number: 1 });
    assert_eq!(compiled.refused, []);
    compiled.snapshot
}

fn endpoint(model: &str, number: usize) -> EndpointConfig {
    let dollars = format!("{}.{number}", 1 + number % 7);
    let supported = ["tools", "tool_choice", "temperature", "max_tokens", "response_format"];
    EndpointConfig {
        model: model.into(),
        id: format!("provider-{number}"),
        provider: format!("provider-{number}"),
        upstream_id: "upstream".into(),
        context_length: 100_000,
        price: Some(Price { input: dollars.clone(), output: dollars, ..Default::default() }),
        supported_parameters: match number % 2 {
            0 => supported.map(Into::into).to_vec(),
            _ => Vec::new(),
        },
        ..Default::default()
    }
}

fn caller(config: &Snapshot) -> Caller {
    let key = config.keys.values().next().expect("a key").clone();
    Caller { tenant: config.tenants.get("acme").expect("a tenant").clone(), key }
}

fn request(fields: &Value) -> ChatRequest {
    let mut body = json!({"model": "author/model", "messages": [{"role": "user", "content": "hi"}]});
    for (name, value) in fields.as_object().expect("fields are an object") {
        body[name] = value.clone();
    }
    openai_chat::decode(Bytes::from(body.to_string())).expect("a request")
}

fn reading(endpoint: &Endpoint) -> Reading {
    let speed = endpoint.id.as_str().len() as f32;
    Reading {
        requests: 1_000,
        throughput: Quantiles { samples: 900, p50: speed, p75: speed, p90: speed, p99: speed },
        tool_requests: 1_000,
        tool_success_permille: 990,
        ..Reading::default()
    }
}

fn plans(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("plan");
    // The same machine's speed at plain work.
    group.bench_function("calibration", |bencher| {
        bencher
            .iter(|| (0..100u64).fold(0u64, |sum, step| black_box(sum.wrapping_mul(31).wrapping_add(step))));
    });
    let tools = json!([{"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}]);
    let rows = [
        ("balanced", json!({})),
        ("sorted by throughput", json!({"provider": {"sort": "throughput"}})),
        ("with tools", json!({"tools": tools})),
        ("with an order", json!({"provider": {"order": ["provider-3", "provider-1"]}})),
        ("all but one excluded", json!({"provider": {"only": ["provider-1"]}})),
        ("by a policy", json!({"model": "policy/p"})),
    ];
    for endpoints in [4, 50] {
        let config = snapshot(endpoints);
        let caller = caller(&config);
        for (name, fields) in &rows {
            let request = request(fields);
            let mut seed = 0;
            group.bench_function(format!("{endpoints} endpoints, {name}"), |bencher| {
                bencher.iter(|| {
                    seed += 1;
                    plan(&config, &Inputs::of(&caller, black_box(&request), seed, &reading)).is_ok()
                });
            });
        }
    }
    group.finish();
}

fn records(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("record");
    let (config, request) = (snapshot(4), request(&json!({})));
    let caller = caller(&config);
    let inputs = Inputs::of(&caller, &request, 7, &reading);
    let made = plan(&config, &inputs).expect("a plan");
    group.bench_function("4 endpoints", |bencher| bencher.iter(|| Recorded::of(black_box(&inputs), &made)));
    group.finish();
}

criterion_group!(benches, plans, records);
criterion_main!(benches);
