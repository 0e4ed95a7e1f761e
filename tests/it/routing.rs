//! Where whole requests go: service tiers at their own price, conversations that stay where their prompt is cached, and
//! tenants' own credentials.

use http::StatusCode;
use serde_json::{Value, json};
use switchyard_proto::v1;
use switchyard_tests::client::Client;
use switchyard_tests::cluster::{Cluster, Shape, plain_endpoint};

fn ask(more: Value) -> Value {
    let mut body = json!({"model": "a/m", "messages": [{"role": "user", "content": "one two three"}]});
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    body
}

async fn cluster(providers: &[&str], endpoints: Vec<v1::Endpoint>) -> (Cluster, Client) {
    let cluster = Shape::default().start().await.unwrap();
    for provider in providers {
        cluster.provider(provider, "openai", &format!("{}/v1", cluster.lab.url())).await.unwrap();
    }
    let model = v1::Model { id: "a/m".to_owned(), ..Default::default() };
    cluster.model_with(model, endpoints).await.unwrap();
    let client = cluster.client().await.unwrap();
    (cluster, client)
}

/// The `service_tier` of every request that the lab received, in order.
fn tiers_sent(cluster: &Cluster) -> Vec<Value> {
    let bodies = cluster.lab.received().into_iter();
    let tier = |body: bytes::Bytes| serde_json::from_slice::<Value>(&body).unwrap()["service_tier"].clone();
    bodies.map(|call| tier(call.body)).collect()
}

#[tokio::test]
async fn a_tier_is_reached_by_asking_and_the_default_one_serves_at_its_price_where_it_fails() {
    let price = v1::Price { input: "10".to_owned(), output: "20".to_owned(), ..Default::default() };
    let priority = v1::Endpoint {
        id: "priority".to_owned(),
        service_tier: "priority".to_owned(),
        price: Some(price),
        ..plain_endpoint("p", "echo")
    };
    let (cluster, client) = cluster(&["p"], vec![plain_endpoint("p", "echo"), priority]).await;
    let cost = async |body: Value| client.chat(body).await.ok()["usage"]["cost"].as_f64().unwrap();
    let usual = cost(ask(json!({}))).await;
    let fast = cost(ask(json!({"service_tier": "priority"}))).await;
    assert!((fast / usual - 10.0).abs() < 1e-6, "{fast} {usual}");
    cluster.lab.script(["status-500", "echo"]).unwrap();
    let fallen = cost(ask(json!({"service_tier": "priority"}))).await;
    assert!((fallen - usual).abs() < 1e-12, "{fallen} {usual}");
    let sent = tiers_sent(&cluster);
    assert_eq!(sent, [Value::Null, json!("priority"), json!("priority"), Value::Null]);
    cluster.stop().await.unwrap();
}

#[tokio::test]
async fn a_flex_request_that_fails_is_not_served_dearer() {
    let flex = v1::Endpoint {
        id: "flex".to_owned(),
        service_tier: "flex".to_owned(),
        ..plain_endpoint("p", "echo")
    };
    let (cluster, client) = cluster(&["p"], vec![plain_endpoint("p", "echo"), flex]).await;
    cluster.lab.script(["status-429-30"]).unwrap();
    let refused = client.chat(ask(json!({"service_tier": "flex"}))).await;
    assert_eq!(refused.status, StatusCode::TOO_MANY_REQUESTS, "{refused:?}");
    assert_eq!(refused.json["error"]["availability"]["code"], "capacity_exhausted");
    assert_eq!(tiers_sent(&cluster), [json!("flex")]);
    cluster.stop().await.unwrap();
}

#[tokio::test]
async fn a_session_stays_at_one_endpoint_until_it_fails() {
    let cached = |provider: &str| {
        let price = v1::Price {
            input: "1".to_owned(),
            cached_input: "0.1".to_owned(),
            output: "2".to_owned(),
            ..Default::default()
        };
        v1::Endpoint { price: Some(price), ..plain_endpoint(provider, "echo") }
    };
    let names = ["p1", "p2", "p3", "p4"];
    let (cluster, client) = cluster(&names, names.map(cached).into()).await;
    let provider = async || {
        client.chat(ask(json!({"session_id": "s"}))).await.ok()["provider"].as_str().unwrap().to_owned()
    };
    let first = provider().await;
    for _ in 0..8 {
        assert_eq!(provider().await, first);
    }
    cluster.lab.script(["status-500", "echo"]).unwrap();
    let next = provider().await;
    assert_ne!(next, first, "the next best serves");
    assert_eq!(provider().await, next, "and keeps the conversation that it served");
    cluster.stop().await.unwrap();
}

#[tokio::test]
async fn a_tenants_own_credential_goes_first_and_costs_it_nothing_here() {
    let (cluster, client) = cluster(&["p"], vec![plain_endpoint("p", "echo")]).await;
    let own = v1::Credential {
        id: "mine".to_owned(),
        tenant: "acme".to_owned(),
        provider: "p".to_owned(),
        secret: "the-tenants-own-credential".to_owned(),
        ..Default::default()
    };
    let request = v1::CreateCredentialRequest { tenant: "acme".to_owned(), credential: Some(own) };
    switchyard_cli::client::Answer::answer(cluster.admin.credentials().create_credential(request).await)
        .unwrap();
    cluster.settled().await;
    cluster.lab.script(["status-401", "echo"]).unwrap();
    let answer = client.chat(ask(json!({}))).await.ok();
    let shown: Vec<String> = cluster
        .lab
        .received()
        .iter()
        .map(|call| call.headers["authorization"].to_str().unwrap().to_owned())
        .collect();
    assert_eq!(shown, ["Bearer the-tenants-own-credential", "Bearer credential-of-p"]);
    assert!(answer["usage"]["cost"].as_f64().unwrap() > 0.0, "the shared one is paid here: {answer:#}");
    let tenant = v1::Tenant { id: "own".to_owned(), ..Default::default() };
    cluster.tenant_with(tenant, "").await.unwrap();
    let key = cluster.key("own").await.unwrap();
    let own = v1::Credential {
        id: "mine".to_owned(),
        tenant: "own".to_owned(),
        provider: "p".to_owned(),
        secret: "another-tenants-credential".to_owned(),
        ..Default::default()
    };
    let request = v1::CreateCredentialRequest { tenant: "own".to_owned(), credential: Some(own) };
    switchyard_cli::client::Answer::answer(cluster.admin.credentials().create_credential(request).await)
        .unwrap();
    cluster.settled().await;
    let answer = client.with_key(&key.secret).chat(ask(json!({}))).await.ok();
    let usage = &answer["usage"];
    assert_eq!((usage["cost"].as_f64(), &usage["is_byok"]), (Some(0.0), &json!(true)), "{answer:#}");
    assert!(usage["cost_details"]["upstream_inference_cost"].as_f64().unwrap() > 0.0, "{answer:#}");
    cluster.stop().await.unwrap();
}
