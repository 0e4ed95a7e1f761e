//! What is remembered of a request: also of one that came to nothing, enough to make its plan again, and in numbers that
//! fit the ledger's.

use http::StatusCode;
use serde_json::{Value, json};
use switchyard_cli::client::Answer as _;
use switchyard_data_plane::pipeline::decision;
use switchyard_data_plane::routing::record::Recorded;
use switchyard_proto::v1;
use switchyard_tests::client::Client;
use switchyard_tests::cluster::{Cluster, Shape, plain_endpoint};

/// Two providers of the model `a/m`, `cheap` and `dear`, which both are the lab.
async fn cluster(shape: Shape) -> (Cluster, Client) {
    let cluster = shape.set("SWITCHYARD_ROUTING_KEEP_DECISIONS", "1").start().await.unwrap();
    for provider in ["cheap", "dear"] {
        cluster.provider(provider, "openai", &format!("{}/v1", cluster.lab.url())).await.unwrap();
    }
    let price = v1::Price { input: "5000".to_owned(), output: "5000".to_owned(), ..Default::default() };
    let endpoints = [
        plain_endpoint("cheap", "echo"),
        v1::Endpoint { price: Some(price), ..plain_endpoint("dear", "echo") },
    ];
    let model = v1::Model { id: "a/m".to_owned(), ..Default::default() };
    cluster.model_with(model, endpoints).await.unwrap();
    let client = cluster.client().await.unwrap();
    (cluster, client)
}

fn ask(more: Value) -> Value {
    let mut body = json!({"model": "a/m", "max_tokens": 40, "debug": {"openrouter_metadata": true},
        "messages": [{"role": "user", "content": "one two three"}]});
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    body
}

async fn decision(cluster: &Cluster, id: &str) -> Value {
    serde_json::from_str(&cluster.generation(id).await.decision).unwrap()
}

#[tokio::test]
async fn a_request_without_an_attempt_is_remembered_with_its_status_and_what_stood_in_its_way() {
    let (cluster, client) = cluster(Shape::default()).await;
    let stranger = client.with_key("a-secret-that-nobody-has-ever-seen-0123").chat(ask(json!({}))).await;
    assert_eq!(stranger.status, StatusCode::UNAUTHORIZED);
    let slow = v1::Rates { requests_per_minute: Some(1), ..Default::default() };
    let key = v1::Key { name: "slow".to_owned(), rates: Some(slow), ..Default::default() };
    let slow = cluster.key_with("acme", key).await.unwrap();
    cluster.settled().await;
    let slow = client.with_key(&slow.secret);
    slow.chat(ask(json!({}))).await.ok();
    let free = json!({"provider": {"max_price": {"prompt": "0.01"}}});
    let cases = [
        (client.chat(ask(free)).await, 404, "not_found", json!("no_candidate")),
        (client.chat(ask(json!({"model": "a/x"}))).await, 400, "invalid_request", json!("unknown_model")),
        (
            client.chat(ask(json!({"model": "policy/x"}))).await,
            400,
            "invalid_request",
            json!("unknown_policy"),
        ),
        (slow.chat(ask(json!({}))).await, 429, "rate_limit_exceeded", Value::Null),
    ];
    for (answer, status, error, refused) in &cases {
        assert_eq!((answer.status.as_u16(), answer.error_type()), (*status, *error), "{answer:?}");
        assert_eq!(answer.json["openrouter_metadata"]["attempt"], 0, "{answer:?}");
        let kept = cluster.generation(answer.header("x-generation-id")).await;
        assert_eq!((kept.status, kept.error_type.as_str(), kept.attempts), (u32::from(*status), *error, 0));
        assert_eq!((kept.tenant.as_str(), kept.charge_usd.as_str()), ("acme", "0"));
        let decision: Value = serde_json::from_str(&kept.decision).unwrap();
        assert_eq!((&decision["refused"], &decision["attempts"]), (refused, &json!([])), "{decision:#}");
        assert_eq!(decision["inputs"]["is_whole"], true);
    }
    let excluded = decision(&cluster, cases[0].0.header("x-generation-id")).await["excluded"].clone();
    assert_eq!((&excluded[0]["rule"], &excluded[1]["rule"]), (&json!("max_price"), &json!("max_price")));
    assert_eq!(cases[0].0.json["openrouter_metadata"]["endpoints"]["excluded"].as_array().unwrap().len(), 2);
    let bad = client.post("/api/v1/chat/completions", "{", &[]).await;
    let kept = cluster.generation(bad.header("x-generation-id")).await;
    assert_eq!((kept.status, kept.error_type.as_str()), (400, "invalid_request"));
    let request = v1::GetGenerationRequest { id: stranger.header("x-generation-id").to_owned() };
    let unknown = cluster.admin.usage().get_generation(request).await.answer();
    assert!(unknown.is_err(), "whom nobody knows fills no record");
    cluster.stop().await.unwrap();
}

#[tokio::test]
async fn refusals_may_be_left_out_and_are_counted_then() {
    let shape = Shape::default().set("SWITCHYARD_ROUTING_KEEP_REFUSED_PER_SECOND", "0");
    let (cluster, client) = cluster(shape).await;
    let refused = client.chat(ask(json!({"model": "a/x"}))).await;
    let ok = client.chat(ask(json!({}))).await.ok();
    cluster.generation(ok["id"].as_str().unwrap()).await;
    let request = v1::GetGenerationRequest { id: refused.header("x-generation-id").to_owned() };
    assert!(cluster.admin.usage().get_generation(request).await.answer().is_err());
    let metrics = reqwest::get(format!("{}/metrics", cluster.planes[0].ops_url())).await.unwrap();
    let counted = metrics.text().await.unwrap();
    assert!(counted.contains("switchyard_refused_unrecorded_total"), "{counted}");
    cluster.stop().await.unwrap();
}

#[tokio::test]
async fn a_candidate_that_no_money_covers_is_named_with_the_rule_and_what_it_would_take() {
    let (cluster, client) = cluster(Shape::default()).await;
    let limit = v1::SpendLimit { usd: "0.001".to_owned(), reset: v1::Reset::Never.into() };
    let key = v1::Key { name: "small".to_owned(), limit: Some(limit), ..Default::default() };
    let key = cluster.key_with("acme", key).await.unwrap();
    cluster.settled().await;
    let order = json!({"provider": {"order": ["dear", "cheap"]}});
    let answer = client.with_key(&key.secret).chat(ask(order)).await.ok();
    let id = answer["id"].as_str().unwrap();
    let decision = decision(&cluster, id).await;
    for skipped in [&answer["openrouter_metadata"]["skipped"], &decision["skipped"]] {
        let row = &skipped[0];
        assert_eq!((&row["provider"], &row["rule"]), (&json!("dear"), &json!("budget")), "{skipped}");
        assert_eq!(row["detail"], "the key's limit covers 0 of 40 output tokens", "{skipped}");
    }
    let line = cluster.lines(id, 1).await.remove(0);
    assert_eq!((line.attempt, line.provider.as_str()), (1, "cheap"));
    assert_eq!(decision["attempts"][0]["attempt"], 1);
    assert_eq!(answer["openrouter_metadata"]["attempt"], 1);
    cluster.stop().await.unwrap();
}

/// What of a decision is the plan's.
fn plan(decision: &Value) -> Value {
    ["strategy", "seed", "policy", "stages", "skipped_stages", "excluded", "excluded_total"]
        .map(|name| (name.to_owned(), decision[name].clone()))
        .into_iter()
        .collect()
}

#[tokio::test]
async fn what_is_stored_with_a_generation_makes_the_same_plan_again() {
    let (cluster, client) = cluster(Shape::default()).await;
    let stage = |name: &str, when: &str| v1::PolicyStage {
        name: name.to_owned(),
        when: when.to_owned(),
        models: vec![v1::WeightedModel { model: "a/m".to_owned(), weight: 0 }],
        ..Default::default()
    };
    let stages = vec![stage("late", "request.stream"), stage("now", "")];
    cluster.policy(v1::Policy { id: "p".to_owned(), stages, ..Default::default() }).await.unwrap();
    cluster.settled().await;
    let failing = client.chat(ask(json!({}))).await.ok();
    cluster.generation(failing["id"].as_str().unwrap()).await;
    let asks = [
        json!({}),
        json!({"provider": {"sort": "latency"}, "session_id": "s"}),
        json!({"provider": {"max_price": {"prompt": 2}}}),
        json!({"model": "policy/p", "user": "ada"}),
    ];
    for more in asks {
        let answer = client.chat(ask(more)).await.ok();
        let stored = decision(&cluster, answer["id"].as_str().unwrap()).await;
        let record: Recorded = serde_json::from_value(stored["inputs"].clone()).unwrap();
        let again = record.replay(&cluster.planes[0].config()).unwrap().unwrap();
        assert_eq!(plan(&Value::Object(decision::plan(&again))), plan(&stored));
    }
    let refused = client.chat(ask(json!({"provider": {"only": ["nobody"]}}))).await;
    let stored = decision(&cluster, refused.header("x-generation-id")).await;
    let record: Recorded = serde_json::from_value(stored["inputs"].clone()).unwrap();
    let again = record.replay(&cluster.planes[0].config()).unwrap().unwrap_err();
    let again = switchyard_data_plane::error::RequestError::from(again);
    assert_eq!(again.metadata["availability"], refused.json["error"]["availability"]);
    cluster.stop().await.unwrap();
}

/// With its own credentials a tenant pays the provider for every answer that its policy asked for.
#[tokio::test]
async fn what_several_attempts_cost_at_their_providers_is_added_up_with_own_credentials_too() {
    let (cluster, client) = cluster(Shape::default()).await;
    for provider in ["cheap", "dear"] {
        let own = v1::Credential {
            id: provider.to_owned(),
            tenant: "acme".to_owned(),
            provider: provider.to_owned(),
            secret: "the-tenants-own-credential".to_owned(),
            ..Default::default()
        };
        let request = v1::CreateCredentialRequest { tenant: "acme".to_owned(), credential: Some(own) };
        cluster.admin.credentials().create_credential(request).await.answer().unwrap();
    }
    let stage = |provider: &str, check: &str| v1::PolicyStage {
        name: provider.to_owned(),
        models: vec![v1::WeightedModel { model: "a/m".to_owned(), weight: 0 }],
        provider: Some(v1::ProviderPreferences { only: vec![provider.to_owned()], ..Default::default() }),
        check: check.to_owned(),
        ..Default::default()
    };
    let stages = vec![stage("cheap", "answer.text == 'nothing'"), stage("dear", "")];
    cluster.policy(v1::Policy { id: "p".to_owned(), stages, ..Default::default() }).await.unwrap();
    cluster.settled().await;
    let answer = client.chat(ask(json!({"model": "policy/p"}))).await.ok();
    let usage = &answer["usage"];
    let id = answer["id"].as_str().unwrap();
    let lines = cluster.lines(id, 2).await;
    let costs: Vec<f64> = lines.iter().map(|line| line.cost_usd.parse().unwrap()).collect();
    assert!(costs.iter().all(|cost| *cost > 0.0), "{lines:?}");
    let upstream = usage["cost_details"]["upstream_inference_cost"].as_f64().unwrap();
    assert!((upstream - costs.iter().sum::<f64>()).abs() < 1e-12, "{usage} {lines:?}");
    assert_eq!((&usage["is_byok"], usage["cost"].as_f64()), (&json!(true), Some(0.0)));
    let kept: f64 = cluster.generation(id).await.cost_usd.parse().unwrap();
    assert!((kept - upstream).abs() < 1e-12);
    cluster.stop().await.unwrap();
}
